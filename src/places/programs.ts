import { spawn } from "node:child_process";
import { once } from "node:events";
import { PassThrough } from "node:stream";
import { OcicryptError, errno } from "../errors.js";
import { savedSource } from "../store/archive/docker.js";
import { sourceIn, takeArchive, type OpenArchive } from "../store/archive/source.js";
import type { ImageSource } from "../store/types.js";
import { printable } from "../text/printable.js";

const MAX_MESSAGE = 2000;

/**
 * An image in the store of podman, buildah and CRI-O, which `podman save` writes into a temporary
 * file without a name.
 */
export function containersStorageSource(image: string): ImageSource {
  const args = ["save", "--quiet", "--format", "oci-archive", image];
  return sourceIn({ path: image }, savedBy("podman", args, "containers-storage", image));
}

/** An image of the Docker daemon, which `docker save` writes into a temporary file without a name. */
export function dockerDaemonSource(image: string): ImageSource {
  return savedSource({ path: image }, savedBy("docker", ["save", image], "docker-daemon", image));
}

/** Opens the archive that a program writes to its standard output. */
function savedBy(
  program: string,
  args: readonly string[],
  transport: string,
  image: string,
): OpenArchive {
  return async (signal) => {
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], signal });
    // Node.js drops what nobody reads when the program has ended.
    const written = child.stdout.pipe(new PassThrough());
    let said = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      said = (said + text).slice(-MAX_MESSAGE);
    });
    const ended = once(child, "close") as Promise<[number | null]>;
    // Awaited below, unless the output fails first.
    ended.catch(() => undefined);
    const command = `skopeo copy ${transport}:${image} oci:DIR:TAG`;
    async function* output(): AsyncGenerator<Uint8Array, void, undefined> {
      yield* written as AsyncIterable<Uint8Array>;
      let status: number | null;
      try {
        [status] = await ended;
      } catch (error) {
        signal?.throwIfAborted();
        const message = `${transport}: is read by ${program}, which cannot be started (${errno(error) ?? "unknown"}); copy the image with ${command}`;
        throw new OcicryptError("SOURCE_UNREADABLE", message, { cause: error });
      }
      if (status === 0) return;
      const why = printable(said.trim().split("\n").at(-1) ?? "", MAX_MESSAGE);
      const message = `${program} cannot read ${image}: ${why}`;
      throw new OcicryptError("IMAGE_NOT_FOUND", message);
    }
    try {
      return await takeArchive(output(), image, signal);
    } finally {
      if (child.exitCode === null) child.kill();
    }
  };
}
