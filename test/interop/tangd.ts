import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createServer as createHttpServer, request } from "node:http";
import { type AddressInfo, createServer, type Server } from "node:net";
import { join } from "node:path";
import { afterAll } from "vitest";
import { hasProgram } from "./peers.js";

const PROGRAMS = "/usr/libexec";

/** Whether tangd, clevis and jose are installed. */
export const HAS_TANG: boolean =
  hasProgram("test", "-x", `${PROGRAMS}/tangd`) &&
  ["clevis", "jose"].every((each) => hasProgram("which", each));

/** A real Tang server on 127.0.0.1, which can be stopped and started again. */
export interface Tangd {
  url: string;
  port: number;
  /** The thumbprint of its signing key, by jose. */
  thumbprint(): string;
  /** The requests since the start, as tangd logs them. */
  stop(): Promise<void>;
  start(): Promise<void>;
  /** The number of connections so far. */
  connections(): number;
  rotate(): void;
  /** Deletes the keys that are served and not advertised. */
  forget(): void;
}

const running = new Set<Server>();
afterAll(() => {
  for (const server of running) server.close();
});

/** tangd answers one connection on its standard input and output, as inetd starts programs. */
export async function startTangd(directory: string): Promise<Tangd> {
  mkdirSync(directory);
  execFileSync(`${PROGRAMS}/tangd-keygen`, [directory], { stdio: "ignore" });
  let count = 0;
  let server: Server;
  let port = 0;
  async function start(): Promise<void> {
    server = createServer((socket) => {
      count++;
      const tangd = spawn(`${PROGRAMS}/tangd`, [directory], { stdio: ["pipe", "pipe", "ignore"] });
      tangd.stdin.on("error", () => undefined);
      socket.on("error", () => undefined).pipe(tangd.stdin);
      tangd.stdout.pipe(socket);
    });
    await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
    running.add(server);
    port = (server.address() as AddressInfo).port;
  }
  await start();
  return {
    port,
    url: `http://127.0.0.1:${String(port)}`,
    start,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
      }),
    connections: () => count,
    thumbprint() {
      const names = readdirSync(directory).filter((name) => !name.startsWith("."));
      const signer = names
        .map((name) => readFileSync(join(directory, name), "utf8"))
        .find((text) => text.includes("ES512"));
      const args = ["jwk", "thp", "-i-", "-a", "S256"];
      return execFileSync("jose", args, { input: signer ?? "", encoding: "utf8" }).trim();
    },
    rotate() {
      execFileSync(`${PROGRAMS}/tangd-rotate-keys`, ["-d", directory], { stdio: "ignore" });
    },
    forget() {
      for (const name of readdirSync(directory)) {
        if (name.startsWith(".")) rmSync(join(directory, name));
      }
    },
  };
}

/** A proxy that knows some hosts, and the hosts that it was asked for. */
export async function startProxy(
  ports: Readonly<Record<string, number>>,
): Promise<{ url: string; hosts: Set<string> }> {
  const hosts = new Set<string>();
  const proxy = createHttpServer((message, response) => {
    const { hostname, pathname } = new URL(message.url ?? "", "http://unknown");
    hosts.add(hostname);
    const port = ports[hostname];
    if (port === undefined) {
      response.writeHead(502).end();
      return;
    }
    const options = { port, method: message.method, path: pathname, headers: message.headers };
    const forwarded = request({ host: "127.0.0.1", ...options }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    message.pipe(forwarded.on("error", () => response.destroy()));
  });
  await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  running.add(proxy);
  return { url: `http://127.0.0.1:${String((proxy.address() as AddressInfo).port)}`, hosts };
}
