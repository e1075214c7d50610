import { OcicryptError, shown } from "../errors.js";
import { readBlob } from "../io/blobs.js";
import { scanHeaders } from "../store/archive/scan.js";
import {
  filesSource,
  listImages,
  smallFilesOf,
  type LayoutFiles,
  type NamedImage,
} from "../store/layout/images.js";
import type { ImageSource } from "../store/types.js";
import { unpackArchive } from "./unpack.js";

/** A file of a directory that was chosen or dropped. */
export interface BlobFile {
  /** Its path below the directory, such as the `webkitRelativePath` of a `File`. */
  path: string;
  content: Blob;
}

export interface OpenBlobsOptions {
  /** How messages name the image. Default: the name of the file or of the directory. */
  name?: string | undefined;
  /** The most bytes that a compressed archive may unpack to. Default: 8 GiB. */
  maxUnpackedSize?: number | undefined;
  signal?: AbortSignal | undefined;
}

/** An opened OCI layout. */
export interface BlobLayout {
  /** How messages name the layout. */
  readonly name: string;
  /**
   * The images of the layout, in the order of its `index.json`. An image without a name of its own is
   * listed by its digest.
   */
  readonly images: readonly NamedImage[];
  /**
   * Returns a source that reads an image of the layout.
   *
   * @param image the image with this tag or digest. Default: the only image
   */
  readonly source: (image?: NamedImage) => ImageSource;
}

/** The most files of a directory; the largest images, with all their platforms, have a few thousand. */
const MAX_FILES = 100_000;
/** In bytes. */
const MAX_UNPACKED = 8 * 1024 ** 3;
/** The longest path of a file in a directory, in characters. */
const MAX_PATH = 4096;

/**
 * Opens an OCI archive, or the files of a directory that is or contains one OCI layout. Content is
 * read in parts of 1 MiB where it is needed, so that the size of the blobs does not matter. An archive
 * that is compressed with gzip is unpacked into a `Blob`, which browsers keep on disk and Node.js in
 * memory; Node.js 22.15 and later unpacks zstd too.
 *
 * Directories and archives that readers could understand differently are rejected, as by
 * `archiveSource`.
 *
 * @param input a tar archive of a layout, or the files of a directory
 * @throws {@link OcicryptError} `IMAGE_NOT_FOUND` if there is no layout, `LAYOUT_INVALID`,
 *   `MANIFEST_INVALID`, `SOURCE_UNREADABLE`; `DESTINATION_FULL` without room to unpack an archive
 */
export async function openBlobs(
  input: Blob | readonly BlobFile[],
  options: OpenBlobsOptions = {},
): Promise<BlobLayout> {
  const files =
    input instanceof Blob ? await openArchive(input, options) : openDirectory(input, options);
  const { path } = files;
  const images = await listImages(path, smallFilesOf(files));
  return {
    name: path,
    images,
    source: (image = {}) =>
      filesSource(path, image, (signal) => {
        signal?.throwIfAborted();
        return Promise.resolve(files);
      }),
  };
}

async function openArchive(
  input: Blob,
  { name = nameOf(input), maxUnpackedSize = MAX_UNPACKED, signal }: OpenBlobsOptions,
): Promise<LayoutFiles> {
  const archive = await unpackArchive(input, { name, limit: maxUnpackedSize, signal });
  const { size } = archive;
  const read = (start: number, end: number): AsyncIterable<Uint8Array> =>
    readBlob(archive.slice(start, Math.min(end, size)), name);
  const parts = await scanHeaders({ size, read }, name, signal);
  return {
    path: name,
    sizeOf: (file) => parts.get(file)?.size,
    read(file) {
      const { offset, size: length } = parts.get(file) ?? { offset: 0, size: 0 };
      return read(offset, offset + length);
    },
  };
}

function openDirectory(
  input: readonly BlobFile[],
  { name, signal }: OpenBlobsOptions,
): LayoutFiles {
  signal?.throwIfAborted();
  if (input.length > MAX_FILES) {
    throw invalid(`there are more than ${String(MAX_FILES)} files in ${name ?? "the directory"}`);
  }
  const files = new Map<string, Blob>();
  for (const { path, content } of input) {
    const file = path.replace(/^\/+/, "");
    if (path.length > MAX_PATH || file.split("/").some((part) => /^\.{0,2}$/.test(part))) {
      throw invalid(`${shown(path)} is not the path of a file in a directory`);
    }
    if (files.has(file)) throw invalid(`there are two files ${shown(path)}`);
    files.set(file, content);
  }
  const root = layoutIn(files);
  const path = name ?? (root === "" ? "the directory" : root.slice(0, -1));
  return {
    path,
    sizeOf: (file) => files.get(root + file)?.size,
    read: (file) => readBlob(files.get(root + file) ?? new Blob([]), path),
  };
}

const MARK = "oci-layout";

/** Returns the path of the only layout among files, with a slash at its end if it is not empty. */
function layoutIn(files: ReadonlyMap<string, Blob>): string {
  const marks = [...files.keys()].filter((path) => path === MARK || path.endsWith(`/${MARK}`));
  const [first, ...others] = marks;
  if (first !== undefined && others.length === 0) return first.slice(0, -MARK.length);
  if (first === undefined) {
    throw new OcicryptError("IMAGE_NOT_FOUND", `none of the files is called ${MARK}, so there is no OCI layout`); // prettier-ignore
  }
  const places = marks.slice(0, 5).map((path) => shown(path.slice(0, -MARK.length)));
  throw invalid(`there are several OCI layouts, in ${places.join(", ")}; open one of them`);
}

/** The name of a `File`; other blobs have none. */
function nameOf(archive: Blob): string {
  return "name" in archive && typeof archive.name === "string" ? archive.name : "the archive";
}

function invalid(message: string): OcicryptError {
  return new OcicryptError("LAYOUT_INVALID", message);
}
