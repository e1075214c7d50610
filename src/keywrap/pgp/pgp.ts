export { recipient } from "./recipient.js";
export { key } from "./key.js";
