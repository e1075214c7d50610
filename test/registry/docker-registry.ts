import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { randomUUID, X509Certificate } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createConnection, createServer, type AddressInfo, type Socket } from "node:net";
import { join } from "node:path";
import { importPKCS8, SignJWT } from "jose";
import { afterAll } from "vitest";
import type { RegistryReference } from "../../src/registry/index.js";
import { reply, testServer } from "./server.js";

/** Docker's registry, which goes with the test file. */
export interface DockerRegistry {
  host: string;
  /** An image of it, `latest` by default. */
  at(repository: string, tag?: string): RegistryReference;
  /** Uploads that are open, of a repository. */
  uploads(repository: string): string[];
}

export interface DockerRegistryOptions {
  /** Lines of YAML to add. */
  auth?: string;
  tls?: Certificate;
}

export interface Certificate {
  /** Paths of files in PEM. */
  cert: string;
  key: string;
}

const children = new Set<ChildProcess>();
const proxies = new Set<() => void>();

/** To be called in the file that uses the others. */
export function stopRegistries(): void {
  afterAll(async () => {
    for (const close of proxies) close();
    for (const child of children) {
      const closed = new Promise((resolve) => child.once("close", resolve));
      child.kill("SIGKILL");
      await closed;
    }
  });
}

/** Runs `docker-registry` on a port that the system chooses. */
export async function dockerRegistry(
  parent: string,
  { auth = "", tls }: DockerRegistryOptions = {},
): Promise<DockerRegistry> {
  const directory = mkdtempSync(join(parent, "registry-"));
  const data = join(directory, "data");
  const config = join(directory, "config.yml");
  const tlsLines = tls === undefined ? "" : `  tls: {certificate: ${tls.cert}, key: ${tls.key}}\n`;
  writeFileSync(
    config,
    [
      "version: 0.1",
      "log: {level: info}",
      `storage: {filesystem: {rootdirectory: ${data}}}`,
      `http:\n  addr: 127.0.0.1:0\n${tlsLines}`,
      auth,
    ].join("\n"),
  );
  const child = spawn("docker-registry", ["serve", config], { stdio: ["ignore", "pipe", "pipe"] });
  children.add(child);
  const host = await new Promise<string>((resolve, reject) => {
    let log = "";
    const read = (chunk: Buffer): void => {
      log = `${log}${chunk.toString()}`.slice(-10_000);
      const found = /listening on (127\.0\.0\.1:\d+)/.exec(log)?.[1];
      if (found !== undefined) resolve(found);
    };
    child.stdout.on("data", read);
    child.stderr.on("data", read);
    child.on("close", () => {
      children.delete(child);
      reject(new Error(`docker-registry ended: ${log}`));
    });
  });
  return {
    host,
    at: (repository, tag = "latest") => ({ host, repository, tag }),
    uploads(repository) {
      const uploads = join(data, "docker/registry/v2/repositories", repository, "_uploads");
      // Of a cancelled upload, this registry leaves the states of the hash.
      return readdirSync(uploads).filter((id) => existsSync(join(uploads, id, "data")));
    },
  };
}

/** A certificate for 127.0.0.1 that nobody else trusts. */
export function makeCertificate(directory: string, name: string): Certificate {
  const cert = join(directory, `${name}.crt`);
  const key = join(directory, `${name}.key`);
  execFileSync(
    "openssl",
    [
      ...[
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-keyout",
        key,
        "-out",
        cert,
      ],
      ...["-subj", "/CN=ocicrypt test", "-addext", "subjectAltName=IP:127.0.0.1"],
    ],
    { stdio: "ignore" },
  );
  return { cert, key };
}

export interface TokenService {
  /** For {@link DockerRegistryOptions}. */
  auth: string;
  /** The scopes of each request, in order. */
  scopes: string[][];
}

/**
 * A token service as registries use them, for one user
 * (https://distribution.github.io/distribution/spec/auth/jwt/).
 */
export async function tokenService(
  directory: string,
  user: { username: string; password: string },
): Promise<TokenService> {
  const { cert, key } = makeCertificate(directory, "tokens");
  const x5c = [new X509Certificate(readFileSync(cert)).raw.toString("base64")];
  const privateKey = await importPKCS8(readFileSync(key, "utf8"), "RS256");
  const basic = `Basic ${Buffer.from(`${user.username}:${user.password}`).toString("base64")}`;
  const service: TokenService = { auth: "", scopes: [] };
  const { url } = await testServer(async ({ target, headers }, response) => {
    if (headers.authorization !== basic) return reply(response, 401);
    const query = new URL(target, "http://tokens").searchParams;
    const scopes = query.getAll("scope").flatMap((scope) => scope.split(" "));
    service.scopes.push(scopes);
    const access = scopes.map((scope) => {
      const [type, name, actions = ""] = scope.split(":");
      return { type, name, actions: actions.split(",") };
    });
    const token = await new SignJWT({ access, jti: randomUUID() })
      .setProtectedHeader({ alg: "RS256", typ: "JWT", x5c })
      .setIssuer("ocicrypt test")
      .setSubject(user.username)
      .setAudience(query.get("service") ?? "")
      .setIssuedAt()
      .setNotBefore("-10s")
      .setExpirationTime("300s")
      .sign(privateKey);
    return reply(response, 200, {}, JSON.stringify({ token, expires_in: 300 }));
  });
  service.auth = [
    "auth:",
    "  token:",
    `    realm: ${url}/token`,
    "    service: test",
    "    issuer: ocicrypt test",
    `    rootcertbundle: ${cert}`,
  ].join("\n");
  return service;
}

export interface Proxy {
  host: string;
  connections: number;
}

/**
 * Passes connections on to a registry, and cuts one of them: the one that has sent or got so many
 * bytes first.
 */
export async function cuttingProxy(
  target: string,
  limits: { sent?: number; got?: number },
): Promise<Proxy> {
  const [hostname, port] = target.split(":");
  let isCut = false;
  const sockets = new Set<Socket>();
  const proxy = { host: "", connections: 0 };
  const server = createServer((client) => {
    proxy.connections++;
    const registry = createConnection(Number(port), hostname);
    const cut = (): void => {
      isCut = true;
      client.destroy();
      registry.destroy();
    };
    const pass = (from: Socket, to: Socket, limit = Infinity): void => {
      sockets.add(from);
      let bytes = 0;
      from.on("data", (chunk) => {
        bytes += chunk.byteLength;
        if (!isCut && bytes > limit) cut();
        else to.write(chunk);
      });
      from.on("close", () => to.destroy()).on("error", () => to.destroy());
    };
    pass(client, registry, limits.sent);
    pass(registry, client, limits.got);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  proxies.add(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  proxy.host = `127.0.0.1:${String((server.address() as AddressInfo).port)}`;
  return proxy;
}
