import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, it, type TestContext } from "vitest";
import { vault } from "../../src/keyserver/vault/index.js";
import { expectCode } from "../support/codes.js";
import { administer, vaultSuite, type VaultUnderTest } from "../support/vault-suite.js";
import {
  buildPeers,
  diffIds,
  hasProgram,
  ocicrypt,
  PLAIN_LAYOUT,
  requirePeer,
  temporaryDirectory,
  VECTORS,
} from "./peers.js";

const directory = temporaryDirectory();
const at = (name: string): string => join(directory, name);
const hasGo = hasProgram("go", "version");
const CA = readFileSync(join(VECTORS, "peers", "keys", "cert-rsa3072.pem"), "utf8");
const running: (ChildProcess | Server)[] = [];

/** Starts a Vault whose data is in memory, with a transit engine. */
async function start(): Promise<VaultUnderTest> {
  const child = spawn(at("vault-server"), {
    stdio: ["ignore", "pipe", "inherit"],
  });
  running.push(child);
  const [line] = (await once(createInterface(child.stdout), "line")) as [string];
  const { address, token } = JSON.parse(line) as { address: string; token: string };
  const server = { address, rootToken: token };
  await administer(server, "POST", "sys/mounts/transit", { type: "transit" });
  return server;
}

beforeAll(async () => {
  if (!hasGo) return;
  await buildPeers(directory, "vault");
}, 900_000);
afterAll(() => {
  for (const each of running)
    if ("kill" in each) each.kill();
    else each.close();
});

describe.skipIf(!hasGo)("Vault 1.13", () => {
  vaultSuite(start);

  it("accepts the service account of a pod that Kubernetes knows", async () => {
    const server = await start();
    const reviewer = createServer((request, response) => {
      request.resume();
      const username = "system:serviceaccount:apps:app";
      const user = { username, uid: "1", groups: [] };
      const status = { authenticated: true, user };
      response.setHeader("content-type", "application/json");
      response.end(
        JSON.stringify({ apiVersion: "authentication.k8s.io/v1", kind: "TokenReview", status }),
      );
    }).listen(0, "127.0.0.1");
    running.push(reviewer);
    await once(reviewer, "listening");
    const host = `http://127.0.0.1:${String((reviewer.address() as AddressInfo).port)}`;
    await administer(server, "POST", "transit/keys/app", {});
    await administer(server, "POST", "sys/auth/kubernetes", { type: "kubernetes" });
    await administer(server, "POST", "sys/policies/acl/user", {
      policy: 'path "transit/+/app" { capabilities = ["update"] }',
    });
    await administer(server, "POST", "auth/kubernetes/config", {
      kubernetes_host: host,
      disable_local_ca_jwt: true,
      // The reviewer speaks HTTP, and Vault wants a certificate all the same.
      kubernetes_ca_cert: CA,
    });
    await administer(server, "POST", "auth/kubernetes/role/app", {
      bound_service_account_names: ["app"],
      bound_service_account_namespaces: ["apps"],
      token_policies: ["user"],
    });
    const jwt = (name: string): string => {
      const seconds = Math.floor(Date.now() / 1000);
      const claims = {
        "kubernetes.io": { namespace: "apps", serviceaccount: { name, uid: "1" } },
        ...{ iat: seconds, nbf: seconds, exp: seconds + 3600 },
      };
      const part = (value: object): string =>
        Buffer.from(JSON.stringify(value)).toString("base64url");
      return `${part({ alg: "RS256", typ: "JWT" })}.${part(claims)}.${Buffer.alloc(256).toString("base64url")}`;
    };
    const options = (name: string): Parameters<typeof vault.key>[0] => ({
      address: server.address,
      auth: { method: "kubernetes", role: "app", jwt: () => jwt(name) },
    });
    const wrapped = await vault.recipient("app", options("app")).wrap(Uint8Array.from([1, 2, 3]));
    expect(await vault.key(options("app")).unwrap(wrapped)).toEqual(Buffer.from([1, 2, 3]));
    await expectCode(vault.key(options("web")).unwrap(wrapped), "KEY_SERVER_UNAUTHORIZED");
  });

  it("opens the data key of an image that the command encrypted", async () => {
    const server = await start();
    await administer(server, "POST", "transit/keys/app", {});
    const env = { VAULT_ADDR: server.address, VAULT_TOKEN: server.rootToken };
    const command = async (...args: string[]): Promise<void> => {
      const { status, stderr } = await ocicrypt(args, { env });
      expect(status, stderr).toBe(0);
    };
    await command("encrypt", `oci:${PLAIN_LAYOUT}`, `oci:${at("enc")}`, "-r", "vault:app");
    await command(
      "rotate",
      `oci:${at("enc")}`,
      `oci:${at("new")}`,
      "-r",
      "vault:app",
      "-k",
      "vault",
    );
    await command("decrypt", `oci:${at("new")}`, `oci:${at("dec")}`, "-k", "vault:app");
    expect(diffIds(at("dec"))).toEqual(diffIds(PLAIN_LAYOUT));
  });
});

it.skipIf(hasGo)("Vault is built with Go", (context: TestContext) => {
  requirePeer(context, "go", false);
});
