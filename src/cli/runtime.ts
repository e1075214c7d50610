import { checkRuntimes, type RuntimeReport } from "../runtime/check.js";
import { runtimeConfig as configOf } from "../runtime/config.js";
import { syncKeys } from "../runtime/key-sync.js";
import { healthLine, watchKeys } from "../runtime/key-watch.js";
import { RUNTIMES, type RuntimeName } from "../runtime/runtimes.js";
import type { CommandLine } from "./arguments.js";
import type { CommandResult, Prepared } from "./command.js";
import { STATUS, UsageError } from "./errors.js";
import { jsonText, printable } from "./text.js";

/** Wraps a command that sets up or checks a node, which has no keys or recipients to prepare. */
function prepared(run: () => CommandResult | Promise<CommandResult>): Promise<Prepared> {
  return Promise.resolve({ warnings: [], run: async () => run() });
}

/** @throws {UsageError} */
function requireRuntime(name: string): RuntimeName {
  const runtime = RUNTIMES.find((each) => each === name);
  if (runtime !== undefined) return runtime;
  const message = `there is no runtime ${JSON.stringify(printable(name))}`;
  throw new UsageError(message, `write ${RUNTIMES.join(", ")}`);
}

export function runtimeConfig({ images: [name = ""], containerd }: CommandLine): Promise<Prepared> {
  const config = configOf(requireRuntime(name), containerd);
  return prepared(() => ({ text: config.content, json: config, warnings: [] }));
}

export function runtimeCheck(line: CommandLine, signal: AbortSignal): Promise<Prepared> {
  const { images, containerd: generation, root, runtimeConfig: file } = line;
  const runtime = images[0] === undefined ? undefined : requireRuntime(images[0]);
  return prepared(async () => {
    const runtimes = await checkRuntimes({ runtime, root, file, generation, signal });
    const fails = runtimes.some(({ findings }) => findings.some(({ level }) => level === "error"));
    return {
      text: runtimes.map(renderRuntime).join(""),
      json: { works: !fails, runtimes },
      warnings: [],
      status: fails ? STATUS.finding : STATUS.done,
    };
  });
}

function renderRuntime({ runtime, files, findings }: RuntimeReport): string {
  const lines = findings.flatMap(({ level, message, hint }) => [
    `  ${level}: ${printable(message)}`,
    `    ${printable(hint)}`,
  ]);
  const read = files.length === 0 ? "no configuration" : files.map((each) => printable(each)).join(", "); // prettier-ignore
  const all = lines.length === 0 ? ["  no problem found"] : lines;
  return [`${runtime} (${read})`, ...all, ""].join("\n");
}

export function keysSync(line: CommandLine, signal: AbortSignal): Promise<Prepared> {
  const { from = "", to = "", watch, json } = line;
  const options = { from, to, signal };
  return prepared(async () => {
    if (!watch) {
      const result = await syncKeys(options);
      const health = { time: new Date().toISOString(), status: "ok", ...result } as const;
      return { text: `${healthLine(health)}\n`, json: health, warnings: [] };
    }
    // A closed log must not stop the copying.
    process.stdout.on("error", () => undefined);
    for await (const health of watchKeys(options)) {
      process.stdout.write(`${json ? jsonText(health) : healthLine(health)}\n`);
    }
    return { text: "", json: undefined, warnings: [] };
  });
}
