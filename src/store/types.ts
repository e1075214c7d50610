import type { Descriptor } from "../spec/descriptor.js";

export interface StoreOptions {
  signal?: AbortSignal | undefined;
}

export interface CommitOptions extends StoreOptions {
  /**
   * The image that was read from this place and is edited here. If another image is there now,
   * `commit` fails.
   */
  replaces?: Descriptor | undefined;
}

/**
 * Identifies an image by its store and name. Equal places mean the same image in the same store.
 */
export interface ImagePlace {
  /** The layout, archive or repository, such as `oci:/srv/images`. */
  store: string;
  /** The image in that store, such as its tag. */
  name: string;
}

/** An image that can be read, such as an entry of an OCI layout. */
export interface ImageSource {
  /** The place of the image, if an {@link ImageDestination} can be in the same place. */
  readonly place?: ImagePlace | undefined;
  /**
   * Returns the descriptor of the image's manifest or index.
   *
   * @throws {@link OcicryptError} `IMAGE_NOT_FOUND`, `LAYOUT_INVALID`
   */
  resolve(options?: StoreOptions): Promise<Descriptor>;
  /**
   * Returns the content of a blob or manifest. The caller verifies it.
   *
   * @throws {@link OcicryptError} `BLOB_NOT_FOUND`, `SOURCE_UNREADABLE`
   */
  read(descriptor: Descriptor, options?: StoreOptions): AsyncIterable<Uint8Array>;
  /**
   * Whether the source holds a blob of this digest and size. Optional: without it, every blob that a
   * manifest names counts as present until reading it fails.
   *
   * @throws {@link OcicryptError} as {@link read}, except for `BLOB_NOT_FOUND`
   */
  contains?(descriptor: Descriptor, options?: StoreOptions): Promise<boolean>;
  /**
   * Lists the manifests whose `subject` is this manifest, such as signatures. Optional: not every
   * store can list them.
   *
   * @throws {@link OcicryptError} as {@link resolve}
   */
  referrers?(digest: string, options?: StoreOptions): Promise<Descriptor[]>;
  /**
   * Finds another image of the same repository, layout or archive by its tag. Optional.
   *
   * @returns `undefined` if there is no such image, or more than one
   * @throws {@link OcicryptError} as {@link resolve}
   */
  find?(tag: string, options?: StoreOptions): Promise<Descriptor | undefined>;
}

/** A place for one image. Until {@link commit} has ended, it contains what it contained before. */
export interface ImageDestination {
  /** The place of the image, if an {@link ImageSource} can be in the same place. */
  readonly place?: ImagePlace | undefined;
  /**
   * Whether blobs that the store holds stay there if they are not written again. This is true of
   * layouts and repositories; an archive is replaced as a whole. Default: false, so that an
   * operation writes every blob that {@link contains} does not report.
   */
  readonly keepsBlobs?: boolean | undefined;
  /** Whether the destination already holds the whole blob, in a place where readers can see it. */
  contains(descriptor: Descriptor): Promise<boolean>;
  /**
   * Whether an unwanted blob, such as a plain layer, can be read from the destination. This check
   * must not copy the blob into the destination, as {@link contains} may do. By default,
   * {@link contains} is used.
   */
  exposes?(descriptor: Descriptor): Promise<boolean>;
  /**
   * Stores a blob where no reader sees it yet. If the content fails, nothing of it is kept.
   *
   * @param describe returns the digest, or throws to reject the content; called when the content
   *   has ended
   * @throws {@link OcicryptError} `DESTINATION_FULL`, `DESTINATION_UNWRITABLE`, and the errors of
   *   the content and of `describe`
   */
  write(
    content: AsyncIterable<Uint8Array>,
    describe: () => Promise<{ digest: string }> | { digest: string },
    options?: StoreOptions,
  ): Promise<void>;
  /**
   * Stores a manifest or index where no reader sees it yet, after the blobs that it names.
   *
   * @throws {@link OcicryptError} `DESTINATION_FULL`, `DESTINATION_UNWRITABLE`
   */
  writeManifest(bytes: Uint8Array, descriptor: Descriptor): Promise<void>;
  /**
   * Gets a blob from another repository of the same registry, without transferring its content.
   * Optional.
   *
   * @returns whether the destination now holds the blob
   */
  mount?(descriptor: Descriptor): Promise<boolean>;
  /**
   * Makes the image and everything that was written visible in one step, or fails and changes
   * nothing.
   *
   * @throws {@link OcicryptError} `DESTINATION_CHANGED` if another process has replaced the image
   *   in the meantime, and the errors of {@link write}
   */
  commit(image: Descriptor, options?: CommitOptions): Promise<void>;
  /** Removes everything that was written. After {@link commit} it does nothing. */
  discard(): Promise<void>;
  /** Opens another image of the same repository or layout for writing, by its tag. */
  beside?(tag: string): Promise<ImageDestination>;
}
