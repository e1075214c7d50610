import type { KeyView, LockedView } from "../protocol.js";
import { ask, type Failure } from "./client.js";
import { button, byId, el, fill, named } from "./dom.js";
import { showFailure } from "./task.js";

interface LockedKey extends LockedView {
  form: HTMLElement;
}

const keys: KeyView[] = [];
const locked: LockedKey[] = [];

export interface KeyEvents {
  /** Called when a key was added or removed. */
  onChange: () => void;
}

export function showKeys(events: KeyEvents): void {
  const place = byId("keys");
  if (keys.length + locked.length === 0) {
    fill(place, el("p", { class: "note" }, "No keys yet."));
    return;
  }
  const known = keys.map((key) => el("li", { class: "key" }, ...describe(key, events)));
  const waiting = locked.map(({ form }) => el("li", { class: "key" }, form));
  fill(place, el("ul", { class: "plain" }, ...waiting, ...known));
}

function describe(key: KeyView, events: KeyEvents): (Node | string)[] {
  const { id, name, opens, encryptsFor } = key;
  const uses = [
    ...(opens.length > 0 ? [`opens ${schemes(opens)}`] : []),
    ...(encryptsFor.length > 0 ? [`encrypts with ${schemes(encryptsFor)}`] : []),
  ];
  const remove = button("Remove", () => void forget(id, events), {
    "aria-label": `Remove ${name}`,
  });
  return [
    el("div", {}, named(name, { class: "name" }), el("div", { class: "note" }, uses.join(", "))),
    remove,
  ];
}

const SCHEMES: Readonly<Record<string, string>> = {
  jwe: "JWE",
  pkcs7: "PKCS#7",
  pgp: "OpenPGP",
  pkcs11: "PKCS#11",
};

export function schemes(names: readonly string[]): string {
  return names.map((name) => SCHEMES[name] ?? name).join(", ");
}

async function forget(id: number, events: KeyEvents): Promise<void> {
  await ask("forget", { id });
  remove(keys, id);
  remove(locked, id);
  showKeys(events);
  events.onChange();
  byId("keys-title").focus();
}

export function addKey(key: KeyView): void {
  keys.push(key);
}

/** Asks for the password of a key. */
export function addLocked(view: LockedView, events: KeyEvents): void {
  const { id, name } = view;
  const input = el("input", {
    ...{ type: "password", id: `password-${String(id)}`, autocomplete: "off", required: true },
    "aria-describedby": `problem-${String(id)}`,
  });
  const problem = el("div", { role: "alert", id: `problem-${String(id)}` });
  const submit = el("button", { type: "submit", class: "main" }, "Unlock");
  const discard = button("Remove", () => void forget(id, events), {
    "aria-label": `Remove ${name}`,
  });
  const form = el(
    "form",
    { class: "password" },
    el("label", { for: input.id }, "Password of ", named(name)),
    el("div", { class: "row" }, input, submit, discard),
    problem,
  );
  let tries = 0;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (submit.disabled) return;
    const password = input.value;
    input.value = "";
    submit.disabled = true;
    fill(problem, el("p", { class: "note" }, "Deriving the key…"));
    void ask("unlock", { id, password })
      .then((found) => {
        if (found.kind !== "key") return;
        remove(locked, id);
        keys.push(found.key);
        showKeys(events);
        events.onChange();
        byId("keys-title").focus();
      })
      .catch((error: unknown) => {
        tries += 1;
        const isWrong = (error as Failure).code === "PASSWORD_WRONG";
        const said = tries === 1 ? "Wrong password." : `Wrong password, ${String(tries)} times.`;
        fill(problem, isWrong ? el("p", { class: "error" }, said) : showFailure(error));
        input.focus();
      })
      .finally(() => {
        submit.disabled = false;
      });
  });
  locked.push({ ...view, form });
}

/** The keys that images can be encrypted for. */
export function publicKeys(): KeyView[] {
  return keys.filter(({ encryptsFor }) => encryptsFor.length > 0);
}

function remove(list: { id: number }[], id: number): void {
  const index = list.findIndex((each) => each.id === id);
  if (index >= 0) list.splice(index, 1);
}
