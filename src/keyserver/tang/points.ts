import { createHash } from "node:crypto";
import type { ECDSA, WeierstrassPoint } from "@noble/curves/abstract/weierstrass.js";
import { asObject, type JsonObject } from "../../text/json.js";

/** A point of a curve that is not infinity. */
export type Point = WeierstrassPoint<bigint>;

/** The public half of an EC key: RFC 7518 section 6.2.1. */
export interface PublicJwk {
  kty: "EC";
  crv: string;
  x: string;
  y: string;
}

/** The lengths of the coordinates in bytes: RFC 7518 section 6.2.1.2. */
const COORDINATES: ReadonlyMap<string, number> = /* @__PURE__ */ new Map([
  ["P-256", 32],
  ["P-384", 48],
  ["P-521", 66],
]);

/**
 * Returns the members of a public EC key, without any others. Coordinates must have their full
 * length. Whether the point is on the curve is not checked.
 *
 * @throws the error that `refuse` returns
 */
export function readPublicJwk(value: unknown, refuse: (why: string) => Error): PublicJwk {
  const { kty, crv, x, y }: JsonObject = asObject(value) ?? {};
  if (kty !== "EC" || typeof crv !== "string") throw refuse("it is not an EC key");
  const length = COORDINATES.get(crv);
  if (length === undefined) throw refuse("its curve is not P-256, P-384 or P-521");
  if (decodeUrl(x)?.byteLength !== length || decodeUrl(y)?.byteLength !== length) {
    throw refuse("its coordinates do not have the length of the curve");
  }
  return { kty, crv, x: x as string, y: y as string };
}

/** Decodes base64url without padding (RFC 7515 section 2); `undefined` for any other value. */
export function decodeUrl(value: unknown): Buffer | undefined {
  if (typeof value !== "string" || !/^[\w-]*$/.test(value)) return undefined;
  const bytes = Buffer.from(value, "base64url");
  // Another text for the same bytes would have another thumbprint.
  return bytes.toString("base64url") === value ? bytes : undefined;
}

/** The hashes of thumbprints, by the lengths of the thumbprints; `tang-show-keys` prints SHA-256. */
const HASHES: ReadonlyMap<number, string> = /* @__PURE__ */ new Map([
  [27, "sha1"],
  [43, "sha256"],
]);

/** Returns the RFC 7638 thumbprint of a public EC key with SHA-256, which Clevis calls S256. */
export function thumbprintOf(key: PublicJwk): string {
  return thumbprintWith(key, "sha256");
}

/** Whether a thumbprint with SHA-1 or SHA-256 is that of a key. */
export function hasThumbprint(key: PublicJwk, thumbprint: string): boolean {
  const hash = HASHES.get(thumbprint.length);
  return hash !== undefined && thumbprintWith(key, hash) === thumbprint;
}

function thumbprintWith({ crv, kty, x, y }: PublicJwk, hash: string): string {
  return createHash(hash).update(JSON.stringify({ crv, kty, x, y })).digest("base64url");
}

/** Whether a text has the form of a thumbprint. */
export function isThumbprint(text: string): boolean {
  return HASHES.has(text.length) && decodeUrl(text) !== undefined;
}

async function curveOf(crv: string): Promise<ECDSA> {
  const { p256, p384, p521 } = await import("@noble/curves/nist.js");
  return crv === "P-256" ? p256 : crv === "P-384" ? p384 : p521;
}

/**
 * Returns the point of a public key.
 *
 * @throws the error that `refuse` returns for a point that is not on the curve, or is infinity
 */
export async function pointOf(key: PublicJwk, refuse: (why: string) => Error): Promise<Point> {
  const { Point: curve } = await curveOf(key.crv);
  const number = (text: string): bigint =>
    BigInt(`0x${Buffer.from(text, "base64url").toString("hex")}`);
  try {
    const point = curve.fromAffine({ x: number(key.x), y: number(key.y) });
    point.assertValidity();
    return point;
  } catch {
    throw refuse("its point is not on the curve");
  }
}

/** Returns the public key of a point. */
export function jwkOf(point: Point, crv: string): PublicJwk {
  const { x, y } = point.toAffine();
  const text = (value: bigint): string => coordinate(value, crv).toString("base64url");
  return { kty: "EC", crv, x: text(x), y: text(y) };
}

function coordinate(value: bigint, crv: string): Buffer {
  const length = COORDINATES.get(crv) ?? 0;
  return Buffer.from(value.toString(16).padStart(2 * length, "0"), "hex");
}

/** A blinded request to a server, and the way to the secret in its answer. */
export interface Blinded {
  /** The point to send. */
  request: PublicJwk;
  /**
   * Returns the x coordinate of the shared point. The caller wipes it.
   *
   * @throws the error that `refuse` returns
   */
  open(answer: PublicJwk, refuse: (why: string) => Error): Promise<Buffer>;
}

/**
 * Starts a McCallum-Relyea exchange: the server multiplies the blinded point by its private key,
 * and learns neither the shared secret nor which layer is decrypted.
 * https://github.com/latchset/tang#recovery
 *
 * @param client the ephemeral key of the wrapped key
 * @param server the server's exchange key, on the same curve
 * @throws the error that `refuse` returns
 */
export async function blind(
  client: PublicJwk,
  server: PublicJwk,
  refuse: (why: string) => Error,
): Promise<Blinded> {
  const { crv } = client;
  if (server.crv !== crv) throw refuse("the keys are on different curves");
  const { Point: curve, utils } = await curveOf(crv);
  const [clientPoint, serverPoint] = [await pointOf(client, refuse), await pointOf(server, refuse)];
  const secret = randomScalar({ Point: curve, utils });
  const sent = clientPoint.add(curve.BASE.multiply(secret));
  if (sent.is0()) throw refuse("the blinded point is infinity");
  return {
    request: jwkOf(sent, crv),
    async open(answer, refuseAnswer) {
      if (answer.crv !== crv) throw refuseAnswer("its key is on another curve");
      const product = await pointOf(answer, refuseAnswer);
      const shared = product.subtract(serverPoint.multiply(secret));
      if (shared.is0()) throw refuseAnswer("the shared point is infinity");
      return coordinate(shared.toAffine().x, crv);
    },
  };
}

function randomScalar({ Point: curve, utils }: Pick<ECDSA, "Point" | "utils">): bigint {
  const bytes = utils.randomSecretKey();
  try {
    return curve.Fn.fromBytes(bytes);
  } finally {
    bytes.fill(0);
  }
}

/** Returns a random point, with which to ask a server whether it still has a key. */
export async function randomPoint(crv: string): Promise<PublicJwk> {
  const curve = await curveOf(crv);
  return jwkOf(curve.Point.BASE.multiply(randomScalar(curve)), crv);
}
