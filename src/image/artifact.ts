import { fromUtf8 } from "#engine/bytes";
import { stageFiles } from "#engine/directory";
import { OcicryptError, shown } from "../errors.js";
import { single, type ByteSource } from "../io/source.js";
import type { Key, Recipient } from "../keywrap/types.js";
import { decryptLayer } from "../layer/decrypt.js";
import { encryptLayer } from "../layer/encrypt.js";
import { distinctRecipients } from "../layer/wrap.js";
import { isEncryptedDescriptor, type Descriptor } from "../spec/descriptor.js";
import { digestOf } from "../spec/digest.js";
import { MEDIA_TYPE_MANIFEST } from "../spec/media-types.js";
import type { ImageDestination, ImageSource } from "../store/types.js";
import { readImage } from "./manifests/tree.js";

/** https://github.com/opencontainers/image-spec/blob/main/annotations.md */
const TITLE = "org.opencontainers.image.title";
const CREATED = "org.opencontainers.image.created";

/** The types that ORAS writes where none is given. */
const FILE_TYPE = "application/vnd.oci.image.layer.v1.tar";
const ARTIFACT_TYPE = "application/vnd.unknown.artifact.v1";

/** https://github.com/opencontainers/image-spec/blob/main/manifest.md#guidance-for-an-empty-descriptor */
const EMPTY: Descriptor = {
  mediaType: "application/vnd.oci.empty.v1+json",
  digest: "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
  size: 2,
  data: "e30=",
};

/** The longest path of a file system, in characters. */
const MAX_TITLE = 4096;

/** A file of an artifact. */
export interface PushedFile {
  /** Its path in the artifact: relative, with slashes. */
  title: string;
  /** Its content. */
  content: ByteSource;
  /** The size of the content in bytes, which is checked. Default: unknown. */
  size?: number | undefined;
  /** Its media type. Default: that of ORAS, `application/vnd.oci.image.layer.v1.tar`. */
  mediaType?: string | undefined;
}

export interface PushFilesOptions {
  /** The recipients who will be able to decrypt the files; at least one. */
  recipients: readonly Recipient[];
  /** The type of the artifact. Default: that of ORAS, `application/vnd.unknown.artifact.v1`. */
  artifactType?: string | undefined;
  /** The most extra threads for long files whose size is given; as for `encryptLayer`. */
  threads?: number | undefined;
  signal?: AbortSignal | undefined;
}

export interface FilesResult {
  /** The descriptor of the artifact's manifest. */
  image: Descriptor;
  /** The blob of each file, encrypted. */
  files: { title: string; digest: string; size: number }[];
}

export interface PullFilesOptions {
  /** The keys to try on every wrapped key of every file. */
  keys: readonly Key[];
  /** The most extra threads for long files; as for `encryptLayer`. */
  threads?: number | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * Encrypts files into an OCI artifact, with one blob for each file, which ORAS and other tools pull
 * as ciphertext. Titles and sizes stay readable. `decryptImage` restores the artifact that ORAS
 * would have made.
 *
 * Titles are not protected: anyone who can write to the repository can change them, unless the
 * artifact is signed.
 *
 * @throws {@link OcicryptError} `REFERENCE_INVALID` for a title that {@link pullFiles} rejects;
 *   `NO_RECIPIENTS`, `ALREADY_ENCRYPTED`; and those of the destination and of recipients
 */
export async function pushFiles(
  destination: ImageDestination,
  files: readonly PushedFile[],
  { recipients: given, artifactType = ARTIFACT_TYPE, threads, signal }: PushFilesOptions,
): Promise<FilesResult> {
  try {
    const recipients = distinctRecipients(given);
    requireTitles(files.map(({ title }) => title));
    const layers: Descriptor[] = [];
    for (const { title, content, size, mediaType = FILE_TYPE } of files) {
      const descriptor = { mediaType, size, annotations: { [TITLE]: title } };
      const layer = encryptLayer(content, { descriptor, recipients, threads, signal });
      await destination.write(layer.stream, () => layer.finalize(), { signal });
      layers.push(await layer.finalize());
    }
    if (!(await destination.contains(EMPTY))) {
      await destination.write(single(fromUtf8("{}")), () => EMPTY, { signal });
    }
    const annotations = { [CREATED]: new Date().toISOString().replace(/\.\d+Z$/, "Z") };
    const head = { schemaVersion: 2, mediaType: MEDIA_TYPE_MANIFEST, artifactType };
    const text = JSON.stringify({ ...head, config: EMPTY, layers, annotations });
    const bytes = fromUtf8(text);
    const digest = digestOf(bytes);
    const image = { mediaType: MEDIA_TYPE_MANIFEST, digest, size: bytes.byteLength };
    await destination.writeManifest(bytes, image);
    signal?.throwIfAborted();
    await destination.commit(image, { signal });
    const pushed = layers.map(({ size, ...layer }, i) => ({
      ...{ title: files[i]?.title ?? "", digest: layer.digest, size },
    }));
    return { image, files: pushed };
  } catch (error) {
    await destination.discard();
    throw error;
  }
}

/**
 * Decrypts the files of an OCI artifact into a directory. No file appears before all files are
 * verified, and no existing file is replaced. Titles outside the directory are rejected, and so are
 * symbolic links in the path of a file. Only for Node.js.
 *
 * @returns the files as they are in the directory
 * @throws {@link OcicryptError} `MANIFEST_INVALID` for titles; `NOT_ENCRYPTED` for a file that is
 *   plain; `DESTINATION_EXISTS`; `MANIFEST_UNSUPPORTED` for an index; `DESTINATION_FULL`,
 *   `DESTINATION_UNWRITABLE`; and those of {@link decryptLayer} and of the source
 */
export async function pullFiles(
  source: ImageSource,
  directory: string,
  { keys, threads, signal }: PullFilesOptions,
): Promise<FilesResult> {
  const { root } = await readImage(source, { signal });
  if (root.kind !== "manifest") {
    throw new OcicryptError(
      "MANIFEST_UNSUPPORTED",
      "the image is an index, not an artifact with files",
    );
  }
  const layers = root.document.layers.map(({ descriptor }) => descriptor);
  const titles = layers.map(({ annotations }, i) => {
    const title = annotations?.[TITLE];
    if (title !== undefined) return title;
    throw new OcicryptError(
      "MANIFEST_INVALID",
      `layer ${String(i)} has no title: it is not a file`,
    );
  });
  try {
    requireTitles(titles);
  } catch (error) {
    if (!(error instanceof OcicryptError)) throw error;
    throw new OcicryptError("MANIFEST_INVALID", error.message);
  }
  const plain = layers.findIndex((layer) => !isEncryptedDescriptor(layer));
  if (plain >= 0) {
    const message = `the file ${shown(titles[plain] ?? "")} is not encrypted, so anyone can have written it`;
    throw new OcicryptError("NOT_ENCRYPTED", message);
  }
  const staged = await stageFiles(directory, titles);
  const files: FilesResult["files"] = [];
  try {
    for (const [i, descriptor] of layers.entries()) {
      const title = titles[i] ?? "";
      const content = source.read(descriptor, { signal });
      const layer = await decryptLayer(content, { descriptor, keys, threads, signal });
      await staged.add(title, layer.stream);
      const { digest, size } = await layer.finalize();
      files.push({ title, digest, size });
    }
    await staged.place(signal);
  } catch (error) {
    await staged.discard();
    throw error;
  }
  await staged.close();
  return { image: root.descriptor, files };
}

/** Refuses titles that lead out of a directory, or that cannot be files side by side. */
function requireTitles(titles: readonly string[]): void {
  if (titles.length === 0) throw badTitle("the artifact has no files");
  const seen = new Set<string>();
  for (const title of titles) {
    if (!isSafePath(title)) {
      throw badTitle(`the title ${shown(title)} is not a relative path below a directory`);
    }
    // As file systems that ignore case and normalize Unicode do.
    const folded = title.normalize("NFKC").toLowerCase();
    if (seen.has(folded)) throw badTitle(`two files have the title ${shown(title)}`);
    seen.add(folded);
  }
  // No title contains a NUL, which sorts before everything else: what is in a directory follows it.
  const sorted = [...seen].map((title) => title.replaceAll("/", "\0")).sort();
  const inside = sorted.find((title, i) => i > 0 && title.startsWith(`${sorted[i - 1] ?? ""}\0`));
  if (inside === undefined) return;
  throw badTitle(`${shown(inside.replaceAll("\0", "/"))} is in a directory that is a file`);
}

/** Whether a title is safe on every system: Windows has drives, backslashes and streams too. */
function isSafePath(title: string): boolean {
  if (title.length > MAX_TITLE || /[\u0000-\u001f\u007f\\:]/.test(title)) return false;
  return title.split("/").every((part) => !["", ".", ".."].includes(part) && !/[. ]$/.test(part));
}

function badTitle(message: string): OcicryptError {
  return new OcicryptError("REFERENCE_INVALID", message);
}
