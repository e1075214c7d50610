/** The version of the package, which a single-file build cannot read from package.json. */
export const VERSION = "0.1.0";
