import { PLATFORM_SCHEMES } from "#engine/schemes";
import { describe } from "./jwe/message.js";
import type { RecipientInfo, SchemeLoader } from "./types.js";

const SCHEMES: ReadonlyMap<string, SchemeLoader> = /* @__PURE__ */ new Map<string, SchemeLoader>([
  ["jwe", () => Promise.resolve({ describe })],
  ...PLATFORM_SCHEMES,
]);

/** Whether a scheme is one of this library, and not of a key provider or of another tool. */
export function isBuiltIn(scheme: string): boolean {
  return !scheme.startsWith("provider") && SCHEMES.has(scheme);
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
  const own = await SCHEMES.get(scheme)?.();
  const described = (await own?.describe(wrapped)) ?? [];
  // A provider of another tool may have the name of a key server.
  if (described.length > 0 || !scheme.startsWith("provider.")) return described;
  const provider = await SCHEMES.get("provider")?.();
  return (await provider?.describe(wrapped)) ?? [];
}
