import { isDirectory, readFileSync } from "#engine/files";
import {
  isKeyServerKey,
  isKeyServerRecipient,
  type KeyProvider,
  keyServerKeys,
  keyServerRecipients,
  type KeyServerContext,
  loadAttestationAgent,
  loadPgp,
  loadPkcs11,
  loadProvider,
  loadProviderConfig,
} from "#engine/key-schemes";
import { cannotRead, isOcicryptError, OcicryptError } from "../../errors.js";
import type { Key, Recipient } from "../types.js";

export interface TextOptions {
  /** Reads a file that the text names. Default: from the file system. */
  readFile?: ((file: string) => Uint8Array) | undefined;
  /** The settings of key servers, with one member for each system. Default: none. */
  keyServers?: KeyServerContext["settings"] | undefined;
  /** Aborts requests to key servers, and the derivation of keys from passwords. */
  signal?: AbortSignal | undefined;
  /**
   * Called with the reason for each file that is skipped, for an expired certificate, and for a key
   * server that nobody has verified.
   */
  onWarning?: ((message: string) => void) | undefined;
}

export interface RecipientsFromTextOptions extends TextOptions {
  /** The key id of `jwe:` recipients. Default: the key's own, or its RFC 7638 thumbprint. */
  kid?: string | undefined;
  /** Reject certificates of `pkcs7:` that have expired. Default: false, which warns. */
  strict?: boolean | undefined;
  /** The content of key rings to look up `pgp:` recipients in. Default: gpg's own key ring. */
  keyRings?: readonly Uint8Array[] | undefined;
}

export interface KeysFromTextOptions extends TextOptions {
  /** The password of an encrypted key file. It may contain any characters, in UTF-8. */
  password?: string | Uint8Array | undefined;
}

type Read = (value: string, options: RecipientsFromTextOptions) => Promise<Recipient[]>;

const SCHEMES: ReadonlyMap<string, Read> = /* @__PURE__ */ new Map<string, Read>([
  ["jwe", readJwe],
  ["pkcs7", readPkcs7],
  ["pgp", readPgp],
  ["pkcs11", readPkcs11],
  ["provider", readProvider],
]);

/** The key schemes that a text can name before the colon, apart from key servers. */
export const RECIPIENT_SCHEMES: readonly string[] = /* @__PURE__ */ [...SCHEMES.keys()];

/**
 * Returns the recipients that a text names in the form of the command's `-r`: `jwe:FILE`,
 * `pkcs7:FILE`, `pgp:NAME`, `pkcs11:FILE`, `provider:NAME[:PARAMETERS]`, or a key server, such as
 * `age:age1…`. A file with several keys gives several recipients.
 *
 * @throws {@link OcicryptError} `RECIPIENT_INVALID` if the text has none of these forms;
 *   `KEY_UNREADABLE` for a file that cannot be read; otherwise as the functions of the scheme
 * @throws {TypeError} for a `kid` that is empty or longer than 256 characters
 */
export async function recipientsFromText(
  text: string,
  options: RecipientsFromTextOptions = {},
): Promise<Recipient[]> {
  if (isKeyServerRecipient(text)) {
    const { found, files } = await keyServerRecipients(text, contextOf(options));
    for (const { content } of files) found.push(...(await jweRecipients(content, options)));
    return found;
  }
  const colon = text.indexOf(":");
  const read = SCHEMES.get(text.slice(0, Math.max(colon, 0)));
  const value = text.slice(colon + 1);
  if (read === undefined || value === "") {
    // The text may be a key that was passed by mistake, so the message does not quote it.
    const message = `a recipient is written as ${RECIPIENT_SCHEMES.join(":, ")}: or age:, with a value`;
    throw new OcicryptError("RECIPIENT_INVALID", message);
  }
  return read(value, options);
}

/**
 * Returns the keys that a text names in the form of the command's `-k`: a key file of any form, a
 * directory of key files, `provider:NAME[:PARAMETERS]`, or a key server. The text never contains a
 * password, which is an option.
 *
 * @throws {@link OcicryptError} as `keysFromFiles` and `keysFromDirectory`;
 *   `KEY_UNREADABLE` for a file that cannot be read; `RECIPIENT_INVALID` for a provider without a
 *   name; otherwise as the functions of the key server
 */
export async function keysFromText(
  text: string,
  options: KeysFromTextOptions = {},
): Promise<Key[]> {
  if (isKeyServerKey(text)) {
    const { found, files } = await keyServerKeys([text], contextOf(options));
    if (files.length === 0) return found;
    const { keysFromFiles } = await import("./from-files.js");
    const { signal, password } = options;
    const kept = files.map((file) => ({ ...file, password }));
    return [...found, ...(await keysFromFiles(kept, { signal }))];
  }
  if (text.startsWith("provider:")) {
    const { provider } = await loadProvider();
    const { name, params } = splitProvider(text.slice("provider:".length));
    return [provider.key(name, { params, provider: await ownAgent(name, params, options) })];
  }
  const { signal, onWarning, password } = options;
  if (isDirectory(text)) {
    const { keysFromDirectory } = await import("./from-directory.js");
    return keysFromDirectory(text, { signal, onWarning });
  }
  const { keysFromFiles } = await import("./from-files.js");
  return keysFromFiles([{ content: contentOf(text, options), label: text, password }], { signal });
}

function contextOf(options: TextOptions): KeyServerContext {
  const { keyServers: settings = {}, signal, onWarning } = options;
  return { settings, readFile: (file) => contentOf(file, options), signal, onWarning };
}

function contentOf(file: string, { readFile = readFileSync }: TextOptions): Uint8Array {
  try {
    return readFile(file);
  } catch (cause) {
    if (isOcicryptError(cause)) throw cause;
    throw new OcicryptError("KEY_UNREADABLE", cannotRead("the file", cause), { cause });
  }
}

function readJwe(file: string, options: RecipientsFromTextOptions): Promise<Recipient[]> {
  return jweRecipients(contentOf(file, options), options);
}

async function jweRecipients(
  content: Uint8Array,
  { kid }: RecipientsFromTextOptions,
): Promise<Recipient[]> {
  const { jwe } = await import("../jwe/index.js");
  return jwe.recipients(content, { kid });
}

async function readPkcs7(file: string, options: RecipientsFromTextOptions): Promise<Recipient[]> {
  const { pkcs7 } = await import("../pkcs7/index.js");
  const { strict, onWarning } = options;
  return pkcs7.recipients(contentOf(file, options), { strict, onWarning });
}

async function readPgp(name: string, options: RecipientsFromTextOptions): Promise<Recipient[]> {
  const { pgp } = await loadPgp();
  const { keyRings = [] } = options;
  if (keyRings.length === 0) return [pgp.recipient(name)];
  let missing: unknown;
  for (const keyRing of keyRings) {
    try {
      return [pgp.recipient(name, { keyRing })];
    } catch (error) {
      if (!isOcicryptError(error, "RECIPIENT_NOT_FOUND")) throw error;
      missing = error;
    }
  }
  throw missing;
}

async function readPkcs11(file: string, options: RecipientsFromTextOptions): Promise<Recipient[]> {
  const { pkcs11 } = await loadPkcs11();
  return [await pkcs11.recipient(contentOf(file, options))];
}

async function readProvider(value: string, options: TextOptions): Promise<Recipient[]> {
  const { provider } = await loadProvider();
  const { name, params } = splitProvider(value);
  const own = await ownAgent(name, params, options, true);
  return [provider.recipient(name, { params, provider: own })];
}

/**
 * Returns the attestation agent in this process, if the parameters name its key and the
 * configuration names no other program for it.
 */
async function ownAgent(
  name: string,
  params: string | undefined,
  options: TextOptions,
  isWrapping = false,
): Promise<KeyProvider | undefined> {
  const agent = await loadAttestationAgent();
  if (name !== agent.ATTESTATION_AGENT) return undefined;
  const { keyPath, keyId, problems } = agent.parseParameters(params ?? "");
  const { isConfigured } = await loadProviderConfig();
  if (keyPath === undefined || isConfigured(name)) {
    if (isWrapping) for (const problem of problems) options.onWarning?.(`${name}: ${problem}`);
    return undefined;
  }
  const [problem] = problems;
  if (problem !== undefined) throw new OcicryptError("RECIPIENT_INVALID", problem);
  if (isWrapping && keyId === undefined) {
    throw new OcicryptError(
      "RECIPIENT_INVALID",
      "keyid= with the name of the key in the KBS is missing",
    );
  }
  return agent.attestationAgent({ kek: contentOf(keyPath, options), keyId });
}

/** Parameters may contain colons. */
function splitProvider(value: string): { name: string; params?: string } {
  const [, name = "", params] = /^([^\s,:]+)(?::(.*))?$/s.exec(value) ?? [];
  if (name !== "") return { name, ...(params !== undefined && { params }) };
  throw new OcicryptError("RECIPIENT_INVALID", "provider: needs the name of a key provider");
}
