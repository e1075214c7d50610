import type { RecipientInfo } from "../../keywrap/types.js";
import { asObject } from "../../text/json.js";
import { damaged, type Envelope, readEnvelope, textIn } from "../envelope.js";

export const SYSTEM = "aws-kms";

/** https://docs.aws.amazon.com/kms/latest/developerguide/concepts.html#key-id-key-ARN */
const ARN =
  /^arn:(aws[a-z-]{0,30}):kms:([a-z0-9-]{1,40}):(\d{12}):(key\/[A-Za-z0-9-]{1,128}|alias\/[\w/-]{1,250})$/;
/** A key's id, or the name of its alias. */
const NAME = /^(?:[A-Za-z0-9-]{1,128}|alias\/[\w/-]{1,250})$/;

/** The most pairs of an encryption context, and the most characters of a name or value. */
const MAX_PAIRS = 16;
const MAX_TEXT = 512;

export type EncryptionContext = Readonly<Record<string, string>>;

export interface AwsWrapped {
  /** The ARN of the key. */
  key: string;
  region: string;
  ciphertext: Buffer;
  context: EncryptionContext;
}

/** Returns the region of a key's or an alias' ARN; `undefined` for other texts. */
export function regionOf(text: string): string | undefined {
  return ARN.exec(text)?.[2];
}

export function isKeyArn(text: string): boolean {
  return ARN.exec(text)?.[4]?.startsWith("key/") === true;
}

export function isKeyName(text: string): boolean {
  return NAME.test(text) || ARN.test(text);
}

export function isContext(value: unknown): value is EncryptionContext {
  const pairs = Object.entries(asObject(value) ?? { "": "" });
  const isText = (text: unknown): boolean =>
    typeof text === "string" && text !== "" && text.length <= MAX_TEXT;
  return pairs.length <= MAX_PAIRS && pairs.flat().every(isText);
}

/** @throws {@link OcicryptError} `WRAPPED_KEY_INVALID` */
export function wrappedIn(envelope: Envelope): AwsWrapped {
  const key = textIn(envelope, "key", ARN);
  const region = regionOf(key);
  const context = Object.hasOwn(envelope, "context") ? envelope.context : {};
  if (region === undefined || !isKeyArn(key)) throw damaged(SYSTEM, "its key is not valid");
  if (!isContext(context)) throw damaged(SYSTEM, "its context is not valid");
  // Base64 of at most 6144 bytes, the limit of KMS.
  const ciphertext = textIn(envelope, "ciphertext", /^[A-Za-z0-9+/]{4,8192}={0,2}$/);
  return { key, region, context, ciphertext: Buffer.from(ciphertext, "base64") };
}

/**
 * Describes a wrapped key. Empty if it was not written by this library.
 *
 * @throws {@link OcicryptError} `WRAPPED_KEY_INVALID`
 */
export function describe(wrapped: Uint8Array): RecipientInfo[] {
  const envelope = readEnvelope(SYSTEM, wrapped);
  return envelope === undefined ? [] : [{ algorithm: SYSTEM, keyId: wrappedIn(envelope).key }];
}
