import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { stopServers, type TestServer } from "../registry/server.js";
import { storeSecret } from "../support/barbican-suite.js";
import { run } from "../support/command.js";
import { blobFile, layer, layoutOf, readEntries, readManifest } from "../support/image.js";
import { keyServerDoubles, type KeyServerDoubles } from "../support/key-server-doubles.js";
import { CLEVIS, tangServer } from "../support/tang.js";

const folder = mkdtempSync(join(tmpdir(), "ocicrypt-key-servers-"));
const at = (name: string): string => `oci:${join(folder, name)}`;
let servers: Record<string, TestServer> = {};
let doubles: KeyServerDoubles;

/** The key servers in an order that moves an image from each to the next, with the servers that each uses. */
const ALL = [
  ["vault", ["vault"]],
  ["key-protect", ["key-protect", "iam"]],
  ["barbican", ["barbican"]],
  ["tang", ["tang"]],
  ["aws-kms", ["aws-kms"]],
  ["age", []],
] as const;
type System = (typeof ALL)[number][0];

const recipients: Record<System, string> = {
  vault: "vault:app",
  "key-protect": "key-protect:app-key",
  barbican: "barbican:",
  tang: "",
  "aws-kms": "aws-kms:alias/app",
  age: "",
};
const keys: Record<System, string> = {
  vault: "vault",
  "key-protect": "key-protect",
  barbican: "barbican",
  tang: "",
  "aws-kms": "aws-kms",
  age: join(folder, "identity.txt"),
};

beforeAll(async () => {
  doubles = await keyServerDoubles();
  const { vault, keyProtect, awsKms, barbican } = doubles;
  const tang = await tangServer(CLEVIS.servers.one, true);
  servers = {
    vault,
    "key-protect": keyProtect,
    iam: keyProtect.iam,
    "aws-kms": awsKms,
    barbican,
    tang,
  };
  recipients.tang = `tang:${tang.url}?thp=${CLEVIS.servers.one.thp}`;
  keys.tang = `tang:${tang.url}`;
  const age = JSON.parse(
    readFileSync(new URL("../keyserver/age/age-1.3.1.json", import.meta.url), "utf8"),
  ) as Record<"hybridRecipient" | "hybridIdentity", string>;
  recipients.age = `age:${age.hybridRecipient}`;
  writeFileSync(keys.age, age.hybridIdentity, { mode: 0o600 });
  mkdirSync(join(folder, "plain"));
  await layoutOf(join(folder, "plain"), [await layer("small")]);
});
afterAll(async () => {
  await stopServers();
  rmSync(folder, { recursive: true });
});

/** Runs the command, and returns the servers that it contacted. */
async function contacted(...args: string[]): Promise<string[]> {
  for (const { requests } of Object.values(servers)) requests.length = 0;
  const { status, stderr } = await run(args, { env: doubles.env });
  expect(status, stderr).toBe(0);
  return Object.keys(servers).filter((name) => servers[name]!.requests.length > 0);
}

/** The layer blobs of an image, each with its inode and the time of its last change. */
async function layersOf(name: string): Promise<object[]> {
  const path = join(folder, name);
  const [entry] = await readEntries(path);
  const { layers } = await readManifest(path, entry!);
  return layers.map(({ digest }) => {
    const { ino, mtimeMs } = statSync(blobFile(path, digest));
    return { digest, ino, mtimeMs };
  });
}

describe("an image", () => {
  it("moves from each key server to the next, no layer is written, and each opens it alone", async () => {
    const [[first, own], ...others] = ALL;
    expect(await contacted("encrypt", at("plain"), at("all"), "-r", recipients[first])).toEqual(
      own,
    );
    const before = await layersOf("all");
    let [from, asked]: [System, readonly string[]] = [first, own];
    for (const [name, own] of others) {
      const args = ["recipients", "add", at("all"), "-r", recipients[name], "-k", keys[from]];
      expect((await contacted(...args)).sort()).toEqual([...asked, ...own].sort());
      [from, asked] = [name, own];
    }
    expect(await layersOf("all")).toEqual(before);
    expect(await contacted("inspect", at("all"))).toEqual([]);
    for (const [name, own] of ALL) {
      const args = ["decrypt", at("all"), at(`${name}-opened`), "-k", keys[name]];
      expect(await contacted(...args)).toEqual(own);
    }
  });

  it.each(ALL)("is rotated with %s", async (name, own) => {
    const args = ["rotate", at("all"), at(`${name}-rotated`), "-r", recipients[name], "-k", keys[name]];
    expect(await contacted(...args)).toEqual(own);
    const decrypt = ["decrypt", at(`${name}-rotated`), at(`${name}-back`), "-k", keys[name]];
    expect(await contacted(...decrypt)).toEqual(own);
  }); // prettier-ignore

  it("has recipients of several servers whose settings are read once, from standard input", async () => {
    const input = JSON.stringify({
      vault: { address: servers.vault!.url },
      "aws-kms": { region: "eu-west-2" },
    });
    const recipients = ["-r", "vault:app", "-r", "aws-kms:alias/app"];
    const args = ["encrypt", at("plain"), at("piped"), ...recipients, "--key-servers", "-"];
    const { VAULT_ADDR, AWS_REGION, ...others } = doubles.env;
    expect([VAULT_ADDR, AWS_REGION]).toEqual([servers.vault!.url, "eu-west-2"]);
    const { status, stderr } = await run(args, { env: others, input });
    expect(status, stderr).toBe(0);
  });

  it("opens with a private key that Barbican keeps", async () => {
    const pem = (name: string): string => fileURLToPath(new URL(`../../vectors/keys/${name}`, import.meta.url));
    const content = readFileSync(pem("rsa-3072.pem"));
    const id = await storeSecret(doubles.barbican, content, { secret_type: "private" });
    const encrypt = ["encrypt", at("plain"), at("kept"), "-r", `jwe:${pem("rsa-3072.pub.pem")}`];
    expect(await contacted(...encrypt)).toEqual([]);
    const decrypt = ["decrypt", at("kept"), at("kept-opened"), "-k", `barbican:${id}`];
    expect(await contacted(...decrypt)).toEqual(["barbican"]);
  }); // prettier-ignore

  it("is encrypted for a certificate in Barbican, and opens with a private key in Key Protect", async () => {
    const file = (name: string): Buffer =>
      readFileSync(new URL(`../../vectors/peers/keys/${name}`, import.meta.url));
    const id = await storeSecret(doubles.barbican, file("cert-rsa3072.pem"), {
      secret_type: "certificate",
    });
    const encrypt = ["encrypt", at("plain"), at("certified"), "-r", `barbican:${id}`];
    expect(await contacted(...encrypt)).toEqual(["barbican"]);
    const kept = doubles.keyProtect.keep(file("rsa3072.pkcs8.pem"));
    const decrypt = [
      "decrypt",
      at("certified"),
      at("certified-opened"),
      "-k",
      `key-protect:${kept}`,
    ];
    expect(await contacted(...decrypt)).toEqual(["key-protect", "iam"]);
  });

  it("is not written when a key server refuses, or is not the trusted one", async () => {
    doubles.keyProtect.setState(doubles.rootKey, "suspended");
    const untrusted = `tang:${servers.tang!.url}?thp=${CLEVIS.servers.two.thp}`;
    for (const [verb, from, flag, text, code] of [
      ["decrypt", "all", "-k", "key-protect", "KEY_SERVER_KEY_DISABLED"],
      ["encrypt", "plain", "-r", "key-protect:app-key", "KEY_SERVER_KEY_DISABLED"],
      ["encrypt", "plain", "-r", untrusted, "KEY_SERVER_UNTRUSTED"],
    ] as const) {
      const { status, stderr } = await run([verb, at(from), at("refused"), flag, text], {
        env: doubles.env,
      });
      expect(status).not.toBe(0);
      expect(stderr).toContain(`(${code})`);
      expect(existsSync(join(folder, "refused"))).toBe(false);
    }
  });
});
