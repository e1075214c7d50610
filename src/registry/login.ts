import { randomUUID } from "node:crypto";
import { mkdir, realpath } from "node:fs/promises";
import { homedir } from "node:os";
import { basename, dirname, join } from "node:path";
import { OcicryptError } from "../errors.js";
import { replaceFile, syncDirectory, writing } from "../io/files.js";
import { withLock } from "../store/stage.js";
import type { JsonObject } from "../text/json.js";
import { isSuccess, registryClient } from "./client.js";
import {
  askHelper,
  clearHelper,
  tellHelper,
  type Environment,
  type PasswordCredentials,
} from "./credential-helper.js";
import {
  authFiles,
  helperKey,
  hostKeys,
  objectIn,
  ownString,
  readAuthFile,
  subjectOf,
  type ConfiguredCredentialsOptions,
} from "./credentials.js";
import { failure } from "./failure.js";
import type { RegistryOptions } from "./options.js";
import { checkReference, DOCKER_HUB } from "./reference.js";

export interface StoredCredentialsOptions extends ConfiguredCredentialsOptions {
  /** The only file to change. Default: `$REGISTRY_AUTH_FILE`, or else the usual files. */
  file?: string | undefined;
}

/**
 * Asks a registry whether it accepts a user name and a password.
 *
 * @param host the host and port of the registry, such as `registry.example:5000`
 * @throws {@link OcicryptError} `REGISTRY_DENIED` if it does not; `REFERENCE_INVALID`,
 *   `REGISTRY_UNREACHABLE`, `REGISTRY_FAILED`, `REGISTRY_INVALID_RESPONSE`, `CREDENTIALS_INVALID`
 */
export async function checkCredentials(
  host: string,
  credentials: PasswordCredentials,
  { signal, ...options }: RegistryOptions & { signal?: AbortSignal | undefined } = {},
): Promise<void> {
  // The API itself belongs to no repository, so any name works.
  const reference = { host: registryHost(host), repository: "x" };
  const client = registryClient(reference, { ...options, credentials });
  const url = new URL("/v2/", await client.url("tags/list"));
  const request = { method: "GET" as const, url, scopes: [], signal };
  const answer = await client.request(request);
  if (!isSuccess(answer.status)) throw failure(request, answer);
}

/**
 * Stores the credentials for a registry as `docker login` does, where docker, podman, skopeo and
 * `configuredCredentials` find them. They are stored in the credential helper that is configured
 * for the registry, or else in the file that has an entry for it; the default is
 * `$DOCKER_CONFIG/config.json`. A file is replaced as a whole, with mode 0600; its other entries
 * and members stay.
 *
 * @param host the host and port of the registry, such as `registry.example:5000`
 * @returns the file, or the program of the helper, that now has the credentials
 * @throws {@link OcicryptError} `REFERENCE_INVALID`, `CREDENTIALS_INVALID`, `DESTINATION_FULL`,
 *   `DESTINATION_UNWRITABLE`
 */
export async function storeCredentials(
  host: string,
  credentials: PasswordCredentials,
  options: StoredCredentialsOptions = {},
): Promise<string> {
  const registry = registryHost(host);
  const { username, password } = credentials;
  if (username === "" || /[:\0]/.test(username) || password.includes("\0")) {
    const why = "a user name must not be empty or contain a colon, and neither may contain NUL";
    throw new OcicryptError("CREDENTIALS_INVALID", why);
  }
  const { env, paths } = placesOf(options);
  let found: AuthFile | undefined;
  for (const path of paths) {
    found = await openAuthFile(path, registry);
    // The first file with an entry is used, so an entry in another file would have no effect.
    if (found.helper !== undefined || found.keys.length > 0) break;
  }
  if (found === undefined) throw new TypeError("there is no file for credentials");
  const { path, keys, helper } = found;
  if (helper !== undefined) {
    await tellHelper(helper, helperKey(registry), credentials, env);
    if (keys.length > 0) await replaceEntry(path, registry, {});
    return `docker-credential-${helper}`;
  }
  const auth = Buffer.from(`${username}:${password}`).toString("base64");
  await replaceEntry(path, registry, { [helperKey(registry)]: { auth } });
  return path;
}

/**
 * Removes the credentials for a registry from all places where `configuredCredentials` would find
 * them. Entries for single repositories stay.
 *
 * @param host the host and port of the registry, such as `registry.example:5000`
 * @returns the files, and the programs of helpers, that had credentials
 * @throws {@link OcicryptError} as {@link storeCredentials}
 */
export async function removeCredentials(
  host: string,
  options: StoredCredentialsOptions = {},
): Promise<string[]> {
  const registry = registryHost(host);
  const { env, paths } = placesOf(options);
  const removed: string[] = [];
  for (const path of paths) {
    const { keys, helper } = await openAuthFile(path, registry);
    const name = helperKey(registry);
    if (helper !== undefined && (await askHelper(helper, name, env)) !== undefined) {
      await clearHelper(helper, name, env);
      removed.push(`docker-credential-${helper}`);
    }
    if (keys.length === 0) continue;
    await replaceEntry(path, registry, {});
    removed.push(path);
  }
  return removed;
}

function registryHost(host: string): string {
  checkReference({ host, repository: "x" }, host);
  return hostKeys(DOCKER_HUB).includes(host) ? DOCKER_HUB : host;
}

/** Returns the files in order of precedence. A new entry is written to the last file. */
function placesOf({ file, env = process.env, home = homedir() }: StoredCredentialsOptions): {
  env: Environment;
  paths: string[];
} {
  return { env, paths: file === undefined ? authFiles(env, home) : [file] };
}

interface AuthFile {
  path: string;
  content: JsonObject;
  auths: JsonObject;
  /** The keys of `auths` that name the registry. */
  keys: string[];
  helper: string | undefined;
}

async function openAuthFile(path: string, registry: string): Promise<AuthFile> {
  const content = (await readAuthFile(path)) ?? {};
  const auths = objectIn(content, "auths", path);
  const names = hostKeys(registry);
  const helpers = objectIn(content, "credHelpers", path);
  const helper = names.map((name) => ownString(helpers, name)).find((name) => name !== undefined);
  return {
    ...{ path, content, auths },
    keys: Object.keys(auths).filter((key) => names.includes(subjectOf(key))),
    helper: helper ?? ownString(content, "credsStore"),
  };
}

function without(object: JsonObject, keys: readonly string[]): JsonObject {
  return Object.fromEntries(Object.entries(object).filter(([key]) => !keys.includes(key)));
}

/**
 * Replaces the entries of a registry in a file, or in the target of a link. The file is read again
 * under a lock, so that the entry of a login at the same time is not lost.
 */
async function replaceEntry(path: string, registry: string, entry: JsonObject): Promise<void> {
  await writing(path, async () => {
    const target = await realpath(path).catch(() => path);
    const directory = dirname(target);
    await mkdir(directory, { recursive: true, mode: 0o700 });
    await withLock(directory, undefined, async () => {
      const { content, auths, keys } = await openAuthFile(path, registry);
      const changed = { ...content, auths: { ...without(auths, keys), ...entry } };
      const staged = join(directory, `.${basename(target)}.${randomUUID()}`);
      // Indented with tabs, as Docker does.
      await replaceFile(target, staged, `${JSON.stringify(changed, undefined, "\t")}\n`);
      await syncDirectory(directory);
    });
  });
}
