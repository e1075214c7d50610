// Encrypts the disk of a virtual machine with LUKS, as IBM documents it for Hyper Protect and Key
// Protect. A key server wraps the passphrase, and the wrapped passphrase travels with the disk.
// Without arguments, a Tang server is started for the example. Other servers are named as in the
// command: node encrypt-disk.js key-protect:app-key key-protect
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { keysFromText, recipientsFromText } from "ocicrypt/keys";
import { readArtifact, writeArtifact } from "./disk-artifact.js";
import { requireProgram } from "./start-registry.js";
import { startTang } from "./start-tang.js";

requireProgram("qemu-img");
const directory = mkdtempSync(join(tmpdir(), "ocicrypt-example-"));
const tang = process.argv.length > 2 ? undefined : await startTang(join(directory, "tang"));
const [to, from] = tang === undefined ? process.argv.slice(2) : [tang.recipient, tang.key];

// The disk to encrypt: 64 MiB with 8 MiB of random data.
writeFileSync(join(directory, "data"), randomBytes(8 * 1024 * 1024));
qemuImg("convert", "-f", "raw", "-O", "qcow2", "data", "disk.qcow2");
qemuImg("resize", "-q", "disk.qcow2", "64M");

// The key server wraps the passphrase. The wrapped passphrase is public.
const passphrase = randomBytes(32).toString("base64");
const [recipient] = await recipientsFromText(to);
const wrapped = await recipient.wrap(Buffer.from(passphrase));

// The steps of IBM's procedure. Its option data=PASSPHRASE would show the passphrase to all users.
const SECRET = ["--object", "secret,id=sec0,file=/dev/stdin"];
const PLAIN = "driver=qcow2,file.filename=disk.qcow2";
const LUKS = "driver=qcow2,encrypt.key-secret=sec0,file.filename=disk-encrypted.qcow2";
// A random passphrase of 256 bits needs no slow derivation: 100 ms instead of two seconds.
const options = "encrypt.format=luks,encrypt.key-secret=sec0,encrypt.iter-time=100";
withSecret("create", SECRET, "-f", "qcow2", "-o", options, "disk-encrypted.qcow2", "64M");
withSecret("convert", SECRET, "--image-opts", PLAIN, "--target-image-opts", LUKS, "-n");
console.log(withSecret("compare", SECRET, "--image-opts", PLAIN, LUKS));
console.log(withSecret("check", SECRET, "--image-opts", LUKS));

// The wrapped passphrase and the name of the key are annotations of the artifact.
const artifact = { path: join(directory, "artifact"), tag: "disk" };
await writeArtifact(artifact, join(directory, "disk-encrypted.qcow2"), "application/vnd.example.disk.luks.qcow2", {
  "com.example.disk.wrapped-passphrase": Buffer.from(wrapped).toString("base64"),
  "com.example.disk.key": `${recipient.scheme} ${to.replace(/[?].*/, "")}`,
}); // prettier-ignore

// The machine that starts the disk unwraps the passphrase just before it uses it.
const { disk, annotations } = readArtifact(artifact);
const [key] = await keysFromText(from);
const found = Buffer.from(annotations["com.example.disk.wrapped-passphrase"], "base64");
const unwrapped = Buffer.from(await key.unwrap(found));
const STORED = `driver=qcow2,encrypt.key-secret=sec0,file.filename=${disk}`;
console.log(withPassphrase(unwrapped, "compare", SECRET, "--image-opts", PLAIN, STORED).text);

// Every byte counts: echo would add a line end to the passphrase.
for (const [what, wrong] of [["a wrong passphrase", "abc123"], ["a trailing newline", `${passphrase}\n`]]) {
  const { status, text } = withPassphrase(wrong, "check", SECRET, "--image-opts", STORED);
  if (status === 0) throw new Error(`the disk opens with ${what}`);
  console.log(`with ${what}: ${text.split(": ").at(-1)}`);
} // prettier-ignore
unwrapped.fill(0);
tang?.stop();
rmSync(directory, { recursive: true });

function withSecret(...args) {
  const { status, text } = withPassphrase(passphrase, ...args);
  if (status !== 0) throw new Error(text);
  return text;
}

/** qemu-img opens /dev/stdin by its name, which works for a pipe and not for a socket of Node.js. */
function withPassphrase(input, command, ...args) {
  const script = 'cat | qemu-img "$@"';
  return result(spawnSync("sh", ["-c", script, "sh", command, ...args.flat()], { cwd: directory, input })); // prettier-ignore
}

function qemuImg(...args) {
  const { status, text } = result(spawnSync("qemu-img", args, { cwd: directory }));
  if (status !== 0) throw new Error(text);
}

function result({ status, stdout, stderr }) {
  return { status, text: `${stdout}${stderr}`.trim() };
}
