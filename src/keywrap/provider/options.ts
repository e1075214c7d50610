import { OcicryptError } from "../../errors.js";
import { invalid } from "./answer.js";
import { findProvider, type ProviderConfig } from "./config.js";
import { withDeadline } from "./deadline.js";
import { DEFAULT_TIMEOUT } from "./limits.js";
import { printable, reasonOf } from "../../text/printable.js";
import { remoteProvider } from "./remote.js";
import type { KeyProvider } from "./types.js";

export interface ProviderOptions {
  /** A provider in code; the configuration is not looked at then. */
  provider?: KeyProvider | undefined;
  /**
   * The path of a configuration file or its content, to find a command or a gRPC server in; by
   * default the file that `OCICRYPT_KEYPROVIDER_CONFIG` names.
   */
  config?: string | ProviderConfig | undefined;
  /** The provider's name in the configuration, where it is another than in the annotation. */
  configName?: string | undefined;
  /** What to tell the provider; by default `Enabled`, as peers do. It may hold colons. */
  params?: string | undefined;
  /** How long the provider may take, in milliseconds; by default 30 000. */
  timeout?: number | undefined;
}

/** Asks a provider, within its deadline. */
export type Ask = (
  operation: keyof KeyProvider,
  bytes: Uint8Array,
  signal: AbortSignal | undefined,
) => Promise<Uint8Array | null>;

/** setTimeout of Node takes no more. */
const MAX_TIMEOUT = 2 ** 31 - 1;

/**
 * @throws {@link OcicryptError} `PROVIDER_CONFIG_INVALID`, `PROVIDER_NOT_CONFIGURED`
 * @throws {TypeError} for a name that no annotation can have
 * @throws {RangeError} for a timeout that is not a positive number
 */
export function prepare(name: string, options: ProviderOptions): Ask {
  if (!/^[^\s,:]{1,200}$/.test(name)) {
    throw new TypeError(`${printable(JSON.stringify(name), 50)} can not be a provider's name`);
  }
  const { params = "Enabled", timeout = DEFAULT_TIMEOUT, config, configName = name } = options;
  if (!(timeout > 0 && timeout <= MAX_TIMEOUT)) {
    throw new RangeError(`a timeout of ${String(timeout)} ms is out of range`);
  }
  const who = `key provider ${JSON.stringify(name)}`;
  const provider = options.provider ?? remoteProvider(name, findProvider(configName, config), who);

  return (operation, bytes, signal) =>
    withDeadline(
      async (deadline) => {
        const answer = await answerOf(provider, operation, bytes, [params], deadline, who);
        if (answer?.byteLength === 0) throw invalid(who, "it is empty");
        return answer;
      },
      { timeout, signal, who },
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
  } catch (error) {
    if (error instanceof OcicryptError) throw error;
    const message = `${who} failed: ${reasonOf(error)}`;
    throw new OcicryptError("PROVIDER_FAILED", message, { cause: error });
  }
}
