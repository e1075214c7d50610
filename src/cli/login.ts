import { checkCredentials, removeCredentials, storeCredentials } from "../registry/index.js";
import type { CommandLine } from "./arguments.js";
import type { CommandResult, Prepare } from "./command.js";
import { UsageError } from "./errors.js";
import { registryOptions } from "./images.js";
import { askPassword, readStdin } from "./passwords.js";

/** These commands have neither keys nor recipients to prepare. */
export const login: Prepare = (line, signal) =>
  Promise.resolve({ warnings: [], run: () => storeLogin(line, signal) });
export const logout: Prepare = (line) =>
  Promise.resolve({ warnings: [], run: () => removeLogin(line) });

/** Stores the credentials for a registry once it has accepted them. */
async function storeLogin(line: CommandLine, signal: AbortSignal): Promise<CommandResult> {
  const host = registryOf(line);
  const { username = "", authFile } = line;
  const password = line.passwordStdin
    ? readPasswordLine()
    : await askPassword(`${username} at ${host}`, false);
  const credentials = { username, password };
  // The file of the credentials need not exist yet.
  const options = await registryOptions({ ...line, authFile: undefined });
  await checkCredentials(host, credentials, { ...options, signal });
  const place = await storeCredentials(host, credentials, { file: authFile });
  return {
    text: `logged in to ${host} as ${username}; the password is in ${place}\n`,
    json: { registry: host, username, place },
    warnings: [],
  };
}

/** Removes the credentials for a registry. */
async function removeLogin(line: CommandLine): Promise<CommandResult> {
  const host = registryOf(line);
  const places = await removeCredentials(host, { file: line.authFile });
  const text =
    places.length === 0
      ? `there were no credentials for ${host}\n`
      : `removed the credentials for ${host} from ${places.join(" and ")}\n`;
  return { text, json: { registry: host, places }, warnings: [] };
}

/** Returns the host without a scheme, which some people type. */
function registryOf({ images: [text = ""] }: CommandLine): string {
  const host = text.replace(/^(?:docker|https?):\/\//, "").replace(/\/+$/, "");
  if (!host.includes("/")) return host;
  const hint = `write the registry alone: ${host.split("/", 1)[0] ?? ""}`;
  throw new UsageError("login and logout take a registry, not an image", hint);
}

/** As docker and skopeo read it: without the line end. */
function readPasswordLine(): string {
  const text = Buffer.from(readStdin("the password of --password-stdin")).toString();
  const password = text.replace(/\r?\n$/, "");
  if (password !== "") return password;
  throw new UsageError("standard input has no password", "pipe the password in: login … < FILE");
}
