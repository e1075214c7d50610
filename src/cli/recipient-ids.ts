import { existsSync } from "node:fs";
import type { Key } from "../keywrap/types.js";
import type { RecipientSelector } from "../layer/recipients.js";
import { readKeyFile } from "./key-file.js";
import { naming, splitProvider } from "./recipients.js";
import { isPem } from "./secret-text.js";
import { UsageError } from "./usage-error.js";

/**
 * Whom the `--recipient-id` and `-k` of a command line mean together, each on its own.
 *
 * @param keys of all `-k`; the keys of one file have its name as their label
 * @throws {UsageError} {@link OcicryptError} as `pkcs7.keyIds`, `KEY_UNREADABLE`
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

async function readRecipientId(text: string): Promise<RecipientSelector> {
  if (text.startsWith("provider:")) {
    const { name, params } = splitProvider(text);
    if (params === undefined) return { scheme: `provider.${name}` };
    const hint = `provider:${name} means all that the provider has wrapped`;
    throw new UsageError(`provider:${name}: parameters do not tell recipients apart`, hint);
  }
  const file = text.startsWith("pkcs7:") ? text.slice("pkcs7:".length) : "";
  if (file !== "" && existsSync(file)) {
    const keyIds = await naming(text, () => certificateIds(file));
    return { scheme: "pkcs7", keyIds };
  }
  const [, scheme, index] = /^([a-z0-9]+(?:\.[^\s,]+)?):(\d{1,9})$/.exec(text) ?? [];
  if (scheme !== undefined && scheme !== "kid") return { scheme, index: Number(index) };
  requireNoKeyFile(text);
  const keyId = text.startsWith("kid:") ? text.slice("kid:".length) : text;
  if (keyId !== "") return { keyIds: [keyId, ...pgpKeyId(keyId)] };
  throw new UsageError(
    "a recipient's id is empty",
    "ocicrypt recipients list shows those there are",
  );
}

async function certificateIds(file: string): Promise<string[]> {
  const { pkcs7 } = await import("../keywrap/pkcs7/index.js");
  return pkcs7.keyIds(readKeyFile(file, "the certificate of --recipient-id"));
}

/** What was a recipient of `-r` need not be the id of one. */
function requireNoKeyFile(text: string): void {
  if (isPem(text)) {
    const hint =
      "ocicrypt recipients list shows ids; -k FILE removes whom a private key belongs to";
    throw new UsageError("--recipient-id takes an id, not what is in a key's file", hint);
  }
  const file = /^(?:jwe|pgp|pkcs11):(.+)$/s.exec(text)?.[1];
  if (file === undefined || !existsSync(file)) return;
  const hint = "ocicrypt recipients list shows ids; -k removes whom a private key belongs to";
  throw new UsageError(`${text} is a file that names no recipient; pkcs7:FILE would`, hint);
}

/** A key id or version 4 fingerprint as people write them, in the form of `list`. */
function pgpKeyId(text: string): string[] {
  const [, keyId] =
    /^(?:0x)?(?:[0-9a-f]{24})?([0-9a-f]{16})$/i.exec(text.replaceAll(" ", "")) ?? [];
  return keyId === undefined ? [] : [`0x${keyId.toLowerCase()}`];
}
