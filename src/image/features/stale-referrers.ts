import { fromUtf8 } from "#engine/bytes";
import { isOcicryptError, shown } from "../../errors.js";
import type { ImageSource } from "../../store/types.js";
import { readSubject } from "../../spec/manifest.js";
import { isMarked, type ImageTree } from "../manifests/tree.js";

/** Each lookup takes one or two requests to a registry. */
const MAX_LOOKUPS = 16;
const MAX_SHOWN = 5;

/**
 * Warns about artifacts, such as signatures, that refer to replaced manifests or indexes: readers
 * do not find them from the new ones. The search covers the image itself and the referrers that the
 * source lists. If the source cannot list referrers, this does not fail. Manifests of unknown
 * types, which may refer to anything, are also reported.
 *
 * @param former the digests of the replaced manifests, starting with the image's own
 */
export async function findReferrers(
  source: ImageSource,
  tree: ImageTree,
  former: readonly string[],
  signal: AbortSignal | undefined,
): Promise<string[]> {
  const found = new Map<string, unknown>(artifactsIn(tree, new Set(former)));
  const following = new Set(
    tree.documents.flatMap(({ descriptor }) => (isMarked(descriptor) ? [descriptor.digest] : [])),
  );
  const warnings: string[] = [];
  try {
    for (const digest of former.slice(0, MAX_LOOKUPS)) {
      for await (const [name, type] of artifactsFor(source, digest, signal)) {
        if (!following.has(name)) found.set(name, type);
      }
    }
  } catch (error) {
    signal?.throwIfAborted();
    if (!isOcicryptError(error)) throw error;
    warnings.push(
      `the artifacts that refer to the image's former digest could not be listed (${error.code})`,
    );
  }
  if (source.referrers !== undefined && former.length > MAX_LOOKUPS) {
    const all = String(former.length);
    warnings.push(
      `only ${String(MAX_LOOKUPS)} of the image's ${all} former digests were searched for artifacts that refer to them`,
    );
  }
  const unknown = new Map(
    tree.unknown.map(({ descriptor: { digest, mediaType } }) => [digest, mediaType]),
  );
  for (const [digest, mediaType] of [...unknown].slice(0, MAX_SHOWN)) {
    warnings.push(
      `${digest} of the unknown type ${shown(mediaType)} is kept, but blobs that it names may be missing`,
    );
  }
  return found.size === 0 ? warnings : [describe([...found], "former digest"), ...warnings];
}

/**
 * Says which artifacts still refer to an image that an edit left as it was, so that nobody signs it
 * again. A source that cannot list them is no reason to fail.
 */
export async function findCurrentReferrers(
  source: ImageSource,
  tree: ImageTree,
  signal: AbortSignal | undefined,
): Promise<string[]> {
  const { digest } = tree.root.descriptor;
  try {
    const found = new Map<string, unknown>(artifactsIn(tree, new Set([digest])));
    for await (const [name, type] of artifactsFor(source, digest, signal)) found.set(name, type);
    if (found.size === 0) return [];
    return [`nothing changed, and ${describe([...found], "digest")}`];
  } catch (error) {
    signal?.throwIfAborted();
    if (!isOcicryptError(error)) throw error;
    return [];
  }
}

/** The names under which cosign and ko store artifacts for a digest: `sha256-HEX.sig`. */
export const TAGS = [".sig", ".att", ".sbom"] as const;
const TAG_TYPES = { ".sig": "signature", ".att": "attestation", ".sbom": "SBOM" };

/** The artifacts that a source lists for a digest, and those that it has under tags for it. */
async function* artifactsFor(
  source: ImageSource,
  digest: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<Artifact, void, undefined> {
  const listed = (await source.referrers?.(digest, { signal })) ?? [];
  yield* listed.map((each): Artifact => [each.digest, each.artifactType]);
  yield* await tagsOf(source, digest, signal);
}

async function tagsOf(
  source: ImageSource,
  digest: string,
  signal: AbortSignal | undefined,
): Promise<Artifact[]> {
  const found: Artifact[] = [];
  for (const suffix of TAGS) {
    const name = digest.replace(":", "-") + suffix;
    if ((await source.find?.(name, { signal })) !== undefined)
      found.push([name, TAG_TYPES[suffix]]);
  }
  return found;
}

/** The type has not been checked. */
type Artifact = readonly [digest: string, type: unknown];

function artifactsIn(tree: ImageTree, former: ReadonlySet<string>): Artifact[] {
  return tree.documents.flatMap((node) => {
    if (node.kind === "index") return [];
    const { descriptor, document } = node;
    const { subject, text } = document;
    // BuildKit's attestations stay next to the image, and their entries are updated.
    if (isMarked(descriptor) || subject === undefined || !former.has(subject.digest)) return [];
    const { artifactType } = readSubject(fromUtf8(text));
    return [[descriptor.digest, descriptor.artifactType ?? artifactType]];
  });
}

function describe(artifacts: readonly Artifact[], what: "digest" | "former digest"): string {
  const refer = artifacts.length === 1 ? "1 artifact refers" : `${String(artifacts.length)} artifacts refer`; // prettier-ignore
  const names = artifacts
    .slice(0, MAX_SHOWN)
    .map(([digest, type]) => (typeof type !== "string" ? digest : `${digest} (${shown(type)})`));
  const rest = artifacts.length > MAX_SHOWN ? ", …" : "";
  return `${refer} to the image's ${what}: ${names.join(", ")}${rest}`;
}
