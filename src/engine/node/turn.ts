import { setMaxListeners } from "node:events";
import { setImmediate } from "node:timers/promises";
import type { TurnEngine } from "../types.js";

export const nextTurn: TurnEngine["nextTurn"] = () => setImmediate();
export const unlimitListeners: TurnEngine["unlimitListeners"] = (signal) => {
  setMaxListeners(0, signal);
};
