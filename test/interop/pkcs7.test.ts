import { createHash, randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { decryptImage, encryptImage } from "../../src/image/index.js";
import { decryptLayer, encryptLayer } from "../../src/index.js";
import { pkcs7 } from "../../src/keywrap/pkcs7/index.js";
import type { Key, Recipient } from "../../src/keywrap/types.js";
import { layoutDestination, layoutSource, parseLayoutReference } from "../../src/store/index.js";
import { PRIVATE_OPTIONS, VALID_DATE } from "../keywrap/pkcs7/files.js";
import { collect } from "../support/bytes.js";
import {
  buildGoProgram,
  diffIds,
  hasProgram,
  layoutLayers,
  PLAIN_LAYOUT,
  requirePeer,
  run,
  temporaryDirectory,
  VECTORS,
} from "./peers.js";

const directory = temporaryDirectory();
const keys = join(VECTORS, "peers", "keys");
const fixtures = join(import.meta.dirname, "..", "keywrap", "pkcs7", "fixtures");

/** Certificate and private key. */
const PAIRS = [
  [join(keys, "cert-rsa2048.pem"), join(keys, "rsa2048.pkcs8.pem")],
  [join(keys, "cert-rsa2048.der"), join(keys, "rsa2048.pkcs8.der")],
  [join(keys, "cert-rsa3072.pem"), join(keys, "rsa3072.pkcs8.pem")],
  [join(keys, "cert-rsa4096.pem"), join(keys, "rsa4096.pkcs8.pem")],
  [join(keys, "cert-multirdn.pem"), join(keys, "rsa2048.pkcs8.pem")],
  [join(fixtures, "bmp-name.pem"), join(keys, "rsa2048.pkcs8.pem")],
  [join(fixtures, "leaf.pem"), join(keys, "rsa2048.pkcs8.pem")],
] as const;
const DISTINCT = [PAIRS[0], PAIRS[2], PAIRS[3]];

beforeEach(() => vi.useFakeTimers({ toFake: ["Date"], now: VALID_DATE }));
afterEach(() => vi.useRealTimers());

function recipientOf(certificate: string): Recipient {
  return pkcs7.recipient(readFileSync(certificate));
}

/** A key as it is with and without its certificate. */
function keysOf(certificate: string, privateKey: string): Key[] {
  const input = readFileSync(privateKey);
  return [pkcs7.key(input, { certificate: readFileSync(certificate) }), pkcs7.key(input)];
}

const sha256 = (bytes: Uint8Array): string =>
  `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

describe("the Go implementation (ocicrypt 1.3.2)", () => {
  const program = buildGoProgram(directory) ?? "";
  const blob = randomBytes(100_001);
  const descriptor = {
    mediaType: "application/vnd.oci.image.layer.v1.tar",
    digest: sha256(blob),
    size: blob.byteLength,
  };
  let files = 0;

  async function encryptHere(recipients: Recipient[]): Promise<{ input: Buffer; file: string }> {
    const layer = encryptLayer(blob, { descriptor, recipients });
    const input = await collect(layer.stream);
    const { annotations } = await layer.finalize();
    const file = join(directory, `annotations-${String(files++)}.json`);
    writeFileSync(file, JSON.stringify(annotations));
    return { input, file };
  }

  function decryptThere(
    { input, file }: { input: Buffer; file: string },
    ...keyFiles: string[]
  ): ReturnType<typeof run> {
    const keyArguments = keyFiles.flatMap((keyFile) => ["-key", keyFile]);
    return run(program, ["decrypt", ...keyArguments, "-annotations", file], { input });
  }

  async function encryptThere(
    ...certificates: string[]
  ): Promise<{ cipher: Buffer; annotations: Record<string, string> }> {
    const file = join(directory, `annotations-${String(files++)}.json`);
    const recipients = certificates.flatMap((path) => ["-recipient", `pkcs7:${path}`]);
    const { digest, mediaType } = descriptor;
    const rest = ["-digest", digest, "-mediatype", mediaType, "-annotations", file];
    const result = await run(program, ["encrypt", ...recipients, ...rest], { input: blob });
    expect(result).toMatchObject({ status: 0, stderr: "" });
    const annotations = JSON.parse(readFileSync(file, "utf8")) as Record<string, string>;
    return { cipher: result.stdout, annotations };
  }

  it.for(PAIRS)("opens a layer that was encrypted for %s", async (pair, context) => {
    requirePeer(context, "go", program !== "");
    const [certificate, privateKey] = pair;
    const layer = await encryptHere([recipientOf(certificate)]);
    const result = await decryptThere(layer, privateKey, certificate);
    expect(result).toMatchObject({ status: 0, stderr: "" });
    expect(result.stdout.equals(blob)).toBe(true);
  });

  it("opens for each of several recipients, one by one and in a group", async (context) => {
    requirePeer(context, "go", program !== "");
    const certificates = DISTINCT.map(([certificate]) => readFileSync(certificate));
    for (const recipients of [
      certificates.map((certificate) => pkcs7.recipient(certificate)),
      pkcs7.recipients(Buffer.concat(certificates)),
      [pkcs7.group(certificates)],
    ]) {
      const layer = await encryptHere(recipients);
      for (const [certificate, privateKey] of DISTINCT) {
        const result = await decryptThere(layer, privateKey, certificate);
        expect(result).toMatchObject({ status: 0, stderr: "" });
        expect(result.stdout.equals(blob)).toBe(true);
      }
      const refused = await decryptThere(layer, PAIRS[0][1], PAIRS[2][0]);
      expect(refused.status).toBe(1);
    }
  });

  it.for(PAIRS)("encrypts for %s, and the layer opens here", async (pair, context) => {
    requirePeer(context, "go", program !== "");
    const [certificate, privateKey] = pair;
    const { cipher, annotations } = await encryptThere(certificate);
    for (const key of keysOf(certificate, privateKey)) {
      const layer = await decryptLayer(cipher, {
        descriptor: { mediaType: `${descriptor.mediaType}+encrypted`, annotations },
        keys: [key],
      });
      expect((await collect(layer.stream)).equals(blob)).toBe(true);
    }
  });

  it("encrypts for several recipients, and the layer opens here with each", async (context) => {
    requirePeer(context, "go", program !== "");
    const certificates = DISTINCT.map(([certificate]) => certificate);
    const { cipher, annotations } = await encryptThere(...certificates);
    for (const key of DISTINCT.flatMap((pair) => keysOf(...pair))) {
      const layer = await decryptLayer(cipher, {
        descriptor: { mediaType: `${descriptor.mediaType}+encrypted`, annotations },
        keys: [key],
      });
      expect((await collect(layer.stream)).equals(blob)).toBe(true);
    }
  });
});

describe("skopeo of Debian (ocicrypt 1.0.3)", () => {
  const isThere = hasProgram("skopeo", "--version");
  const layout = (path: string): ReturnType<typeof parseLayoutReference> =>
    parseLayoutReference(`oci:${path}:latest`);
  let layouts = 0;
  const newLayout = (): string => join(directory, `layout-${String(layouts++)}`);

  async function skopeoCopy(from: string, to: string, ...options: string[]): Promise<void> {
    const images = [`oci:${from}:latest`, `oci:${to}:latest`];
    const result = await run("skopeo", ["copy", "--quiet", ...options, ...images]);
    expect(result).toMatchObject({ status: 0, stderr: "" });
  }

  it.for([
    ...DISTINCT.map(([certificate]) => ({
      name: certificate.slice(keys.length + 1),
      recipients: () => [recipientOf(certificate)],
      pairs: DISTINCT.filter((pair) => pair[0] === certificate),
    })),
    {
      name: "a name of several values",
      recipients: () => [recipientOf(PAIRS[4][0])],
      pairs: [PAIRS[4]],
    },
    {
      name: "several recipients",
      recipients: () => DISTINCT.map(([certificate]) => recipientOf(certificate)),
      pairs: DISTINCT,
    },
    {
      name: "a group",
      recipients: () => [pkcs7.group(DISTINCT.map(([certificate]) => readFileSync(certificate)))],
      pairs: DISTINCT,
    },
  ])("opens what was encrypted for $name", async ({ recipients, pairs }, context) => {
    requirePeer(context, "skopeo", isThere);
    const encrypted = newLayout();
    await encryptImage(
      layoutSource(layout(PLAIN_LAYOUT)),
      await layoutDestination(layout(encrypted)),
      { recipients: recipients() },
    );
    for (const pair of pairs) {
      const decrypted = newLayout();
      const options = [pair[1], pair[0]].flatMap((file) => ["--decryption-key", file]);
      await skopeoCopy(encrypted, decrypted, ...options);
      expect(layoutLayers(decrypted)).toEqual(layoutLayers(PLAIN_LAYOUT));
    }
  });

  it("encrypts layers that open here with each key", async (context) => {
    requirePeer(context, "skopeo", isThere);
    const encrypted = newLayout();
    const pairs = [...DISTINCT, PAIRS[4]];
    const options = pairs.flatMap(([file]) => ["--encryption-key", `pkcs7:${file}`]);
    await skopeoCopy(PLAIN_LAYOUT, encrypted, ...options);
    for (const key of pairs.flatMap((pair) => keysOf(...pair))) {
      const decrypted = newLayout();
      await decryptImage(
        layoutSource(layout(encrypted)),
        await layoutDestination(layout(decrypted)),
        { keys: [key] },
      );
      expect(diffIds(decrypted)).toEqual(diffIds(PLAIN_LAYOUT));
    }
  });
});

describe("openssl cms", () => {
  const isThere = hasProgram("openssl", "version");
  const [certificate, privateKey] = PAIRS[0];
  const CIPHERS = [
    ...["aes-128-cbc", "aes-192-cbc", "aes-256-cbc", "des-ede3-cbc"],
    ...["aes-128-gcm", "aes-192-gcm", "aes-256-gcm"],
  ];
  const oaep = ["-keyopt", "rsa_padding_mode:oaep"];
  const TRANSPORTS = [
    { transport: "RSAES-PKCS1-v1_5", options: [] },
    { transport: "RSAES-OAEP with SHA-1", options: oaep },
    { transport: "RSAES-OAEP with SHA-256", options: [...oaep, "-keyopt", "rsa_oaep_md:sha256"] },
  ];
  const FORMS = [
    { form: "with a definite length", options: ["-noindef"] },
    { form: "with an indefinite length", options: ["-stream"] },
    { form: "by key identifier", options: ["-keyid"] },
  ];
  const cases = CIPHERS.flatMap((cipher) =>
    TRANSPORTS.map(({ transport, options }) => ({ cipher, transport, options })),
  );

  it.for(cases)("$cipher, $transport", async ({ cipher, options }, context) => {
    requirePeer(context, "openssl", isThere);
    for (const { form, options: formOptions } of FORMS) {
      const { status, stdout, stderr } = await run(
        "openssl",
        [
          ...["cms", "-encrypt", "-binary", "-outform", "DER", `-${cipher}`, ...formOptions],
          ...["-recip", certificate, ...options],
        ],
        { input: PRIVATE_OPTIONS },
      );
      expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
      for (const key of keysOf(certificate, privateKey)) {
        const secret = await key.unwrap(stdout);
        expect(secret && Buffer.from(secret).equals(PRIVATE_OPTIONS), form).toBe(true);
      }
    }
  });
});
