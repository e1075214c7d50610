import { createServer } from "node:net";
import { chmodSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import {
  checkGoKeys,
  checkKeys,
  checkProviders,
  findProgram,
  type Finding,
} from "../../src/runtime/check-keys.js";
import { temporaryDirectories } from "../support/image.js";
import { testNode, type TestNode } from "./node.js";

const newDirectory = temporaryDirectories();
let node: TestNode;

beforeEach(() => {
  node = testNode(newDirectory());
});

const shown = (findings: readonly Finding[]): string[] =>
  findings.map(({ level, problem, message }) => `${level} ${problem}: ${message}`);

describe("keys for our decoder", () => {
  const check = async (): Promise<string[]> =>
    shown(await checkKeys(node, "/keys", new AbortController().signal));

  it.each<[string, () => void, RegExp[]]>([
    ["is missing", () => undefined, [/^error keys-unreadable: \/keys cannot be read \(ENOENT\)/]],
    [
      "is empty",
      () => {
        node.directory("/keys");
      },
      [/^error no-keys: .*\/keys holds no private key/],
    ],
    [
      "has a key",
      () => {
        node.key("/keys/a.pem");
      },
      [],
    ],
    [
      "is a key",
      () => {
        node.key("/keys");
      },
      [],
    ],
    [
      "has a link to nothing",
      () => {
        node.key("/keys/a.pem");
        node.link("/keys/b.pem", "nothing");
      },
      [/^error keys-unreadable: \/keys\/b.pem cannot be read/],
    ],
    [
      "has a public key beside a key",
      () => {
        node.key("/keys/a.pem");
        node.key("/keys/b.pem", "rsa2048.pub.pem");
      },
      [/^warning keys-ignored: not used: \/keys\/b.pem/],
    ],
    [
      "has an encrypted key without its password",
      () => {
        node.key("/keys/a.pem");
        node.key("/keys/b.pem", "rsa2048.pkcs8.enc-v2.pem");
      },
      [/^error keys-ignored: not used: \/keys\/b.pem/],
    ],
    [
      "has an encrypted key with a wrong password",
      () => {
        node.key("/keys/a.pem");
        node.key("/keys/b.pem", "rsa2048.pkcs8.enc-v2.pem");
        node.write("/keys/b.pem.password", "wrong");
        chmodSync(join(node.root, "keys/b.pem.password"), 0o400);
      },
      [/^error keys-ignored: not used: \/keys\/b.pem/],
    ],
    [
      "has a password that everybody can read",
      () => {
        node.key("/keys/a.pem");
        node.key("/keys/b.pem", "rsa2048.pkcs8.enc-v2.pem");
        node.write("/keys/b.pem.password", "secret");
        chmodSync(join(node.root, "keys/b.pem.password"), 0o644);
      },
      [/^error keys-unreadable: .*chmod 400/],
    ],
  ])("are checked if the directory %s", async (_, make, expected) => {
    make();
    expect(await check()).toEqual(expected.map((each) => expect.stringMatching(each) as string));
  });
});

// The outcomes for Go were seen with ctd-decoder 2.0.3.
describe("keys for Go", () => {
  it.each<[string, () => void, RegExp[], RegExp[]]>([
    [
      "is missing",
      () => undefined,
      [/^error keys-unreadable: \/keys cannot be read/],
      [/^warning keys-unreadable: \/keys cannot be read/],
    ],
    [
      "has keys in subdirectories",
      () => {
        node.key("/keys/sub/a.pem");
      },
      [],
      [],
    ],
    [
      "has a certificate",
      () => {
        node.key("/keys/a.pem");
        node.key("/keys/b.pem", "cert-rsa2048.pem");
      },
      [],
      [],
    ],
    [
      "has a link",
      () => {
        node.key("/keys/a.pem");
        node.link("/keys/b.pem", "a.pem");
      },
      [
        /^error keys-rejected: with ctd-decoder, every pull fails because of \/keys\/b.pem: .* link/,
      ],
      [/^error keys-rejected: with CRI-O, every pull fails because of \/keys\/b.pem: .* link/],
    ],
    [
      "has an encrypted key",
      () => {
        node.key("/keys/a.pem", "rsa2048.pkcs8.enc-v2.pem");
      },
      [/^error keys-rejected: .*encrypted/],
      [/^warning keys-ignored: .*encrypted/],
    ],
    [
      "has another file",
      () => {
        node.key("/keys/a.pem");
        node.write("/keys/README", "keys");
      },
      [/^error keys-rejected: .*README: it is not a private key/],
      [/^warning keys-ignored/],
    ],
    [
      "has a public key",
      () => {
        node.key("/keys/a.pem");
        node.key("/keys/b.pem", "rsa2048.pub.pem");
      },
      [/^error keys-rejected: .*b.pem: it holds a public key/],
      [/^warning keys-ignored/],
    ],
    [
      "is empty",
      () => {
        node.directory("/keys");
      },
      [/^error no-keys/],
      [/^error no-keys/],
    ],
  ])("are checked if the directory %s", async (_, make, decoder, crio) => {
    make();
    const matching = (all: RegExp[]): string[] =>
      all.map((each) => expect.stringMatching(each) as string);
    expect(shown(await checkGoKeys(node, "/keys", "ctd-decoder"))).toEqual(matching(decoder));
    expect(shown(await checkGoKeys(node, "/keys", "CRI-O"))).toEqual(matching(crio));
  });
});

describe("a configuration of key providers", () => {
  const check = async (content: unknown): Promise<string[]> => {
    node.write("/p.json", typeof content === "string" ? content : JSON.stringify(content));
    return shown(await checkProviders(node, "/p.json"));
  };
  const providers = (entry: unknown): unknown => ({ "key-providers": { p: entry } });

  it("must exist", async () => {
    const found = shown(await checkProviders(node, "/none.json"));
    expect(found).toEqual([expect.stringMatching(/^error provider: \/none.json .*ENOENT/)]);
  });

  it.each<[string, unknown, RegExp]>([
    ["is not JSON", "{", /\/p.json is not a key provider configuration/],
    ["has no list", {}, /"key-providers" is not an object/],
    ["has an empty list", { "key-providers": {} }, /\/p.json names no key provider/],
    ["has a provider without program", providers({}), /has neither cmd nor grpc|neither cmd/],
    [
      "names a program that does not exist",
      providers({ cmd: { path: "/none" } }),
      /"p" of \/p.json names a program that does not exist: \/none/,
    ],
    [
      "names a program that is not in the search path",
      providers({ cmd: { path: "none" } }),
      /names a program that does not exist/,
    ],
    [
      "names a socket that is not there",
      providers({ grpc: "unix:///run/p.sock" }),
      /no socket \/run\/p.sock/,
    ],
    ["sends keys in plain text", providers({ grpc: "example.com:1" }), /plain text/],
    ["has a provider of Rust", providers({ ttrpc: "unix:///run/p.sock" }), /ttrpc/],
  ])("is reported if it %s", async (_, content, words) => {
    expect(await check(content)).toEqual([expect.stringMatching(/^error provider: /)]);
    expect((await check(content))[0]).toMatch(words);
  });

  it("works with programs and sockets that exist", async () => {
    node.program("/usr/bin/provider");
    node.directory("/run");
    const server = createServer().listen(join(node.root, "run/p.sock"));
    await new Promise((resolve) => server.once("listening", resolve));
    const entries = {
      a: { cmd: { path: "/usr/bin/provider" } },
      b: { cmd: { path: "provider" } },
      c: { grpc: "unix:///run/p.sock" },
      d: { grpc: "127.0.0.1:50051" },
    };
    expect(await check({ "key-providers": entries })).toEqual([]);
    server.close();
  });
});

it("accepts only an executable file as a program", async () => {
  node.program("/opt/a");
  node.write("/opt/b", "");
  node.directory("/opt/c");
  const found = await Promise.all(["/opt/a", "/opt/b", "/opt/c", "opt/a"].map((path) => findProgram(node, path))); // prettier-ignore
  expect(found).toEqual(["/opt/a", undefined, undefined, undefined]);
});
