// Kills the built command at random moments and looks at what is left: npm run kill -- [options];
// docs/testing.md describes it.
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { cpSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { isDeepStrictEqual, parseArgs } from "node:util";
import { createRandom } from "../fuzz/random.js";
import { makeLayout, readImages, requireWhole } from "./images.js";

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: "1" },
    count: { type: "string", default: "200" },
  },
});
const MAIN = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const KEYS = fileURLToPath(new URL("../../vectors/keys/", import.meta.url));
const RECIPIENT = `jwe:${KEYS}ec-p256.pub.pem`;
const OTHER_RECIPIENT = `jwe:${KEYS}rsa-2048.pub.pem`;
const THIRD_RECIPIENT = `jwe:${KEYS}ec-p384.pub.pem`;
const KEY = `${KEYS}ec-p256.pem`;
const LAYER_SIZES = [8 * 1024 * 1024, 5 * 1024 * 1024, 100];

const root = mkdtempSync(join(tmpdir(), "ocicrypt-kill-"));
process.on("exit", () => rmSync(root, { recursive: true, force: true }));
const random = createRandom(Number(values.seed));

const plain = join(root, "plain");
const other = join(root, "other");
makeLayout(
  plain,
  "image",
  LAYER_SIZES.map((size) => randomBytes(size)),
);
makeLayout(other, "other", [randomBytes(1000)]);
const encrypted = { oci: join(root, "encrypted"), "oci-archive": join(root, "encrypted.tar") };
for (const [transport, path] of Object.entries(encrypted)) {
  await mustEnd(["encrypt", `oci:${plain}:image`, `${transport}:${path}:image`, "-r", RECIPIENT]);
}
/** Each way in which images are written: what is there before, and the command. */
const SCENARIOS = ["oci", "oci-archive"].flatMap((transport) => [
  {
    name: `encrypt into a new ${transport}`,
    command: (path) => [
      "encrypt",
      `oci:${plain}:image`,
      `${transport}:${path}:image`,
      "-r",
      RECIPIENT,
    ],
  },
  {
    // An archive holds one image and is written whole.
    name: transport === "oci" ? "encrypt into a used oci" : "encrypt over an oci-archive",
    before: transport === "oci" ? other : encrypted[transport],
    command: (path) => [
      ...["encrypt", `oci:${plain}:image`, `${transport}:${path}:image`],
      ...["-r", RECIPIENT],
    ],
  },
  {
    name: `decrypt into a new ${transport}`,
    command: (path) => [
      ...["decrypt", `${transport}:${encrypted[transport]}:image`],
      ...[`${transport}:${path}:image`, "-k", KEY],
    ],
  },
  {
    name: `add a recipient in an ${transport}`,
    before: encrypted[transport],
    command: (path) => addRecipient(`${transport}:${path}:image`, OTHER_RECIPIENT),
    // To add the same one twice writes nothing.
    next: (path) => addRecipient(`${transport}:${path}:image`, THIRD_RECIPIENT),
  },
]);

function addRecipient(image, recipient) {
  return ["recipients", "add", image, "-r", recipient, "-k", KEY];
}

async function mustEnd(args) {
  const { status, stderr } = await run(args).ended;
  if (status !== 0) throw new Error(`${args.join(" ")} ended with ${String(status)}: ${stderr}`);
}

function run(args) {
  const child = spawn(process.execPath, [MAIN, ...args], { stdio: ["ignore", "ignore", "pipe"] });
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text) => (stderr += text));
  const ended = new Promise((resolve) => {
    child.on("close", (status, signal) => resolve({ status, signal, stderr }));
  });
  return { child, ended };
}

/** A directory of its own with what a scenario needs, and where the image goes in it. */
function prepare({ before }) {
  const parent = mkdtempSync(join(root, "round-"));
  const path = join(parent, "image");
  if (before !== undefined) cpSync(before, path, { recursive: true });
  return { parent, path };
}

/** A sign that the command has begun to write: its stage is in the directory or in the layout. */
async function begins(child, { parent, path }) {
  while (child.exitCode === null && child.signalCode === null) {
    if ([parent, path].some((place) => stagesIn(place).length > 0)) return;
    await sleep(1);
  }
}

function stagesIn(place) {
  try {
    return readdirSync(place).filter((name) => name.startsWith(".ocicrypt-"));
  } catch {
    // Not there yet, or a file.
    return [];
  }
}

/** How long a command writes when nothing disturbs it, in milliseconds, and what it leaves. */
async function measure(scenario) {
  const place = prepare(scenario);
  const { child, ended } = run(scenario.command(place.path));
  await begins(child, place);
  const started = performance.now();
  const { status, stderr } = await ended;
  if (status !== 0) throw new Error(`${scenario.name}: ${stderr}`);
  const milliseconds = performance.now() - started;
  const names = tagsOf(await readImages(place.path));
  rmSync(place.parent, { recursive: true });
  return { milliseconds, names };
}

const tagsOf = (images) => images.map(({ tag }) => tag).sort();

const problems = [];
const counts = { old: 0, new: 0, killed: 0, ended: 0 };

async function kill(scenario, { milliseconds, names }) {
  const place = prepare(scenario);
  const before = await readImages(place.path);
  const { child, ended } = run(scenario.command(place.path));
  await begins(child, place);
  // Past the usual end too, as machines are not always as fast as when it was measured.
  const delay = (random.below(1200) / 1000) * milliseconds;
  await sleep(delay);
  child.kill("SIGKILL");
  const { signal } = await ended;
  counts[signal === null ? "ended" : "killed"]++;

  const after = await readImages(place.path);
  for (const image of after) requireWhole(image);
  if (isDeepStrictEqual(before, after)) counts.old++;
  else if (isDeepStrictEqual(tagsOf(after), names) && isKept(before, after, scenario)) counts.new++;
  else throw new Error(`neither the former images nor the new ones: ${tagsOf(after).join(", ")}`);
  requireStagesOnly(place);

  // The next command has to get over what the killed one left, and to remove it.
  await mustEnd((scenario.next ?? scenario.command)(place.path));
  for (const image of await readImages(place.path)) requireWhole(image);
  const left = [place.parent, place.path].flatMap(stagesIn);
  if (left.length > 0) throw new Error(`the next command left ${left.join(", ")}`);
  rmSync(place.parent, { recursive: true });
}

/** Images of other names are as they were. */
function isKept(before, after) {
  return before
    .filter(({ tag }) => tag !== "image")
    .every((image) => after.some((each) => isDeepStrictEqual(each, image)));
}

function requireStagesOnly({ parent }) {
  const strange = readdirSync(parent).filter(
    (name) => name !== "image" && !name.startsWith(".ocicrypt-"),
  );
  if (strange.length > 0) throw new Error(`strange files are left: ${strange.join(", ")}`);
}

const measured = [];
for (const scenario of SCENARIOS) measured.push(await measure(scenario));
// A command that ends before its signal is no kill.
for (let round = 0; counts.killed < Number(values.count) && problems.length < 10; round++) {
  const index = round % SCENARIOS.length;
  try {
    await kill(SCENARIOS[index], measured[index]);
  } catch (error) {
    problems.push(`round ${String(round)}, ${SCENARIOS[index].name}: ${error.message}`);
    console.log(problems.at(-1));
  }
}
console.log(
  `${String(counts.killed)} killed with seed ${values.seed}: ${String(counts.old)} left the former images, ` +
    `${String(counts.new)} the new ones, ${String(counts.ended)} ended before the signal; ` +
    `${String(problems.length)} problems`,
);
process.exitCode = problems.length === 0 ? 0 : 1;
