import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { decryptImage, encryptImage } from "../../src/image/index.js";
import { jwe } from "../../src/keywrap/jwe/index.js";
import { layoutDestination, layoutSource } from "../../src/store/index.js";
import { expectCode } from "../support/codes.js";
import {
  layer,
  layoutOf,
  putBlob,
  putText,
  readBlob,
  readEntries,
  readManifest,
  writeIndex,
} from "../support/image.js";
import { hasProgram, requirePeer, run, temporaryDirectory, VECTORS } from "./peers.js";

const directory = temporaryDirectory();
const KEY = join(VECTORS, "peers", "keys", "rsa2048.pkcs8.pem");
const keys = [jwe.key(readFileSync(KEY))];
const BOUND = join(directory, "bound");
const MOVED = join(directory, "moved");
const hasSkopeo = hasProgram("skopeo", "--version");

/** Decrypts with skopeo and returns its exit status. */
async function skopeo(from: string, to: string): Promise<number | null> {
  const copy = ["copy", "--insecure-policy", "--decryption-key", KEY];
  return (await run("skopeo", [...copy, `oci:${from}`, `oci:${join(directory, to)}`])).status;
}

beforeAll(async () => {
  const plain = join(directory, "plain");
  await layoutOf(plain, [await layer("a"), await layer("b")]);
  const recipients = [jwe.recipient(readFileSync(join(VECTORS, "peers/keys/rsa2048.pub.pem")))];
  for (const path of [BOUND, MOVED]) {
    await encryptImage(layoutSource({ path: plain }), await layoutDestination({ path }), {
      recipients,
    });
  }
  // The same layers under a config with another entrypoint.
  const manifest = await readManifest(MOVED, (await readEntries(MOVED))[0]!);
  const config = JSON.parse((await readBlob(MOVED, manifest.config)).toString()) as object;
  const evil = JSON.stringify({ ...config, config: { Entrypoint: ["/evil"] } });
  Object.assign(manifest.config, await putBlob(MOVED, evil));
  await writeIndex(MOVED, [await putText(MOVED, JSON.stringify(manifest))]);
});

async function decryptHere(path: string, to: string) {
  const destination = await layoutDestination({ path: join(directory, to) });
  return decryptImage(layoutSource({ path }), destination, { keys, requireBound: true });
}

describe("a bound layer", () => {
  it("opens here and with skopeo, which skips the binding", async (context) => {
    expect((await decryptHere(BOUND, "here")).layers.map(({ bound }) => bound)).toEqual([true, true]); // prettier-ignore
    requirePeer(context, "skopeo", hasSkopeo);
    expect(await skopeo(BOUND, "there")).toBe(0);
  });

  it("in another image is refused here and taken by skopeo", async (context) => {
    await expectCode(decryptHere(MOVED, "moved-here"), "BINDING_MISMATCH");
    requirePeer(context, "skopeo", hasSkopeo);
    expect(await skopeo(MOVED, "moved-there")).toBe(0);
  });
});
