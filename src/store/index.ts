/** Where images live, at `ocicrypt/store`. */
export { layoutDestination } from "./layout-destination.js";
export { layoutSource } from "./layout-source.js";
export { parseReference } from "./reference.js";

export type { Reference } from "./reference.js";
export type { ImageDestination, ImageSource, StoreOptions } from "./types.js";
