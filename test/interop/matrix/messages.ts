import { createCipheriv, createDecipheriv, createHmac, randomBytes } from "node:crypto";
import type { Implementation } from "./implementation.js";
import { BLOB, DIGEST, digestOf, runPeer, type EncryptedLayer } from "./layers.js";

const PREFIX = "org.opencontainers.image.enc.";

interface PrivateOptions {
  symkey: string;
  digest: string;
  cipheroptions: { nonce: string };
}

/** A program that handles messages, but neither layers nor their keys. */
interface MessageTool {
  scheme: string;
  wrap: (message: Buffer, recipients: readonly string[]) => Promise<Buffer>;
  unwrap: (wrapped: Buffer, keys: readonly string[]) => Promise<Buffer>;
}

/** Makes a program into an implementation of layers, by Node.js' cryptography alone. */
function layersBy({ scheme, wrap, unwrap }: MessageTool): Implementation<EncryptedLayer> {
  const annotation = `${PREFIX}keys.${scheme}`;
  return {
    async encrypt(recipients) {
      const [key, nonce] = [randomBytes(32), randomBytes(16)];
      const ciphertext = createCipheriv("aes-256-ctr", key, nonce).update(BLOB);
      const secret: PrivateOptions = {
        symkey: key.toString("base64"),
        digest: DIGEST,
        cipheroptions: { nonce: nonce.toString("base64") },
      };
      const hmac = createHmac("sha256", key).update(ciphertext).digest("base64");
      const open = { cipher: "AES_256_CTR_HMAC_SHA256", hmac, cipheroptions: {} };
      const wrapped = await wrap(Buffer.from(JSON.stringify(secret)), recipients);
      return {
        ciphertext,
        annotations: {
          [annotation]: wrapped.toString("base64"),
          [`${PREFIX}pubopts`]: Buffer.from(JSON.stringify(open)).toString("base64"),
        },
      };
    },
    async decrypt({ ciphertext, annotations }, keys) {
      const [wrapped = ""] = annotations[annotation]!.split(",");
      const secret = await unwrap(Buffer.from(wrapped, "base64"), keys);
      const { symkey, cipheroptions } = JSON.parse(secret.toString()) as PrivateOptions;
      const key = Buffer.from(symkey, "base64");
      const nonce = Buffer.from(cipheroptions.nonce, "base64");
      return [digestOf(createDecipheriv("aes-256-ctr", key, nonce).update(ciphertext))];
    },
  };
}

/** GnuPG, with the keys of its home and one password. */
export function gpg(password: string): Implementation<EncryptedLayer> {
  const batch = ["--batch", "--quiet", "--no-tty", "--trust-model", "always"];
  const secret = ["--pinentry-mode", "loopback", "--passphrase", password];
  return layersBy({
    scheme: "pgp",
    wrap(input, recipients) {
      const names = recipients.flatMap((recipient) => ["-r", recipient.replace(/^pgp:/, "")]);
      return runPeer("gpg", [...batch, "--encrypt", ...names], { input });
    },
    unwrap: (input) => runPeer("gpg", [...batch, ...secret, "--decrypt"], { input }),
  });
}

/** `openssl cms`; keys are a private key and its certificate. */
export const opensslCms: Implementation<EncryptedLayer> = layersBy({
  scheme: "pkcs7",
  wrap(input, recipients) {
    const args = ["cms", "-encrypt", "-binary", "-outform", "DER", "-aes-128-gcm"];
    const certificates = recipients.flatMap((recipient) => [
      "-recip",
      recipient.replace(/^pkcs7:/, ""),
    ]);
    return runPeer("openssl", [...args, ...certificates], { input });
  },
  unwrap(input, [key = "", certificate = ""]) {
    const args = ["cms", "-decrypt", "-binary", "-inform", "DER"];
    return runPeer("openssl", [...args, "-inkey", key, "-recip", certificate], { input });
  },
});
