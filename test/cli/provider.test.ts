import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { encodeRequest, parseAnswer } from "../../src/keywrap/provider/messages.js";
import { provider } from "../../src/keywrap/provider/index.js";
import vectors from "../keyserver/age/age-1.3.1.json" with { type: "json" };
import { run, start, type Outcome } from "../support/command.js";
import { call, frame } from "../support/ttrpc.js";
import { CLEVIS, tangServer, wrapped as clevisWrapped } from "../support/tang.js";

const folder = mkdtempSync(join(tmpdir(), "ocicrypt-provider-"));
const at = (name: string): string => join(folder, name);
afterAll(() => {
  rmSync(folder, { recursive: true });
});
writeFileSync(at("id.txt"), vectors.identity);
writeFileSync(at("hybrid.txt"), vectors.hybridIdentity);
writeFileSync(at("all.pub"), `${vectors.recipient}\n${vectors.hybridRecipient}\n`);

const SECRET = Buffer.from("the private options");
const wrapRequest = (params: readonly string[]): string =>
  Buffer.from(encodeRequest("keywrap", "age", params, SECRET)).toString();
const unwrapRequest = (wrapped: Uint8Array): string =>
  Buffer.from(encodeRequest("keyunwrap", "age", ["Enabled"], wrapped)).toString();
const provide = (input: string, ...args: string[]): Promise<Outcome> =>
  run(["provider", "age", ...args], { input });

async function wrapped(...args: string[]): Promise<Uint8Array> {
  const { status, stdout, stderr } = await provide(wrapRequest(["Enabled"]), ...args);
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  return parseAnswer("keywrap", Buffer.from(stdout), "age");
}

describe("ocicrypt provider on standard input", () => {
  it("wraps for its own recipient, or for the one that the client names", async () => {
    const own = await wrapped("-r", `age:${vectors.recipient}`);
    const named = await provide(wrapRequest([vectors.hybridRecipient]));
    const hybrid = parseAnswer("keywrap", Buffer.from(named.stdout), "age");
    for (const [bytes, file] of [
      [own, "id.txt"],
      [hybrid, "hybrid.txt"],
    ] as const) {
      const { stdout } = await provide(unwrapRequest(bytes), "-k", at(file));
      expect(Buffer.from(parseAnswer("keyunwrap", Buffer.from(stdout), "age"))).toEqual(SECRET);
    }
  });

  it.each([
    ["a file that the client names", (): string => wrapRequest([at("all.pub")]), [], "PROVIDER_INVALID_REQUEST"],
    ["no recipient", (): string => wrapRequest(["Enabled"]), [], "NO_RECIPIENTS"],
    ["two recipients", (): string => wrapRequest(["Enabled"]), ["-r", `age:${at("all.pub")}`], "NO_RECIPIENTS"],
    ["no key", (): string => unwrapRequest(Buffer.from(vectors.file, "base64")), [], "NO_KEYS"],
    ["another key", (): string => unwrapRequest(Buffer.from(vectors.file, "base64")), ["-k", at("hybrid.txt")], "NO_MATCHING_KEY"],
    ["a damaged wrapped key", (): string => unwrapRequest(Buffer.from("age-encryption.org/v1\n")), ["-k", at("id.txt")], "WRAPPED_KEY_INVALID"],
    ["no request", (): string => "{}", ["-k", at("id.txt")], "PROVIDER_INVALID_REQUEST"],
    ["a request of 5 MiB", (): string => " ".repeat(5 << 20), ["-k", at("id.txt")], "PROVIDER_INVALID_REQUEST"],
  ] as const)("rejects %s", async (_, request, args, code) => {
    const { status, stdout, stderr } = await provide(request(), ...args);
    expect(status).not.toBe(0);
    expect(stdout).toBe("");
    expect(stderr).toContain(`(${code})`);
    expect(stderr).not.toContain(SECRET.toString());
  }); // prettier-ignore

  it.each([
    [["provider", "nix"], 'there is no key provider "nix"'],
    [["provider"], "provider takes <name>"],
    [["provider", "age", "--listen", "0.0.0.0:7777"], "--listen takes a socket"],
    [["provider", "age", "--listen", "keys.example:7777"], "--listen takes a socket"],
    [["provider", "age", "--listen", "ttrpc+127.0.0.1:7777"], "--listen takes a socket"],
    [["provider", "age", "--listen", "ttrpc+unix:"], "--listen takes a socket"],
  ])("%j is a usage error", async (args, message) => {
    const { status, stderr } = await run(args);
    expect(status).toBe(2);
    expect(stderr).toContain(message);
  });
});

describe("ocicrypt provider --listen", () => {
  it.each(["unix", "127.0.0.1:0"])("serves at %s until it is stopped", async (address) => {
    const socket = at("sockets");
    const given = address === "unix" ? `unix:${socket}/age` : address;
    if (address === "unix") {
      mkdirSync(socket, { mode: 0o700 });
    }
    const args = ["-k", at("id.txt"), "-r", `age:${vectors.recipient}`];
    const child = start(["provider", "age", "--listen", given, ...args]);
    const [line] = (await once(child.stderr!, "data")) as [Buffer];
    const grpc = /^listening on (\S+)\n$/.exec(line.toString())![1]!;
    const config = { "key-providers": { age: { grpc } } };
    const secret = Uint8Array.from(SECRET);
    const bytes = await provider.recipient("age", { config }).wrap(secret);
    expect(Buffer.from((await provider.key("age", { config }).unwrap(bytes))!)).toEqual(SECRET);
    child.kill("SIGTERM");
    const [status] = (await once(child, "close")) as [number | null];
    expect(status).toBe(0);
  });
});

describe("ocicrypt provider --listen ttrpc+unix:PATH", () => {
  it("serves over ttrpc until it is stopped", async () => {
    mkdirSync(at("ttrpc"), { mode: 0o700 });
    const path = at("ttrpc/age");
    const args = ["--listen", `ttrpc+unix:${path}`, "-r", `age:${vectors.recipient}`];
    const child = start(["provider", "age", ...args]);
    const [line] = (await once(child.stderr!, "data")) as [Buffer];
    expect(line.toString()).toBe(`listening on ttrpc+unix:${path}\n`);
    const socket = createConnection(path);
    socket.write(frame(1, call("WrapKey", Buffer.from(wrapRequest(["Enabled"])))));
    let received = Buffer.alloc(0);
    for await (const chunk of socket as AsyncIterable<Buffer>) {
      received = Buffer.concat([received, chunk]);
      if (received.length >= 10 && received.length === 10 + received.readUInt32BE(0)) break;
    }
    const answer = Buffer.from(received.subarray(received.indexOf("{")));
    const made = parseAnswer("keywrap", answer, "age");
    const { stdout } = await provide(unwrapRequest(made), "-k", at("id.txt"));
    expect(Buffer.from(parseAnswer("keyunwrap", Buffer.from(stdout), "age"))).toEqual(SECRET);
    child.kill("SIGTERM");
    expect(await once(child, "close")).toEqual([0, null]);
  });
});

describe("ocicrypt provider tang", () => {
  const { one, two } = CLEVIS.servers;
  const request = (operation: "keywrap" | "keyunwrap", param: string, bytes: Uint8Array): string =>
    Buffer.from(encodeRequest(operation, "tang", [param], bytes)).toString();
  const serve = (input: string, ...args: string[]): Promise<Outcome> =>
    run(["provider", "tang", ...args], { input });

  it("wraps for tang and sss, and opens both", async () => {
    const [first, second] = await Promise.all([tangServer(one), tangServer(two)]);
    const named = `${first.url}?thp=${one.thp}`;
    writeFileSync(
      at("sss.json"),
      JSON.stringify({ t: 1, pins: { tang: { url: second.url, thp: two.thp } } }),
    );
    for (const [param, ...args] of [
      [named, "-k", `tang:${first.url}`],
      ["Enabled", "-r", `sss:${at("sss.json")}`],
    ]) {
      const made = await serve(request("keywrap", param!, SECRET), ...args);
      expect(made.stderr).toBe("");
      const bytes = parseAnswer("keywrap", Buffer.from(made.stdout), "tang");
      const keys = ["-k", `tang:${first.url}`, "-k", `tang:${second.url}`];
      const { stdout } = await serve(request("keyunwrap", "Enabled", bytes), ...keys);
      expect(Buffer.from(parseAnswer("keyunwrap", Buffer.from(stdout), "tang"))).toEqual(SECRET);
    }
  });

  it("contacts no server that it was not started with", async () => {
    const server = await tangServer(one);
    const wrap = request("keywrap", `${server.url}?thp=${one.thp}`, SECRET);
    for (const args of [[], ["-k", "tang:http://tang.example"]]) {
      expect((await serve(wrap, ...args)).stderr).toContain("(KEY_SERVER_NOT_ALLOWED)");
    }
    const { stderr } = await serve(
      request("keyunwrap", "Enabled", clevisWrapped("one")),
      "-k",
      `tang:${server.url}`,
    );
    expect(stderr).toContain("(KEY_SERVER_NOT_ALLOWED)");
    expect(server.requests).toEqual([]);
  });
});
