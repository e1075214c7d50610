import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { inflateSync } from "node:zlib";

/**
 * Lists the broken links of a static site, as `PAGE -> TARGET`.
 *
 * @param {string} site the directory of the site
 * @param {(url: string) => boolean} existsElsewhere says whether an absolute URL leads somewhere
 * @returns {string[]}
 */
export function checkSite(site, existsElsewhere) {
  const files = readdirSync(site, { recursive: true })
    .map((name) => join(site, name))
    .filter((file) => file.endsWith(".html"));
  const texts = new Map(files.map((file) => [file, readFileSync(file, "utf8")]));
  const anchors = new Map(
    [...texts].map(([file, text]) => [file, new Set(attributes(text, "id"))]),
  );

  const leads = (from, target) => {
    if (/^(?:data|mailto):/.test(target)) return true;
    if (/^[a-z]+:\/\//.test(target)) return existsElsewhere(target);
    const [path, anchor = ""] = target.split("#").map(decodeURIComponent);
    const page = path === "" ? from : join(dirname(from), path.split("?")[0]);
    const file = page.endsWith("/") ? join(page, "index.html") : page;
    if (!existsSync(file) || !statSync(file).isFile()) return false;
    return anchor === "" || !file.endsWith(".html") || anchors.get(file).has(anchor);
  };

  const pages = [...texts].flatMap(([file, text]) =>
    [...attributes(text, "href"), ...attributes(text, "src")].map((target) => [file, target]),
  );
  const index = join(site, "index.html");
  const all = [...pages, ...navigation(site).map((target) => [index, target])];
  const broken = all.filter(([from, target]) => !leads(from, target));
  return [...new Set(broken.map(([from, target]) => `${relative(site, from)} -> ${target}`))];
}

function attributes(html, name) {
  const found = html.matchAll(new RegExp(`<[^>]*\\s${name}="([^"]*)"`, "g"));
  return [...found].map(([, value]) => value.replaceAll("&amp;", "&"));
}

/** The links of TypeDoc's navigation, which a script puts into each page. */
function navigation(site) {
  const script = readFileSync(join(site, "assets", "navigation.js"), "utf8");
  const data = /"([A-Za-z0-9+/=]+)"/.exec(script)?.[1];
  if (data === undefined) throw new Error("the site has no navigation");
  const paths = (entries) =>
    entries.flatMap(({ path, children = [] }) => [...(path ? [path] : []), ...paths(children)]);
  return paths(JSON.parse(inflateSync(Buffer.from(data, "base64")).toString()));
}
