import { existsSync } from "node:fs";
import { OcicryptError } from "../errors.js";
import type { Recipient } from "../keywrap/types.js";
import { readKeyFile } from "./key-file.js";
import { isContent, looksEncoded, mayBeKey, withoutSecrets } from "./secret-text.js";
import { UsageError } from "./usage-error.js";

export interface RecipientOptions {
  /** Refuse expired certificates. */
  strict: boolean;
  /** Files with OpenPGP keys to find `pgp:` recipients in; without any, gpg is asked. */
  keyRings: readonly string[];
  onWarning: (message: string) => void;
}

type Read = (value: string, options: RecipientOptions) => Promise<Recipient[]>;

const SCHEMES: ReadonlyMap<string, Read> = new Map([
  ["jwe", readJwe],
  ["pkcs7", readPkcs7],
  ["pgp", readPgp],
  ["pkcs11", readPkcs11],
  ["provider", readProvider],
]);

const FILE = "the recipient of -r";

const FORMS = "jwe:FILE, pkcs7:FILE, pgp:NAME, pkcs11:FILE or provider:NAME[:PARAMETERS]";

/**
 * The recipients that one `-r` names.
 *
 * @throws {UsageError} {@link OcicryptError} as the schemes' functions, `KEY_UNREADABLE`
 */
export async function readRecipients(
  text: string,
  options: RecipientOptions,
): Promise<Recipient[]> {
  const colon = text.indexOf(":");
  const value = text.slice(colon + 1);
  const read = SCHEMES.get(text.slice(0, Math.max(colon, 0)));
  if (read !== readProvider && isKey(text, read)) {
    const hint = "write the key to a file and name that, such as -r jwe:public.pem";
    throw new UsageError("-r takes the name of a key's file, not what is in it", hint);
  }
  if (read === undefined || value === "") {
    if (existsSync(text)) {
      throw new UsageError(`${text} does not say what kind of key it is`, `write jwe:${text}`);
    }
    const what = text === "" ? "an empty text" : withoutSecrets(text);
    throw new UsageError(`${what} is not a recipient`, `recipients are written as ${FORMS}`);
  }
  return naming(nameOf(text), () => read(value, options));
}

/** Of a key's file that is not there, those who read it say so. */
function isKey(text: string, read: Read | undefined): boolean {
  if (isContent(text)) return true;
  if (read !== undefined && read !== readPgp) return false;
  const isFingerprint = /^pgp:[0-9a-f]{64}$/i.test(text);
  return looksEncoded(text) && !isFingerprint && !existsSync(text);
}

/** Of several recipients, which one an error is about. */
export async function naming<T>(text: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (!(error instanceof OcicryptError) || error.code === "KEY_UNREADABLE") throw error;
    throw new OcicryptError(error.code, `${text}: ${error.message}`, { cause: error });
  }
}

/** How messages call a recipient: a provider's parameters may hold a token of its key service. */
function nameOf(text: string): string {
  return /^provider:[^:]*/.exec(text)?.[0] ?? text;
}

/** The parts of `provider:NAME[:PARAMETERS]`; parameters may hold colons. */
export function splitProvider(text: string): { name: string; params?: string } {
  const [, name = "", params] = /^provider:([^:]*)(?::(.*))?$/s.exec(text) ?? [];
  if (!/^[^\s,]+$/.test(name) || mayBeKey(name)) {
    throw new UsageError(
      "behind provider: stands no name of a key provider",
      "write provider:NAME",
    );
  }
  return { name, ...(params !== undefined && { params }) };
}

async function readJwe(file: string): Promise<Recipient[]> {
  const { jwe } = await import("../keywrap/jwe/index.js");
  return jwe.recipients(readKeyFile(file, FILE));
}

async function readPkcs7(file: string, options: RecipientOptions): Promise<Recipient[]> {
  const { pkcs7 } = await import("../keywrap/pkcs7/index.js");
  return pkcs7.recipients(readKeyFile(file, FILE), options);
}

async function readPgp(name: string, { keyRings }: RecipientOptions): Promise<Recipient[]> {
  const { pgp } = await import("../keywrap/pgp/index.js");
  if (keyRings.length === 0) return [pgp.recipient(name)];
  let missing: unknown;
  for (const file of keyRings) {
    try {
      const keyRing = readKeyFile(file, "the key ring of --pgp-key-ring");
      return [pgp.recipient(name, { keyRing })];
    } catch (error) {
      if (!(error instanceof OcicryptError) || error.code !== "RECIPIENT_NOT_FOUND") throw error;
      missing = error;
    }
  }
  throw missing;
}

async function readPkcs11(file: string): Promise<Recipient[]> {
  const { pkcs11 } = await import("../keywrap/pkcs11/index.js");
  return [await pkcs11.recipient(readKeyFile(file, FILE))];
}

async function readProvider(value: string): Promise<Recipient[]> {
  const { provider } = await import("../keywrap/provider/index.js");
  const { name, params } = splitProvider(`provider:${value}`);
  return [provider.recipient(name, { params })];
}
