/** One side of an exchange: what reads and writes encrypted content of the form `Encrypted`. */
export interface Implementation<Encrypted> {
  /** @param recipients as skopeo has them: `jwe:FILE`, `pgp:NAME`, … */
  encrypt(recipients: readonly string[]): Promise<Encrypted>;
  /**
   * @param keys as skopeo has them; together they are one person who can decrypt
   * @returns digests of the plain content
   */
  decrypt(encrypted: Encrypted, keys: readonly string[]): Promise<string[]>;
}

/** This library, which can also let more people decrypt. */
export interface Ours<Encrypted> extends Implementation<Encrypted> {
  /** The expected result of {@link Implementation.decrypt}. */
  content: string[];
  add(
    encrypted: Encrypted,
    keys: readonly string[],
    recipients: readonly string[],
  ): Promise<Encrypted>;
  /** The schemes in the annotations of everything that must be encrypted. */
  schemesOf(encrypted: Encrypted): string[];
}

/** The peer itself failed, and not this library or the test. */
export class PeerError extends Error {}
