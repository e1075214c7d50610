import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { beforeAll, describe, expect, it } from "vitest";
import { decryptImage, encryptImage } from "../../src/image/index.js";
import { jwe } from "../../src/keywrap/jwe/index.js";
import { layoutDestination, layoutSource } from "../../src/store/index.js";
import { expectCode } from "../support/codes.js";
import {
  CONFIG,
  digestOf,
  layer,
  layoutOf,
  readBlob,
  readEntries,
  readManifest,
} from "../support/image.js";
import {
  buildGoPeers,
  diffIds,
  goModuleVersion,
  hasProgram,
  requirePeer,
  run,
  succeed,
  temporaryDirectory,
  VECTORS,
} from "./peers.js";

const directory = temporaryDirectory();
const KEY = join(VECTORS, "peers", "keys", "rsa2048.pkcs8.pem");
const keys = [jwe.key(readFileSync(KEY))];
const BOUND = join(directory, "bound");
const MOVED = join(directory, "moved");
const go = await buildGoPeers(directory);
const plain = [await layer("a"), await layer("b")];
const evil = await layer("evil");

/** A tool that decrypts an image; it resolves to the diffIDs of the layers. */
interface Peer {
  name: string;
  isThere: boolean;
  decrypt(layout: string): Promise<string[]>;
}

const OCICRYPT = "github.com/containers/ocicrypt";
const PEERS: Peer[] = [
  {
    name: "skopeo",
    isThere: hasProgram("skopeo", "--version"),
    decrypt: (layout) => copy("skopeo", ["copy", "--insecure-policy", "--quiet"], layout),
  },
  {
    name: "containers/image",
    isThere: go !== undefined,
    decrypt: (layout) => copy(go?.imageCopy ?? "", [], layout),
  },
  ...["1.1.10", "1.3.2"].map((version) => {
    const program = (version === "1.3.2" ? go?.ocicrypt132 : go?.ocicrypt1110) ?? "";
    return {
      name: `ocicrypt ${version}`,
      isThere: go !== undefined,
      decrypt: (layout: string) => decryptLayers(program, layout),
    };
  }),
];

let copies = 0;

/** Decrypts an image with a program that has the options of `skopeo copy`. */
async function copy(program: string, args: readonly string[], layout: string): Promise<string[]> {
  const to = join(directory, `copy-${String(copies++)}`);
  await succeed(program, [...args, "--decryption-key", KEY, `oci:${layout}`, `oci:${to}`]);
  return diffIds(to);
}

/** Decrypts the encrypted layers of an image one by one with the Go library. */
async function decryptLayers(program: string, layout: string): Promise<string[]> {
  const { layers } = await readManifest(layout, (await readEntries(layout))[0]!);
  const annotations = join(directory, "annotations.json");
  const digests: string[] = [];
  for (const descriptor of layers) {
    let blob = await readBlob(layout, descriptor);
    if (descriptor.mediaType.endsWith("+encrypted")) {
      writeFileSync(annotations, JSON.stringify(descriptor.annotations));
      const args = ["decrypt", "-key", KEY, "-annotations", annotations];
      blob = await succeed(program, args, { input: blob });
    }
    digests.push(digestOf(gunzipSync(blob)));
  }
  return digests;
}

beforeAll(async () => {
  const path = join(directory, "plain");
  await layoutOf(path, plain);
  const recipients = [jwe.recipient(readFileSync(join(VECTORS, "peers/keys/rsa2048.pub.pem")))];
  await encryptImage(layoutSource({ path }), await layoutDestination({ path: BOUND }), {
    recipients,
  });
  // The first layer under a config and a layer of another owner.
  const { layers } = await readManifest(BOUND, (await readEntries(BOUND))[0]!);
  const descriptor = layers[0]!;
  const stolen = { descriptor, blob: await readBlob(BOUND, descriptor), diffId: plain[0]!.diffId };
  const content = JSON.stringify({
    architecture: "amd64",
    os: "linux",
    config: { Entrypoint: ["/evil"] },
    rootfs: { type: "layers", diff_ids: [stolen.diffId, evil.diffId] },
  });
  await layoutOf(MOVED, [stolen, evil], { config: { mediaType: CONFIG, content } });
});

async function decryptHere(path: string, to: string) {
  const destination = await layoutDestination({ path: join(directory, to) });
  return decryptImage(layoutSource({ path }), destination, { keys });
}

describe("an image whose layers are bound to it", () => {
  it("opens here", async () => {
    const { layers } = await decryptHere(BOUND, "bound-here");
    expect(layers.map(({ bound }) => bound)).toEqual([true, true]);
  });

  it.for(PEERS)("opens with $name, which skips the binding", async (peer, context) => {
    requirePeer(context, peer.name, peer.isThere);
    expect(await peer.decrypt(BOUND)).toEqual(plain.map(({ diffId }) => diffId));
  });
});

describe("a bound layer that was moved into another image", () => {
  it("is rejected here", async () => {
    await expectCode(decryptHere(MOVED, "moved-here"), "BINDING_MISMATCH");
  });

  it.for(PEERS)("is decrypted by $name", async (peer, context) => {
    requirePeer(context, peer.name, peer.isThere);
    expect(await peer.decrypt(MOVED)).toEqual([plain[0]!.diffId, evil.diffId]);
  });
});

describe("the versions of ocicrypt that open bound layers", () => {
  it("include 1.1.10, 1.3.2 and that of the newest copy library", (context) => {
    requirePeer(context, "Go", go !== undefined);
    expect(goModuleVersion(go!.ocicrypt1110, OCICRYPT)).toBe("1.1.10");
    expect(goModuleVersion(go!.ocicrypt132, OCICRYPT)).toBe("1.3.2");
    expect(goModuleVersion(go!.imageCopy, OCICRYPT)).toBe("1.3.2");
  });

  it("include that of skopeo, which is 1.0.3 in Debian's 1.9.3", async (context) => {
    requirePeer(context, "skopeo", PEERS[0]!.isThere);
    // Debian builds without a record of modules, so only the program's own version tells.
    const { stdout } = await run("skopeo", ["--version"]);
    const recorded = goModuleVersion("skopeo", OCICRYPT);
    expect(recorded ?? stdout.toString().trim()).toMatch(
      /^(?:1\.\d+\.\d+|skopeo version 1\.9\.3)$/,
    );
  });
});
