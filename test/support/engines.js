import { fileURLToPath } from "node:url";

const SOURCES = fileURLToPath(new URL("../../src/", import.meta.url));

/**
 * The tests run from the sources, where the `imports` of package.json do not point.
 *
 * @param {"node" | "web"} engine
 */
export function resolveEngine(engine) {
  return { alias: [{ find: /^#engine\/(.*)$/, replacement: `${SOURCES}engine/${engine}/$1.ts` }] };
}

/** The tests of the folders that use only the engine, except for those of a `KeyObject` or a thread. */
export const WEB_TESTS = [
  "test/engine/*.test.ts",
  "test/{cipher,layer,spec,text}/*.test.ts",
  "test/image/!(artifact|large).test.ts",
  "test/image/{features,manifests}/*.test.ts",
  "test/blobs/*.test.ts",
  "test/files/*.test.ts",
  "test/io/{blobs,compression,content,handoff,source}.test.ts",
  "test/keys/!(asymmetric-key|bcrypt|thumbprint).test.ts",
  "test/keywrap/pgp/*.test.ts",
  "test/keywrap/jwe/!(budget).test.ts",
  "test/keywrap/key-files/!(from-directory).test.ts",
  "test/keywrap/pkcs7/*.test.ts",
  "test/keywrap/bad-padding.test.ts",
  "test/wycheproof/{rsa,symmetric}.test.ts",
];
