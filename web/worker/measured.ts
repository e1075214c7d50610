import type { ImageSource } from "../../src/store/types.js";
import type { LayerName } from "../protocol.js";
import type { Context } from "./context.js";

/** Returns a source that reports how many bytes of some layers were read. */
export function measured(
  source: ImageSource,
  layers: readonly LayerName[],
  report: Context["report"],
): ImageSource {
  const sizes = new Map(layers.map(({ digest, size }) => [digest, size]));
  const total = layers.reduce((sum, { size }) => sum + size, 0);
  let done = 0;
  return {
    resolve: (options) => source.resolve(options),
    async *read(descriptor, options) {
      for await (const chunk of source.read(descriptor, options)) {
        if (sizes.has(descriptor.digest)) {
          done += chunk.byteLength;
          report({ done: Math.min(done, total), total });
        }
        yield chunk;
      }
    },
  };
}
