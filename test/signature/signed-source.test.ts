import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { signedSource, type VerificationKey } from "../../src/signature/index.js";
import type { Descriptor } from "../../src/spec/descriptor.js";
import type { ImageSource } from "../../src/store/types.js";
import { single } from "../../src/io/source.js";
import { expectCode } from "../support/codes.js";

/** The content that cosign 2.6.5 pushed to a registry for one image, by three keys and in both forms. */
interface Signed {
  image: string;
  tags: Record<string, string>;
  referrers: Descriptor[];
  keys: Record<"cosign" | "rsa" | "ed", string>;
  blobs: Record<string, string>;
}

const FILE = new URL("cosign-2.6.5.json", import.meta.url);
const signed = JSON.parse(readFileSync(FILE, "utf8")) as Signed;
const MANIFEST = "application/vnd.oci.image.manifest.v1+json";
const blobs = new Map(
  Object.entries(signed.blobs).map(([digest, text]) => [digest, Buffer.from(text, "base64")]),
);
const OTHER = generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey;

interface Place {
  tag?: boolean;
  referrers?: boolean;
  image?: string;
  /** Changes the text of a manifest or payload, whose digest follows. */
  change?: (text: string) => string;
}

function descriptorOf(bytes: Buffer): Descriptor {
  const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
  return { mediaType: MANIFEST, digest, size: bytes.byteLength };
}

function sourceOf({ tag = false, referrers = false, image = signed.image, change }: Place) {
  const content = new Map(blobs);
  const changed = (digest: string): Descriptor => {
    const bytes = Buffer.from((change ?? ((text) => text))(content.get(digest)!.toString()));
    const descriptor = descriptorOf(bytes);
    content.set(descriptor.digest, bytes);
    return descriptor;
  };
  const source: ImageSource = {
    resolve: () => Promise.resolve({ mediaType: MANIFEST, digest: image, size: 1 }),
    read: ({ digest }) => single(content.get(digest)!),
    find: (name) => {
      const found = tag ? signed.tags[name.replace(image.slice(7), signed.image.slice(7))] : undefined;
      return Promise.resolve(found === undefined ? undefined : changed(found));
    },
    referrers: () => Promise.resolve(referrers ? signed.referrers.map(({ digest }) => changed(digest)) : []),
  };
  return source;
} // prettier-ignore

const resolve = (place: Place, keys: VerificationKey | VerificationKey[]): Promise<Descriptor> =>
  signedSource(sourceOf(place), keys).resolve();

it.each<[string, (pem: string) => string | Buffer]>([
  ["without line ends", (pem) => pem.replaceAll("\n", "")],
  ["indented", (pem) => pem.replaceAll(/^/gm, "  ")],
  ["in UTF-16", (pem) => Buffer.from(`\uFEFF${pem}`, "utf16le")],
  ["in base64", (pem) => Buffer.from(pem).toString("base64")],
])("a key may be %s", async (_, change) => {
  const key = change(signed.keys.cosign);
  const source = signedSource(sourceOf({ tag: true }), key);
  expect((await source.resolve()).digest).toBe((await sourceOf({ tag: true }).resolve()).digest);
});

describe("an image that cosign signed", () => {
  it.each<[string, Place, VerificationKey | VerificationKey[]]>([
    ["an ECDSA key at the tag", { tag: true }, signed.keys.cosign],
    ["an RSA key", { tag: true }, signed.keys.rsa],
    ["a bundle among the referrers", { referrers: true }, signed.keys.cosign],
    ["one of several keys", { tag: true, referrers: true }, [OTHER, signed.keys.cosign]],
    ["a KeyObject", { tag: true }, createPublicKey(signed.keys.rsa)],
    ["bytes of a PEM file", { tag: true }, Buffer.from(signed.keys.cosign)],
    [
      "bytes of a DER file",
      { tag: true },
      createPublicKey(signed.keys.cosign).export({ type: "spki", format: "der" }),
    ],
  ])("is returned by %s", async (_, place, keys) => {
    expect(await resolve(place, keys)).toMatchObject({ digest: signed.image });
  });

  it("keeps everything else of its source", async () => {
    const inner = { ...sourceOf({ tag: true, referrers: true }), place: { store: "s", name: "n" } };
    const source = signedSource(inner, signed.keys.cosign);
    expect(source.place).toEqual(inner.place);
    expect(await source.referrers!(signed.image)).toHaveLength(2);
    expect(await source.find!("none")).toBeUndefined();
  });
});

describe("an image is rejected", () => {
  const other = `sha256:${"0".repeat(64)}`;

  it.each<[string, Place]>([
    ["without signatures", {}],
    ["whose signature manifest is no JSON", { tag: true, change: () => "{" }],
    ["with layers of other types", { tag: true, change: (text) => text.replaceAll("simplesigning", "x") }],
  ])("%s", async (_, place) => {
    await expectCode(resolve(place, signed.keys.cosign), "SIGNATURE_MISSING");
  }); // prettier-ignore

  it.each<[string, Place, VerificationKey]>([
    ["by another key, at the tag", { tag: true }, OTHER],
    ["by another key, in a bundle", { referrers: true }, OTHER],
    ["by a key that signed in another form only", { referrers: true }, signed.keys.rsa],
    ["for another image, at the tag", { tag: true, image: other }, signed.keys.cosign],
    ["for another image, in a bundle", { referrers: true, image: other }, signed.keys.cosign],
    [
      "whose signature has been changed",
      { tag: true, change: (text) => text.replace("MEUCIDMj", "MEUCIDMk") },
      signed.keys.cosign,
    ],
    [
      "whose signatures are gone",
      { tag: true, change: (text) => text.replaceAll("dev.cosignproject.cosign/signature", "x") },
      signed.keys.cosign,
    ],
  ])("signed %s", async (_, place, key) => {
    await expectCode(resolve(place, key), "SIGNATURE_INVALID");
  });

  it("when the payload does not have its digest", async () => {
    const source = sourceOf({ tag: true });
    const read = source.read.bind(source);
    source.read = (descriptor) =>
      descriptor.mediaType === MANIFEST ? read(descriptor) : single(Buffer.alloc(descriptor.size));
    await expectCode(signedSource(source, signed.keys.cosign).resolve(), "BLOB_DIGEST_MISMATCH");
  });

  it("for a key of a type that cannot be verified", async () => {
    await expectCode(() => signedSource(sourceOf({}), signed.keys.ed), "KEY_UNSUPPORTED");
  });

  it("for keys that are not public keys", async () => {
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const pem = privateKey.export({ type: "pkcs8", format: "pem" });
    for (const key of ["", "x", pem, createPrivateKey(pem), Buffer.from("30", "hex")]) {
      await expectCode(() => signedSource(sourceOf({}), key), "KEY_UNRECOGNIZED");
    }
    expect(() => signedSource(sourceOf({}), [])).toThrow(RangeError);
  });
});
