import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { BarbicanUnderTest } from "../support/barbican-suite.js";

/** Debian's own, not another Python that is first in the path. */
const PYTHON = "/usr/bin/python3";
const SOURCES = fileURLToPath(new URL("barbican/", import.meta.url));
const isRoot = process.getuid?.() === 0;
const AS_NOBODY = isRoot ? ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] : [];

export interface RealBarbican extends BarbicanUnderTest {
  stop(): void;
}

/** Whether Debian's packages barbican-api and keystone are installed. */
export function hasBarbican(): boolean {
  try {
    execFileSync(PYTHON, ["-c", "import barbican.api.app, keystone.server, keystonemiddleware"], {
      stdio: "ignore",
    });
    return true;
  } catch {
    return false;
  }
}

/**
 * Starts Keystone and Barbican, with databases in a temporary directory, and makes the users of
 * {@link BarbicanUnderTest}.
 */
export async function startBarbican(): Promise<RealBarbican> {
  // In memory, because the databases wait for the disk after each write.
  const parent = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();
  const directory = mkdtempSync(join(parent, "ocicrypt-barbican-"));
  const at = (name: string): string => join(directory, name);
  const running: ChildProcess[] = [];
  const password = randomBytes(12).toString("hex");
  for (const name of ["home/.barbican", "fernet", "credential"]) {
    mkdirSync(at(name), { recursive: true, mode: 0o700 });
  }
  for (const name of ["serve.py", "paste.ini"]) copyFileSync(join(SOURCES, name), at(name));
  writeFileSync(at("keystone.conf"), keystoneConfig(at));
  chown();

  const env = {
    PATH: "/usr/sbin:/usr/bin:/sbin:/bin",
    HOME: at("home"),
    OS_KEYSTONE_CONFIG_DIR: directory,
  };
  function command(...args: string[]): [string, string[]] {
    const [program = "", ...rest] = [...AS_NOBODY, ...args];
    return [program, rest];
  }
  function chown(): void {
    if (isRoot) execFileSync("chown", ["-R", "nobody:nogroup", directory]);
  }
  const manage = (...args: string[]): void => {
    const all = command("keystone-manage", "--config-file", at("keystone.conf"), ...args);
    execFileSync(...all, { env, stdio: ["ignore", "ignore", "pipe"], cwd: directory });
  };
  async function serve(...args: string[]): Promise<string> {
    const [program, rest] = command(PYTHON, at("serve.py"), ...args);
    const child = spawn(program, rest, {
      env,
      cwd: directory,
      stdio: ["ignore", "pipe", "ignore"],
    });
    running.push(child);
    const [port] = (await once(createInterface(child.stdout), "line")) as [string];
    return `http://127.0.0.1:${port}`;
  }

  manage("db_sync");
  const owner = isRoot ? ["--keystone-user", "nobody", "--keystone-group", "nogroup"] : [];
  for (const what of ["fernet_setup", "credential_setup"]) manage(what, ...owner);
  manage("bootstrap", "--bootstrap-password", password, "--bootstrap-region-id", "RegionOne");
  // With the usual journal, a request that reads blocks one that writes.
  const wal =
    "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('pragma journal_mode=wal')";
  for (const name of ["keystone.sqlite", "barbican.sqlite"]) {
    execFileSync(...command(PYTHON, "-c", wal, at(name)));
  }
  const authUrl = await serve("keystone");
  const keystone = keystoneClient(authUrl, password);
  writeFileSync(at("home/.barbican/barbican.conf"), barbicanConfig(at, authUrl, password));
  chown();
  await keystone.prepare();
  const endpoint = await serve("barbican", at("paste.ini"));
  await keystone.addEndpoint("identity", `${authUrl}/v3`);
  await keystone.addEndpoint("key-manager", endpoint);
  return {
    ...{ authUrl, endpoint, password },
    credential: await keystone.applicationCredential("alice"),
    projectId: keystone.projectId(),
    stop() {
      for (const child of running) child.kill("SIGKILL");
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

type Made = Record<string, Record<string, unknown> & { id: string }>;

/** Sends Keystone's administrative requests, without the library. */
function keystoneClient(
  authUrl: string,
  password: string,
): {
  prepare(): Promise<void>;
  addEndpoint(type: string, url: string): Promise<void>;
  applicationCredential(user: string): Promise<{ id: string; secret: string }>;
  projectId(): string;
} {
  const ids = new Map<string, string>();
  let admin = "";

  async function send(method: string, path: string, body?: object, token = admin): Promise<Made> {
    const answer = await fetch(`${authUrl}/v3/${path}`, {
      method,
      headers: { "content-type": "application/json", "x-auth-token": token },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${path}: ${text}`);
    return (text === "" ? {} : JSON.parse(text)) as Made;
  }

  async function login(name: string, project: string): Promise<string> {
    const domain = { id: "default" };
    const auth = {
      identity: { methods: ["password"], password: { user: { name, domain, password } } },
      scope: { project: { name: project, domain } },
    };
    const answer = await fetch(`${authUrl}/v3/auth/tokens`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ auth }),
    });
    return answer.headers.get("x-subject-token") ?? "";
  }

  async function addUser(name: string, project: string, role: string): Promise<void> {
    const { user } = await send("POST", "users", { user: { name, password } });
    ids.set(name, user!.id);
    await send("PUT", `projects/${ids.get(project)!}/users/${user!.id}/roles/${ids.get(role)!}`);
  }

  return {
    async prepare() {
      admin = await login("admin", "admin");
      for (const name of ["creator", "observer", "service"]) {
        ids.set(name, (await send("POST", "roles", { role: { name } })).role!.id);
      }
      const { roles } = (await send("GET", "roles?name=admin")) as unknown as {
        roles: { id: string }[];
      };
      ids.set("admin", roles[0]!.id);
      for (const name of ["app", "other", "services"]) {
        ids.set(name, (await send("POST", "projects", { project: { name } })).project!.id);
      }
      await addUser("alice", "app", "creator");
      await addUser("olga", "app", "observer");
      await addUser("stan", "other", "admin");
      await addUser("barbican", "services", "admin");
    },
    async addEndpoint(type, url) {
      const { service } = await send("POST", "services", { service: { type, name: type } });
      const endpoint = {
        service_id: service!.id,
        region_id: "RegionOne",
        interface: "public",
        url,
      };
      await send("POST", "endpoints", { endpoint });
    },
    async applicationCredential(user) {
      const path = `users/${ids.get(user)!}/application_credentials`;
      const body = { application_credential: { name: "ci" } };
      const made = (await send("POST", path, body, await login(user, "app")))
        .application_credential!;
      return { id: made.id, secret: String(made.secret) };
    },
    projectId: () => ids.get("app")!,
  };
}

function keystoneConfig(at: (name: string) => string): string {
  return `
[DEFAULT]
transport_url = fake://
use_stderr = True
[database]
connection = sqlite:///${at("keystone.sqlite")}
[identity]
# Fewer rounds of bcrypt, for speed.
password_hash_rounds = 4
[token]
provider = fernet
[fernet_tokens]
key_repository = ${at("fernet")}
[fernet_receipts]
key_repository = ${at("fernet")}
[credential]
key_repository = ${at("credential")}
[cache]
enabled = True
backend = dogpile.cache.memory
`;
}

function barbicanConfig(at: (name: string) => string, authUrl: string, password: string): string {
  return `
[DEFAULT]
host_href =
db_auto_create = True
sql_connection = sqlite:///${at("barbican.sqlite")}
transport_url = fake://
use_stderr = True
[queue]
enable = False
[secretstore]
namespace = barbican.secretstore.plugin
enabled_secretstore_plugins = store_crypto
[crypto]
namespace = barbican.crypto.plugin
enabled_crypto_plugins = simple_crypto
[simple_crypto_plugin]
kek = ${randomBytes(32).toString("base64").replaceAll("+", "-").replaceAll("/", "_")}
[keystone_authtoken]
www_authenticate_uri = ${authUrl}
auth_url = ${authUrl}
auth_type = password
username = barbican
password = ${password}
user_domain_id = default
project_name = services
project_domain_id = default
interface = public
# Without it, a revoked token is valid for five minutes more.
token_cache_time = -1
`;
}
