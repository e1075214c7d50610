import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it, onTestFinished, type TestContext } from "vitest";
import {
  dockerRegistry,
  stopRegistries,
  type DockerRegistry,
} from "../registry/docker-registry.js";
import { pushLargeImage } from "./large-image.js";
import {
  COMMAND,
  hasProgram,
  keyFile,
  ocicrypt,
  requirePeer,
  run,
  temporaryDirectory,
} from "./peers.js";
import { countingProxy } from "./registry-server.js";
import { requestLog } from "./request-log.js";

const directory = temporaryDirectory();
stopRegistries();

const MIB = 1024 * 1024;
const ALICE = { recipient: `jwe:${keyFile("ec256.pub.pem")}`, key: keyFile("ec256.pkcs8.pem") };
const BOB = { recipient: `jwe:${keyFile("rsa2048.pub.pem")}`, key: keyFile("rsa2048.pkcs8.pem") };

/** Gibibytes pass through a registry here, and other tests may run at the same time. */
const TIMEOUT = 900_000;

interface Result {
  image: { digest: string };
  layers: { before: { digest: string }; after: { digest: string } }[];
}

interface Report {
  manifests: { layers: { keys: { opens: boolean }[] }[] }[];
}

/** Docker's registry, whose files go with the test. */
async function registryForTest(context: TestContext, name: string): Promise<DockerRegistry> {
  requirePeer(context, "docker-registry", hasProgram("docker-registry", "--version"));
  const storage = join(directory, name);
  mkdirSync(storage);
  onTestFinished(() => {
    rmSync(storage, { recursive: true });
  });
  return dockerRegistry(storage);
}

describe("an image of 8 layers of 256 MiB, from repository to repository", () => {
  const dist = (file: string): string => new URL(`../../dist/${file}`, import.meta.url).href;
  const PEAK = new URL("peak-memory.js", import.meta.url).href;

  /** The most memory that a process has had, in bytes, and what it printed. */
  interface Measured {
    peak: number;
    text: string;
  }

  /** Runs Node to its end. */
  async function measure(...args: readonly string[]): Promise<Measured> {
    const file = join(directory, "peak");
    const env = { PEAK_MEMORY: file };
    const node = ["--import", PEAK, ...args];
    const { status, stdout, stderr } = await run(process.execPath, node, { env });
    expect(status, stderr).toBe(0);
    return { peak: Number(readFileSync(file, "utf8")), text: stdout.toString() };
  }

  async function measureIdle(): Promise<number> {
    const modules = ["image/index.js", "registry/index.js", "keywrap/jwe/index.js"].map(dist);
    const program = `
      for (const module of ${JSON.stringify(modules)}) await import(module);
      await import(${JSON.stringify(import.meta.resolve("undici"))});
      await new Promise((resolve) => setTimeout(resolve, 500));`;
    return (await measure("--input-type=module", "--eval", program)).peak;
  }

  it(
    "takes at most 64 MiB more memory than a process that only waits",
    { timeout: TIMEOUT },
    async (context) => {
      requirePeer(context, "Linux's /proc", process.platform === "linux");
      const registry = await registryForTest(context, "memory");
      const plain = await pushLargeImage(registry.at("plain"), { layers: 8, size: 256 });
      const at = (repository: string): string => `docker://${registry.host}/${repository}:latest`;
      const idle = await measureIdle();
      // Node.js frees memory late on a busy machine, so that the least of five runs counts.
      const least = async (to: string, ...args: readonly string[]): Promise<Measured> => {
        for (let run = 1; ; run++) {
          const measured = await measure(COMMAND, ...args, at(`${to}-${String(run)}`), "--json");
          if (measured.peak - idle < 64 * MIB || run === 5) return measured;
        }
      };
      const encryption = await least("secret", "encrypt", "-r", ALICE.recipient, at("plain"));
      const decryption = await least("again", "decrypt", "-k", ALICE.key, at("secret-1"));

      const encrypted = JSON.parse(encryption.text) as Result;
      const blobs = encrypted.layers.flatMap(({ before, after }) => [before.digest, after.digest]);
      expect(new Set(blobs).size).toBe(16);
      expect((JSON.parse(decryption.text) as Result).image.digest).toBe(plain.digest);
      expect(idle).toBeGreaterThan(20 * MIB);
      for (const { peak } of [encryption, decryption]) {
        expect(peak).toBeGreaterThan(idle);
        expect(peak - idle).toBeLessThan(64 * MIB);
      }
    },
  );
});

describe("recipients of an image in a registry", () => {
  interface Moved {
    bytes: number;
    requests: string[];
  }

  /** Runs the command of this package, which has to succeed. */
  async function ours(...args: readonly string[]): Promise<unknown> {
    const { status, stdout, stderr } = await ocicrypt([...args, "--json"]);
    expect(status, `${args.join(" ")}\n${stderr}`).toBe(0);
    return JSON.parse(stdout.toString());
  }

  /** The bytes transferred when a recipient is added to an image with one layer of a size in MiB. */
  async function addToLayerOf(size: number, registry: DockerRegistry): Promise<Moved> {
    const repository = `of-${String(size)}`;
    const at = (host: string, tag: string): string => `docker://${host}/${repository}:${tag}`;
    await pushLargeImage(registry.at(repository, "plain"), { layers: 1, size });
    const image = at(registry.host, "secret");
    const plain = at(registry.host, "plain");
    const encryption = (await ours("encrypt", plain, image, "-r", ALICE.recipient)) as Result;
    const layers = encryption.layers.map(({ after }) => after.digest);

    const log = await requestLog(registry.host);
    const proxy = await countingProxy(log.host);
    await ours("recipients", "add", at(proxy.host, "secret"), "-r", BOB.recipient, "-k", ALICE.key);
    expect(await layersIn(registry, repository, "secret")).toEqual(layers);
    const { manifests } = (await ours("inspect", image, "-k", BOB.key)) as Report;
    expect(manifests[0]!.layers.map(({ keys }) => keys.map(({ opens }) => opens))).toEqual([
      [true],
    ]);
    return { bytes: proxy.bytes, requests: log.requests };
  }

  /** The digests of the layers, by the registry's own answer. */
  async function layersIn(
    { host }: DockerRegistry,
    repository: string,
    tag: string,
  ): Promise<string[]> {
    const accept = "application/vnd.oci.image.manifest.v1+json";
    const url = `http://${host}/v2/${repository}/manifests/${tag}`;
    const answer = (await (await fetch(url, { headers: { accept } })).json()) as {
      layers: { digest: string }[];
    };
    return answer.layers.map(({ digest }) => digest);
  }

  it(
    "are added with the same requests for a layer of 1 GiB as for one of 1 MiB",
    { timeout: TIMEOUT },
    async (context) => {
      const registry = await registryForTest(context, "recipients");
      const small = await addToLayerOf(1, registry);
      const large = await addToLayerOf(1024, registry);
      expect(large.requests).toEqual(small.requests);
      expect(large.requests.filter((each) => !/ (manifests|referrers) /.test(each))).toEqual([]);
      expect(large.requests.at(-1)).toBe("PUT manifests by tag");
      expect(small.bytes).toBeGreaterThan(0);
      expect(large.bytes).toBeLessThan(MIB);
      // The same except for digits of sizes.
      expect(Math.abs(large.bytes - small.bytes)).toBeLessThan(1024);
    },
  );
});
