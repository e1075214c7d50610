import { isAbsolute } from "node:path";
import { fileURLToPath } from "node:url";
import { OcicryptError } from "../../errors.js";

/** The location of a key in a token; RFC 7512. */
export interface Pkcs11Uri {
  /** Properties of the token, by attribute of the URI. */
  token: ReadonlyMap<TokenAttribute, string>;
  slotId?: number;
  /** The key's label. */
  object?: string;
  /** The key's CKA_ID. */
  id?: Buffer;
  pinValue?: string;
  /** The path of the file that holds the PIN. */
  pinSource?: string;
  moduleName?: string;
  /** The module, or the directory in which to look it up. */
  modulePath?: string;
}

export type TokenAttribute = "token" | "manufacturer" | "serial" | "model";

type Attributes = ReadonlyMap<string, Buffer>;

const TOKEN_ATTRIBUTES: readonly TokenAttribute[] = ["token", "manufacturer", "serial", "model"];
const PATH_ATTRIBUTES: readonly string[] = [...TOKEN_ATTRIBUTES, "slot-id", "object", "id", "type"];
const QUERY_ATTRIBUTES: readonly string[] = [
  "pin-value",
  "pin-source",
  "module-name",
  "module-path",
];
const TYPES: readonly string[] = ["public", "private", "cert", "secret-key", "data"];
const MAX_SLOT_ID = 0xffffffff;

/**
 * Parses a PKCS#11 URI. Errors never quote it: a PIN may have been put anywhere by mistake.
 *
 * @throws {@link OcicryptError} `KEY_UNRECOGNIZED`; `KEY_UNSUPPORTED` for a `type` that is not a
 *   key pair
 */
export function parsePkcs11Uri(text: string): Pkcs11Uri {
  if (!text.startsWith("pkcs11:")) throw invalid('it does not start with "pkcs11:"');
  const [path = "", query] = splitOnce(text.slice("pkcs11:".length), "?");
  const pathAttributes = readAttributes(path, ";");
  requireKnown(pathAttributes);
  checkType(textOf(pathAttributes, "type"));
  return {
    ...readPath(pathAttributes),
    // RFC 7512 section 2.5: unknown attributes of the query are ignored.
    ...readQuery(readAttributes(query ?? "", "&")),
  };
}

function readPath(attributes: Attributes): Pkcs11Uri {
  const token = new Map<TokenAttribute, string>();
  for (const name of TOKEN_ATTRIBUTES) {
    const value = textOf(attributes, name);
    if (value !== undefined) token.set(name, value);
  }
  const slotId = readSlotId(textOf(attributes, "slot-id"));
  const object = textOf(attributes, "object");
  const id = attributes.get("id");
  return {
    token,
    ...(slotId !== undefined && { slotId }),
    ...(object !== undefined && { object }),
    ...(id !== undefined && { id }),
  };
}

function readQuery(attributes: Attributes): Partial<Pkcs11Uri> {
  const pinValue = textOf(attributes, "pin-value");
  const source = textOf(attributes, "pin-source");
  const moduleName = textOf(attributes, "module-name");
  const modulePath = textOf(attributes, "module-path");
  if (pinValue !== undefined && source !== undefined) {
    throw invalid("it has both pin-value and pin-source");
  }
  if (modulePath !== undefined && !isAbsolute(modulePath)) {
    throw invalid("its module-path is not absolute");
  }
  return {
    ...(pinValue !== undefined && { pinValue }),
    ...(source !== undefined && { pinSource: pinFile(source) }),
    ...(moduleName !== undefined && { moduleName }),
    ...(modulePath !== undefined && { modulePath }),
  };
}

function readAttributes(text: string, separator: string): Attributes {
  const attributes = new Map<string, Buffer>();
  if (text === "") return attributes;
  for (const part of text.split(separator)) {
    const [name = "", value] = splitOnce(part, "=");
    if (name === "" || value === undefined) throw invalid("an attribute is not NAME=VALUE");
    if (attributes.has(name)) throw invalid("it has an attribute twice");
    attributes.set(name, percentDecode(value));
  }
  return attributes;
}

/** RFC 7512 section 2.5: an unknown attribute of the path matches no token. */
function requireKnown(attributes: Attributes): void {
  const misplaced = QUERY_ATTRIBUTES.find((name) => attributes.has(name));
  if (misplaced !== undefined) throw invalid(`${misplaced} must come after a "?"`);
  if ([...attributes.keys()].every((name) => PATH_ATTRIBUTES.includes(name))) return;
  throw invalid(`its path has an attribute other than ${PATH_ATTRIBUTES.join(", ")}`);
}

/** One URI is used for wrapping and unwrapping, so `public` and `private` mean the key pair. */
function checkType(type: string | undefined): void {
  if (type === undefined || type === "public" || type === "private") return;
  if (!TYPES.includes(type)) throw invalid(`its type is not one of ${TYPES.join(", ")}`);
  throw new OcicryptError(
    "KEY_UNSUPPORTED",
    `the PKCS#11 URI is of type ${type}, not of a key pair`,
  );
}

function readSlotId(value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  const slotId = /^\d{1,10}$/.test(value) ? Number(value) : NaN;
  if (slotId <= MAX_SLOT_ID) return slotId;
  throw invalid(`its slot-id is not a number from 0 to ${String(MAX_SLOT_ID)}`);
}

/** Rejects the RFC's form that runs a command, `|…`, as Go does. */
function pinFile(source: string): string {
  if (isAbsolute(source)) return source;
  if (/^file:\/(?!\/)|^file:\/\/(?:localhost)?\//i.test(source)) {
    try {
      return fileURLToPath(source);
    } catch {
      // a path with an encoded slash, or a malformed escape
    }
  }
  throw invalid("its pin-source is neither an absolute path nor a file: URL of one");
}

function textOf(attributes: Attributes, name: string): string | undefined {
  const bytes = attributes.get(name);
  if (bytes === undefined) return undefined;
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw invalid(`its ${name} is not UTF-8`);
  }
}

/** Decodes to bytes, because an `id` need not be text. */
function percentDecode(value: string): Buffer {
  if (/%(?![0-9A-Fa-f]{2})/.test(value)) throw invalid('a "%" is not followed by two hex digits');
  const parts = value
    .split(/(%[0-9A-Fa-f]{2})/)
    .map((part) => (part.startsWith("%") ? Buffer.from(part.slice(1), "hex") : Buffer.from(part)));
  return Buffer.concat(parts);
}

function splitOnce(text: string, separator: string): string[] {
  const at = text.indexOf(separator);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + separator.length)];
}

function invalid(why: string): OcicryptError {
  return new OcicryptError("KEY_UNRECOGNIZED", `not the PKCS#11 URI of a key: ${why}`);
}
