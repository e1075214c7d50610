import { createHash, randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readKeys } from "../../../src/cli/keys.js";
import { readRecipients } from "../../../src/cli/recipients.js";
import {
  addRecipients,
  decryptLayer,
  encryptionSchemes,
  encryptLayer,
  type Recipient,
} from "../../../src/index.js";
import { collect } from "../../support/bytes.js";
import { run, type RunOptions } from "../peers.js";
import { PeerError, type Implementation, type Ours } from "./implementation.js";

export interface EncryptedLayer {
  ciphertext: Buffer;
  annotations: Record<string, string>;
}

export const TAR = "application/vnd.oci.image.layer.v1.tar";
export const BLOB: Buffer = randomBytes(100_001);
export const DIGEST: string = digestOf(BLOB);

export function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

/** Single layers, by the library. */
export const ourLayers: Ours<EncryptedLayer> = {
  content: [DIGEST],
  async encrypt(recipients) {
    const layer = encryptLayer(BLOB, {
      descriptor: { mediaType: TAR, digest: DIGEST, size: BLOB.byteLength },
      recipients: await recipientsOf(recipients),
    });
    const ciphertext = await collect(layer.stream);
    return { ciphertext, annotations: (await layer.finalize()).annotations ?? {} };
  },
  async decrypt(layer, keys) {
    const { stream } = await decryptLayer(layer.ciphertext, {
      descriptor: descriptorOf(layer),
      keys: await readKeys(keys),
    });
    return [digestOf(await collect(stream))];
  },
  async add(layer, keys, recipients) {
    const { annotations } = await addRecipients(descriptorOf(layer), {
      keys: await readKeys(keys),
      recipients: await recipientsOf(recipients),
    });
    return { ...layer, annotations };
  },
  schemesOf: (layer) => encryptionSchemes(descriptorOf(layer)),
};

/** As the command reads them. */
export async function recipientsOf(texts: readonly string[]): Promise<Recipient[]> {
  const options = { strict: false, keyRings: [], onWarning: () => undefined };
  return (await Promise.all(texts.map((text) => readRecipients(text, options)))).flat();
}

function descriptorOf({ annotations }: EncryptedLayer): {
  mediaType: string;
  annotations: Record<string, string>;
} {
  return { mediaType: `${TAR}+encrypted`, annotations };
}

/** The program of `vectors/`, which calls the Go library for single layers. */
export function goProgram(program: string, directory: string): Implementation<EncryptedLayer> {
  const file = join(directory, "annotations.json");
  return {
    async encrypt(recipients) {
      const about = ["-digest", DIGEST, "-mediatype", TAR, "-annotations", file];
      const whom = recipients.flatMap((recipient) => ["-recipient", recipient]);
      const ciphertext = await runPeer(program, ["encrypt", ...whom, ...about], { input: BLOB });
      const annotations = JSON.parse(readFileSync(file, "utf8")) as Record<string, string>;
      return { ciphertext, annotations };
    },
    async decrypt({ ciphertext, annotations }, keys) {
      writeFileSync(file, JSON.stringify(annotations));
      const by = keys.flatMap((key) => ["-key", key]);
      const args = ["decrypt", ...by, "-annotations", file];
      return [digestOf(await runPeer(program, args, { input: ciphertext }))];
    },
  };
}

/** Runs a peer and gives its output. */
export async function runPeer(
  program: string,
  args: readonly string[],
  options?: RunOptions,
): Promise<Buffer> {
  const { status, stdout, stderr } = await run(program, args, options);
  if (status !== 0) throw new PeerError(stderr);
  return stdout;
}
