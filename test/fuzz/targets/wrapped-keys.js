import { listRecipients } from "ocicrypt";
import { jwe } from "ocicrypt/jwe";
import { pgp } from "ocicrypt/pgp";
import { pkcs11 } from "ocicrypt/pkcs11";
import { pkcs7 } from "ocicrypt/pkcs7";
import { file, files, wrappedKeys } from "../files.js";

const KEYS = "vectors/peers/keys";

/** Everything that happens to a wrapped key: it is listed, unwrapped and explained. */
function unwrapping(scheme, keys) {
  return async (bytes) => {
    const list = bytes.toString("base64");
    await listRecipients({
      mediaType: "application/vnd.oci.image.layer.v1.tar+encrypted",
      annotations: { [`org.opencontainers.image.enc.keys.${scheme}`]: list },
    });
    // One key for each input, so that its time is that of unwrapping once.
    const all = await keys();
    const key = all[bytes.length % all.length];
    if ((await key.unwrap(bytes)) === null) key.explain?.(bytes);
  };
}

function once(make) {
  let made;
  return () => (made ??= make());
}

export const jweMessage = {
  form: "json",
  seeds: () => wrappedKeys("jwe"),
  dictionary: [
    ...["RSA-OAEP", "RSA-OAEP-256", "ECDH-ES+A256KW", "ECDH-ES", "RSA1_5", "dir", "A128KW"],
    ...["PBES2-HS256+A128KW", "A256GCM", "A128CBC-HS256", "P-256", "P-384", "P-521", "secp256k1"],
    ...['"epk":', '"crit":["exp"]', '"zip":"DEF"', '"p2c":2147483647', '"recipients":', "...."],
  ],
  run: unwrapping(
    "jwe",
    once(() => [
      ...jwe.keys(file(`${KEYS}/rsa2048.pkcs8.pem`)),
      ...jwe.keys(file(`${KEYS}/ec256.pkcs8.pem`)),
      ...jwe.keys(file(`${KEYS}/ec521.priv.ECDH-ES_A256KW.jwk`)),
    ]),
  ),
};

const firstMessage = once(() => JSON.parse(wrappedKeys("jwe")[0]));

/** A JWE whose protected header is the input: in the message itself it is base64. */
export const jweHeader = {
  form: "json",
  seeds: () =>
    wrappedKeys("jwe")
      .map((bytes) => JSON.parse(bytes).protected)
      .filter((header) => header !== undefined)
      .map((header) => Buffer.from(header, "base64url")),
  dictionary: jweMessage.dictionary,
  async run(bytes) {
    const message = { ...firstMessage(), protected: bytes.toString("base64url") };
    await jweMessage.run(Buffer.from(JSON.stringify(message)));
  },
};

export const pkcs7Message = {
  form: "der",
  share: 0.25,
  seeds: () => [...wrappedKeys("pkcs7"), ...files("test/keywrap/pkcs7/fixtures", /\.cms$/)],
  run: unwrapping(
    "pkcs7",
    once(() => [
      pkcs7.key(file(`${KEYS}/rsa2048.pkcs8.pem`), {
        certificate: file(`${KEYS}/cert-rsa2048.pem`),
      }),
      pkcs7.key(file(`${KEYS}/rsa2048.pkcs8.pem`)),
    ]),
  ),
};

const GNUPG = "test/keywrap/pgp/gnupg";

export const pgpMessage = {
  form: "bytes",
  seeds: () => [
    ...wrappedKeys("pgp"),
    ...files(GNUPG, /^(?!.*\.(?:sec|pub|subkeys)\.).*\.(?:gpg|asc)$/),
  ],
  run: unwrapping(
    "pgp",
    once(() => files(GNUPG, /^(?:nist|weak|dsa)\.sec\.asc$/).map((key) => pgp.key(key))),
  ),
};

export const pkcs11Blob = {
  form: "json",
  share: 8,
  seeds: () => wrappedKeys("pkcs11"),
  dictionary: ["sha1", "sha256", "sha512", '"version":1', '"hash":""'],
  run: unwrapping(
    "pkcs11",
    once(async () => [await pkcs11.key(file(`${KEYS}/rsa2048.pkcs8.pem`))]),
  ),
};

export const wrappedKeyList = {
  form: "bytes",
  share: 8,
  seeds: () =>
    ["jwe", "pkcs7", "pkcs11", "pgp"].map((scheme) =>
      Buffer.from(
        wrappedKeys(scheme)
          .slice(0, 3)
          .map((bytes) => bytes.toString("base64"))
          .join(),
      ),
    ),
  dictionary: [",", ",,", "=", "====", "A===", " ", "\n", "%00", "-_", "é"],
  async run(bytes) {
    await listRecipients({
      mediaType: "application/vnd.oci.image.layer.v1.tar+encrypted",
      annotations: {
        "org.opencontainers.image.enc.keys.jwe": bytes.toString(),
        "org.opencontainers.image.enc.keys.provider.x": bytes.toString("latin1"),
      },
    });
  },
};
