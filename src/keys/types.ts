import type { KeyObject } from "node:crypto";

/** An RSA, EC or other key pair's half, with what its JWK said of it. */
export interface AsymmetricKey {
  key: KeyObject;
  kid?: string;
  alg?: string;
  /** Stood in a JWK Set, which can hold keys for other uses: RFC 7517, section 5. */
  isOfSet?: boolean;
}
