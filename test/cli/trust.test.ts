import { generateKeyPairSync, sign, type KeyObject } from "node:crypto";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import { run } from "../support/command.js";
import {
  layer,
  layoutOf,
  putBlob,
  putManifest,
  readEntries,
  tagged,
  temporaryDirectories,
  writeIndex,
  type Entry,
} from "../support/image.js";

const directory = temporaryDirectories();
const KEYS = fileURLToPath(new URL("../../vectors/keys/", import.meta.url));
const KEY = `${KEYS}ec-p256.pem`;
const SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json";

const signer = generateKeyPairSync("ec", { namedCurve: "P-256" });
const stranger = generateKeyPairSync("ec", { namedCurve: "P-256" });

let signed: string;
let unsigned: string;
let image: Entry;
let signerFile: string;
let strangerFile: string;

/** Signs an image of a layout as cosign's signature specification says. */
async function signImage(path: string, { digest }: Entry, key: KeyObject): Promise<Entry> {
  const payload = JSON.stringify({
    critical: {
      identity: { "docker-reference": "" },
      image: { "docker-manifest-digest": digest },
      type: "cosign container image signature",
    },
    optional: null,
  });
  const signature = sign("sha256", Buffer.from(payload), key).toString("base64");
  const descriptor = {
    mediaType: SIMPLE_SIGNING,
    ...(await putBlob(path, payload)),
    annotations: { "dev.cosignproject.cosign/signature": signature },
  };
  const content = { descriptor, blob: Buffer.from(payload), diffId: descriptor.digest };
  const stored = await putManifest(path, [content]);
  return tagged(stored.descriptor, `${digest.replace(":", "-")}.sig`);
}

beforeAll(async () => {
  const plain = directory();
  await layoutOf(plain, [await layer("a")]);
  [signed, unsigned] = [directory(), directory()];
  for (const path of [signed, unsigned]) {
    const args = ["encrypt", `oci:${plain}`, `oci:${path}:x`, "-r", `jwe:${KEYS}ec-p256.pub.pem`];
    expect((await run(args)).status).toBe(0);
  }
  [image] = (await readEntries(signed)) as [Entry];
  await writeIndex(signed, [image, await signImage(signed, image, signer.privateKey)]);
  const keys = directory();
  signerFile = join(keys, "signer.pem");
  strangerFile = join(keys, "stranger.pem");
  writeFileSync(signerFile, signer.publicKey.export({ type: "spki", format: "pem" }));
  writeFileSync(strangerFile, stranger.publicKey.export({ type: "spki", format: "pem" }));
});

/** The arguments of each command that takes proof, and where it would write. */
const COMMANDS = {
  decrypt: (source: string, to: string): string[] => ["decrypt", source, `oci:${to}:x`],
  inspect: (source: string): string[] => ["inspect", source],
};

describe.each(Object.entries(COMMANDS))("%s", (_, command) => {
  interface Run {
    source?: string;
    key?: string;
    options: readonly string[];
  }

  async function attempt({ source = `oci:${signed}:x`, key = KEY, options }: Run) {
    const to = join(directory(), "to");
    const outcome = await run([...command(source, to), "-k", key, ...options]);
    return { ...outcome, isWritten: existsSync(to) };
  }

  it("uses an image that the given key signed", async () => {
    const options = ["--verify-signature", strangerFile, "--verify-signature", signerFile];
    const { status, stderr } = await attempt({ options });
    expect(stderr).not.toContain("error");
    expect(status).toBe(0);
  });

  // A missing key file would be reported if it were read first.
  it.each<[string, () => Run, string]>([
    [
      "has no signature",
      () => ({ source: `oci:${unsigned}:x`, options: ["--verify-signature", signerFile] }),
      "SIGNATURE_MISSING",
    ],
    [
      "another key signed",
      () => ({ options: ["--verify-signature", strangerFile] }),
      "SIGNATURE_INVALID",
    ],
  ])("refuses an image that %s before it reads a key file", async (_, given, code) => {
    const { status, stdout, stderr, isWritten } = await attempt({ ...given(), key: "missing.pem" });
    expect(stderr).toContain(`(${code})`);
    expect({ status, stdout, isWritten }).toEqual({ status: 4, stdout: "", isWritten: false });
  });

  it("refuses an image without its digest before it reads a key file", async () => {
    const options = ["--require-digest"];
    const { status, stderr, isWritten } = await attempt({ options, key: "missing.pem" });
    expect(stderr).toContain("--require-digest needs a source that is named by its digest");
    expect({ status, isWritten }).toEqual({ status: 2, isWritten: false });
  });

  it("uses an image that is named by its digest", async () => {
    const source = `oci:${signed}@${image.digest}`;
    const { status, stderr } = await attempt({ source, options: ["--require-digest"] });
    expect(stderr).not.toContain("error");
    expect(status).toBe(0);
  });

  it("reports a key file that is missing once the signature is verified", async () => {
    const options = ["--verify-signature", signerFile];
    const { stderr } = await attempt({ options, key: "missing.pem" });
    expect(stderr).toContain("missing.pem");
    expect(stderr).not.toContain("SIGNATURE");
  });
});
