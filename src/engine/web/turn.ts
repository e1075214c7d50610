import type { TurnEngine } from "../types.js";

/** A message, because browsers make nested timers wait for 4 milliseconds. */
export const nextTurn: TurnEngine["nextTurn"] = () =>
  new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    // Assigned so, because the types of Node.js do not have it.
    Object.assign(port1, {
      onmessage: () => {
        port1.close();
        resolve();
      },
    });
    port2.postMessage(undefined);
  });

export const unlimitListeners: TurnEngine["unlimitListeners"] = () => undefined;
