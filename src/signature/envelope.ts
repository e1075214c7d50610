import { constants, verify, type KeyObject } from "node:crypto";
import { decodeBase64 } from "../spec/base64.js";
import { MAX_SIGNATURE_SIZE } from "../spec/limits.js";
import { ANY, asObject, parseJson, stringIn } from "../text/json.js";

/** Whether a signature over some bytes is valid: ECDSA, or RSA with PKCS#1 v1.5, of SHA-256. */
export function isSignedBy(key: KeyObject, bytes: Uint8Array, signature: Uint8Array): boolean {
  const padding = constants.RSA_PKCS1_PADDING;
  try {
    return verify("sha256", bytes, { key, padding, dsaEncoding: "der" }, signature);
  } catch {
    return false;
  }
}

/**
 * The digest that the payload of a simple signature names.
 * https://github.com/containers/image/blob/main/docs/containers-signature.5.md
 *
 * @returns `undefined` for any other payload
 */
export function readSimpleSigning(payload: Uint8Array): string | undefined {
  const critical = asObject(readJson(payload)?.critical);
  if (stringIn(critical, "type") !== "cosign container image signature") return undefined;
  return stringIn(critical?.image, "docker-manifest-digest");
}

/**
 * The signed bytes, the signatures and the digests in a Sigstore bundle of an image signature: an
 * in-toto statement in a DSSE envelope.
 * https://github.com/sigstore/protobuf-specs/blob/main/protos/sigstore_bundle.proto
 * https://github.com/secure-systems-lab/dsse/blob/master/protocol.md
 *
 * @returns `undefined` for any other content, such as an attestation by the same key
 */
export function readBundle(
  bundle: Uint8Array,
): { signed: Uint8Array; signatures: Uint8Array[]; digests: string[] } | undefined {
  const envelope = asObject(readJson(bundle)?.dsseEnvelope);
  const type = stringIn(envelope, "payloadType");
  const payload = decodeBase64(stringIn(envelope, "payload") ?? "-");
  if (payload === null || type !== "application/vnd.in-toto+json") return undefined;
  const statement = readJson(payload);
  if (stringIn(statement, "predicateType") !== "https://sigstore.dev/cosign/sign/v1") {
    return undefined;
  }
  const header = `DSSEv1 ${String(type.length)} ${type} ${String(payload.byteLength)} `;
  return {
    signed: Buffer.concat([Buffer.from(header), payload]),
    signatures: listOf(envelope?.signatures).flatMap(
      (each) => decodeBase64(stringIn(each, "sig") ?? "-") ?? [],
    ),
    digests: listOf(statement?.subject).flatMap((each) =>
      Object.entries(asObject(asObject(each)?.digest) ?? {}).map(
        ([algorithm, hex]) => `${algorithm}:${String(hex)}`,
      ),
    ),
  };
}

function readJson(bytes: Uint8Array): Readonly<Record<string, unknown>> | undefined {
  const refuse = (why: string): Error => new SyntaxError(why);
  try {
    return asObject(parseJson(bytes, { shape: ANY, maxSize: MAX_SIGNATURE_SIZE, refuse }));
  } catch {
    return undefined;
  }
}

function listOf(value: unknown): unknown[] {
  return Array.isArray(value) ? (value as unknown[]) : [];
}
