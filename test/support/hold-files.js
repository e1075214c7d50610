// Loaded into the command by `--import`: stops it before a file operation that a test names, as if
// the disk took its time, until a signal comes. Descriptor 3 reports each held operation.
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";

const moment = JSON.parse(process.env.OCICRYPT_TEST_HOLD);
const path = new RegExp(moment.path);
let count = 0;
let isHeld = false;
let isReleased = false;
const waiting = [];

/** From the one that was named on, all operations of its kind wait. */
async function pass(operation, file) {
  if (operation !== moment.operation || !path.test(String(file)) || ++count < moment.count) return;
  if (isReleased) return;
  const released = new Promise((resolve) => waiting.push(resolve));
  if (!isHeld) hold();
  await released;
}

function hold() {
  isHeld = true;
  // A process that only waits for a promise would end.
  const alive = setInterval(() => undefined, 60_000);
  const release = () => {
    isReleased = true;
    clearInterval(alive);
    for (const go of waiting) go();
  };
  // Behind the command's own listeners.
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => setImmediate(release));
  fs.writeSync(3, "held\n");
}

for (const operation of ["mkdir", "rename", "rm"]) {
  const original = fs.promises[operation];
  fs.promises[operation] = async (file, ...rest) => {
    await pass(operation, file);
    return original(file, ...rest);
  };
}

const open = fs.promises.open;
fs.promises.open = async (file, ...rest) => {
  await pass("open", file);
  const handle = await open(file, ...rest);
  for (const operation of ["sync", "close"]) {
    const original = handle[operation].bind(handle);
    handle[operation] = async () => {
      await pass(operation, file);
      return original();
    };
  }
  return handle;
};
syncBuiltinESMExports();
