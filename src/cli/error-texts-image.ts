import type {
  ContentErrorCode,
  ErrorCode,
  FileErrorCode,
  LayerErrorCode,
  PlaceErrorCode,
  RequestErrorCode,
  WrappedKeyErrorCode,
} from "../errors.js";

/** The texts about one code, for `docs/errors.md` and for the terminal; backticks mark code. */
export interface ErrorText {
  meaning: string;
  /** An imperative, or a fact that says what to do; without a full stop. */
  hint: string;
}

export type ErrorTexts<Code extends ErrorCode> = Readonly<Record<Code, ErrorText>>;

/** Errors about the image, its layers, and the places where images live. */

export const REQUEST: ErrorTexts<RequestErrorCode> = {
  ALREADY_ENCRYPTED: {
    meaning:
      "The layer, or part of the image, is already encrypted. Encrypting it again would hide the first key.",
    hint: "add recipients with `ocicrypt recipients add`, decrypt the image first, or select plain layers with `--layer`",
  },
  NOT_ENCRYPTED: {
    meaning:
      "No layer, or none of the selected layers, is encrypted. If it should be, someone may have replaced the image.",
    hint: "run `ocicrypt inspect` to see which layers are encrypted",
  },
  NOTHING_TO_ENCRYPT: {
    meaning: "The image has no layers.",
    hint: "name an image that has layers: only layers can be encrypted",
  },
  NOTHING_SELECTED: {
    meaning: "The image has no layer or platform that matches the selection.",
    hint: "run `ocicrypt inspect` to see the layers and platforms of the image",
  },
  BASE_NOT_FOUND: {
    meaning:
      "The base image is unknown: the image does not name it, or it is not stored where the image is.",
    hint: "name the base image with `--base IMAGE`",
  },
  BASE_MISMATCH: {
    meaning:
      "The image shares no layer with the base image, or the base image has no manifest for the platform.",
    hint: "name the exact base image and version that the image was built from",
  },
  POLICY_VIOLATION: {
    meaning:
      "A layer is not encrypted, not bound to the image, or lacks a recipient, although an option requires it. Nothing was written.",
    hint: "get the image from a source you trust: someone may have replaced it",
  },
  NO_RECIPIENTS: {
    meaning: "Encryption needs at least one recipient.",
    hint: "name a recipient with `-r`, such as `-r jwe:public.pem`",
  },
  LAST_RECIPIENT: {
    meaning: "If these recipients were removed, nobody could decrypt the layer.",
    hint: "add another recipient first; to give up encryption, decrypt the image",
  },
  RECIPIENTS_INSEPARABLE: {
    meaning: "The recipient to remove shares its wrapped key with other recipients.",
    hint: "use `ocicrypt recipients replace` and name everyone who keeps access",
  },
  NOT_FINISHED: {
    meaning: "`finalize()` was called before the stream was read to its end.",
    hint: "read the stream to its end before you call `finalize()`",
  },
  PROFILE_IMPOSSIBLE: {
    meaning: "The readers that `compat` names could not decrypt the image.",
    hint: "omit `--compat`, or name only recipients that these readers support",
  },
};

const DAMAGED = "get the image again: its manifest is damaged";

const FAULTY = "encrypt the image again: the tool that encrypted it is faulty";

export const LAYER: ErrorTexts<LayerErrorCode> = {
  CIPHER_UNSUPPORTED: {
    meaning: "The public options name a cipher other than AES-256-CTR with HMAC-SHA256.",
    hint: "get the image again; if a newer tool encrypted it, update ocicrypt",
  },
  SYMKEY_INVALID: { meaning: "The layer's unwrapped key is not 32 bytes long.", hint: FAULTY },
  NONCE_MISSING: { meaning: "The private options have no nonce.", hint: FAULTY },
  NONCE_INVALID: { meaning: "The nonce is not 16 bytes long.", hint: FAULTY },
  NONCE_OVERRIDDEN: {
    meaning:
      "The public options hold a nonce, which other tools would use instead of the private one.",
    hint: "get the image from a source you trust: its manifest was probably tampered with",
  },
  HMAC_MISSING: {
    meaning: "The public options have no HMAC.",
    hint: "get the image again: its manifest is incomplete",
  },
  HMAC_INVALID: {
    meaning: "The HMAC is not 32 bytes long.",
    hint: DAMAGED,
  },
  HMAC_MISMATCH: {
    meaning:
      "The blob differs from the one that was encrypted. Discard anything decrypted from it.",
    hint: "get the image again: the layer was damaged or tampered with",
  },
  THREAD_FAILED: {
    meaning:
      "A thread that computes hashes has ended, perhaps for lack of memory. Nothing was written.",
    hint: "run the command again; `--threads 0` uses no extra threads",
  },
  PRIVATE_OPTIONS_INVALID: {
    meaning: "The unwrapped key is not the JSON of private options.",
    hint: FAULTY,
  },
  PUBLIC_OPTIONS_MISSING: {
    meaning: "The annotation with the public options is missing.",
    hint: "get the image again: a tool dropped an annotation from its manifest",
  },
  PUBLIC_OPTIONS_INVALID: {
    meaning: "The public options are not valid JSON, or lack a required member.",
    hint: DAMAGED,
  },
};

export const WRAPPED_KEY: ErrorTexts<WrappedKeyErrorCode> = {
  ANNOTATION_BASE64: {
    meaning: "An annotation, or an element of a list of wrapped keys, is not base64.",
    hint: DAMAGED,
  },
  ANNOTATION_EMPTY: {
    meaning: "The layer has no wrapped key, or an element of a list is empty.",
    hint: DAMAGED,
  },
  ANNOTATION_TOO_LARGE: {
    meaning:
      "An annotation is, or would become, larger than 1 MiB, or has more than 1024 wrapped keys.",
    hint: "use fewer recipients",
  },
  WRAPPED_KEY_INVALID: {
    meaning: "A wrapped key does not have the form of its scheme.",
    hint: DAMAGED,
  },
  WRAPPED_KEY_UNSUPPORTED: {
    meaning: "A wrapped key uses an algorithm or form that this library does not read.",
    hint: "ask whoever encrypted the image to use another algorithm",
  },
  WRAP_FAILED: {
    meaning:
      "A recipient could not wrap the key. Nothing was encrypted. The message and `cause` say why.",
    hint: "check the recipient's key, or the service that holds it",
  },
};

export const CONTENT: ErrorTexts<ContentErrorCode> = {
  DESCRIPTOR_INVALID: { meaning: "A digest, size or media type is not valid.", hint: DAMAGED },
  BLOB_SIZE_MISMATCH: {
    meaning: "A blob is longer or shorter than its descriptor says.",
    hint: "get the image again: it is incomplete or damaged",
  },
  BLOB_DIGEST_MISMATCH: {
    meaning: "A blob does not have the digest in its descriptor.",
    hint: "get the image again: it was damaged or tampered with",
  },
  DIFF_ID_UNCHECKED: {
    meaning:
      "The config names the layer's diffID, but this platform cannot decompress zstd to compare it.",
    hint: "use Node.js 22.15 or later, or decrypt with `--allow-unverified`",
  },
  BINDING_MISMATCH: {
    meaning:
      "A layer was encrypted for another image, or the image's config or the layer's position has changed since.",
    hint: "do not run the image; get it from whoever encrypted it",
  },
  DIFF_ID_MISMATCH: {
    meaning:
      "A decrypted layer is not the one that the image's config names: it was swapped or damaged before encryption.",
    hint: "do not run the image: it was built with another layer",
  },
  SIGNATURE_MISSING: {
    meaning: "No cosign signature is stored next to the image.",
    hint: "sign the image with `cosign sign --key KEY`, or omit `--verify-signature`",
  },
  SIGNATURE_INVALID: {
    meaning: "No signature of the image or blob was made for this content with the given key.",
    hint: "do not use the image; check that the key is the signer's public key",
  },
};

export const PLACE: ErrorTexts<PlaceErrorCode> = {
  REFERENCE_INVALID: {
    meaning: "The name of an image has an unknown form, or contains a password.",
    hint: "write oci:DIR:TAG, oci-archive:FILE:TAG or docker://HOST/REPOSITORY:TAG",
  },
  IMAGE_NOT_FOUND: {
    meaning:
      "The layout, archive or repository does not exist, holds no image of that name, or holds several images and none was named. For a layout or archive, the message lists the names.",
    hint: "check the path or registry, and the tag; the source comes first, and a tar file is oci-archive:FILE",
  },
  BLOB_NOT_FOUND: {
    meaning: "A blob that a manifest names is missing.",
    hint: "get the image again: it is incomplete",
  },
  LAYOUT_INVALID: {
    meaning: "The directory is neither empty nor an OCI layout of version 1.0.0.",
    hint: "name an OCI layout (oci:DIR), an archive (oci-archive:FILE), or a path that does not exist yet",
  },
  MANIFEST_INVALID: {
    meaning: "A manifest, index or config cannot be used; the message says why.",
    hint: "get the image again: it is damaged, or a faulty tool made it",
  },
  MANIFEST_TOO_LARGE: {
    meaning:
      "A manifest, index or config is, or would become, larger than 4 MiB. The message says how many recipients fit.",
    hint: "use fewer recipients, or encrypt fewer layers with `--layer`: registries reject larger manifests",
  },
  MANIFEST_UNSUPPORTED: {
    meaning: "The manifest has Docker's old format (schema 1), or does not describe an image.",
    hint: "convert it: `skopeo copy --format oci IMAGE oci:DIR:TAG`",
  },
  SOURCE_UNREADABLE: {
    meaning: "The source cannot be read.",
    hint: "check the permissions of the source's files",
  },
  DESTINATION_EXISTS: {
    meaning:
      "The archive holds other images, which would be lost, or a file that `pull` would write already exists. Nothing was overwritten.",
    hint: "write to another file or directory: other images and existing files are not overwritten",
  },
  DESTINATION_CHANGED: {
    meaning: "Another process replaced the image in the meantime. That process's image is kept.",
    hint: "run the command again to start from the image that is there now",
  },
  DESTINATION_FULL: {
    meaning: "The disk is full. The destination is unchanged.",
    hint: "free some space, and run the command again",
  },
  DESTINATION_UNWRITABLE: {
    meaning: "The destination cannot be written and is unchanged.",
    hint: "check the permissions of the destination",
  },
};

export const FILE: ErrorTexts<FileErrorCode> = {
  FILE_NOT_FOUND: {
    meaning:
      "The image has no file of this name. If a layer deleted it, the message names the layer.",
    hint: "run `ocicrypt ls` to see the files; to read a file that a layer deleted, select only the layers below with `--layer`",
  },
  FILE_UNREADABLE: {
    meaning:
      "The path names a directory, a device or a pipe, or leads through too many symbolic links.",
    hint: "name a regular file; `ocicrypt ls` lists a directory, and `ocicrypt export` writes everything",
  },
  PLATFORM_AMBIGUOUS: {
    meaning: "The image has several platforms, but the command reads the files of only one.",
    hint: "select one with `--platform`, such as `--platform linux/amd64`",
  },
  LAYER_UNREADABLE: {
    meaning:
      "A layer is not a tar archive of files that container runtimes can unpack, or it is larger than the limit.",
    hint: "if the image is an artifact, use `ocicrypt pull`; otherwise build the image again",
  },
  COMPRESSION_UNSUPPORTED: {
    meaning: "A layer is compressed with zstd, which this platform cannot decompress.",
    hint: "use Node.js 22.15 or later",
  },
};
