import type { OperationName, Operations, Progress, Request, Response } from "../protocol.js";

/** An operation that runs in the worker. */
export interface Task<Result> {
  result: Promise<Result>;
  cancel: () => void;
}

/** An error of the worker. */
export interface Failure extends Error {
  code?: string | undefined;
}

interface Waiting {
  onProgress: ((progress: Progress) => void) | undefined;
  resolve: (output: never) => void;
  reject: (error: Failure) => void;
}

const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
const waiting = new Map<number, Waiting>();
let lastId = 0;
let hasStopped = false;

worker.addEventListener("message", ({ data }: MessageEvent<Response>) => {
  const task = waiting.get(data.id);
  if (task === undefined) return;
  if (data.kind === "progress") {
    task.onProgress?.(data.progress);
    return;
  }
  waiting.delete(data.id);
  if (data.kind === "done") task.resolve(data.output as never);
  else task.reject(Object.assign(new Error(data.problem.message), { code: data.problem.code }));
});

// The worker could not be loaded, or has run out of memory.
worker.addEventListener("error", (event) => {
  event.preventDefault();
  hasStopped = true;
  for (const task of waiting.values()) task.reject(stopped());
  waiting.clear();
});

function stopped(): Error {
  return new Error("the worker of this page has stopped; reload the page");
}

/** Starts an operation in the worker. */
export function start<Name extends OperationName>(
  name: Name,
  input: Operations[Name]["takes"],
  onProgress?: (progress: Progress) => void,
): Task<Operations[Name]["gives"]> {
  lastId += 1;
  const id = lastId;
  const result = new Promise<Operations[Name]["gives"]>((resolve, reject) => {
    if (hasStopped) reject(stopped());
    else waiting.set(id, { onProgress, resolve, reject });
  });
  say({ id, name, input } as Request);
  return {
    result,
    cancel: () => {
      say({ id, name: "cancel" });
    },
  };
}

/** Runs a short operation in the worker. */
export function ask<Name extends OperationName>(
  name: Name,
  input: Operations[Name]["takes"],
): Promise<Operations[Name]["gives"]> {
  return start(name, input).result;
}

function say(request: Request): void {
  worker.postMessage(request);
}
