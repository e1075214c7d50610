import type { Bytes } from "../types.js";
import { fromHex, toHex } from "./bytes.js";

export function toBigInt(bytes: Uint8Array): bigint {
  return BigInt(`0x0${toHex(bytes)}`);
}

export function toBytes(value: bigint, size: number): Bytes {
  return fromHex(value.toString(16).padStart(2 * size, "0"));
}

/** In bytes. */
export function sizeOf(value: bigint): number {
  return Math.ceil(value.toString(16).length / 2);
}

export function modulo(value: bigint, p: bigint): bigint {
  return ((value % p) + p) % p;
}

/** The extended algorithm of Euclid; meaningless for a number that has no inverse. */
export function inverse(value: bigint, p: bigint): bigint {
  let [a, b] = [modulo(value, p), p];
  let [u, v] = [1n, 0n];
  while (a > 1n) {
    const quotient = b / a;
    [a, b] = [b % a, a];
    [u, v] = [v - quotient * u, u];
  }
  return modulo(u, p);
}

/** Four bits of the exponent at a time; every digit takes the same operations. */
export function power(base: bigint, exponent: bigint, modulus: bigint): bigint {
  const powers = [1n];
  for (let i = 0; i < 15; i++) powers.push(((powers[i] ?? 0n) * base) % modulus);
  let result = 1n;
  for (const digit of exponent.toString(16)) {
    for (let i = 0; i < 4; i++) result = (result * result) % modulus;
    result = (result * (powers[parseInt(digit, 16)] ?? 0n)) % modulus;
  }
  return result;
}
