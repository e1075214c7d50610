import { spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll } from "vitest";
import type { RegistryReference } from "../../src/registry/index.js";
import { buildPeers, hasProgram } from "./peers.js";

/** The registry zot, which goes with the test file. */
export interface Zot {
  host: string;
  /** An image of it, `latest` by default. */
  at(repository: string, tag?: string): RegistryReference;
  /** Uploads that are open, of a repository. */
  uploads(repository: string): string[];
}

export interface ZotOptions {
  /** A file of users and the bcrypt hashes of their passwords. */
  htpasswd?: string;
}

/**
 * The program: the one that `ZOT` names, or else that of `build-peers.sh`, built into a directory;
 * `undefined` without it or without Go.
 */
export async function findZot(directory: string): Promise<string | undefined> {
  const named = process.env.ZOT;
  if (named !== undefined) return hasProgram(named, "--version") ? named : undefined;
  if (!hasProgram("go", "version")) return undefined;
  await buildPeers(directory, "zot");
  return join(directory, "zot");
}

const children = new Set<ChildProcess>();

/** To be called in the file that uses {@link startZot}. */
export function stopZots(): void {
  afterAll(async () => {
    for (const child of children) {
      const closed = new Promise((resolve) => child.once("close", resolve));
      child.kill("SIGKILL");
      await closed;
    }
  });
}

/** Runs zot on a port that the system chooses. */
export async function startZot(
  program: string,
  parent: string,
  { htpasswd }: ZotOptions = {},
): Promise<Zot> {
  const directory = mkdtempSync(join(parent, "zot-"));
  const data = join(directory, "data");
  const config = join(directory, "config.json");
  const auth = htpasswd === undefined ? {} : { auth: { htpasswd: { path: htpasswd } } };
  writeFileSync(
    config,
    JSON.stringify({
      distSpecVersion: "1.0.1-dev",
      storage: { rootDirectory: data },
      http: { address: "127.0.0.1", port: "0", ...auth },
      log: { level: "info" },
    }),
  );
  const child = spawn(program, ["serve", config], { stdio: ["ignore", "pipe", "pipe"] });
  children.add(child);
  const port = await new Promise<string>((resolve, reject) => {
    let log = "";
    const read = (chunk: Buffer): void => {
      log = `${log}${chunk.toString()}`.slice(-10_000);
      const found = /"port":(\d+),.*kernel chosen port/.exec(log)?.[1];
      if (found !== undefined) resolve(found);
    };
    child.stdout.on("data", read);
    child.stderr.on("data", read);
    child.on("error", reject);
    child.on("close", () => {
      children.delete(child);
      reject(new Error(`zot ended: ${log}`));
    });
  });
  const host = `127.0.0.1:${port}`;
  return {
    host,
    at: (repository, tag = "latest") => ({ host, repository, tag }),
    uploads: (repository) => readdirSync(join(data, repository, ".uploads")),
  };
}
