import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import {
  addImageRecipients,
  decryptImage,
  removeImageRecipients,
  replaceImageRecipients,
  rotateImage,
} from "../../src/image/index.js";
import { listRecipients, type RecipientSelector } from "../../src/index.js";
import { keysFromFiles } from "../../src/keywrap/key-files/index.js";
import { jwe } from "../../src/keywrap/jwe/index.js";
import { pgp } from "../../src/keywrap/pgp/index.js";
import { pkcs7 } from "../../src/keywrap/pkcs7/index.js";
import type { Key, Recipient } from "../../src/keywrap/types.js";
import { layoutDestination, layoutSource, parseLayoutReference } from "../../src/store/index.js";
import type { ImageDestination, ImageSource } from "../../src/store/types.js";
import {
  buildGoProgram,
  layoutLayers,
  requirePeer,
  run,
  temporaryDirectory,
  VECTORS,
} from "./peers.js";

const directory = temporaryDirectory();
const program = buildGoProgram(directory) ?? "";
const KEYS = join(VECTORS, "peers", "keys");
const LAYOUTS = join(VECTORS, "peers", "layouts");
const file = (name: string): string => join(KEYS, name);

/** The keys that open a layer, for Go and for this library. */
interface Person {
  recipient: () => Recipient;
  files: string[];
}

const RSA: Person = {
  recipient: () => jwe.recipient(readFileSync(file("rsa2048.pub.pem"))),
  files: ["rsa2048.pkcs8.pem"],
};
const EC: Person = {
  recipient: () => jwe.recipient(readFileSync(file("ec384.pub.pem"))),
  files: ["ec384.pkcs8.pem"],
};
const CERTIFICATE: Person = {
  recipient: () => pkcs7.recipient(readFileSync(file("cert-rsa3072.pem"))),
  files: ["rsa3072.pkcs8.pem", "cert-rsa3072.pem"],
};
const PGP: Person = {
  recipient: () =>
    pgp.recipient("rsa4096@example.org", { keyRing: readFileSync(file("pgp/rsa4096.pub.gpg")) }),
  files: ["pgp/rsa4096.sec.gpg"],
};
const EVERYBODY = { RSA, EC, CERTIFICATE, PGP };
type Name = keyof typeof EVERYBODY;

function keysOf({ files }: Person): Promise<Key[]> {
  return keysFromFiles(files.map((name) => ({ content: readFileSync(file(name)), label: name })));
}

interface Place {
  path: string;
  source: ImageSource;
  destination: ImageDestination;
}

async function place(path: string): Promise<Place> {
  const reference = parseLayoutReference(`oci:${path}:latest`);
  return {
    path,
    source: layoutSource(reference),
    destination: await layoutDestination(reference),
  };
}

let places = 0;

/** A copy of an image that a peer encrypted. */
async function copyOf(layout: string): Promise<Place> {
  const path = join(directory, `image-${String(places++)}`);
  cpSync(join(LAYOUTS, layout), path, { recursive: true });
  return place(path);
}

interface Descriptor {
  mediaType: string;
  digest: string;
  annotations: Record<string, string>;
}

/** The first layer of the image that is there now, read without this library. */
function firstLayer(path: string): { descriptor: Descriptor; blob: Buffer } {
  const read = (digest: string): Buffer => readFileSync(join(path, "blobs", ...digest.split(":")));
  const index = JSON.parse(readFileSync(join(path, "index.json"), "utf8")) as {
    manifests: { digest: string }[];
  };
  const manifest = JSON.parse(read(index.manifests[0]!.digest).toString()) as {
    layers: Descriptor[];
  };
  const [descriptor] = manifest.layers;
  return { descriptor: descriptor!, blob: read(descriptor!.digest) };
}

/** Whose files let Go decrypt the first layer; all that do must get the right bytes. */
async function goOpensFor(path: string, plain: Buffer): Promise<Name[]> {
  const { descriptor, blob } = firstLayer(path);
  const annotations = join(directory, "annotations.json");
  writeFileSync(annotations, JSON.stringify(descriptor.annotations));
  const opening: Name[] = [];
  for (const [name, { files }] of Object.entries(EVERYBODY)) {
    const keys = files.flatMap((each) => ["-key", file(each)]);
    const args = ["decrypt", ...keys, "-annotations", annotations];
    const { status, stdout } = await run(program, args, { input: blob });
    if (status !== 0) continue;
    expect(stdout.equals(plain), name).toBe(true);
    opening.push(name as Name);
  }
  return opening;
}

describe("the Go implementation (ocicrypt 1.3.2) opens a layer", () => {
  /** The first layer of each of these images, which were made of one. */
  const plain = layoutLayers(join(LAYOUTS, "plain"))[0]!.bytes;

  it("for existing and added recipients, but not for removed recipients", async (context) => {
    requirePeer(context, "go", program !== "");
    const { path, source, destination } = await copyOf(
      "ocicrypt-1.3.2/jwe-rsa2048-jwk-RSA-OAEP-256",
    );
    expect(await goOpensFor(path, plain)).toEqual(["RSA"]);

    const recipients = [EC, CERTIFICATE, PGP].map(({ recipient }) => recipient());
    const keys = await keysOf(RSA);
    await addImageRecipients(source, destination, { recipients, keys });
    expect(await goOpensFor(path, plain)).toEqual(["RSA", "EC", "CERTIFICATE", "PGP"]);

    const again = await addImageRecipients(source, (await place(path)).destination, {
      ...{ recipients, keys: [...keys, ...(await keysOf(EC))] },
    });
    expect(again.changed).toBe(false);

    const gone: [RecipientSelector, Name[]][] = [
      [{ keys: await keysOf(RSA) }, ["EC", "CERTIFICATE", "PGP"]],
      [
        { scheme: "pkcs7", keyIds: await pkcs7.keyIds(readFileSync(file("cert-rsa3072.pem"))) },
        ["EC", "PGP"],
      ],
      [{ keys: await keysOf(PGP) }, ["EC"]],
    ];
    for (const [selector, left] of gone) {
      const { destination: to } = await place(path);
      await removeImageRecipients(source, to, { recipients: [selector] });
      expect(await goOpensFor(path, plain)).toEqual(left);
    }
  });

  it.for(["skopeo-1.9.3/mixed-jwe-pkcs7-pgp", "ocicrypt-1.3.2/mixed-jwe-pkcs7-pgp"])(
    "of %s for whom the recipients were replaced by",
    async (layout, context) => {
      requirePeer(context, "go", program !== "");
      const { path, source, destination } = await copyOf(layout);
      await replaceImageRecipients(source, destination, {
        ...{ recipients: [EC.recipient(), PGP.recipient()], keys: await keysOf(RSA) },
      });
      expect(await goOpensFor(path, plain)).toEqual(["EC", "PGP"]);
    },
  );

  it("that was rotated, only for the new recipients", async (context) => {
    requirePeer(context, "go", program !== "");
    const { source } = await copyOf("skopeo-1.9.3/mixed-jwe-pkcs7-pgp");
    const { path, destination } = await place(join(directory, "rotated"));
    const recipients = [EC, CERTIFICATE, PGP].map(({ recipient }) => recipient());
    await rotateImage(source, destination, { recipients, keys: await keysOf(RSA) });
    expect(await goOpensFor(path, plain)).toEqual(["EC", "CERTIFICATE", "PGP"]);
  });
});

it("a recipient that Go wrote is recognised by its kid or certificate", async () => {
  const images: [string, Person][] = [
    ["ocicrypt-1.3.2/jwe-rsa2048-jwk-RSA-OAEP-256", rsaJwk()],
    ["ocicrypt-1.3.2/pkcs7-rsa3072", CERTIFICATE],
    ["ocicrypt-1.3.2/jwe-ec256-pem", ec256()],
  ];
  for (const [layout, person] of images) {
    const { source, destination } = await copyOf(layout);
    const options = { recipients: [person.recipient()], keys: await keysOf(person) };
    const { changed, layers } = await addImageRecipients(source, destination, options);
    expect([layout, changed]).toEqual([layout, false]);
    expect(layers.every(({ present }) => present.length === 1)).toBe(true);
  }

  function rsaJwk(): Person {
    const jwk = readFileSync(file("rsa2048.pub.RSA-OAEP-256.jwk"));
    return { recipient: () => jwe.recipient(jwk), files: ["rsa2048.pkcs8.pem"] };
  }

  function ec256(): Person {
    const pem = readFileSync(file("ec256.pub.pem"));
    return { recipient: () => jwe.recipient(pem), files: ["ec256.pkcs8.pem"] };
  }
});

it("an image of skopeo decrypts to the same with an added recipient", async () => {
  const { path, source, destination } = await copyOf("skopeo-1.9.3/jwe-multi-5");
  const options = { recipients: [PGP.recipient()], keys: await keysOf(RSA) };
  await addImageRecipients(source, destination, options);
  expect(await listRecipients(firstLayer(path).descriptor)).toHaveLength(6);
  const [before, after] = [await place(`${path}-rsa`), await place(`${path}-pgp`)];
  const there = (await place(path)).source;
  await decryptImage(there, before.destination, { keys: await keysOf(RSA) });
  await decryptImage(there, after.destination, { keys: await keysOf(PGP) });
  expect(layoutLayers(after.path)).toEqual(layoutLayers(before.path));
});
