import type { Key, Recipient } from "../../keywrap/types.js";
import { flagSetting, invalidSettings, settingsOf, textSetting } from "../settings.js";
import type { KeyServerContext } from "../types.js";
import * as awsKms from "./aws-kms.js";
import { isContext } from "./wrapped.js";

const SETTINGS = ["region", "endpoint", "encryption-context", "plain-http"];

/** `aws-kms:ARN`, or a key's id or alias in the configured region. */
// eslint-disable-next-line @typescript-eslint/require-await -- rejects instead of throwing
export async function recipients(text: string, context: KeyServerContext): Promise<Recipient[]> {
  return [awsKms.recipient(text.slice("aws-kms:".length), optionsOf(context))];
}

/** `aws-kms` for all keys that the credentials may use, or `aws-kms:ARN`. */
// eslint-disable-next-line @typescript-eslint/require-await -- rejects instead of throwing
export async function keys(texts: readonly string[], context: KeyServerContext): Promise<Key[]> {
  const names = texts.map((text) => text.slice("aws-kms:".length));
  const own = names.includes("") ? undefined : names;
  return [awsKms.key({ ...optionsOf(context), keys: own })];
}

function optionsOf(context: KeyServerContext): awsKms.AwsKmsRecipientOptions {
  const settings = settingsOf(context.settings, "aws-kms", SETTINGS);
  const encryptionContext = settings["encryption-context"] ?? undefined;
  if (encryptionContext !== undefined && !isContext(encryptionContext)) {
    throw invalidSettings("encryption-context of AWS KMS is not an object of strings");
  }
  return {
    region: textSetting(settings, "region"),
    endpoint: textSetting(settings, "endpoint", "AWS_ENDPOINT_URL_KMS", "AWS_ENDPOINT_URL"),
    plainHttp: flagSetting(settings, "plain-http"),
    encryptionContext,
  };
}
