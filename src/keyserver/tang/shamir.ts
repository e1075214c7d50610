import { checkPrime, generatePrime, randomBytes } from "node:crypto";
import { promisify } from "node:util";

/** The length of the modulus, of a secret and of each half of a share, in bytes. */
const LENGTH = 32;

/** A secret that is shared as Clevis's pin `sss` does it. */
export interface Shared {
  /** The prime modulus, 32 bytes. */
  prime: Buffer;
  /** 32 bytes. */
  secret: Buffer;
  /** Points of the polynomial: x and y, 32 bytes each. */
  shares: Buffer[];
}

/**
 * Makes a random secret and its shares; any `threshold` of them restore the secret
 * (https://doi.org/10.1145/359168.359176). The caller wipes them.
 */
export async function share(threshold: number, count: number): Promise<Shared> {
  const prime = await promisify(newPrime)();
  const modulus = toNumber(prime);
  const coefficients = Array.from({ length: threshold }, () => randomBelow(modulus));
  const taken = new Set<bigint>([0n]);
  const shares = Array.from({ length: count }, () => {
    let x: bigint;
    do x = randomBelow(modulus);
    while (taken.has(x));
    taken.add(x);
    const y = coefficients.reduceRight((sum, each) => (sum * x + each) % modulus, 0n);
    return Buffer.concat([toBytes(x), toBytes(y)]);
  });
  return { prime, secret: toBytes(coefficients[0] ?? 0n), shares };
}

function newPrime(done: (error: Error | null, prime: Buffer) => void): void {
  generatePrime(LENGTH * 8, { safe: true }, (error, prime) => {
    done(error, Buffer.from(prime));
  });
}

/** Whether a modulus is a prime of 256 bits. */
export async function isModulus(prime: Buffer): Promise<boolean> {
  const isLong = prime.byteLength === LENGTH && (prime[0] ?? 0) >= 0x80;
  return isLong && promisify<Buffer, boolean>(checkPrime)(prime);
}

/**
 * Whether a share can be combined with others: its numbers are below the modulus, and its x is
 * neither 0, where the secret is, nor that of another share.
 */
export function isShare(bytes: Uint8Array, prime: Buffer, others: readonly Uint8Array[]): boolean {
  if (bytes.byteLength !== 2 * LENGTH) return false;
  const modulus = toNumber(prime);
  const [x, y] = pointOf(bytes);
  return x > 0n && x < modulus && y < modulus && others.every((other) => pointOf(other)[0] !== x);
}

/**
 * Restores the secret from as many shares as the threshold, after {@link isShare} has accepted each
 * share. The caller wipes it.
 */
export function combine(shares: readonly Uint8Array[], prime: Buffer): Buffer {
  const modulus = toNumber(prime);
  const points = shares.map(pointOf);
  // Lagrange's polynomial at 0.
  const secret = points.reduce((sum, [x, y]) => {
    let [above, below] = [y, 1n];
    for (const [other] of points) {
      if (other === x) continue;
      above = (above * other) % modulus;
      below = (below * (other - x + modulus)) % modulus;
    }
    return (sum + above * inverse(below, modulus)) % modulus;
  }, 0n);
  return toBytes(secret);
}

/** By Fermat's little theorem. */
function inverse(value: bigint, modulus: bigint): bigint {
  let [result, base] = [1n, value];
  for (let exponent = modulus - 2n; exponent > 0n; exponent >>= 1n) {
    if ((exponent & 1n) === 1n) result = (result * base) % modulus;
    base = (base * base) % modulus;
  }
  return result;
}

function randomBelow(modulus: bigint): bigint {
  for (;;) {
    const bytes = randomBytes(LENGTH);
    const value = toNumber(bytes);
    bytes.fill(0);
    if (value < modulus) return value;
  }
}

function pointOf(bytes: Uint8Array): [bigint, bigint] {
  return [toNumber(bytes.subarray(0, LENGTH)), toNumber(bytes.subarray(LENGTH))];
}

function toNumber(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes).toString("hex")}`);
}

function toBytes(value: bigint): Buffer {
  return Buffer.from(value.toString(16).padStart(2 * LENGTH, "0"), "hex");
}
