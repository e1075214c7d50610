import { existsSync } from "node:fs";
import { OcicryptError } from "../errors.js";
import type { KeyFileForm } from "../keywrap/key-files/index.js";
import type { Key, Recipient } from "../keywrap/types.js";
import { isKeyServerRecipient } from "../keyserver/index.js";
import type { RecipientSelector } from "../layer/recipients.js";
import { UsageError } from "./errors.js";
import { keyServerSettings, readKeyFile } from "./passwords.js";
import { isContent, isPem, looksEncoded, mayBeKey, withoutSecrets } from "./text.js";

export interface RecipientOptions {
  /** The key id of JWE recipients; by default the key's own or its thumbprint. */
  kid?: string | undefined;
  /** Reject expired certificates. */
  strict: boolean;
  /** Files to look up `pgp:` recipients in; without any, gpg's key ring is used. */
  keyRings: readonly string[];
  /** The file of `--key-servers`. */
  keyServers?: string | undefined;
  onWarning: (message: string) => void;
}

const FORMS =
  "jwe:FILE, pkcs7:FILE, pgp:NAME, pkcs11:FILE, age:KEY, tang:URL?thp=THUMBPRINT, sss:FILE, barbican:[URL], barbican:SECRET, vault:KEYNAME, key-protect:KEY, aws-kms:KEY or provider:NAME[:PARAMETERS]";

/**
 * Reads the recipients that one `-r` names; a JWK Set has several.
 *
 * @throws {UsageError}
 * @throws {@link OcicryptError} as the schemes' functions, `KEY_UNREADABLE`
 */
export async function readRecipients(
  text: string,
  options: RecipientOptions,
): Promise<Recipient[]> {
  const { recipientsFromText, RECIPIENT_SCHEMES } =
    await import("../keywrap/key-files/from-text.js");
  const { kid, strict, onWarning } = options;
  const readFile = (file: string): Uint8Array => readKeyFile(file, "the recipient of -r");
  if (isKeyServerRecipient(text)) {
    const keyServers = await keyServerSettings(options.keyServers);
    return naming(nameOf(text), () =>
      recipientsFromText(text, { keyServers, readFile, onWarning }),
    );
  }
  requireRecipient(text, RECIPIENT_SCHEMES);
  const keyRings = text.startsWith("pgp:") ? options.keyRings.map(readKeyRing) : [];
  return naming(nameOf(text), () =>
    recipientsFromText(text, { kid, strict, keyRings, readFile, onWarning }),
  );
}

/** @throws {UsageError} */
function requireRecipient(text: string, schemes: readonly string[]): void {
  const colon = text.indexOf(":");
  const scheme = schemes.find((each) => each === text.slice(0, Math.max(colon, 0)));
  if (scheme !== "provider" && isKey(text, scheme)) {
    const hint = "write the key to a file and name the file, such as -r jwe:public.pem";
    throw new UsageError("-r takes the name of a key file, not its content", hint);
  }
  if (scheme === undefined || text.slice(colon + 1) === "") {
    if (existsSync(text)) {
      throw new UsageError(`the recipient ${text} has no scheme`, `write jwe:${text}`);
    }
    const what = text === "" ? "an empty argument" : withoutSecrets(text);
    throw new UsageError(`${what} is not a recipient`, `write a recipient as ${FORMS}`);
  }
  if (scheme === "provider") splitProvider(text);
}

function readKeyRing(file: string): Uint8Array {
  return readKeyFile(file, "the key ring of --pgp-key-ring");
}

/** Whether the argument may be a key itself; a missing file is reported when it is read. */
function isKey(text: string, scheme: string | undefined): boolean {
  if (isContent(text)) return true;
  if (scheme !== undefined && scheme !== "pgp") return false;
  const isFingerprint = /^pgp:[0-9a-f]{64}$/i.test(text);
  return looksEncoded(text) && !isFingerprint && !existsSync(text);
}

/** Names the recipient in an error, because there may be several. */
export async function naming<T>(text: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (!(error instanceof OcicryptError) || error.code === "KEY_UNREADABLE") throw error;
    throw new OcicryptError(error.code, `${text}: ${error.message}`, { cause: error });
  }
}

/**
 * A recipient for messages; the parameters of a provider may hold a token of its key service, a URL
 * a password, and age keys are long or secret.
 */
function nameOf(text: string): string {
  if (/^age:(?:age1|AGE-)/i.test(text)) return "age:…";
  if (/^tang:.*@/s.test(text)) return "tang:…";
  return /^provider:[^:]*/.exec(text)?.[0] ?? text;
}

/**
 * The parts of `provider:NAME[:PARAMETERS]`; parameters may contain colons.
 *
 * @throws {UsageError}
 */
export function splitProvider(text: string): { name: string; params?: string } {
  const [, name = "", params] = /^provider:([^:]*)(?::(.*))?$/s.exec(text) ?? [];
  if (!/^[^\s,]+$/.test(name) || mayBeKey(name)) {
    throw new UsageError("provider: needs the name of a key provider", "write provider:NAME");
  }
  return { name, ...(params !== undefined && { params }) };
}

/**
 * The recipients that the `--recipient-id` and `-k` of a command line select, one selector each.
 *
 * @param keys the keys of all `-k`; the keys of one file share its name as their label
 * @throws {UsageError}
 * @throws {@link OcicryptError} as `recipientKeyIds`, `KEY_UNREADABLE`
 */
export async function readRecipientIds(
  texts: readonly string[],
  keys: readonly Key[],
): Promise<RecipientSelector[]> {
  const selectors: RecipientSelector[] = [];
  for (const text of texts) selectors.push(await readRecipientId(text));
  const byLabel = new Map<string | undefined, Key[]>();
  for (const key of keys) byLabel.set(key.label, [...(byLabel.get(key.label) ?? []), key]);
  for (const keysOfFile of byLabel.values()) selectors.push({ keys: keysOfFile });
  return selectors;
}

/** The position of a recipient in the list of its scheme. */
const POSITION = /^([a-z0-9]+(?:\.[^\s,]+)?):(\d{1,9})$/;

/**
 * Rejects positions for many images: they name another recipient in each, and again once one is removed.
 *
 * @throws {UsageError}
 */
export function requireNames(texts: readonly string[]): void {
  const position = texts.find((text) => POSITION.test(text) && !text.startsWith("kid:"));
  if (position === undefined) return;
  const hint =
    "name the recipient by its kid or key id, by its public key file (-r) or its key (-k)";
  throw new UsageError(`${position} is another recipient in each image`, hint);
}

async function readRecipientId(text: string): Promise<RecipientSelector> {
  if (text.startsWith("provider:")) {
    const { name, params } = splitProvider(text);
    if (params === undefined) return { scheme: `provider.${name}` };
    const hint = `provider:${name} selects every recipient of the provider`;
    throw new UsageError(
      `provider:${name} takes no parameters here: they do not identify a recipient`,
      hint,
    );
  }
  const [, fileScheme, file = ""] = PUBLIC_FILE.exec(text) ?? [];
  if (fileScheme !== undefined && existsSync(file)) {
    return {
      scheme: fileScheme,
      keyIds: await naming(text, () => publicFileIds(fileScheme, file)),
    };
  }
  const [, scheme, index] = POSITION.exec(text) ?? [];
  if (scheme !== undefined && scheme !== "kid") return { scheme, index: Number(index) };
  requireNoKeyFile(text);
  const keyId = text.startsWith("kid:") ? text.slice("kid:".length) : text;
  if (keyId !== "") return { keyIds: [keyId, ...pgpKeyId(keyId)] };
  throw new UsageError(
    "the recipient's id is empty",
    "run ocicrypt recipients list to see the ids",
  );
}

/** Recipients of these schemes can name their key. */
const PUBLIC_FILE = /^(jwe|pkcs7|pgp):(.+)$/s;

/** The forms of the public key files that identify a recipient of a scheme. */
const NEEDED_FORMS: ReadonlyMap<string, readonly KeyFileForm[]> = new Map([
  ["jwe", ["public key", "certificate"]],
  ["pkcs7", ["certificate"]],
  ["pgp", ["OpenPGP key"]],
]);

/**
 * Selects the recipients that the `-r` of `recipients remove` name by their public key files.
 *
 * @throws {UsageError}
 * @throws {@link OcicryptError} as `recipientKeyIds`, `KEY_UNREADABLE`
 */
export async function readRecipientFiles(texts: readonly string[]): Promise<RecipientSelector[]> {
  const selectors: RecipientSelector[] = [];
  for (const text of texts) {
    const { scheme, file } = splitPublicFile(text);
    selectors.push({ scheme, keyIds: await naming(text, () => publicFileIds(scheme, file)) });
  }
  return selectors;
}

/**
 * Returns the file of each key id that the public key files of `-r` can have.
 *
 * @throws as {@link readRecipientFiles}
 */
export async function recipientNames(
  texts: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  const names = new Map<string, string>();
  for (const text of texts) {
    const { scheme, file } = splitPublicFile(text);
    for (const id of await naming(text, () => publicFileIds(scheme, file))) names.set(id, file);
  }
  return names;
}

function splitPublicFile(text: string): { scheme: string; file: string } {
  const [, scheme, file] = PUBLIC_FILE.exec(text) ?? [];
  if (scheme !== undefined && file !== undefined && !mayBeKey(text)) return { scheme, file };
  const hint = "write jwe:FILE, pkcs7:CERTIFICATE or pgp:FILE with the public key";
  throw new UsageError(`${withoutSecrets(text)} is not a public key file`, hint);
}

/** Rejects a file whose ids no recipient of the scheme can have. */
async function publicFileIds(scheme: string, file: string): Promise<string[]> {
  const { recipientKeyIds, recognizeKeyFile } = await import("../keywrap/key-files/index.js");
  const content = readKeyFile(file, "the public key of a recipient");
  const keyIds = await recipientKeyIds(content);
  const form = recognizeKeyFile(content);
  const needed = NEEDED_FORMS.get(scheme) ?? [];
  if (needed.includes(form)) return keyIds;
  const message = `this is ${withArticle(form)}; ${scheme}: needs ${needed.map(withArticle).join(" or ")}`;
  throw new OcicryptError("KEY_UNSUPPORTED", message);
}

function withArticle(form: KeyFileForm): string {
  return form === "OpenPGP key" ? `an ${form}` : `a ${form}`;
}

const BY_ID =
  "run ocicrypt recipients list to see the ids, or remove the recipient of a private key with -k";

/** Rejects a recipient as `-r` takes it: most do not identify a wrapped key. */
function requireNoKeyFile(text: string): void {
  if (isPem(text)) {
    throw new UsageError("--recipient-id takes an id, not the content of a key file", BY_ID);
  }
  const file = /^pkcs11:(.+)$/s.exec(text)?.[1];
  if (file === undefined || !existsSync(file)) return;
  throw new UsageError(`${text} is a key file, which does not identify a recipient`, BY_ID);
}

/** A key id or version 4 fingerprint as people write it, in the form of `recipients list`. */
function pgpKeyId(text: string): string[] {
  const [, keyId] =
    /^(?:0x)?(?:[0-9a-f]{24})?([0-9a-f]{16})$/i.exec(text.replaceAll(" ", "")) ?? [];
  return keyId === undefined ? [] : [`0x${keyId.toLowerCase()}`];
}
