/* Browsers reach no tokens, programs or key servers. */
import { OcicryptError } from "../../errors.js";
import type * as node from "../node/key-schemes.js";

export type { KeyProvider, KeyServerContext } from "../node/key-schemes.js";

const missing = (what: string): OcicryptError =>
  new OcicryptError("KEY_UNSUPPORTED", `${what} cannot be used in a browser`);

const notHere = (what: string) => (): Promise<never> => Promise.reject(missing(what));

export const isKeyServerKey: typeof node.isKeyServerKey = () => false;
export const isKeyServerRecipient: typeof node.isKeyServerRecipient = () => false;
export const KEY_SERVER_NAMES: typeof node.KEY_SERVER_NAMES = [];
export const keyServerKeys: typeof node.keyServerKeys = notHere("key servers");
export const keyServerRecipients: typeof node.keyServerRecipients = notHere("key servers");
export const loadKeyServerSettings: typeof node.loadKeyServerSettings = notHere("key servers");
export const loadAge: typeof node.loadAge = notHere("age identities");
export const loadPgp: typeof node.loadPgp = () => import("../../keywrap/pgp/index.js");
export const loadPkcs11: typeof node.loadPkcs11 = notHere("PKCS#11 tokens");
export const loadPkcs11Key: typeof node.loadPkcs11Key = () =>
  Promise.resolve({
    keyOf: () => {
      throw missing("PKCS#11");
    },
  });
export const loadProvider: typeof node.loadProvider = notHere("key providers");
export const loadProviderConfig: typeof node.loadProviderConfig = notHere("key providers");
export const loadAttestationAgent: typeof node.loadAttestationAgent = notHere("key providers");
