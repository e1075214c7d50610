import { cpSync, copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { readKeys } from "../../../src/cli/keys.js";
import { addRecipients, encryptionSchemes, type Descriptor } from "../../../src/index.js";
import { diffIds, ocicrypt, VECTORS } from "../peers.js";
import type { Implementation, Ours } from "./implementation.js";
import { digestOf, recipientsOf, runPeer } from "./layers.js";

/** The directory of an OCI layout with one image, `latest`. */
type Layout = string;

interface Manifest {
  layers: Descriptor[];
}

const PLAIN: Layout = join(VECTORS, "peers", "layouts", "plain");
const image = (layout: Layout): string => `oci:${layout}:latest`;

/** Names directories that are not there yet. */
export type NewLayout = () => Layout;

/** Whole images, by the command. */
export function ourImages(newLayout: NewLayout): Ours<Layout> {
  async function command(name: string, from: Layout, options: readonly string[]): Promise<Layout> {
    const to = newLayout();
    const args = [name, image(from), image(to), "--quiet", ...options];
    const { status, stderr } = await ocicrypt(args);
    if (status !== 0 || stderr !== "") throw new Error(`ocicrypt ${name}: ${stderr}`);
    return to;
  }
  return {
    content: diffIds(PLAIN),
    encrypt: (recipients) =>
      command(
        "encrypt",
        PLAIN,
        recipients.flatMap((recipient) => ["-r", recipient]),
      ),
    decrypt: async (from, keys) =>
      diffIds(
        await command(
          "decrypt",
          from,
          keys.flatMap((key) => ["-k", key]),
        ),
      ),
    add: (from, keys, recipients) => addToAll(from, newLayout(), keys, recipients),
    schemesOf(layout) {
      const layers = readManifest(layout).manifest.layers.map((layer) =>
        encryptionSchemes(layer).sort().join(),
      );
      const [schemes = "", ...others] = new Set(layers);
      return others.length === 0 ? schemes.split(",") : layers;
    },
  };
}

function readManifest(layout: Layout): { index: { manifests: Descriptor[] }; manifest: Manifest } {
  const index = JSON.parse(readFileSync(join(layout, "index.json"), "utf8")) as {
    manifests: Descriptor[];
  };
  const blob = blobFile(layout, index.manifests[0]!.digest);
  return { index, manifest: JSON.parse(readFileSync(blob, "utf8")) as Manifest };
}

function blobFile(layout: Layout, digest: string): string {
  return join(layout, "blobs", ...digest.split(":"));
}

/** Adds recipients to all layers of an image: blobs stay, its manifest is written anew. */
async function addToAll(
  from: Layout,
  to: Layout,
  keys: readonly string[],
  recipients: readonly string[],
): Promise<Layout> {
  const { index, manifest } = readManifest(from);
  const options = { keys: await readKeys(keys), recipients: await recipientsOf(recipients) };
  const layers = await Promise.all(manifest.layers.map((layer) => addRecipients(layer, options)));
  const bytes = Buffer.from(JSON.stringify({ ...manifest, layers }));
  const descriptor = {
    ...index.manifests[0]!,
    digest: digestOf(bytes),
    size: bytes.byteLength,
  };
  cpSync(from, to, { recursive: true });
  writeFileSync(blobFile(to, descriptor.digest), bytes);
  writeFileSync(join(to, "index.json"), JSON.stringify({ ...index, manifests: [descriptor] }));
  return to;
}

/** `skopeo copy`, or what has its options. */
export function copyTool(
  program: string,
  args: readonly string[],
  newLayout: NewLayout,
  toKey: (key: string) => string = (key) => key,
): Implementation<Layout> {
  async function copy(from: Layout, options: readonly string[]): Promise<Layout> {
    const to = newLayout();
    await runPeer(program, [...args, ...options, image(from), image(to)]);
    return to;
  }
  return {
    encrypt: (recipients) =>
      copy(
        PLAIN,
        recipients.flatMap((recipient) => ["--encryption-key", recipient]),
      ),
    decrypt: async (from, keys) =>
      diffIds(
        await copy(
          from,
          keys.flatMap((key) => ["--decryption-key", toKey(key)]),
        ),
      ),
  };
}

/**
 * Before version 1.1, ocicrypt takes the whole of `FILE:pass=PASSWORD` for a certificate's file
 * too, and fails where that is not there.
 */
export function oldKey(key: string, directory: string): string {
  const [, file, password] = /^(.*)(:pass=.*)$/s.exec(key) ?? [];
  if (file === undefined || password === undefined) return key;
  const copy = join(directory, basename(file));
  copyFileSync(file, copy);
  writeFileSync(copy + password, "");
  return copy + password;
}
