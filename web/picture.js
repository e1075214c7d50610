// Takes the picture in docs/web.md: the built page with an encrypted image, in Chromium.
//
//     node web/picture.js [FILE]         (default: docs/web.png)
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { createPageServer } from "./serve.js";

const path = (file) => fileURLToPath(new URL(file, import.meta.url));
const PEERS = "../vectors/peers/";

const server = createPageServer(path("dist"));
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });
const page = await browser.newPage({ viewport: { width: 1200, height: 900 } });
await page.goto(`http://127.0.0.1:${String(server.address().port)}/`);
const files = [
  ...["layouts/ocicrypt-1.3.2/mixed-jwe-pkcs7-pgp", "keys/rsa2048.pkcs8.pem"],
  ...["keys/ec256.pkcs8.pem"],
].map((file) => path(PEERS + file));
const session = await page.context().newCDPSession(page);
for (const type of ["dragEnter", "dragOver", "drop"]) {
  const data = { items: [], files, dragOperationsMask: 1 };
  await session.send("Input.dispatchDragEvent", { type, x: 200, y: 200, data });
}
await page.getByText(" opens it").first().waitFor();
await page.getByRole("button", { name: "Decrypt and show the files" }).click();
await page.getByRole("button", { name: /^hello.txt/ }).click();
await page.locator(".viewer pre").waitFor();
await page.screenshot({ path: process.argv[2] ?? path("../docs/web.png"), fullPage: true });
await browser.close();
server.close();
