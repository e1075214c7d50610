import { toHex } from "#engine/bytes";
import { createHash } from "#engine/hash";
import { OcicryptError } from "../errors.js";

const HEX_LENGTH = { sha256: 64, sha512: 128 } as const;

export interface Digest {
  algorithm: keyof typeof HEX_LENGTH;
  hex: string;
}

/**
 * Splits `sha256:<hex>` or `sha512:<hex>` into its parts, which are safe as file names.
 * https://github.com/opencontainers/image-spec/blob/main/descriptor.md#digests
 *
 * @throws {@link OcicryptError} `DESCRIPTOR_INVALID`
 */
export function parseDigest(digest: string): Digest {
  const match = /^(sha256|sha512):([0-9a-f]+)$/.exec(digest);
  const algorithm = match?.[1] as Digest["algorithm"] | undefined;
  const hex = match?.[2];
  if (algorithm === undefined || hex?.length !== HEX_LENGTH[algorithm]) {
    throw new OcicryptError(
      "DESCRIPTOR_INVALID",
      `${JSON.stringify(digest.slice(0, 150))} is not a sha256 or sha512 digest`,
    );
  }
  return { algorithm, hex };
}

/** The sha256 digest of content. */
export function digestOf(content: Uint8Array): string {
  return sha256Digest(createHash("sha256").update(content).digest());
}

/** The text of a digest whose bytes were computed. */
export function sha256Digest(bytes: Uint8Array): string {
  return `sha256:${toHex(bytes)}`;
}
