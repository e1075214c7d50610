/*
 * These functions differ between platforms. Modules import them as `#engine/<module>`; the `imports`
 * of package.json choose `node/`, where `node:` modules exist, or `web/`, which uses only Web
 * Cryptography and plain JavaScript. Callers await every value that may be a promise; on Node.js, it
 * is there immediately.
 */

/**
 * `Uint8Array<ArrayBuffer>`: bytes that no thread shares, as WebCrypto and `fetch` require.
 * TypeScript before 5.7 cannot parse that name.
 */
export type Bytes = ReturnType<typeof Uint8Array.of>;

/** A key of Web Cryptography, by its name in browsers. */
export type CryptoKey = Awaited<ReturnType<typeof crypto.subtle.importKey>>;

type OrPromise<T> = T | Promise<T>;

/** Text and bytes. */
export interface BytesEngine {
  concat(parts: readonly Uint8Array[]): Bytes;
  /** Text as UTF-8. */
  fromUtf8(text: string): Bytes;
  /** UTF-8 as text. Malformed parts become U+FFFD; a byte order mark is kept. */
  toUtf8(bytes: Uint8Array): string;
  /** Each character as one byte, modulo 256. */
  fromLatin1(text: string): Bytes;
  toLatin1(bytes: Uint8Array): string;
  /** Both alphabets of base64. Characters of neither are skipped; the first `=` ends the text. */
  fromBase64(text: string): Bytes;
  toBase64(bytes: Uint8Array): string;
  /** The URL-safe alphabet without padding. */
  toBase64url(bytes: Uint8Array): string;
  /** Whole bytes up to the first character that is not a digit. */
  fromHex(text: string): Bytes;
  toHex(bytes: Uint8Array): string;
}

export type HashName =
  "md5" | "sha1" | "sha224" | "sha256" | "sha384" | "sha512" | "sha512-224" | "sha512-256";

export interface Hash {
  /** @returns the same hash */
  update(bytes: Uint8Array): Hash;
  /** Ends the hash. */
  digest(): Uint8Array;
}

/** A hash whose state so far can be the start of several hashes. */
export interface ForkableHash extends Hash {
  update(bytes: Uint8Array): ForkableHash;
  copy(): ForkableHash;
}

/** The hashes of digests. The others are for key files and CMS, and browsers load them when needed. */
export type DigestName = "sha256" | "sha512";

export interface HashEngine {
  createHash(name: DigestName): ForkableHash;
  createHmac(name: DigestName, key: Uint8Array): Hash;
  /** @param size at most 65,536 bytes, as Web Cryptography returns at once */
  randomBytes(size: number): Bytes;
  /** Whether bytes of the same length are equal, in a time that does not depend on them. */
  isEqual(a: Uint8Array, b: Uint8Array): boolean;
}

export interface AnyHashEngine {
  createAnyHash(name: HashName): ForkableHash;
  createAnyHmac(name: HashName, key: Uint8Array): Hash;
}

export interface CipherEngine {
  /** AES-CTR, which encrypts and decrypts. The key and the nonce may be wiped afterwards. */
  createAesCtr(key: Uint8Array, nonce: Uint8Array): CtrStream;
}

export interface CtrStream {
  /** The next bytes, in new memory. The calls must follow each other. */
  update(bytes: Uint8Array): OrPromise<Bytes>;
}

/** The event loop. */
export interface TurnEngine {
  /** Lets timers, events and other work run. */
  nextTurn(): Promise<void>;
  /** Allows any number of listeners; by default, Node.js warns from the eleventh on. */
  unlimitListeners(signal: AbortSignal): void;
}

/** The algorithms of encrypted key files, by their names in OpenSSL. */
export interface FileCipher {
  name: string;
  key: Uint8Array;
  iv: Uint8Array;
  /** Only for GCM. */
  tag?: Uint8Array | undefined;
  /** Whether CBC has padding, which is checked and removed. */
  isPadded: boolean;
}

export interface KeyCipherEngine {
  /** Whether the platform says that it has a cipher. */
  hasCipher(name: string): boolean;
  /**
   * Decrypts a part of a key file.
   *
   * @returns `undefined` if the padding or the tag is wrong
   * @throws {@link OcicryptError} `KEY_UNSUPPORTED` for a cipher that is missing here
   */
  decryptFile(cipher: FileCipher, ciphertext: Uint8Array): OrPromise<Bytes | undefined>;
  /** @param size of the key, in bytes */
  pbkdf2(input: Pbkdf2Input, size: number): Promise<Bytes>;
  /** @param size of the key, in bytes */
  scrypt(input: ScryptInput, size: number): Promise<Bytes>;
}

export interface Pbkdf2Input {
  hash: HashName;
  password: Uint8Array;
  salt: Uint8Array;
  iterations: number;
}

/** RFC 7914 section 2. */
export interface ScryptInput {
  password: Uint8Array;
  salt: Uint8Array;
  N: number;
  r: number;
  p: number;
  /** In bytes. */
  maxMemory: number;
}

/** The arguments of bcrypt_pbkdf; sizes in bytes. */
export interface BcryptInput {
  password: Uint8Array;
  salt: Uint8Array;
  rounds: number;
  size: number;
}

export interface BcryptEngine {
  /**
   * Derives a key as OpenSSH does (bcrypt_pbkdf of OpenBSD), which takes a second or two.
   *
   * @throws {Error} if the input cannot be used
   */
  deriveBcrypt(input: BcryptInput, signal?: AbortSignal): Promise<Bytes>;
}

/** The forms of keys in DER. */
export type KeyForm = "pkcs8" | "pkcs1-private" | "sec1" | "spki" | "pkcs1-public" | "certificate";

/** PEM with the headers of RFC 1421. */
export interface LegacyPem {
  /** The name in the DEK-Info header. */
  cipher: string;
  /** PEM with its lines as OpenSSL reads them. */
  pem: string;
}

/**
 * Opens PEM that is encrypted as in RFC 1421.
 *
 * @throws {@link OcicryptError} `KEY_UNSUPPORTED` for a cipher that is missing here
 * @throws {Error} if the password is wrong
 */
export type OpenLegacyPem<K> = (encrypted: LegacyPem, password: Uint8Array) => K;

/** The members of an RSA or EC key's public half in its JWK. */
export interface PublicJwk {
  kty?: string | undefined;
  n?: string | undefined;
  e?: string | undefined;
  crv?: string | undefined;
  x?: string | undefined;
  y?: string | undefined;
}

/** The label of RSA-OAEP, and its hash, which MGF1 uses too. */
export interface OaepParameters {
  hash: HashName;
  label: Uint8Array;
}

/** RSA of RFC 8017, for CMS; jose has its own. */
export interface RsaEngine<K> {
  /** Whether a private key can be used here; a `CryptoKey` in a browser cannot. */
  hasNumbers(key: K): boolean;
  /**
   * RSADP of section 5.1.2, with no padding removed.
   *
   * @param ciphertext as long as the modulus
   * @returns as many bytes; `undefined` for a ciphertext that is not less than the modulus
   */
  decryptRaw(key: K, ciphertext: Uint8Array): Bytes | undefined;
  /**
   * RSAES-OAEP-DECRYPT of section 7.1.2.
   *
   * @returns `undefined` for every failure alike
   */
  decryptOaep(
    key: K,
    ciphertext: Uint8Array,
    parameters: OaepParameters,
  ): OrPromise<Bytes | undefined>;
  /** RSAES-PKCS1-V1_5-ENCRYPT of section 7.2.1, for a message that fits. */
  encryptPkcs1(key: K, message: Uint8Array): Bytes;
}

/** A cipher of a CMS message, by its name in OpenSSL. */
export interface ContentCipher {
  name: string;
  key: Uint8Array;
  /** The nonce of GCM, or the initialization vector of CBC. */
  iv: Uint8Array;
}

/** For GCM. */
export interface Authentication {
  /** 12 to 16 bytes. */
  tag: Uint8Array;
  /** The data that is authenticated and not encrypted. */
  additional: Uint8Array;
}

export interface ContentCipherEngine {
  /** Whether the platform has a cipher for an initialization vector of this size in bytes. */
  hasContentCipher(name: string, ivSize: number): boolean;
  /** Decrypts whole blocks in CBC; their padding is not removed. */
  decryptCbc(cipher: ContentCipher, ciphertext: Uint8Array): Bytes;
  /** Decrypts in GCM. @returns `undefined` if the tag is wrong */
  decryptGcm(
    cipher: ContentCipher,
    ciphertext: Uint8Array,
    authentication: Authentication,
  ): Bytes | undefined;
  /** Encrypts in GCM without additional data; a tag of 16 bytes follows the ciphertext. */
  encryptGcm(cipher: ContentCipher, plaintext: Uint8Array): Bytes;
}

/** The functions of certificates; `C` is `X509Certificate` on Node.js. */
export interface CertificateEngine<C, K> {
  /** @throws {Error} if it is not an X.509 certificate */
  importCertificate(der: Uint8Array): C;
  /**
   * Whether a certificate is signed with the key of another one, whose subject is its issuer.
   *
   * @param key of the issuer
   */
  isIssuedBy(certificate: C, issuer: C, key: K): boolean;
}

/** The functions of keys; `K` is `KeyObject` on Node.js. */
export interface KeyEngine<K> {
  /**
   * @throws {@link OcicryptError} `KEY_UNSUPPORTED` for an RSA key of more than two primes that
   *   cannot be used here
   * @throws {Error} if it holds no valid key
   */
  importDer(der: Uint8Array, form: KeyForm): K;
  /** @throws {Error} if it holds no valid key */
  importJwk(jwk: Readonly<Record<string, unknown>>, half: "public" | "private"): K;
  /** Browsers load it when it is needed, because few keys are in this form. */
  legacyPem: { open: OpenLegacyPem<K> } | { load: () => Promise<OpenLegacyPem<K>> };
  /** Whether a value is a key of Node.js or of Web Cryptography. */
  isKeyObject(value: unknown): boolean;
  /** Returns a key with the hash and the operations of a `CryptoKey`. */
  fromKeyObject(value: unknown): { key: K; hash?: string; operations?: readonly string[] };
  /** Whether the private number of an EC key fits its curve. */
  isSoundPrivateKey(key: K): boolean;
  /** Whether an EC key names its curve. */
  hasNamedCurve(key: K): boolean;
  /** An id that the halves of a key pair share, and no other key of RSA or EC has. */
  keyId(key: K): string;
  /** The public half; `undefined` for a `CryptoKey` in a browser. */
  publicJwk(key: K): PublicJwk | undefined;
  /** The form in which jose takes the key. */
  joseKey(key: K): unknown;
  /** ECDH with a public key. @returns `undefined` for a public key that is not on the curve */
  agree(key: K, publicKey: PublicJwk): OrPromise<Uint8Array | undefined>;
  /** Whether JWE can use AES with keys of 192 bits, which Chromium lacks. */
  hasAes192(): OrPromise<boolean>;
  /**
   * Whether a key is wrapped with a wrapping key: RFC 3394 has a check value of 64 bits. True where
   * the cipher is missing, as in BoringSSL: only decryption can tell there.
   */
  isWrappedWith(wrappingKey: Uint8Array, wrapped: Uint8Array): OrPromise<boolean>;
}
