import {
  encryptionAnnotations,
  foreignAnnotations,
  replaceContent,
  type Descriptor,
} from "../spec/descriptor.js";
import { convertToOci } from "./features/docker-format.js";
import type { Changes, ManifestPart, NewConfig } from "./manifests/rewrite.js";
import type { SelectedLayer } from "./manifests/select-layers.js";
import type { ImageNode } from "./manifests/tree.js";

/** Changes of manifests other than changes of their layers. */
export interface OtherChanges {
  /** Configs that replace other configs. Default: none. */
  configs?: readonly NewConfig[] | undefined;
  /** Whether Docker manifests are converted to OCI. Default: false. */
  toOci?: boolean | undefined;
}

/** Returns the edits that give layers new descriptors. */
export function changesOf(
  root: ImageNode,
  layers: ReadonlyMap<SelectedLayer, Descriptor>,
  { configs = [], toOci = false }: OtherChanges,
): Changes {
  const parts = new Map<ManifestPart, Descriptor>(layers);
  for (const config of configs) parts.set(config, config.after);
  return toOci ? convertToOci(root, parts) : { parts };
}

/**
 * Applies the result for one layer to another descriptor of the same blob, which keeps its own
 * annotations.
 */
export function mergeLayer(before: Descriptor, result: Descriptor): Descriptor {
  const annotations = { ...foreignAnnotations(before), ...encryptionAnnotations(result) };
  const { mediaType, digest, size } = result;
  return replaceContent(before, { mediaType, digest, size, annotations });
}
