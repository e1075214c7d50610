import { Constructed, fromBER, Integer, OctetString, Primitive, type BaseBlock } from "asn1js";
import { MAX_ASN1_DEPTH, MAX_ASN1_NODES } from "../spec/limits.js";

/** Any element that asn1js has parsed. */
export type Asn1Node = BaseBlock;

/**
 * Parses one element of BER and rejects bytes that follow it.
 *
 * @param maxNodes how many elements there may be; each takes about 10 microseconds
 * @throws {Error} if it is malformed
 */
export function parseBer(bytes: Uint8Array, maxNodes: number = MAX_ASN1_NODES): Asn1Node {
  const limits = {
    maxDepth: MAX_ASN1_DEPTH,
    maxNodes,
    maxContentLength: bytes.byteLength,
  };
  const { offset, result } = fromBER(bytes, { ...limits, parseEmbedded: false });
  if (offset !== bytes.byteLength) throw new Error("malformed BER");
  return result;
}

/**
 * Returns the elements of a constructed element, and of Go's SEQUENCE that is marked as primitive.
 */
export function childrenOf(node: unknown): readonly Asn1Node[] {
  if (!(node instanceof Constructed)) throw new Error("an element is not constructed");
  return node.valueBlock.value;
}

/** Whether an element has a tag of the context-specific class. */
export function hasContextTag(node: Asn1Node | undefined, tag: number): node is Asn1Node {
  return node?.idBlock.tagClass === 3 && node.idBlock.tagNumber === tag;
}

/**
 * Returns the contents of an OCTET STRING in one or several parts, or of a primitive context tag.
 */
export function octetsOf(node: unknown): Uint8Array {
  if (node instanceof OctetString) return new Uint8Array(node.getValue());
  if (node instanceof Primitive) return node.valueBlock.valueHexView;
  throw new Error("an element is not an OCTET STRING");
}

/** Returns the value of a small INTEGER that is not negative. */
export function smallIntegerOf(node: unknown): number {
  const [value, ...more] = node instanceof Integer ? node.valueBlock.valueHexView : [];
  if (value === undefined || value > 0x7f || more.length > 0) {
    throw new Error("an element is not a small INTEGER");
  }
  return value;
}
