import { concat, toHex, toLatin1, toUtf8 } from "#engine/bytes";
import { createAnyHash } from "#engine/any-hash";
import { OcicryptError } from "../../errors.js";
import { recoverKeyFile } from "../../keys/material.js";
import { MAX_KEY_FILE_SIZE } from "../../spec/limits.js";
import { isArmored, type Packet, readArmor, readPackets, readUint, TAG } from "./packets.js";

/** The identity of a primary key or subkey. */
export interface KeyIdentity {
  /** The number of the public-key algorithm; RFC 9580 section 9.1. */
  algorithm: number;
  /** Lower-case hex. */
  fingerprint: string;
  /** 16 lower-case hex digits. */
  keyId: string;
}

type Field = "integer" | "counted" | number;

const INTEGERS = (count: number): Field[] => Array<Field>(count).fill("integer");

/** The public fields of each algorithm; RFC 9580 section 5.5.5. Numbers are sizes in bytes. */
const PUBLIC_FIELDS: ReadonlyMap<number, readonly Field[]> = /* @__PURE__ */ new Map([
  [1, INTEGERS(2)],
  [2, INTEGERS(2)],
  [3, INTEGERS(2)],
  [16, INTEGERS(3)],
  [17, INTEGERS(4)],
  [18, ["counted", "integer", "counted"]],
  [19, ["counted", "integer"]],
  [22, ["counted", "integer"]],
  [25, [32]],
  [26, [56]],
  [27, [32]],
  [28, [57]],
]);

/**
 * Identifies a public or secret key packet; RFC 9580 section 5.5.4. Returns `undefined` if it is
 * damaged, its version is neither 4 nor 6, or its algorithm is unknown.
 */
function identifyKey({ body }: Packet): KeyIdentity | undefined {
  const [version] = body;
  const algorithm = body[5];
  if (algorithm === undefined) return undefined;
  if (version === 4) {
    const end = skipFields(body, 6, PUBLIC_FIELDS.get(algorithm));
    if (end === undefined) return undefined;
    const head = Uint8Array.of(0x99, end >> 8, end & 0xff);
    const fingerprint = digest("sha1", head, body.subarray(0, end));
    return { algorithm, fingerprint, keyId: fingerprint.slice(-16) };
  }
  if (version === 6) {
    const length = readUint(body, 6, 4);
    if (length === undefined || 10 + length > body.byteLength) return undefined;
    const head = new Uint8Array(5).fill(0x9b);
    new DataView(head.buffer).setUint32(1, 10 + length);
    const fingerprint = digest("sha256", head, body.subarray(0, 10 + length));
    return { algorithm, fingerprint, keyId: fingerprint.slice(0, 16) };
  }
  return undefined;
}

function skipFields(
  body: Uint8Array,
  start: number,
  fields: readonly Field[] | undefined,
): number | undefined {
  if (fields === undefined) return undefined;
  let at = start;
  for (const field of fields) {
    if (field === "integer") {
      const bits = readUint(body, at, 2);
      if (bits === undefined) return undefined;
      at += 2 + Math.ceil(bits / 8);
    } else if (field === "counted") at += 1 + (body[at] ?? 0);
    else at += field;
  }
  return at > body.byteLength || at > 0xffff ? undefined : at;
}

function digest(algorithm: "sha1" | "sha256", ...parts: Uint8Array[]): string {
  const hash = createAnyHash(algorithm);
  for (const part of parts) hash.update(part);
  return toHex(hash.digest());
}

/** A primary key with its subkeys and user ids; RFC 9580 sections 10.1 and 10.2. */
export interface TransferableKey {
  isSecret: boolean;
  /** `undefined` for a primary key that cannot be identified. */
  primary: KeyIdentity | undefined;
  /** The subkeys that can be identified. */
  subkeys: KeyIdentity[];
  userIds: string[];
  /** Its packets, except those that only have meaning in a key ring. */
  bytes: Uint8Array;
}

/** One key, several or a ring: binary, as `gpg --export` writes it, or armored. */
export type PgpKeyInput = string | Uint8Array;

/** Above the largest rings in use, those of whole distributions. */
export const MAX_RING_SIZE: number = 64 * 1024 * 1024;
const MAX_PACKETS = 1024 * 1024;

const PRIMARY_TAGS: readonly number[] = [TAG.publicKey, TAG.secretKey];
const SUBKEY_TAGS: readonly number[] = [TAG.publicSubkey, TAG.secretSubkey];
const OTHER_TAGS: readonly number[] = [TAG.userId, TAG.userAttribute, TAG.signature];

/**
 * Splits a key ring into its keys without validating them, so that a damaged, unknown or oddly named
 * key does not prevent the use of the others.
 *
 * @throws {@link OcicryptError} `KEY_UNRECOGNIZED`
 */
export function readKeyRing(input: PgpKeyInput): TransferableKey[] {
  if (input.length > MAX_RING_SIZE) throw unrecognized("larger than any key ring");
  const keys = binaryParts(input).flatMap((bytes) => splitKeys(bytes));
  if (keys.length === 0) throw unrecognized("it contains no key");
  return keys;
}

function binaryParts(file: PgpKeyInput): Uint8Array[] {
  if (file.length === 0) throw unrecognized("it is empty");
  const input = file.length > MAX_KEY_FILE_SIZE ? file : recoverKeyFile(file);
  if (typeof input !== "string") {
    if (toLatin1(input.subarray(8, 12)) === "KBXf") {
      throw unrecognized("it is a key box of GnuPG; use the output of gpg --export");
    }
    if (!isArmored(input)) return [input];
  }
  const text = typeof input === "string" ? input : toLatin1(input);
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
    userIds: packets.filter(({ tag }) => tag === TAG.userId).map(({ body }) => toUtf8(body)),
    bytes: concat(packets.map(({ raw }) => raw)),
  };
}

function unrecognized(why: string): OcicryptError {
  return new OcicryptError("KEY_UNRECOGNIZED", `not an OpenPGP key or key ring: ${why}`);
}

/** A recipient's name: a key id or fingerprint in lower-case hex, or a name or email address. */
export interface RecipientName {
  text: string;
  hex: string | undefined;
}

/** @throws {TypeError} for an empty name or one with a NUL */
export function parseName(name: string): RecipientName {
  if (name.trim() === "" || name.includes("\0")) {
    throw new TypeError("the name of an OpenPGP recipient must not be empty");
  }
  const digits = name.replaceAll(" ", "").replace(/^0x/i, "").toLowerCase();
  // A key id, and the fingerprints of version 4 and version 6 keys.
  const isHex = /^(?:[0-9a-f]{16}|[0-9a-f]{40}|[0-9a-f]{64})$/.test(digits);
  return { text: name, hex: isHex ? digits : undefined };
}

/** Whether a name is the key id or fingerprint of a primary key or subkey. */
export function matchesIdentity(
  identity: KeyIdentity | undefined,
  { hex }: RecipientName,
): identity is KeyIdentity {
  return identity !== undefined && (hex === identity.keyId || hex === identity.fingerprint);
}

/**
 * Whether a name is the name, the email address or the full text of a user id. User ids are free
 * text; `Name (comment) <email>` is only a convention (RFC 9580 section 5.11).
 */
export function matchesUserId(userId: string, { text }: RecipientName): boolean {
  if (userId === text) return true;
  const [, display = "", email] = /^([^<]*)<([^<>]*)>\s*$/.exec(userId) ?? [undefined, userId];
  // gpg and most mail servers ignore case in email addresses.
  if (text.includes("@") && lowerAscii(email ?? userId) === lowerAscii(text)) return true;
  return display.trim() === text || display.replace(/\([^()]*\)\s*$/, "").trim() === text;
}

/** Converts ASCII only: other letters, such as the Kelvin sign, have ASCII lower-case forms. */
function lowerAscii(text: string): string {
  return text.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
}
