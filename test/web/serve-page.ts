import { mkdtempSync, rmSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { buildPage } from "../../web/build.js";
import { createPageServer } from "../../web/serve.js";

declare module "vitest" {
  interface ProvidedContext {
    /** Where the page is served. */
    origin: string;
  }
}

/** Builds and serves the page once for all test files. */
export default async function servePage(project: TestProject): Promise<() => Promise<void>> {
  const directory = mkdtempSync(join(tmpdir(), "ocicrypt-page-"));
  await buildPage(directory);
  const server = createPageServer(directory);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  project.provide("origin", `http://127.0.0.1:${String(port)}`);
  return async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    rmSync(directory, { recursive: true, force: true });
  };
}
