import { decodeBase64 } from "../../spec/base64.js";
import { unrecognized } from "../../keys/refusals.js";
import { recoverKeyFile } from "../../keys/key-text.js";

/** The suffix of a password's name, which starts with the name of its key. */
export const PASSWORD_SUFFIX = ".password";

/**
 * Returns the entries of a Kubernetes Secret as files, without its passwords' entries.
 *
 * @param content YAML or JSON of one Secret, as `kubectl get secret NAME -o yaml` prints it
 * @throws {@link OcicryptError} `KEY_UNRECOGNIZED`; no message quotes the file
 */
export async function readKubernetesSecret(
  content: string | Uint8Array,
): Promise<{ name: string; content: Uint8Array; password?: Uint8Array }[]> {
  const { parse } = await import("yaml");
  let secret: unknown;
  try {
    // JSON is YAML. Aliases would let a small file grow.
    secret = parse(recoverKeyFile(content).toString(), { maxAliasCount: 0, logLevel: "silent" });
  } catch {
    throw unrecognized("it is a Kubernetes Secret whose YAML is damaged");
  }
  const entries = new Map<string, Uint8Array>();
  for (const [name, value] of membersOf(secret, "data")) {
    const bytes = decodeBase64(value.replace(/\s+/g, ""));
    if (bytes === null) throw unrecognized(`the entry ${JSON.stringify(name)} is not base64`);
    entries.set(name, bytes);
  }
  for (const [name, value] of membersOf(secret, "stringData")) {
    entries.set(name, Buffer.from(value, "utf8"));
  }
  const isPassword = (name: string): boolean =>
    name.endsWith(PASSWORD_SUFFIX) && entries.has(name.slice(0, -PASSWORD_SUFFIX.length));
  return [...entries]
    .filter(([name]) => !isPassword(name))
    .map(([name, bytes]) => {
      const password = entries.get(name + PASSWORD_SUFFIX);
      return { name, content: bytes, ...(password && { password: withoutLineEnd(password) }) };
    });
}

function membersOf(secret: unknown, name: string): [string, string][] {
  const members: unknown = (secret as Record<string, unknown> | null)?.[name] ?? {};
  return Object.entries(members as object).filter(
    (entry): entry is [string, string] => typeof entry[1] === "string",
  );
}

/** Editors and `echo` end a password's file with a line end that is not part of it. */
export function withoutLineEnd(bytes: Uint8Array): Uint8Array {
  const end = bytes.at(-1) !== 0x0a ? 0 : bytes.at(-2) === 0x0d ? 2 : 1;
  return bytes.subarray(0, bytes.byteLength - end);
}
