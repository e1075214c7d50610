import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { parseCommandLine } from "../../src/cli/arguments.js";
import { encryptImage, type EncryptImageOptions } from "../../src/image/index.js";
import { jwe } from "../../src/keywrap/jwe/index.js";
import { layoutDestination, layoutSource } from "../../src/store/index.js";
import { digestOf, testRegistry, type TestRegistry } from "../registry/server.js";
import {
  createLayout,
  layer,
  layoutOf,
  multiPlatform,
  putManifest,
  tagged,
  temporaryDirectories,
  writeIndex,
} from "../support/image.js";
import { runHere } from "../support/many.js";
import { pushImage } from "../support/registry-http.js";
import { vectorFile } from "../support/vectors.js";

const directory = temporaryDirectories();
const KEYS = fileURLToPath(new URL("../../vectors/keys/", import.meta.url));
const ALICE = "ec-p256";
const alice = jwe.recipient(vectorFile("keys/ec-p256.pub.pem"), { kid: "alice" });
const bob = jwe.recipient(vectorFile("keys/ec-p384.pub.pem"), { kid: "bob" });

let registry: TestRegistry;
beforeEach(async () => {
  registry = await testRegistry();
  vi.spyOn(process.stderr, "write").mockReturnValue(true);
});
afterEach(() => {
  vi.restoreAllMocks();
});

const at = (name: string): string => `docker://${registry.host}/${name}`;

/** Pushes an image of one layer, or of `layers`, encrypted if there are recipients. */
async function push(
  repository: string,
  tag: string,
  options: Partial<EncryptImageOptions> = {},
  names: readonly string[] = [tag],
): Promise<void> {
  let path = directory();
  await layoutOf(path, await Promise.all(names.map((name) => layer(name))));
  if (options.recipients !== undefined) {
    const from = layoutSource({ path });
    path = directory();
    const recipients = options.recipients;
    await encryptImage(from, await layoutDestination({ path }), { ...options, recipients });
  }
  await pushImage({ host: registry.host, repository }, tag, path);
}

async function audit(...args: string[]): Promise<{ status: number; text: string }> {
  const printed: string[] = [];
  const status = await runHere(["audit", ...args], printed);
  return { status, text: printed.join("") };
}

describe("audit", () => {
  it("prints a table of encrypted tags, their recipients and plain layers", async () => {
    await push("app", "v1", { recipients: [alice] });
    await push("app", "v2", { recipients: [alice, bob], layers: [-1] }, ["a", "b", "c"]);
    await push("app", "v3");
    const { status, text } = await audit(at("app"));
    expect(status).toBe(5);
    const rows = text
      .trimEnd()
      .split("\n")
      .map((row) => row.split(/ {2,}/));
    expect(rows).toEqual([
      ["IMAGE", "PLATFORM", "STATE", "LAYERS", "PLAIN LAYERS", "RECIPIENTS"],
      [`${at("app")}:v1`, "-", "encrypted", "1", "jwe:alice"],
      [`${at("app")}:v2`, "-", "partly encrypted", "3", "0 1", "jwe:alice; jwe:bob"],
      [`${at("app")}:v3`, "-", "plain", "1", "0"],
    ]);
  });

  it("reads manifests only", async () => {
    await push("app", "v1", { recipients: [alice] });
    registry.requests.length = 0;
    await audit(at("app"), "-k", `${KEYS}${ALICE}.pem`, "--recipient-id", "bob");
    expect(registry.log()).toEqual(["GET /v2/app/tags/list", "GET /v2/app/manifests/v1"]);
  });

  it("shows which keys open an image", async () => {
    await push("app", "v1", { recipients: [alice] });
    await push("app", "v2", { recipients: [bob] });
    const keys = ["-k", `${KEYS}ec-p256.pem`, "-k", `${KEYS}ec-p384.pem`];
    const { status, text } = await audit(at("app"), ...keys);
    expect(status).toBe(0);
    expect(text).toMatch(/:v1 .*jwe:alice +\S*ec-p256\.pem\n.*:v2 .*jwe:bob .*\/ec-p384\.pem\n$/);
  });

  it("finds the recipients that must be removed", async () => {
    const named = jwe.recipient(vectorFile("keys/ec-p384.pub.pem"));
    await push("app", "v1", { recipients: [alice] });
    await push("app", "v2", { recipients: [alice, named] });
    const must = ["-r", `jwe:${KEYS}ec-p384.pub.pem`];
    const { status, text } = await audit(at("app"), ...must, "--csv");
    expect(status).toBe(5);
    const [, first, second] = text.split("\n");
    expect(first).toMatch(/,jwe:alice,,$/);
    expect(second).toMatch(/,jwe:alice; jwe:.*ec-p384\.pub\.pem,,jwe:.*ec-p384\.pub\.pem$/);
    expect((await audit(`${at("app")}:v1`, ...must)).status).toBe(0);
    expect((await audit(at("app"), "--recipient-id", "nobody")).status).toBe(0);
    expect((await audit(at("app"), "--recipient-id", "alice")).status).toBe(5);
  });

  it("prints comma-separated values that a spreadsheet does not run as formulas", async () => {
    const hostile = jwe.recipient(vectorFile("keys/ec-p256.pub.pem"), { kid: '=1+1","' });
    await push("app", "v1", { recipients: [hostile] });
    const { text } = await audit(at("app"), "--csv");
    const { bytes } = registry.manifests.get("app:v1")!;
    expect(text).toBe(
      "image,platform,digest,state,layers,plain_layers,recipients,opened_by,still_names\n" +
        `${at("app")}:v1,-,${digestOf(bytes)},encrypted,1,,"jwe:=1+1"",""",,\n`,
    );
  });

  it("prints a line of JSON for each image, with its platforms", async () => {
    const path = directory();
    await multiPlatform(path);
    await pushImage({ host: registry.host, repository: "app" }, "v1", path);
    const { status, text } = await audit(at("app"), "--json");
    expect({ status, lines: text.match(/\n/g)?.length }).toEqual({ status: 5, lines: 1 });
    expect(JSON.parse(text)).toMatchObject({
      status: "done",
      image: `${at("app")}:v1`,
      manifests: [
        { platform: "linux/amd64", layers: 2, plain: [0, 1], recipients: [], found: [] },
        { platform: "linux/arm64/v8", layers: 2, plain: [0, 1] },
      ],
    });
  });

  it("accepts several repositories, tags and layouts", async () => {
    await push("app", "v1", { recipients: [alice] });
    await push("app", "v2", { recipients: [alice] });
    await push("db", "v1", { recipients: [alice] });
    const path = await createLayout(directory());
    const { descriptor } = await putManifest(path, [await layer("a")]);
    const other = await putManifest(path, [await layer("b")]);
    await writeIndex(path, [
      tagged(descriptor, "one"),
      tagged(other.descriptor, "two"),
      descriptor,
    ]);
    const { text } = await audit(at("db"), `oci:${path}`, `${at("app")}:v2`, "--csv");
    const images = text
      .trimEnd()
      .split("\n")
      .slice(1)
      .map((row) => row.split(",")[0]);
    expect(images).toEqual([
      ...[`${at("app")}:v2`, `${at("db")}:v1`],
      ...[`oci:${path}:one`, `oci:${path}:two`, `oci:${path}@${descriptor.digest}`],
    ]);
  });

  it("fails with status 1 if an image cannot be read, but shows the other images", async () => {
    await push("app", "v1", { recipients: [alice] });
    registry.putManifest("app", "v2", "application/vnd.oci.image.manifest.v1+json", "{");
    const { status, text } = await audit(at("app"));
    expect(status).toBe(1);
    expect(text).toContain(":v1");
  });

  it.each([
    ["audit", "takes <image>..., got none"],
    ["audit oci:a --csv --json", "cannot be combined"],
    ["audit oci:a --all-tags", "has no option --all-tags"],
  ])("is rejected as %s", (command, message) => {
    expect(() => parseCommandLine(command.split(" "))).toThrow(message);
  });

  it("rejects positions of recipients", async () => {
    await expect(audit(at("app"), "--recipient-id", "jwe:0")).rejects.toThrow(/in each image/);
  });
});
