import { readFileSync, statSync } from "node:fs";
import { isIPv4 } from "node:net";
import { OcicryptError, cannotRead } from "../../errors.js";
import { ANY, asObject, mapOf, struct, type JsonObject } from "../../text/json.js";
import { printable } from "../../text/printable.js";
import { parseObject } from "./messages.js";

/**
 * Key providers by name: the content of the configuration file that Go reads, see
 * https://github.com/containers/ocicrypt/blob/main/docs/keyprovider.md
 */
export interface ProviderConfig {
  readonly "key-providers": Readonly<Record<string, ProviderEntry>>;
}

/** A command or a gRPC server. If both are given, the command is used, as in Go. */
export interface ProviderEntry {
  readonly cmd?: { readonly path: string; readonly args?: readonly string[] };
  /**
   * `HOST:PORT` or `unix:///PATH`. Without `grpc-tls` only addresses of this machine are accepted:
   * the layer's key travels in clear text.
   */
  readonly grpc?: string;
  readonly "grpc-tls"?: ProviderTls;
  /**
   * Permits `grpc` without `grpc-tls` to another machine, on a network that protects the
   * connection itself. Peers ignore this member.
   */
  readonly "grpc-plaintext"?: boolean;
}

/** TLS to a gRPC server; every file is PEM. */
export interface ProviderTls {
  /** Authorities that may certify the server; by default those that Node.js trusts. */
  readonly "root-ca-file"?: string;
  /** The client certificate and its key, for servers that require one. */
  readonly "cert-file"?: string;
  readonly "key-file"?: string;
  /** The name in the server's certificate if it differs from the address. */
  readonly "server-name"?: string;
  /** Accepts any server. For tests only. */
  readonly "insecure-skip-verify"?: boolean;
}

/** How to reach one provider. */
export type Invocation =
  | { readonly kind: "cmd"; readonly path: string; readonly args: readonly string[] }
  | { readonly kind: "grpc"; readonly address: string; readonly tls?: ProviderTls };

const ENVIRONMENT_VARIABLE = "OCICRYPT_KEYPROVIDER_CONFIG";

const MAX_FILE_SIZE = 1024 * 1024;

const CONFIG = /* @__PURE__ */ struct({
  "key-providers": mapOf(
    struct({
      cmd: struct({ path: ANY, args: ANY }),
      grpc: ANY,
      "grpc-tls": struct({
        "root-ca-file": ANY,
        "cert-file": ANY,
        "key-file": ANY,
        "server-name": ANY,
        "insecure-skip-verify": ANY,
      }),
      "grpc-plaintext": ANY,
    }),
  ),
});

const ENTRY_MEMBERS = ["cmd", "grpc", "grpc-tls", "grpc-plaintext"];
const TLS_TEXTS = ["root-ca-file", "cert-file", "key-file", "server-name"] as const;
const TLS_MEMBERS: readonly string[] = [...TLS_TEXTS, "insecure-skip-verify"];

/**
 * Finds a provider in the configuration. Go ignores a missing or damaged file and then encrypts
 * for nobody; here both are errors.
 *
 * @param config the path of a file or its content; by default the file named by `OCICRYPT_KEYPROVIDER_CONFIG`
 * @throws {@link OcicryptError} `PROVIDER_CONFIG_INVALID`, `PROVIDER_NOT_CONFIGURED`
 */
export function findProvider(
  name: string,
  config: string | ProviderConfig | undefined = process.env[ENVIRONMENT_VARIABLE],
): Invocation {
  if (config === undefined || config === "") {
    throw notConfigured(name, `${ENVIRONMENT_VARIABLE} is not set`);
  }
  const providers = readProviders(config);
  const { where, entries } = providers;
  if (Object.hasOwn(entries, name)) return invocationOf(providers, name);
  const names = Object.keys(entries).join(", ") || "no provider";
  throw notConfigured(name, `${where} configures ${printable(names, 300)}`);
}

/** The providers of a configuration by name, not yet checked. */
export interface Providers {
  /** The configuration in messages. */
  where: string;
  entries: JsonObject;
}

/** @throws {@link OcicryptError} `PROVIDER_CONFIG_INVALID` */
export function readProviders(config: string | ProviderConfig): Providers {
  const fromFile = typeof config === "string";
  const where = fromFile ? printable(config, 300) : "the configuration";
  const content = fromFile ? readFile(config, where) : config;
  const entries = asObject(asObject(content)?.["key-providers"]);
  if (entries === undefined) throw invalid(where, '"key-providers" is not an object');
  return { where, entries };
}

/** @throws {@link OcicryptError} `PROVIDER_CONFIG_INVALID` */
export function invocationOf({ where, entries }: Providers, name: string): Invocation {
  const entry = asObject(entries[name]);
  const what = `provider ${JSON.stringify(name)}`;
  if (entry === undefined) throw invalid(where, `${what} is not an object`);
  try {
    return readEntry(entry);
  } catch (error) {
    if (error instanceof SyntaxError) throw invalid(where, `${what}: ${error.message}`);
    throw error;
  }
}

/** Whether the file of `OCICRYPT_KEYPROVIDER_CONFIG` has a provider of this name. */
export function isConfigured(name: string): boolean {
  const file = process.env[ENVIRONMENT_VARIABLE];
  return file !== undefined && file !== "" && Object.hasOwn(readProviders(file).entries, name);
}

function readFile(path: string, where: string): unknown {
  let bytes: Uint8Array;
  try {
    if (statSync(path).size > MAX_FILE_SIZE) throw invalid(where, "larger than 1 MiB");
    bytes = readFileSync(path);
  } catch (error) {
    if (error instanceof OcicryptError) throw error;
    throw invalid(where, cannotRead("it", error), error);
  }
  const content = parseObject(bytes, CONFIG);
  if (content === undefined) throw invalid(where, "not a JSON object");
  return content;
}

function readEntry(entry: JsonObject): Invocation {
  for (const other of ["ttrpc", "native"]) {
    if (isSet(entry[other])) {
      throw new SyntaxError(
        `${other} is a feature of the Rust implementation only; use cmd or grpc`,
      );
    }
  }
  // A misspelt member could be the one that turns TLS on.
  refuseUnknown(entry, [...ENTRY_MEMBERS, "ttrpc", "native"]);
  const tls = isSet(entry["grpc-tls"]) ? readTls(entry["grpc-tls"]) : undefined;
  if (isSet(entry.cmd)) return readCommand(entry.cmd);
  if (!isSet(entry.grpc)) throw new SyntaxError("it has neither cmd nor grpc");
  // Rust writes addresses as URLs.
  const address = readText(entry.grpc, "grpc").replace(/^(?:tcp|http):\/\//, "");
  const plaintext = readFlag(entry["grpc-plaintext"], "grpc-plaintext");
  if (tls === undefined && !plaintext && !isLocal(address)) {
    throw new SyntaxError(
      `grpc would send layer keys in plain text to ${printable(address, 100)}; ` +
        'add grpc-tls, or "grpc-plaintext": true if the network protects the connection',
    );
  }
  return { kind: "grpc", address, ...(tls !== undefined && { tls }) };
}

/** Whether a gRPC address stays on this machine (https://github.com/grpc/grpc/blob/master/doc/naming.md). */
function isLocal(address: string): boolean {
  if (/^unix(?:-abstract)?:/.test(address)) return true;
  const endpoint = address.replace(/^(?:dns:(?:\/\/\/)?|ipv4:|ipv6:|passthrough:(?:\/\/\/)?)/, "");
  const host = /^(?:\[([^\]]*)\]|([^:]*))(?::\d+)?$/.exec(endpoint);
  const name = (host?.[1] ?? host?.[2] ?? "").toLowerCase();
  return name === "localhost" || name === "::1" || (isIPv4(name) && name.startsWith("127."));
}

function readCommand(value: unknown): Invocation {
  const command = asObject(value);
  if (command === undefined) throw new SyntaxError("cmd is not an object");
  refuseUnknown(command, ["path", "args"]);
  const args: unknown = command.args ?? [];
  if (!Array.isArray(args)) throw new SyntaxError("cmd.args is not a list");
  const path = readText(command.path, "cmd.path");
  if (path === "") throw new SyntaxError("cmd.path is empty");
  return { kind: "cmd", path, args: args.map((arg) => readText(arg, "cmd.args")) };
}

function readTls(value: unknown): ProviderTls {
  const tls = asObject(value);
  if (tls === undefined) throw new SyntaxError("grpc-tls is not an object");
  refuseUnknown(tls, TLS_MEMBERS);
  const skip = readFlag(tls["insecure-skip-verify"], "insecure-skip-verify");
  const texts = TLS_TEXTS.filter((name) => isSet(tls[name]));
  if (texts.includes("cert-file") !== texts.includes("key-file")) {
    throw new SyntaxError("cert-file and key-file must be given together");
  }
  return {
    ...Object.fromEntries(texts.map((name) => [name, readText(tls[name], name)])),
    "insecure-skip-verify": skip,
  };
}

/** Go does not distinguish an empty member from an absent one. */
function isSet(value: unknown): boolean {
  return value !== undefined && value !== null && value !== "";
}

function readFlag(value: unknown, what: string): boolean {
  if (value === undefined || value === null) return false;
  if (typeof value === "boolean") return value;
  throw new SyntaxError(`${what} is neither true nor false`);
}

function readText(value: unknown, what: string): string {
  if (typeof value === "string" && !value.includes("\0")) return value;
  throw new SyntaxError(`${what} is not a string`);
}

function refuseUnknown(object: JsonObject, known: readonly string[]): void {
  const unknown = Object.keys(object).find((name) => !known.includes(name));
  if (unknown === undefined) return;
  throw new SyntaxError(`its member ${printable(JSON.stringify(unknown), 50)} is unknown`);
}

function invalid(where: string, why: string, cause?: unknown): OcicryptError {
  const message = `${where} is not a key provider configuration: ${why}`;
  return new OcicryptError(
    "PROVIDER_CONFIG_INVALID",
    message,
    cause === undefined ? {} : { cause },
  );
}

function notConfigured(name: string, why: string): OcicryptError {
  const message = `the key provider ${JSON.stringify(name)} is not configured: ${why}`;
  return new OcicryptError("PROVIDER_NOT_CONFIGURED", message);
}
