// The speed and memory of the library and the command, beside others: npm run bench [-- PART...]
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { commandRounds, IMAGES } from "./commands.js";
import { layerTable, memoryTable } from "./layer.js";
import { measure, summary } from "./measure.js";
import { registryRounds } from "./registry.js";
import { commandChart, commandTable, table } from "./tables.js";

const CHART = fileURLToPath(new URL("../../docs/benchmarks.svg", import.meta.url));
const COMMAND = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

/** The rows of the whole command, from layout to layout in memory, for the picture. */
const rows = [];

async function inDirectory(parent, run) {
  const directory = mkdtempSync(join(parent, "ocicrypt-bench-"));
  try {
    return await run(directory);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function inMemory(run) {
  return inDirectory(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), run);
}

/** A part that runs the command beside its peers, with layouts in memory. */
function commands(name) {
  return async () => {
    const found = await inMemory((directory) => commandRounds(directory, IMAGES[name]));
    rows.push(...found);
    return commandTable(found);
  };
}

/** Measures the start of Node.js, and the command that prints its help. */
function startTable() {
  const programs = [["-e", "0"], [COMMAND, "--help"]]; // prettier-ignore
  const taken = programs.map(() => []);
  for (let round = 0; round < 15; round++) {
    for (const [i, args] of programs.entries()) taken[i].push(measure([process.execPath, ...args]));
  }
  const [node, help] = taken.map((all) => summary(all, taken[1]));
  const ms = ({ wall, cpu }) => `${(wall * 1000).toFixed(0)} ms (${(cpu * 1000).toFixed(0)} ms)`;
  const ratios = [node.ratio, node.cpuRatio].map((ratio) => ratio.toFixed(2));
  return table(
    ["`ocicrypt --help`", "`node -e 0`", "ratio", "ratio of processor time"],
    [[ms(help), ms(node), ...ratios]],
  );
}

async function registryTable() {
  const found = await inMemory(registryRounds);
  if (found === undefined) return "";
  const { ours, skopeo } = found;
  const cells = ({ wall, cpu, memory }) =>
    `${wall.toFixed(2)} s (${cpu.toFixed(2)} s), ${memory.toFixed(0)} MiB`;
  const ratios = [skopeo.ratio, skopeo.cpuRatio].map((ratio) => ratio.toFixed(2));
  return table(
    ["this command", "skopeo", "ratio", "ratio of processor time"],
    [[cells(ours), cells(skopeo), ...ratios]],
  );
}

/** Takes about 20 minutes in all when nothing else runs. */
const PARTS = {
  start: { title: "to start", run: startTable },
  small: { title: "a small image", run: commands("small") },
  size: { title: "one layer, by its size", run: commands("size") },
  layers: { title: "several layers at once", run: commands("layers") },
  gzip: { title: "compressed layers", run: commands("gzip") },
  disk: {
    title: "on disk",
    run: async () =>
      commandTable(await inDirectory(tmpdir(), (path) => commandRounds(path, IMAGES.disk))),
  },
  registry: {
    title: "7 layers of 574 MB in all, from repository to repository of one registry",
    run: registryTable,
  },
  layer: { title: "one layer of 512 MiB in memory", run: () => inMemory(layerTable) },
  memory: { title: "peak memory of a program", run: memoryTable },
};

const names = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(PARTS);
const unknown = names.find((name) => !Object.hasOwn(PARTS, name));
if (unknown !== undefined) {
  console.error(`there is no part "${unknown}"; the parts are ${Object.keys(PARTS).join(", ")}`);
  process.exit(2);
}
const today = new Date().toISOString().slice(0, 10);
const caption = `${today}, Node.js ${process.version}, ${cpus().length} x ${cpus()[0].model}`;
const load = loadavg()[0].toFixed(1);
console.log(`${caption}; the load of the machine was ${load} before
wall time (processor time), medians of interleaved rounds`);
for (const name of names) {
  const { title, run } = PARTS[name];
  console.log(`\n${title}\n\n${await run()}`);
}
if (names.length === Object.keys(PARTS).length) writeFileSync(CHART, commandChart(rows, caption));
