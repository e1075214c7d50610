import { OcicryptError } from "../../errors.js";
import type * as node from "../node/gpg.js";

export const exportPublicKeys: typeof node.exportPublicKeys = () => {
  const message = "a browser has no gpg: OpenPGP recipients need a key ring";
  return Promise.reject(new OcicryptError("GPG_NOT_FOUND", message));
};
