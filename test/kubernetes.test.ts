import { readdirSync, readFileSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { DaemonSet } from "kubernetes-models/apps/v1";
import { Job } from "kubernetes-models/batch/v1";
import ts from "typescript";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { parseCommandLine } from "../src/cli/arguments.js";
import { KEYS_DIRECTORY } from "../src/runtime/runtimes.js";

const ROOT = new URL("../", import.meta.url);
const DIRECTORY = new URL("examples/kubernetes/", ROOT);

interface Manifest {
  kind: "DaemonSet" | "Job";
  spec: { template: { spec: PodSpec } };
}

interface PodSpec {
  containers: { command: string[]; args: string[]; volumeMounts: Mount[] }[];
  volumes: { name: string; secret?: object; hostPath?: { path: string } }[];
}

interface Mount {
  name: string;
  mountPath: string;
  readOnly?: boolean;
}

const manifests = readdirSync(DIRECTORY).map((name) => {
  const manifest = parse(readFileSync(new URL(name, DIRECTORY), "utf8")) as Manifest;
  return { name, manifest };
});

const MODELS = { DaemonSet, Job } as const;
const MODULES = { DaemonSet: "apps/v1", Job: "batch/v1" } as const;

describe.for(manifests)("$name", ({ manifest }) => {
  const [container] = manifest.spec.template.spec.containers;

  it("fits the schema of Kubernetes", () => {
    new MODELS[manifest.kind](manifest as never).validate();
  });

  // The schema permits unknown members, such as misspelt ones; the types do not.
  it("has no unknown member", () => {
    const from = `kubernetes-models/${MODULES[manifest.kind]}`;
    const source = `import type { I${manifest.kind} } from "${from}";
export const manifest: I${manifest.kind} = ${JSON.stringify(manifest)};`;
    expect(typeErrors(source)).toEqual([]);
    const misspelt = source.replace('"containers"', '"initContainer":1,"containers"');
    expect(typeErrors(misspelt).join()).toContain("initContainer");
  });

  it("runs a command line that is accepted", () => {
    expect(container!.command).toEqual(["ocicrypt"]);
    expect(parseCommandLine(container!.args).command).toBeDefined();
  });
});

/** The type errors of a module next to the manifests. */
function typeErrors(source: string): string[] {
  const file = fileURLToPath(new URL("manifest.ts", ROOT));
  const options: ts.CompilerOptions = {
    module: ts.ModuleKind.NodeNext,
    noEmit: true,
    skipLibCheck: true,
    strict: true,
    types: [],
  };
  const base = ts.createCompilerHost(options);
  const host: ts.CompilerHost = {
    ...base,
    fileExists: (name) => name === file || base.fileExists(name),
    readFile: (name) => (name === file ? source : base.readFile(name)),
    getSourceFile: (name, target) =>
      name === file ? ts.createSourceFile(name, source, target) : base.getSourceFile(name, target),
  };
  return ts
    .getPreEmitDiagnostics(ts.createProgram([file], options, host))
    .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, "\n"));
}

it("the DaemonSet copies from its Secret to the keys directory of the node", () => {
  const { manifest } = manifests.find(({ name }) => name === "node-keys.yaml")!;
  const { containers, volumes } = manifest.spec.template.spec;
  const { args, volumeMounts } = containers[0]!;
  const { from, to, watch } = parseCommandLine(args);
  expect([to, watch]).toEqual([KEYS_DIRECTORY, true]);
  const volumeAt = (path: string | undefined): PodSpec["volumes"][number] | undefined => {
    const mount = volumeMounts.find(({ mountPath }) => mountPath === path);
    return volumes.find(({ name }) => name === mount?.name);
  };
  expect(volumeAt(from)).toHaveProperty("secret");
  expect(volumeAt(dirname(to!))).toHaveProperty("hostPath.path", dirname(KEYS_DIRECTORY));
});
