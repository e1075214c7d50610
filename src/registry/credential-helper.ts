import { execFile } from "node:child_process";
import { OcicryptError } from "../errors.js";
import { ANY, asObject, parseJson, struct } from "../text/json.js";
import { printable } from "../text/printable.js";

/** Credentials for a registry. */
export type Credentials = PasswordCredentials | TokenCredentials;

export interface PasswordCredentials {
  username: string;
  password: string;
}

/** An OAuth 2 refresh token, as `docker login` can store it. */
export interface TokenCredentials {
  identityToken: string;
}

/** Milliseconds; a helper may have to ask the user to unlock a key ring. */
const TIMEOUT = 60_000;
const MAX_OUTPUT = 64 * 1024;

/** Such as `process.env`. */
export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Asks a program `docker-credential-NAME` for the credentials of a registry
 * (https://github.com/docker/docker-credential-helpers).
 *
 * @returns `undefined` if it has none
 * @throws {@link OcicryptError} `CREDENTIALS_INVALID`
 */
export async function askHelper(
  name: string,
  registry: string,
  env: Environment,
): Promise<Credentials | undefined> {
  const output = await run(name, "get", `${registry}\n`, env);
  if (output === undefined) return undefined;
  // The reason could quote the answer.
  const refuse = (): OcicryptError =>
    unusable(name, "its answer is not JSON, or readers could disagree about it");
  const options = { shape: ANSWER, maxSize: MAX_OUTPUT, refuse };
  const { Username, Secret } = asObject(parseJson(output, options)) ?? {};
  if (typeof Username !== "string" || typeof Secret !== "string") {
    throw unusable(name, "its answer has no user name and secret");
  }
  if (Username === "" && Secret === "") return undefined;
  return Username === "<token>"
    ? { identityToken: Secret }
    : { username: Username, password: Secret };
}

/** `Credentials` of github.com/docker/docker-credential-helpers/credentials. */
const ANSWER = /* @__PURE__ */ struct({ ServerURL: ANY, Username: ANY, Secret: ANY });

/**
 * Stores credentials in a helper.
 *
 * @throws {@link OcicryptError} `CREDENTIALS_INVALID`
 */
export async function tellHelper(
  name: string,
  registry: string,
  { username, password }: PasswordCredentials,
  env: Environment,
): Promise<void> {
  const entry = { ServerURL: registry, Username: username, Secret: password };
  await run(name, "store", JSON.stringify(entry), env);
}

/**
 * Removes the credentials of a registry from a helper.
 *
 * @throws {@link OcicryptError} `CREDENTIALS_INVALID`
 */
export async function clearHelper(name: string, registry: string, env: Environment): Promise<void> {
  await run(name, "erase", `${registry}\n`, env);
}

/** @returns `undefined` if the helper has nothing */
function run(
  name: string,
  action: "get" | "store" | "erase",
  input: string,
  env: Environment,
): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    // The name becomes part of a program's name, so it must not lead to another directory.
    if (!/^[A-Za-z0-9][\w.-]{0,63}$/.test(name)) {
      reject(unusable(printable(name, 64), "it is not the name of a helper"));
      return;
    }
    const options = { env, timeout: TIMEOUT, maxBuffer: MAX_OUTPUT, windowsHide: true };
    const child = execFile(`docker-credential-${name}`, [action], options, (error, stdout) => {
      if (error === null) {
        resolve(stdout);
        return;
      }
      // According to the protocol, a helper writes to standard output that it has nothing.
      if (stdout.trim().startsWith("credentials not found")) {
        resolve(undefined);
        return;
      }
      reject(unusable(name, reason(error)));
    });
    child.stdin?.on("error", () => undefined);
    child.stdin?.end(input);
  });
}

function reason({ code, killed }: { code?: unknown; killed?: boolean }): string {
  if (code === "ENOENT") return "the program is not installed";
  if (code === "ERR_CHILD_PROCESS_STDIO_MAXBUFFER") return "its answer is too large";
  if (killed === true) return `it gave no answer within ${String(TIMEOUT / 1000)} seconds`;
  return typeof code === "number" ? `it ended with exit status ${String(code)}` : "it failed";
}

function unusable(name: string, why: string): OcicryptError {
  const message = `docker-credential-${name} cannot be used: ${why}`;
  return new OcicryptError("CREDENTIALS_INVALID", message);
}
