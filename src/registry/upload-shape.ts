/**
 * How a registry takes content: as one request of unknown length, which all registries take from
 * `docker push`, or in chunks. Amazon ECR wants chunks of 5 MiB or more and tells that at the end
 * (https://github.com/regclient/regclient/issues/81); GitHub's takes none above 4 MiB
 * (https://github.com/ocx-sh/ocx/pull/237); Google Artifact Registry takes no second one
 * (https://github.com/containers/skopeo/issues/1101). Proxies in front of a registry limit the size
 * of a request (https://github.com/goharbor/harbor/issues/22353). Content in the last request,
 * which would save one, is refused by Artifactory (https://github.com/docker/buildx/issues/196).
 */
export type Shape = "stream" | "chunks";
/** The shape that worked last if the usual one did not, by the registry's host. */
const shapes = new Map<string, Shape>();
const MAX_SHAPES = 1000;

/** The shape to start with at a host. */
export function shapeFor(host: string, usual: Shape): Shape {
  return shapes.get(host) ?? usual;
}

/** Remembers a shape for the next uploads to a host, in this process. */
export function rememberShape(host: string, shape: Shape): void {
  if (shapes.size >= MAX_SHAPES) shapes.clear();
  shapes.set(host, shape);
}
