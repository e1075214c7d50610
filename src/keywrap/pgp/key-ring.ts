import { OcicryptError } from "../../errors.js";
import { isArmored, readArmor } from "./armor.js";
import { identifyKey, type KeyIdentity } from "./key-packet.js";
import { readPackets, TAG, type Packet } from "./packets.js";

/** A primary key with all that belongs to it; RFC 9580 sections 10.1 and 10.2. */
export interface TransferableKey {
  isSecret: boolean;
  /** `undefined` for a primary key that cannot be identified. */
  primary: KeyIdentity | undefined;
  /** Without those that cannot be identified. */
  subkeys: KeyIdentity[];
  userIds: string[];
  /** Its packets, without those that mean nothing outside of a key ring. */
  bytes: Uint8Array;
}

/** One key, several, or a whole ring: binary as `gpg --export` writes it, or armoured. */
export type PgpKeyInput = string | Uint8Array;

/** Above the largest rings in use, which are those of whole distributions. */
export const MAX_RING_SIZE: number = 64 * 1024 * 1024;
const MAX_PACKETS = 1024 * 1024;

const PRIMARY_TAGS: readonly number[] = [TAG.publicKey, TAG.secretKey];
const SUBKEY_TAGS: readonly number[] = [TAG.publicSubkey, TAG.secretSubkey];
const OTHER_TAGS: readonly number[] = [TAG.userId, TAG.userAttribute, TAG.signature];

/**
 * Splits a key ring into its keys. Nothing of a key is judged yet, so that one that is damaged,
 * unknown or oddly named does not keep the others from being used.
 *
 * @throws {@link OcicryptError} `KEY_UNRECOGNIZED`
 */
export function readKeyRing(input: PgpKeyInput): TransferableKey[] {
  if (input.length > MAX_RING_SIZE) throw unrecognized("it is larger than any key ring");
  const keys = binaryParts(input).flatMap((bytes) => splitKeys(bytes));
  if (keys.length === 0) throw unrecognized("it holds no key");
  return keys;
}

function binaryParts(input: PgpKeyInput): Uint8Array[] {
  if (input.length === 0) throw unrecognized("it is empty");
  if (typeof input !== "string") {
    if (Buffer.from(input.subarray(8, 12)).toString("latin1") === "KBXf") {
      throw unrecognized("it is the key box of GnuPG; use what gpg --export writes");
    }
    if (!isArmored(input)) return [input];
  }
  const text = typeof input === "string" ? input : Buffer.from(input).toString("latin1");
  return readArmor(text).map(({ label, bytes }) => {
    if (!label.endsWith(" KEY BLOCK")) throw unrecognized(`it is a ${label.slice(0, 40)}`);
    if (bytes === undefined) throw unrecognized("its armour is damaged");
    return bytes;
  });
}

function splitKeys(bytes: Uint8Array): TransferableKey[] {
  const packets = readPackets(bytes, MAX_PACKETS);
  if (packets === undefined) throw unrecognized("its packets are damaged");
  const groups: [Packet, ...Packet[]][] = [];
  for (const packet of packets) {
    if (PRIMARY_TAGS.includes(packet.tag)) groups.push([packet]);
    else if (SUBKEY_TAGS.includes(packet.tag) || OTHER_TAGS.includes(packet.tag)) {
      groups.at(-1)?.push(packet);
    }
  }
  return groups.map(toKey);
}

function toKey(packets: readonly [Packet, ...Packet[]]): TransferableKey {
  return {
    isSecret: packets.some(({ tag }) => tag === TAG.secretKey || tag === TAG.secretSubkey),
    primary: identifyKey(packets[0]),
    subkeys: packets
      .filter(({ tag }) => SUBKEY_TAGS.includes(tag))
      .map(identifyKey)
      .filter((identity) => identity !== undefined),
    userIds: packets
      .filter(({ tag }) => tag === TAG.userId)
      .map(({ body }) => Buffer.from(body).toString("utf8")),
    bytes: Buffer.concat(packets.map(({ raw }) => raw)),
  };
}

function unrecognized(why: string): OcicryptError {
  return new OcicryptError("KEY_UNRECOGNIZED", `this is not an OpenPGP key or key ring: ${why}`);
}
