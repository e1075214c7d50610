import { decryptImage } from "../../src/image/decrypt.js";
import type { DecryptImageOptions, DecryptImageResult } from "../../src/image/decrypt.js";
import { encryptImage } from "../../src/image/encrypt.js";
import type { EncryptImageOptions, EncryptImageResult } from "../../src/image/encrypt.js";
import { layoutDestination } from "../../src/store/layout/destination.js";
import { layoutSource } from "../../src/store/layout/source.js";
import { parseLayoutReference } from "../../src/store/reference.js";
import { openKey, plainRecipient } from "./layers.js";

/** Encrypts an image, each given as `DIR[:TAG]`, for a recipient that hides nothing. */
export async function encrypt(
  source: string,
  destination: string,
  options: Partial<EncryptImageOptions> = {},
): Promise<EncryptImageResult> {
  const from = layoutSource(parseLayoutReference(`oci:${source}`));
  const to = await layoutDestination(parseLayoutReference(`oci:${destination}`));
  return encryptImage(from, to, { recipients: [plainRecipient()], ...options });
}

/** Decrypts an image, each given as `DIR[:TAG]`, with the key of that recipient. */
export async function decrypt(
  source: string,
  destination: string,
  options: Partial<DecryptImageOptions> = {},
): Promise<DecryptImageResult> {
  const from = layoutSource(parseLayoutReference(`oci:${source}`));
  const to = await layoutDestination(parseLayoutReference(`oci:${destination}`));
  return decryptImage(from, to, { keys: [openKey()], ...options });
}
