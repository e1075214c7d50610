import { createCipheriv, createHash } from "node:crypto";
import { registryDestination, type RegistryReference } from "../../src/registry/index.js";
import type { Descriptor } from "../../src/spec/descriptor.js";
import { chunked } from "../support/bytes.js";
import { CONFIG, digestOf, MANIFEST, TAR } from "../support/image.js";

const MIB = 1024 * 1024;

/**
 * Pushes an image whose layers all differ and nobody can compress, and is never in memory
 * as a whole.
 *
 * @param size of each layer in MiB
 */
export async function pushLargeImage(
  to: RegistryReference,
  { layers: count, size }: { layers: number; size: number },
): Promise<Descriptor> {
  const destination = await registryDestination(to, {
    credentials: () => Promise.resolve(undefined),
    chunkSize: 4 * MIB,
  });

  async function pushLayer(number: number): Promise<Descriptor> {
    const hash = createHash("sha256");
    let descriptor: Descriptor | undefined;
    const describe = (): Descriptor =>
      (descriptor ??= {
        mediaType: TAR,
        digest: `sha256:${hash.digest("hex")}`,
        size: size * MIB,
      });
    // eslint-disable-next-line @typescript-eslint/require-await -- content is asynchronous
    async function* content(): AsyncGenerator<Uint8Array> {
      const cipher = createCipheriv("aes-128-ctr", Buffer.alloc(16, number), Buffer.alloc(16));
      const zeros = Buffer.alloc(MIB);
      for (let i = 0; i < size; i++) {
        const part = cipher.update(zeros);
        hash.update(part);
        yield part;
      }
    }
    await destination.write(content(), describe);
    return describe();
  }

  const layers = await Promise.all(Array.from({ length: count }, (_, i) => pushLayer(i)));
  const rootfs = { type: "layers", diff_ids: layers.map(({ digest }) => digest) };
  const configBytes = Buffer.from(JSON.stringify({ architecture: "amd64", os: "linux", rootfs }));
  const config = describeAs(CONFIG, configBytes);
  await destination.write(chunked(configBytes, MIB), () => config);
  const bytes = Buffer.from(
    JSON.stringify({ schemaVersion: 2, mediaType: MANIFEST, config, layers }),
  );
  const image = describeAs(MANIFEST, bytes);
  await destination.writeManifest(bytes, image);
  await destination.commit(image);
  return image;
}

function describeAs(mediaType: string, bytes: Uint8Array): Descriptor {
  return { mediaType, digest: digestOf(bytes), size: bytes.byteLength };
}
