import { constants, createCipheriv, createPublicKey, publicEncrypt } from "node:crypto";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import {
  encodeElement as element,
  INTEGER,
  OBJECT_IDENTIFIER,
  OCTET_STRING,
  SEQUENCE,
  SET,
} from "../../../src/keys/der.js";
import { describe as describeMessage } from "../../../src/keywrap/pkcs7/message.js";
import { pkcs7 } from "../../../src/keywrap/pkcs7/index.js";
import { outcome, PRIVATE_OPTIONS, readKey, VALID_DATE } from "./files.js";

const privateKey = readKey("rsa2048.pkcs8.pem");
const key = pkcs7.key(privateKey, { certificate: readKey("cert-rsa2048.pem") });
const keyAlone = pkcs7.key(privateKey);

const oid = (hex: string): Uint8Array => element(OBJECT_IDENTIFIER, Buffer.from(hex, "hex"));
const integer = (value: number): Uint8Array => element(INTEGER, Buffer.of(value));
const ENVELOPED_DATA = oid("2a864886f70d010703");
const AUTH_ENVELOPED_DATA = oid("2a864886f70d0109100117");
const DATA = oid("2a864886f70d010701");
const CONTENT_KEY = Buffer.alloc(16, 5);
const NONCE = Buffer.alloc(12, 6);
const IDENTIFIER = Buffer.from("d1daf2a2e62a3be170233d7df83f38ef05a7a31a", "hex");

interface Parts {
  recipients?: Uint8Array[];
  algorithm?: Uint8Array;
  content?: Uint8Array;
  type?: Uint8Array;
  after?: Uint8Array[];
}

function recipientInfo(algorithm = [oid("2a864886f70d010101")], oaepKey?: Buffer): Uint8Array {
  const padding =
    oaepKey === undefined ? constants.RSA_PKCS1_PADDING : constants.RSA_PKCS1_OAEP_PADDING;
  const encryptedKey = publicEncrypt(
    { key: createPublicKey(privateKey), padding },
    oaepKey ?? CONTENT_KEY,
  );
  return element(
    SEQUENCE,
    integer(2),
    element(0x80, IDENTIFIER),
    element(SEQUENCE, ...algorithm),
    element(OCTET_STRING, encryptedKey),
  );
}

/** A content in AES-128-CBC whose plaintext is padded already. */
function cbc(padded: Uint8Array): Parts {
  const iv = Buffer.alloc(16, 8);
  const cipher = createCipheriv("aes-128-cbc", CONTENT_KEY, iv).setAutoPadding(false);
  const algorithm = element(SEQUENCE, oid("608648016503040102"), element(OCTET_STRING, iv));
  return { algorithm, content: element(0x80, cipher.update(padded), cipher.final()) };
}

function encryptGcm(attributes = Buffer.alloc(0)): { ciphertext: Buffer; tag: Buffer } {
  const cipher = createCipheriv("aes-128-gcm", CONTENT_KEY, NONCE).setAAD(attributes);
  const ciphertext = Buffer.concat([cipher.update(PRIVATE_OPTIONS), cipher.final()]);
  return { ciphertext, tag: cipher.getAuthTag() };
}

function gcm(...parameters: Uint8Array[]): Uint8Array {
  return element(SEQUENCE, oid("608648016503040106"), element(SEQUENCE, ...parameters));
}

/** A message as RFC 5652 and RFC 5083 have it, with some of its parts exchanged. */
function message(parts: Parts = {}): Uint8Array {
  const { ciphertext, tag } = encryptGcm();
  const envelopedData = element(
    SEQUENCE,
    integer(0),
    element(SET, ...(parts.recipients ?? [recipientInfo()])),
    element(
      SEQUENCE,
      DATA,
      parts.algorithm ?? gcm(element(OCTET_STRING, NONCE), integer(16)),
      parts.content ?? element(0x80, ciphertext, ...(parts.after === undefined ? [tag] : [])),
    ),
    ...(parts.after ?? []),
  );
  return element(SEQUENCE, parts.type ?? ENVELOPED_DATA, element(0xa0, envelopedData));
}

beforeEach(() => vi.useFakeTimers({ toFake: ["Date"], now: VALID_DATE }));
afterEach(() => vi.useRealTimers());

describe("a handmade message", () => {
  const secret = PRIVATE_OPTIONS.toString("hex");

  it("opens with the parameters of RFC 5084 in EnvelopedData", async () => {
    expect(await outcome(key.unwrap(message()))).toBe(secret);
  });

  it("opens with a shorter tag, and with the default length of one", async () => {
    const { ciphertext, tag } = encryptGcm();
    const content = element(0x80, ciphertext, tag.subarray(0, 12));
    const nonce = element(OCTET_STRING, NONCE);
    const explicit = message({ content, algorithm: gcm(nonce, integer(12)) });
    expect(await outcome(key.unwrap(explicit))).toBe(secret);
    const byDefault = message({ content, algorithm: gcm(nonce) });
    expect(await outcome(key.unwrap(byDefault))).toBe(secret);
  });

  it("opens with authenticated attributes, but not with changed ones", async () => {
    const type = element(SEQUENCE, oid("2a864886f70d010903"), element(SET, DATA));
    const { ciphertext, tag } = encryptGcm(Buffer.from(element(SET, type)));
    const content = element(0x80, ciphertext);
    const mac = element(OCTET_STRING, tag);
    const parts = { type: AUTH_ENVELOPED_DATA, content };
    const good = message({ ...parts, after: [element(0xa1, type), mac] });
    expect(await outcome(key.unwrap(good))).toBe(secret);
    for (const after of [[mac], [element(0xa1, type, type), mac]]) {
      expect(await outcome(key.unwrap(message({ ...parts, after })))).toBe("WRAPPED_KEY_INVALID");
    }
  });

  const nonce = element(OCTET_STRING, NONCE);
  const agreement = element(0xa1, integer(3));
  it.each<{ name: string; parts: Parts; result: string | null }>([
    {
      name: "a tag of 4 bytes",
      parts: {
        algorithm: gcm(nonce, integer(4)),
        content: element(0x80, encryptGcm().ciphertext, encryptGcm().tag.subarray(0, 4)),
      },
      result: "WRAPPED_KEY_INVALID",
    },
    {
      name: "a tag of 17 bytes",
      parts: { algorithm: gcm(nonce, integer(17)) },
      result: "WRAPPED_KEY_INVALID",
    },
    {
      name: "a negative length of the tag",
      parts: { algorithm: gcm(nonce, integer(0x90)) },
      result: "WRAPPED_KEY_INVALID",
    },
    { name: "no parameters", parts: { algorithm: gcm() }, result: "WRAPPED_KEY_INVALID" },
    {
      name: "an empty nonce",
      parts: { algorithm: gcm(element(OCTET_STRING), integer(16)) },
      result: "WRAPPED_KEY_INVALID",
    },
    {
      name: "less than a tag",
      parts: { content: element(0x80, Buffer.alloc(15)) },
      result: "WRAPPED_KEY_INVALID",
    },
    { name: "no content", parts: { content: Buffer.alloc(0) }, result: "WRAPPED_KEY_INVALID" },
    { name: "no recipients", parts: { recipients: [] }, result: "WRAPPED_KEY_INVALID" },
    {
      name: "no authentication tag",
      parts: { type: AUTH_ENVELOPED_DATA, after: [] },
      result: "WRAPPED_KEY_INVALID",
    },
    {
      name: "CBC in AuthEnvelopedData",
      parts: {
        type: AUTH_ENVELOPED_DATA,
        algorithm: element(
          SEQUENCE,
          oid("608648016503040102"),
          element(OCTET_STRING, Buffer.alloc(16)),
        ),
        after: [element(OCTET_STRING, Buffer.alloc(16))],
      },
      result: "WRAPPED_KEY_UNSUPPORTED",
    },
    {
      name: "an unknown recipient algorithm",
      parts: { recipients: [recipientInfo([oid("2a0304")])] },
      result: "WRAPPED_KEY_UNSUPPORTED",
    },
    { name: "an unknown kind of recipient", parts: { recipients: [agreement] }, result: null },
    {
      name: "an unknown kind of recipient beside ours",
      parts: { recipients: [recipientInfo(), agreement] },
      result: secret,
    },
    {
      name: "a recipient that is not an object",
      parts: { recipients: [integer(1)] },
      result: "WRAPPED_KEY_INVALID",
    },
    {
      name: "too many recipients",
      parts: { recipients: Array<Uint8Array>(1025).fill(agreement) },
      result: "WRAPPED_KEY_INVALID",
    },
  ])("$name: $result", async ({ parts, result }) => {
    expect(await outcome(key.unwrap(message(parts)))).toBe(result);
  });

  it("opens with OAEP, but not if the key has another size than the content needs", async () => {
    const oaep = [oid("2a864886f70d010107"), element(SEQUENCE)];
    const good = message({ recipients: [recipientInfo(oaep, CONTENT_KEY)] });
    expect(await outcome(key.unwrap(good))).toBe(secret);
    for (const size of [0, 15, 17, 32]) {
      const other = message({ recipients: [recipientInfo(oaep, Buffer.alloc(size, 5))] });
      expect(await outcome(key.unwrap(other))).toBe("WRAPPED_KEY_INVALID");
    }
  });

  it("opens in CBC only with valid padding, even if the content is valid", async () => {
    const pad = (count: number, byte: number): Parts =>
      cbc(Buffer.concat([PRIVATE_OPTIONS, Buffer.alloc(count, byte)]));
    expect(PRIVATE_OPTIONS.byteLength % 16).toBe(1);
    expect(await outcome(key.unwrap(message(pad(15, 15))))).toBe(secret);
    // JSON may end in white space. A space can be no padding, a 0x0d can be a part of one.
    for (const ending of [" ".repeat(15), " ".repeat(31), "\r\r\r ".repeat(3) + "\r\r\r"]) {
      const uneven = cbc(Buffer.concat([PRIVATE_OPTIONS, Buffer.from(ending)]));
      expect(await outcome(key.unwrap(message(uneven)))).toBe("WRAPPED_KEY_INVALID");
    }
  });

  it("with an unknown algorithm matters only to keys of the right size", async () => {
    const unknown = message({ recipients: [recipientInfo([oid("2a0304")])] });
    expect(await outcome(keyAlone.unwrap(unknown))).toBe("WRAPPED_KEY_UNSUPPORTED");
    const larger = pkcs7.key(readKey("rsa3072.pkcs8.pem"));
    expect(await outcome(larger.unwrap(unknown))).toBeNull();
  });

  it("is rejected when it is too large or too deep", async () => {
    const certificate = readKey("cert-rsa2048.pem");
    const wrap = (size: number): Promise<Uint8Array> =>
      pkcs7.group([certificate]).wrap(Buffer.alloc(size));
    expect(await key.unwrap(await wrap(511 * 1024))).toHaveLength(511 * 1024);
    expect(await outcome(key.unwrap(await wrap(512 * 1024)))).toBe("WRAPPED_KEY_INVALID");
    let deep: Uint8Array = Buffer.of(5, 0);
    for (let depth = 0; depth < 1000; depth++) deep = element(SEQUENCE, deep);
    expect(await outcome(key.unwrap(deep))).toBe("WRAPPED_KEY_INVALID");
    const wide = element(SEQUENCE, Buffer.alloc(400_000, Buffer.of(5, 0)));
    expect(await outcome(key.unwrap(wide))).toBe("WRAPPED_KEY_INVALID");
  });

  it.each([
    {
      name: "a long INTEGER as the tag's length",
      parts: { algorithm: gcm(nonce, element(INTEGER, Buffer.alloc(400_000, 0x41))) },
      result: "WRAPPED_KEY_INVALID",
    },
    {
      name: "a long object identifier",
      parts: { algorithm: element(SEQUENCE, oid("05".repeat(100_000))) },
      result: "WRAPPED_KEY_UNSUPPORTED",
    },
  ])("is rejected fast for $name", async ({ parts, result }) => {
    // The processor's time: others may be using the machine.
    const start = process.cpuUsage();
    expect(await outcome(key.unwrap(message(parts)))).toBe(result);
    expect(process.cpuUsage(start).user / 1000).toBeLessThan(4000);
  });

  it("stops when it is aborted, between recipients", async () => {
    const recipients = Array<Uint8Array>(50).fill(recipientInfo());
    const { ciphertext, tag } = encryptGcm();
    const content = element(
      0x80,
      ciphertext,
      tag.map((byte) => byte ^ 1),
    );
    const reason = new Error("stopped");
    const unwrapping = keyAlone.unwrap(message({ recipients, content }), {
      signal: AbortSignal.abort(reason),
    });
    await expect(unwrapping).rejects.toBe(reason);
  });

  it("is described fast with the largest number of recipients", async () => {
    const recipients = Array<Uint8Array>(1024).fill(recipientInfo());
    const bytes = message({ recipients });
    const start = process.cpuUsage();
    expect(describeMessage(bytes)).toHaveLength(1024);
    const other = pkcs7.key(readKey("rsa3072.pkcs8.pem"));
    expect(await other.unwrap(bytes)).toBeNull();
    // It took 700 ms when every part of every recipient was parsed.
    expect(process.cpuUsage(start).user / 1000).toBeLessThan(400);
  });
});

describe("sizes that do not fit", () => {
  const algorithm = (size: number): Uint8Array =>
    element(SEQUENCE, oid("608648016503040102"), element(OCTET_STRING, Buffer.alloc(size, 8)));

  it.each([0, 15, 17])("a content in CBC of %d bytes is malformed", async (size) => {
    const content = element(0x80, Buffer.alloc(size));
    const parts = { algorithm: algorithm(16), content };
    expect(await outcome(keyAlone.unwrap(message(parts)))).toBe("WRAPPED_KEY_INVALID");
  });

  it.each([0, 8, 15, 17, 32])("an initialization vector of %d bytes is malformed", async (size) => {
    const parts = { ...cbc(Buffer.alloc(16, 16)), algorithm: algorithm(size) };
    expect(await outcome(keyAlone.unwrap(message(parts)))).toBe("WRAPPED_KEY_INVALID");
  });

  it.each([0, 1, 15])("a content in GCM of %d bytes is shorter than its tag", async (size) => {
    const parts = { content: element(0x80, Buffer.alloc(size)) };
    expect(await outcome(keyAlone.unwrap(message(parts)))).toBe("WRAPPED_KEY_INVALID");
  });

  it("a nonce of 64 bytes is the longest", async () => {
    const withNonce = (size: number): Parts => {
      const nonce = Buffer.alloc(size, 6);
      const cipher = createCipheriv("aes-128-gcm", CONTENT_KEY, nonce);
      const ciphertext = Buffer.concat([cipher.update(PRIVATE_OPTIONS), cipher.final()]);
      return {
        algorithm: gcm(element(OCTET_STRING, nonce), integer(16)),
        content: element(0x80, ciphertext, cipher.getAuthTag()),
      };
    };
    expect(await outcome(key.unwrap(message(withNonce(64))))).toBe(PRIVATE_OPTIONS.toString("hex"));
    expect(await outcome(key.unwrap(message(withNonce(65))))).toBe("WRAPPED_KEY_INVALID");
  });
});

describe("padding in CBC", () => {
  const block = (PRIVATE_OPTIONS.byteLength + 15) & ~15;
  const padded = (size: number, last: number): Parts => {
    const whole = Buffer.alloc(size, " ");
    whole.set(PRIVATE_OPTIONS);
    whole[size - 1] = last;
    return cbc(whole);
  };

  it("is not longer than a block", async () => {
    // JSON allows the spaces before it.
    const parts = padded(block + 48, 32);
    expect(await outcome(key.unwrap(message(parts)))).toBe("WRAPPED_KEY_INVALID");
  });

  it("is not empty", async () => {
    const parts = padded(block + 16, 0);
    expect(await outcome(key.unwrap(message(parts)))).toBe("WRAPPED_KEY_INVALID");
  });

  it("may be a whole block", async () => {
    const whole = Buffer.concat([
      PRIVATE_OPTIONS,
      Buffer.alloc(block - PRIVATE_OPTIONS.byteLength, " "),
    ]);
    const parts = cbc(Buffer.concat([whole, Buffer.alloc(16, 16)]));
    const opened = await outcome(key.unwrap(message(parts)));
    expect(opened).toBe(whole.toString("hex"));
  });
});

describe("parameters of OAEP", () => {
  const RSAES_OAEP = oid("2a864886f70d010107");
  const MGF1 = oid("2a864886f70d010108");
  const P_SPECIFIED = oid("2a864886f70d010109");
  const UNKNOWN = oid("2a0304");
  const HASHES = {
    sha1: oid("2b0e03021a"),
    sha224: oid("608648016503040204"),
    sha256: oid("608648016503040201"),
    sha384: oid("608648016503040202"),
    sha512: oid("608648016503040203"),
  };
  const hashField = (hash: Uint8Array): Uint8Array => element(0xa0, element(SEQUENCE, hash));
  const maskField = (hash: Uint8Array, mask = MGF1): Uint8Array =>
    element(0xa1, element(SEQUENCE, mask, element(SEQUENCE, hash)));
  const labelField = (source: Uint8Array, label = ""): Uint8Array =>
    element(0xa2, element(SEQUENCE, source, element(OCTET_STRING, Buffer.from(label))));

  /** A recipient whose key is encrypted with a hash and a label, and what it says of them. */
  function recipient(oaepHash: string, fields: Uint8Array[], oaepLabel?: Buffer): Uint8Array {
    const padding = constants.RSA_PKCS1_OAEP_PADDING;
    const encryptedKey = publicEncrypt(
      { key: createPublicKey(privateKey), padding, oaepHash, ...(oaepLabel && { oaepLabel }) },
      CONTENT_KEY,
    );
    return element(
      SEQUENCE,
      integer(2),
      element(0x80, IDENTIFIER),
      element(SEQUENCE, RSAES_OAEP, element(SEQUENCE, ...fields)),
      element(OCTET_STRING, encryptedKey),
    );
  }

  it.each(Object.entries(HASHES))("%s is read", async (name, hash) => {
    const recipients = [recipient(name, [hashField(hash), maskField(hash)])];
    expect(await outcome(key.unwrap(message({ recipients })))).toBe(
      PRIVATE_OPTIONS.toString("hex"),
    );
  });

  it("SHA-1 is the default, and the label is read", async () => {
    const fields = [labelField(P_SPECIFIED, "label")];
    const recipients = [recipient("sha1", fields, Buffer.from("label"))];
    expect(await outcome(key.unwrap(message({ recipients })))).toBe(
      PRIVATE_OPTIONS.toString("hex"),
    );
  });

  it.each([
    ["another hash", [hashField(UNKNOWN), maskField(UNKNOWN)]],
    ["another mask function", [hashField(HASHES.sha256), maskField(HASHES.sha256, UNKNOWN)]],
    ["another hash of the mask", [hashField(HASHES.sha256), maskField(HASHES.sha1)]],
    ["another source of the label", [labelField(UNKNOWN)]],
    ["another field", [element(0xa3, element(SEQUENCE, UNKNOWN))]],
  ])("%s is not tried", async (_, fields) => {
    const recipients = [recipient("sha1", fields)];
    const ending = await outcome(keyAlone.unwrap(message({ recipients })));
    expect(ending).toBe("WRAPPED_KEY_UNSUPPORTED");
  });
});
