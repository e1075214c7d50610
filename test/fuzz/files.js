import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** A file of the repository. */
export function file(path) {
  return readFileSync(join(ROOT, path));
}

/** The files in a folder of the repository whose names fit, in the order of their names. */
export function files(folder, pattern = /./) {
  return readdirSync(join(ROOT, folder), { withFileTypes: true })
    .filter((entry) => entry.isFile() && pattern.test(entry.name))
    .map(({ name }) => name)
    .sort()
    .map((name) => file(join(folder, name)));
}

/** The wrapped keys of a scheme in the layers that peers made. */
export function wrappedKeys(scheme) {
  const peers = files("vectors/peers/layers", /\.json$/).map((bytes) => JSON.parse(bytes));
  const ours = files("vectors/jwe").map((bytes) => JSON.parse(bytes).annotations);
  return [...peers, ...ours]
    .map((annotations) => annotations[`org.opencontainers.image.enc.keys.${scheme}`])
    .filter((list) => list !== undefined)
    .flatMap((list) => list.split(","))
    .map((element) => Buffer.from(element, "base64"));
}

const LAYOUTS = "vectors/peers/layouts";

/** The images that peers made, each with its blobs by digest. */
export function layouts() {
  const encrypted = ["skopeo-1.9.3", "ocicrypt-1.3.2"].flatMap((maker) =>
    folders(`${LAYOUTS}/${maker}`).map((name) => `${LAYOUTS}/${maker}/${name}`),
  );
  return [`${LAYOUTS}/plain`, ...encrypted].map((path) => ({
    index: file(`${path}/index.json`),
    blobs: new Map(
      files(`${path}/blobs/sha256`).map((bytes) => [`sha256:${sha256(bytes)}`, bytes]),
    ),
  }));
}

function folders(path) {
  return readdirSync(join(ROOT, path), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)
    .sort();
}

export function sha256(bytes) {
  return createHash("sha256").update(bytes).digest("hex");
}
