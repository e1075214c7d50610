import type { Key, Recipient } from "../keywrap/types.js";
import type { JsonObject } from "../text/json.js";

/** A system that wraps keys, as the arguments of the command name it. */
export interface KeyServer {
  /**
   * Returns the recipients of one `-r`, or the file of a public key or certificate that the system
   * keeps.
   *
   * @param text the whole argument, such as `age:age1…`
   */
  recipients(text: string, context: KeyServerContext): Promise<(Recipient | ServedFile)[]>;
  /**
   * Returns the key that all `-k` of this system name together, and the files of private keys and
   * certificates that the system keeps. Absent if its keys are files of the user.
   *
   * @param texts the whole arguments, such as `tang` and `tang:http://tang.example`
   */
  keys?(texts: readonly string[], context: KeyServerContext): Promise<(Key | ServedFile)[]>;
}

/** A key file that a key server keeps. */
export interface ServedFile {
  content: Uint8Array;
  label: string;
}

export interface KeyServerContext {
  /** The settings file, with one member for each system. Without a file, an empty object. */
  settings: JsonObject;
  /** Reads a file that an argument names; `-` is standard input. */
  readFile(file: string): Uint8Array;
  signal?: AbortSignal | undefined;
  /**
   * The servers that a recipient may name, in addition to those of the settings. Absent if the user
   * names the recipient; set if another program does, which must not choose the servers that get a
   * request or a login.
   */
  allowedServers?: readonly string[] | undefined;
  /**
   * Called with each warning for the user, such as about a server that nobody has verified, or a key
   * that was rotated.
   */
  onWarning?: ((message: string) => void) | undefined;
}
