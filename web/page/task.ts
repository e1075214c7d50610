import type { OperationName, Operations } from "../protocol.js";
import { start, type Failure } from "./client.js";
import { button, el, fill, refocus } from "./dom.js";
import { formatSize } from "./words.js";

/** Advice for errors that people can do something about. */
const HINTS: Readonly<Record<string, string>> = {
  NO_KEYS: "Add a private key.",
  NO_RECIPIENTS: "Choose at least one recipient.",
  NO_MATCHING_KEY: "Add the private key of one of the recipients.",
  PASSWORD_WRONG: "Check the keyboard layout and the caps lock key.",
  KEY_MISMATCH: "PKCS#7 needs a certificate and its private key; add both.",
  HMAC_MISMATCH: "The layer was changed or damaged. Nothing of it is shown.",
  BLOB_DIGEST_MISMATCH: "The file was changed or damaged. Copy the image again.",
  BLOB_SIZE_MISMATCH: "The file was changed or damaged. Copy the image again.",
  DIFF_ID_MISMATCH:
    "The layer is not the one that the image's config names. Nothing of it is shown.",
  BLOB_NOT_FOUND: "The image is incomplete. Copy it again, with all its platforms.",
  COMPRESSION_UNSUPPORTED: "Browsers cannot decompress zstd; use the command ocicrypt ls.",
  ALREADY_ENCRYPTED: "Decrypt the image first.",
};

/** Shows an error, and what to do about it. */
export function showFailure(error: unknown): HTMLElement {
  const { message, code } = error as Failure;
  if (code === "CANCELLED") return el("p", { class: "note" }, "Cancelled.");
  const hint = code === undefined ? undefined : HINTS[code];
  return el(
    "p",
    { class: "error", ...(code !== undefined && { "data-code": code }) },
    sentence(message),
    hint !== undefined && ` ${hint}`,
  );
}

/**
 * Runs a long operation, with its progress and a button that cancels it in a place of the page.
 *
 * @returns `undefined` if it failed; the place then says why
 */
export async function runTask<Name extends OperationName>(
  place: HTMLElement,
  label: string,
  name: Name,
  input: Operations[Name]["takes"],
): Promise<Operations[Name]["gives"] | undefined> {
  const before = document.activeElement;
  const bar = el("progress", { "aria-label": label });
  const amount = el("span", { class: "amount" });
  const task = start(name, input, ({ done, total }) => {
    bar.max = total;
    bar.value = done;
    amount.textContent = `${formatSize(done)} of ${formatSize(total)}`;
  });
  const cancel = button("Cancel", task.cancel);
  fill(place, el("div", { class: "task" }, el("span", {}, label), bar, amount, cancel));
  cancel.focus();
  try {
    const output = await task.result;
    fill(place);
    return output;
  } catch (error) {
    const failure = el("div", { role: "alert", tabindex: "-1" }, showFailure(error));
    fill(place, failure);
    const isThere = before instanceof HTMLElement && before.isConnected;
    refocus(isThere ? before : failure);
    return undefined;
  }
}

/** A message as a sentence. One that begins with the name of a file stays as it is. */
function sentence(message: string): string {
  const start = /^[a-z]+ /.test(message) ? message.charAt(0).toUpperCase() : message.charAt(0);
  return `${start}${message.slice(1)}${/[.…]$/.test(message) ? "" : "."}`;
}
