import { OcicryptError } from "../../errors.js";
import { timeLimit, withDeadline } from "../../io/abort.js";
import { printable, reasonOf } from "../../text/printable.js";
import { redactError, redactOpaque } from "../../text/redact.js";
import type { Recipient, Key } from "../types.js";
import {
  DEFAULT_TIMEOUT,
  encodeRequest,
  invalidAnswer,
  type KeyProvider,
  type KeyProviderRequest,
  type Operation,
  parseAnswer,
} from "./messages.js";
import { findProvider, type ProviderConfig, type Invocation } from "./config.js";
import { runCommand } from "./command.js";

/**
 * Creates a recipient whose key is held by a key provider: the provider wraps the layer's key, and
 * only a provider with the same key can unwrap it.
 *
 * Wrapping fails with `PROVIDER_NOT_FOUND`, `PROVIDER_FAILED`, `PROVIDER_TIMEOUT`,
 * `PROVIDER_INVALID_RESPONSE` or `PACKAGE_MISSING`.
 *
 * @param name the provider's name in the annotation and the configuration
 * @throws {@link OcicryptError} `PROVIDER_CONFIG_INVALID`, `PROVIDER_NOT_CONFIGURED`
 * @throws {TypeError} for a name that contains white space, a comma or a colon
 * @throws {RangeError} for a timeout that is not a positive number
 */
export function recipient(name: string, options: ProviderOptions = {}): Recipient {
  const ask = prepare(name, options);
  return {
    scheme: `provider.${name}`,
    async wrap(privateOptions, { signal } = {}) {
      const wrapped = await ask("wrapKey", privateOptions, signal);
      if (wrapped !== null) return wrapped;
      const message = `key provider ${JSON.stringify(name)} returned no wrapped key`;
      throw new OcicryptError("PROVIDER_INVALID_RESPONSE", message);
    },
  };
}

export interface ProviderKeyOptions extends ProviderOptions {
  /** The key's name in reports; by default `provider:NAME`. */
  label?: string | undefined;
}

/**
 * Creates a key that is held by a key provider. Unlike in Go, a provider is called only if it is
 * given as a key, and it receives no other key or password.
 *
 * Unwrapping fails with `PROVIDER_NOT_FOUND`, `PROVIDER_FAILED`, `PROVIDER_TIMEOUT`,
 * `PROVIDER_INVALID_RESPONSE` or `PACKAGE_MISSING`. Only a provider in code can report
 * that a key is not its own; the protocol of commands and servers has no way to.
 *
 * @param name the provider's name in the annotation and the configuration
 * @throws {@link OcicryptError} `PROVIDER_CONFIG_INVALID`, `PROVIDER_NOT_CONFIGURED`
 * @throws {TypeError} for a name that contains white space, a comma or a colon
 * @throws {RangeError} for a timeout that is not a positive number
 */
export function key(name: string, options: ProviderKeyOptions = {}): Key {
  const ask = prepare(name, options);
  const { label = `provider:${name}` } = options;
  return {
    scheme: `provider.${name}`,
    label,
    unwrap: (wrapped, { signal } = {}) => ask("unwrapKey", wrapped, signal),
    explain: () => `key provider ${JSON.stringify(name)} reports that its keys do not match`,
  };
}

export interface ProviderOptions {
  /** A provider in code, used instead of one from the configuration. */
  provider?: KeyProvider | undefined;
  /**
   * The path or content of a configuration file that names a command or a gRPC server; by default
   * the file named by `OCICRYPT_KEYPROVIDER_CONFIG`.
   */
  config?: string | ProviderConfig | undefined;
  /** The provider's name in the configuration if it differs from the annotation's. */
  configName?: string | undefined;
  /** The parameter passed to the provider; by default `Enabled`, as peers do. May contain colons. */
  params?: string | undefined;
  /** How long the provider may take, in milliseconds; by default 30,000. */
  timeout?: number | undefined;
}

/** Calls a provider within its deadline. */
type Ask = (
  operation: keyof KeyProvider,
  bytes: Uint8Array,
  signal: AbortSignal | undefined,
) => Promise<Uint8Array | null>;

/**
 * @throws {@link OcicryptError} `PROVIDER_CONFIG_INVALID`, `PROVIDER_NOT_CONFIGURED`
 * @throws {TypeError} for a name that is not valid in an annotation
 * @throws {RangeError} for a timeout that is not a positive number
 */
function prepare(name: string, options: ProviderOptions): Ask {
  if (!/^[^\s,:]{1,200}$/.test(name)) {
    throw new TypeError(`${printable(JSON.stringify(name), 50)} is not a valid provider name`);
  }
  const { params = "Enabled", config, configName = name } = options;
  const timeout = timeLimit(options.timeout ?? DEFAULT_TIMEOUT);
  const who = `key provider ${JSON.stringify(name)}`;
  const provider = options.provider ?? remoteProvider(name, findProvider(configName, config), who);

  const late = (): OcicryptError =>
    new OcicryptError("PROVIDER_TIMEOUT", `${who} did not answer within ${String(timeout)} ms`);

  return (operation, bytes, signal) =>
    withDeadline(
      async (deadline) => {
        const answer = await answerOf(provider, operation, bytes, [params], deadline, who);
        if (answer?.byteLength === 0) throw invalidAnswer(who, "it is empty");
        return answer;
      },
      { timeout, signal, late },
    );
}

async function answerOf(
  provider: KeyProvider,
  operation: keyof KeyProvider,
  bytes: Uint8Array,
  params: readonly string[],
  signal: AbortSignal,
  who: string,
): Promise<Uint8Array | null> {
  try {
    return await provider[operation]({ bytes, params, signal });
  } catch (cause) {
    const secrets = params.filter((text) => text !== "Enabled").map((text) => Buffer.from(text));
    const error = redactError(cause, operation === "wrapKey" ? [bytes, ...secrets] : secrets);
    const failed =
      error instanceof OcicryptError
        ? error
        : new OcicryptError("PROVIDER_FAILED", `${who} failed: ${reasonOf(error)}`, {
            cause: error,
          });
    // The secret that a provider may have unwrapped before it failed is not known here.
    throw operation === "wrapKey"
      ? failed
      : new OcicryptError(failed.code, redactOpaque(failed.message));
  }
}

/**
 * A provider behind the protocol of ocicrypt's docs/keyprovider.md. It never returns `null`: the
 * protocol cannot distinguish a key of another provider from any other error.
 *
 * @param name the name of its parameters
 * @param who the provider's name in messages
 */
function remoteProvider(name: string, invocation: Invocation, who: string): KeyProvider {
  async function ask(operation: Operation, request: KeyProviderRequest): Promise<Uint8Array> {
    const message = encodeRequest(operation, name, request.params, request.bytes);
    let answer: Uint8Array | undefined;
    try {
      answer = await send(operation, message, request.signal);
      return parseAnswer(operation, answer, who);
    } finally {
      message.fill(0);
      answer?.fill(0);
    }
  }

  async function send(
    operation: Operation,
    message: Uint8Array,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    if (invocation.kind === "cmd") return await runCommand(invocation, message, who, signal);
    const { callServer } = await import("./grpc.js");
    return await callServer(invocation, operation, message, who, signal);
  }

  return {
    wrapKey: (request) => ask("keywrap", request),
    unwrapKey: (request) => ask("keyunwrap", request),
  };
}
