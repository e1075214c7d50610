import { createHash, randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { decryptLayer, encryptLayer } from "../../src/index.js";
import { jwe } from "../../src/keywrap/jwe/index.js";
import { collect } from "../support/bytes.js";
import {
  buildGoProgram,
  diffIds,
  hasProgram,
  layoutLayers,
  ocicrypt,
  PLAIN_LAYOUT,
  requirePeer,
  run,
  temporaryDirectory,
  VECTORS,
} from "./peers.js";

const directory = temporaryDirectory();
const keys = join(VECTORS, "peers", "keys");

/** Public and private form of the same key, as different tools have them. */
const PAIRS = [
  ["rsa2048.pub.pem", "rsa2048.pkcs8.pem"],
  ["rsa3072.pub.pem", "rsa3072.pkcs8.pem"],
  ["rsa4096.pub.pem", "rsa4096.pkcs8.pem"],
  ["ec256.pub.pem", "ec256.pkcs8.pem"],
  ["ec384.pub.pem", "ec384.pkcs8.pem"],
  ["ec521.pub.pem", "ec521.pkcs8.pem"],
  ["rsa2048.pub.RSA-OAEP-256.jwk", "rsa2048.pkcs8.pem"],
  ["ec521.pub.ECDH-ES_A256KW.jwk", "ec521.pkcs8.pem"],
] as const;

describe("skopeo of Debian (ocicrypt 1.0.3)", () => {
  const isThere = hasProgram("skopeo", "--version");

  it.for(PAIRS)(
    "opens a layer that was encrypted for %s",
    async ([publicKey, privateKey], context) => {
      requirePeer(context, "skopeo", isThere);
      const encrypted = join(directory, `ours-${publicKey}`);
      const result = await ocicrypt([
        ...["encrypt", `oci:${PLAIN_LAYOUT}:latest`, `oci:${encrypted}:latest`],
        ...["-r", `jwe:${join(keys, publicKey)}`],
      ]);
      expect(result.stderr).toBe("");
      const decrypted = join(directory, `skopeo-${publicKey}`);
      const copy = await run("skopeo", [
        ...["copy", "--quiet", "--decryption-key", join(keys, privateKey)],
        ...[`oci:${encrypted}:latest`, `oci:${decrypted}:latest`],
      ]);
      expect(copy).toMatchObject({ status: 0, stderr: "" });
      expect(layoutLayers(decrypted)).toEqual(layoutLayers(PLAIN_LAYOUT));
    },
  );

  it("opens a layer with each of several recipients", async (context) => {
    requirePeer(context, "skopeo", isThere);
    const encrypted = join(directory, "ours-several");
    const recipients = PAIRS.slice(0, 6).flatMap(([file]) => ["-r", `jwe:${join(keys, file)}`]);
    const images = [`oci:${PLAIN_LAYOUT}:latest`, `oci:${encrypted}:latest`];
    expect(await ocicrypt(["encrypt", ...images, ...recipients])).toMatchObject({ status: 0 });
    for (const [, privateKey] of PAIRS.slice(0, 6)) {
      const decrypted = join(directory, `several-${privateKey}`);
      const copy = await run("skopeo", [
        ...["copy", "--quiet", "--decryption-key", join(keys, privateKey)],
        ...[`oci:${encrypted}:latest`, `oci:${decrypted}:latest`],
      ]);
      expect(copy).toMatchObject({ status: 0 });
      expect(layoutLayers(decrypted)).toEqual(layoutLayers(PLAIN_LAYOUT));
    }
  });

  // Version 1.0.3 knows nothing of a JWK's "alg" and fails on EC ones.
  it.for(PAIRS.filter(([file]) => file.endsWith(".pem")))(
    "encrypts for %s, and the layer opens here",
    async ([publicKey, privateKey], context) => {
      requirePeer(context, "skopeo", isThere);
      const encrypted = join(directory, `theirs-${publicKey}`);
      const copy = await run("skopeo", [
        ...["copy", "--quiet", "--encryption-key", `jwe:${join(keys, publicKey)}`],
        ...[`oci:${PLAIN_LAYOUT}:latest`, `oci:${encrypted}:latest`],
      ]);
      expect(copy).toMatchObject({ status: 0 });
      const decrypted = join(directory, `ours-back-${publicKey}`);
      const result = await ocicrypt([
        ...["decrypt", `oci:${encrypted}:latest`, `oci:${decrypted}:latest`],
        ...["-k", join(keys, privateKey)],
      ]);
      expect(result).toMatchObject({ status: 0, stderr: "" });
      expect(diffIds(decrypted)).toEqual(diffIds(PLAIN_LAYOUT));
    },
  );

  it("rejects a layer that the wrong key cannot open", async (context) => {
    requirePeer(context, "skopeo", isThere);
    const encrypted = join(directory, "ours-wrong-key");
    const images = [`oci:${PLAIN_LAYOUT}:latest`, `oci:${encrypted}:latest`];
    await ocicrypt(["encrypt", ...images, "-r", `jwe:${join(keys, "rsa2048.pub.pem")}`]);
    const copy = await run("skopeo", [
      ...["copy", "--quiet", "--decryption-key", join(keys, "rsa3072.pkcs8.pem")],
      ...[`oci:${encrypted}:latest`, `oci:${join(directory, "never")}:latest`],
    ]);
    expect(copy.status).not.toBe(0);
  });
});

describe("the Go implementation (ocicrypt 1.3.2)", () => {
  const program = buildGoProgram(directory);
  const blob = randomBytes(300_001);
  const descriptor = {
    mediaType: "application/vnd.oci.image.layer.v1.tar",
    digest: `sha256:${createHash("sha256").update(blob).digest("hex")}`,
    size: blob.byteLength,
  };

  it.for(PAIRS)(
    "opens a layer that was encrypted for %s",
    async ([publicKey, privateKey], context) => {
      requirePeer(context, "go", program !== undefined);
      const layer = encryptLayer(blob, {
        descriptor,
        recipients: [jwe.recipient(readFileSync(join(keys, publicKey)))],
      });
      const input = await collect(layer.stream);
      const { annotations } = await layer.finalize();
      const file = join(directory, `${publicKey}.json`);
      writeFileSync(file, JSON.stringify(annotations));
      const args = ["decrypt", "-key", join(keys, privateKey), "-annotations", file];
      const result = await run(program ?? "go", args, { input });
      expect(result).toMatchObject({ status: 0, stderr: "" });
      expect(result.stdout.equals(blob)).toBe(true);
    },
  );

  it.for(PAIRS)(
    "encrypts for %s, and the layer opens here",
    async ([publicKey, privateKey], context) => {
      requirePeer(context, "go", program !== undefined);
      const file = join(directory, `go-${publicKey}.json`);
      const { stdout } = await run(
        program ?? "go",
        [
          ...[
            "encrypt",
            "-recipient",
            `jwe:${join(keys, publicKey)}`,
            "-digest",
            descriptor.digest,
          ],
          ...["-mediatype", descriptor.mediaType, "-annotations", file],
        ],
        { input: blob },
      );
      const annotations = JSON.parse(readFileSync(file, "utf8")) as Record<string, string>;
      const layer = await decryptLayer(stdout, {
        descriptor: { mediaType: `${descriptor.mediaType}+encrypted`, annotations },
        keys: [jwe.key(readFileSync(join(keys, privateKey)))],
      });
      expect((await collect(layer.stream)).equals(blob)).toBe(true);
      expect(layer.recordedDigest).toBe(descriptor.digest);
    },
  );
});
