import { homedir } from "node:os";
import { join } from "node:path";
import { readFile, stat } from "node:fs/promises";
import { OcicryptError, cannotRead, errno } from "../errors.js";
import {
  ANY,
  asObject,
  MAP,
  mapOf,
  parseJson,
  requireObject,
  struct,
  type JsonObject,
} from "../text/json.js";
import { isAbsent } from "../io/files.js";
import { askHelper, type Credentials, type Environment } from "./credential-helper.js";
import { DOCKER_HUB } from "./reference.js";

/** The name of credentials from the environment in messages. */
const INLINE = "DOCKER_AUTH_CONFIG";

/** The registry whose credentials are looked up. They are sent to exactly this host. */
export interface CredentialRequest {
  host: string;
  repository: string;
}

/** Finds credentials. Resolves to `undefined` for anonymous access. */
export type CredentialSource = (request: CredentialRequest) => Promise<Credentials | undefined>;

export interface ConfiguredCredentialsOptions {
  /** Default: `process.env`. */
  env?: Environment | undefined;
  /** Default: the user's home directory. */
  home?: string | undefined;
}

/**
 * Finds the credentials that `docker login`, `podman login` or `skopeo login` stored, in the order
 * of skopeo (https://github.com/containers/image/blob/main/docs/containers-auth.json.5.md):
 *
 * 1. only in the file that `$REGISTRY_AUTH_FILE` names, if it is set;
 * 2. in `$DOCKER_AUTH_CONFIG`, which holds the content of such a file, as Docker reads it;
 * 3. in `$XDG_RUNTIME_DIR/containers/auth.json`, `$XDG_CONFIG_HOME/containers/auth.json` and
 *   `$DOCKER_CONFIG/config.json`.
 *
 * The first place that has credentials is used. Within a file, credential helpers for the host come
 * first, then the entry for the most specific part of the repository's name, then `credsStore`.
 *
 * The source rejects with {@link OcicryptError} `CREDENTIALS_INVALID`.
 */
export function configuredCredentials({
  env = process.env,
  home = homedir(),
}: ConfiguredCredentialsOptions = {}): CredentialSource {
  return async (request) => {
    const inline = env.REGISTRY_AUTH_FILE ? undefined : env.DOCKER_AUTH_CONFIG;
    if (inline !== undefined && inline !== "") {
      const content = parseAuthFile(Buffer.from(inline), INLINE);
      const found = await findIn(content, INLINE, request, env);
      if (found !== undefined) return found;
    }
    for (const path of authFiles(env, home)) {
      const content = await readAuthFile(path);
      if (content === undefined) continue;
      const found = await findIn(content, path, request, env);
      if (found !== undefined) return found;
    }
    return undefined;
  };
}

export function authFiles(env: Environment, home: string): string[] {
  const variable = (name: string): string | undefined => (env[name] === "" ? undefined : env[name]);
  const override = variable("REGISTRY_AUTH_FILE");
  if (override !== undefined) return [override];
  const runtime = variable("XDG_RUNTIME_DIR");
  const own =
    runtime === undefined
      ? `/run/containers/${String(process.getuid?.() ?? 0)}`
      : join(runtime, "containers");
  const config = variable("XDG_CONFIG_HOME") ?? join(home, ".config");
  const docker = variable("DOCKER_CONFIG") ?? join(home, ".docker");
  return [
    // Only Linux has a runtime directory.
    ...(process.platform === "linux" ? [join(own, "auth.json")] : []),
    join(config, "containers", "auth.json"),
    join(docker, "config.json"),
  ];
}

const MAX_FILE_SIZE = 1024 * 1024;

/** The name under which `docker login` stores the credentials for Docker Hub. */
const HUB_KEY = "https://index.docker.io/v1/";
const HUB_HOSTS = [DOCKER_HUB, "index.docker.io", "registry-1.docker.io"];

/**
 * Finds the credentials for a repository in the content of a `config.json` or `auth.json`.
 *
 * @param path the origin of the content, for messages
 * @throws {@link OcicryptError} `CREDENTIALS_INVALID`
 */
async function findIn(
  file: JsonObject,
  path: string,
  request: CredentialRequest,
  env: Environment,
): Promise<Credentials | undefined> {
  const helpers = objectIn(file, "credHelpers", path);
  for (const key of hostKeys(request.host)) {
    const helper = ownString(helpers, key);
    if (helper !== undefined) return askHelper(helper, helperKey(request.host), env);
  }
  const auths = objectIn(file, "auths", path);
  const keys = Object.keys(auths);
  for (const subject of lookupOrder(request)) {
    // An exact key takes precedence over other spellings of it.
    const same = keys.filter((key) => subjectOf(key) === subject);
    for (const key of same.sort((a, b) => Number(b === subject) - Number(a === subject))) {
      const found = decodeEntry(objectIn(auths, key, path), path);
      // If a helper stores the secrets, entries of the file are empty.
      if (found !== undefined) return found;
    }
  }
  const store = ownString(file, "credsStore");
  return store === undefined ? undefined : askHelper(store, helperKey(request.host), env);
}

/** Returns the keys for a repository, the most specific first, by whole segments. */
function lookupOrder({ host, repository }: CredentialRequest): string[] {
  const segments = repository.split("/");
  const paths = segments.map(
    (_, i) => `${host}/${segments.slice(0, segments.length - i).join("/")}`,
  );
  return [...paths, ...hostKeys(host)];
}

/** Returns the names of a host. */
export function hostKeys(host: string): string[] {
  return host === DOCKER_HUB ? HUB_HOSTS : [host];
}

/**
 * Returns the registry that a key of `auths` names. Docker and skopeo read a URL as its host,
 * whatever its path. As in skopeo, a key without a scheme can name a repository, and may end with
 * slashes.
 */
export function subjectOf(key: string): string {
  const url = /^https?:\/\/([^/]*)/.exec(key);
  return url?.[1] ?? key.replace(/^([^/]*)\/v[12]\/*$/, "$1").replace(/\/+$/, "");
}

export function helperKey(host: string): string {
  return host === DOCKER_HUB ? HUB_KEY : host;
}

/**
 * Reads an entry as Docker does: `auth`, or else `username` and `password`, which Kubernetes
 * writes. An identity token takes precedence
 * (https://github.com/docker/cli/blob/master/cli/config/configfile/file.go).
 */
function decodeEntry(entry: JsonObject, path: string): Credentials | undefined {
  for (const name of ["auth", "username", "password", "identitytoken"]) {
    // Go rejects such a file, and another password would be sent instead.
    if (typeof (entry[name] ?? "") === "string") continue;
    throw invalid(path, `the member ${name} of an entry is not a string`);
  }
  const identityToken = ownString(entry, "identitytoken");
  if (identityToken !== undefined) return { identityToken };
  // Go ignores line breaks in base64, which other tools write.
  const auth = ownString(entry, "auth")?.replace(/[\r\n]/g, "") ?? "";
  if (auth === "") {
    const username = ownString(entry, "username");
    return username === undefined
      ? undefined
      : { username, password: ownString(entry, "password") ?? "" };
  }
  const decoded = /^[A-Za-z0-9+/]+={0,2}$/.test(auth) ? Buffer.from(auth, "base64").toString() : "";
  const colon = decoded.indexOf(":");
  if (colon < 1) throw invalid(path, "an entry is not the base64 of a user name and a password");
  // Docker pads with zeros.
  const password = decoded.slice(colon + 1).replace(/\0+$/, "");
  return { username: decoded.slice(0, colon), password };
}

export async function readAuthFile(path: string): Promise<JsonObject | undefined> {
  let bytes: Buffer;
  try {
    if ((await stat(path)).size > MAX_FILE_SIZE) throw invalid(path, "it is too large");
    bytes = await readFile(path);
  } catch (error) {
    if (isAbsent(error)) return undefined;
    if (error instanceof OcicryptError || errno(error) === undefined) throw error;
    throw invalid(path, cannotRead("it", error));
  }
  return parseAuthFile(bytes, path);
}

function parseAuthFile(bytes: Uint8Array, path: string): JsonObject {
  const refuse = (why: string): OcicryptError => invalid(path, why);
  const file = objectOf(
    parseJson(bytes, { shape: AUTH_FILE, maxSize: MAX_FILE_SIZE, refuse }),
    path,
  );
  if (["auths", "credsStore", "credHelpers"].some((name) => Object.hasOwn(file, name))) return file;
  if (file.kind === "Secret") {
    throw invalid(path, "it is a Kubernetes Secret; decode the base64 of its .dockerconfigjson");
  }
  return isLegacy(file) ? { auths: file } : file;
}

/** Whether a file is the `auths` alone, as `.dockercfg` was, and as Secrets of Kubernetes may be. */
function isLegacy(file: JsonObject): boolean {
  const entries = Object.values(file).map((entry) => asObject(entry));
  const isEntry = (entry: JsonObject): boolean =>
    ["auth", "username", "identitytoken"].some((name) => Object.hasOwn(entry, name));
  return entries.length > 0 && entries.every((entry) => entry !== undefined && isEntry(entry));
}

export function objectIn(object: JsonObject, name: string, path: string): JsonObject {
  return Object.hasOwn(object, name) ? objectOf(object[name] ?? {}, path) : {};
}

function objectOf(value: unknown, path: string): JsonObject {
  return requireObject(value, () => invalid(path, "the file has an unexpected form"));
}

/** `ConfigFile` and `AuthConfig` of github.com/docker/cli/cli/config. */
const AUTH_FILE = /* @__PURE__ */ struct({
  auths: mapOf(struct({ auth: ANY, username: ANY, password: ANY, identitytoken: ANY })),
  credsStore: ANY,
  credHelpers: MAP,
});

/** Returns a member that is a string and not empty. */
export function ownString(object: JsonObject, name: string): string | undefined {
  const value = Object.hasOwn(object, name) ? object[name] : undefined;
  return typeof value === "string" && value !== "" ? value : undefined;
}

function invalid(path: string, why: string): OcicryptError {
  return new OcicryptError(
    "CREDENTIALS_INVALID",
    `the credentials in ${path} cannot be used: ${why}`,
  );
}
