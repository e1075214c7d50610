import { OcicryptError, shown } from "../../errors.js";
import type { RecipientInfo } from "../../keywrap/types.js";
import {
  MAX_CLEVIS_DEPTH,
  MAX_CLEVIS_PARTS,
  MAX_JWE_PART_LENGTH,
  MAX_WRAPPED_KEY_SIZE,
} from "../../spec/limits.js";
import { asObject, type JsonObject, parseJson } from "../../text/json.js";
import { type AdvertisedKey, readKeySet } from "./advertisement.js";
import { decodeUrl, hasThumbprint, type PublicJwk, readPublicJwk } from "./points.js";

/** A compact JWE of Clevis without its header: RFC 7516 section 3.1. */
export interface Sealed {
  /** The header in base64url, which the tag covers. */
  aad: string;
  iv: Buffer;
  ciphertext: Buffer;
  tag: Buffer;
}

/** A wrapped key that one Tang server opens. */
export interface TangPin extends Sealed {
  pin: "tang";
  /** The URL as the wrapped key states it. */
  url: string;
  /** The thumbprint of {@link server}, as the server knows it. */
  kid: string;
  /** The server's exchange key, on the curve of {@link client}. */
  server: PublicJwk;
  /** The ephemeral key. */
  client: PublicJwk;
  /** The keys that signed the advertisement when the key was wrapped. */
  signers: AdvertisedKey[];
}

/** A wrapped key that some of its parts open together. */
export interface SssPin extends Sealed {
  pin: "sss";
  threshold: number;
  /** The prime modulus, 32 bytes. */
  prime: Buffer;
  parts: Pin[];
}

export type Pin = TangPin | SssPin;

/**
 * Reads a wrapped key, with all its parts.
 *
 * @throws {@link OcicryptError} `WRAPPED_KEY_INVALID`; `WRAPPED_KEY_UNSUPPORTED` for other pins than
 *   `tang` and `sss`, such as `null`, which hides nothing
 */
export function parsePin(wrapped: Uint8Array): Pin {
  if (wrapped.byteLength > MAX_WRAPPED_KEY_SIZE) throw invalid("it is too large");
  // Clevis ends its output without a line break, but shells and editors add one.
  return readPin(Buffer.from(wrapped).toString("latin1").trim(), 0, { left: MAX_CLEVIS_PARTS });
}

function readPin(text: string, depth: number, parts: { left: number }): Pin {
  if (parts.left-- === 0) throw invalid("it has too many parts");
  if (depth > MAX_CLEVIS_DEPTH) throw invalid("its parts are nested too deeply");
  const { header, sealed } = readCompact(text);
  const { alg, enc } = header;
  const clevis = asObject(header.clevis) ?? {};
  const { pin } = clevis;
  if (pin !== "tang" && pin !== "sss") {
    const message = `the Clevis pin ${shown(String(pin))} is not supported, only tang and sss`;
    throw new OcicryptError("WRAPPED_KEY_UNSUPPORTED", message);
  }
  const settings = asObject(clevis[pin]) ?? {};
  const isPlain = ["zip", "crit", "apu", "apv"].every((name) => header[name] === undefined);
  if (alg !== (pin === "tang" ? "ECDH-ES" : "dir") || enc !== "A256GCM" || !isPlain) {
    throw invalid("it does not use the algorithms of Clevis");
  }
  if (pin === "tang") return { pin, ...readTang(header, settings), ...sealed };
  const { t: threshold, p, jwe } = settings;
  const listed: readonly unknown[] = Array.isArray(jwe) ? jwe : [];
  const prime = decodeUrl(p);
  if (prime?.byteLength !== 32) throw invalid("its modulus does not have 256 bits");
  if (typeof threshold !== "number" || !isThreshold(threshold, listed.length)) {
    throw invalid("its threshold is not from 1 to the number of its parts");
  }
  const read = listed.map((part) => {
    if (typeof part !== "string") throw invalid("a part is not a JWE");
    return readPin(part, depth + 1, parts);
  });
  return { pin, threshold, prime, parts: read, ...sealed };
}

export function isThreshold(threshold: number, count: number): boolean {
  return Number.isSafeInteger(threshold) && threshold >= 1 && threshold <= count;
}

function readTang(
  header: JsonObject,
  settings: JsonObject,
): Pick<TangPin, "url" | "kid" | "server" | "client" | "signers"> {
  const { kid, epk } = header;
  const { url, adv } = settings;
  if (typeof url !== "string" || typeof kid !== "string")
    throw invalid("it names no server or key");
  const client = readPublicJwk(epk, (why) => invalid(`its ephemeral key cannot be used: ${why}`));
  const { signers, exchangers } = readKeySet(asObject(adv) ?? {}, (why) =>
    invalid(`its advertisement cannot be used: ${why}`),
  );
  const server = exchangers.find(({ key }) => hasThumbprint(key, kid))?.key;
  if (server === undefined) throw invalid("its advertisement lacks the exchange key");
  if (server.crv !== client.crv) throw invalid("its keys are on different curves");
  return { url, kid, server, client, signers };
}

function readCompact(text: string): { header: JsonObject; sealed: Sealed } {
  const [aad = "", key, ...rest] = text.split(".", 6);
  const bytes = rest.map(decodeUrl);
  const [iv, ciphertext, tag] = bytes;
  if (key !== "" || bytes.length !== 3) throw invalid("it is not a compact JWE without a key");
  if (ciphertext === undefined || ciphertext.byteLength > MAX_JWE_PART_LENGTH) {
    throw invalid("its content is not base64url, or too large");
  }
  if (iv?.byteLength !== 12 || tag?.byteLength !== 16) {
    throw invalid("its nonce or its tag has another length");
  }
  return { header: readHeader(aad), sealed: { aad, iv, ciphertext, tag } };
}

function readHeader(aad: string): JsonObject {
  const document = decodeUrl(aad);
  if (document === undefined) throw invalid("its header is not base64url");
  const refuse = (why: string): Error => invalid(`its header cannot be read: ${why}`);
  return asObject(parseJson(document, { maxSize: MAX_WRAPPED_KEY_SIZE, refuse })) ?? {};
}

export function invalid(why: string): OcicryptError {
  return new OcicryptError("WRAPPED_KEY_INVALID", `a wrapped key of Clevis cannot be used: ${why}`);
}

/**
 * Describes a wrapped key. Empty if it is not a JWE, which another key provider of this name may
 * have written.
 *
 * @throws {@link OcicryptError} as {@link parsePin}
 */
export function describe(wrapped: Uint8Array): RecipientInfo[] {
  const isCompact = /^[\w-]+\.\./.test(Buffer.from(wrapped).toString("latin1"));
  return isCompact ? [infoOf(parsePin(wrapped))] : [];
}

function infoOf(pin: Pin): RecipientInfo {
  if (pin.pin === "tang") return { algorithm: "tang", keyId: pin.kid, server: pin.url };
  return { algorithm: "sss", threshold: pin.threshold, parts: pin.parts.map(infoOf) };
}
