// Starts a registry for the examples: the program docker-registry, on a free local port.
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";

/**
 * Ends the example if a program is not installed. In CI, this is a failure.
 *
 * @param {string} program
 */
export function requireProgram(program) {
  if (spawnSync(program, ["--version"]).error === undefined) return;
  const isCi = process.env.CI === "true";
  console.log(`${program} is not installed${isCi ? "" : ": skipped"}`);
  process.exit(isCi ? 1 : 0);
}

/** @returns {Promise<{host: string, directory: string, stop: () => Promise<void>}>} */
export async function startRegistry() {
  requireProgram("docker-registry");
  const directory = mkdtempSync(join(tmpdir(), "ocicrypt-example-"));
  const config = join(directory, "config.yml");
  writeFileSync(
    config,
    `version: 0.1
storage: {filesystem: {rootdirectory: ${join(directory, "registry")}}}
http: {addr: "127.0.0.1:0"}
`,
  );
  const registry = spawn("docker-registry", ["serve", config], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const closed = new Promise((resolve) => registry.once("close", resolve));
  const host = await new Promise((resolve, reject) => {
    let log = "";
    for (const stream of [registry.stdout, registry.stderr]) {
      stream.on("data", (chunk) => {
        log += chunk;
        const found = /listening on (127\.0\.0\.1:\d+)/.exec(log)?.[1];
        if (found) resolve(found);
      });
    }
    closed.then(() => reject(new Error(`docker-registry ended: ${log}`)));
  });
  // Stops the registry when an example fails.
  process.once("exit", () => registry.kill());
  return {
    host,
    directory,
    async stop() {
      registry.kill();
      await closed;
      rmSync(directory, { recursive: true });
    },
  };
}

/**
 * Copies a single-platform image unchanged.
 *
 * @param {import("ocicrypt/store").ImageSource} source
 * @param {import("ocicrypt/store").ImageDestination} destination
 */
export async function copyImage(source, destination) {
  const image = await source.resolve();
  const manifest = await buffer(source.read(image));
  const { config, layers } = JSON.parse(manifest.toString());
  for (const blob of [config, ...layers]) await destination.write(source.read(blob), () => blob);
  await destination.writeManifest(manifest, image);
  await destination.commit(image);
}
