// Makes clevis-19.json with tangd, clevis and jose: node make-vectors.js > clevis-19.json
import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

const directory = mkdtempSync(join(tmpdir(), "tang-"));
const SECRET = "the secret of a layer";

/** tangd answers one connection on its standard input and output, as inetd starts programs. */
async function serve(name, fill) {
  const db = join(directory, name);
  mkdirSync(db);
  fill(db);
  const server = createServer((socket) => {
    const tangd = spawn("/usr/libexec/tangd", [db], { stdio: ["pipe", "pipe", "ignore"] });
    socket.on("error", () => undefined).pipe(tangd.stdin.on("error", () => undefined));
    tangd.stdout.pipe(socket);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${server.address().port}`;
  const keys = readdirSync(db).map((file) => JSON.parse(readFileSync(join(db, file), "utf8")));
  const advertisement = await (await fetch(`${url}/adv`)).text();
  const signer = keys.find(({ alg }) => alg !== "ECMR");
  return {
    server,
    url,
    keys,
    advertisement,
    thp: thumbprint(signer, "S256"),
    s1: thumbprint(signer, "S1"),
  };
}

function thumbprint(key, algorithm) {
  return run("jose", ["jwk", "thp", "-i-", "-a", algorithm], JSON.stringify(key));
}

function run(program, args, input) {
  return execFileSync(program, args, {
    input,
    encoding: "utf8",
    stdio: ["pipe", "pipe", "ignore"],
  }).trim();
}

const keygen = (db) => run("/usr/libexec/tangd-keygen", [db]);
const generate = (crv, signature) => (db) => {
  for (const [file, template] of [
    ["exc.jwk", { kty: "EC", crv, alg: "ECMR" }],
    ["sig.jwk", { alg: signature }],
  ]) {
    writeFileSync(join(db, file), run("jose", ["jwk", "gen", "-i", JSON.stringify(template)]));
  }
};
const twoKeys = (db) => {
  keygen(db);
  keygen(db);
};

const servers = {
  one: await serve("one", keygen),
  two: await serve("two", twoKeys),
  p256: await serve("p256", generate("P-256", "ES256")),
  p384: await serve("p384", generate("P-384", "ES384")),
};
const clevis = async (pin, config) => {
  const child = spawn("clevis", ["encrypt", pin, JSON.stringify(config)], {
    stdio: ["pipe", "pipe", "ignore"],
  });
  child.stdin.end(SECRET);
  return (await child.stdout.toArray()).join("");
};
const pin = ({ url, thp }) => ({ url, thp });
const { one, two, p256, p384 } = servers;
const wrapped = {
  one: await clevis("tang", pin(one)),
  two: await clevis("tang", pin(two)),
  p256: await clevis("tang", pin(p256)),
  p384: await clevis("tang", pin(p384)),
  sss: await clevis("sss", { t: 2, pins: { tang: [pin(one), pin(two), pin(p256)] } }),
  nested: await clevis("sss", {
    t: 2,
    pins: { tang: pin(one), sss: { t: 1, pins: { tang: [pin(two), pin(p384)] } } },
  }),
  null: await clevis("null", {}),
  nullInSss: await clevis("sss", { t: 1, pins: { tang: pin(one), null: {} } }),
};
for (const { server } of Object.values(servers)) server.close();
rmSync(directory, { recursive: true });
const listed = Object.entries(servers).map(([name, { url, keys, advertisement, thp, s1 }]) => [
  name,
  { url, thp, s1, keys, advertisement: JSON.parse(advertisement) },
]);
const vectors = {
  made: "tang 11-2+deb12u1, clevis 19-2",
  secret: SECRET,
  servers: Object.fromEntries(listed),
  wrapped,
};
process.stdout.write(`${JSON.stringify(vectors, null, 2)}\n`);
