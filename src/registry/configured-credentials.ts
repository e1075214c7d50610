import { homedir } from "node:os";
import { join } from "node:path";
import { findInFile } from "./auth-file.js";
import type { CredentialSource } from "./credentials.js";

export interface ConfiguredCredentialsOptions {
  /** `process.env` by default. */
  env?: Readonly<Record<string, string | undefined>> | undefined;
  /** The user's home directory by default. */
  home?: string | undefined;
}

/**
 * The credentials that `docker login`, `podman login` or `skopeo login` left, looked for as
 * skopeo does (https://github.com/containers/image/blob/main/docs/containers-auth.json.5.md):
 * in `$REGISTRY_AUTH_FILE` only, if it is set, or else in `$XDG_RUNTIME_DIR/containers/auth.json`,
 * `$XDG_CONFIG_HOME/containers/auth.json` and `$DOCKER_CONFIG/config.json`, in this order, and in
 * the credential helpers that they name. The first that has some for the most specific part of the
 * name of the repository is taken.
 *
 * The source rejects with {@link OcicryptError} `CREDENTIALS_INVALID`.
 */
export function configuredCredentials({
  env = process.env,
  home = homedir(),
}: ConfiguredCredentialsOptions = {}): CredentialSource {
  return async (request) => {
    for (const file of authFiles(env, home)) {
      const found = await findInFile(file, request, env);
      if (found !== undefined) return found;
    }
    return undefined;
  };
}

function authFiles(env: Readonly<Record<string, string | undefined>>, home: string): string[] {
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
