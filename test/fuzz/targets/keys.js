import { jwe } from "ocicrypt/jwe";
import { keysFromFiles, recognizeKeyFile } from "ocicrypt/keys";
import { pgp } from "ocicrypt/pgp";
import { pkcs11 } from "ocicrypt/pkcs11";
import { pkcs7 } from "ocicrypt/pkcs7";
import { file, files } from "../files.js";

const PEERS = "vectors/peers/keys";
const FIXTURES = "test/keys/fixtures";
const CERTIFICATES = "test/keywrap/pkcs7/fixtures";

/** Each of these gets the file; the first refusal is the outcome. */
async function all(...attempts) {
  let refusal;
  for (const attempt of attempts) {
    try {
      await attempt();
    } catch (error) {
      // How a function is called is no property of the file.
      if (error instanceof TypeError && /several|no keys/.test(error.message)) continue;
      refusal ??= error;
    }
  }
  if (refusal !== undefined) throw refusal;
}

async function readKeyFile(bytes) {
  const content = new Uint8Array(bytes);
  await all(
    () => recognizeKeyFile(content),
    () => keysFromFiles([{ content, label: "key", password: "secret" }]),
    () => keysFromFiles([{ content, label: "key" }]),
    () => jwe.recipients(content),
    () => pkcs11.recipient(content),
  );
}

export const pemKey = {
  form: "pem",
  share: 0.25,
  seeds: () => [...files(PEERS, /\.pem$/), ...files(FIXTURES, /\.pem$/)],
  dictionary: [
    "-----BEGIN ",
    "-----END ",
    "Proc-Type: 4,ENCRYPTED\n",
    "DEK-Info: AES-256-CBC,00\n",
  ],
  run: readKeyFile,
};

export const derKey = {
  form: "der",
  seeds: () => [...files(PEERS, /\.der$/), ...files(FIXTURES, /\.der$/)],
  run: readKeyFile,
};

export const pkcs12 = {
  form: "der",
  share: 0.25,
  seeds: () => files(`${FIXTURES}/pkcs12`, /\.p12$/),
  async run(bytes) {
    const content = new Uint8Array(bytes);
    await all(
      () => keysFromFiles([{ content, label: "key", password: "secret" }]),
      () => keysFromFiles([{ content, label: "key" }]),
    );
  },
};

export const jwk = {
  form: "json",
  seeds: () => [
    ...files(PEERS, /\.jwk$/),
    ...files("vectors/keys", /\.jwk$/),
    Buffer.from(`{"keys":[${String(file("vectors/keys/ec-p256.jwk"))}]}`),
  ],
  dictionary: [
    ...["RSA", "EC", "oct", "OKP", "P-256", "secp256k1", "Ed25519", "enc", "sig", "AQAB", "AQ"],
    ...["RSA-OAEP-256", "RS256", "ECDH-ES", "deriveKey", "decrypt", "unwrapKey", "Aw"],
  ],
  run: readKeyFile,
};

export const certificate = {
  form: "pem",
  share: 0.25,
  seeds: () => [...files(PEERS, /^cert.*\.pem$/), ...files(CERTIFICATES, /\.pem$/)],
  async run(bytes) {
    const content = new Uint8Array(bytes);
    await all(
      () => pkcs7.recipients(content),
      () => pkcs7.keyIds(content),
      () => jwe.recipients(content),
    );
  },
};

export const derCertificate = {
  form: "der",
  seeds: () => [
    file(`${PEERS}/cert-rsa2048.der`),
    ...[...files(PEERS, /^cert.*\.pem$/), ...files(CERTIFICATES, /\.pem$/)].map(bodyOf),
  ],
  run: certificate.run,
};

function bodyOf(pem) {
  return Buffer.from(pem.toString().replace(/-----[^-]*-----/g, ""), "base64");
}

export const openPgpKeyRing = {
  form: "bytes",
  seeds: () => files("test/keywrap/pgp/gnupg", /\.(?:sec|pub|subkeys)\.?asc$/).flatMap(dearmoured),
  async run(bytes) {
    const ring = new Uint8Array(bytes);
    await all(
      () => pgp.key(ring, { password: "secret" }),
      () => pgp.recipient("nobody@example.org", { keyRing: ring }),
      () => pgp.recipient("test", { keyRing: ring }).wrap(Buffer.from("secret")),
    );
  },
};

/** The ring as it is, and its packets, where a change reaches further. */
function dearmoured(armoured) {
  const body = /\n\r?\n([^-]*?)\n=/.exec(armoured.toString("latin1"))?.[1];
  return body === undefined ? [armoured] : [armoured, Buffer.from(body, "base64")];
}

const KEY_FILES = [
  "pkcs11:\n  uri: pkcs11:token=t;object=k?pin-value=1234&module-path=/usr/lib/softhsm/libsofthsm2.so\nmodule:\n  env:\n    SOFTHSM2_CONF: /tmp/c\n",
  "pkcs11: {uri: 'pkcs11:slot-id=0;id=%01%ff?module-name=softhsm2&pin-source=file:/tmp/pin'}\n",
  "pkcs11:\n  uri: |\n    pkcs11:model=a;manufacturer=b;serial=1;type=private\n",
];

export const pkcs11KeyFile = {
  form: "bytes",
  seeds: () => KEY_FILES.map((text) => Buffer.from(text)),
  dictionary: [
    ...[
      "pkcs11:",
      "uri: ",
      "&a ",
      "*a",
      "<<: ",
      "!!js/function ",
      "- ",
      "|\n",
      ">\n",
      "{",
      "}",
      "\t",
    ],
    ...[
      "pin-value=",
      "pin-source=",
      "module-path=",
      "slot-id=",
      "id=%00",
      "%zz",
      "?",
      "&",
      ";",
      "---\n",
    ],
  ],
  async run(bytes) {
    const content = new Uint8Array(bytes);
    await all(
      () => pkcs11.key(content),
      () => pkcs11.recipient(content),
    );
  },
};

export const pkcs11Uri = {
  form: "bytes",
  seeds: () =>
    KEY_FILES.flatMap((text) => /pkcs11:[a-z-]+=[^\n'}]*/.exec(text) ?? []).map((uri) =>
      Buffer.from(uri),
    ),
  dictionary: pkcs11KeyFile.dictionary,
  async run(bytes) {
    await pkcs11.key(`pkcs11:\n  uri: ${JSON.stringify(bytes.toString())}\n`);
  },
};
