import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it, vi } from "vitest";
import { findProvider, type ProviderConfig } from "../../../src/keywrap/provider/config.js";
import { temporaryFolder } from "./script.js";

const folder = temporaryFolder();

function writeConfig(text: string): string {
  const path = join(folder, "config.json");
  writeFileSync(path, text);
  return path;
}

/** As JSON of unknown shape comes in. */
const unchecked = (providers: unknown): ProviderConfig =>
  ({ "key-providers": providers }) as ProviderConfig;

afterEach(() => {
  vi.unstubAllEnvs();
});

describe("findProvider", () => {
  it.each<[string, unknown, unknown]>([
    ["a command", { cmd: { path: "/x" } }, { kind: "cmd", path: "/x", args: [] }],
    [
      "a command with arguments",
      { cmd: { path: "/x", args: ["a", ""] } },
      { kind: "cmd", path: "/x", args: ["a", ""] },
    ],
    ["arguments that Go never set", { cmd: { path: "/x", args: null } }, { args: [] }],
    ["a server", { grpc: "127.0.0.1:1" }, { kind: "grpc", address: "127.0.0.1:1" }],
    ["a server by name", { grpc: "dns:///localhost:1" }, { address: "dns:///localhost:1" }],
    ["a server over IPv6", { grpc: "[::1]:1" }, { address: "[::1]:1" }],
    [
      "a server elsewhere, if that is said",
      { grpc: "h:1", "grpc-plaintext": true },
      { kind: "grpc", address: "h:1" },
    ],
    ["a socket", { grpc: "unix:///run/x" }, { kind: "grpc", address: "unix:///run/x" }],
    ["Rust's way to write it", { grpc: "tcp://localhost:1" }, { address: "localhost:1" }],
    ["Rust's other way", { grpc: "http://localhost:1" }, { address: "localhost:1" }],
    ["the command of both", { cmd: { path: "/x" }, grpc: "h:1" }, { kind: "cmd" }],
    ["the server of an empty command", { cmd: null, grpc: "localhost:1" }, { kind: "grpc" }],
    [
      "TLS by default",
      { grpc: "h:1", "grpc-tls": {} },
      { kind: "grpc", tls: { "insecure-skip-verify": false } },
    ],
    [
      "TLS with all members",
      {
        grpc: "h:1",
        "grpc-tls": {
          "root-ca-file": "r",
          "cert-file": "c",
          "key-file": "k",
          "server-name": "s",
          "insecure-skip-verify": true,
        },
      },
      {
        tls: {
          "root-ca-file": "r",
          "cert-file": "c",
          "key-file": "k",
          "server-name": "s",
          "insecure-skip-verify": true,
        },
      },
    ],
    [
      "TLS with empty members",
      { grpc: "h:1", "grpc-tls": { "root-ca-file": "", "cert-file": "", "key-file": "" } },
      { tls: { "insecure-skip-verify": false } },
    ],
  ])("reads %s", (_what, entry, expected) => {
    expect(findProvider("p", unchecked({ p: entry }))).toMatchObject(expected as object);
  });

  it("uses no TLS unless configured", () => {
    expect(findProvider("p", unchecked({ p: { grpc: "localhost:1" } }))).not.toHaveProperty("tls");
  });

  it("reads the file that the environment names", () => {
    const path = writeConfig('{"key-providers":{"p":{"cmd":{"path":"/from/file"}}},"more":1}');
    vi.stubEnv("OCICRYPT_KEYPROVIDER_CONFIG", path);
    expect(findProvider("p")).toEqual({ kind: "cmd", path: "/from/file", args: [] });
    expect(findProvider("p", path)).toEqual({ kind: "cmd", path: "/from/file", args: [] });
  });

  it("checks only the entry of the provider", () => {
    const config = unchecked({ p: { cmd: { path: "/x" } }, q: { ttrpc: "unix:///x" }, r: 7 });
    expect(findProvider("p", config)).toMatchObject({ path: "/x" });
  });

  it.each<[string, unknown, RegExp]>([
    ["an entry that is a text", "x", /provider "p" is not an object/],
    ["an empty entry", {}, /neither cmd nor grpc/],
    ["an empty address", { grpc: "" }, /neither cmd nor grpc/],
    ["a server elsewhere without TLS", { grpc: "10.0.0.1:1" }, /plain text to 10\.0\.0\.1:1/],
    ["a name that only starts like this machine", { grpc: "localhost.example:1" }, /plain text/],
    ["a name that looks like loopback", { grpc: "127.example:1" }, /plain text/],
    ["a resolver of names", { grpc: "dns://10.0.0.1/localhost:1" }, /plain text/],
    ["several addresses", { grpc: "ipv4:127.0.0.1:1,10.0.0.1:1" }, /plain text/],
    ["plain text that is no flag", { grpc: "h:1", "grpc-plaintext": "yes" }, /neither true nor/],
    ["the first example of Go's documentation", { path: "/x" }, /member "path" is unknown/],
    ["ttrpc", { ttrpc: "unix:///x" }, /ttrpc is a feature of the Rust implementation only/],
    [
      "native",
      { native: "attestation-agent" },
      /native is a feature of the Rust implementation only/,
    ],
    ["TLS misspelt", { grpc: "h:1", grpc_tls: {} }, /member "grpc_tls" is unknown/],
    ["a TLS member misspelt", { grpc: "h:1", "grpc-tls": { "ca-file": "x" } }, /"ca-file"/],
    ["TLS that is a text", { grpc: "h:1", "grpc-tls": "yes" }, /grpc-tls is not an object/],
    [
      "a certificate without its key",
      { grpc: "h:1", "grpc-tls": { "cert-file": "c" } },
      /must be given together/,
    ],
    [
      "a key without its certificate",
      { grpc: "h:1", "grpc-tls": { "key-file": "k" } },
      /must be given together/,
    ],
    [
      "a text for true",
      { grpc: "h:1", "grpc-tls": { "insecure-skip-verify": "true" } },
      /neither true nor false/,
    ],
    ["an address that is a number", { grpc: 1 }, /grpc is not a string/],
    ["a command that is a text", { cmd: "/x" }, /cmd is not an object/],
    ["a command without path", { cmd: {} }, /cmd.path is not a string/],
    ["a command with an empty path", { cmd: { path: "" } }, /cmd.path is empty/],
    ["a path with a NUL", { cmd: { path: "/x\0" } }, /cmd.path is not a string/],
    ["arguments that are a text", { cmd: { path: "/x", args: "a" } }, /cmd.args is not a list/],
    [
      "an argument that is a number",
      { cmd: { path: "/x", args: [1] } },
      /cmd.args is not a string/,
    ],
    ["a shell", { cmd: { path: "/x", shell: true } }, /member "shell" is unknown/],
  ])("rejects %s", (_what, entry, reason) => {
    expect(() => findProvider("p", unchecked({ p: entry }))).toThrow(
      expect.objectContaining({
        code: "PROVIDER_CONFIG_INVALID",
        message: expect.stringMatching(reason) as string,
      }),
    );
  });

  it.each<[string, () => string | ProviderConfig]>([
    ["a file that is missing", () => join(folder, "missing.json")],
    ["a folder", () => folder],
    ["an empty file", () => writeConfig("")],
    ["YAML", () => writeConfig("key-providers:\n  p:\n")],
    ["a file cut off", () => writeConfig('{"key-providers":{"p":{')],
    ["a file without providers", () => writeConfig("{}")],
    ["a list of providers", () => writeConfig('{"key-providers":[]}')],
    ["a file of 2 MiB", () => writeConfig(" ".repeat(2 * 1024 * 1024))],
    ["content that is null", () => null as unknown as ProviderConfig],
    ["content without providers", () => ({}) as ProviderConfig],
  ])("rejects %s", (_what, config) => {
    expect(() => findProvider("p", config())).toThrow(
      expect.objectContaining({ code: "PROVIDER_CONFIG_INVALID" }),
    );
  });

  it.each<[string, string, ProviderConfig | undefined, RegExp]>([
    ["no configuration", "p", undefined, /OCICRYPT_KEYPROVIDER_CONFIG is not set/],
    ["another provider", "p", unchecked({ q: {} }), /"p" is not configured.* configures q$/],
    ["no provider", "p", unchecked({}), /configures no provider$/],
    ["an inherited name", "constructor", unchecked({ q: {} }), /configures q$/],
    ["the prototype", "__proto__", unchecked({ q: {} }), /configures q$/],
  ])("says when there is %s", (_what, name, config, reason) => {
    vi.stubEnv("OCICRYPT_KEYPROVIDER_CONFIG", "");
    expect(() => findProvider(name, config)).toThrow(
      expect.objectContaining({
        code: "PROVIDER_NOT_CONFIGURED",
        message: expect.stringMatching(reason) as string,
      }),
    );
  });
});
