import { OcicryptError } from "../../errors.js";
import { derKind } from "../../keys/der.js";
import type { KeyInput } from "../../keys/material.js";
import { parseYaml } from "../../text/yaml.js";
import { parsePkcs11Uri, type Pkcs11Uri } from "./uri.js";

/** Go's `Pkcs11KeyFile` (crypto/pkcs11/common.go): the location of a key, in YAML. */
export interface KeyFile {
  uri: Pkcs11Uri;
  /** Environment variables for the module. */
  env: ReadonlyMap<string, string>;
}

/** The most uses of an anchor, with all that it contains; Go accepts them too. */
const MAX_ALIASES = 100;

/** Larger than any real key file. */
const MAX_SIZE = 64 * 1024;

/** Whether the input is a key file in YAML, valid or not, rather than a key. */
export function isKeyFile(input: KeyInput): input is string | Uint8Array {
  if (typeof input !== "string" && !(input instanceof Uint8Array)) return false;
  if (input.length > MAX_SIZE) return false;
  if (typeof input !== "string" && derKind(input) !== undefined) return false;
  const text = textOf(input);
  return text.includes("pkcs11") && !text.includes("-----BEGIN ") && !text.startsWith("{");
}

/**
 * Parses a key file. Errors never quote it, because it can contain a PIN.
 *
 * @throws {@link OcicryptError} `KEY_UNRECOGNIZED`, `KEY_UNSUPPORTED`
 */
export async function parseKeyFile(input: string | Uint8Array): Promise<KeyFile> {
  if (input.length > MAX_SIZE) throw invalid("too large");
  const file = await parseYamlMapping(textOf(input));
  if (file === undefined) throw invalid("not a YAML mapping");
  const section = file.get("pkcs11");
  if (!(section instanceof Map)) throw invalid('it has no mapping "pkcs11"');
  const uri: unknown = section.get("uri");
  if (typeof uri !== "string") throw invalid('it has no "uri" in "pkcs11"');
  return { uri: parsePkcs11Uri(uri), env: readEnv(file.get("module")) };
}

/**
 * Checks for attributes whose absence Go notices only when it uses the key.
 *
 * @throws {@link OcicryptError} `KEY_UNRECOGNIZED`
 */
export function requireKeyNamed({ uri }: KeyFile): void {
  if (uri.slotId === undefined && !uri.token.has("token")) {
    throw invalid('its URI has neither "token" nor "slot-id"');
  }
  if ((uri.object ?? "") === "" && (uri.id?.byteLength ?? 0) === 0) {
    throw invalid('its URI has neither "object" nor "id"');
  }
  if (uri.modulePath === undefined && uri.moduleName === undefined) {
    throw invalid('its URI has neither "module-path" nor "module-name"');
  }
}

function readEnv(module: unknown): ReadonlyMap<string, string> {
  const env = new Map<string, string>();
  const section: unknown = module instanceof Map ? module.get("env") : undefined;
  if (!(section instanceof Map)) {
    if (isEmpty(section) && (module instanceof Map || isEmpty(module))) return env;
    throw invalid('"module" has no mapping "env"');
  }
  for (const [name, value] of section as ReadonlyMap<unknown, unknown>) {
    if (typeof name !== "string" || !/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) {
      throw invalid('a name in "env" is not a valid name of an environment variable');
    }
    if (typeof value !== "string" || value.includes("\0")) {
      throw invalid(`the environment variable ${name} is not a string`);
    }
    env.set(name, value);
  }
  return env;
}

/** Whether a member is absent or has no value. */
function isEmpty(value: unknown): boolean {
  return value === undefined || value === "";
}

function textOf(input: string | Uint8Array): string {
  const text = typeof input === "string" ? input : Buffer.from(input).toString("utf8");
  return text.replace(/^\uFEFF/, "").trim();
}

function invalid(why: string): OcicryptError {
  return new OcicryptError("KEY_UNRECOGNIZED", `not a PKCS#11 key file: ${why}`);
}

/**
 * Parses a YAML mapping, with each scalar as its source text, as Go reads it into strings; returns
 * `undefined` for anything else. The parser's messages quote the text, which can contain a PIN, and
 * are dropped.
 */
export async function parseYamlMapping(
  text: string,
): Promise<ReadonlyMap<unknown, unknown> | undefined> {
  let value: unknown;
  try {
    value = await parseYaml(text, {
      schema: "failsafe",
      mapAsMap: true, // no name in it can reach a prototype
      maxAliasCount: MAX_ALIASES,
    });
  } catch {
    return undefined;
  }
  return value instanceof Map ? value : undefined;
}
