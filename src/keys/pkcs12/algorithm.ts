import { Integer, ObjectIdentifier } from "asn1js";
import { OcicryptError } from "../../errors.js";
import { childrenOf, type Asn1Node } from "../asn1.js";

/** AlgorithmIdentifier: RFC 5280 section 4.1.1.2. */
export interface Algorithm {
  id: string;
  parameters: Asn1Node | undefined;
}

/** @throws {Error} when it is malformed */
export function readAlgorithm(node: unknown): Algorithm {
  const [id, parameters] = childrenOf(node);
  return { id: identifierOf(id), parameters };
}

/** @throws {Error} when it is no OBJECT IDENTIFIER */
export function identifierOf(node: unknown): string {
  if (!(node instanceof ObjectIdentifier)) throw new Error("an element is no identifier");
  return node.getValue();
}

/** A positive INTEGER. @throws {Error} when it is none, or not exact as a number */
export function countOf(node: unknown): number {
  const bytes = node instanceof Integer ? node.valueBlock.valueHexView : new Uint8Array();
  const value = bytes.reduce((sum, byte) => sum * 256 + byte, 0);
  const isNegative = ((bytes[0] ?? 0) & 0x80) !== 0;
  if (value === 0 || isNegative || bytes.byteLength > 6) throw new Error("an element is no count");
  return value;
}

/**
 * A number of iterations. They are spent before anything tells whether the file deserves it.
 *
 * @throws {@link OcicryptError} `KEY_UNSUPPORTED` when there are too many
 * @throws {Error} when it is none
 */
export function iterationsOf(node: unknown, most: number): number {
  const iterations = countOf(node);
  if (iterations <= most) return iterations;
  throw unsupported(`it derives a key with more than ${String(most)} iterations`);
}

/** @returns {@link OcicryptError} `KEY_UNSUPPORTED` */
export function unsupported(why: string): OcicryptError {
  return new OcicryptError("KEY_UNSUPPORTED", `the PKCS #12 file can not be read: ${why}`);
}
