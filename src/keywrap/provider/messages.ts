import { OcicryptError } from "../../errors.js";
import { decodeBase64, encodeBase64 } from "../../spec/base64.js";
import {
  ANY,
  asObject,
  type JsonObject,
  MAP,
  parseJson,
  type Shape,
  struct,
} from "../../text/json.js";
import { printable } from "../../text/printable.js";
import type { RecipientInfo } from "../types.js";

/** The largest request or answer in bytes; the default of Go's gRPC. */
export const MAX_MESSAGE_SIZE: number = 4 * 1024 * 1024;

/** The default timeout of a provider, in milliseconds. */
export const DEFAULT_TIMEOUT = 30_000;

/** The most characters of a provider's words that an error quotes. */
export const MAX_WORDS = 1000;

/** A request to wrap or unwrap a key. */
export interface KeyProviderRequest {
  /**
   * To wrap: the private options of a layer, about 200 bytes of JSON, overwritten after the call.
   * To unwrap: a wrapped key from the image, which may not come from `wrapKey`: treat it as hostile.
   */
  readonly bytes: Uint8Array;
  /** The text after the provider's name in `provider:NAME:TEXT`; `Enabled` if there is no text. */
  readonly params: readonly string[];
  /** Aborted when the answer is no longer needed. */
  readonly signal: AbortSignal;
}

/**
 * Wraps and unwraps keys outside this process, for example in a key server, a TPM or another
 * program. Pass it to `provider.recipient()` and `provider.key()`, or serve it to other tools with
 * `serveKeyProvider()`.
 */
export interface KeyProvider {
  /** Returns the wrapped key, which the image's manifest makes public. Must not be empty. */
  wrapKey(request: KeyProviderRequest): Promise<Uint8Array>;
  /**
   * Returns the bytes that `wrapKey` received, in a buffer that the caller may overwrite, or `null`
   * if another provider or another key wrapped them.
   *
   * @throws if the wrapped key is damaged or an external failure occurs; the user sees the message
   */
  unwrapKey(request: KeyProviderRequest): Promise<Uint8Array | null>;
}

/** The encoding of bytes in an answer. Go reads both, Rust reads only arrays of numbers. */
export type AnswerEncoding = "base64" | "numbers";

/** The two operations of the protocol, by their names in `op`. */
export type Operation = "keywrap" | "keyunwrap";

/** A request, without parameters that belong to other providers. */
export interface Request {
  operation: Operation;
  bytes: Uint8Array;
  params: string[];
}

/** Parameters of Go's own schemes, kept in the same table (ocicrypt config/constructors.go). */
const OTHER_PARAMETERS: ReadonlySet<string> = /* @__PURE__ */ new Set([
  "pubkeys",
  "privkeys",
  "privkeys-passwords",
  "x509s",
  "gpg-recipients",
  "gpg-pubkeyringfile",
  "gpg-privatekeys",
  "gpg-privatekeys-passwords",
  "pkcs11-pubkeys",
  "pkcs11-yamls",
  "pkcs11-config",
]);

/**
 * Encodes a request as Go does: both halves, in this order (ocicrypt keywrap/keyprovider). Go
 * sends every key and password of its caller along; here a provider gets only its own parameters.
 */
export function encodeRequest(
  operation: Operation,
  name: string,
  params: readonly string[],
  bytes: Uint8Array,
): Uint8Array {
  const parameters = {
    [name]: params.map((param) => encodeBase64(Buffer.from(param, "utf8"))),
  };
  const request =
    operation === "keywrap"
      ? {
          op: operation,
          keywrapparams: {
            // coco_keyprovider refuses a request without the inner table.
            ec: { Parameters: parameters, DecryptConfig: { Parameters: {} } },
            optsdata: encodeBase64(bytes),
          },
          keyunwrapparams: { dc: null, annotation: null },
        }
      : {
          op: operation,
          keywrapparams: { ec: null, optsdata: null },
          keyunwrapparams: { dc: { Parameters: parameters }, annotation: encodeBase64(bytes) },
        };
  return Buffer.from(JSON.stringify(request), "utf8");
}

/**
 * Parses a request of any client.
 *
 * @param name the provider whose parameters are read; without it, all parameters are read that do
 *   not belong to one of Go's own schemes
 *
 * @throws {@link OcicryptError} `PROVIDER_INVALID_REQUEST`
 */
export function parseRequest(message: Uint8Array, name: string | undefined): Request {
  const request = parseObject(message, REQUEST);
  if (request === undefined) throw invalidRequest("not a JSON object");
  const { op } = request;
  if (op !== "keywrap" && op !== "keyunwrap") throw invalidRequest('"op" is unknown');
  const half = asObject(request[op === "keywrap" ? "keywrapparams" : "keyunwrapparams"]);
  if (half === undefined) throw invalidRequest("the operation's parameters are missing");
  const bytes = readBytes(op === "keywrap" ? half.optsdata : half.annotation);
  if (bytes === undefined || bytes.byteLength === 0) throw invalidRequest("it contains no bytes");
  const config = half[op === "keywrap" ? "ec" : "dc"];
  return { operation: op, bytes, params: readParameters(config, name) };
}

function readParameters(config: unknown, name: string | undefined): string[] {
  if (config === undefined || config === null) return [];
  const table: unknown = asObject(config)?.Parameters ?? {};
  const parameters = asObject(table);
  if (parameters === undefined) throw invalidRequest('"Parameters" is not an object');
  return ownNames(parameters, name).flatMap((own) => readTexts(parameters[own]));
}

function ownNames(parameters: JsonObject, name: string | undefined): string[] {
  if (name !== undefined) return Object.hasOwn(parameters, name) ? [name] : [];
  return Object.keys(parameters).filter((other) => !OTHER_PARAMETERS.has(other));
}

/** Go encodes unset lists and bytes as `null`. */
function readTexts(list: unknown): string[] {
  if (list === null) return [];
  if (!Array.isArray(list)) throw invalidRequest("a list of parameters is not an array");
  return list.map((value) => {
    const bytes = value === null ? new Uint8Array() : readBytes(value);
    if (bytes === undefined) throw invalidRequest("a parameter is not base64");
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch {
      throw invalidRequest("a parameter is not text");
    }
  });
}

function invalidRequest(why: string): OcicryptError {
  return new OcicryptError("PROVIDER_INVALID_REQUEST", `not a key provider request: ${why}`);
}

/** Encodes an answer: only the half that belongs to the operation. */
export function encodeAnswer(
  operation: Operation,
  bytes: Uint8Array,
  encoding: AnswerEncoding,
): Uint8Array {
  const value = writeBytes(bytes, encoding);
  const answer =
    operation === "keywrap"
      ? { keywrapresults: { annotation: value } }
      : { keyunwrapresults: { optsdata: value } };
  return Buffer.from(JSON.stringify(answer), "utf8");
}

/**
 * Returns the bytes in the half of an answer that belongs to the operation.
 *
 * @param who the provider's name in messages
 * @throws {@link OcicryptError} `PROVIDER_INVALID_RESPONSE`
 */
export function parseAnswer(operation: Operation, message: Uint8Array, who: string): Uint8Array {
  if (message.byteLength === 0) throw invalidAnswer(who, "it is empty");
  const answer = parseObject(message, ANSWER);
  if (answer === undefined) throw invalidAnswer(who, "not a JSON object");
  const [half, member] =
    operation === "keywrap" ? ["keywrapresults", "annotation"] : ["keyunwrapresults", "optsdata"];
  const value = asObject(answer[half])?.[member];
  if (value === undefined || value === null)
    throw invalidAnswer(who, `it has no ${half}.${member}`);
  const bytes = readBytes(value);
  if (bytes === undefined)
    throw invalidAnswer(who, `${half}.${member} is neither base64 nor bytes`);
  if (bytes.byteLength === 0) throw invalidAnswer(who, `${half}.${member} is empty`);
  return bytes;
}

export function invalidAnswer(who: string, why: string): OcicryptError {
  return new OcicryptError("PROVIDER_INVALID_RESPONSE", `the answer of ${who} is invalid: ${why}`);
}

const PARAMETERS = /* @__PURE__ */ struct({ Parameters: MAP });

/** `KeyProviderKeyWrapProtocolInput` of ocicrypt keywrap/keyprovider/keyprovider.go. */
const REQUEST = /* @__PURE__ */ struct({
  op: ANY,
  keywrapparams: struct({
    ec: struct({ Parameters: MAP, DecryptConfig: PARAMETERS }),
    optsdata: ANY,
  }),
  keyunwrapparams: struct({ dc: PARAMETERS, annotation: ANY }),
});

/** `KeyProviderKeyWrapProtocolOutput` of the same file. */
const ANSWER = /* @__PURE__ */ struct({
  keywrapresults: struct({ annotation: ANY }),
  keyunwrapresults: struct({ optsdata: ANY }),
});

/** The JSON object of a message; `undefined` for anything else. */
export function parseObject(bytes: Uint8Array, shape: Shape): JsonObject | undefined {
  const refuse = (why: string): Error => new SyntaxError(why);
  try {
    return asObject(parseJson(bytes, { shape, maxSize: MAX_MESSAGE_SIZE, refuse }));
  } catch {
    // The reason can quote a name of the message, which may hold a secret.
    return undefined;
  }
}

/**
 * Decodes bytes in JSON: Go writes base64 and reads base64 or an array of numbers, Rust's serde
 * writes and reads arrays. Returns `undefined` for anything else.
 */
function readBytes(value: unknown): Uint8Array | undefined {
  if (typeof value === "string") return decodeBase64(value) ?? undefined;
  if (!Array.isArray(value)) return undefined;
  return value.every(isByte) ? Uint8Array.from(value) : undefined;
}

function writeBytes(bytes: Uint8Array, encoding: AnswerEncoding): string | number[] {
  return encoding === "numbers" ? Array.from(bytes) : encodeBase64(bytes);
}

function isByte(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= 255;
}

const MAX_LENGTH = 200;

/**
 * Describes a wrapped key. Its format is up to the provider; those of Confidential Containers
 * (`kid`, `wrap_type`) and of ocicrypt's documentation (`key_url`) write JSON that names the key.
 */
export function describe(wrapped: Uint8Array): RecipientInfo[] {
  const packet = parseObject(wrapped, ANY);
  const keyId = readText(packet?.kid) ?? readText(packet?.key_url);
  if (keyId === undefined) return [{ algorithm: "provider" }];
  return [{ algorithm: readText(packet?.wrap_type) ?? "provider", keyId }];
}

/** A text of a wrapped key, fit for a terminal; `undefined` for anything else. */
export function readText(value: unknown): string | undefined {
  const text = typeof value === "string" ? printable(value, MAX_LENGTH) : "";
  return text === "" ? undefined : text;
}
