import { newAttempts } from "../../keywrap/unwrapping.js";
import type { Key, Recipient } from "../../keywrap/types.js";
import { keyServerClient, type KeyServerOptions } from "../client.js";
import { checkPin } from "./check.js";
import { parsePin } from "./clevis.js";
import { allowedServers, type AllowedServersOptions } from "./servers.js";
import { openPin } from "./unwrap.js";
import { type Plan, planSss, planTang, prepare } from "./wrap.js";

const SCHEME = "provider.tang";

export interface TangServerOptions extends KeyServerOptions {
  signal?: AbortSignal | undefined;
}

/** A Tang server, and how it is trusted. */
export interface TangRecipientOptions extends TangServerOptions {
  /** The server's URL, which every wrapped key contains. */
  url: string;
  /**
   * The RFC 7638 thumbprint, with SHA-256 or SHA-1, of a key that must have signed the server's
   * advertisement. `tang-show-keys` prints it on the server.
   */
  thumbprint?: string | undefined;
  /**
   * Replaces `thumbprint`, and trusts whichever server answers. An attacker on the network can then
   * answer in the server's place, and decrypt. Called with the thumbprints of its signing keys.
   */
  onFirstUse?: ((url: string, thumbprints: readonly string[]) => void) | undefined;
}

/**
 * Creates a recipient for a Tang server: anyone who can reach the server can decrypt. Fetches and
 * verifies the server's keys at once; wrapping does not contact it again. The wrapped key has the
 * form that `clevis encrypt tang` writes.
 *
 * @throws {@link OcicryptError} `KEY_SERVER_CONFIG_INVALID`, `KEY_SERVER_UNTRUSTED` if the trusted key
 *   did not sign, `KEY_SERVER_UNREACHABLE`, `KEY_SERVER_ANSWER_INVALID`
 * @throws {TypeError} unless exactly one of `thumbprint` and `onFirstUse` is given
 */
export async function recipient(options: TangRecipientOptions): Promise<Recipient> {
  const { url, thumbprint, onFirstUse } = options;
  if ((thumbprint === undefined) === (onFirstUse === undefined)) {
    throw new TypeError("give either the thumbprint or onFirstUse");
  }
  return recipientOf(planTang(url, thumbprint), options, onFirstUse);
}

/**
 * Creates a recipient for several Tang servers. Decryption needs as many of them as the threshold
 * (Shamir's secret sharing). Fetches and verifies the keys of all servers at once. The wrapped key
 * has the form that `clevis encrypt sss` writes.
 *
 * @param config the JSON of Clevis, such as `{"t": 2, "pins": {"tang": [{"url": …, "thp": …}, …]}}`;
 *   the pins are `tang`, with thumbprints, and `sss`
 * @throws {@link OcicryptError} as {@link recipient}
 */
export async function sss(
  config: string | Uint8Array,
  options: TangServerOptions = {},
): Promise<Recipient> {
  return recipientOf(planSss(config), options);
}

async function recipientOf(
  plan: Plan,
  options: TangServerOptions,
  onFirstUse?: TangRecipientOptions["onFirstUse"],
): Promise<Recipient> {
  const wrap = await prepare(plan, {
    client: keyServerClient(options),
    signal: options.signal,
    onFirstUse: (url, signers) =>
      onFirstUse?.(
        url,
        signers.map((each) => each.thumbprint),
      ),
  });
  return {
    scheme: SCHEME,
    algorithm: "url" in plan ? "tang" : "sss",
    wrap: async (privateOptions) => Buffer.from(await wrap(privateOptions), "latin1"),
  };
}

export interface TangKeyOptions extends KeyServerOptions, AllowedServersOptions {
  /** The key's name in reports. Default: `tang`. */
  label?: string | undefined;
}

/**
 * Creates a key that opens wrapped keys of Clevis's pins `tang` and `sss`. Wrapped keys name their
 * servers, but only the servers in `servers` and `moved` are contacted.
 *
 * `unwrap` fails with `KEY_SERVER_NOT_ALLOWED` for any other server, `KEY_SERVER_UNREACHABLE`,
 * `KEY_SERVER_KEY_NOT_FOUND` if the server no longer has the key, `KEY_SERVER_ANSWER_INVALID`,
 * `KEY_SERVER_THRESHOLD` if too few servers could be used, `WRAPPED_KEY_INVALID`, and
 * `WRAPPED_KEY_UNSUPPORTED` for other pins of Clevis.
 *
 * @throws {@link OcicryptError} `KEY_SERVER_CONFIG_INVALID`
 */
export function key(options: TangKeyOptions): Key {
  const { label = "tang" } = options;
  const allowed = allowedServers(options);
  const client = keyServerClient(options);
  return {
    scheme: SCHEME,
    label,
    async unwrap(wrapped, { signal, attempts = newAttempts() } = {}) {
      return openPin(parsePin(wrapped), { client, allowed, attempts, signal });
    },
    async check(wrapped, { signal } = {}) {
      return checkPin(parsePin(wrapped), { client, allowed, signal });
    },
  };
}
