import { type ChildProcess, spawn } from "node:child_process";
import { createServer } from "node:net";
import { mkdirSync, writeFileSync } from "node:fs";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it, type TestContext } from "vitest";
import {
  buildPeers,
  diffIds,
  hasProgram,
  ocicrypt,
  PLAIN_LAYOUT,
  requirePeer,
  temporaryDirectory,
} from "./peers.js";

const directory = temporaryDirectory();
const at = (name: string): string => join(directory, name);
const hasGo = hasProgram("go", "version");
const ID = "bc436485-5092-42b8-92a3-0aa8b93536dc";
const ARN = `arn:aws:kms:eu-west-2:111122223333:key/${ID}`;
let child: ChildProcess | undefined;
let env: Record<string, string> = {};

/** A port that is free now: local-kms takes a number only. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}

beforeAll(async () => {
  if (!hasGo) return;
  await buildPeers(directory, "local-kms");
  const seed = `Keys:
  Symmetric:
    Aes:
      - Metadata: { KeyId: ${ID} }
        BackingKeys: [5cdaead27fe7da2de47945d73cd6d79e36494e73802f3cd3869f1d2cb0b5d7a9]
Aliases:
  - { AliasName: alias/app, TargetKeyId: ${ID} }
`;
  writeFileSync(at("seed.yaml"), seed);
  mkdirSync(at("data"));
  const port = String(await freePort());
  const own = { PORT: port, KMS_SEED_PATH: at("seed.yaml"), KMS_DATA_PATH: at("data") };
  child = spawn(at("local-kms"), { env: { ...process.env, ...own }, stdio: "ignore" });
  env = {
    ...{ AWS_ENDPOINT_URL_KMS: `http://127.0.0.1:${port}`, AWS_REGION: "eu-west-2" },
    ...{ AWS_ACCESS_KEY_ID: "AKIAEXAMPLE", AWS_SECRET_ACCESS_KEY: "example" },
  };
  for (let tries = 0; tries < 100; tries++) {
    const isUp = await fetch(`http://127.0.0.1:${port}/`).then(
      () => true,
      () => false,
    );
    if (isUp) return;
    await sleep(100);
  }
}, 900_000);
afterAll(() => {
  child?.kill();
});

describe.skipIf(!hasGo)("local-kms", () => {
  const command = async (...args: string[]): Promise<string> => {
    const { status, stdout, stderr } = await ocicrypt(args, { env });
    expect(status, stderr).toBe(0);
    return stdout.toString();
  };

  it("wraps the key of an image by an alias, and opens it after a rotation", async () => {
    await command("encrypt", `oci:${PLAIN_LAYOUT}`, `oci:${at("enc")}`, "-r", "aws-kms:alias/app");
    expect(await command("inspect", `oci:${at("enc")}`)).toContain(`aws-kms  kid ${ARN}`);
    await command("rotate", `oci:${at("enc")}`, `oci:${at("new")}`, "-r", `aws-kms:${ARN}`, "-k", "aws-kms");
    await command("decrypt", `oci:${at("new")}`, `oci:${at("dec")}`, "-k", `aws-kms:${ARN}`);
    expect(diffIds(at("dec"))).toEqual(diffIds(PLAIN_LAYOUT));
  }); // prettier-ignore

  it("binds the encryption context", async () => {
    writeFileSync(at("context.json"), '{"aws-kms": {"encryption-context": {"team": "a"}}}');
    const settings = ["--key-servers", at("context.json")];
    await command("encrypt", `oci:${PLAIN_LAYOUT}`, `oci:${at("bound")}`, "-r", "aws-kms:alias/app", ...settings);
    await command("decrypt", `oci:${at("bound")}`, `oci:${at("open")}`, "-k", "aws-kms", ...settings);
  }); // prettier-ignore

  it("says that a key is not there", async () => {
    const missing = `aws-kms:arn:aws:kms:eu-west-2:111122223333:key/00000000-0000-4000-8000-000000000000`;
    const { status, stderr } = await ocicrypt(
      ["encrypt", `oci:${PLAIN_LAYOUT}`, `oci:${at("none")}`, "-r", missing],
      { env },
    );
    expect(status).toBe(1);
    expect(stderr).toContain("KEY_SERVER_KEY_NOT_FOUND");
  });
});

it.skipIf(hasGo)("local-kms is built with Go", (context: TestContext) => {
  requirePeer(context, "go", false);
});
