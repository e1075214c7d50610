// The public interface in one text for each subpath: every exported type, and those that it names.
// Run by itself it writes the reports; report.test.ts compares them with the build.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { CompilerState, Extractor, ExtractorConfig } from "@microsoft/api-extractor";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const HERE = fileURLToPath(new URL("./", import.meta.url));

/**
 * Makes the report of each subpath from the declarations in `dist`.
 *
 * @param {{ write: boolean }} options whether to replace the reports that are here
 * @returns {Map<string, { report: string, isStale: boolean }>} by the subpath
 */
export function reportInterface({ write }) {
  const { exports } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
  const entries = Object.entries(exports)
    .filter(([, target]) => typeof target !== "string")
    .map(([subpath, { types }]) => ({ subpath, types: join(ROOT, types) }));
  const temporary = mkdtempSync(join(tmpdir(), "ocicrypt-api-"));
  try {
    const configs = entries.map((entry) => configOf(entry, temporary));
    // One program for all: most of the time goes into reading the types of Node.js.
    const additionalEntryPoints = entries.map(({ types }) => types);
    const compilerState = CompilerState.create(configs[0], { additionalEntryPoints });
    const reports = new Map();
    for (const [index, config] of configs.entries()) {
      const { apiReportChanged } = Extractor.invoke(config, {
        compilerState,
        localBuild: write,
        messageCallback: (message) => {
          message.handled = true;
        },
      });
      const { subpath } = entries[index];
      const report = readFileSync(join(temporary, fileOf(subpath)), "utf8");
      reports.set(subpath, { report, isStale: apiReportChanged });
    }
    return reports;
  } finally {
    rmSync(temporary, { recursive: true });
  }
}

/** @param {string} subpath as in package.json, such as `./jwe` */
export function fileOf(subpath) {
  return `${subpath === "." ? "ocicrypt" : subpath.slice(2)}.api.md`;
}

function configOf({ subpath, types }, temporary) {
  const silent = { default: { logLevel: "none" } };
  return ExtractorConfig.prepare({
    configObjectFullPath: undefined,
    packageJsonFullPath: join(ROOT, "package.json"),
    configObject: {
      projectFolder: ROOT,
      mainEntryPointFilePath: types,
      newlineKind: "lf",
      compiler: { tsconfigFilePath: join(ROOT, "tsconfig.json") },
      apiReport: {
        enabled: true,
        reportFileName: fileOf(subpath),
        reportFolder: HERE,
        reportTempFolder: temporary,
        // A change of a type that is not exported changes those that are.
        includeForgottenExports: true,
      },
      docModel: { enabled: false },
      dtsRollup: { enabled: false },
      tsdocMetadata: { enabled: false },
      messages: {
        compilerMessageReporting: silent,
        extractorMessageReporting: silent,
        tsdocMessageReporting: silent,
      },
    },
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const [subpath, { isStale }] of reportInterface({ write: true })) {
    if (isStale) console.log(`updated the report of ${subpath}`);
  }
}
