import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deflateSync } from "node:zlib";
import { afterEach, beforeEach, expect, it } from "vitest";
import { checkSite } from "./support/check-site.js";

let site = "";
beforeEach(() => {
  site = mkdtempSync(join(tmpdir(), "ocicrypt-site-"));
  mkdirSync(join(site, "assets"));
  mkdirSync(join(site, "sub"));
  const navigation = [{ children: [{ path: "sub/page.html" }, { path: "gone.html" }] }];
  const data = deflateSync(JSON.stringify(navigation)).toString("base64");
  writeFileSync(join(site, "assets", "navigation.js"), `window.navigationData = "${data}"`);
});
afterEach(() => {
  rmSync(site, { recursive: true });
});

it("finds links to missing pages, files and anchors, also in the navigation", () => {
  const links = ["sub/page.html#here", "sub/page.html#nowhere", "none.css", "sub/", "#top"];
  const external = ["https://example.org/found", "https://example.org/lost", "mailto:a@b.example"];
  const html = [...links, ...external].map((target) => `<a href="${target}">x</a>`).join("");
  writeFileSync(join(site, "index.html"), `<h1 id="top"></h1>${html}`);
  writeFileSync(join(site, "sub", "page.html"), `<h1 id="here"></h1><a href="../">home</a>`);
  expect(checkSite(site, (url) => url.endsWith("found"))).toEqual([
    "index.html -> sub/page.html#nowhere",
    "index.html -> none.css",
    "index.html -> sub/",
    "index.html -> https://example.org/lost",
    "index.html -> gone.html",
  ]);
});
