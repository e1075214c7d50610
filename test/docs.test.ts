import { execFile, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync } from "node:fs";
import { rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import ts from "typescript";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { dockerRegistry, stopRegistries } from "./registry/docker-registry.js";
import { stopServers } from "./registry/server.js";
import { keyServerDoubles } from "./support/key-server-doubles.js";
import { tangProxy } from "./support/tang.js";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const read = (file: string): string => readFileSync(join(ROOT, file), "utf8");

/** Milliseconds: compiling a block, or many commands on a busy machine. */
const TIMEOUT = 180_000;

/** Creates the files that the pages use: keys, an image in `app`, a layer, a locked key. */
const PRELUDE = `
import { createPrivateKey } from "node:crypto";
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { makeImage } from ${JSON.stringify(new URL("../examples/make-image.js", import.meta.url))};

const keys = new URL(${JSON.stringify(new URL("../vectors/keys/", import.meta.url))});
for (const [name, key] of [["", "rsa-3072"], ["bob-", "ec-p256"]]) {
  copyFileSync(new URL(key + ".pub.pem", keys), name + "public.pem");
  copyFileSync(new URL(key + ".pem", keys), name + "private.pem");
}
const peers = new URL(${JSON.stringify(new URL("../vectors/peers/keys/", import.meta.url))});
copyFileSync(new URL("cert-rsa3072.pem", peers), "certificate.pem");
copyFileSync(new URL("rsa3072.pkcs8.pem", peers), "certificate-key.pem");
const require = createRequire(${JSON.stringify(import.meta.url)});
const { privateKey, publicKey } = await require("openpgp").generateKey({
  ...{ type: "ecc", curve: "curve25519Legacy", format: "binary" },
  userIDs: [{ email: "alice@example.org" }],
});
writeFileSync("alice.gpg", publicKey);
writeFileSync("alice.sec.gpg", privateKey);
const locked = { type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "pass:word" };
writeFileSync("locked.pem", createPrivateKey(readFileSync("private.pem")).export(locked));
writeFileSync("password.txt", "pass:word\\n");
const age = JSON.parse(readFileSync(new URL(${JSON.stringify(new URL("./keyserver/age/age-1.3.1.json", import.meta.url))}), "utf8"));
writeFileSync("identity.txt", age.hybridIdentity);
writeFileSync("recipients.txt", age.hybridRecipient + "\\n");
await makeImage("app", "latest");
const json = (file) => JSON.parse(readFileSync(file, "utf8"));
const blob = (digest) => "app/blobs/" + digest.replace(":", "/");
const manifest = json(blob(json("app/index.json").manifests[0].digest));
copyFileSync(blob(manifest.layers[0].digest), "layer.tar.gz");
`;

interface Block {
  language: string;
  text: string;
  line: number;
  /** Why the block is not run, from the comment `<!-- not run: REASON -->` before it. */
  notRun: string | undefined;
}

function blocksOf(markdown: string): Block[] {
  const fence = /(?:^<!-- not run: ([^\n]*) -->\n+)?^```(\w+)\n(.*?)^```$/gms;
  return [...markdown.matchAll(fence)].map(({ index, 0: all, 1: notRun, 2: language, 3: text }) => {
    const line = markdown.slice(0, index + all.indexOf("```")).split("\n").length;
    return { language: language ?? "", text: text ?? "", line, notRun };
  });
}

const isRun = ({ language, notRun }: Block): boolean =>
  ["js", "ts", "console", "sh"].includes(language) && notRun === undefined;

/** The registry of the examples; the tests start one on a free port instead. */
const REGISTRY = "localhost:5000";

const isInstalled = (program: string): boolean =>
  spawnSync(program, ["--version"]).error === undefined;

/** The programs that a block needs and that this machine does not have. In CI none is missing. */
function missing({ text }: Block): string[] {
  const needed = [
    ...(text.includes(REGISTRY) ? ["docker-registry"] : []),
    ...(/^\$? ?skopeo /m.test(text) ? ["skopeo"] : []),
  ];
  return process.env.CI === "true" ? [] : needed.filter((program) => !isInstalled(program));
}

const pages = ["README.md", ...readdirSync(join(ROOT, "docs")).map((name) => `docs/${name}`)]
  .map((page) => ({ page, blocks: blocksOf(read(page)).filter(isRun) }))
  .filter(({ blocks }) => blocks.length > 0);

stopRegistries();

/** The environment in which the examples of docs/key-servers.md find their servers. */
async function keyServerEnvironment(): Promise<Record<string, string>> {
  const { env } = await keyServerDoubles();
  const proxy = await tangProxy({
    "tang.example": "one",
    "tang-2.example": "two",
    "tang-3.example": "p256",
  });
  return { HTTP_PROXY: proxy.url, ...env };
}

describe.for(pages)("$page", ({ page, blocks }) => {
  let directory = "";
  let registry = REGISTRY;
  let env: Record<string, string> = {};

  beforeAll(async () => {
    // The README creates everything that it uses.
    directory = await prepare(page === "README.md" ? "" : PRELUDE);
    if (page === "docs/key-servers.md") env = await keyServerEnvironment();
    const usesRegistry = blocks.some(({ text }) => text.includes(REGISTRY));
    if (!usesRegistry || !isInstalled("docker-registry")) return;
    registry = (await dockerRegistry(dirname(directory))).host;
  }, TIMEOUT);
  afterAll(() => {
    if (directory !== "") rmSync(dirname(directory), { recursive: true, force: true });
    return stopServers();
  });

  // In order: a page tells a story, and later blocks use what earlier ones created.
  it.for(blocks)("line $line runs ($language)", { timeout: TIMEOUT }, async (block, context) => {
    const programs = missing(block);
    if (programs.length > 0) context.skip(`${programs.join(" and ")} is not installed`);
    const { language, line } = block;
    const text = block.text.replaceAll(REGISTRY, registry);
    const file = join(directory, `line-${String(line)}.${language}`);
    writeFileSync(file, text);
    if (language === "console") await runConsole(text, directory, env);
    else if (language === "sh") await succeed("sh", ["-e", file], directory, env);
    else {
      const program = language === "ts" ? compile(file) : file;
      await succeed(process.execPath, [program], directory, env);
    }
  });
});

/**
 * A directory with what a script makes, beside a `bin` and the `node_modules` of an installation,
 * which is the global one of npm too.
 */
async function prepare(script: string): Promise<string> {
  const root = mkdtempSync(join(tmpdir(), "ocicrypt-docs-"));
  for (const name of ["bin", "lib", "node_modules", "work"]) mkdirSync(join(root, name));
  symlinkSync(ROOT, join(root, "node_modules", "ocicrypt"), "junction");
  symlinkSync(join(root, "node_modules"), join(root, "lib", "node_modules"), "junction");
  const command = `#!/bin/sh\nexec "${process.execPath}" "${ROOT}dist/cli/main.js" "$@"\n`;
  writeFileSync(join(root, "bin", "ocicrypt"), command, { mode: 0o755 });
  writeFileSync(join(root, "package.json"), '{"type":"module"}');
  const directory = join(root, "work");
  writeFileSync(join(root, "prelude.js"), script);
  await succeed(process.execPath, [join(root, "prelude.js")], directory);
  return directory;
}

interface Result {
  status: number | string;
  output: string;
}

/** Runs a program; its output is that of both streams, as on a terminal. */
function run(
  program: string,
  args: readonly string[],
  cwd: string,
  more: Readonly<Record<string, string>> = {},
): Promise<Result> {
  const path = join(cwd, "..", "bin") + delimiter + (process.env.PATH ?? "");
  return new Promise((resolve) => {
    const env = { ...process.env, ...more, PATH: path, npm_config_prefix: dirname(cwd) };
    execFile(program, args, { cwd, env, timeout: TIMEOUT - 10_000 }, (error, stdout, stderr) => {
      resolve({ status: error === null ? 0 : (error.code ?? "killed"), output: stderr + stdout });
    });
  });
}

async function succeed(...args: Parameters<typeof run>): Promise<void> {
  const { status, output } = await run(...args);
  expect(status, output).toBe(0);
}

/** Runs each `$` line and compares what it prints with the lines below it. */
async function runConsole(
  text: string,
  cwd: string,
  env: Readonly<Record<string, string>>,
): Promise<void> {
  for (const part of text.split(/^\$ /m).slice(1)) {
    const [command = "", ...expected] = part.trimEnd().split("\n");
    const { output } = await run("sh", ["-c", `exec 2>&1; ${command}`], cwd, env);
    const lines = normalize(expected.join("\n")).split(/ *\.\.\.$/m);
    const pattern = lines.map((line) => line.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&")).join("[^]*?");
    expect(normalize(output.trimEnd())).toMatch(new RegExp(`^${pattern}$`));
  }
}

/** Times, digests and sizes differ from run to run and from zlib to zlib. */
function normalize(text: string): string {
  return text
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "TIME")
    .replace(/sha256:[0-9a-f]+…?/g, "sha256:#")
    .replace(/\d+(?:\.\d+)? (?:B|KiB|MiB)\b/g, "# B")
    .replace(/"size": \d+/g, '"size": #');
}

/** Checks the types of a file and compiles it. */
function compile(file: string): string {
  const program = ts.createProgram([file], {
    target: ts.ScriptTarget.ES2023,
    lib: ["lib.es2023.d.ts"],
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    strict: true,
    exactOptionalPropertyTypes: true,
    skipLibCheck: true,
    types: ["node"],
    typeRoots: [join(ROOT, "node_modules", "@types")],
  });
  const messages = ts
    .getPreEmitDiagnostics(program)
    .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, "\n"));
  expect(messages).toEqual([]);
  program.emit();
  return file.replace(/ts$/, "js");
}

describe("docs/using-in-your-project.md", () => {
  const projects = join("test", "consumers");
  const files = readdirSync(join(ROOT, projects), { recursive: true, encoding: "utf8" })
    .filter((file) => /\.(?:c?js|json)$/.test(file))
    .map((file) => read(join(projects, file)));
  const code = blocksOf(read("docs/using-in-your-project.md")).filter(
    ({ language }) => language !== "sh",
  );

  it.for(code)("line $line is a file of a project that CI runs", ({ text }) => {
    expect(files).toContain(text);
  });
});

describe("links", () => {
  const skipped = ["node_modules", "dist", ".git"];
  const walk = (folder: string): string[] =>
    readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) return skipped.includes(entry.name) ? [] : walk(path);
      return entry.name.endsWith(".md") ? [relative(ROOT, path)] : [];
    });

  const linksOf = (page: string): string[] => {
    const text = read(page).replace(/^```.*?^```$/gms, "");
    const targets = [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = ""]) => target);
    return targets.filter((target) => !/^[a-z]+:/.test(target));
  };

  it.for(walk(ROOT))("of %s lead somewhere", (page) => {
    expect(linksOf(page).filter((target) => !leads(page, target))).toEqual([]);
  });

  it("lead somewhere inside the npm package too", { timeout: TIMEOUT }, async () => {
    const pack = ["pack", "--dry-run", "--json", "--ignore-scripts"];
    const { stdout } = await promisify(execFile)("npm", pack, { cwd: ROOT });
    const [{ files }] = JSON.parse(stdout) as [{ files: { path: string }[] }];
    const packed = files.map(({ path }) => path);
    const isPacked = (path: string): boolean =>
      packed.some((file) => file === path || file.startsWith(`${path}/`));
    const broken = packed
      .filter((path) => path.endsWith(".md"))
      .flatMap((page) => linksOf(page).map((target) => ({ page, path: target.split("#")[0]! })))
      .filter(({ page, path }) => path !== "" && !isPacked(join(dirname(page), path)));
    expect(broken).toEqual([]);
  });

  function leads(page: string, target: string): boolean {
    const [path = "", anchor] = target.split("#");
    const file = path === "" ? page : join(dirname(page), path);
    if (!existsSync(join(ROOT, file))) return false;
    return anchor === undefined || anchorsOf(read(file)).includes(anchor);
  }

  /** As GitHub makes them of headings. */
  function anchorsOf(markdown: string): string[] {
    const headings = [...markdown.replace(/^```.*?^```$/gms, "").matchAll(/^#+ (.*)$/gm)];
    return headings.map(([, title = ""]) =>
      title
        .toLowerCase()
        .replace(/[^\p{L}\p{N}\s_-]/gu, "")
        .replaceAll(" ", "-"),
    );
  }
});
