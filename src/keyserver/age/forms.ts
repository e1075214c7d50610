import type { Recipient } from "../../keywrap/types.js";
import type { KeyServerContext } from "../types.js";
import * as age from "./age.js";

/** `age:age1…`, or `age:FILE` with a recipients file. Keys are files, recognised by their content. */
export async function recipients(text: string, context: KeyServerContext): Promise<Recipient[]> {
  const value = text.slice("age:".length);
  if (/^(?:age1|AGE-)/i.test(value)) return [await age.recipient(value)];
  return age.recipients(context.readFile(value));
}
