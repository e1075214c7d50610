import type { Key, Recipient } from "../../keywrap/types.js";
import { type JsonObject, stringIn } from "../../text/json.js";
import {
  environment,
  flagSetting,
  invalidSettings,
  readCertificates,
  readSecret,
  settingIn,
  settingsOf,
} from "../settings.js";
import { objectOf } from "../client.js";
import type { KeyServerContext, ServedFile } from "../types.js";
import * as keyProtect from "./key-protect.js";
import { fileAt, keyAt } from "./secrets.js";
import { type KeyProtectOptions, openInstance } from "./session.js";
import { isAad } from "./wrapped.js";

const SETTINGS = [
  ...["url", "region", "instance", "key-ring", "aad"],
  ...["api-key-file", "iam-url", "ca-file", "plain-http"],
];

/** The parts of a CRN, or a name, and the file with what the key wrapped. */
interface Named {
  key: string | undefined;
  instance: string | undefined;
  region: string | undefined;
  wrapped: string | undefined;
}

/** `key-protect:CRN`, or `key-protect:KEY` with the id or alias of a key. */
// eslint-disable-next-line @typescript-eslint/require-await -- rejects instead of throwing
export async function recipients(text: string, context: KeyServerContext): Promise<Recipient[]> {
  const settings = settingsOf(context.settings, "key-protect", SETTINGS);
  const named = namedBy(text);
  if (named.wrapped !== undefined)
    throw invalidSettings("?wrapped=FILE is only for keys, not for recipients");
  const own = context.allowedServers?.map((each) => namedBy(`key-protect:${each}`));
  // Fails unless the user has named the instance, which gets a token of the user.
  if (own !== undefined) placeOf(settings, own);
  const options = { ...optionsOf(settings, [...(own ?? []), named]), aad: aadOf(settings) };
  return [keyProtect.recipient(named.key ?? "", options)];
}

/**
 * `key-protect` for all keys of the configured instance, or keys by their CRN, id or alias. A standard
 * key is a file, and so is what a root key wrapped, with `?wrapped=FILE`. All use one login.
 */
export async function keys(
  texts: readonly string[],
  context: KeyServerContext,
): Promise<(Key | ServedFile)[]> {
  const settings = settingsOf(context.settings, "key-protect", SETTINGS);
  const named = texts.map(namedBy);
  const service = openInstance(optionsOf(settings, named));
  const [aad, signal] = [aadOf(settings), context.signal];
  const files: ServedFile[] = [];
  const names: string[] = [];
  for (const { key: name, wrapped } of named) {
    if (name === undefined) continue;
    const ciphertext = wrapped === undefined ? undefined : ciphertextIn(context.readFile(wrapped));
    const content = await fileAt(service, name, { ciphertext, aad: aad ?? [], signal });
    if (content === undefined) names.push(name);
    else files.push({ content, label: `key-protect:${name}` });
  }
  const isAll = named.some(({ key: name }) => name === undefined);
  if (!isAll && names.length === 0) return files;
  const onRotated = (): void =>
    context.onWarning?.(
      "a root key of Key Protect was rotated since the image was encrypted; to use its latest version, run ocicrypt recipients replace",
    );
  return [keyAt(service, { keys: isAll ? undefined : names, aad, onRotated }), ...files];
}

/** The ciphertext alone, or the JSON that the service returned with it. */
function ciphertextIn(file: Uint8Array): string {
  const text = Buffer.from(file).toString("latin1").trim();
  if (!text.startsWith("{")) return text;
  return stringIn(objectOf({ bytes: file }), "ciphertext") ?? "";
}

/** A CRN, as the user writes it; https://cloud.ibm.com/docs/account?topic=account-crn */
const CRN =
  /^crn:v1:[a-z-]+:[a-z]+:(kms|hs-crypto):([a-z0-9-]+):a\/[0-9a-f]+:([0-9a-f-]{36}):key:([0-9a-f-]{36})$/;

function namedBy(text: string): Named {
  const [name = "", wrapped] = text.slice("key-protect:".length).split("?wrapped=", 2);
  if (!name.startsWith("crn:")) {
    const key = name === "" ? undefined : name;
    return { key, instance: undefined, region: undefined, wrapped };
  }
  const [, service, region, instance, key] = CRN.exec(name) ?? [];
  if (key === undefined) throw invalidSettings("the CRN is not that of a key of Key Protect");
  return { key, instance, region: service === "kms" ? region : undefined, wrapped };
}

/** The instance on which the arguments and the settings agree. */
function placeOf(
  settings: JsonObject,
  named: readonly Named[],
): Pick<KeyProtectOptions, "url" | "instance"> {
  const text = settingIn(settings);
  const agreed = (
    member: "instance" | "region",
    configured: string | undefined,
  ): string | undefined => {
    const all = new Set([configured, ...named.map((each) => each[member])]);
    const [one, ...others] = [...all].filter((each) => each !== undefined);
    if (others.length === 0) return one;
    throw invalidSettings(`the arguments and settings name different ${member}s of Key Protect`);
  };
  const instance = agreed("instance", text("instance", "KP_INSTANCE_ID"));
  const url = text("url", "KP_TARGET_ADDR") ?? urlOf(agreed("region", text("region", "IBMCLOUD_REGION"))); // prettier-ignore
  if (instance === undefined || url === undefined) {
    throw invalidSettings("Key Protect needs the CRN of a key, or url (KP_TARGET_ADDR) or region, and instance (KP_INSTANCE_ID)"); // prettier-ignore
  }
  return { url, instance };
}

function optionsOf(settings: JsonObject, named: readonly Named[]): KeyProtectOptions {
  const place = placeOf(settings, named);
  const text = settingIn(settings);
  const file = text("api-key-file");
  const apiKey = file === undefined ? environment("IBMCLOUD_API_KEY") : readSecret(file, "the API key"); // prettier-ignore
  if (apiKey === undefined) throw invalidSettings("api-key-file or IBMCLOUD_API_KEY is missing");
  return {
    ...place,
    apiKey,
    iamUrl: text("iam-url", "IBMCLOUD_IAM_API_ENDPOINT"),
    keyRing: text("key-ring"),
    ca: readCertificates(text("ca-file"), "the certificates of Key Protect"),
    plainHttp: flagSetting(settings, "plain-http"),
  };
}

function urlOf(region: string | undefined): string | undefined {
  if (region === undefined) return undefined;
  if (/^[a-z]{2,10}(?:-[a-z0-9]{1,20}){0,3}$/.test(region))
    return `https://${region}.kms.cloud.ibm.com`;
  throw invalidSettings("the region of Key Protect is not valid");
}

function aadOf(settings: JsonObject): readonly string[] | undefined {
  const aad = settings.aad ?? undefined;
  if (aad === undefined || isAad(aad)) return aad;
  throw invalidSettings("aad of Key Protect is not a list of strings");
}
