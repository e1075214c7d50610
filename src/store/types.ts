import type { Descriptor } from "../spec/descriptor.js";

export interface StoreOptions {
  signal?: AbortSignal | undefined;
}

export interface CommitOptions extends StoreOptions {
  /** The image that was read from this place and is edited here. Another one is not replaced. */
  replaces?: Descriptor | undefined;
}

/** Names an image where it is stored. Two equal places are the same image of the same store. */
export interface ImagePlace {
  /** The layout, archive or repository, such as `oci:/srv/images`. */
  store: string;
  /** The image in that store, such as its tag. */
  name: string;
}

/** An image that can be read: an entry of an OCI layout, say. */
export interface ImageSource {
  /** Where the image is, if an {@link ImageDestination} can be in the same place. */
  readonly place?: ImagePlace | undefined;
  /**
   * The descriptor of the image's manifest or index.
   *
   * @throws {@link OcicryptError} `IMAGE_NOT_FOUND`, `LAYOUT_INVALID`
   */
  resolve(options?: StoreOptions): Promise<Descriptor>;
  /**
   * The content of a blob or manifest. It is not verified: who reads it does that.
   *
   * @throws {@link OcicryptError} `BLOB_NOT_FOUND`, `SOURCE_UNREADABLE`
   */
  read(descriptor: Descriptor, options?: StoreOptions): AsyncIterable<Uint8Array>;
  /**
   * What refers to a manifest by its `subject`, such as signatures, where the source can tell.
   *
   * @throws {@link OcicryptError} as {@link resolve}
   */
  referrers?(digest: string, options?: StoreOptions): Promise<Descriptor[]>;
  /**
   * Whether the store has an image of this name beside this one, where the source can tell. cosign
   * keeps signatures under names made from a digest.
   *
   * @throws {@link OcicryptError} as {@link resolve}
   */
  hasName?(name: string, options?: StoreOptions): Promise<boolean>;
  /**
   * Another image of the same repository, layout or archive, by its tag, where the source can tell.
   *
   * @returns `undefined` when there is none, or more than one
   * @throws {@link OcicryptError} as {@link resolve}
   */
  find?(tag: string, options?: StoreOptions): Promise<Descriptor | undefined>;
}

/** A place for one image. What was there before is there until {@link commit} has ended. */
export interface ImageDestination {
  /** Where the image goes, if an {@link ImageSource} can be in the same place. */
  readonly place?: ImagePlace | undefined;
  /**
   * Whether the blobs that the store holds stay there although they are not written again. A layout
   * and a repository keep them; an archive is replaced as a whole. Default: false, so that an
   * operation writes every blob that {@link contains} does not report.
   */
  readonly keepsBlobs?: boolean | undefined;
  /** Whether the blob of a descriptor is there already, whole and for all to see. */
  contains(descriptor: Descriptor): Promise<boolean>;
  /**
   * Whether a blob can be read from here that nobody wants here, such as a layer in plain. Asked in
   * a way that does not bring it here, where {@link contains} can do that. By default, what that
   * says.
   */
  exposes?(descriptor: Descriptor): Promise<boolean>;
  /**
   * Stores a blob where nobody sees it yet; if the content fails, nothing of it is kept.
   *
   * @param describe called when the content has ended, for its digest; it may still refuse it
   * @throws {@link OcicryptError} `DESTINATION_FULL`, `DESTINATION_UNWRITABLE`, and what the
   *   content or `describe` throw
   */
  write(
    content: AsyncIterable<Uint8Array>,
    describe: () => Promise<{ digest: string }> | { digest: string },
    options?: StoreOptions,
  ): Promise<void>;
  /**
   * Stores a manifest or index where nobody sees it yet, after the blobs that it names.
   *
   * @throws {@link OcicryptError} `DESTINATION_FULL`, `DESTINATION_UNWRITABLE`
   */
  writeManifest(bytes: Uint8Array, descriptor: Descriptor): Promise<void>;
  /**
   * Takes a blob over from elsewhere without its content passing through here, where that can be.
   *
   * @returns whether the blob is there now
   */
  mount?(descriptor: Descriptor): Promise<boolean>;
  /**
   * Makes the image visible, with everything that was written, as one step or not at all.
   *
   * @throws {@link OcicryptError} `DESTINATION_CHANGED` when another process has written the image
   *   meanwhile, and those of {@link write}
   */
  commit(image: Descriptor, options?: CommitOptions): Promise<void>;
  /** Removes all that was written; does nothing after {@link commit}. */
  discard(): Promise<void>;
}
