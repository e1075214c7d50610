import { OcicryptError, shown } from "../../errors.js";
import { listRecipients } from "../../layer/explain.js";
import { encryptionSchemes, type Descriptor } from "../../spec/descriptor.js";
import { isEncryptedMediaType } from "../../spec/media-types.js";
import {
  nameOfLayer,
  selectLayers,
  type SelectedLayer,
  type LayerSelection,
} from "../manifests/select-layers.js";
import {
  isNowhere,
  type ImageNode,
  type ManifestNode,
  type MissingNode,
  type OtherNode,
} from "../manifests/tree.js";

/** Conditions that an image must meet before any of it is decrypted. */
export interface DecryptPolicy {
  /**
   * Rejects an image unless these layers, or with `true` all layers, are encrypted. Otherwise a
   * layer that an attacker replaced with a plain one goes unnoticed, because it needs no key. This
   * does not authenticate the sender: anyone with a public key can encrypt. Select only by `layers`
   * and `platforms`, because the image itself states its media types and sizes.
   */
  requireEncrypted?: boolean | LayerSelection | undefined;
  /**
   * Rejects an image if a layer to decrypt is not wrapped for each of these: a `scheme`, such as
   * `jwe` or `provider.NAME`, or a `keyId`, as `inspectImage` reports them. This finds mistakes, not
   * attacks: the values come from annotations, which anyone can write.
   */
  requireRecipients?: readonly string[] | undefined;
  /**
   * Rejects an image if a layer to decrypt is not bound to it. The wrapped key of a bound layer
   * contains a hash of this image's config and diffIDs and of the layer's position. If a layer has
   * a binding, it is verified in any case. Default: false.
   */
  requireBound?: boolean | undefined;
}

/**
 * @throws {@link OcicryptError} `POLICY_VIOLATION`; `NOTHING_SELECTED` if layers that must be
 *   encrypted do not exist
 */
export function requireEncryptedLayers(
  root: ImageNode,
  policy: DecryptPolicy["requireEncrypted"],
): void {
  if (policy === undefined || policy === false) return;
  const { manifests, others } = runnable(root);
  if (policy === true) {
    const [unknown] = others;
    if (unknown !== undefined) {
      const { mediaType, digest } = unknown.descriptor;
      if (unknown.kind === "missing") throw violation(`the manifest ${digest} is missing`);
      throw violation(`the image has an entry of the unknown type ${shown(mediaType)}`);
    }
    const bare = manifests.find(({ document }) => document.layers.length === 0);
    if (bare !== undefined) throw violation(`the manifest ${bare.descriptor.digest} has no layers`);
  }
  const layers = selectLayers(manifests, policy === true ? {} : policy);
  if (layers.length === 0) throw violation("the image has no layers");
  const plain = layers.find(({ descriptor }) => !isEncrypted(descriptor));
  if (plain !== undefined) throw violation(`${nameOfLayer(plain)} is not encrypted`);
}

/** @throws {@link OcicryptError} `POLICY_VIOLATION` */
export async function requireLayerRecipients(
  layers: readonly SelectedLayer[],
  required: DecryptPolicy["requireRecipients"] = [],
): Promise<void> {
  if (required.length === 0) return;
  for (const layer of layers) {
    const reports = await listRecipients(layer.descriptor);
    const present = reports.filter(({ problem }) => problem === undefined);
    for (const wanted of required) {
      if (present.some(({ scheme, keyId }) => scheme === wanted || keyId === wanted)) continue;
      throw violation(`${nameOfLayer(layer)} is not encrypted for ${shown(wanted)}`);
    }
  }
}

/**
 * Returns the manifests that a runtime might run. The platform decides this and not BuildKit's mark
 * of attestations, which could otherwise hide a plain image from the policy.
 */
function runnable(node: ImageNode): {
  manifests: ManifestNode[];
  others: (OtherNode | MissingNode)[];
} {
  if (node.kind === "index") {
    const children = node.children.map(runnable);
    return {
      manifests: children.flatMap(({ manifests }) => manifests),
      others: children.flatMap(({ others }) => others),
    };
  }
  if (node.kind === "other" || node.kind === "missing") return { manifests: [], others: [node] };
  const { isAttestation, platform } = node;
  return { manifests: isAttestation && isNowhere(platform) ? [] : [node], others: [] };
}

/** Stricter than elsewhere, because a runtime treats a layer as plain by its media type alone. */
function isEncrypted(descriptor: Descriptor): boolean {
  return isEncryptedMediaType(descriptor.mediaType) && encryptionSchemes(descriptor).length > 0;
}

function violation(message: string): OcicryptError {
  return new OcicryptError("POLICY_VIOLATION", message);
}
