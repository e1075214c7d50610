import { createHash } from "node:crypto";
import { readUint, type Packet } from "./packets.js";

/** A primary key or a subkey, by what identifies it. */
export interface KeyIdentity {
  /** The number of the public-key algorithm; RFC 9580 section 9.1. */
  algorithm: number;
  /** Lower-case hex. */
  fingerprint: string;
  /** 16 lower-case hex digits. */
  keyId: string;
}

type Field = "integer" | "counted" | number;

const INTEGERS = (count: number): Field[] => Array<Field>(count).fill("integer");

/** The public fields of each algorithm; RFC 9580 section 5.5.5. A number is a size in bytes. */
const PUBLIC_FIELDS: ReadonlyMap<number, readonly Field[]> = /* @__PURE__ */ new Map([
  [1, INTEGERS(2)],
  [2, INTEGERS(2)],
  [3, INTEGERS(2)],
  [16, INTEGERS(3)],
  [17, INTEGERS(4)],
  [18, ["counted", "integer", "counted"]],
  [19, ["counted", "integer"]],
  [22, ["counted", "integer"]],
  [25, [32]],
  [26, [56]],
  [27, [32]],
  [28, [57]],
]);

/**
 * Identifies a public or secret key packet; RFC 9580 section 5.5.4. `undefined` for one that is
 * damaged, of another version than 4 and 6, or of an unknown algorithm.
 */
export function identifyKey({ body }: Packet): KeyIdentity | undefined {
  const [version] = body;
  const algorithm = body[5];
  if (algorithm === undefined) return undefined;
  if (version === 4) {
    const end = skipFields(body, 6, PUBLIC_FIELDS.get(algorithm));
    if (end === undefined) return undefined;
    const head = Buffer.from([0x99, end >> 8, end & 0xff]);
    const fingerprint = digest("sha1", head, body.subarray(0, end));
    return { algorithm, fingerprint, keyId: fingerprint.slice(-16) };
  }
  if (version === 6) {
    const length = readUint(body, 6, 4);
    if (length === undefined || 10 + length > body.byteLength) return undefined;
    const head = Buffer.alloc(5, 0x9b);
    head.writeUInt32BE(10 + length, 1);
    const fingerprint = digest("sha256", head, body.subarray(0, 10 + length));
    return { algorithm, fingerprint, keyId: fingerprint.slice(0, 16) };
  }
  return undefined;
}

function skipFields(
  body: Uint8Array,
  start: number,
  fields: readonly Field[] | undefined,
): number | undefined {
  if (fields === undefined) return undefined;
  let at = start;
  for (const field of fields) {
    if (field === "integer") {
      const bits = readUint(body, at, 2);
      if (bits === undefined) return undefined;
      at += 2 + Math.ceil(bits / 8);
    } else if (field === "counted") at += 1 + (body[at] ?? 0);
    else at += field;
  }
  return at > body.byteLength || at > 0xffff ? undefined : at;
}

function digest(algorithm: string, ...parts: Uint8Array[]): string {
  const hash = createHash(algorithm);
  for (const part of parts) hash.update(part);
  return hash.digest("hex");
}
