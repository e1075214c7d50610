import {
  encryptionAnnotations,
  foreignAnnotations,
  replaceContent,
  type Descriptor,
} from "../spec/descriptor.js";
import type { NewConfig } from "./features/config-history.js";
import { convertToOci } from "./features/docker-format.js";
import type { ChangedParts, ChangedTypes, ManifestPart } from "./manifests/rewrite.js";
import type { SelectedLayer } from "./manifests/select-layers.js";
import type { ImageNode } from "./manifests/tree.js";

/** What there is to rebuild. */
export interface Changes {
  parts: ChangedParts;
  types?: ChangedTypes | undefined;
}

/** What changes in manifests besides their layers. */
export interface OtherChanges {
  /** Configs that take the place of others; none by default. */
  configs?: readonly NewConfig[] | undefined;
  /** Whether what is of Docker's format becomes OCI's; not by default. */
  toOci?: boolean | undefined;
}

/** What there is to rebuild where layers get new descriptors. */
export function changesOf(
  root: ImageNode,
  layers: ReadonlyMap<SelectedLayer, Descriptor>,
  { configs = [], toOci = false }: OtherChanges,
): Changes {
  const parts = new Map<ManifestPart, Descriptor>(layers);
  for (const config of configs) parts.set(config, config.after);
  return toOci ? convertToOci(root, parts) : { parts };
}

/** What was made of one layer, for a descriptor that shares the blob and has its own rest. */
export function mergeLayer(before: Descriptor, result: Descriptor): Descriptor {
  const annotations = { ...foreignAnnotations(before), ...encryptionAnnotations(result) };
  const { mediaType, digest, size } = result;
  return replaceContent(before, { mediaType, digest, size, annotations });
}
