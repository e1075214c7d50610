// Loaded with --import: writes the URL of each module that the process loads into a file.
import { appendFileSync } from "node:fs";
import { register } from "node:module";
import { isMainThread } from "node:worker_threads";

if (isMainThread) register(import.meta.url);

export async function load(url, context, next) {
  appendFileSync(process.env.LOADED, `${url}\n`);
  return next(url, context);
}
