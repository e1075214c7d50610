import { cpSync, existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { tang } from "../../src/keyserver/tang/index.js";
import {
  buildGoPeers,
  COMMAND,
  diffIds,
  type GoPeers,
  hasProgram,
  layoutLayers,
  ocicrypt,
  PLAIN_LAYOUT,
  requirePeer,
  type RunResult,
  succeed,
  temporaryDirectory,
} from "./peers.js";
import { HAS_TANG, startProxy, startTangd, type Tangd } from "./tangd.js";

const directory = temporaryDirectory();
const at = (name: string): string => join(directory, name);
const SECRET = "a secret";
const hasGo = hasProgram("go", "version");
let go: GoPeers | undefined;
let servers: [Tangd, Tangd, Tangd];

const command = (...args: string[]): Promise<Buffer> =>
  succeed(process.execPath, [COMMAND, ...args]);
const allowAll = (): string[] => servers.flatMap(({ url }) => ["-k", `tang:${url}`]);
const pinOf = (server: Tangd): object => ({ url: server.url, thp: server.thumbprint() });
const named = (server: Tangd): string => `${server.url}?thp=${server.thumbprint()}`;
const wrappedKeys = (layout: string): Buffer[] =>
  layoutLayers(layout).map(({ annotations }) =>
    Buffer.from(annotations["org.opencontainers.image.enc.keys.provider.tang"] ?? "", "base64"),
  );

/** Decrypts with the command, which is expected to fail, and returns what it says. */
async function refused(layout: string, ...args: string[]): Promise<RunResult> {
  const to = at("refused");
  const result = await ocicrypt(["decrypt", `oci:${layout}`, `oci:${to}`, ...args]);
  expect(result.status).toBe(1);
  expect(existsSync(to)).toBe(false);
  return result;
}

beforeAll(async () => {
  if (!HAS_TANG) return;
  if (hasGo) go = await buildGoPeers(directory);
  const start = (name: string): Promise<Tangd> => startTangd(at(name));
  servers = [await start("one"), await start("two"), await start("three")];
  writeFileSync(at("sss.json"), JSON.stringify({ t: 2, pins: { tang: servers.map(pinOf) } }));
  await command(
    "encrypt",
    `oci:${PLAIN_LAYOUT}`,
    `oci:${at("sss")}`,
    "-r",
    `sss:${at("sss.json")}`,
  );
}, 600_000);

beforeEach((context) => {
  requirePeer(context, "tangd, clevis and jose", HAS_TANG);
});

describe("an image for two of three Tang servers", () => {
  it("opens with the command while one is down", async () => {
    await servers[2].stop();
    await command("decrypt", `oci:${at("sss")}`, `oci:${at("sss-ours")}`, ...allowAll());
    expect(diffIds(at("sss-ours"))).toEqual(diffIds(PLAIN_LAYOUT));
    await servers[2].start();
  });

  it("is decrypted by skopeo's library through ocicrypt provider while one is down", async (context) => {
    requirePeer(context, "go", hasGo);
    await servers[0].stop();
    const cmd = { path: process.execPath, args: [COMMAND, "provider", "tang", ...allowAll()] };
    writeFileSync(at("keys.json"), JSON.stringify({ "key-providers": { tang: { cmd } } }));
    const env = { OCICRYPT_KEYPROVIDER_CONFIG: at("keys.json") };
    const args = [
      "--decryption-key",
      "provider:tang:any",
      `oci:${at("sss")}`,
      `oci:${at("sss-go")}`,
    ];
    await succeed(go!.imageCopy, args, { env });
    expect(diffIds(at("sss-go"))).toEqual(diffIds(PLAIN_LAYOUT));
    await servers[0].start();
  });

  it("has wrapped keys that clevis decrypts while one is down", async () => {
    await servers[1].stop();
    for (const input of wrappedKeys(at("sss"))) {
      const opened = await succeed("clevis", ["decrypt"], { input });
      expect(JSON.parse(opened.toString())).toMatchObject({ symkey: expect.any(String) as string });
    }
    await servers[1].start();
  });

  it("does not open while two are down, and the command says why for each", async () => {
    await Promise.all([servers[0].stop(), servers[2].stop()]);
    const { stderr } = await refused(at("sss"), ...allowAll());
    expect(stderr).toContain("KEY_SERVER_THRESHOLD");
    for (const { url } of [servers[0], servers[2]]) {
      expect(stderr).toMatch(new RegExp(`${url}: [^;]*no server listens there`));
    }
    await Promise.all([servers[0].start(), servers[2].start()]);
  });
});

describe("what clevis encrypts", () => {
  it.each([
    ["tang", (): object => pinOf(servers[0])],
    ["sss", (): object => ({ t: 2, pins: { tang: servers.map(pinOf) } })],
    ["sss", (): object => ({ t: 2, pins: { tang: pinOf(servers[0]), sss: { t: 1, pins: { tang: servers.slice(1).map(pinOf) } } } })],
  ])("with the pin %s opens with our key", async (pin, config) => {
    const args = ["encrypt", pin, JSON.stringify(config())];
    const wrapped = await succeed("clevis", args, { input: Buffer.from(SECRET) });
    const key = tang.key({ servers: servers.map(({ url }) => url) });
    expect(Buffer.from((await key.unwrap(wrapped))!).toString()).toBe(SECRET);
  }); // prettier-ignore
});

describe("what we wrap", () => {
  it("for one server and for nested servers is decrypted by clevis", async () => {
    const inner = { t: 1, pins: { tang: servers.slice(1).map(pinOf) } };
    const nested = { t: 2, pins: { tang: pinOf(servers[0]), sss: inner } };
    const [{ url }] = servers;
    for (const recipient of [
      await tang.recipient({ url, thumbprint: servers[0].thumbprint() }),
      await tang.sss(JSON.stringify(nested)),
    ]) {
      const input = await recipient.wrap(Buffer.from(SECRET));
      expect((await succeed("clevis", ["decrypt"], { input })).toString()).toBe(SECRET);
    }
  });

  it("for skopeo's library, through ocicrypt provider, opens with the command", async (context) => {
    requirePeer(context, "go", hasGo);
    const cmd = { path: process.execPath, args: [COMMAND, "provider", "tang", ...allowAll()] };
    writeFileSync(at("wrap.json"), JSON.stringify({ "key-providers": { tang: { cmd } } }));
    const env = { OCICRYPT_KEYPROVIDER_CONFIG: at("wrap.json") };
    const key = `provider:tang:${named(servers[1])}`;
    const made = `oci:${at("made")}`;
    await succeed(go!.imageCopy, ["--encryption-key", key, `oci:${PLAIN_LAYOUT}`, made], { env });
    await command("decrypt", made, `oci:${at("made-open")}`, "-k", `tang:${servers[1].url}`);
    expect(diffIds(at("made-open"))).toEqual(diffIds(PLAIN_LAYOUT));
  });
});

it("a server that rotates its keys opens old layers until the old keys are deleted", async () => {
  const server = await startTangd(at("rotating"));
  const allow = ["-k", `tang:${server.url}`];
  const old = named(server);
  await command("encrypt", `oci:${PLAIN_LAYOUT}`, `oci:${at("old")}`, "-r", `tang:${old}`);
  const check = async (layout: string): Promise<string> =>
    (await command("inspect", `oci:${at(layout)}`, "--check-servers", ...allow)).toString();
  expect(await check("old")).toContain(`${server.url} has the key (provider.tang:0)`);
  server.rotate();
  expect(await check("old")).toContain(`${server.url} has newer keys`);
  await command("decrypt", `oci:${at("old")}`, `oci:${at("old-open")}`, ...allow);
  expect(diffIds(at("old-open"))).toEqual(diffIds(PLAIN_LAYOUT));

  const again = ["encrypt", `oci:${PLAIN_LAYOUT}`, `oci:${at("again")}`, "-r", `tang:${old}`];
  const { stderr } = await ocicrypt(again);
  expect(stderr).toContain("KEY_SERVER_UNTRUSTED");

  const recipient = ["-r", `tang:${named(server)}`];
  cpSync(at("old"), at("new"), { recursive: true });
  await command("recipients", "replace", `oci:${at("new")}`, ...recipient, ...allow);
  expect(await check("new")).toContain("has the key");
  server.forget();
  expect(await check("old")).toContain("no longer has the key");
  const gone = await refused(at("old"), ...allow);
  expect(gone.stderr).toContain("KEY_SERVER_KEY_NOT_FOUND");
  await command("decrypt", `oci:${at("new")}`, `oci:${at("new-open")}`, ...allow);
  expect(diffIds(at("new-open"))).toEqual(diffIds(PLAIN_LAYOUT));
});

describe("a decryption contacts only the configured servers:", () => {
  it("others in the image hear nothing", async () => {
    const before = servers[2].connections();
    const allow = servers.slice(0, 2).flatMap(({ url }) => ["-k", `tang:${url}`]);
    await command("decrypt", `oci:${at("sss")}`, `oci:${at("two-of-three")}`, ...allow);
    expect(servers[2].connections()).toBe(before);
    const { stderr } = await refused(at("sss"), "-k", `tang:${servers[0].url}`);
    expect(stderr).toContain("which is not allowed");
    expect(servers[2].connections()).toBe(before);
  });

  it("a proxy, the only way out, is asked for no other host", async () => {
    const hosts = ["tang-one.example", "tang-two.example"];
    const proxy = await startProxy({ [hosts[0]!]: servers[0].port, [hosts[1]!]: servers[1].port });
    const env = { HTTP_PROXY: proxy.url, HTTPS_PROXY: proxy.url, NO_PROXY: "" };
    const pins = hosts.map((host, i) => ({ url: `http://${host}`, thp: servers[i]!.thumbprint() }));
    writeFileSync(at("proxied.json"), JSON.stringify({ t: 1, pins: { tang: pins } }));
    const layout = `oci:${at("proxied")}`;
    const encrypt = ["encrypt", `oci:${PLAIN_LAYOUT}`, layout, "-r", `sss:${at("proxied.json")}`];
    await succeed(process.execPath, [COMMAND, ...encrypt], { env });
    expect([...proxy.hosts].sort()).toEqual(hosts);
    proxy.hosts.clear();
    const decrypt = [
      "decrypt",
      layout,
      `oci:${at("proxied-open")}`,
      "-k",
      `tang:http://${hosts[1]!}`,
    ];
    await succeed(process.execPath, [COMMAND, ...decrypt], { env });
    expect([...proxy.hosts]).toEqual([hosts[1]]);
    expect(diffIds(at("proxied-open"))).toEqual(diffIds(PLAIN_LAYOUT));
  });
});
