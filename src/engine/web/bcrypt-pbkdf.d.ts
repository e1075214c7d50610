/** The package has no types of its own. */
declare module "bcrypt-pbkdf" {
  const bcrypt: {
    pbkdf(
      password: Uint8Array,
      passwordSize: number,
      salt: Uint8Array,
      saltSize: number,
      derived: Uint8Array,
      size: number,
      rounds: number,
    ): number;
  };
  export default bcrypt;
}
