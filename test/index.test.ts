import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { describe, expect, it } from "vitest";
import { OcicryptError as InternalError } from "../src/errors.js";
import * as ocicrypt from "../src/index.js";
import * as jweEntry from "../src/keywrap/jwe/index.js";

describe("the public names", () => {
  it("of ocicrypt", () => {
    expect(Object.keys(ocicrypt).sort()).toEqual([
      "HELD_BACK_BYTES",
      "OcicryptError",
      "addRecipients",
      "decryptLayer",
      "decryptLayerBytes",
      "encryptLayer",
      "encryptLayerBytes",
      "encryptedMediaType",
      "encryptionSchemes",
      "explainKey",
      "isEncryptedDescriptor",
      "isEncryptedMediaType",
      "isOcicryptError",
      "listRecipients",
      "plainMediaType",
      "removeRecipients",
      "replaceRecipients",
      "unwrapOnly",
    ]);
  });

  it("of ocicrypt/jwe", () => {
    expect(Object.keys(jweEntry)).toEqual(["jwe"]);
    expect(Object.keys(jweEntry.jwe).sort()).toEqual(["key", "keys", "recipient", "recipients"]);
  });
});

describe("OcicryptError", () => {
  it("is an Error with a name, a code and a cause", () => {
    const cause = new Error("why");
    const error = new ocicrypt.OcicryptError("NO_KEYS", "no key was given", { cause });
    expect(error).toBeInstanceOf(Error);
    expect(error).toBeInstanceOf(InternalError);
    expect([error.name, error.code, error.message, error.cause]).toEqual([
      "OcicryptError",
      "NO_KEYS",
      "no key was given",
      cause,
    ]);
    expect(String(error)).toBe("OcicryptError: no key was given");
    expect(error.stack).toContain("index.test");
  });

  it.each<[unknown, ocicrypt.ErrorCode | undefined, boolean]>([
    [new ocicrypt.OcicryptError("NO_KEYS", ""), undefined, true],
    [new ocicrypt.OcicryptError("NO_KEYS", ""), "NO_KEYS", true],
    [new ocicrypt.OcicryptError("NO_KEYS", ""), "NO_RECIPIENTS", false],
    [Object.assign(new Error(""), { code: "NO_KEYS" }), "NO_KEYS", false],
    [{ code: "NO_KEYS" }, undefined, false],
    [undefined, undefined, false],
    [null, undefined, false],
    ["NO_KEYS", "NO_KEYS", false],
  ])("isOcicryptError(%s, %s) is %s", (error, code, expected) => {
    expect(ocicrypt.isOcicryptError(error, code)).toBe(expected);
  });
});

/** The modules that a module imports statically, other than types. */
function staticImports(
  entry: URL,
  engine: "node" | "web",
): { modules: string[]; packages: string[] } {
  const modules = new Set<string>();
  const packages = new Set<string>();
  const waiting = [entry];
  for (let module = waiting.pop(); module !== undefined; module = waiting.pop()) {
    if (modules.has(module.href)) continue;
    modules.add(module.href);
    const text = readFileSync(module, "utf8");
    const file = ts.createSourceFile(module.href, text, ts.ScriptTarget.Latest);
    for (const statement of file.statements) {
      const specifier = runtimeSpecifier(statement);
      if (specifier === undefined) continue;
      const [, own] = /^#engine\/(.*)$/.exec(specifier) ?? [];
      if (own !== undefined) {
        waiting.push(new URL(`../src/engine/${engine}/${own}.ts`, import.meta.url));
      } else if (specifier.startsWith(".")) {
        waiting.push(new URL(specifier.replace(/\.js$/, ".ts"), module));
      } else {
        packages.add(specifier);
      }
    }
  }
  const root = new URL("../", import.meta.url).href;
  return {
    modules: [...modules].map((href) => href.slice(root.length)).sort(),
    packages: [...packages].sort(),
  };
}

function runtimeSpecifier(statement: ts.Statement): string | undefined {
  if (ts.isImportDeclaration(statement)) {
    if (statement.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword) return undefined;
  } else if (!ts.isExportDeclaration(statement) || statement.isTypeOnly) {
    return undefined;
  }
  const specifier = statement.moduleSpecifier;
  return specifier !== undefined && ts.isStringLiteral(specifier) ? specifier.text : undefined;
}

describe("what is loaded with", () => {
  const HEAVY = [
    "openpgp",
    "pkijs",
    "asn1js",
    "@grpc/grpc-js",
    "pkcs11js",
    "yaml",
    "@peculiar/webcrypto",
  ];
  const ENTRIES: [string, string, string[]][] = [
    ["ocicrypt", "src/index.ts", []],
    ["ocicrypt/jwe", "src/keywrap/jwe/index.ts", []],
    ["ocicrypt/age", "src/keyserver/age/index.ts", []],
    ["ocicrypt/tang", "src/keyserver/tang/index.ts", []],
    ["ocicrypt/barbican", "src/keyserver/barbican/index.ts", []],
    ["ocicrypt/vault", "src/keyserver/vault/index.ts", []],
    ["ocicrypt/key-protect", "src/keyserver/key-protect/index.ts", []],
    ["ocicrypt/aws-kms", "src/keyserver/aws-kms/index.ts", []],
  ];

  it.each(ENTRIES)("%s", (_, path, expected) => {
    const { modules, packages } = staticImports(new URL(`../${path}`, import.meta.url), "node");
    expect(modules.length).toBeGreaterThan(5);
    expect(packages.filter((name) => HEAVY.includes(name))).toEqual([]);
    expect(packages.filter((name) => !name.startsWith("node:"))).toEqual(expected);
  });

  it("ocicrypt in browsers", () => {
    const { packages } = staticImports(new URL("../src/index.ts", import.meta.url), "web");
    const allowed = ["@noble/hashes/hmac.js", "@noble/hashes/sha2.js"];
    expect(packages).toEqual(allowed);
  });

  it("ocicrypt loads no scheme", () => {
    const { modules } = staticImports(new URL("../src/index.ts", import.meta.url), "web");
    const schemes = modules.filter((name) => /^src\/keywrap\/[^/]+\//.test(name));
    expect(schemes).toEqual([]);
    expect(modules).toContain("src/layer/decrypt.ts");
  });

  it("every path of the package exports exists in the sources", () => {
    const { exports } = JSON.parse(
      readFileSync(new URL("../package.json", import.meta.url), "utf8"),
    ) as { exports: Record<string, string | { types: string; default: string }> };
    for (const target of Object.values(exports)) {
      if (typeof target === "string") continue;
      const source = target.default.replace(/^\.\/dist\/(.*)\.js$/, "../src/$1.ts");
      expect(existsSync(fileURLToPath(new URL(source, import.meta.url))), source).toBe(true);
      expect(target.types).toBe(target.default.replace(/\.js$/, ".d.ts"));
    }
  });
});
