import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { registryDestination, registrySource } from "../../src/registry/index.js";
import { archiveDestination } from "../../src/store/archive/destination.js";
import { archiveSource } from "../../src/store/archive/source.js";
import { layoutDestination } from "../../src/store/layout/destination.js";
import { layoutSource } from "../../src/store/layout/source.js";
import type { ImageDestination, ImageSource } from "../../src/store/types.js";
import { at, QUICK, testRegistry, type TestRegistry } from "../registry/server.js";
import { memoryImage, type MemoryImage } from "../../src/store/memory.js";
import { readBlob, readEntries, snapshot, tar, type Entry } from "./image.js";

/** Where one image can be. */
export interface Place {
  source: () => ImageSource;
  destination: () => Promise<ImageDestination>;
  /** The names of all that is there, finished or not. */
  names: () => Promise<string[]>;
}

/** Makes a place that only one test uses. */
export interface PlaceKind {
  /** @param directory that is empty */
  empty: (directory: string) => Promise<Place>;
  /** With the image of a layout, whatever that is. */
  of: (layout: string, directory: string) => Promise<Place>;
}

const REPOSITORY = "app";

export const PLACES: Record<"layout" | "archive" | "registry" | "memory", PlaceKind> = {
  layout: {
    empty: (directory) => Promise.resolve(layoutAt(join(directory, "new"), directory)),
    of: (layout) => Promise.resolve(layoutAt(layout, layout)),
  },
  archive: {
    empty: (directory) => Promise.resolve(archiveIn(directory)),
    async of(layout, directory) {
      await writeFile(join(directory, "image.tar"), await packed(layout));
      return archiveIn(directory);
    },
  },
  registry: {
    empty: async () => inRegistry(await testRegistry()),
    async of(layout) {
      const registry = await testRegistry();
      const [image] = await readEntries(layout);
      await upload(registry, layout, image!);
      const { mediaType, bytes } = registry.manifests.get(`${REPOSITORY}@${image!.digest}`)!;
      registry.manifests.set(`${REPOSITORY}:latest`, { mediaType, bytes });
      return inRegistry(registry);
    },
  },
  memory: {
    empty: () => Promise.resolve(inMemory(memoryImage())),
    async of(layout) {
      const image = memoryImage();
      const [entry] = await readEntries(layout);
      await load(image, layout, entry!);
      await image.commit(entry!);
      return inMemory(image);
    },
  },
};

function inMemory(image: MemoryImage): Place {
  return {
    source: () => image,
    destination: () => Promise.resolve(image),
    names: () => Promise.resolve([...image.blobs.keys()]),
  };
}

/** Puts into memory what a descriptor means, by the digest that it says. */
async function load(image: MemoryImage, layout: string, entry: Entry): Promise<void> {
  if (image.blobs.has(entry.digest)) return;
  const bytes = await readBlob(layout, entry);
  image.blobs.set(entry.digest, bytes);
  for (const part of partsOf(entry.mediaType, bytes)) await load(image, layout, part);
}

function layoutAt(path: string, directory: string): Place {
  return {
    source: () => layoutSource({ path }),
    destination: () => layoutDestination({ path }),
    names: async () => Object.keys(await snapshot(directory)),
  };
}

function archiveIn(directory: string): Place {
  const path = join(directory, "image.tar");
  return {
    source: () => archiveSource({ path }),
    destination: () => archiveDestination({ path }),
    names: () => readdir(directory),
  };
}

function inRegistry(registry: TestRegistry): Place {
  const reference = at(registry, REPOSITORY, "latest");
  return {
    source: () => registrySource(reference, QUICK),
    destination: () => registryDestination(reference, QUICK),
    names: () =>
      Promise.resolve(
        [registry.blobs, registry.manifests, registry.uploads].flatMap((map) => [...map.keys()]),
      ),
  };
}

/** The files of a layout in a tar archive. */
async function packed(layout: string): Promise<Buffer> {
  const files: Record<string, Buffer> = {};
  for (const [name, kind] of Object.entries(await snapshot(layout))) {
    if (kind !== "-") files[name] = await readFile(join(layout, name));
  }
  return tar(files);
}

/** Puts into a registry what a descriptor means, by the digest that it says. */
async function upload(registry: TestRegistry, layout: string, entry: Entry): Promise<void> {
  const name = `${REPOSITORY}@${entry.digest}`;
  const { mediaType } = entry;
  if (registry.manifests.has(name)) return;
  const bytes = await readBlob(layout, entry);
  if (!isDocument(mediaType)) {
    registry.blobs.set(name, bytes);
    return;
  }
  registry.manifests.set(name, { mediaType, bytes });
  for (const part of partsOf(mediaType, bytes)) await upload(registry, layout, part);
}

/** Whether a media type is that of a manifest or index, of OCI's format or Docker's. */
export function isDocument(mediaType: string): boolean {
  return /(manifest|index|list)\.v[12]\+json$/.test(mediaType);
}

/** The descriptors in a manifest or index; a blob has none. */
export function partsOf(mediaType: string, bytes: Uint8Array): Entry[] {
  if (!isDocument(mediaType)) return [];
  const { config, layers, manifests } = JSON.parse(Buffer.from(bytes).toString()) as {
    config?: Entry;
    layers?: Entry[];
    manifests?: Entry[];
  };
  return [...(config ? [config] : []), ...(layers ?? []), ...(manifests ?? [])];
}
