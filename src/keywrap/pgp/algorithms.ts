/** The public-key algorithms that encrypt and can be used here; RFC 9580 section 9.1. */
const ENCRYPTION_ALGORITHMS: ReadonlyMap<number, string> = /* @__PURE__ */ new Map([
  [1, "RSA"],
  [2, "RSA"],
  [16, "ElGamal"],
  [18, "ECDH"],
  [25, "X25519"],
  [26, "X448"],
]);

/** Whether keys with this algorithm can be recipients. */
export function canEncrypt(algorithm: number): boolean {
  return ENCRYPTION_ALGORITHMS.has(algorithm);
}

/** The name of an algorithm for people. */
export function algorithmName(algorithm: number): string {
  return ENCRYPTION_ALGORITHMS.get(algorithm) ?? `algorithm ${String(algorithm)}`;
}
