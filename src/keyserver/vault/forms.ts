import { homedir } from "node:os";
import { join } from "node:path";
import type { Key, Recipient } from "../../keywrap/types.js";
import {
  environment,
  flagSetting,
  invalidSettings,
  readCertificates,
  readSecret,
  type Setting,
  settingIn,
  settingsOf,
} from "../settings.js";
import type { KeyServerContext } from "../types.js";
import type { VaultAuth, VaultOptions } from "./session.js";
import * as vault from "./vault.js";

const SETTINGS = [
  ...["address", "namespace", "mount", "ca-file", "plain-http"],
  ...["auth", "auth-mount", "token-file", "role-id", "secret-id-file", "role", "jwt-file"],
];

/** Where Kubernetes puts the token of a pod's service account. */
const JWT_FILE = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/** `vault:KEYNAME`. */
// eslint-disable-next-line @typescript-eslint/require-await -- rejects instead of throwing
export async function recipients(text: string, context: KeyServerContext): Promise<Recipient[]> {
  return [vault.recipient(text.slice("vault:".length), optionsOf(context))];
}

/** `vault` for all keys that the token may use, or `vault:KEYNAME` for one. */
// eslint-disable-next-line @typescript-eslint/require-await -- rejects instead of throwing
export async function keys(texts: readonly string[], context: KeyServerContext): Promise<Key[]> {
  const names = texts.map((text) => text.slice("vault:".length));
  const own = names.includes("") ? undefined : names;
  return [vault.key({ ...optionsOf(context), keys: own })];
}

function optionsOf(context: KeyServerContext): VaultOptions {
  const settings = settingsOf(context.settings, "vault", SETTINGS);
  const text = settingIn(settings);
  return {
    address: required(text, "address", "VAULT_ADDR"),
    namespace: text("namespace", "VAULT_NAMESPACE"),
    mount: text("mount"),
    ca: readCertificates(text("ca-file", "VAULT_CACERT"), "the certificates of Vault"),
    plainHttp: flagSetting(settings, "plain-http"),
    auth: authOf(text("auth") ?? "token", text),
  };
}

function authOf(method: string, text: Setting): VaultAuth {
  const mount = text("auth-mount");
  switch (method) {
    case "token": {
      const file = text("token-file");
      const token = file === undefined ? environment("VAULT_TOKEN") : undefined;
      // The file in which Vault's own command keeps the token of a login.
      const path = file ?? join(homedir(), ".vault-token");
      return { method, token: token ?? readSecret(path, "the token of Vault") };
    }
    case "approle": {
      const file = text("secret-id-file");
      const secretId = file === undefined ? environment("VAULT_SECRET_ID") : readSecret(file, "the secret id of Vault"); // prettier-ignore
      return { method, roleId: required(text, "role-id", "VAULT_ROLE_ID"), secretId, mount };
    }
    case "kubernetes": {
      const file = text("jwt-file") ?? JWT_FILE;
      const jwt = (): string => readSecret(file, "the service account's token");
      return { method, role: required(text, "role"), jwt, mount };
    }
    default:
      throw invalidSettings("auth of Vault is not token, approle or kubernetes");
  }
}

function required(text: Setting, name: string, ...variables: readonly string[]): string {
  const value = text(name, ...variables);
  if (value !== undefined) return value;
  throw invalidSettings(`${[name, ...variables].join(" or ")} is missing for Vault`);
}
