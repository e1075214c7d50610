import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { keyServerKeys, keyServerRecipients } from "../../../src/keyserver/index.js";
import type { JsonObject } from "../../../src/text/json.js";
import { expectCode } from "../../support/codes.js";
import { type VaultDouble, vaultDouble } from "../../support/vault-double.js";

const SECRET = Buffer.alloc(200, "s");
const folder = mkdtempSync(join(tmpdir(), "ocicrypt-vault-"));
const at = (name: string): string => join(folder, name);
afterAll(() => {
  rmSync(folder, { recursive: true });
});

let server: VaultDouble;
beforeEach(async () => {
  for (const name of ["VAULT_ADDR", "VAULT_TOKEN", "VAULT_NAMESPACE", "VAULT_CACERT"]) {
    vi.stubEnv(name, "");
  }
  vi.stubEnv("HOME", folder);
  server = await vaultDouble();
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(at(".vault-token"), { force: true });
});

const contextOf = (vault?: JsonObject): Parameters<typeof keyServerKeys>[1] => ({
  settings: vault === undefined ? {} : { vault },
  readFile: () => Buffer.alloc(0),
});

/** Wraps and opens with the arguments of a command. */
async function roundTrip(vault?: JsonObject, keyText = "vault"): Promise<string | null> {
  const {
    found: [recipient],
  } = await keyServerRecipients("vault:app", contextOf(vault));
  const {
    found: [key],
  } = await keyServerKeys([keyText], contextOf(vault));
  const opened = await key!.unwrap(await recipient!.wrap(Uint8Array.from(SECRET)));
  return opened && Buffer.from(opened).toString();
}

describe("the settings of Vault", () => {
  it("come from the variables of Vault's own command", async () => {
    vi.stubEnv("VAULT_ADDR", server.url);
    vi.stubEnv("VAULT_TOKEN", server.rootToken);
    vi.stubEnv("VAULT_NAMESPACE", "team");
    expect(await roundTrip()).toBe(SECRET.toString());
    expect(server.requests[0]!.headers["x-vault-namespace"]).toBe("team");
  });

  it("come from the token file of a login", async () => {
    vi.stubEnv("VAULT_ADDR", server.url);
    writeFileSync(at(".vault-token"), server.rootToken);
    expect(await roundTrip()).toBe(SECRET.toString());
  });

  it("come from the settings file before the environment", async () => {
    vi.stubEnv("VAULT_ADDR", "https://other.example");
    vi.stubEnv("VAULT_TOKEN", "other");
    writeFileSync(at("token"), `${server.rootToken}\n`);
    const settings = { address: server.url, "token-file": at("token") };
    expect(await roundTrip(settings)).toBe(SECRET.toString());
    expect(await roundTrip(settings, "vault:app")).toBe(SECRET.toString());
    expect(await roundTrip(settings, "vault:web")).toBeNull();
  });

  it("name the login with AppRole or Kubernetes", async () => {
    writeFileSync(at("secret-id"), "s3cret\n");
    writeFileSync(at("jwt"), "eyJ\n");
    const logins: [JsonObject, string, object][] = [
      [{ auth: "approle", "role-id": "r", "secret-id-file": at("secret-id") }, "approle", { role_id: "r", secret_id: "s3cret" }],
      [{ auth: "kubernetes", role: "app", "jwt-file": at("jwt"), "auth-mount": "k8s" }, "k8s", { role: "app", jwt: "eyJ" }],
    ]; // prettier-ignore
    for (const [settings, mount, body] of logins) {
      server.requests.length = 0;
      await expect(roundTrip({ ...settings, address: server.url })).rejects.toThrow();
      expect(server.log()).toEqual([`POST /v1/auth/${mount}/login`]);
      expect(JSON.parse(server.requests[0]!.body.toString())).toEqual(body);
    }
  });

  it.each([
    [{}, "address or VAULT_ADDR is missing"],
    [{ address: 1 }, "address is not text"],
    [{ address: "https://vault.example" }, "the token of Vault cannot be read"],
    [{ address: "https://vault.example", auth: "ldap" }, "auth of Vault is not"],
    [{ address: "https://vault.example", auth: "approle" }, "role-id or VAULT_ROLE_ID is missing"],
    [{ address: "https://vault.example", auth: "kubernetes" }, "role is missing"],
    [{ address: "https://vault.example", "plain-http": "yes" }, "plain-http is neither"],
    [{ address: "https://vault.example", token: "hvs.x" }, 'unknown member "token"'],
    [{ address: "https://vault.example", "ca-file": "/none" }, "the certificates of Vault cannot"],
    [
      { address: "https://vault.example", "ca-file": "/dev/null" },
      "certificates of Vault is not PEM",
    ],
  ])("%j are refused", async (settings, why) => {
    const error = await expectCode(
      keyServerKeys(["vault"], contextOf(settings)),
      "KEY_SERVER_CONFIG_INVALID",
    );
    expect(error.message).toContain(why);
  });
});
