// Imported before a program, it leaves the most memory that the process has had, in bytes, in the
// file that PEAK_MEMORY names.
import { readFileSync, writeFileSync } from "node:fs";

process.on("exit", () => {
  // Not getrusage, whose figure a process inherits from the one that started it: proc(5), VmHWM.
  const [, kibibytes] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8"));
  writeFileSync(process.env.PEAK_MEMORY, String(Number(kibibytes) * 1024));
});
