import { KEYS_PREFIX } from "../spec/annotations.js";
import type { DescriptorLike } from "../spec/descriptor.js";
import { reportRecipients, type RecipientReport } from "./explain.js";
import type { WrappedElement } from "./wrap.js";
import { appendWrappedKeys } from "./wrapped-keys.js";

/** Other recipients for a layer: some wrapped keys go, new ones come behind those that stay. */
export interface RecipientsChange {
  /** Without the wrapped keys that go. */
  annotations: Record<string, string>;
  /** For each new recipient its wrapped key; `undefined` for one that is there already. */
  wrapped: readonly (WrappedElement | undefined)[];
  added: RecipientReport[];
  /** The recipients of the layer that new ones turned out to be. */
  present: RecipientReport[];
  removed: RecipientReport[];
  /** Recipients that stay though the others were replaced, as nothing is known of their scheme. */
  kept: RecipientReport[];
}

/**
 * The descriptor after a change, or with only the first few of its new recipients.
 *
 * @throws {@link OcicryptError} `ANNOTATION_TOO_LARGE`
 */
export function applyChange<D extends DescriptorLike>(
  descriptor: D,
  { annotations, wrapped }: RecipientsChange,
  count: number = wrapped.length,
): D & { annotations: Record<string, string> } {
  const added = wrapped.slice(0, count).filter((element) => element !== undefined);
  return { ...descriptor, annotations: appendWrappedKeys(annotations, added) };
}

/** Reports new wrapped keys with the places that they will have behind those that are there. */
export async function reportAdded(
  annotations: Readonly<Record<string, string>>,
  wrapped: readonly WrappedElement[],
): Promise<RecipientReport[][]> {
  const counts = new Map<string, number>();
  return Promise.all(
    wrapped.map(({ scheme, bytes }) => {
      const index = counts.get(scheme) ?? countElements(annotations[KEYS_PREFIX + scheme]);
      counts.set(scheme, index + 1);
      return reportRecipients({ scheme, index, bytes });
    }),
  );
}

function countElements(list: string | undefined): number {
  return list === undefined || list === "" ? 0 : list.split(",").length;
}
