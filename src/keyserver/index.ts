import { OcicryptError } from "../errors.js";
import type { Key, Recipient } from "../keywrap/types.js";
import type { KeyServer, KeyServerContext, ServedFile } from "./types.js";

export type { KeyServerContext } from "./types.js";

interface System {
  /** The name of the system, of its key provider, and of its member in the settings. */
  name: string;
  hasKey: boolean;
  load: () => Promise<KeyServer>;
}

const AGE: System = { name: "age", hasKey: false, load: () => import("./age/forms.js") };
const TANG: System = { name: "tang", hasKey: true, load: () => import("./tang/forms.js") };
const VAULT: System = { name: "vault", hasKey: true, load: () => import("./vault/forms.js") };
const BARBICAN: System = {
  name: "barbican",
  hasKey: true,
  load: () => import("./barbican/forms.js"),
};
const KEY_PROTECT: System = {
  name: "key-protect",
  hasKey: true,
  load: () => import("./key-protect/forms.js"),
};
const AWS_KMS: System = { name: "aws-kms", hasKey: true, load: () => import("./aws-kms/forms.js") };

/** The systems by the word before the colon of `-r`. Each is loaded when it is first used. */
const SYSTEMS: ReadonlyMap<string, System> = /* @__PURE__ */ new Map([
  ["age", AGE],
  ["tang", TANG],
  // A key of `tang` also opens the wrapped keys of `sss`, which name their pin of Clevis.
  ["sss", { ...TANG, hasKey: false }],
  ["barbican", BARBICAN],
  ["vault", VAULT],
  ["key-protect", KEY_PROTECT],
  ["aws-kms", AWS_KMS],
]);

export const KEY_SERVER_NAMES: readonly string[] = /* @__PURE__ */ [
  ...new Set([...SYSTEMS.values()].map(({ name }) => name)),
];

/** Whether an argument of `-r` names a system of this folder. */
export function isKeyServerRecipient(text: string): boolean {
  return text.includes(":") && systemOf(text) !== undefined;
}

/** Whether an argument of `-k` names a system of this folder. */
export function isKeyServerKey(text: string): boolean {
  return systemOf(text)?.hasKey === true;
}

/** Recipients or keys that texts name, and the key files that key servers keep. */
export interface Served<T> {
  found: T[];
  files: ServedFile[];
}

/**
 * Returns the recipients, or the key files, that an argument of `-r` names.
 *
 * @throws {@link OcicryptError} the codes of the system, `KEY_SERVER_CONFIG_INVALID`
 */
export async function keyServerRecipients(
  text: string,
  context: KeyServerContext,
): Promise<Served<Recipient>> {
  return sorted(await (await load(text)).recipients(text, context));
}

/**
 * Returns one key for each system that the texts name, and the key files that the texts name.
 *
 * @throws {@link OcicryptError} the codes of the systems, `KEY_SERVER_CONFIG_INVALID`
 */
export async function keyServerKeys(
  texts: readonly string[],
  context: KeyServerContext,
): Promise<Served<Key>> {
  const byName = new Map<string, string[]>();
  for (const text of texts) {
    const name = systemOf(text)?.name ?? "";
    byName.set(name, [...(byName.get(name) ?? []), text]);
  }
  const all: (Key | ServedFile)[] = [];
  for (const [name, own] of byName) {
    const system = await load(name);
    if (system.keys !== undefined) all.push(...(await system.keys(own, context)));
  }
  return sorted(all);
}

function sorted<T extends Recipient | Key>(all: readonly (T | ServedFile)[]): Served<T> {
  const served: Served<T> = { found: [], files: [] };
  for (const each of all) {
    if ("content" in each) served.files.push(each);
    else served.found.push(each);
  }
  return served;
}

function systemOf(text: string): System | undefined {
  return SYSTEMS.get(text.split(":", 1)[0] ?? "");
}

async function load(text: string): Promise<KeyServer> {
  const system = systemOf(text);
  if (system !== undefined) return system.load();
  throw new OcicryptError("KEY_SERVER_CONFIG_INVALID", "there is no such key server");
}
