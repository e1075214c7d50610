// Streams of Node.js and of the web go in, and what comes out goes to files, responses and WebCrypto.
import { createReadStream, createWriteStream } from "node:fs";
import { webcrypto } from "node:crypto";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { encryptLayer, type ByteSource, type Recipient } from "ocicrypt";

export async function everySource(recipients: Recipient[]): Promise<void> {
  const { body } = await fetch("https://registry.example/blob");
  async function* generated(): AsyncGenerator<Uint8Array> {
    yield await Promise.resolve(new Uint8Array(1));
  }
  const sources: ByteSource[] = [
    new Uint8Array(1),
    Buffer.from("a layer"),
    createReadStream("layer.tar"),
    Readable.from([new Uint8Array(1)]),
    generated(),
  ];
  const descriptor = { mediaType: "application/vnd.oci.image.layer.v1.tar" };
  for (const source of sources) {
    const { stream } = encryptLayer(source, {
      descriptor,
      recipients,
      signal: AbortSignal.timeout(1),
    });
    await pipeline(stream, createWriteStream("layer.encrypted"));
  }
  if (body === null) return;
  const { stream } = encryptLayer(body, { descriptor, recipients });
  for await (const chunk of stream) await webcrypto.subtle.digest("SHA-256", chunk);
}

export function asResponse(source: ByteSource, recipients: Recipient[]): Response {
  const descriptor = { mediaType: "application/vnd.oci.image.layer.v1.tar" };
  return new Response(encryptLayer(source, { descriptor, recipients }).stream);
}
