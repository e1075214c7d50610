import { nextTurn } from "#engine/turn";
import type { ImageSource } from "../store/types.js";
import {
  countsOf,
  findBaseChanged,
  findBaseLayers,
  reportBase,
  type BaseResult,
} from "./features/base-image.js";
import type { ImageHashes } from "./features/binding.js";
import { readConfigs, type ReadConfigs } from "./features/config-history.js";
import { CONVERTED_WARNING, hasDockerFormat } from "./features/docker-format.js";
import { findWrongDiffIds, plainDiffIds } from "./features/expected-config.js";
import { findDescriptorLoss, findPlainLeft, withOtherPlaces } from "./features/plain-left.js";
import {
  requirePresent,
  selectLayers,
  selectManifests,
  type SelectedLayer,
  type LayerSelection,
} from "./manifests/select-layers.js";
import type { ImageTree } from "./manifests/tree.js";

/** Options of `encryptImage`, which describes them. */
interface PlanOptions extends LayerSelection {
  skipBase?: boolean | ImageSource | undefined;
  redactHistory?: boolean | undefined;
  signal?: AbortSignal | undefined;
}

export interface EncryptionPlan {
  selected: SelectedLayer[];
  configs: ReadConfigs;
  /** With `skipBase`. */
  base: BaseResult[] | undefined;
  /** The configs as the encrypted image has them. */
  bound: ImageHashes;
  diffIds: ReadonlyMap<SelectedLayer, string>;
  warnings: string[];
}

/** Decides which layers are encrypted, before anything is written. */
export async function planEncryption(
  source: ImageSource,
  tree: ImageTree,
  options: PlanOptions,
): Promise<EncryptionPlan> {
  const { skipBase = false, redactHistory: redact = false, signal } = options;
  requirePresent(tree, options);
  const manifests = tree.manifests;
  const chosen = selectManifests(manifests, options);
  const chosenConfigs = await readConfigs(source, chosen, { redact, signal });
  const base =
    skipBase === false
      ? undefined
      : await findBaseLayers(source, chosen, {
          ...{
            base: skipBase === true ? undefined : skipBase,
            configs: chosenConfigs.configs,
            signal,
          },
        });
  await nextTurn();
  const wanted = selectLayers(manifests, options, base && countsOf(base));
  const { layers: selected, warnings: added } = withOtherPlaces(manifests, wanted);
  const changed = [...new Set([...chosen, ...selected.map(({ manifest }) => manifest)])];
  const configs =
    changed.length === chosen.length
      ? chosenConfigs
      : await readConfigs(source, changed, { redact, signal });
  const converted = hasDockerFormat(tree) ? [CONVERTED_WARNING] : [];
  const baseWarnings = base === undefined ? [] : findBaseChanged(base);
  const wrong = findWrongDiffIds(changed, configs.configs);
  const diffIds = plainDiffIds(selected, configs.configs);
  const left = [...findPlainLeft(tree), ...findDescriptorLoss(tree, selected)];
  const warnings = [
    ...converted,
    ...configs.warnings,
    ...wrong,
    ...baseWarnings,
    ...added,
    ...left,
  ];
  const report = base && reportBase(base);
  return { selected, configs, base: report, bound: configs.hashes, diffIds, warnings };
}
