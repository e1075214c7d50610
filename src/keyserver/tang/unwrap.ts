import { createHash } from "node:crypto";
import { decryptGcm } from "#engine/content-cipher";
import { isOcicryptError, OcicryptError } from "../../errors.js";
import { anySignal } from "../../io/abort.js";
import { takeAttempt } from "../../keywrap/unwrapping.js";
import type { Attempts } from "../../keywrap/types.js";
import { printable } from "../../text/printable.js";
import type { KeyServerClient } from "../client.js";
import { invalid, type Pin, type Sealed, type SssPin, type TangPin } from "./clevis.js";
import { blind } from "./points.js";
import { recover } from "./protocol.js";
import type { AllowedServers } from "./servers.js";
import { combine, isModulus, isShare } from "./shamir.js";

export interface OpenOptions {
  client: KeyServerClient;
  allowed: AllowedServers;
  attempts: Attempts;
  signal: AbortSignal | undefined;
}

/** More reasons would not help a reader. */
const MAX_REASONS = 10;
/** The most characters of one reason in a message. */
const MAX_REASON = 300;

/**
 * Opens a wrapped key with the help of its servers, which must be allowed.
 *
 * @throws {@link OcicryptError} `KEY_SERVER_NOT_ALLOWED`, before the server is contacted; the codes
 *   of the servers' failures; `KEY_SERVER_THRESHOLD` with the reason of each part if too few parts
 *   open; `WRAPPED_KEY_INVALID` if the secret does not open the content
 */
export async function openPin(pin: Pin, options: OpenOptions): Promise<Uint8Array> {
  const secret = await (pin.pin === "tang" ? tangSecret(pin, options) : sssSecret(pin, options));
  try {
    return openContent(pin, secret);
  } finally {
    secret.fill(0);
  }
}

async function tangSecret(pin: TangPin, options: OpenOptions): Promise<Buffer> {
  const { allowed, attempts, signal, client } = options;
  const address = allowed.resolve(pin.url);
  await takeAttempt(attempts, signal);
  const blinded = await blind(pin.client, pin.server, (why) => invalid(why));
  const answer = await recover({ client, address, signal }, pin.kid, blinded.request);
  const x = await blinded.open(answer.point, answer.refuse);
  try {
    return deriveKey(x);
  } finally {
    x.fill(0);
  }
}

/** Derives the key of the content, without information about the parties: RFC 7518 section 4.6.2. */
function deriveKey(secret: Buffer): Buffer {
  const algorithm = Buffer.from("A256GCM", "latin1");
  const bits = uint32(256);
  return createHash("sha256")
    .update(uint32(1))
    .update(secret)
    .update(uint32(algorithm.byteLength))
    .update(algorithm)
    .update(uint32(0))
    .update(uint32(0))
    .update(bits)
    .digest();
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

async function sssSecret(pin: SssPin, options: OpenOptions): Promise<Buffer> {
  const { threshold, prime, parts } = pin;
  if (!(await isModulus(prime))) throw invalid("its modulus is not a prime of 256 bits");
  const enough = new AbortController();
  const signal = anySignal(options.signal, enough.signal);
  const shares: Uint8Array[] = [];
  const reasons: string[] = [];
  const open = async (part: Pin): Promise<void> => {
    try {
      const share = await openPin(part, { ...options, signal });
      if (shares.length === threshold) share.fill(0);
      else if (isShare(share, prime, shares)) shares.push(share);
      else reasons.push(`${nameOf(part)}: its share is damaged`);
      if (shares.length === threshold) enough.abort();
    } catch (error) {
      options.signal?.throwIfAborted();
      if (!enough.signal.aborted) reasons.push(`${nameOf(part)}: ${reasonOf(error)}`);
    }
  };
  try {
    await Promise.all(parts.map(open));
    if (shares.length === threshold) return combine(shares, prime);
  } finally {
    for (const share of shares) share.fill(0);
  }
  const message = `${String(threshold)} of ${String(parts.length)} parts are needed, and ${String(shares.length)} opened: `;
  const shown = reasons.slice(0, MAX_REASONS).join("; ");
  throw new OcicryptError("KEY_SERVER_THRESHOLD", message + shown);
}

function nameOf(part: Pin): string {
  return part.pin === "tang" ? printable(part.url, MAX_REASON) : "sss";
}

/** Only messages of this library are known to be without secrets. */
function reasonOf(error: unknown): string {
  if (!isOcicryptError(error)) throw error;
  return printable(error.message, MAX_REASON);
}

function openContent({ aad, iv, ciphertext, tag }: Sealed, secret: Buffer): Uint8Array {
  const additional = Buffer.from(aad, "latin1");
  const cipher = { name: "aes-256-gcm", key: secret, iv };
  const plaintext = decryptGcm(cipher, ciphertext, { tag, additional });
  if (plaintext !== undefined) return plaintext;
  throw invalid("it is damaged, or the server answered with another key");
}
