// The descriptors of other packages go in as they are, and what comes out goes into their manifests.
import type { ImageManifest as SigstoreManifest } from "@sigstore/oci/dist/types.js";
import type { ImageManifest as SnykManifest } from "@snyk/docker-registry-v2-client/dist/types.js";
import type { Manifest as ContainerifyManifest } from "containerify/lib/types.js";
import {
  addRecipients,
  decryptLayer,
  encryptLayer,
  isEncryptedDescriptor,
  listRecipients,
  type Key,
  type Recipient,
} from "ocicrypt";

interface Manifest {
  layers: { mediaType: string; digest: string; size: number }[];
}

async function encryptAll<M extends Manifest>(
  manifest: M,
  blobs: (digest: string) => AsyncIterable<Uint8Array>,
  recipients: Recipient[],
): Promise<M> {
  const layers = [];
  for (const descriptor of manifest.layers) {
    if (isEncryptedDescriptor(descriptor)) continue;
    const layer = encryptLayer(blobs(descriptor.digest), { descriptor, recipients });
    for await (const _chunk of layer.stream);
    layers.push(await layer.finalize());
  }
  return { ...manifest, layers };
}

export async function sigstore(
  manifest: SigstoreManifest,
  content: AsyncIterable<Uint8Array>,
  recipients: Recipient[],
  keys: Key[],
): Promise<SigstoreManifest> {
  const encrypted = await encryptAll(manifest, () => content, recipients);
  const [layer] = encrypted.layers;
  if (layer === undefined) return encrypted;
  await listRecipients(layer);
  const { stream, finalize } = await decryptLayer(content, { descriptor: layer, keys });
  for await (const _chunk of stream);
  const plain: SigstoreManifest["config"] = await finalize();
  const changed: SigstoreManifest["config"] = await addRecipients(layer, { recipients, keys });
  return { ...encrypted, layers: [plain, changed] };
}

export function snyk(
  manifest: SnykManifest,
  content: AsyncIterable<Uint8Array>,
  recipients: Recipient[],
): Promise<SnykManifest> {
  return encryptAll(manifest, () => content, recipients);
}

export function containerify(
  manifest: ContainerifyManifest,
  content: AsyncIterable<Uint8Array>,
  recipients: Recipient[],
): Promise<ContainerifyManifest> {
  return encryptAll(manifest, () => content, recipients);
}

export function withoutMediaType(content: Uint8Array, recipients: Recipient[]): unknown {
  // @ts-expect-error a descriptor needs a media type
  return encryptLayer(content, { descriptor: { digest: "sha256:" }, recipients });
}
