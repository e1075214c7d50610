import type { RecipientInfo } from "./types.js";

interface Scheme {
  describe(wrapped: Uint8Array): RecipientInfo[];
}

/** Loaded when the first wrapped key of the scheme is looked at. */
const SCHEMES: ReadonlyMap<string, () => Promise<Scheme>> = /* @__PURE__ */ new Map<
  string,
  () => Promise<Scheme>
>([
  ["jwe", () => import("./jwe/message.js")],
  ["pkcs7", () => import("./pkcs7/message.js")],
  ["pgp", () => import("./pgp/message.js")],
  ["pkcs11", () => import("./pkcs11/blob.js")],
  ["provider", () => import("./provider/messages.js")],
]);

/** Whether a scheme is one of this library, and not of a key provider or of another tool. */
export function isBuiltIn(scheme: string): boolean {
  return scheme !== "provider" && SCHEMES.has(scheme);
}

/**
 * The recipients of one wrapped key; empty for a scheme that does not tell or is not known.
 *
 * @throws {@link OcicryptError} `WRAPPED_KEY_INVALID`, `WRAPPED_KEY_UNSUPPORTED`
 */
export async function describeWrappedKey(
  scheme: string,
  wrapped: Uint8Array,
): Promise<RecipientInfo[]> {
  const load = SCHEMES.get(scheme.startsWith("provider.") ? "provider" : scheme);
  return load === undefined ? [] : (await load()).describe(wrapped);
}
