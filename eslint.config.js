import { defineConfig, globalIgnores } from "eslint/config";
import tseslint from "typescript-eslint";

export default defineConfig([
  globalIgnores(["dist/", "site/", "reports/", "vectors/", "test/consumers/typescript*/"]),
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
    files: ["test/**/*.ts"],
    rules: {
      // A test may say what it knows.
      "@typescript-eslint/no-non-null-assertion": "off",
    },
  },
]);
