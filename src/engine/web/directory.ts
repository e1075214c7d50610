import { OcicryptError } from "../../errors.js";
import type { DirectoryEngine } from "../content-types.js";

export const stageFiles: DirectoryEngine["stageFiles"] = (directory) => {
  const message = `${directory} cannot be written here: files are pulled into directories by Node.js only`;
  return Promise.reject(new OcicryptError("DESTINATION_UNWRITABLE", message));
};
