import { fromHex } from "#engine/bytes";
import { decryptFile } from "#engine/key-cipher";
import { OcicryptError } from "../../errors.js";
import { decodeBase64 } from "../../spec/base64.js";
import { ANY, type JsonObject } from "../../text/json.js";
import type { RecipientInfo } from "../types.js";
import { describe as describeProvider, parseObject, readText } from "./messages.js";

export const NONCE_SIZE = 12;
export const TAG_SIZE = 16;

/** Guests also read `kbs+PLUGIN://HOST/…` (guest-components, resource_uri). */
const KEY_ID = /^kbs(?:\+[\w-]+)?:\/\/[^/\s]*(?:\/[\w.-]+){3}$/;

/** Whether a text names a key in a KBS: `kbs:///REPOSITORY/TYPE/TAG`. */
export function isKeyId(text: string): boolean {
  return KEY_ID.test(text);
}

/**
 * A wrapped key for confidential containers: guest-components,
 * confidential-data-hub/hub/src/image/annotation_packet, v1.rs and v2.rs.
 */
export interface Packet {
  /** The name of the key that wraps. */
  kid: string;
  nonce: Uint8Array;
  /** The ciphertext and its tag. */
  wrapped: Uint8Array;
}

/**
 * Parses a packet of either version.
 *
 * @throws {@link OcicryptError} `WRAPPED_KEY_INVALID`; `WRAPPED_KEY_UNSUPPORTED` if the key that
 *   wraps is not an AES key in a KBS
 */
export function readPacket(bytes: Uint8Array): Packet {
  const packet = parseObject(bytes, ANY) ?? {};
  const { kid, version = VERSION } = packet;
  if (typeof kid !== "string") throw invalid("it is no packet of an attestation agent");
  if (!isForKbs(packet) || version !== VERSION || packet.wrap_type !== "A256GCM") {
    const message = "the wrapped key is not encrypted with AES-256-GCM for a KBS";
    throw new OcicryptError("WRAPPED_KEY_UNSUPPORTED", message);
  }
  const nonce = bytesOf(packet.iv);
  const wrapped = bytesOf(packet.wrapped_data);
  if (nonce?.byteLength !== NONCE_SIZE || wrapped === undefined || wrapped.byteLength <= TAG_SIZE) {
    throw invalid("its nonce or its ciphertext has a wrong length");
  }
  return { kid, nonce, wrapped };
}

/** Returns `null` for another key, which a damaged packet cannot be told from. */
export async function openPacket(
  { nonce, wrapped }: Packet,
  key: Uint8Array,
): Promise<Uint8Array | null> {
  const tag = wrapped.subarray(-TAG_SIZE);
  const cipher = { name: "aes-256-gcm", key, iv: nonce, tag, isPadded: false };
  return (await decryptFile(cipher, wrapped.subarray(0, -TAG_SIZE))) ?? null;
}

/** The only value so far; packets of the first form do not state a version. */
const VERSION = "0.1.0";

/** Version 2 names another key server in `provider`. */
function isForKbs({ provider = "kbs" }: JsonObject): boolean {
  return provider === "kbs";
}

function bytesOf(value: unknown): Uint8Array | undefined {
  return typeof value === "string" ? (decodeBase64(value) ?? undefined) : undefined;
}

function invalid(why: string): OcicryptError {
  return new OcicryptError("WRAPPED_KEY_INVALID", `the wrapped key is damaged: ${why}`);
}

/** `coco_keyprovider` makes up such a name if it is started without `keyid`. */
const INVENTED_NAME = /\/default\/image-kek\/[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}$/;

/** The key of `sample=true`: guest-components, coco_keyprovider/src/enc_mods/crypto.rs. */
const SAMPLE_KEY = "d99b7705b0ba7a168295b3a3367270b0dd9b371bf514ca8b9ba7f0a33711daea";

/**
 * Describes a packet, with warnings about the ways in which `coco_keyprovider` loses or exposes an
 * image. Returns an empty list for the wrapped key of another program.
 */
export async function describe(bytes: Uint8Array): Promise<RecipientInfo[]> {
  const packet = parseObject(bytes, ANY);
  if (typeof packet?.kid !== "string") return [];
  const [info] = describeProvider(bytes);
  if (info === undefined) return [];
  if (!isForKbs(packet)) {
    // Key servers other than a KBS choose the algorithm.
    return [{ ...info, algorithm: readText(packet.provider) ?? info.algorithm }];
  }
  const warnings: string[] = [];
  if (INVENTED_NAME.test(packet.kid)) {
    warnings.push("coco_keyprovider made up the name of the key, and without keypath the key too; unless a KBS stores the key under this name, the image is lost"); // prettier-ignore
  }
  if (packet.wrap_type !== "A256GCM") {
    warnings.push("the key is not wrapped with A256GCM: changes to it are not noticed, and guests may not open it"); // prettier-ignore
  } else if (await opensWithSampleKey(bytes)) {
    warnings.push("the key is wrapped with the sample key of coco_keyprovider: everybody can decrypt the layer"); // prettier-ignore
  }
  return [warnings.length === 0 ? info : { ...info, warnings }];
}

async function opensWithSampleKey(bytes: Uint8Array): Promise<boolean> {
  try {
    return (await openPacket(readPacket(bytes), fromHex(SAMPLE_KEY))) !== null;
  } catch {
    return false;
  }
}
