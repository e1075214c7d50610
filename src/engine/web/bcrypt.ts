import type { BcryptEngine } from "../types.js";

/** Runs here without a pause, so that a page should call it in a worker. */
export const deriveBcrypt: BcryptEngine["deriveBcrypt"] = async (input, signal) => {
  const { password, salt, rounds, size } = input;
  const { default: bcrypt } = await import("bcrypt-pbkdf");
  signal?.throwIfAborted();
  const derived = new Uint8Array(size);
  const sizes = [password.length, salt.length] as const;
  if (bcrypt.pbkdf(password, sizes[0], salt, sizes[1], derived, size, rounds) !== 0) {
    throw new Error("bcrypt_pbkdf rejects its input");
  }
  return derived;
};
