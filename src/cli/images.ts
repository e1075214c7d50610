import { existsSync } from "node:fs";
import { isOcicryptError, OcicryptError } from "../errors.js";
import type { PasswordCredentials, RegistryOptions, RegistryRetry } from "../registry/index.js";
import * as places from "../places/index.js";
import {
  listLayout,
  parseLayoutReference,
  type ImageDestination,
  type ImageSource,
} from "../store/index.js";
import type { Journal } from "./journal.js";
import { readKeyFile, readStdin } from "./passwords.js";
import { isPem, mayBeKey, printable } from "./text.js";
import { writeAbove } from "./progress.js";
import { UsageError } from "./errors.js";

export interface ImageOptions {
  /** Whether to use HTTP for registries on other machines. */
  plainHttp: boolean;
  /** A PEM file of certificates that are also trusted for registries. */
  caFile: string | undefined;
  /**
   * The only file from which credentials are read. Default: the files of `docker login` and others.
   */
  authFile?: string | undefined;
  /** The credentials for the only registry of the command line. */
  credentials?: PasswordCredentials | undefined;
  /** The bytes in each request of an upload. Default: one request for each blob. */
  chunkSize?: number | undefined;
  quiet: boolean;
  /** Records the images that a command for many images writes. */
  journal?: Journal | undefined;
}

const REGISTRY = "docker://";

/**
 * Opens the source that a command line names.
 *
 * @throws {@link OcicryptError} `REFERENCE_INVALID`, `KEY_UNREADABLE` for the file of certificates
 */
export async function openSource(text: string, options: ImageOptions): Promise<ImageSource> {
  requireImage(text);
  const registry = text.startsWith(REGISTRY) ? await registryOptions(options) : undefined;
  const source = await places.openSource(text, { registry }).catch(withoutKey(text));
  requireKnownPlace(text);
  return options.journal?.watch(source) ?? source;
}

/** The proof that a command requires of its source. */
export interface TrustOptions extends ImageOptions {
  /** Files of public keys: one must verify a signature of the image. */
  verifySignature: readonly string[];
  /** Whether the image must be named by its digest. */
  requireDigest: boolean;
}

/**
 * Opens a source that is used only if it has the signature or digest that the command line
 * requires.
 *
 * @throws {@link OcicryptError} as {@link openSource}, and `KEY_UNRECOGNIZED`
 */
export async function openTrusted(text: string, options: TrustOptions): Promise<ImageSource> {
  if (options.requireDigest && !/@sha(?:256|512):[0-9a-f]+$/.test(text)) {
    const hint = "write the source as IMAGE@sha256:HEX; inspect --json prints the digest";
    throw new UsageError("--require-digest needs a source that is named by its digest", hint);
  }
  const source = await openSource(text, options);
  if (options.verifySignature.length === 0) return source;
  const { signedSource } = await import("../signature/index.js");
  const keys = options.verifySignature.map((file) =>
    readKeyFile(file, "the key of --verify-signature"),
  );
  return signedSource(source, keys);
}

/**
 * Proves what the command line asks for before any key file is read or password asked for.
 *
 * @throws {@link OcicryptError} as {@link openTrusted}, and `SIGNATURE_MISSING`, `SIGNATURE_INVALID`
 */
export async function requireTrust(
  text: string,
  options: TrustOptions,
  signal: AbortSignal,
): Promise<void> {
  if (options.verifySignature.length === 0 && !options.requireDigest) return;
  const source = await openTrusted(text, options);
  if (options.verifySignature.length > 0) await source.resolve({ signal });
}

/**
 * Opens the destination that a command line names.
 *
 * @param source the source of its blobs, which a registry may be able to mount
 * @throws {@link OcicryptError} as {@link openSource}, and the errors of the destination
 */
export async function openDestination(
  text: string,
  source: string,
  options: ImageOptions,
  signal: AbortSignal,
): Promise<ImageDestination> {
  requireImage(text);
  const registry = text.startsWith(REGISTRY) ? await registryOptions(options) : undefined;
  const { chunkSize, journal } = options;
  const more = { registry, chunkSize, source, signal };
  const destination = await places.openDestination(text, more).catch(withoutKey(text));
  if (journal === undefined) return destination;
  return journal.record((await places.openSource(source)).place, destination);
}

/** Names an image in the result, with the default tag of registries. */
export function shownImage(text: string): string {
  return text.startsWith(REGISTRY) && !isTagged(text) ? `${text}:latest` : text;
}

function isTagged(text: string): boolean {
  return /@|:[^/]*$/.test(text.slice(REGISTRY.length));
}

/**
 * Lists the images of all tags of a repository, each with the same tag in the other repositories.
 *
 * @param repositories the repository whose tags are listed, and others
 * @throws {UsageError} for anything other than repositories without a tag
 * @throws {@link OcicryptError} as `listTags`
 */
export async function listImages(
  repositories: readonly string[],
  options: ImageOptions,
  signal: AbortSignal,
): Promise<string[][]> {
  const { listTags, parseRegistryReference } = await import("../registry/index.js");
  const wrong = repositories.find((text) => !text.startsWith(REGISTRY) || isTagged(text));
  if (wrong !== undefined) {
    const hint = "write docker://HOST/REPOSITORY; the tags come from the registry";
    throw new UsageError("--all-tags needs repositories of registries, without a tag", hint);
  }
  const references = repositories.map((text) => parseRegistryReference(text));
  const [first] = references;
  if (first === undefined) return [];
  const tags = await listTags(first, { ...(await registryOptions(options)), signal });
  return tags.map((tag) => repositories.map((text) => `${text}:${tag}`));
}

/**
 * Returns the images that a text names: all tags of a repository or all images of a layout if it
 * names no tag, and otherwise the image itself.
 *
 * @throws {@link OcicryptError} as `listTags` and `listLayout`
 */
export async function imagesIn(
  text: string,
  options: ImageOptions,
  signal: AbortSignal,
): Promise<string[]> {
  if (text.startsWith(REGISTRY)) {
    return isTagged(text) ? [text] : (await listImages([text], options, signal)).flat();
  }
  requireImage(text);
  if (!text.startsWith("oci:")) return [text];
  const { path, tag, digest } = parseLayoutReference(text);
  if (tag !== undefined || digest !== undefined) return [text];
  return (await listLayout(path)).map(
    (image) =>
      `oci:${path}${image.digest === undefined ? `:${image.tag ?? ""}` : `@${image.digest}`}`,
  );
}

/**
 * Returns the same name for an image, whichever way it is written.
 *
 * @throws {@link OcicryptError} `REFERENCE_INVALID`
 */
export async function placeName(text: string): Promise<string> {
  requireImage(text);
  const { place } = await places.openSource(text).catch(withoutKey(text));
  return place === undefined ? text : `${place.store}:${place.name}`;
}

const NO_IMAGE = "the argument is not an image and may be a key";

/** Refuses what is no image; a message must not quote a key whose option is missing. */
function requireImage(text: string): void {
  if (/^https?:\/\/[^@]*$/.test(text)) {
    const meant = text.replace(/^https?:\/\//, REGISTRY);
    const message = `"${text}" is a URL; did you mean ${meant}?`;
    throw new OcicryptError("REFERENCE_INVALID", message);
  }
  const meant = transportOf(text);
  if (meant !== undefined && !mayBeKey(text)) {
    const shown = text.replace(/(:)[^:/]*$/, "$1…");
    const message = `"${shown}" has no transport; did you mean ${meant}${shown}?`;
    throw new OcicryptError("REFERENCE_INVALID", message);
  }
  if (isPem(text)) throw new OcicryptError("REFERENCE_INVALID", NO_IMAGE);
}

function withoutKey(text: string): (error: unknown) => never {
  return (error) => {
    if (!isOcicryptError(error, "REFERENCE_INVALID") || !mayBeKey(text)) throw error;
    throw new OcicryptError("REFERENCE_INVALID", NO_IMAGE);
  };
}

/** Returns the transport that an image without one probably needs. */
function transportOf(text: string): string | undefined {
  const [path = ""] = text.split(":", 1);
  if (path === "" || /^(?:oci|oci-archive|docker|docker-\w+|dir|containers-storage)$/.test(path)) {
    return undefined;
  }
  if (existsSync(`${path}/index.json`)) return "oci:";
  if (existsSync(path)) return /\.tar(?:\.\w+)?$/.test(path) ? "oci-archive:" : undefined;
  // A registry followed by a slash, as podman and docker write it.
  const host = /^(?:[\w-]+(?:\.[\w-]+)+|localhost|\[[\da-f:]+\]|[\w.-]+:\d+)(?::\d+)?\//i;
  return host.test(text) ? REGISTRY : undefined;
}

/** The name of a missing file may be a key. */
function requireKnownPlace(text: string): void {
  const path = /^(?:oci|oci-archive|docker-archive|dir):([^:]*)/.exec(text)?.[1];
  if (path === undefined || !mayBeKey(path) || existsSync(path)) return;
  throw new OcicryptError("IMAGE_NOT_FOUND", "the image does not exist");
}

/** Returns the options for registries that a command line asks for. */
export async function registryOptions(options: ImageOptions): Promise<RegistryOptions> {
  const { plainHttp, caFile, authFile, credentials, quiet } = options;
  return {
    ...(authFile !== undefined && { credentials: await storedIn(authFile) }),
    ...(credentials !== undefined && { credentials }),
    ...(!quiet && { onRetry: noteRetry }),
    ...(plainHttp && { insecure: true }),
    ...(caFile !== undefined && { ca: await readCertificates(caFile) }),
  };
}

async function storedIn(file: string): Promise<RegistryOptions["credentials"]> {
  if (!existsSync(file)) {
    const hint = "ocicrypt reads the files that docker, podman and skopeo login write";
    throw new UsageError(`there is no file ${file} for --authfile`, hint);
  }
  const { configuredCredentials } = await import("../registry/index.js");
  return configuredCredentials({ env: { ...process.env, REGISTRY_AUTH_FILE: file } });
}

/**
 * Reads USER:PASSWORD from standard input for the registry that the images are in.
 *
 * @throws {UsageError} if the images are in several registries, or the input has another form
 */
export async function readCredentials(images: readonly string[]): Promise<PasswordCredentials> {
  const { parseRegistryReference } = await import("../registry/index.js");
  const hosts = images
    .filter((image) => image.startsWith(REGISTRY))
    .map((image) => parseRegistryReference(image).host);
  if (new Set(hosts).size !== 1) {
    const hint = "log in to each registry instead: ocicrypt login HOST";
    throw new UsageError("--creds-stdin needs images in exactly one registry", hint);
  }
  const text = Buffer.from(readStdin("the credentials of --creds-stdin")).toString();
  const [, username, password] = /^([^:\n]+):(.+?)\r?\n?$/s.exec(text) ?? [];
  if (username !== undefined && password !== undefined) return { username, password };
  throw new UsageError("standard input is not USER:PASSWORD", "write one line: USER:PASSWORD");
}

/** Retries of a registry that does not answer can take minutes. */
function noteRetry({ reason, attempt, retries }: RegistryRetry): void {
  const tries = `trying again (${String(attempt)} of ${String(retries)})`;
  writeAbove(process.stderr, `${printable(reason)}; ${tries}`);
}

async function readCertificates(file: string): Promise<Uint8Array> {
  const bytes = readKeyFile(file, "the certificates of --ca-file");
  const { parseCertificates } = await import("../http/tls.js");
  try {
    parseCertificates(bytes);
  } catch {
    const hint = "name a PEM file; convert DER with openssl x509 -inform DER -in FILE -out ca.pem";
    throw new UsageError(`${file} of --ca-file contains no valid PEM certificate`, hint);
  }
  return bytes;
}
