import type { SchemeLoader } from "../../keywrap/types.js";

export const PLATFORM_SCHEMES: ReadonlyMap<string, SchemeLoader> = /* @__PURE__ */ new Map<
  string,
  SchemeLoader
>([
  ["pkcs7", () => import("../../keywrap/pkcs7/message.js")],
  ["pgp", () => import("../../keywrap/pgp/message.js")],
  ["pkcs11", () => import("../../keywrap/pkcs11/blob.js")],
  ["provider", () => import("../../keywrap/provider/messages.js")],
  ["provider.attestation-agent", () => import("../../keywrap/provider/agent-packet.js")],
  ["provider.age", () => import("../../keyserver/age/file.js")],
  ["provider.tang", () => import("../../keyserver/tang/clevis.js")],
  ["provider.barbican", () => import("../../keyserver/barbican/wrapped.js")],
  ["provider.vault", () => import("../../keyserver/vault/wrapped.js")],
  ["provider.key-protect", () => import("../../keyserver/key-protect/wrapped.js")],
  ["provider.aws-kms", () => import("../../keyserver/aws-kms/wrapped.js")],
]);
