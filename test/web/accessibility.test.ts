import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import axe from "axe-core";
import { describe, expect, it, vi } from "vitest";
import { useChromium } from "./chromium.js";
import { peerKey, peerLayout } from "./images.js";

const opened = useChromium();

const SCRIPT = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Returns the findings of axe-core on the page as it is. */
async function violations(): Promise<string[]> {
  const { page } = opened();
  // In the page's own world, but not through a script element, which its policy would reject.
  await page.evaluate(SCRIPT);
  const { violations: found } = await page.evaluate(() =>
    (window as unknown as { axe: typeof axe }).axe.run(document),
  );
  return found.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`);
}

async function fill(): Promise<void> {
  const { page, drop } = opened();
  await drop(
    ...[peerLayout("skopeo-1.9.3/jwe-multi-5"), peerKey("rsa2048.pkcs8.pem")],
    ...[peerKey("ec256.pub.pem"), peerKey("rsa2048.pkcs8.enc-v2.pem"), peerLayout("../README.md")],
  );
  await page.getByText(" opens it").first().waitFor();
}

describe.each(["light", "dark"] as const)(
  "in %s colours, axe-core finds nothing",
  (colorScheme) => {
    it("on the empty page", async () => {
      await opened().page.emulateMedia({ colorScheme });
      expect(await violations()).toEqual([]);
    });

    it.each([1280, 390])("on a page of %i pixels with an image, keys and files", async (width) => {
      const { page } = opened();
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height: 900 });
      await fill();
      expect(await violations()).toEqual([]);
      await page.getByRole("button", { name: "Decrypt and show the files" }).click();
      await page.locator(".tree .entry").first().waitFor();
      await page.locator(".tree .entry:not(.directory)").first().click();
      expect(await violations()).toEqual([]);
    });
  },
);

it("a narrow page does not scroll sideways", async () => {
  const { page } = opened();
  await page.setViewportSize({ width: 320, height: 700 });
  await fill();
  const width = await page.evaluate(() => document.documentElement.scrollWidth);
  expect(width).toBeLessThanOrEqual(320);
});

it("everything can be done with the keyboard", async () => {
  const { page } = opened();
  await fill();
  const focused = async (): Promise<string> =>
    page.evaluate(() => {
      const element = document.activeElement;
      return element?.getAttribute("aria-label") ?? element?.textContent.trim() ?? "";
    });
  const reach = async (wanted: string): Promise<void> => {
    for (let i = 0; i < 60; i++) {
      if ((await focused()).startsWith(wanted)) return;
      await page.keyboard.press("Tab");
    }
    throw new Error(`Tab does not lead to ${wanted}`);
  };
  await reach("Choose files");
  await reach("Choose a directory");
  await reach("Formats");
  await reach("Remove rsa2048.pkcs8.pem");
  await reach("Decrypt and show the files");
  await page.keyboard.press("Enter");
  await page.locator(".tree .entry").first().waitFor();
  expect(await focused()).toMatch(/^\d+ files$/);
  await reach("Close the files");
  await page.keyboard.press("Tab");
  await page.keyboard.type("hello");
  await page.getByText(/files? found/).waitFor();
  await reach("/hello.txt");
  await page.keyboard.press("Enter");
  await page.locator('[aria-current="true"]').waitFor();
  await reach("Save hello.txt");
  const file = page.waitForEvent("download");
  await page.keyboard.press("Enter");
  await file;
  await vi.waitFor(async () => {
    expect(await focused()).toBe("Save hello.txt");
  });
  await reach("Decrypt into an archive");
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: /^Save jwe-multi-5/ }).waitFor();
  expect(await focused()).toMatch(/^Save jwe-multi-5-decrypted.tar/);
});
