import type { BlobFile } from "../src/blobs/index.js";
import type { ImageReport } from "../src/image/index.js";

/** A file that a user chose or dropped, or the files of a directory. */
export type Given =
  { kind: "file"; file: File } | { kind: "directory"; name: string; files: BlobFile[] };

/** The answer of the worker: a key, an image, or neither. */
export type Found =
  | { kind: "key"; key: KeyView }
  | { kind: "locked"; locked: LockedView }
  | { kind: "image"; image: ImageView }
  | { kind: "known"; name: string; as: string }
  | { kind: "unknown"; name: string; problem: Problem };

/** A key file that was read. The key itself stays in the worker. */
export interface KeyView {
  id: number;
  name: string;
  /** The schemes of the layers that its private keys may open; empty for a public key. */
  opens: string[];
  /** The schemes that its public keys encrypt for; empty for a private key. */
  encryptsFor: string[];
}

/** A key file that waits for its password. */
export interface LockedView {
  id: number;
  name: string;
}

/** An opened layout. */
export interface ImageView {
  id: number;
  name: string;
  /** The tags or digests of its images. */
  images: string[];
}

/** One image of an opened layout. */
export interface ImageName {
  id: number;
  /** Its position in {@link ImageView.images}. */
  index: number;
}

/** The merged files of the layers that were opened. */
export interface FilesView {
  id: number;
  platform: string;
  /** The number of files. */
  total: number;
  warnings: string[];
}

export interface FileView {
  /** Names the file for the worker: one character for each byte. */
  path: string;
  /** The path as text. */
  text: string;
  /** The last part of the text. */
  name: string;
  type: string;
  size: number;
  mode: number;
  owner: string;
  /** The time of the last change, in milliseconds since 1970. */
  mtime: number;
  target?: string | undefined;
  layer?: number | undefined;
}

/** Some of the files that were asked for, and the number of all. */
export interface FilePage {
  files: FileView[];
  total: number;
}

/** An archive that was made, to be saved. */
export interface Archive {
  name: string;
  blob: Blob;
  /** The results, one line for each layer. */
  lines: string[];
  warnings: string[];
}

/** The operations of the worker, each with what it takes and what it returns. */
export interface Operations {
  add: { takes: Given; gives: Found };
  unlock: { takes: { id: number; password: string }; gives: Found };
  forget: { takes: { id: number }; gives: null };
  inspect: { takes: ImageName; gives: ImageReport };
  /** Opens the layers with these positions in the manifest of a platform. */
  openFiles: { takes: ImageName & { platform: string; layers: number[] }; gives: FilesView };
  listFiles: { takes: { id: number; path: string; count: number }; gives: FilePage };
  searchFiles: { takes: { id: number; words: string; count: number }; gives: FilePage };
  /** Reads a file, up to a limit in bytes if there is one. */
  readFile: { takes: { id: number; path: string; limit?: number | undefined }; gives: Blob };
  decrypt: { takes: ImageName; gives: Archive };
  encrypt: { takes: ImageName & { recipients: number[] }; gives: Archive };
}

export type OperationName = keyof Operations;

/** An error, as it crosses to the page. */
export interface Problem {
  /** Absent for an error that is not one of the library. */
  code?: string | undefined;
  message: string;
}

/** How much of its work an operation has done, in bytes. */
export interface Progress {
  done: number;
  total: number;
}

export type Request =
  | {
      [Name in OperationName]: { id: number; name: Name; input: Operations[Name]["takes"] };
    }[OperationName]
  | { id: number; name: "cancel" };

export type Response =
  | { id: number; kind: "progress"; progress: Progress }
  | { id: number; kind: "done"; output: Operations[OperationName]["gives"] }
  | { id: number; kind: "failed"; problem: Problem };
