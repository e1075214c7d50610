// Runs every example, as CI does: npm run examples
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

const directory = fileURLToPath(new URL(".", import.meta.url));
const notAlone = [
  "run.js",
  "make-image.js",
  "start-registry.js",
  "quickstart.js",
  "key-provider.js",
];
const examples = readdirSync(directory).filter(
  (name) => name.endsWith(".js") && !notAlone.includes(name),
);
for (const name of examples) {
  console.log(`\n== ${name}`);
  const { status } = spawnSync(process.execPath, [directory + name], { stdio: "inherit" });
  if (status !== 0) process.exitCode = 1;
}
