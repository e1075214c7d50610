import * as documents from "./targets/documents.js";
import * as images from "./targets/images.js";
import * as keyServers from "./targets/key-servers.js";
import * as keys from "./targets/keys.js";
import * as layers from "./targets/layers.js";
import * as places from "./targets/places.js";
import * as wrappedKeys from "./targets/wrapped-keys.js";

/**
 * The targets of fuzzing, by name. Each has the form of its inputs, seeds to begin with, words that its
 * parser knows, the share of the inputs that it gets (1 unless it says otherwise), and `run`, which may only fail with an error of the library.
 */
export const TARGETS = new Map(
  [documents, wrappedKeys, keys, keyServers, places, images, layers].flatMap((group) =>
    Object.entries(group).map(([name, target]) => [kebab(name), target]),
  ),
);

function kebab(name) {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
