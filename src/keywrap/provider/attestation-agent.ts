import { createCipheriv, randomBytes } from "node:crypto";
import { OcicryptError } from "../../errors.js";
import { encodeBase64 } from "../../spec/base64.js";
import { isKeyId, NONCE_SIZE, openPacket, readPacket, TAG_SIZE } from "./agent-packet.js";
import type { KeyProvider } from "./messages.js";

/** The name under which confidential containers look up wrapped keys. */
export const ATTESTATION_AGENT = "attestation-agent";

export interface AttestationAgentOptions {
  /** The key encryption key that the key broker service (KBS) releases to guests: 32 bytes. */
  kek: Uint8Array;
  /**
   * The name of the key in the KBS: `kbs:///REPOSITORY/TYPE/TAG`. Needed for wrapping. A key without
   * a name unwraps whatever it opens.
   */
  keyId?: string | undefined;
}

const KEK_SIZE = 32;

/**
 * Creates a key provider in this process that wraps keys for confidential containers, in place of
 * `coco_keyprovider`. Pass it to `provider.recipient("attestation-agent", { provider })`, and store
 * the key in the KBS under its name.
 *
 * Packets are those of guest-components, attestation-agent/coco_keyprovider/src/enc_mods/mod.rs:
 * AES-256-GCM with a random nonce, the tag after the ciphertext.
 *
 * @throws {@link OcicryptError} `KEY_UNRECOGNIZED` for a key of another length,
 *   `RECIPIENT_INVALID` for a name that is not one of the KBS
 */
export function attestationAgent({ kek, keyId }: AttestationAgentOptions): KeyProvider {
  if (kek.byteLength !== KEK_SIZE) {
    const message = `the key of a KBS has ${String(KEK_SIZE)} bytes, not ${String(kek.byteLength)}`;
    throw new OcicryptError("KEY_UNRECOGNIZED", message);
  }
  if (keyId !== undefined && !isKeyId(keyId)) throw noName();
  return {
    // eslint-disable-next-line @typescript-eslint/require-await -- rejects instead of throwing
    async wrapKey({ bytes }) {
      if (keyId === undefined) throw noName();
      const nonce = randomBytes(NONCE_SIZE);
      const cipher = createCipheriv("aes-256-gcm", kek, nonce, { authTagLength: TAG_SIZE });
      const wrapped = Buffer.concat([cipher.update(bytes), cipher.final(), cipher.getAuthTag()]);
      const packet = {
        kid: keyId,
        wrapped_data: encodeBase64(wrapped),
        iv: encodeBase64(nonce),
        wrap_type: "A256GCM",
      };
      return Buffer.from(JSON.stringify(packet), "utf8");
    },
    async unwrapKey({ bytes }) {
      const packet = readPacket(bytes);
      return keyId === undefined || keyId === packet.kid ? openPacket(packet, kek) : null;
    },
  };
}

function noName(): OcicryptError {
  const message = "the name of a key in a KBS is written as kbs:///REPOSITORY/TYPE/TAG";
  return new OcicryptError("RECIPIENT_INVALID", message);
}

/** The parameters of `coco_keyprovider`: `keypath=FILE::keyid=kbs:///…::algorithm=A256GCM`. */
export interface AttestationAgentParameters {
  keyPath?: string;
  keyId?: string;
  /** Ways in which `coco_keyprovider` loses or opens an image with these parameters. */
  problems: string[];
}

export function parseParameters(params: string): AttestationAgentParameters {
  const fields = new Map<string, string>();
  for (const field of params.split("::")) {
    const [, name = "", value = ""] = /^([^=]*)=(.*)$/s.exec(field) ?? [];
    fields.set(name, value);
  }
  const keyPath = fields.get("keypath");
  const keyId = fields.get("keyid");
  const algorithm = fields.get("algorithm") ?? "A256GCM";
  const problems: string[] = [];
  if (fields.get("sample") === "true") {
    problems.push("sample=true encrypts with a key that everybody knows");
  } else if (keyPath === undefined) {
    problems.push("without keypath, coco_keyprovider makes up a key, and the image is lost unless a KBS stores it"); // prettier-ignore
  }
  if (algorithm !== "A256GCM") {
    problems.push("the algorithm is A256GCM, whatever the parameter algorithm says");
  }
  return {
    ...(keyPath !== undefined && { keyPath }),
    ...(keyId !== undefined && { keyId }),
    problems,
  };
}
