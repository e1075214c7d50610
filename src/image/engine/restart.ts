import { isOcicryptError } from "../../errors.js";

/** Each means that a whole layer is read and sent once more. */
const MAX_RESTARTS = 2;

/**
 * Writes a blob, and again from its start where a registry has lost what it had of it: Docker's
 * registry and zot do, when a connection breaks off within a chunk that is not the first.
 */
export async function restarting<T>(write: () => Promise<T>): Promise<T> {
  for (let count = 0; ; count++) {
    try {
      return await write();
    } catch (error) {
      const isLost = isOcicryptError(error, "REGISTRY_UPLOAD_LOST");
      if (!isLost || count === MAX_RESTARTS) throw error;
    }
  }
}
