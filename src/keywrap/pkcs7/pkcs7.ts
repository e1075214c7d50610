export { group, keyIds, recipient, recipients } from "./recipient.js";
export { key, keys } from "./key.js";
