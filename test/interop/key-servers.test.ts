import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { stopServers } from "../registry/server.js";
import { keyServerDoubles } from "../support/key-server-doubles.js";
import {
  buildPeers,
  COMMAND,
  diffIds,
  hasProgram,
  PLAIN_LAYOUT,
  requirePeer,
  succeed,
  temporaryDirectory,
} from "./peers.js";
import { startProxy } from "./tangd.js";

/**
 * The library of skopeo with the doubles of four key servers, which pass the same tests as the servers
 * themselves, or, for Key Protect, are driven by IBM's client. Tang and age have files of their own.
 */
const SYSTEMS = [
  { name: "vault", recipient: "vault:app", asked: "provider:vault:app" },
  { name: "key-protect", recipient: "key-protect:app-key", asked: "provider:key-protect:app-key" },
  { name: "aws-kms", recipient: "aws-kms:alias/app", asked: "provider:aws-kms:alias/app" },
  // Without parameters, the recipient is the -r with which the provider was started.
  { name: "barbican", recipient: "barbican:", asked: "provider:barbican" },
] as const;

const directory = temporaryDirectory();
const at = (name: string): string => join(directory, name);
const hasGo = hasProgram("go", "version");
let env: Record<string, string> = {};
let settings: Record<string, object> = {};
let ports: Record<string, number> = {};

const command = (...args: string[]): Promise<Buffer> =>
  succeed(process.execPath, [COMMAND, ...args], { env });

beforeAll(async () => {
  const doubles = await keyServerDoubles();
  const { vault, keyProtect, barbican } = doubles;
  env = doubles.env;
  const plain = { "plain-http": true };
  settings = {
    vault: { address: "http://vault.example", ...plain },
    "key-protect": { url: "http://kms.example", "iam-url": "http://iam.example", ...plain },
    barbican: { "auth-url": "http://keystone.example", endpoint: "http://barbican.example", ...plain },
  }; // prettier-ignore
  const portOf = ({ url }: { url: string }): number => Number(new URL(url).port);
  ports = {
    "vault.example": portOf(vault),
    ...{ "kms.example": portOf(keyProtect), "iam.example": portOf(keyProtect.iam) },
    ...{ "keystone.example": portOf(barbican), "barbican.example": portOf(barbican) },
  };
  if (hasGo) await buildPeers(directory, "image-copy");
}, 600_000);
afterAll(stopServers);

describe.each(SYSTEMS)("skopeo's library and ocicrypt provider $name", ({ name, recipient, asked }) => {
  const copy = async (...args: string[]): Promise<void> => {
    const cmd = { path: process.execPath, args: [COMMAND, "provider", name, "-r", recipient, "-k", name] };
    writeFileSync(at(`${name}.json`), JSON.stringify({ "key-providers": { [name]: { cmd } } }));
    const own = { ...env, OCICRYPT_KEYPROVIDER_CONFIG: at(`${name}.json`) };
    await succeed(at("image-copy"), args, { env: own });
  };

  it("decrypt what the command encrypted", async (context) => {
    requirePeer(context, "go", hasGo);
    const [from, to] = [`oci:${at(`${name}-ours`)}`, at(`${name}-theirs`)];
    await command("encrypt", `oci:${PLAIN_LAYOUT}`, from, "-r", recipient);
    await copy("--decryption-key", `provider:${name}:any`, from, `oci:${to}`);
    expect(diffIds(to)).toEqual(diffIds(PLAIN_LAYOUT));
  }, 120_000);

  it("encrypt what the command decrypts", async (context) => {
    requirePeer(context, "go", hasGo);
    const [made, to] = [`oci:${at(`${name}-made`)}`, at(`${name}-opened`)];
    await copy("--encryption-key", asked, `oci:${PLAIN_LAYOUT}`, made);
    await command("decrypt", made, `oci:${to}`, "-k", name);
    expect(diffIds(to)).toEqual(diffIds(PLAIN_LAYOUT));
  }, 120_000);
}); // prettier-ignore

/** The AWS SDK uses no proxy. */
it.each([
  ["vault", "vault:app", ["vault.example"]],
  ["key-protect", "key-protect:app-key", ["iam.example", "kms.example"]],
  ["barbican", "barbican:", ["barbican.example", "keystone.example"]],
] as const)("a decryption with %s asks a proxy, the only way out, for no other host", async (name, recipient, hosts) => {
  const proxy = await startProxy(ports);
  mkdirSync(at("settings"), { recursive: true });
  const file = at(join("settings", `${name}.json`));
  writeFileSync(file, JSON.stringify({ [name]: settings[name] }));
  const own = { ...env, HTTP_PROXY: proxy.url, HTTPS_PROXY: proxy.url, NO_PROXY: "" };
  const run = (...args: string[]): Promise<Buffer> =>
    succeed(process.execPath, [COMMAND, ...args, "--key-servers", file], { env: own });
  const layout = `oci:${at(`${name}-proxied`)}`;
  await run("encrypt", `oci:${PLAIN_LAYOUT}`, layout, "-r", recipient);
  proxy.hosts.clear();
  await run("decrypt", layout, `oci:${at(`${name}-proxied-opened`)}`, "-k", name);
  expect([...proxy.hosts].sort()).toEqual(hosts);
}, 120_000); // prettier-ignore
