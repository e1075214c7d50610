// Encrypts, inspects and decrypts an image with the command. Run it with: npm run quickstart
import { execFileSync } from "node:child_process";
import { createHash, generateKeyPairSync } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { makeImage } from "./make-image.js";

const command = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
const directory = mkdtempSync(join(tmpdir(), "ocicrypt-quickstart-"));

function say(text) {
  console.log(`\n${text}`);
}

function ocicrypt(...args) {
  console.log(`\n$ ocicrypt ${args.join(" ")}`);
  const output = execFileSync(process.execPath, [command, ...args], {
    cwd: directory,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
  });
  console.log(output.trimEnd());
  return output;
}

/** Lists the blobs of a layout, after checking each file's digest. */
function digests(layout) {
  const folder = join(directory, layout, "blobs", "sha256");
  return readdirSync(folder)
    .sort()
    .map((name) => {
      const actual = createHash("sha256")
        .update(readFileSync(join(folder, name)))
        .digest("hex");
      if (actual !== name) throw new Error(`${layout}: blob ${name} has the digest ${actual}`);
      return name;
    });
}

say(`Working in ${directory}`);
await makeImage(join(directory, "app"), "latest");
const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 3072 });
writeFileSync(join(directory, "public.pem"), publicKey.export({ type: "spki", format: "pem" }));
writeFileSync(join(directory, "private.pem"), privateKey.export({ type: "pkcs8", format: "pem" }), {
  mode: 0o600,
});
say("Created an image with two layers in app/, and a key pair in public.pem and private.pem.");

say("Encrypt it for the holder of private.pem. This needs only the public key:");
ocicrypt("encrypt", "oci:app:latest", "oci:app-encrypted:latest", "-r", "jwe:public.pem");

say("Anyone can see that it is encrypted, and how. With a key, inspect also shows what it opens:");
ocicrypt("inspect", "oci:app-encrypted:latest", "-k", "private.pem");

say("Decrypt it:");
ocicrypt("decrypt", "oci:app-encrypted:latest", "oci:app-decrypted:latest", "-k", "private.pem");

const before = digests("app");
const after = digests("app-decrypted");
const encrypted = digests("app-encrypted");
if (before.join() !== after.join())
  throw new Error("the decrypted image differs from the original");
const shared = encrypted.filter((name) => before.includes(name));
if (shared.length !== 1)
  throw new Error("the encrypted image shares more than the config with the original");

say(
  `Verified: all ${before.length} blobs of the decrypted image (manifest, config and layers) have the
same digests as the originals. The encrypted image shares only the config with the original: configs
stay readable. All files are in ${directory}; delete it when you are done.`,
);
