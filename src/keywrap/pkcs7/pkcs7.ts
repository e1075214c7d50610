export { group, recipient, recipients } from "./recipient.js";
export { key, keys } from "./key.js";
export { keyIds } from "./key-ids.js";
