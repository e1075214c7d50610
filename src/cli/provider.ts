import { OcicryptError } from "../errors.js";
import { isLoopback } from "../http/transport.js";
import { collect } from "../io/source.js";
import { type KeyProvider, serveKeyProvider } from "../keywrap/provider/index.js";
import { MAX_MESSAGE_SIZE } from "../keywrap/provider/messages.js";
import { respond } from "../keywrap/provider/serve.js";
import type { Key, Recipient } from "../keywrap/types.js";
import {
  KEY_SERVER_NAMES,
  type KeyServerContext,
  keyServerRecipients,
} from "../keyserver/index.js";
import type { CommandLine } from "./arguments.js";
import { allKeys, allRecipients, type Prepared } from "./command.js";
import { UsageError } from "./errors.js";
import { keyServerContext } from "./passwords.js";
import { printable } from "./text.js";

/** Serves a key server to other tools over the key provider protocol. */
export async function serveProvider(line: CommandLine, signal: AbortSignal): Promise<Prepared> {
  const name = requireName(line.images[0] ?? "");
  const address = line.listen === undefined ? undefined : requireAddress(line.listen);
  const { recipients, warnings } = await allRecipients(line);
  const { keys, warnings: skipped } = await allKeys(line, signal);
  // The servers that the user has named; a client must not make this process contact others.
  const allowedServers = [...line.recipients, ...line.keys]
    .filter((text) => text.startsWith(`${name}:`))
    .map((text) => text.slice(name.length + 1).replace(/[?].*/s, ""));
  const context = { ...(await keyServerContext(line.keyServers, signal)), allowedServers };
  const isOwn = ({ scheme }: Recipient | Key): boolean => scheme === `provider.${name}`;
  const provider = providerOf(name, context, recipients.filter(isOwn), keys.filter(isOwn));
  const result = { text: "", json: {}, warnings: [] };
  return {
    warnings: [...warnings, ...skipped],
    async run() {
      if (address !== undefined) {
        await listen(provider, name, address, signal);
        return result;
      }
      const tooLarge = (): Error =>
        new OcicryptError("PROVIDER_INVALID_REQUEST", "the request is too large");
      const request = await collect(process.stdin, MAX_MESSAGE_SIZE, tooLarge);
      const answer = Buffer.from(await respond(provider, request, { name }, signal)).toString();
      return { ...result, text: answer, json: JSON.parse(answer) as unknown };
    },
  };
}

function requireName(name: string): string {
  if (KEY_SERVER_NAMES.includes(name)) return name;
  const known = KEY_SERVER_NAMES.join(" or ");
  throw new UsageError(`there is no key provider ${JSON.stringify(printable(name))}`, `write ${known}`); // prettier-ignore
}

/** Without TLS, layer keys must not leave the machine, and only its users may ask for them. */
function requireAddress(address: string): string {
  if (/^(?:ttrpc\+)?unix:./.test(address)) return address;
  const url = `http://${address}`;
  if (/:\d+$/.test(address) && URL.canParse(url) && isLoopback(new URL(url))) return address;
  const hint = "write unix:PATH, 127.0.0.1:PORT or ttrpc+unix:PATH";
  throw new UsageError("--listen takes a socket or an address of this machine", hint);
}

/**
 * Wraps for the recipients of `-r`, or for the one that the client names in its parameters, and
 * unwraps with the keys of `-k`.
 */
function providerOf(
  name: string,
  context: KeyServerContext,
  recipients: readonly Recipient[],
  keys: readonly Key[],
): KeyProvider {
  return {
    async wrapKey({ bytes, params, signal }) {
      // Go sends "Enabled" for a provider without parameters.
      const named = params.filter((text) => text !== "" && text !== "Enabled");
      const asked = named.length === 0 ? recipients : await recipientsOf(name, named, context);
      const [recipient, ...others] = asked;
      if (recipient !== undefined && others.length === 0) return recipient.wrap(bytes, { signal });
      const message = `a key provider wraps for exactly one recipient, got ${String(asked.length)}`;
      throw new OcicryptError("NO_RECIPIENTS", message);
    },
    async unwrapKey({ bytes, signal }) {
      if (keys.length === 0) {
        throw new OcicryptError("NO_KEYS", `the key provider ${name} was started without a key`);
      }
      for (const key of keys) {
        const secret = await key.unwrap(bytes, { signal });
        if (secret !== null) return secret;
      }
      return null;
    },
  };
}

/** Returns the recipients that a client names. It may be another user, so it cannot name files. */
async function recipientsOf(
  name: string,
  texts: readonly string[],
  context: KeyServerContext,
): Promise<Recipient[]> {
  const readFile = (): never => {
    const message = "a client of a key provider cannot name a file; start the provider with -r";
    throw new OcicryptError("PROVIDER_INVALID_REQUEST", message);
  };
  const found: Recipient[] = [];
  for (const text of texts) {
    const served = await keyServerRecipients(`${name}:${text}`, { ...context, readFile });
    found.push(...served.found);
  }
  return found;
}

async function listen(
  provider: KeyProvider,
  name: string,
  address: string,
  signal: AbortSignal,
): Promise<void> {
  const [, ttrpc = "", place = ""] = /^(ttrpc\+)?(.*)$/s.exec(address) ?? [];
  const transport = ttrpc === "" ? "grpc" : "ttrpc";
  const server = await serveKeyProvider(provider, { transport, address: place, name });
  process.stderr.write(`listening on ${ttrpc}${server.address}\n`);
  await new Promise<void>((resolve) => {
    signal.addEventListener("abort", () => {
      resolve();
    });
    if (signal.aborted) resolve();
  });
  await server.close();
}
