import { constants, createVerify, X509Certificate } from "node:crypto";
import { OcicryptError } from "../errors.js";
import { parts, type ByteSource } from "../io/source.js";

/** Options for verifying a blob's detached signature. */
export interface VerifyBlobOptions {
  /** The time at which the certificate must be valid. Default: now. */
  at?: Date | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * Verifies the detached signature of a blob with the key of a certificate: RSASSA-PSS with SHA-256,
 * MGF1 with SHA-256 and a salt of any length. OpenStack's image service makes such signatures, and
 * so does `openssl dgst -sha256 -sign KEY -sigopt rsa_padding_mode:pss`
 * (https://docs.openstack.org/glance/latest/user/signature.html).
 *
 * The caller must trust the certificate: only its dates are checked, and not its issuer. The
 * content is read once and not kept; use it only after this promise has resolved.
 *
 * @param signature the bytes of the signature, not base64
 * @param certificate PEM or DER
 * @throws {@link OcicryptError} `SIGNATURE_INVALID`, `KEY_UNRECOGNIZED` if the certificate is not
 *   an RSA certificate, `CERTIFICATE_NOT_YET_VALID`, `CERTIFICATE_EXPIRED`
 */
export async function verifyBlob(
  content: ByteSource,
  signature: Uint8Array,
  certificate: string | Uint8Array,
  { at = new Date(), signal }: VerifyBlobOptions = {},
): Promise<void> {
  const { publicKey: key, validFrom, validTo } = parseCertificate(certificate);
  if (at < new Date(validFrom)) {
    const message = `the certificate of the signature is valid from ${validFrom}`;
    throw new OcicryptError("CERTIFICATE_NOT_YET_VALID", message);
  }
  if (at > new Date(validTo)) {
    const message = `the certificate of the signature expired at ${validTo}`;
    throw new OcicryptError("CERTIFICATE_EXPIRED", message);
  }
  const verifier = createVerify("sha256");
  for await (const chunk of parts(content, signal)) verifier.update(chunk);
  const padding = constants.RSA_PKCS1_PSS_PADDING;
  const saltLength = constants.RSA_PSS_SALTLEN_AUTO;
  if (!verifier.verify({ key, padding, saltLength }, signature)) {
    const message =
      "the signature was not made with the certificate's key, or not for this content";
    throw new OcicryptError("SIGNATURE_INVALID", message);
  }
}

function parseCertificate(certificate: string | Uint8Array): X509Certificate {
  try {
    const parsed = new X509Certificate(certificate);
    const type = parsed.publicKey.asymmetricKeyType;
    if (type === "rsa" || type === "rsa-pss") return parsed;
  } catch {
    // The error is thrown below.
  }
  throw new OcicryptError("KEY_UNRECOGNIZED", "this is not a certificate of an RSA key");
}
