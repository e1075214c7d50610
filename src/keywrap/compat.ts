import { OcicryptError } from "../errors.js";
import { isEncryptedMediaType, plainMediaType } from "../spec/media-types.js";
import type { Recipient } from "./types.js";

/**
 * The readers for which an image is made: `go` is containers/ocicrypt, which skopeo, buildah,
 * podman, containerd and CRI-O use; `coco` is ocicrypt-rs, which confidential containers use.
 */
export const PROFILES = ["go", "coco"] as const;

export type CompatProfile = (typeof PROFILES)[number];

/**
 * The media types that image-rs treats as encrypted (image-rs/src/decrypt.rs,
 * ocicrypt-rs/src/spec.rs).
 */
const COCO_LAYER =
  /^application\/vnd\.oci\.image\.layer\.(?:nondistributable\.)?v1\.tar(?:\+gzip)?$/;

/** The algorithms that josekit uses for RSA and EC keys (ocicrypt-rs/src/keywrap/jwe.rs). */
const COCO_ALGORITHMS = ["RSA-OAEP", "ECDH-ES+A256KW"];

const GO_SCHEMES = ["jwe", "pkcs7", "pgp", "pkcs11"];

/**
 * Returns the reason why the readers of a profile cannot use a recipient; `undefined` if they can.
 */
export function recipientProblem(
  profile: CompatProfile,
  { scheme, algorithm }: { scheme: string; algorithm?: string | undefined },
): string | undefined {
  if (scheme.startsWith("provider.")) return undefined;
  if (profile === "go") {
    return GO_SCHEMES.includes(scheme) ? undefined : `Go does not support ${scheme} recipients`;
  }
  if (scheme !== "jwe") return `confidential containers do not support ${scheme} recipients`;
  if (algorithm === undefined || COCO_ALGORITHMS.includes(algorithm)) return undefined;
  return `confidential containers do not support ${algorithm}, only ${COCO_ALGORITHMS.join(" and ")}`;
}

/**
 * Returns the reason why the readers of a profile cannot decrypt a layer; `undefined` if they can.
 *
 * @param mediaType the media type of the encrypted layer
 */
export function layerProblem(profile: CompatProfile, mediaType: string): string | undefined {
  // All readers rely on the type: they do not decrypt a layer of a plain type, even if it has
  // wrapped keys.
  if (!isEncryptedMediaType(mediaType)) {
    return `an encrypted layer is of type ${mediaType}, which readers treat as plain`;
  }
  if (profile === "go" || COCO_LAYER.test(plainMediaType(mediaType))) return undefined;
  return `confidential containers cannot decrypt layers of type ${mediaType}`;
}

/**
 * Rejects anything that the readers of a profile could not decrypt.
 *
 * @param mediaTypes the media types of the encrypted layers
 * @throws {@link OcicryptError} `PROFILE_IMPOSSIBLE`
 */
export function requireCompatible(
  profile: CompatProfile | undefined,
  recipients: readonly Recipient[],
  mediaTypes: readonly string[],
): void {
  if (profile === undefined) return;
  const problems = [
    ...recipients.map((recipient) => recipientProblem(profile, recipient)),
    ...mediaTypes.map((mediaType) => layerProblem(profile, mediaType)),
  ].filter((problem) => problem !== undefined);
  if (problems.length === 0) return;
  throw new OcicryptError("PROFILE_IMPOSSIBLE", [...new Set(problems)].join("; "));
}
