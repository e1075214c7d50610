/*
 * The schemes beyond JWE and PKCS#7 that key files and texts can name. Each is loaded when it is
 * first needed.
 */
import type * as keyserver from "../../keyserver/age/index.js";
import type * as settings from "../../keyserver/settings.js";
import type * as pgp from "../../keywrap/pgp/index.js";
import type * as pkcs11 from "../../keywrap/pkcs11/index.js";
import type * as pkcs11Key from "../../keywrap/pkcs11/key.js";
import type * as agent from "../../keywrap/provider/attestation-agent.js";
import type * as config from "../../keywrap/provider/config.js";
import type * as provider from "../../keywrap/provider/index.js";

export {
  isKeyServerKey,
  isKeyServerRecipient,
  KEY_SERVER_NAMES,
  keyServerKeys,
  keyServerRecipients,
} from "../../keyserver/index.js";
export type { KeyServerContext } from "../../keyserver/index.js";
export type { KeyProvider } from "../../keywrap/provider/index.js";

type Load<T> = () => Promise<T>;

export const loadAge: Load<typeof keyserver> = () => import("../../keyserver/age/index.js");
export const loadKeyServerSettings: Load<typeof settings> = () =>
  import("../../keyserver/settings.js");
export const loadPgp: Load<typeof pgp> = () => import("../../keywrap/pgp/index.js");
export const loadPkcs11: Load<typeof pkcs11> = () => import("../../keywrap/pkcs11/index.js");
/** Opens what is wrapped for a token with an RSA key outside of it. */
export const loadPkcs11Key: Load<Pick<typeof pkcs11Key, "keyOf">> = () =>
  import("../../keywrap/pkcs11/key.js");
export const loadProvider: Load<typeof provider> = () => import("../../keywrap/provider/index.js");
export const loadProviderConfig: Load<typeof config> = () =>
  import("../../keywrap/provider/config.js");
export const loadAttestationAgent: Load<typeof agent> = () =>
  import("../../keywrap/provider/attestation-agent.js");
