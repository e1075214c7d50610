import type { SchemeLoader } from "../../keywrap/types.js";

/** Tokens, key providers and key servers cannot be used in browsers. */
export const PLATFORM_SCHEMES: ReadonlyMap<string, SchemeLoader> = /* @__PURE__ */ new Map<
  string,
  SchemeLoader
>([
  ["pkcs7", () => import("../../keywrap/pkcs7/message.js")],
  ["pgp", () => import("../../keywrap/pgp/message.js")],
]);
