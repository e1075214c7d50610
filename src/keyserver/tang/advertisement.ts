import { createPublicKey, type KeyObject } from "node:crypto";
import type { FlattenedJWSInput } from "jose";
import { OcicryptError } from "../../errors.js";
import { MAX_KEY_SERVER_ANSWER, MAX_TANG_KEYS, MAX_TANG_SIGNATURES } from "../../spec/limits.js";
import { asObject, type JsonObject, parseJson } from "../../text/json.js";
import { hasThumbprint, pointOf, type PublicJwk, readPublicJwk, thumbprintOf } from "./points.js";

/** The keys that a Tang server advertises, verified: https://github.com/latchset/tang#binding */
export interface Advertisement {
  /** The JWK Set, as Clevis stores it in a wrapped key. */
  set: JsonObject;
  /** The keys that signed it, each with its thumbprint (SHA-256). */
  signers: AdvertisedKey[];
  /** The keys to wrap with; Clevis takes the first. */
  exchangers: AdvertisedKey[];
}

export interface AdvertisedKey {
  key: PublicJwk;
  thumbprint: string;
}

/** The algorithms of the curves: RFC 7518 section 3.4. */
const SIGNATURES: Readonly<Partial<Record<string, string>>> = {
  "P-256": "ES256",
  "P-384": "ES384",
  "P-521": "ES512",
};

type Refuse = (why: string) => Error;

/**
 * Reads an advertisement: a flattened or general JWS (RFC 7515 section 7.2) that every key for
 * signatures in it has signed.
 *
 * @param refuse makes the error for an advertisement that cannot be used
 * @throws the error that `refuse` returns
 */
export async function readAdvertisement(
  answer: Uint8Array,
  refuse: Refuse,
): Promise<Advertisement> {
  const jws = readJws(answer, refuse);
  const advertised = readKeySet(parseUrl(jws.payload, refuse), refuse);
  for (const { key } of advertised.signers) {
    if (!(await isSignedBy(jws, key))) throw refuse("a key in it did not sign it");
  }
  for (const { key } of advertised.exchangers) {
    await pointOf(key, (why) => refuse(`a key cannot be used: ${why}`));
  }
  return advertised;
}

/** Whether a key signed an advertisement, even one that it does not list. */
export async function isSignedByOld(
  answer: Uint8Array,
  key: PublicJwk,
  refuse: Refuse,
): Promise<boolean> {
  return isSignedBy(readJws(answer, refuse), key);
}

/**
 * Checks that a trusted key is among those that signed an advertisement.
 *
 * @throws {@link OcicryptError} `KEY_SERVER_UNTRUSTED`
 */
export function requireTrusted(
  { signers }: Advertisement,
  thumbprint: string,
  server: string,
): void {
  if (signers.some(({ key }) => hasThumbprint(key, thumbprint))) return;
  throw untrusted(server, thumbprint);
}

/** Returns the error `KEY_SERVER_UNTRUSTED`. */
export function untrusted(server: string, thumbprint: string): OcicryptError {
  const message = `the Tang server ${server} does not have the signing key ${thumbprint}`;
  return new OcicryptError("KEY_SERVER_UNTRUSTED", message);
}

interface Jws {
  payload: string;
  signatures: { protected: string; signature: string }[];
}

function readJws(answer: Uint8Array, refuse: Refuse): Jws {
  const isSmall = { maxSize: MAX_KEY_SERVER_ANSWER, refuse: () => refuse("it is not JSON") };
  const { payload, signatures, ...flattened } = asObject(parseJson(answer, isSmall)) ?? {};
  const listed: readonly unknown[] = Array.isArray(signatures) ? signatures : [flattened];
  if (typeof payload !== "string" || listed.length > MAX_TANG_SIGNATURES) {
    throw refuse("it is not a JWS, or has too many signatures");
  }
  const read = listed.map((each) => {
    const { protected: header, signature } = asObject(each) ?? {};
    if (typeof header === "string" && typeof signature === "string") {
      return { protected: header, signature };
    }
    throw refuse("it has no signature");
  });
  return { payload, signatures: read };
}

function parseUrl(text: string, refuse: Refuse): JsonObject {
  const document = Buffer.from(text, "base64url");
  const options = { maxSize: MAX_KEY_SERVER_ANSWER, refuse: () => refuse("it has no key set") };
  return asObject(parseJson(document, options)) ?? {};
}

/**
 * Reads a JWK Set of a server, and sorts the keys by their use.
 *
 * @throws the error that `refuse` returns
 */
export function readKeySet(set: JsonObject, refuse: Refuse): Advertisement {
  const keys: readonly unknown[] = Array.isArray(set.keys) ? set.keys : [];
  if (keys.length > MAX_TANG_KEYS) throw refuse("it has too many keys");
  const found: Advertisement = { set, signers: [], exchangers: [] };
  for (const value of keys) {
    const { alg, key_ops: uses, use } = asObject(value) ?? {};
    const mayDo = (name: string): boolean => Array.isArray(uses) && uses.includes(name);
    const isSigner = mayDo("verify") || use === "sig";
    const isExchanger = alg === "ECMR" && mayDo("deriveKey");
    if (!isSigner && !isExchanger) continue;
    const key = readPublicJwk(value, (why) => refuse(`a key cannot be used: ${why}`));
    const advertised = { key, thumbprint: thumbprintOf(key) };
    if (isSigner) found.signers.push(advertised);
    if (isExchanger) found.exchangers.push(advertised);
  }
  if (found.signers.length === 0) throw refuse("it has no key for signatures");
  if (found.exchangers.length === 0) throw refuse("it has no exchange key");
  return found;
}

async function isSignedBy({ payload, signatures }: Jws, key: PublicJwk): Promise<boolean> {
  let publicKey: KeyObject;
  try {
    publicKey = createPublicKey({ key: { ...key }, format: "jwk" });
  } catch {
    return false;
  }
  const { flattenedVerify } = await import("jose/jws/flattened/verify");
  const algorithms = [SIGNATURES[key.crv] ?? ""];
  for (const signature of signatures) {
    const jws: FlattenedJWSInput = { payload, ...signature };
    try {
      await flattenedVerify(jws, publicKey, { algorithms });
      return true;
    } catch {
      // Another key may have made this signature.
    }
  }
  return false;
}
