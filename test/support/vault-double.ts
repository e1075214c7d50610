import { createCipheriv, createDecipheriv, randomBytes, randomUUID } from "node:crypto";
import type { ServerResponse } from "node:http";
import { reply, type SeenRequest, type TestServer, testServer } from "../registry/server.js";

/**
 * A double of Vault for the unit tests. Paths, members and error texts are those of Vault 1.14.8:
 * builtin/logical/transit, builtin/credential/approle and sdk/helper/keysutil. The same tests run
 * against Vault itself in test/interop/vault.test.ts. It encrypts with AES-GCM and really fails for
 * a wrong key, an old version and a changed ciphertext.
 */
export interface VaultDouble extends TestServer {
  rootToken: string;
  /** Service account tokens that the double accepts as those of Kubernetes. */
  jwts: Set<string>;
  /** Answers a request instead of the double. */
  intercept?: (request: SeenRequest, response: ServerResponse) => boolean;
}

interface TransitKey {
  versions: Buffer[];
  minDecryption: number;
  isDeletable: boolean;
}

interface Issued {
  policies: string[];
  expires: number;
}

type Body = Readonly<Record<string, unknown>>;
interface Result {
  status?: number;
  data?: Body;
  auth?: Body;
  errors?: string[];
}

const failed = (status: number, ...errors: string[]): Result => ({ status, errors });
const badRequest = (text: string): Result => failed(400, text);
const DENIED = failed(403, "permission denied");

export async function vaultDouble(isLasting?: boolean): Promise<VaultDouble> {
  const keys = new Map<string, TransitKey>();
  const policies = new Map<string, Map<string, string>>();
  const roles = new Map<string, { policies: string[]; ttl: number; roleId: string; secrets: Map<string, number> }>(); // prettier-ignore
  const rootToken = `hvs.${randomBytes(18).toString("base64url")}`;
  const tokens = new Map<string, Issued>([[rootToken, { policies: ["root"], expires: Infinity }]]);

  const server = await testServer((request, response) => {
    if (double.intercept?.(request, response) === true) return true;
    const { status = 200, ...answer } = handle(request);
    const headers = { "content-type": "application/json" };
    if (status === 200 && Object.keys(answer).length === 0) return reply(response, 204);
    return reply(response, status, headers, JSON.stringify(answer));
  }, isLasting);
  const double: VaultDouble = Object.assign(server, { rootToken, jwts: new Set<string>() });

  function handle({ method, target, headers, body }: SeenRequest): Result {
    const path = target.replace(/^\/v1\//, "");
    const content = (body.byteLength === 0 ? {} : JSON.parse(body.toString())) as Body;
    if (path === "auth/approle/login") return loginAppRole(content);
    if (path === "auth/kubernetes/login") return loginKubernetes(content);
    const token = tokens.get(String(headers["x-vault-token"]));
    if (token === undefined || token.expires < Date.now()) return DENIED;
    const [, operation = "", name = "", change] = /^transit\/(\w+)\/([\w.-]+)(?:\/(\w+))?$/.exec(path) ?? []; // prettier-ignore
    const isNew = operation === "encrypt" && !keys.has(name);
    if (!isAllowed(token, path, isNew ? "create" : "update")) return DENIED;
    if (path.startsWith("transit/")) {
      if (operation === "keys") return administer(method, name, change, content);
      return transit(operation, name, content);
    }
    return system(path, content);
  }

  function isAllowed({ policies: own }: Issued, path: string, capability: string): boolean {
    return own.some((name) => name === "root" || policies.get(name)?.get(path)?.includes(`"${capability}"`)); // prettier-ignore
  }

  function administer(
    method: string,
    name: string,
    change: string | undefined,
    body: Body,
  ): Result {
    if (method === "POST" && change === undefined) {
      keys.set(name, { versions: [randomBytes(32)], minDecryption: 1, isDeletable: false });
      return {};
    }
    const key = keys.get(name);
    if (key === undefined) return badRequest("no existing key found");
    if (change === "rotate") key.versions.push(randomBytes(32));
    if (change === "config") {
      key.minDecryption = Number(body.min_decryption_version ?? key.minDecryption);
      key.isDeletable = body.deletion_allowed === true || key.isDeletable;
    }
    if (method === "DELETE") {
      if (!key.isDeletable) return badRequest("error deleting policy: deletion is not allowed for this policy"); // prettier-ignore
      keys.delete(name);
    }
    return {};
  }

  function transit(operation: string, name: string, body: Body): Result {
    // The operation encrypt creates a key of a new name.
    if (operation === "encrypt" && !keys.has(name)) administer("POST", name, undefined, {});
    const key = keys.get(name);
    if (key === undefined) return badRequest("encryption key not found");
    if (operation === "encrypt") {
      if (typeof body.plaintext !== "string") return badRequest("missing plaintext to encrypt");
      return { data: encrypted(key, Buffer.from(body.plaintext, "base64")) };
    }
    const plaintext = decrypted(key, String(body.ciphertext));
    if (typeof plaintext === "string") return badRequest(plaintext);
    if (operation === "rewrap") return { data: encrypted(key, plaintext) };
    return { data: { plaintext: plaintext.toString("base64") } };
  }

  function issue(own: string[], seconds: number): Result {
    const client_token = `hvs.${randomBytes(18).toString("base64url")}`;
    tokens.set(client_token, { policies: own, expires: seconds === 0 ? Infinity : Date.now() + seconds * 1000 }); // prettier-ignore
    return { auth: { client_token, policies: own, lease_duration: seconds, renewable: true } };
  }

  function loginAppRole({ role_id, secret_id }: Body): Result {
    const role = [...roles.values()].find(({ roleId }) => roleId === role_id);
    const uses = role?.secrets.get(String(secret_id));
    if (role === undefined) return badRequest("invalid role ID");
    // As Vault 1.13 answers after a successful login.
    if (uses === undefined) return failed(500, "invalid secret id");
    if (uses === 1) role.secrets.delete(String(secret_id));
    else role.secrets.set(String(secret_id), uses - 1);
    return issue(role.policies, role.ttl);
  }

  function loginKubernetes({ role, jwt }: Body): Result {
    if (role !== "app") return badRequest(`invalid role name "${String(role)}"`);
    return double.jwts.has(String(jwt)) ? issue(["user"], 3600) : DENIED;
  }

  function system(path: string, body: Body): Result {
    const [, policy] = /^sys\/policies\/acl\/(\w+)$/.exec(path) ?? [];
    const [, roleName = "", action] =
      /^auth\/approle\/role\/(\w+)(?:\/([\w-]+))?$/.exec(path) ?? [];
    const role = roles.get(roleName);
    if (policy !== undefined) {
      const rules = String(body.policy).matchAll(
        /path "([^"]+)" \{ capabilities = \[([^\]]*)\] \}/g,
      );
      policies.set(policy, new Map([...rules].map(([, at = "", can = ""]) => [at, can])));
      return {};
    }
    if (path === "auth/token/create") return issue(body.policies as string[], 3600);
    if (path === "auth/token/revoke") tokens.delete(String(body.token));
    else if (path.startsWith("sys/auth/")) return {};
    else if (roleName !== "" && action === undefined) {
      const ttl = Number(body.token_ttl ?? 0);
      const secrets = new Map<string, number>();
      roles.set(roleName, { policies: body.token_policies as string[], ttl, roleId: randomUUID(), secrets }); // prettier-ignore
    } else if (action === "role-id") return { data: { role_id: role?.roleId } };
    else if (action === "secret-id") {
      const secret_id = randomUUID();
      role?.secrets.set(secret_id, Number(body.num_uses ?? 0));
      return { data: { secret_id } };
    } else {
      return failed(404, `no handler for route "${path}". route entry not found.`);
    }
    return {};
  }
  return double;
}

/** sdk/helper/keysutil/policy.go: the nonce before the ciphertext and the tag. */
function encrypted({ versions }: TransitKey, plaintext: Buffer): Body {
  const nonce = randomBytes(12);
  const cipher = createCipheriv("aes-256-gcm", versions.at(-1)!, nonce);
  const parts = [nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()];
  const ciphertext = `vault:v${String(versions.length)}:${Buffer.concat(parts).toString("base64")}`;
  return { ciphertext, key_version: versions.length };
}

/** The plaintext, or the text of an error. */
function decrypted({ versions, minDecryption }: TransitKey, ciphertext: string): Buffer | string {
  const [, version = "", base64 = ""] = /^vault:v(\d+):(.*)$/s.exec(ciphertext) ?? [];
  if (version === "") return "invalid ciphertext: no prefix";
  if (Number(version) > versions.length) return "invalid ciphertext: version is too new";
  if (Number(version) < minDecryption) return "ciphertext or signature version is disallowed by policy (too old)"; // prettier-ignore
  const bytes = Buffer.from(base64, "base64");
  if (bytes.byteLength < 28) return "invalid ciphertext length";
  const decipher = createDecipheriv("aes-256-gcm", versions[Number(version) - 1]!, bytes.subarray(0, 12)); // prettier-ignore
  decipher.setAuthTag(bytes.subarray(-16));
  try {
    return Buffer.concat([decipher.update(bytes.subarray(12, -16)), decipher.final()]);
  } catch {
    return "cipher: message authentication failed";
  }
}
