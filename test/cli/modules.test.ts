import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { run } from "../support/command.js";
import { layer, layoutOf, temporaryDirectories } from "../support/image.js";

const directory = temporaryDirectories();
const LIST = new URL("../support/list-modules.js", import.meta.url).href;
const vector = (name: string): string =>
  fileURLToPath(new URL(`../../vectors/keys/${name}`, import.meta.url));

/**
 * The modules that the command loads, apart from those of Node.js. The bundler names the modules in
 * each of its files.
 */
async function loaded(args: readonly string[]): Promise<string[]> {
  const LOADED = join(directory(), "loaded");
  const { status } = await run(args, { env: { LOADED, NODE_OPTIONS: `--import ${LIST}` } });
  expect(status).toBe(0);
  const files = readFileSync(LOADED, "utf8").trim().split("\n");
  return files
    .filter((url) => url.startsWith("file:"))
    .flatMap((url) => {
      if (url.includes("node_modules")) return [url];
      const regions = readFileSync(new URL(url), "utf8").matchAll(/^\/\/ (dist\/.*)$/gm);
      return Array.from(regions, ([, module = ""]) => module);
    });
}

const OTHER_SCHEMES = /keywrap\/(?:pgp|pkcs7|pkcs11|provider)\/|openpgp|asn1js|pkijs|grpc|bcrypt/;

it("--help loads no dependency, no place of images and no operation", async () => {
  const modules = await loaded(["--help"]);
  expect(modules.length).toBeGreaterThan(5);
  const others = /node_modules|\/(?:registry|store|places|layer|image\/(?!manifests))\//;
  expect(modules.filter((url) => others.test(url))).toEqual([]);
});

it("encryption of a layout loads no other scheme, no registry client and no archive", async () => {
  const [from, to] = [directory(), join(directory(), "new")];
  await layoutOf(from, [await layer("small")]);
  const key = `jwe:${vector("rsa-2048.pub.pem")}`;
  const modules = await loaded(["encrypt", `oci:${from}`, `oci:${to}`, "-r", key]);
  expect(modules.length).toBeGreaterThan(50);
  const others = /\/registry\/|undici|signature|node_modules\/yaml/;
  expect(modules.filter((url) => OTHER_SCHEMES.test(url) || others.test(url))).toEqual([]);
});

it("decryption with a PEM key loads no registry client, and only the small dependencies", async () => {
  const [from, to, back] = [directory(), join(directory(), "new"), join(directory(), "back")];
  await layoutOf(from, [await layer("small")]);
  const key = `jwe:${vector("rsa-2048.pub.pem")}`;
  expect((await run(["encrypt", `oci:${from}`, `oci:${to}`, "-r", key])).status).toBe(0);
  const modules = await loaded([
    "decrypt",
    `oci:${to}`,
    `oci:${back}`,
    "-k",
    vector("rsa-2048.pem"),
  ]);
  expect(modules.filter((url) => url.includes("/registry/"))).toEqual([]);
  const [own, jose] = [/^(?!.*node_modules)/, /node_modules\/(?:jose|p-limit|yocto-queue)\//];
  expect(modules.filter((url) => !own.test(url) && !jose.test(url))).toEqual([]);
});
