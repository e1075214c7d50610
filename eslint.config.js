import { defineConfig, globalIgnores } from "eslint/config";
import tseslint from "typescript-eslint";

/** The modules that use nothing but the engine; see docs/architecture.md. */
const PORTABLE = [
  "src/engine/{content-types,types}.ts",
  "src/engine/web/*.ts",
  "src/{cipher,files,image,keys,layer,spec,text}/**/*.ts",
  "src/io/{abort,blobs,compression,content,handoff,source}.ts",
  "src/keywrap/{compat,schemes,types,unwrapping}.ts",
  "src/keywrap/{jwe,key-files,pgp,pkcs7}/*.ts",
  "src/keyserver/age/file.ts",
  "src/store/layout/{format,images}.ts",
  "src/store/archive/{headers,scan,tar-writer}.ts",
  "src/store/types.ts",
  "src/blobs/*.ts",
  "src/index.ts",
  "web/{page,worker}/*.ts",
  "web/protocol.ts",
];

export default defineConfig([
  globalIgnores([
    "dist/",
    "web/dist/",
    "site/",
    "reports/",
    "vectors/",
    "test/consumers/typescript*/",
  ]),
  {
    files: ["**/*.js"],
    extends: [tseslint.configs.recommended],
    rules: {
      // A loop that only drains names what it throws away.
      "@typescript-eslint/no-unused-vars": ["error", { varsIgnorePattern: "^_" }],
    },
  },
  {
    files: ["**/*.ts"],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      "@typescript-eslint/explicit-module-boundary-types": "error",
      "@typescript-eslint/no-import-type-side-effects": "error",
    },
  },
  {
    // These also run in browsers, so that they take everything else from the engine.
    files: PORTABLE,
    rules: {
      "@typescript-eslint/no-restricted-imports": [
        "error",
        { patterns: [{ regex: "^node:|/threads/", allowTypeImports: true }] },
      ],
      "no-restricted-globals": ["error", "Buffer", "process", "setImmediate", "require"],
    },
  },
  {
    files: ["test/**/*.ts"],
    rules: {
      // A test may say what it knows.
      "@typescript-eslint/no-non-null-assertion": "off",
    },
  },
]);
