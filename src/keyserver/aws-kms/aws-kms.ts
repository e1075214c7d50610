import type { Key, Recipient } from "../../keywrap/types.js";
import { encodeBase64 } from "../../spec/base64.js";
import { envelopeKey, envelopeRecipient } from "../envelope.js";
import { invalidSettings } from "../settings.js";
import { type AwsKmsOptions, openService } from "./service.js";
import {
  type EncryptionContext,
  isContext,
  isKeyName,
  regionOf,
  SYSTEM,
  wrappedIn,
} from "./wrapped.js";

export interface AwsKmsRecipientOptions extends AwsKmsOptions {
  /**
   * The encryption context: up to 16 pairs. Anyone who can read the wrapped key can read them,
   * CloudTrail logs them, and KMS does not decrypt without them. Default: none.
   */
  encryptionContext?: EncryptionContext | undefined;
}

/**
 * Creates a recipient for a symmetric key of AWS KMS. Nothing is sent, and the AWS SDK is not loaded,
 * before {@link Recipient.wrap}.
 *
 * Wrapping fails with `PACKAGE_MISSING`, `KEY_SERVER_UNREACHABLE`, `KEY_SERVER_UNAUTHORIZED`,
 * `KEY_SERVER_KEY_NOT_FOUND`, `KEY_SERVER_KEY_DISABLED`, `KEY_SERVER_ANSWER_INVALID`,
 * `KEY_SERVER_CONFIG_INVALID` or `KEY_UNSUPPORTED`.
 *
 * @param name the key's ARN, its id, or `alias/NAME`
 * @throws {@link OcicryptError} `KEY_SERVER_CONFIG_INVALID`
 */
export function recipient(
  name: string,
  { encryptionContext: context = {}, ...options }: AwsKmsRecipientOptions = {},
): Recipient {
  if (!isKeyName(name)) throw invalidSettings("the key of AWS KMS is not an ARN, an id or an alias"); // prettier-ignore
  if (!isContext(context))
    throw invalidSettings("the encryption context is not an object of strings");
  const service = openService({ ...options, region: options.region ?? regionOf(name) });
  return envelopeRecipient({
    system: SYSTEM,
    thumbprint: JSON.stringify([options.region, name, context]),
    async wrapDataKey(dataKey, signal) {
      const { key: arn, ciphertext } = await service.encrypt(name, dataKey, context, signal);
      const bound = Object.keys(context).length > 0 ? { context } : {};
      return { key: arn, ciphertext: encodeBase64(ciphertext), ...bound };
    },
  });
}

export interface AwsKmsKeyOptions extends AwsKmsOptions {
  /** The key's name in reports. Default: `aws-kms`. */
  label?: string | undefined;
  /** The ARNs of the keys that may be used. Default: all keys that the credentials may use. */
  keys?: readonly string[] | undefined;
  /** Requires exactly this encryption context. Default: what the wrapped key names. */
  encryptionContext?: EncryptionContext | undefined;
}

/**
 * Creates a key that opens layers with AWS KMS in one region. Wrapped keys of other regions are not
 * sent.
 *
 * Unwrapping fails with the codes of {@link recipient}, and with `WRAPPED_KEY_INVALID`.
 *
 * @throws {@link OcicryptError} `KEY_SERVER_CONFIG_INVALID`
 */
export function key({
  label = SYSTEM,
  keys,
  encryptionContext,
  ...options
}: AwsKmsKeyOptions = {}): Key {
  const regions = [...new Set((keys ?? []).map(regionOf))];
  if (regions.includes(undefined)) throw invalidSettings("a key of AWS KMS is not an ARN");
  const region = options.region ?? regions[0];
  if (regions.some((each) => each !== region)) throw invalidSettings("the keys of AWS KMS are in several regions"); // prettier-ignore
  const service = openService({ ...options, region });
  return envelopeKey({
    system: SYSTEM,
    label,
    mismatch(envelope) {
      const wrapped = wrappedIn(envelope);
      if (region !== undefined && wrapped.region !== region) {
        return `it is for the region ${wrapped.region} of AWS KMS, not ${region}`;
      }
      if (keys?.includes(wrapped.key) === false) return `it is for the key ${wrapped.key}`;
      if (encryptionContext === undefined || isSame(encryptionContext, wrapped.context)) return undefined; // prettier-ignore
      return "its encryption context is not the required one";
    },
    async unwrapDataKey(envelope, signal) {
      const { key: arn, ciphertext, context, region: own } = wrappedIn(envelope);
      const configured = await service.region();
      if (own === configured) return service.decrypt(arn, ciphertext, context, signal);
      throw invalidSettings(`the key is in the region ${own} of AWS KMS, and ${configured} is set`);
    },
  });
}

function isSame(a: EncryptionContext, b: EncryptionContext): boolean {
  const sorted = (context: EncryptionContext): string =>
    JSON.stringify(Object.entries(context).sort(([x], [y]) => (x < y ? -1 : 1)));
  return sorted(a) === sorted(b);
}
