import { inverse, modulo } from "./numbers.js";

/** The curves of RFC 7518 section 6.2.1.1, y² = x³ - 3x + b modulo p; NIST SP 800-186. */
export interface Curve {
  name: string;
  /** The name in OpenSSL. */
  namedCurve: string;
  /** The object identifier, in the hexadecimal of its DER. */
  id: string;
  /** Of a coordinate and of a private key, in bytes. */
  size: number;
  p: bigint;
  b: bigint;
  /** The order of the base point. */
  order: bigint;
  base: Point;
}

export interface Point {
  x: bigint;
  y: bigint;
}

export const CURVES: readonly Curve[] = [
  {
    name: "P-256",
    namedCurve: "prime256v1",
    id: "2a8648ce3d030107",
    size: 32,
    p: 0xffffffff00000001000000000000000000000000ffffffffffffffffffffffffn,
    b: 0x5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604bn,
    order: 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n,
    base: {
      x: 0x6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296n,
      y: 0x4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5n,
    },
  },
  {
    name: "P-384",
    namedCurve: "secp384r1",
    id: "2b81040022",
    size: 48,
    p: 0xfffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffeffffffff0000000000000000ffffffffn,
    b: 0xb3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875ac656398d8a2ed19d2a85c8edd3ec2aefn,
    order:
      0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973n,
    base: {
      x: 0xaa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a385502f25dbf55296c3a545e3872760ab7n,
      y: 0x3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c00a60b1ce1d7e819d7a431d7c90ea0e5fn,
    },
  },
  {
    name: "P-521",
    namedCurve: "secp521r1",
    id: "2b81040023",
    size: 66,
    p: 2n ** 521n - 1n,
    b: 0x51953eb9618e1c9a1f929a21a0b68540eea2da725b99b315f3b8b489918ef109e156193951ec7e937b1652c0bd3bb1bf073573df883d2c34f1ef451fd46b503f00n,
    order:
      0x1fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409n,
    base: {
      x: 0xc6858e06b70404e9cd9e3ecb662395b4429c648139053fb521f828af606b4d3dbaa14b5e77efe75928fe1dc127a2ffa8de3348b3c1856a429bf97e7e31c2e5bd66n,
      y: 0x11839296a789a3bc0045c8a5fb42c7d1bd998f54449579b446817afbd17273e662c97ee72995ef42640c550b9013fad0761353c7086a272c24088be94769fd16650n,
    },
  },
];

export function isOnCurve({ p, b }: Curve, { x, y }: Point): boolean {
  return x < p && y < p && (y * y - (x * x * x - 3n * x + b)) % p === 0n;
}

/**
 * A multiple of the base point, or of another one: of a private number, the public point, for a key
 * file that leaves it out. The time that this takes depends on the number.
 */
export function multiply(curve: Curve, number: bigint, point: Point = curve.base): Point {
  let sum: Point | undefined;
  let addend = point;
  for (let rest = number; rest > 0n; rest >>= 1n) {
    if ((rest & 1n) === 1n) sum = sum === undefined ? addend : add(curve, sum, addend);
    addend = add(curve, addend, addend);
  }
  if (sum === undefined) throw new Error("the number is zero");
  return sum;
}

/** For points that are not opposite, as multiples below the order are. */
export function add({ p }: Curve, a: Point, b: Point): Point {
  const isSame = a.x === b.x;
  const slope = isSame
    ? (3n * a.x * a.x - 3n) * inverse(2n * a.y, p)
    : (b.y - a.y) * inverse(b.x - a.x, p);
  const x = modulo(slope * slope - a.x - b.x, p);
  return { x, y: modulo(slope * (a.x - x) - a.y, p) };
}
