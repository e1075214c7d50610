import {
  BIT_STRING,
  type DerElement,
  INTEGER,
  OBJECT_IDENTIFIER,
  OCTET_STRING,
  readElements,
  readOnly,
  SEQUENCE,
} from "../../keys/der.js";
import { OcicryptError } from "../../errors.js";
import type { CryptoKey, KeyEngine } from "../types.js";
import { fromBase64, toBase64url, toHex } from "./bytes.js";
import { type Curve, CURVES, isOnCurve, multiply } from "./curves.js";
import { toBigInt, toBytes } from "./numbers.js";

export type Half = "public" | "private";

/** The members of a JWK: RFC 7518 section 6. */
export type Jwk = Readonly<Record<string, string>>;

/** A key with the names of a `KeyObject`, and its JWK, or a `CryptoKey` that cannot be exported here. */
export interface PlatformKey {
  readonly type: "public" | "private" | "secret";
  /** `rsa`, `ec`, or another name of Node.js; only the first two can be used. */
  readonly asymmetricKeyType?: string;
  readonly asymmetricKeyDetails?: {
    modulusLength?: number;
    publicExponent?: bigint;
    /** The name in OpenSSL. */
    namedCurve?: string;
  };
  readonly material?: Jwk | CryptoKey;
}

type Engine = KeyEngine<PlatformKey>;

/** Object identifiers in DER. */
const RSA = "2a864886f70d010101";
const EC = "2a8648ce3d0201";
/** Curves and types that nothing here can use, by their names in OpenSSL. */
const OTHER_CURVES: ReadonlyMap<string, string> = /* @__PURE__ */ new Map([
  ["2b8104000a", "secp256k1"],
  ["2b81040021", "secp224r1"],
  ["2b2403030208010107", "brainpoolP256r1"],
  ["2b240303020801010b", "brainpoolP384r1"],
  ["2b240303020801010d", "brainpoolP512r1"],
]);
const OTHER_TYPES: ReadonlyMap<string, string> = /* @__PURE__ */ new Map([
  ["2a864886f70d01010a", "rsa-pss"],
  ["2a8648ce380401", "dsa"],
  ["2b656e", "x25519"],
  ["2b656f", "x448"],
  ["2b6570", "ed25519"],
  ["2b6571", "ed448"],
]);

/** The members of RSAPrivateKey after its version: RFC 8017 appendix A.1.2. */
export const RSA_MEMBERS = ["n", "e", "d", "p", "q", "dp", "dq", "qi"] as const;

export const importDer: Engine["importDer"] = (der, form) => {
  const [outer] = readElements(der);
  if (outer?.tag !== SEQUENCE) throw invalid();
  const elements = readElements(outer.contents);
  switch (form) {
    case "pkcs1-public":
      return rsaKey(integersOf(elements.slice(0, 2)), "public");
    case "pkcs1-private":
      return rsaPrivateKey(elements);
    case "sec1":
      return sec1Key(elements, undefined);
    case "spki":
      return spkiKey(elements);
    case "pkcs8":
      return pkcs8Key(elements);
    case "certificate":
      return certificateKey(elements[0]);
  }
};

export function invalid(): Error {
  return new Error("not a valid key");
}

function integersOf(elements: readonly DerElement[]): string[] {
  return elements.map(({ tag, contents }) => {
    // X.690 section 8.3: a first bit of 1 marks a negative number.
    if (tag !== INTEGER || contents.byteLength === 0 || (contents[0] ?? 0) > 0x7f) throw invalid();
    const start = contents.findIndex((byte) => byte !== 0);
    return toBase64url(start === -1 ? contents.subarray(-1) : contents.subarray(start));
  });
}

function rsaPrivateKey([version, ...elements]: readonly DerElement[]): PlatformKey {
  const number = version && toBigInt(version.contents);
  if (number === 1n) {
    const message = "the RSA key has more than two primes, which this runtime does not support";
    throw new OcicryptError("KEY_UNSUPPORTED", message);
  }
  if (number !== 0n) throw invalid();
  return rsaKey(integersOf(elements.slice(0, RSA_MEMBERS.length)), "private");
}

function rsaKey(values: readonly string[], type: Half): PlatformKey {
  const names = type === "public" ? RSA_MEMBERS.slice(0, 2) : RSA_MEMBERS;
  if (values.length !== names.length) throw invalid();
  const members = names.map((name, at) => [name, values[at] ?? ""]);
  return rsaFrom({ kty: "RSA", ...(Object.fromEntries(members) as Jwk) }, type);
}

export function rsaFrom(material: Jwk, type: Half): PlatformKey {
  const [n, e] = [numberOf(material.n), numberOf(material.e)];
  const modulusLength = n === 0n ? 0 : n.toString(2).length;
  const details = { modulusLength, publicExponent: e };
  return { type, asymmetricKeyType: "rsa", asymmetricKeyDetails: details, material };
}

export function numberOf(text: string | undefined): bigint {
  if (text === undefined || text === "") throw invalid();
  return toBigInt(fromBase64(text));
}

/** SubjectPublicKeyInfo: RFC 5280 section 4.1. */
function spkiKey([algorithm, key]: readonly DerElement[]): PlatformKey {
  const { id, parameters } = readAlgorithm(algorithm);
  // No format here has unused bits.
  if (key?.tag !== BIT_STRING || key.contents[0] !== 0) throw invalid();
  const contents = key.contents.subarray(1);
  if (id === RSA) {
    return rsaKey(integersOf(readElements(readOnly(contents, SEQUENCE))), "public");
  }
  if (id !== EC) return otherKey(id, "public");
  const curve = curveOf(parameters);
  return curve === undefined ? otherEc(parameters, "public") : ecFrom(curve, contents);
}

/** PrivateKeyInfo: RFC 5958 section 2. */
function pkcs8Key([, algorithm, key]: readonly DerElement[]): PlatformKey {
  const { id, parameters } = readAlgorithm(algorithm);
  if (key?.tag !== OCTET_STRING) throw invalid();
  if (id !== RSA && id !== EC) return otherKey(id, "private");
  const elements = readElements(readOnly(key.contents, SEQUENCE));
  return id === RSA ? rsaPrivateKey(elements) : sec1Key(elements, parameters);
}

/** TBSCertificate: RFC 5280 section 4.1; its key follows the version, if there is one, and 5 members. */
function certificateKey(tbs: DerElement | undefined): PlatformKey {
  const members = readElements(tbs?.contents ?? new Uint8Array());
  const spki = members[members[0]?.tag === 0xa0 ? 6 : 5];
  if (spki?.tag !== SEQUENCE) throw invalid();
  return spkiKey(readElements(spki.contents));
}

function readAlgorithm(element: DerElement | undefined): {
  id: string;
  parameters: DerElement | undefined;
} {
  if (element?.tag !== SEQUENCE) throw invalid();
  const [id, parameters] = readElements(element.contents);
  if (id?.tag !== OBJECT_IDENTIFIER) throw invalid();
  return { id: toHex(id.contents), parameters };
}

function curveOf(parameters: DerElement | undefined): Curve | undefined {
  if (parameters?.tag !== OBJECT_IDENTIFIER) return undefined;
  const named = toHex(parameters.contents);
  return CURVES.find(({ id }) => id === named);
}

/** A key that is only described, because nothing here can use it. */
function otherKey(id: string, type: Half): PlatformKey {
  const asymmetricKeyType = OTHER_TYPES.get(id);
  if (asymmetricKeyType === undefined) throw invalid();
  return { type, asymmetricKeyType };
}

function otherEc(parameters: DerElement | undefined, type: Half): PlatformKey {
  // Without the name of a known curve, the curve has its own parameters.
  const isNamed = parameters?.tag === OBJECT_IDENTIFIER;
  const namedCurve = isNamed ? (OTHER_CURVES.get(toHex(parameters.contents)) ?? "?") : undefined;
  const details = namedCurve === undefined ? {} : { namedCurve };
  return { type, asymmetricKeyType: "ec", asymmetricKeyDetails: details };
}

/** ECPrivateKey: RFC 5915 section 3. */
function sec1Key(
  [version, number, ...optional]: readonly DerElement[],
  algorithm: DerElement | undefined,
): PlatformKey {
  if (version?.tag !== INTEGER || number?.tag !== OCTET_STRING) throw invalid();
  const explicit = (tag: number): DerElement | undefined => {
    const found = optional.find((element) => element.tag === tag);
    return found && readElements(found.contents)[0];
  };
  const parameters = algorithm ?? explicit(0xa0);
  const curve = curveOf(parameters);
  if (curve === undefined) return otherEc(parameters, "private");
  const point = explicit(0xa1);
  if (point !== undefined && (point.tag !== BIT_STRING || point.contents[0] !== 0)) throw invalid();
  const d = toBigInt(number.contents);
  if (d === 0n || d >= curve.order) throw invalid();
  return ecFrom(curve, point?.contents.subarray(1), d);
}

/** @param point uncompressed or compressed: SEC 1 section 2.3.3 */
export function ecFrom(curve: Curve, point: Uint8Array | undefined, d?: bigint): PlatformKey {
  const { x, y } = point === undefined ? multiply(curve, d ?? 0n) : decodePoint(curve, point);
  if (!isOnCurve(curve, { x, y })) throw invalid();
  const text = (value: bigint): string => toBase64url(toBytes(value, curve.size));
  const jwk = { kty: "EC", crv: curve.name, x: text(x), y: text(y) };
  return ecKey(curve.name, d === undefined ? jwk : { ...jwk, d: text(d) });
}

function decodePoint({ size }: Curve, point: Uint8Array): { x: bigint; y: bigint } {
  if (point[0] !== 4 || point.byteLength !== 2 * size + 1) throw invalid();
  return {
    x: toBigInt(point.subarray(1, size + 1)),
    y: toBigInt(point.subarray(size + 1)),
  };
}

export function ecKey(crv: string, material: Jwk | CryptoKey, type?: Half): PlatformKey {
  const { namedCurve = "?" } = CURVES.find(({ name }) => name === crv) ?? {};
  const half = type ?? ("d" in material ? "private" : "public");
  return { type: half, asymmetricKeyType: "ec", asymmetricKeyDetails: { namedCurve }, material };
}
