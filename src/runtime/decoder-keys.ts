import { stat } from "node:fs/promises";
import { cannotRead, isOcicryptError, OcicryptError } from "../errors.js";
import { readKeyDirectory, readKeyFile } from "../keywrap/key-files/from-directory.js";
import { readKeyFiles, type KeyFile } from "../keywrap/key-files/from-files.js";
import type { Key } from "../keywrap/types.js";
import { encryptionSchemes, type DescriptorLike } from "../spec/descriptor.js";
import type { Parameters } from "./payload.js";

/** The places of the keys for a layer. */
export interface KeySources {
  /** Directories of key files, or single key files as Go's decoder also takes them. */
  paths: readonly string[];
  /** The keys that the client sent. */
  parameters?: Parameters | undefined;
  signal: AbortSignal;
}

/** Keys, and the reasons why others cannot be used. */
export interface DecoderKeys {
  keys: Key[];
  skipped: OcicryptError[];
}

/**
 * Reads the private keys of a node and of the client. A key that cannot be used is skipped, because a
 * node pulls the images of many people.
 */
export async function readKeys({ paths, parameters, signal }: KeySources): Promise<DecoderKeys> {
  const keys: Key[] = [];
  const skipped: OcicryptError[] = [];
  const onSkip = (error: OcicryptError): void => void skipped.push(error);
  keys.push(...(await readKeyFiles(filesIn(parameters ?? new Map()), { signal, onSkip })));
  for (const path of paths) {
    try {
      keys.push(...(await readPath(path, signal, onSkip)));
    } catch (error) {
      if (!isOcicryptError(error)) throw error;
      if (!skipped.includes(error)) skipped.push(error);
    }
  }
  return { keys, skipped };
}

async function readPath(
  path: string,
  signal: AbortSignal,
  onSkip: (error: OcicryptError) => void,
): Promise<Key[]> {
  if (await isDirectory(path)) return readKeyDirectory(path, signal, onSkip);
  const file = await readKeyFile(path);
  return readKeyFiles(file === undefined ? [] : [file], { signal, onSkip });
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (cause) {
    throw new OcicryptError("KEY_UNREADABLE", cannotRead(path, cause), { cause });
  }
}

/** ocicrypt config/constructors.go: the names of keys in a payload, and of their passwords. */
const LISTS = [
  { keys: "privkeys", passwords: "privkeys-passwords", what: "private key" },
  { keys: "gpg-privatekeys", passwords: "gpg-privatekeys-passwords", what: "OpenPGP key" },
  { keys: "x509s", passwords: "", what: "certificate" },
  { keys: "pkcs11-yamls", passwords: "", what: "PKCS#11 key file" },
];

function filesIn(parameters: Parameters): KeyFile[] {
  return LISTS.flatMap(({ keys, passwords, what }) =>
    (parameters.get(keys) ?? []).flatMap((content, i) => {
      const label = `${what} ${String(i)} of the client`;
      const given = parameters.get(passwords)?.[i];
      const password = given?.byteLength === 0 ? undefined : given;
      return content === undefined ? [] : [{ content, password, label }];
    }),
  );
}

/**
 * Returns the keys of the key providers that a layer names. Their parameters are those that the
 * client sent, or `Enabled`.
 *
 * @param others keys of key servers, which take the place of key providers of the same names
 */
export async function providerKeys(
  descriptor: DescriptorLike,
  parameters: Parameters = new Map(),
  others: readonly Key[] = [],
): Promise<DecoderKeys> {
  const prefix = "provider.";
  const schemes = encryptionSchemes(descriptor).filter(
    (scheme) => scheme.startsWith(prefix) && !others.some((key) => key.scheme === scheme),
  );
  const keys: Key[] = [];
  const skipped: OcicryptError[] = [];
  if (schemes.length === 0) return { keys, skipped };
  const provider = await import("../keywrap/provider/provider.js");
  for (const scheme of schemes) {
    const name = scheme.slice(prefix.length);
    const params = parameters.get(name)?.[0];
    try {
      keys.push(provider.key(name, params && { params: Buffer.from(params).toString() }));
    } catch (error) {
      // The name is part of the image, and may be anything.
      if (error instanceof TypeError) continue;
      if (!isOcicryptError(error)) throw error;
      skipped.push(error);
    }
  }
  return { keys, skipped };
}
