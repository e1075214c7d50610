import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { buildGoPeers, goModuleVersion, hasProgram } from "../peers.js";
import { exchange, type Direction, type Exchange } from "./cells.js";
import { PASSWORD } from "./environment.js";
import { copyTool, oldKey, ourImages } from "./images.js";
import { goProgram, ourLayers } from "./layers.js";
import { LIMITS, type Limit } from "./limits.js";
import { gpg, opensslCms } from "./messages.js";
import type { Scheme } from "./schemes.js";

/** A column of the matrix. */
export interface Peer {
  name: string;
  isThere: boolean;
  /** The rows that it has a cell in; all of them by default. */
  rows?: RegExp;
  /** The version inside. */
  ocicrypt?: string | undefined;
  exchange: Exchange;
}

const OCICRYPT = "github.com/containers/ocicrypt";

export async function findPeers(directory: string): Promise<Peer[]> {
  const go = await buildGoPeers(directory);
  const images = ourImages(newLayouts(directory));
  const copy = goModuleVersion(go?.imageCopy ?? "", "go.podman.io/image/v5") ?? "";
  return [
    ...["skopeo", ...(process.env.SKOPEO === undefined ? [] : [process.env.SKOPEO])].map(
      (program) => skopeo(program, directory),
    ),
    {
      name: `containers/image ${copy}`.trimEnd(),
      isThere: go !== undefined,
      ocicrypt: goModuleVersion(go?.imageCopy ?? "", OCICRYPT),
      exchange: exchange(images, copyTool(go?.imageCopy ?? "", [], newLayouts(directory))),
    },
    ...["1.1.10", "1.3.2"].map((version) => ({
      name: "Go library",
      isThere: go !== undefined,
      ocicrypt: version,
      exchange: exchange(
        ourLayers,
        goProgram((version === "1.3.2" ? go?.ocicrypt132 : go?.ocicrypt1110) ?? "", directory),
      ),
    })),
    {
      name: `GnuPG ${versionOf("gpg", "--version")}`.trimEnd(),
      isThere: hasProgram("gpg", "--version"),
      rows: /^OpenPGP/,
      exchange: exchange(ourLayers, gpg(PASSWORD)),
    },
    {
      name: `OpenSSL ${versionOf("openssl", "version")}`.trimEnd(),
      isThere: hasProgram("openssl", "version"),
      rows: /^PKCS#7/,
      exchange: exchange(ourLayers, opensslCms),
    },
  ];
}

function skopeo(program: string, directory: string): Peer {
  const version = versionOf(program, "--version");
  // Debian builds without a record of versions.
  const ocicrypt =
    goModuleVersion(program, OCICRYPT) ?? (version === "1.9.3" ? "1.0.3" : undefined);
  const keys = join(directory, `keys-for-${version}`);
  mkdirSync(keys, { recursive: true });
  const isOld = ocicrypt !== undefined && isBelow(ocicrypt, "1.1.0");
  const tool = copyTool(
    program,
    ["--insecure-policy", "copy", "--quiet"],
    newLayouts(directory),
    isOld ? (key) => oldKey(key, keys) : undefined,
  );
  return {
    name: `skopeo ${version}`.trimEnd(),
    isThere: hasProgram(program, "--version"),
    ocicrypt,
    exchange: exchange(ourImages(newLayouts(directory)), tool),
  };
}

let layouts = 0;

function newLayouts(directory: string): () => string {
  return () => join(directory, `layout-${String(layouts++)}`);
}

function versionOf(program: string, option: string): string {
  if (!hasProgram(program, option)) return "";
  const text = execFileSync(program, [option], { encoding: "utf8" });
  return /\d+\.\d+(?:[.-]\w+)*/.exec(text)?.[0] ?? "";
}

export function nameOf({ name, ocicrypt }: Peer): string {
  return ocicrypt === undefined ? name : `${name}, ocicrypt ${ocicrypt}`;
}

/** The limit of a peer in a row and direction, if any. */
export function limitOf(
  { name, ocicrypt }: Peer,
  scheme: Scheme,
  direction: Direction,
): Limit | undefined {
  return LIMITS.find(
    ({ peer, schemes, messages }) =>
      schemes.test(scheme.name) &&
      messages[direction] !== undefined &&
      (typeof peer === "string"
        ? name.startsWith(peer)
        : ocicrypt !== undefined && isBelow(ocicrypt, peer.ocicryptBelow)),
  );
}

function isBelow(version: string, limit: string): boolean {
  return version.localeCompare(limit, "en", { numeric: true }) < 0;
}
