import { OcicryptError } from "ocicrypt";

/** An image in memory, as source and as destination. */
export function memoryImage() {
  const blobs = new Map();
  let root;
  return {
    put: (digest, bytes) => blobs.set(digest, bytes),
    holding(descriptor) {
      root = descriptor;
      return this;
    },
    resolve: () => Promise.resolve(root),
    async *read({ digest }) {
      const bytes = blobs.get(digest);
      if (bytes === undefined) throw new OcicryptError("BLOB_NOT_FOUND", digest);
      yield bytes;
    },
    contains: ({ digest }) => Promise.resolve(blobs.has(digest)),
    async write(content, describe) {
      const chunks = [];
      for await (const chunk of content) chunks.push(chunk);
      blobs.set((await describe()).digest, Buffer.concat(chunks));
    },
    writeManifest(bytes, { digest }) {
      blobs.set(digest, bytes);
      return Promise.resolve();
    },
    commit: () => Promise.resolve(),
    discard: () => Promise.resolve(),
  };
}
