import { readFileSync } from "node:fs";
import { chromium, type Browser, type CDPSession, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, expect, inject } from "vitest";

/** Debian's; the tests need no other browser. */
const EXECUTABLE = process.env.CHROMIUM ?? "/usr/bin/chromium";
const ARGUMENTS = [
  ...["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"],
  ...["--disable-background-networking", "--disable-component-update", "--disable-sync"],
];

/** As Playwright opens a page. */
const VIEWPORT = { width: 1280, height: 720 };

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
 * Opens the page in Chromium, and loads it again before each test: that takes half of the time of a new
 * tab. A test fails if the page broke its Content-Security-Policy, asked for anything but its own files,
 * or had an error that it did not catch.
 */
export function useChromium(): () => OpenedPage {
  const origin = inject("origin");
  const faults: string[] = [];
  const requests: string[] = [];
  let browser: Browser;
  let opened: OpenedPage;

  beforeAll(async () => {
    browser = await chromium.launch({ executablePath: EXECUTABLE, args: ARGUMENTS });
    const page = await browser.newPage({ viewport: VIEWPORT });
    page.setDefaultTimeout(20_000);
    page.on("pageerror", (error) => faults.push(error.message));
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") faults.push(message.text());
    });
    page.on("request", (request) => {
      const url = request.url();
      if (!url.startsWith(`${origin}/`) && !url.startsWith("blob:")) requests.push(url);
    });
    const session = await page.context().newCDPSession(page);
    opened = {
      ...{ page, requests },
      drop: (...paths) => drop(session, paths),
      peakMemory: () => peakMemory(browser),
    };
  });

  beforeEach(async () => {
    const { page } = opened;
    await page.emulateMedia({ colorScheme: null });
    await page.setViewportSize(VIEWPORT);
    await page.goto(`${origin}/`);
  });

  afterEach(() => {
    const found = { faults: faults.splice(0), requests: requests.splice(0) };
    expect(found).toEqual({ faults: [], requests: [] });
  });

  afterAll(async () => {
    await browser.close();
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
