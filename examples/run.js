// Runs every example, as CI does. Run it with: npm run examples
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

const directory = fileURLToPath(new URL(".", import.meta.url));
const notStandalone = [
  "run.js",
  "make-image.js",
  "start-registry.js",
  "quickstart.js",
  "key-provider.js",
  "disk-artifact.js",
  "start-tang.js",
];
const examples = readdirSync(directory).filter(
  (name) => name.endsWith(".js") && !notStandalone.includes(name),
);
for (const name of examples) {
  console.log(`\n== ${name}`);
  const { status, error } = spawnSync(process.execPath, [directory + name], {
    stdio: "inherit",
    timeout: 120_000,
  });
  if (error !== undefined) console.error(`${name}: ${error.message}`);
  if (status !== 0) process.exitCode = 1;
}
