import { join } from "node:path";
import { it } from "vitest";
import { buildPeers, hasProgram, IS_CI, temporaryDirectory } from "./peers.js";

/** The programs in the directory that `CONTAINERD_2` names, or of `build-peers.sh`. */
if (process.env.CONTAINERD_2 === undefined && hasProgram("go", "version")) {
  const directory = temporaryDirectory();
  await buildPeers(directory, "containerd-2");
  process.env.CONTAINERD_2 = join(directory, "containerd-2");
}
if (process.env.CONTAINERD_2 !== undefined) await import("./containerd.test.js");
else if (IS_CI) throw new Error("Go is missing, and CI must have it");
else it.skip("Go is not installed");
