import { OcicryptError } from "../errors.js";
import { parseDigest } from "../spec/digest.js";
import type { ImagePlace } from "../store/types.js";

/** An image in a registry. */
export interface RegistryReference {
  /**
   * The host, with the port if it is not HTTPS's: `registry.example:5000`. Docker Hub is
   * `docker.io`.
   */
  host: string;
  /** Such as `team/app`. */
  repository: string;
  tag?: string;
  /** The digest of the image; it takes precedence over a tag. */
  digest?: string;
}

export const DOCKER_HUB = "docker.io";

const SCHEME = "docker://";

// The grammar of Go's reference package, which every other tool uses:
// https://github.com/distribution/reference/blob/main/regexp.go
const NAME = "[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?";
const HOST = new RegExp(`^(?:${NAME}(?:\\.${NAME})*|\\[[0-9a-fA-F:]+\\])(?::[0-9]{1,5})?$`);
const COMPONENT = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*";
const REPOSITORY = new RegExp(`^${COMPONENT}(?:/${COMPONENT})*$`);
const TAG = /^\w[\w.-]{0,127}$/;
const MAX_NAME_LENGTH = 255;
const CREDENTIALS = "credentials do not go into the name of an image";

/**
 * Parses `docker://HOST/REPO[:TAG][@DIGEST]` as skopeo does. The default host is Docker Hub, and
 * the default tag is `latest`.
 *
 * @throws {@link OcicryptError} `REFERENCE_INVALID`
 */
export function parseRegistryReference(text: string): RegistryReference {
  if (!text.startsWith(SCHEME)) {
    throw invalid(text, "images in registries are written docker://HOST/REPOSITORY:TAG");
  }
  let name = text.slice(SCHEME.length);
  let digest: string | undefined;
  const at = name.indexOf("@");
  if (at >= 0) {
    digest = name.slice(at + 1);
    // No digest has a slash: the text before this @ is a user name and a password.
    if (digest.includes("/")) throw invalid(text, CREDENTIALS);
    name = name.slice(0, at);
  }
  let tag: string | undefined;
  const colon = name.indexOf(":", name.lastIndexOf("/") + 1);
  if (colon >= 0) {
    tag = name.slice(colon + 1);
    name = name.slice(0, colon);
  }
  if (digest === undefined) requireRepository(text, name, tag);
  if (tag === undefined && digest === undefined) tag = "latest";
  const reference = {
    ...splitHost(name),
    ...(tag !== undefined && { tag }),
    ...(digest !== undefined && { digest }),
  };
  checkReference(reference, text);
  return reference;
}

/**
 * Checks a reference that the caller made, because its parts become parts of URLs.
 *
 * @throws {@link OcicryptError} `REFERENCE_INVALID`
 */
export function checkReference(
  reference: RegistryReference,
  text: string = showReference(reference),
): void {
  const { host, repository, tag, digest } = reference;
  if (host.includes("@")) throw invalid(text, CREDENTIALS);
  if (/^https?:/.test(host)) throw invalid(text, `leave out ${host}//`);
  if (host.length > MAX_NAME_LENGTH || !HOST.test(host) || !URL.canParse(`https://${host}`)) {
    throw invalid(text, "its host is not valid");
  }
  if (repository.length > MAX_NAME_LENGTH || !REPOSITORY.test(repository)) {
    const upper = repository !== repository.toLowerCase();
    throw invalid(text, `its repository ${upper ? "must be lowercase" : "is not valid"}`);
  }
  if (tag !== undefined && !isTag(tag)) throw invalid(text, "its tag is not valid");
  if (digest !== undefined && !isDigest(digest)) throw invalid(text, "its digest is not valid");
}

/** Whether a text has the form of a tag. */
export function isTag(text: string): boolean {
  return TAG.test(text);
}

/** Formats a reference as its user would write it. */
export function showReference({ host, repository, tag, digest }: RegistryReference): string {
  const version = `${tag === undefined ? "" : `:${tag}`}${digest === undefined ? "" : `@${digest}`}`;
  return `${SCHEME}${host}/${repository}${version}`;
}

/** Returns the place of an image in a registry. */
export function placeOf({ host, repository, tag, digest }: RegistryReference): ImagePlace {
  const name = digest === undefined ? (tag ?? "") : `@${digest}`;
  return { store: `${SCHEME}${host}/${repository}`, name };
}

/** Returns the URL of a registry's API; Docker Hub's API has another host name. */
export function apiUrl(host: string, plainHttp: boolean): URL {
  const api = host === DOCKER_HUB ? "registry-1.docker.io" : host;
  return new URL(`${plainHttp ? "http" : "https"}://${api}`);
}

/**
 * Rejects a host without a repository, which would otherwise name an image of Docker Hub, and could
 * be pushed there.
 */
function requireRepository(text: string, name: string, tag: string | undefined): void {
  const isPort = /^\d{4,5}$/.test(tag ?? "");
  if (name.includes("/") || !(isPort || name === "localhost" || name.includes("."))) return;
  const host = isPort ? `${name}:${tag ?? ""}` : name;
  const hub = `${SCHEME}docker.io/library/${text.slice(SCHEME.length)} is an image of Docker Hub`;
  throw invalid(text, `it names no repository; write ${SCHEME}${host}/REPOSITORY:TAG; ${hub}`);
}

function splitHost(name: string): { host: string; repository: string } {
  const slash = name.indexOf("/");
  const first = name.slice(0, Math.max(slash, 0));
  // The first part is a host only if it looks like one; otherwise it is a user of Docker Hub.
  const isHost = /[.:[]/.test(first) || first === "localhost" || first !== first.toLowerCase();
  if (isHost && first !== DOCKER_HUB && first !== "index.docker.io") {
    return { host: first, repository: name.slice(slash + 1) };
  }
  const path = isHost ? name.slice(slash + 1) : name;
  return { host: DOCKER_HUB, repository: path.includes("/") ? path : `library/${path}` };
}

/**
 * Returns only the host of `USER:PASSWORD@HOST`. A password may contain any characters, including @
 * and slashes.
 */
function withoutCredentials(text: string): string {
  const at = text.indexOf("@");
  const rest = text.slice(at + 1);
  // A mistyped digest also counts as a digest.
  if (at < 0 || isDigest(rest) || /^sha(?:256|512):[^@/]*$/.test(rest)) return text;
  const scheme = text.startsWith(SCHEME) ? SCHEME : "";
  return `${scheme}…${text.slice(text.lastIndexOf("@"))}`;
}

function isDigest(text: string): boolean {
  try {
    parseDigest(text);
    return true;
  } catch {
    return false;
  }
}

function invalid(text: string, why: string): OcicryptError {
  const shown = JSON.stringify(withoutCredentials(text).slice(0, 200));
  return new OcicryptError("REFERENCE_INVALID", `${shown} is not an image: ${why}`);
}
