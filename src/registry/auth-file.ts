import { readFile, stat } from "node:fs/promises";
import { OcicryptError } from "../errors.js";
import { errno } from "../io/files.js";
import type { CredentialRequest, Credentials } from "./credentials.js";
import { askHelper } from "./credential-helper.js";
import { DOCKER_HUB } from "./reference.js";

type JsonObject = Readonly<Record<string, unknown>>;

const MAX_FILE_SIZE = 1024 * 1024;

/** Under which `docker login` keeps what is for Docker Hub. */
const HUB_KEY = "https://index.docker.io/v1/";
const HUB_HOSTS = [DOCKER_HUB, "index.docker.io", "registry-1.docker.io"];

/**
 * The credentials for a repository in a `config.json` of Docker or an `auth.json`.
 *
 * @throws {@link OcicryptError} `CREDENTIALS_INVALID`
 */
export async function findInFile(
  path: string,
  request: CredentialRequest,
  env: Readonly<Record<string, string | undefined>>,
): Promise<Credentials | undefined> {
  const file = await readAuthFile(path);
  if (file === undefined) return undefined;
  const helpers = objectIn(file, "credHelpers", path);
  for (const key of hostKeys(request.host)) {
    const helper = ownString(helpers, key);
    if (helper !== undefined) return askHelper(helper, helperKey(request.host), env);
  }
  const auths = objectIn(file, "auths", path);
  for (const key of lookupOrder(request)) {
    if (!Object.hasOwn(auths, key)) continue;
    const found = decodeEntry(objectIn(auths, key, path), path);
    // Where a helper keeps the secrets, entries of the file are empty.
    if (found !== undefined) return found;
  }
  const store = ownString(file, "credsStore");
  return store === undefined ? undefined : askHelper(store, helperKey(request.host), env);
}

/** From the most specific part of the name on; whole segments only. */
function lookupOrder({ host, repository }: CredentialRequest): string[] {
  const segments = repository.split("/");
  const paths = segments.map(
    (_, i) => `${host}/${segments.slice(0, segments.length - i).join("/")}`,
  );
  return [...paths, ...hostKeys(host)];
}

/** The keys that mean a host. Old versions of Docker wrote URLs. */
function hostKeys(host: string): string[] {
  if (host === DOCKER_HUB) return [...HUB_HOSTS, HUB_KEY];
  const urls = ["https://", "http://"].flatMap((scheme) =>
    ["", "/", "/v1/", "/v2/"].map((path) => `${scheme}${host}${path}`),
  );
  return [host, ...urls];
}

function helperKey(host: string): string {
  return host === DOCKER_HUB ? HUB_KEY : host;
}

function decodeEntry(entry: JsonObject, path: string): Credentials | undefined {
  const identityToken = ownString(entry, "identitytoken");
  if (identityToken !== undefined) return { identityToken };
  const auth = ownString(entry, "auth");
  if (auth === undefined) return undefined;
  const decoded = /^[A-Za-z0-9+/]+={0,2}$/.test(auth) ? Buffer.from(auth, "base64").toString() : "";
  const colon = decoded.indexOf(":");
  if (colon < 1) throw invalid(path, "an entry is not the base64 of a name and a password");
  // Docker pads with zeros.
  const password = decoded.slice(colon + 1).replace(/\0+$/, "");
  return { username: decoded.slice(0, colon), password };
}

async function readAuthFile(path: string): Promise<JsonObject | undefined> {
  let bytes: Buffer;
  try {
    if ((await stat(path)).size > MAX_FILE_SIZE) throw invalid(path, "it is too large");
    bytes = await readFile(path);
  } catch (error) {
    const code = errno(error);
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    if (error instanceof OcicryptError || code === undefined) throw error;
    throw invalid(path, `it can not be read (${code})`);
  }
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString("utf8"));
  } catch {
    // The parser's own message quotes the text, and the text has passwords.
    throw invalid(path, "it is not JSON");
  }
  return requireObject(value, path);
}

function objectIn(object: JsonObject, name: string, path: string): JsonObject {
  return Object.hasOwn(object, name) ? requireObject(object[name] ?? {}, path) : {};
}

function requireObject(value: unknown, path: string): JsonObject {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as JsonObject;
  }
  throw invalid(path, "it does not have the form of such a file");
}

/** A member that is a string and has something in it. */
function ownString(object: JsonObject, name: string): string | undefined {
  const value = Object.hasOwn(object, name) ? object[name] : undefined;
  return typeof value === "string" && value !== "" ? value : undefined;
}

function invalid(path: string, why: string): OcicryptError {
  return new OcicryptError(
    "CREDENTIALS_INVALID",
    `the credentials in ${path} can not be used: ${why}`,
  );
}
