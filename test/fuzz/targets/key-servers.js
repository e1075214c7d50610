import { describeWrappedKey } from "../../../dist/keywrap/schemes.js";
import { OcicryptError } from "../../../dist/errors.js";
import { readAdvertisement } from "../../../dist/keyserver/tang/advertisement.js";
import { file } from "../files.js";

const clevis = () => JSON.parse(file("test/keyserver/tang/clevis-19.json"));

/** A JWE of Clevis whose header is the input: in the JWE itself it is base64url. */
export const clevisHeader = {
  form: "json",
  share: 4,
  seeds: () =>
    Object.values(clevis().wrapped).map((jwe) => Buffer.from(jwe.split(".")[0], "base64url")),
  dictionary: [
    ...['"pin":"null"', '"pin":"sss"', '"t":0', '"p":"AAAA"', '"jwe":[]', '"zip":"DEF"'],
    ...["ECDH-ES", "ECMR", "P-521", "P-256", "dir", "A256GCM", "deriveKey", "verify"],
  ],
  async run(bytes) {
    const [, ...rest] = clevis().wrapped.sss.split(".");
    const jwe = [bytes.toString("base64url"), ...rest].join(".");
    await describeWrappedKey("provider.tang", Buffer.from(jwe));
  },
};

/** Its signatures are checked, which takes longer than reading. */
export const tangAdvertisement = {
  form: "json",
  share: 0.25,
  seeds: () =>
    Object.values(clevis().servers).map(({ advertisement }) =>
      Buffer.from(JSON.stringify(advertisement)),
    ),
  dictionary: ["payload", "signatures", "protected", "signature", "ES512", "none", "ECMR"],
  run: (bytes) =>
    readAdvertisement(bytes, (why) => new OcicryptError("KEY_SERVER_ANSWER_INVALID", why)),
};

const UUID = "02fd6835-6001-4482-a892-13bd2085f75d";
const SEALED = { sealed: "A".repeat(80), ciphertext: "AAAA" };
const ENVELOPES = {
  vault: { ...SEALED, server: "https://vault.example", mount: "transit", key: "app", ciphertext: "vault:v1:AAAA" }, // prettier-ignore
  "key-protect": {
    ...SEALED,
    server: "https://kms.example",
    instance: UUID,
    key: UUID,
    aad: ["a"],
  },
  "aws-kms": { ...SEALED, key: `arn:aws:kms:eu-north-1:111122223333:key/${UUID}`, context: { a: "b" } }, // prettier-ignore
};

export const envelope = {
  form: "json",
  share: 8,
  seeds: () =>
    Object.entries(ENVELOPES).map(([system, members]) =>
      Buffer.from(JSON.stringify({ system, ...members })),
    ),
  dictionary: ["ſystem", "namespace", "keyVersion", "..", "%2e%2e", "arn:aws:kms", "vault:v1:"],
  async run(bytes) {
    for (const system of Object.keys(ENVELOPES)) {
      await describeWrappedKey(`provider.${system}`, bytes);
    }
  },
};
