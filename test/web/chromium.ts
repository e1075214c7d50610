import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium, type Browser, type CDPSession, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, expect } from "vitest";
import { buildPage } from "../../web/build.js";
import { createPageServer } from "../../web/serve.js";

/** Debian's; the tests need no other browser. */
const EXECUTABLE = process.env.CHROMIUM ?? "/usr/bin/chromium";
const ARGUMENTS = [
  ...["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"],
  ...["--disable-background-networking", "--disable-component-update", "--disable-sync"],
];

/** The page in a browser, for one test. */
export interface OpenedPage {
  page: Page;
  /** Drops files and directories on the page, as a user does. */
  drop: (...paths: readonly string[]) => Promise<void>;
  /** The requests that left the page, apart from those for its own files. */
  requests: readonly string[];
  /** The most memory that a process for pages has had, in bytes. */
  peakMemory: () => Promise<number>;
}

/**
 * Builds and serves the page, and opens it in Chromium before each test. A test fails if the page broke
 * its Content-Security-Policy, asked for anything but its own files, or had an error that it did not
 * catch.
 */
export function useChromium(): () => OpenedPage {
  const directory = mkdtempSync(join(tmpdir(), "ocicrypt-page-"));
  const server = createPageServer(directory);
  let browser: Browser;
  let opened: OpenedPage;
  let faults: string[];

  beforeAll(async () => {
    await buildPage(directory);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    browser = await chromium.launch({ executablePath: EXECUTABLE, args: ARGUMENTS });
  });

  beforeEach(async () => {
    const { port } = server.address() as AddressInfo;
    const origin = `http://127.0.0.1:${String(port)}`;
    faults = [];
    const requests: string[] = [];
    const page = await browser.newPage();
    page.on("pageerror", (error) => faults.push(error.message));
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") faults.push(message.text());
    });
    page.on("request", (request) => {
      if (!request.url().startsWith(`${origin}/`)) requests.push(request.url());
    });
    page.setDefaultTimeout(20_000);
    await page.goto(`${origin}/`);
    const session = await page.context().newCDPSession(page);
    opened = {
      ...{ page, requests },
      drop: (...paths) => drop(session, paths),
      peakMemory: () => peakMemory(browser),
    };
  });

  afterEach(async () => {
    const { page, requests } = opened;
    await page.close();
    expect({ faults, requests: requests.filter((url) => !url.startsWith("blob:")) }).toEqual({
      faults: [],
      requests: [],
    });
  });

  afterAll(async () => {
    await browser.close();
    await new Promise((resolve) => server.close(resolve));
    rmSync(directory, { recursive: true, force: true });
  });

  return () => opened;
}

/** A drag from outside of the browser, with real events and real files. */
async function drop(session: CDPSession, paths: readonly string[]): Promise<void> {
  const data = { items: [], files: [...paths], dragOperationsMask: 1 };
  for (const type of ["dragEnter", "dragOver", "drop"] as const) {
    await session.send("Input.dispatchDragEvent", { type, x: 200, y: 200, data });
  }
}

async function peakMemory(browser: Browser): Promise<number> {
  const session = await browser.newBrowserCDPSession();
  const { processInfo } = await session.send("SystemInfo.getProcessInfo");
  await session.detach();
  const peaks = processInfo
    .filter(({ type }) => type === "renderer")
    .map(({ id }) => readFileSync(`/proc/${String(id)}/status`, "utf8"))
    .map((status) => 1024 * Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]));
  return Math.max(...peaks);
}
