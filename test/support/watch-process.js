// Imported before a program, it writes to the file that WATCHED names, as JSON: the most memory that
// the process has had, in bytes, and the longest stretch in which nothing else could run, in
// milliseconds. A stretch counts the processor's time, as a busy machine delays everything.
import { readFileSync, writeFileSync } from "node:fs";

let before = { cpu: process.cpuUsage(), wall: performance.now() };
let stretch = 0;

function look() {
  const { user, system } = process.cpuUsage(before.cpu);
  const wall = performance.now();
  // Other threads collect garbage and derive keys meanwhile.
  stretch = Math.max(stretch, Math.min((user + system) / 1000, wall - before.wall));
  before = { cpu: process.cpuUsage(), wall };
}

setInterval(look, 1).unref();
process.on("exit", () => {
  look();
  // Not getrusage, whose figure a process inherits from the one that started it: proc(5), VmHWM.
  const [, kibibytes] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8"));
  const peak = Number(kibibytes) * 1024;
  writeFileSync(process.env.WATCHED, JSON.stringify({ peak, stretch }));
});
