import type { OperationName, Operations, Request, Response } from "../protocol.js";
import { decrypt, encrypt } from "./archives.js";
import { problemOf, type Context } from "./context.js";
import { listFiles, openFiles, readFile, searchFiles } from "./files.js";
import { add, forget, unlock } from "./given.js";
import { inspect } from "./layouts.js";

type Handlers = {
  [Name in OperationName]: (
    input: Operations[Name]["takes"],
    context: Context,
  ) => Operations[Name]["gives"] | Promise<Operations[Name]["gives"]>;
};

const HANDLERS: Handlers = {
  ...{ add, unlock, forget, inspect, decrypt, encrypt },
  ...{ openFiles, listFiles, searchFiles, readFile },
};

const running = new Map<number, AbortController>();

addEventListener("message", ({ data }: MessageEvent<Request>) => {
  if (data.name === "cancel") {
    running.get(data.id)?.abort(new DOMException("cancelled", "AbortError"));
  } else {
    void run(data);
  }
});

async function run(request: Exclude<Request, { name: "cancel" }>): Promise<void> {
  const { id, name, input } = request;
  const controller = new AbortController();
  running.set(id, controller);
  const report = throttled((progress) => {
    say({ id, kind: "progress", progress });
  });
  try {
    const output = await handle(name, input, { signal: controller.signal, report });
    say({ id, kind: "done", output });
  } catch (error) {
    say({ id, kind: "failed", problem: problemOf(error) });
  } finally {
    running.delete(id);
  }
}

function handle<Name extends OperationName>(
  name: Name,
  input: Operations[Name]["takes"],
  context: Context,
): Operations[Name]["gives"] | Promise<Operations[Name]["gives"]> {
  return HANDLERS[name](input, context);
}

/** A page that hears of every megabyte would do nothing else. */
function throttled(report: Context["report"]): Context["report"] {
  let last = 0;
  return (progress) => {
    const now = performance.now();
    if (now - last < 100 && progress.done < progress.total) return;
    last = now;
    report(progress);
  };
}

/** The types of a page give the global function of this name other parameters. */
function say(response: Response): void {
  (postMessage as (message: Response) => void)(response);
}
