import { it } from "vitest";

// Building it takes minutes, so that CI does not: test/interop/build-peers.sh DIRECTORY containerd-2
if (process.env.CONTAINERD_2 !== undefined) await import("./containerd.test.js");
else it.skip("CONTAINERD_2 names no directory with the programs of containerd 2");
