import { isOcicryptError, shown } from "../../errors.js";
import type { Descriptor } from "../../spec/descriptor.js";
import type { ImageSource } from "../../store/types.js";
import { readSubject } from "../../spec/manifest.js";
import { documentNodes, isMarked, type ImageNode } from "../manifests/tree.js";

/** Each is a request or two to a registry. */
const MAX_LOOKUPS = 16;
const MAX_SHOWN = 5;

/**
 * Warns of artifacts, such as signatures, that refer to manifests or indexes that were replaced:
 * nobody finds them from the new ones. The search covers the image itself and the referrers that
 * the source knows. A source without referrers is no reason to fail. Manifests of unknown types,
 * which might refer to anything, are also reported.
 *
 * @param former digests of the replaced manifests, the image's first
 */
export async function findReferrers(
  source: ImageSource,
  root: ImageNode,
  former: readonly string[],
  signal: AbortSignal | undefined,
): Promise<string[]> {
  const found = new Map<string, unknown>(artifactsIn(root, new Set(former)));
  const following = new Set(
    documentNodes(root).flatMap(({ descriptor }) =>
      isMarked(descriptor) ? [descriptor.digest] : [],
    ),
  );
  const warnings: string[] = [];
  try {
    for (const digest of former.slice(0, MAX_LOOKUPS)) {
      for (const referrer of (await source.referrers?.(digest, { signal })) ?? []) {
        if (!following.has(referrer.digest)) found.set(referrer.digest, referrer.artifactType);
      }
      for (const [name, type] of await tagsOf(source, digest, signal)) found.set(name, type);
    }
  } catch (error) {
    signal?.throwIfAborted();
    if (!isOcicryptError(error)) throw error;
    warnings.push(
      `it could not be found out what refers to the image's former digest (${error.code})`,
    );
  }
  if (source.referrers !== undefined && former.length > MAX_LOOKUPS) {
    const all = String(former.length);
    warnings.push(
      `what refers to the image was looked for at ${String(MAX_LOOKUPS)} of its ${all} former digests only`,
    );
  }
  const unknown = new Map(unknownManifests(root).map((each) => [each.digest, each.mediaType]));
  for (const [digest, mediaType] of [...unknown].slice(0, MAX_SHOWN)) {
    warnings.push(
      `${digest} is kept as it is, and what it names may be missing: ${shown(mediaType)} is not known`,
    );
  }
  return found.size === 0 ? warnings : [describe([...found]), ...warnings];
}

/** Names under which cosign and ko keep what is about a digest: `sha256-HEX.sig`. */
const TAGS = [".sig", ".att", ".sbom"] as const;
const TAG_TYPES = { ".sig": "signature", ".att": "attestation", ".sbom": "SBOM" };

async function tagsOf(
  source: ImageSource,
  digest: string,
  signal: AbortSignal | undefined,
): Promise<Artifact[]> {
  const found: Artifact[] = [];
  for (const suffix of TAGS) {
    const name = digest.replace(":", "-") + suffix;
    if ((await source.hasName?.(name, { signal })) === true) found.push([name, TAG_TYPES[suffix]]);
  }
  return found;
}

/** Nothing has checked the type. */
type Artifact = readonly [digest: string, type: unknown];

function artifactsIn(root: ImageNode, former: ReadonlySet<string>): Artifact[] {
  return documentNodes(root).flatMap((node) => {
    if (node.kind === "index") return [];
    const { descriptor, document } = node;
    const { subject, text } = document;
    // BuildKit's attestations stay beside the image, and their entries follow it.
    if (isMarked(descriptor) || subject === undefined || !former.has(subject.digest)) return [];
    const { artifactType } = readSubject(Buffer.from(text));
    return [[descriptor.digest, descriptor.artifactType ?? artifactType]];
  });
}

/** Manifests of unknown types: what they name may be left behind. */
function unknownManifests(root: ImageNode): Descriptor[] {
  if (root.kind === "index") return root.children.flatMap(unknownManifests);
  return root.kind === "other" && root.bytes !== undefined ? [root.descriptor] : [];
}

function describe(artifacts: readonly Artifact[]): string {
  const refer = artifacts.length === 1 ? "1 artifact refers" : `${String(artifacts.length)} artifacts refer`; // prettier-ignore
  const names = artifacts
    .slice(0, MAX_SHOWN)
    .map(([digest, type]) => (typeof type !== "string" ? digest : `${digest} (${shown(type)})`));
  const rest = artifacts.length > MAX_SHOWN ? ", …" : "";
  return `${refer} to the image's former digest: ${names.join(", ")}${rest}`;
}
