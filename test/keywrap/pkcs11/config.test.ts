import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isMainThread } from "node:worker_threads";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import {
  internalConfig,
  loadConfig,
  parseConfigFile,
  type Pkcs11Config,
} from "../../../src/keywrap/pkcs11/config.js";
import { findModule } from "../../../src/keywrap/pkcs11/config.js";
import { parsePkcs11Uri } from "../../../src/keywrap/pkcs11/uri.js";
import { expectCode } from "../../support/codes.js";

// In threads, which mutation testing uses, homedir() does not see another HOME.
vi.mock(import("node:os"), async (original) => ({
  ...(await original()),
  homedir: () => process.env.HOME ?? "",
}));

let root = "";
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "ocicrypt-"));
});
afterAll(async () => {
  await rm(root, { recursive: true });
});

/** A file whose only setting tells which file it is. */
async function configFile(path: string): Promise<void> {
  await mkdir(join(path, ".."), { recursive: true });
  await writeFile(path, `pkcs11:\n  module-directories: [ ${path} ]\n`);
}

describe("loadConfig", () => {
  beforeEach(async () => {
    await rm(root, { recursive: true });
    await mkdir(root);
    vi.stubEnv("OCICRYPT_CONFIG", "");
    vi.stubEnv("XDG_CONFIG_HOME", join(root, "xdg"));
    vi.stubEnv("HOME", join(root, "home"));
  });
  afterEach(() => {
    vi.unstubAllEnvs();
  });

  it("uses OCICRYPT_CONFIG, then $XDG_CONFIG_HOME, then ~/.config", async () => {
    const files = ["named.yaml", "xdg/ocicrypt.conf", "home/.config/ocicrypt.conf"];
    const [named = "", xdg = "", home = ""] = files.map((file) => join(root, file));
    await configFile(home);
    expect((await loadConfig()).moduleDirectories).toEqual([home]);
    await configFile(xdg);
    expect((await loadConfig()).moduleDirectories).toEqual([xdg]);
    await configFile(named);
    vi.stubEnv("OCICRYPT_CONFIG", named);
    expect((await loadConfig()).moduleDirectories).toEqual([named]);
  });

  // Mutation testing runs the tests in threads, which cannot change the working directory.
  it.runIf(isMainThread)(
    "never reads etc/ocicrypt.conf of the working directory, as Go does",
    async () => {
      const before = process.cwd();
      await configFile(join(root, "etc/ocicrypt.conf"));
      process.chdir(root);
      try {
        const result = await loadConfig().catch((error: unknown) => error);
        expect(result).not.toMatchObject({ moduleDirectories: [join(root, "etc/ocicrypt.conf")] });
      } finally {
        process.chdir(before);
      }
    },
  );

  it("does not skip a named file that is missing", async () => {
    await configFile(join(root, "xdg/ocicrypt.conf"));
    vi.stubEnv("OCICRYPT_CONFIG", join(root, "missing"));
    await expectCode(loadConfig, "PKCS11_CONFIG_MISSING");
  });

  it("supports the internal configuration, which allows the directories that it searches", async () => {
    vi.stubEnv("OCICRYPT_CONFIG", "internal");
    const config = await loadConfig();
    expect(config).toEqual(internalConfig());
    expect(config.moduleDirectories).toEqual(config.allowedModulePaths);
    expect(config.moduleDirectories.slice(0, 4)).toEqual([
      "/usr/lib64/pkcs11/",
      "/usr/lib/pkcs11/",
      "/usr/local/lib/pkcs11/",
      "/usr/lib/softhsm/",
    ]);
  });

  it("needs no variable, and names the places that were searched", async () => {
    vi.stubEnv("OCICRYPT_CONFIG", undefined);
    for (const unset of [undefined, ""]) {
      vi.stubEnv("XDG_CONFIG_HOME", unset);
      const error = await expectCode(loadConfig, "PKCS11_CONFIG_MISSING");
      expect(error.message).toContain(`in ${join(root, "home/.config")}, /etc, and`);
    }
  });

  it("limits the size of the file", async () => {
    const path = join(root, "named.yaml");
    const text = (size: number): string => "pkcs11: {}\n".padEnd(size, "#");
    vi.stubEnv("OCICRYPT_CONFIG", path);
    await writeFile(path, text(1024 * 1024));
    expect((await loadConfig()).allowedModulePaths).toEqual([]);
    await writeFile(path, text(1024 * 1024 + 1));
    const error = await expectCode(loadConfig, "PKCS11_CONFIG_INVALID");
    expect(error.message).toContain("too large");
    expect(Object.hasOwn(error, "cause")).toBe(false);
  });

  // The directories of Debian's libraries: https://wiki.debian.org/Multiarch/Tuples
  it.each([
    ["arm64", "aarch64"],
    ["ppc64", "powerpc64le"],
    ["riscv64", "riscv64"],
    ["s390x", "s390x"],
    ["x64", "x86_64"],
    ["mips", undefined],
  ])("knows the directory of %s in the internal configuration", (arch, name) => {
    const before = Object.getOwnPropertyDescriptor(process, "arch")!;
    Object.defineProperty(process, "arch", { ...before, value: arch });
    try {
      const own = name === undefined ? [] : [`/usr/lib/${name}-linux-gnu/`];
      expect(internalConfig().moduleDirectories.slice(4)).toEqual(own);
    } finally {
      Object.defineProperty(process, "arch", before);
    }
  });

  it("reports a file that cannot be read", async () => {
    vi.stubEnv("OCICRYPT_CONFIG", root); // a directory
    const error = await expectCode(loadConfig, "PKCS11_CONFIG_INVALID");
    expect(error.message).toContain(`${root} is unusable: it cannot be read (EISDIR)`);
    expect(error.cause).toMatchObject({ code: "EISDIR" });
  });
});

describe("parseConfigFile", () => {
  it("reads both lists", async () => {
    const text =
      "pkcs11:\n  module-directories:\n  - /a\n  - /b/\n  allowed-module-paths: [ /a/x.so, /b/ ]\n";
    expect(await parseConfigFile(text, "c")).toEqual({
      moduleDirectories: ["/a", "/b/"],
      allowedModulePaths: ["/a/x.so", "/b/"],
    });
  });

  it.each(["pkcs11: {}\n", "pkcs11:\n  module-directories:\n"])(
    "treats a missing list as empty: %j",
    async (text) => {
      const empty = { moduleDirectories: [], allowedModulePaths: [] };
      expect(await parseConfigFile(text, "c")).toEqual(empty);
    },
  );

  it.each([
    { why: "no pkcs11: at the top", text: "module-directories: [ /a/ ]\n", says: '"pkcs11"' },
    { why: "nothing below it", text: "pkcs11:\nmodule-directories: [ /a/ ]\n", says: '"pkcs11"' },
    { why: "an empty file", text: "", says: '"pkcs11"' },
    { why: "no YAML", text: "pkcs11: [", says: '"pkcs11"' },
    { why: "a string", text: "pkcs11:\n  allowed-module-paths: /a/\n", says: "lists" },
    { why: "an empty path", text: 'pkcs11:\n  allowed-module-paths: [ "" ]\n', says: "absolute" },
    { why: "a mapping", text: "pkcs11:\n  module-directories: [ { a: b } ]\n", says: "absolute" },
    { why: "a relative path", text: "pkcs11:\n  module-directories: [ lib ]\n", says: "absolute" },
  ])("rejects $why", async ({ text, says }) => {
    const error = await expectCode(
      () => parseConfigFile(text, "/the/file"),
      "PKCS11_CONFIG_INVALID",
    );
    expect(error.message).toContain(says);
    expect(error.message).toContain("/the/file");
  });
});

describe("findModule", () => {
  let lib = "";
  beforeAll(async () => {
    lib = join(root, "lib");
    await mkdir(join(lib, "sub"), { recursive: true });
    await mkdir(join(lib, "dir-hsm"), { recursive: true });
    await symlink(join(lib, "nowhere"), join(lib, "dangling.so"));
    for (const name of ["libsofthsm2.so", "libHSM.so.1", "plain", "z-hsm", "sub/inner.so"]) {
      await writeFile(join(lib, name), "");
    }
    await symlink(join(lib, "sub/inner.so"), join(lib, "link.so"));
  });

  async function find(query: string, config: Partial<Pkcs11Config>): Promise<string> {
    const uri = parsePkcs11Uri(`pkcs11:token=t?${query}`);
    const path = await findModule(uri, {
      moduleDirectories: [join(root, "absent"), lib],
      allowedModulePaths: [`${lib}/`],
      ...config,
    });
    return path.slice(lib.length + 1);
  }

  it.each([
    { query: "module-name=softhsm2", file: "libsofthsm2.so" },
    { query: "module-name=SoftHSM2", file: "libsofthsm2.so" },
    { query: "module-name=libsofthsm2.so", file: "libsofthsm2.so" },
    { query: "module-name=libhsm", file: "libHSM.so.1" },
    { query: "module-name=plain", file: "plain" },
    { query: "module-name=link", file: "link.so" },
    {
      query: "module-name=hsm",
      file: "libHSM.so.1",
      why: "a directory of that name is not a module",
    },
  ])("finds $query", async ({ query, file }) => {
    expect(await find(query, {})).toBe(file);
  });

  it("finds a module by its path, and in the directory of the path", async () => {
    expect(await find(`module-path=${lib}/plain`, { moduleDirectories: [] })).toBe("plain");
    expect(await find(`module-path=${lib}&module-name=plain`, { moduleDirectories: [] })).toBe(
      "plain",
    );
  });

  it("finds the first in the order of names", async () => {
    await writeFile(join(lib, "a-hsm"), "");
    expect(await find("module-name=hsm", {})).toBe("a-hsm");
    await rm(join(lib, "a-hsm"));
  });

  it.each([
    { why: "softhsm is not softhsm2", query: "module-name=softhsm" },
    { why: "a name that is nowhere", query: "module-name=opensc" },
    { why: "a link to nowhere", query: "module-name=dangling", says: "no module of this name" },
    {
      why: "an empty list of directories",
      query: "module-name=plain",
      directories: [],
      says: "has no module-directories",
    },
    { why: "a path that is not there", query: "module-path=/nowhere/x.so", says: "does not exist" },
    { why: "a path that is no file", query: "module-path=/dev/null", says: "neither a file" },
    {
      why: "a path that is neither a file nor a directory, with a name",
      query: "module-path=/dev/null&module-name=plain",
      says: "neither a file",
    },
  ])("reports $why", async ({ query, directories, says = "no module of this name" }) => {
    const config = directories === undefined ? {} : { moduleDirectories: directories };
    const error = await expectCode(() => find(query, config), "MODULE_NOT_FOUND");
    expect(error.message).toContain(says);
  });

  it("needs a name in a directory", async () => {
    await expectCode(() => find(`module-path=${lib}`, {}), "MODULE_NOT_FOUND");
  });

  it.each([
    { why: "nothing is allowed", allow: () => [] },
    { why: "another file is allowed", allow: () => [`${lib}/other`] },
    { why: "the directory is allowed without the slash", allow: () => [lib] },
    { why: "only a part of the name is allowed", allow: () => [`${lib}/pla`] },
    { why: "only a directory above is allowed", allow: () => [`${root}/`] },
    { why: "only a directory below is allowed", allow: () => [`${lib}/sub/`] },
  ])("rejects a module when $why", async ({ allow }) => {
    for (const query of ["module-name=plain", `module-path=${lib}/plain`]) {
      await expectCode(() => find(query, { allowedModulePaths: allow() }), "MODULE_NOT_ALLOWED");
    }
  });

  it("refuses to leave an allowed directory", async () => {
    await expectCode(
      () => find(`module-path=${lib}/sub/../plain`, { allowedModulePaths: [`${lib}/sub/`] }),
      "MODULE_NOT_ALLOWED",
    );
  });

  it("allows a single file", async () => {
    const config = { allowedModulePaths: [`${lib}/plain`] };
    expect(await find("module-name=plain", config)).toBe("plain");
    await expectCode(() => find("module-name=softhsm2", config), "MODULE_NOT_ALLOWED");
  });
});
