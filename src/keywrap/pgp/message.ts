import { toHex, toLatin1 } from "#engine/bytes";
import { OcicryptError } from "../../errors.js";
import { MAX_WRAPPED_KEYS } from "../../spec/limits.js";
import { isArmored, readArmor, readPackets, TAG, type Packet } from "./packets.js";
import type { RecipientInfo } from "../types.js";
import { algorithmName } from "./openpgp.js";

/** A public-key encrypted session key packet; RFC 9580 section 5.1. */
export interface SessionKeyPacket {
  /** The number of the public-key algorithm; section 9.1. */
  algorithm: number;
  /** 16 lower-case hex digits; `undefined` if the sender hid the recipient. */
  keyId: string | undefined;
  raw: Uint8Array;
}

/** An encrypted message: its recipients and its encrypted data. */
export interface PgpMessage {
  sessionKeys: SessionKeyPacket[];
  data: Packet;
}

/** Far above any message that wraps 200 bytes, even for many recipients. */
const MAX_SIZE = 1024 * 1024;
const HIDDEN = "0".repeat(16);

/**
 * Parses a message that is encrypted to public keys, binary or armored, without decrypting it.
 *
 * @throws {@link OcicryptError} `WRAPPED_KEY_INVALID`, `WRAPPED_KEY_UNSUPPORTED`
 */
export function parseMessage(wrapped: Uint8Array): PgpMessage {
  if (wrapped.byteLength > MAX_SIZE) throw invalid("larger than any wrapped key");
  const packets = readPackets(isArmored(wrapped) ? dearmor(wrapped) : wrapped, MAX_WRAPPED_KEYS);
  if (packets === undefined) throw invalid("its packets are damaged or too many");

  const sessionKeys: SessionKeyPacket[] = [];
  let needsPassword = false;
  let data: Packet | undefined;
  for (const packet of packets) {
    if (isIgnored(packet.tag)) continue;
    if (data !== undefined) throw invalid("a packet follows its encrypted data");
    if (packet.tag === TAG.publicKeySessionKey) {
      const sessionKey = readSessionKey(packet);
      if (sessionKey !== undefined) sessionKeys.push(sessionKey);
    } else if (packet.tag === TAG.symmetricKeySessionKey) needsPassword = true;
    else data = requireProtectedData(packet);
  }
  if (data === undefined) throw invalid("it has no encrypted data");
  if (sessionKeys.length > 0) return { sessionKeys, data };
  if (needsPassword) throw unsupported("is encrypted with a password, not to a key");
  throw unsupported("has no recipient of a supported version");
}

function dearmor(wrapped: Uint8Array): Uint8Array {
  const [first, ...more] = readArmor(toLatin1(wrapped));
  if (first?.label !== "PGP MESSAGE" || first.bytes === undefined || more.length > 0) {
    throw invalid("neither binary nor a single armoured message");
  }
  return first.bytes;
}

/** RFC 9580 sections 4.3, 5.8 and 5.14: markers, padding and uncritical packets. */
function isIgnored(tag: number): boolean {
  return tag === TAG.marker || tag === TAG.padding || tag >= 40;
}

function readSessionKey({ body, raw }: Packet): SessionKeyPacket | undefined {
  if (body[0] === 3) {
    const keyId = toHex(body.subarray(1, 9));
    return finish(keyId === HIDDEN ? undefined : keyId, body[9], raw);
  }
  // Section 5.1.2: the length, the version and the fingerprint of the key; a length of 0 hides it.
  if (body[0] === 6) {
    const length = body[1] ?? 0;
    const fingerprint = body.subarray(3, 2 + length);
    if (length !== 0 && fingerprint.byteLength < 20) throw invalid("a recipient is cut off");
    const id = body[2] === 4 ? fingerprint.subarray(-8) : fingerprint.subarray(0, 8);
    return finish(length === 0 ? undefined : toHex(id), body[2 + length], raw);
  }
  return undefined;
}

function finish(
  keyId: string | undefined,
  algorithm: number | undefined,
  raw: Uint8Array,
): SessionKeyPacket {
  if (algorithm === undefined) throw invalid("a recipient is cut off");
  return { algorithm, keyId, raw };
}

function requireProtectedData(packet: Packet): Packet {
  switch (packet.tag) {
    case TAG.protectedData:
      if (packet.body[0] === 1 || packet.body[0] === 2) return packet;
      if (packet.body[0] === undefined) throw invalid("its encrypted data is empty");
      throw unsupported("is encrypted in a newer format");
    case TAG.unprotectedData:
      throw unsupported("has no integrity protection (MDC)");
    case TAG.ocbData:
      throw unsupported("uses the OCB mode of GnuPG 2.3, which is not standardized");
    default:
      throw invalid("it is not encrypted");
  }
}

function invalid(why: string): OcicryptError {
  return new OcicryptError(
    "WRAPPED_KEY_INVALID",
    `the wrapped key is not an OpenPGP message: ${why}`,
  );
}

function unsupported(why: string): OcicryptError {
  return new OcicryptError("WRAPPED_KEY_UNSUPPORTED", `the OpenPGP message ${why}`);
}

/** Describes the recipients of an OpenPGP message by algorithm and key id. */
export function describe(wrapped: Uint8Array): RecipientInfo[] {
  return parseMessage(wrapped).sessionKeys.map(({ algorithm, keyId }) => ({
    algorithm: algorithmName(algorithm),
    ...(keyId !== undefined && { keyId: `0x${keyId}` }),
  }));
}
