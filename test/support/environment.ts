/**
 * Skips a test whose means are not there, with the reason; in CI, where they have to be, fails it.
 */
export function unavailable(skip: (why: string) => never, why: string): never {
  if (process.env.CI === "true") throw new Error(`in CI this must not be: ${why}`);
  return skip(why);
}
