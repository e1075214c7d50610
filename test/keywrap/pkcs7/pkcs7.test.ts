import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { describe as describeMessage } from "../../../src/keywrap/pkcs7/message.js";
import { pkcs7 } from "../../../src/keywrap/pkcs7/index.js";
import { wipedSizes } from "../../support/wipes.js";
import {
  PRIVATE_OPTIONS,
  readFixture,
  readKey,
  readMessage,
  readVector,
  VALID_DATE,
} from "./files.js";

beforeEach(() => vi.useFakeTimers({ toFake: ["Date"], now: VALID_DATE }));
afterEach(() => vi.useRealTimers());

/** A message with what is random in it set to zero: encrypted keys, nonce and ciphertext. */
function fixedParts(message: Uint8Array): string {
  return Buffer.from(message)
    .toString("hex")
    .replace(/04820100.{512}/g, "04820100")
    .replace(/04820180.{768}/g, "04820180")
    .replace(/840c.{24}020110/, "840c020110")
    .replace(/a081d40481d1.{418}/, "a081d40481d1");
}

const one = readVector("layers/keys/cert-rsa2048.pem");
const two = readVector("layers/keys/cert-rsa3072.pem");

describe("the message", () => {
  it("equals Go's message byte for byte, except for random parts", async () => {
    const message = await pkcs7.recipient(one).wrap(PRIVATE_OPTIONS);
    expect(fixedParts(message)).toBe(fixedParts(readMessage("pkcs7-1rec")));
    expect(fixedParts(message)).toHaveLength((595 - 256 - 12 - 209) * 2);
  });

  it("equals Go's message for a group too, in any order", async () => {
    for (const inputs of [
      [one, two],
      [two, one],
    ]) {
      const message = await pkcs7.group(inputs).wrap(PRIVATE_OPTIONS);
      expect(fixedParts(message)).toBe(fixedParts(readMessage("pkcs7-2rec")));
    }
  });

  it("is written with a key that is wiped then", async () => {
    const recipient = pkcs7.recipient(one);
    expect(await wipedSizes(() => recipient.wrap(PRIVATE_OPTIONS))).toEqual([16]);
  });

  it("differs each time", async () => {
    const recipient = pkcs7.recipient(one);
    const [first, second] = [
      await recipient.wrap(PRIVATE_OPTIONS),
      await recipient.wrap(PRIVATE_OPTIONS),
    ];
    expect(Buffer.compare(first, second)).not.toBe(0);
    expect(Buffer.from(first).includes(PRIVATE_OPTIONS.subarray(0, 20))).toBe(false);
  });
});

describe("round trip", () => {
  it("works with a certificate whose subject is empty", async () => {
    const certificate = readFixture("nameless.pem");
    const wrapped = await pkcs7.recipient(certificate).wrap(PRIVATE_OPTIONS);
    const key = pkcs7.key(readKey("rsa2048.pkcs8.pem"), { certificate });
    expect(Buffer.from((await key.unwrap(wrapped))!)).toEqual(PRIVATE_OPTIONS);
  });

  it.each([
    { certificate: "cert-rsa2048.pem", privateKey: "rsa2048.pkcs1.der" },
    { certificate: "cert-rsa2048.der", privateKey: "rsa2048.pkcs8.pem" },
    { certificate: "cert-rsa3072.pem", privateKey: "rsa3072.pkcs8.pem" },
    { certificate: "cert-rsa4096.pem", privateKey: "rsa4096.pkcs8.pem" },
    { certificate: "cert-multirdn.pem", privateKey: "rsa2048.priv.jwk" },
  ])("$certificate and $privateKey", async ({ certificate, privateKey }) => {
    const wrapped = await pkcs7.recipient(readKey(certificate)).wrap(PRIVATE_OPTIONS);
    const text = readKey(privateKey);
    const input = privateKey.endsWith(".jwk") ? text.toString() : text;
    for (const options of [{ certificate: readKey(certificate) }, {}]) {
      const secret = await pkcs7.key(input, options).unwrap(wrapped);
      expect(secret && Buffer.from(secret).equals(PRIVATE_OPTIONS)).toBe(true);
    }
  });

  it("opens only for the members of a group", async () => {
    const names = ["rsa2048", "rsa3072"];
    const certificates = names.map((name) => readKey(`cert-${name}.pem`));
    const wrapped = await pkcs7.group(certificates).wrap(PRIVATE_OPTIONS);
    for (const name of names) {
      const secret = await pkcs7.key(readKey(`${name}.pkcs8.pem`)).unwrap(wrapped);
      expect(secret && Buffer.from(secret).equals(PRIVATE_OPTIONS)).toBe(true);
    }
    expect(await pkcs7.key(readKey("rsa4096.pkcs8.pem")).unwrap(wrapped)).toBeNull();
    expect(await pkcs7.key(readFixture("other-rsa2048.key")).unwrap(wrapped)).toBeNull();
  });

  it("wraps data of any length, with every form of a DER length", async () => {
    const key = pkcs7.key(readVector("layers/keys/rsa2048.pem"), { certificate: one });
    for (const size of [0, 1, 110, 111, 112, 239, 240, 65535, 65536]) {
      const data = Buffer.alloc(size, "x");
      const secret = await key.unwrap(await pkcs7.recipient(one).wrap(data));
      expect(secret && Buffer.from(secret).equals(data)).toBe(true);
    }
  });
});

describe("a file of several certificates", () => {
  const root = readFixture("root.pem");
  const intermediate = readFixture("intermediate.pem");
  const leaf = readFixture("leaf.pem");

  async function recipientsOf(...files: Buffer[]): Promise<(string | undefined)[]> {
    const messages = await Promise.all(
      pkcs7.recipients(Buffer.concat(files)).map((recipient) => recipient.wrap(PRIVATE_OPTIONS)),
    );
    return messages.flatMap(describeMessage).map(({ keyId }) => keyId?.replace(/, serial.*/, ""));
  }

  it.each([
    { name: "leaf first", files: [leaf, intermediate, root] },
    { name: "leaf last", files: [root, intermediate, leaf] },
    { name: "without the root", files: [intermediate, leaf] },
    { name: "leaf twice", files: [leaf, leaf, intermediate] },
  ])("a chain has its leaf as a recipient: $name", async ({ files }) => {
    expect(await recipientsOf(...files)).toEqual(["CN=intermediate"]);
    expect(() => pkcs7.recipient(Buffer.concat(files))).not.toThrow();
  });

  it("unrelated certificates are separate recipients", async () => {
    expect(await recipientsOf(leaf, one, two)).toEqual(["CN=intermediate", "CN=one", "CN=two"]);
    const bundle = Buffer.concat([one, two]);
    expect(() => pkcs7.recipient(bundle)).toThrow(TypeError);
    expect(describeMessage(await pkcs7.group([bundle, leaf]).wrap(PRIVATE_OPTIONS))).toHaveLength(
      3,
    );
  });

  it("self-signed certificates of one name did not issue one another", async () => {
    const twins = ["twin-rsa2048.pem", "twin-rsa3072.pem", "renewed.pem"].map(readFixture);
    expect(await recipientsOf(...twins)).toEqual(["CN=twin", "CN=twin", "CN=twin"]);
  });

  it("an empty group is rejected", () => {
    expect(() => pkcs7.group([])).toThrow(TypeError);
  });
});

describe("certificates that are rejected", () => {
  it.each([
    { name: "an EC key", input: readKey("cert-ec256.pem"), code: "KEY_UNSUPPORTED" },
    { name: "RSA with 1024 bits", input: readFixture("rsa1024.pem"), code: "KEY_UNSUPPORTED" },
    { name: "a key for RSASSA-PSS", input: readFixture("rsa-pss.pem"), code: "KEY_UNSUPPORTED" },
    {
      name: "a key usage without keyEncipherment",
      input: readFixture("signing-only.pem"),
      code: "KEY_USE_FORBIDDEN",
    },
    { name: "a public key", input: readKey("rsa2048.pub.pem"), code: "KEY_UNSUPPORTED" },
    { name: "a public key in DER", input: readKey("rsa2048.pub.der"), code: "KEY_UNSUPPORTED" },
    { name: "a JWK", input: readKey("rsa2048.pub.jwk"), code: "KEY_UNSUPPORTED" },
    { name: "a private key", input: readKey("rsa2048.pkcs8.pem"), code: "KEY_IS_PRIVATE" },
    { name: "a private key in DER", input: readKey("rsa2048.pkcs8.der"), code: "KEY_IS_PRIVATE" },
    { name: "a private JWK", input: readKey("rsa2048.priv.jwk"), code: "KEY_IS_PRIVATE" },
    {
      name: "a private key beside its certificate",
      input: Buffer.concat([readKey("cert-rsa2048.pem"), readKey("rsa2048.pkcs8.pem")]),
      code: "KEY_IS_PRIVATE",
    },
    { name: "nothing", input: "", code: "KEY_UNRECOGNIZED" },
    {
      name: "another PEM block",
      input: "-----BEGIN PKCS7-----\nMAA=\n-----END PKCS7-----\n",
      code: "KEY_UNRECOGNIZED",
    },
    {
      name: "a damaged certificate",
      input: readFixture("leaf.pem")
        .toString()
        .replace(/\nMII.{20}/, "\nMII"),
      code: "KEY_UNRECOGNIZED",
    },
    {
      name: "one good and one forbidden certificate",
      input: Buffer.concat([one, readFixture("signing-only.pem")]),
      code: "KEY_USE_FORBIDDEN",
    },
  ])("$name: $code", ({ input, code }) => {
    expect(() => pkcs7.recipients(input)).toThrow(expect.objectContaining({ code }) as Error);
  });

  it("a damaged DER certificate at each of its ends", () => {
    const der = readKey("cert-rsa2048.der");
    for (const input of [der.subarray(0, -1), Buffer.concat([der, Buffer.of(0)])]) {
      expect(() => pkcs7.recipient(input)).toThrow(
        expect.objectContaining({ code: "KEY_UNRECOGNIZED" }) as Error,
      );
    }
  });
});

describe("dates", () => {
  const certificate = readKey("cert-rsa2048.pem"); // 2026-11-21T16:49:54Z to 2036-11-18T16:49:54Z

  it("rejects a certificate that is not valid yet", () => {
    vi.setSystemTime(new Date("2026-11-21T16:49:53Z"));
    expect(() => pkcs7.recipient(certificate)).toThrow(
      expect.objectContaining({ code: "CERTIFICATE_NOT_YET_VALID" }) as Error,
    );
    vi.setSystemTime(new Date("2026-11-21T16:49:54Z"));
    expect(() => pkcs7.recipient(certificate)).not.toThrow();
  });

  it("names a certificate without a subject by its serial number", () => {
    vi.setSystemTime(new Date("2000-01-01T00:00:00Z"));
    expect(() => pkcs7.recipient(readFixture("nameless.pem"))).toThrow(/the certificate 0F1F/);
  });

  it("warns about an expired certificate, and rejects it if strict", async () => {
    const warnings: string[] = [];
    const onWarning = (message: string): void => void warnings.push(message);
    vi.setSystemTime(new Date("2036-11-18T16:49:54Z"));
    pkcs7.recipient(certificate, { strict: true, onWarning });
    expect(warnings).toEqual([]);

    vi.setSystemTime(new Date("2036-11-18T16:49:55Z"));
    const wrapped = await pkcs7.recipient(certificate, { onWarning }).wrap(PRIVATE_OPTIONS);
    expect(warnings).toEqual([expect.stringContaining("O=Spike,CN=rcpt one")]);
    expect(() => pkcs7.recipient(certificate, { strict: true })).toThrow(
      expect.objectContaining({ code: "CERTIFICATE_EXPIRED" }) as Error,
    );

    // Layers encrypted for it stay readable.
    const key = pkcs7.key(readKey("rsa2048.pkcs8.pem"), { certificate });
    expect(await key.unwrap(wrapped)).not.toBeNull();
  });
});
