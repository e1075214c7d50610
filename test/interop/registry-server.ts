import { readdirSync } from "node:fs";
import { createConnection, createServer, type AddressInfo, type Socket } from "node:net";
import { join } from "node:path";
import { onTestFinished } from "vitest";

/** The digests of all blobs in the storage of a registry that keeps its files below a directory. */
export function storedBlobs(directory: string): string[] {
  const [registry = ""] = readdirSync(directory);
  const root = join(directory, registry, "data/docker/registry/v2/blobs/sha256");
  return readdirSync(root)
    .flatMap((prefix) => readdirSync(join(root, prefix)))
    .map((hex) => `sha256:${hex}`);
}

export interface CountingProxy {
  host: string;
  /** Bytes in both directions, with the headers. */
  bytes: number;
}

/** Passes connections on to a registry until the test ends, and counts what passes. */
export async function countingProxy(target: string): Promise<CountingProxy> {
  const [hostname, port] = target.split(":");
  const sockets = new Set<Socket>();
  const proxy = { host: "", bytes: 0 };
  const server = createServer((client) => {
    const registry = createConnection(Number(port), hostname);
    for (const [from, to] of [
      [client, registry],
      [registry, client],
    ] as const) {
      sockets.add(from);
      from.on("data", (chunk) => (proxy.bytes += chunk.byteLength));
      from.on("close", () => to.destroy()).on("error", () => to.destroy());
      from.pipe(to);
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  proxy.host = `127.0.0.1:${String((server.address() as AddressInfo).port)}`;
  return proxy;
}
