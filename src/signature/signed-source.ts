import { constants, createPublicKey, KeyObject, verify, X509Certificate } from "node:crypto";
import { collect } from "../io/source.js";
import { isOcicryptError, OcicryptError } from "../errors.js";
import { verified } from "../io/content.js";
import { recoverKeyFile } from "../keys/material.js";
import { decodeBlock, pemBlocks } from "../keys/pem.js";
import { decodeBase64 } from "../spec/base64.js";
import type { Descriptor } from "../spec/descriptor.js";
import {
  MAX_MANIFEST_SIZE,
  MAX_SIGNATURE_MANIFESTS,
  MAX_SIGNATURE_SIZE,
  MAX_SIGNATURES,
} from "../spec/limits.js";
import { parseDocument } from "../spec/manifest.js";
import { MEDIA_TYPE_MANIFEST } from "../spec/media-types.js";
import type { ImageSource, StoreOptions } from "../store/types.js";
import { ANY, asObject, parseJson, stringIn } from "../text/json.js";

const SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json";
const BUNDLE = /^application\/vnd\.dev\.sigstore\.bundle\.v0\.\d+\+json$/;
/** https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md */
const SIGNATURE = "dev.cosignproject.cosign/signature";

/** A public key or certificate: PEM text, the bytes of a PEM or DER file, or a `KeyObject`. */
export type VerificationKey = string | Uint8Array | KeyObject;

/**
 * Returns a source that resolves to an image only if cosign signed its manifest or index with one
 * of the keys. It looks for signatures only where the image is stored: at the tag `sha256-….sig`
 * and among the referrers. It does not use the transparency log or certificate authorities. The
 * signed digest covers everything else in the image.
 *
 * `resolve` rejects with {@link OcicryptError} `SIGNATURE_MISSING` for an image without a
 * signature, and `SIGNATURE_INVALID` if no signature was made for this image with one of the keys.
 *
 * @param keys the accepted keys, ECDSA or RSA (PKCS#1 v1.5); one of them must have signed the image
 * @throws {@link OcicryptError} `KEY_UNRECOGNIZED`; `KEY_UNSUPPORTED` for other types of keys
 * @throws {RangeError} if no key is given
 */
export function signedSource(
  source: ImageSource,
  keys: VerificationKey | readonly VerificationKey[],
): ImageSource {
  const parsed = (Array.isArray(keys) ? (keys as readonly VerificationKey[]) : [keys]).map((key) =>
    parseVerificationKey(key as VerificationKey),
  );
  if (parsed.length === 0) throw new RangeError("a signed source needs a key");
  return {
    place: source.place,
    async resolve(options = {}) {
      const image = await source.resolve(options);
      await requireSignature(source, image.digest, parsed, options);
      return image;
    },
    read: (descriptor, options) => source.read(descriptor, options),
    ...(source.contains && { contains: source.contains.bind(source) }),
    referrers: async (digest, options) => (await source.referrers?.(digest, options)) ?? [],
    find: (tag, options) => source.find?.(tag, options) ?? Promise.resolve(undefined),
  };
}

function parseVerificationKey(key: VerificationKey): KeyObject {
  const parsed = readPublicKey(key);
  const type = parsed.asymmetricKeyType;
  if (type === "ec" || type === "rsa") return parsed;
  // For an Ed25519 key cosign makes Ed25519ph signatures, which node:crypto cannot verify.
  const message = `keys of the type ${String(type)} cannot verify signatures here; use ECDSA or RSA`;
  throw new OcicryptError("KEY_UNSUPPORTED", message);
}

function readPublicKey(key: VerificationKey): KeyObject {
  if (key instanceof KeyObject && key.type === "public") return key;
  try {
    if (!(key instanceof KeyObject)) return fromFile(recoverKeyFile(key));
  } catch {
    // The error is thrown below.
  }
  const message = "the key for signatures is not a public key or certificate in PEM or DER";
  throw new OcicryptError("KEY_UNRECOGNIZED", message);
}

/** Private keys are rejected, because Node.js would derive the public key. */
function fromFile(file: string | Uint8Array): KeyObject {
  const [block] = typeof file === "string" ? pemBlocks(file) : [];
  const der = Buffer.from(block === undefined ? file : decodeBlock(block));
  if (block?.label === "CERTIFICATE") return new X509Certificate(der).publicKey;
  const type = block?.label === "RSA PUBLIC KEY" ? "pkcs1" : "spki";
  return createPublicKey({ key: der, format: "der", type });
}

async function requireSignature(
  source: ImageSource,
  digest: string,
  keys: readonly KeyObject[],
  options: StoreOptions,
): Promise<void> {
  let count = 0;
  for (const manifest of await signatureManifests(source, digest, options)) {
    const { layers } = await readManifest(source, manifest, options);
    for (const { descriptor } of layers) {
      const isBundle = BUNDLE.test(descriptor.mediaType);
      if (!isBundle && descriptor.mediaType !== SIMPLE_SIGNING) continue;
      if (++count > MAX_SIGNATURES || descriptor.size > MAX_SIGNATURE_SIZE) break;
      const content = await readAll(source, descriptor, options);
      const isValid = isBundle
        ? isValidBundle(content, digest, keys)
        : isValidSimple(content, descriptor, digest, keys);
      if (isValid) return;
    }
  }
  if (count === 0) {
    throw new OcicryptError("SIGNATURE_MISSING", `the image ${digest} has no cosign signature`);
  }
  const message = `no signature of the image ${digest} was made for it with the given key`;
  throw new OcicryptError("SIGNATURE_INVALID", message);
}

function isValidSimple(
  payload: Uint8Array,
  { annotations }: Descriptor,
  digest: string,
  keys: readonly KeyObject[],
): boolean {
  const signature = decodeBase64(annotations?.[SIGNATURE] ?? "-");
  if (signature === null || readSimpleSigning(payload) !== digest) return false;
  return keys.some((key) => isSignedBy(key, payload, signature));
}

function isValidBundle(content: Uint8Array, digest: string, keys: readonly KeyObject[]): boolean {
  const bundle = readBundle(content);
  if (bundle?.digests.includes(digest) !== true) return false;
  return bundle.signatures
    .slice(0, MAX_SIGNATURES)
    .some((signature) => keys.some((key) => isSignedBy(key, bundle.signed, signature)));
}

/**
 * Returns the manifests that may contain signatures of an image. A missing or unreadable manifest
 * has no signatures.
 */
async function signatureManifests(
  source: ImageSource,
  digest: string,
  options: StoreOptions,
): Promise<Descriptor[]> {
  const tagged = await source.find?.(`${digest.replace(":", "-")}.sig`, options);
  const referrers = (await source.referrers?.(digest, options)) ?? [];
  return [...(tagged === undefined ? [] : [tagged]), ...referrers]
    .filter(({ mediaType, size }) => mediaType === MEDIA_TYPE_MANIFEST && size <= MAX_MANIFEST_SIZE)
    .slice(0, MAX_SIGNATURE_MANIFESTS);
}

async function readManifest(source: ImageSource, manifest: Descriptor, options: StoreOptions) {
  try {
    const bytes = await readAll(source, manifest, options);
    const document = parseDocument(bytes, manifest.mediaType);
    return document.kind === "manifest" ? document : { layers: [] };
  } catch (error) {
    if (isOcicryptError(error, "MANIFEST_INVALID")) return { layers: [] };
    throw error;
  }
}

async function readAll(
  source: ImageSource,
  descriptor: Descriptor,
  { signal }: StoreOptions,
): Promise<Uint8Array> {
  return collect(verified(source.read(descriptor, { signal }), descriptor, signal));
}

/**
 * Whether a signature over some bytes is valid: ECDSA, or RSA with PKCS#1 v1.5, both with SHA-256.
 */
function isSignedBy(key: KeyObject, bytes: Uint8Array, signature: Uint8Array): boolean {
  const padding = constants.RSA_PKCS1_PADDING;
  try {
    return verify("sha256", bytes, { key, padding, dsaEncoding: "der" }, signature);
  } catch {
    return false;
  }
}

/**
 * Returns the digest that the payload of a simple signature names.
 * https://github.com/containers/image/blob/main/docs/containers-signature.5.md
 *
 * @returns `undefined` for any other payload
 */
function readSimpleSigning(payload: Uint8Array): string | undefined {
  const critical = asObject(readJson(payload)?.critical);
  if (stringIn(critical, "type") !== "cosign container image signature") return undefined;
  return stringIn(critical?.image, "docker-manifest-digest");
}

/**
 * Reads the signed bytes, the signatures and the digests of an image signature in a Sigstore
 * bundle, which is an in-toto statement in a DSSE envelope.
 * https://github.com/sigstore/protobuf-specs/blob/main/protos/sigstore_bundle.proto
 * https://github.com/secure-systems-lab/dsse/blob/master/protocol.md
 *
 * @returns `undefined` for any other content, such as an attestation by the same key
 */
function readBundle(
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
