import { expect } from "vitest";
import { digestOf, INDEX, MANIFEST, readBlob, readEntries, type Entry } from "./image.js";

/** A repository of a registry on this machine, spoken to without the library. */
export interface Repository {
  host: string;
  repository: string;
}

interface Document {
  /** Of an index. */
  manifests?: Entry[];
  config?: Entry;
  layers?: Entry[];
}

/** Pushes the only image of a layout. */
export async function pushImage(to: Repository, tag: string, layout: string): Promise<void> {
  const [image] = await readEntries(layout);
  await pushManifest(to, tag, layout, image!);
}

async function pushManifest(
  to: Repository,
  name: string,
  layout: string,
  { digest, mediaType }: Entry,
): Promise<void> {
  const bytes = await readBlob(layout, { digest });
  const { manifests, blobs } = parts(bytes);
  for (const entry of manifests) await pushManifest(to, entry.digest, layout, entry);
  for (const blob of blobs) await pushBlob(to, await readBlob(layout, blob));
  const headers = { "content-type": mediaType };
  const body = Uint8Array.from(bytes);
  const { status } = await fetch(url(to, `manifests/${name}`), { method: "PUT", headers, body });
  expect(status).toBe(201);
}

async function pushBlob(to: Repository, bytes: Buffer): Promise<void> {
  const opened = await fetch(url(to, "blobs/uploads/"), { method: "POST" });
  expect(opened.status).toBe(202);
  const upload = new URL(opened.headers.get("location") ?? "", opened.url);
  upload.searchParams.set("digest", digestOf(bytes));
  const { status } = await fetch(upload, { method: "PUT", body: Uint8Array.from(bytes) });
  expect(status).toBe(201);
}

/** The digest of an image, all of whose parts have to be there. */
export async function wholeImage(from: Repository, name: string): Promise<string> {
  const headers = { accept: `${INDEX}, ${MANIFEST}` };
  const answer = await fetch(url(from, `manifests/${name}`), { headers });
  expect(answer.status, `the manifest ${name}`).toBe(200);
  const bytes = Buffer.from(await answer.arrayBuffer());
  const { manifests, blobs } = parts(bytes);
  for (const { digest } of manifests) expect(await wholeImage(from, digest)).toBe(digest);
  for (const { digest, size } of blobs) {
    const { status, headers: found } = await fetch(url(from, `blobs/${digest}`), {
      method: "HEAD",
    });
    expect({ status, size: found.get("content-length") }, digest).toEqual({
      status: 200,
      size: String(size),
    });
  }
  return digestOf(bytes);
}

function parts(bytes: Buffer): { manifests: Entry[]; blobs: Entry[] } {
  const { manifests = [], config, layers = [] } = JSON.parse(bytes.toString()) as Document;
  return { manifests, blobs: config === undefined ? [] : [config, ...layers] };
}

function url({ host, repository }: Repository, path: string): string {
  return `http://${host}/v2/${repository}/${path}`;
}
