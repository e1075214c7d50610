/* The functions of the engine for the content of layers. types.ts explains how they are chosen. */

/** The formats in which layers and archives are compressed. */
export type PackFormat = "gzip" | "zstd";

export interface InflateEngine {
  /** Whether the platform can decompress a format. */
  canInflate(format: PackFormat): boolean;
  /**
   * Decompresses content: all members of a gzip file (RFC 1952 section 2.2), which zeros may follow,
   * as on tapes; all frames of a zstd file. It reads no more than it needs for what it yields.
   *
   * @param damaged makes the error for content that is not whole, or not in the format
   * @throws {Error} what `damaged` makes, and the errors of the content
   */
  inflate(
    content: AsyncIterable<Uint8Array>,
    format: PackFormat,
    damaged: (cause: unknown) => Error,
  ): AsyncGenerator<Uint8Array, void, undefined>;
}

/** Files that appear in a directory together. */
export interface StagedFiles {
  /** Takes the next file. */
  add(title: string, content: AsyncIterable<Uint8Array>): Promise<void>;
  /** Puts all files in their places, which must be free. Never follows a symbolic link there. */
  place(signal: AbortSignal | undefined): Promise<void>;
  /** Removes what is left after all files are in their places. */
  close(): Promise<void>;
  /** Removes everything. */
  discard(): Promise<void>;
}

export interface DirectoryEngine {
  /**
   * Prepares files in a directory that need not exist.
   *
   * @param titles the paths of the files in the directory, with slashes
   * @throws {@link OcicryptError} `DESTINATION_EXISTS`, `DESTINATION_FULL`, `DESTINATION_UNWRITABLE`
   */
  stageFiles(directory: string, titles: readonly string[]): Promise<StagedFiles>;
}

/** Content that was stored whole, and can be read any number of times. */
export interface Stored {
  /**
   * Reads the content, or the bytes of it from `start` up to, but not including, `end`.
   */
  read(start?: number, end?: number): AsyncGenerator<Uint8Array, void, undefined>;
}

/** A private store for content that is too large for memory. */
export interface Overflow {
  /**
   * Stores content whole.
   *
   * @throws {@link OcicryptError} `DESTINATION_FULL`, `DESTINATION_UNWRITABLE`, and the errors of the
   *   content
   */
  add(content: AsyncIterable<Uint8Array>): Promise<Stored>;
  /** Drops all content. */
  close(): Promise<void>;
}

export interface OverflowEngine {
  /** Nothing is opened before the first content. */
  openOverflow(): Overflow;
}
