import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspectImage } from "ocicrypt/image";
import {
  configuredCredentials,
  listReferrers,
  parseRegistryReference,
  registrySource,
} from "ocicrypt/registry";
import { archiveSource, parseArchiveReference, parseLayoutReference } from "ocicrypt/store";
import { pack } from "tar-stream";
import { parseChallenges } from "../../../dist/registry/authorization.js";
import { layouts, sha256 } from "../files.js";

const scratch = mkdtempSync(join(tmpdir(), "ocicrypt-fuzz-"));
process.on("exit", () => rmSync(scratch, { recursive: true, force: true }));

async function archiveOf({ index, blobs }, options) {
  const archive = pack();
  const put = (name, bytes) => archive.entry({ name, mtime: new Date(0), ...options }, bytes);
  put("oci-layout", '{"imageLayoutVersion":"1.0.0"}');
  put("index.json", index);
  for (const bytes of [...blobs.values()].filter(({ length }) => length < 20_000)) {
    put(`blobs/sha256/${sha256(bytes)}`, bytes);
  }
  archive.finalize();
  const chunks = [];
  for await (const chunk of archive) chunks.push(chunk);
  return Buffer.concat(chunks);
}

export const archive = {
  form: "archive",
  seeds() {
    const [plain] = layouts();
    const pax = { comment: "x", path: "index.json" };
    return Promise.all([archiveOf(plain), archiveOf(plain, { pax })]);
  },
  dictionary: ["ustar\x0000", "ustar  \0", "27 path=index.json\n", "18 size=77777777\n", "\0"],
  async run(bytes) {
    const path = join(scratch, "image.tar");
    writeFileSync(path, bytes);
    await inspectImage(archiveSource({ path }));
  },
};

export const authFile = {
  form: "json",
  share: 8,
  seeds: () => [
    Buffer.from(
      '{"auths":{"registry.example":{"auth":"dTpw"},"registry.example/a":{"identitytoken":"t"}}}',
    ),
    Buffer.from('{"auths":{"https://registry.example/v1/":{"auth":"dTpwAA=="}},"HttpHeaders":{}}'),
  ],
  dictionary: ["auths", "auth", "identitytoken", "registry.example", "OnA=", "dQ=="],
  async run(bytes) {
    const path = join(scratch, "auth.json");
    // A helper is a program; none may run here.
    writeFileSync(path, bytes.toString("latin1").replace(/cred|\\u/gi, "x"), "latin1");
    const find = configuredCredentials({ env: { REGISTRY_AUTH_FILE: path, PATH: "/nowhere" } });
    await find({ host: "registry.example", repository: "a/b", url: new URL("https://x/") });
  },
};

const CHALLENGES = [
  'Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a:pull"',
  'Basic realm="x", Bearer realm="https://auth.example/t\\"oken" , error=invalid',
  "Negotiate dG9rZW42OA==, Basic",
];

export const challenge = {
  form: "bytes",
  share: 8,
  seeds: () => CHALLENGES.map((text) => Buffer.from(text)),
  dictionary: ["Basic ", "Bearer ", "realm=", '"', "\\", ",", " , ", "=", "\t", ",,,,,,,,"],
  run(bytes) {
    parseChallenges(bytes.toString("latin1"));
  },
};

export const reference = {
  form: "bytes",
  share: 8,
  seeds: () =>
    [
      "docker://registry.example:5000/team/app:v1",
      `docker://app@sha256:${"0".repeat(64)}`,
      "docker://[::1]:80/a/b__c",
      `oci:/tmp/dir:tag@sha512:${"0".repeat(128)}`,
      "oci-archive:file.tar:name",
    ].map((text) => Buffer.from(text)),
  dictionary: [
    "docker://",
    "oci:",
    "oci-archive:",
    "@sha256:",
    ":",
    "/",
    "..",
    "user:password@",
    "%2f",
  ],
  run(bytes) {
    const text = bytes.toString();
    let refusal;
    for (const parse of [parseLayoutReference, parseArchiveReference, parseRegistryReference]) {
      try {
        parse(text);
        return;
      } catch (error) {
        if (error?.code !== "REFERENCE_INVALID") throw error;
        refusal = error;
      }
    }
    throw refusal;
  },
};

const DIGEST = `sha256:${"0".repeat(64)}`;

/** A registry whose answers are the input: `[{status, headers, body}, …]`, then the last again. */
export const registry = {
  form: "json",
  seeds: () => [
    answers(
      { status: 401, headers: { "www-authenticate": CHALLENGES[0] } },
      { status: 200, body: '{"token":"abc","expires_in":300}' },
      {
        status: 200,
        headers: {
          "content-type": "application/vnd.oci.image.index.v1+json",
          link: "</v2/?n=1>; rel=next",
        },
        body: '{"schemaVersion":2,"manifests":[]}',
      },
    ),
    answers({
      status: 404,
      body: '{"errors":[{"code":"NAME_UNKNOWN","message":"no","detail":{}}]}',
    }),
    answers(
      { status: 307, headers: { location: "https://cdn.example/x" } },
      {
        status: 200,
        headers: {
          "content-type": "application/vnd.oci.image.manifest.v1+json",
          "docker-content-digest": DIGEST,
        },
        body: "{}",
      },
    ),
    answers({ status: 403, headers: { "www-authenticate": "Basic realm=x" }, body: "denied" }),
  ],
  dictionary: [...CHALLENGES, DIGEST, "https://cdn.example/", "http://127.0.0.1/", "//x", "token"],
  async run(bytes) {
    let list;
    try {
      list = JSON.parse(bytes.toString());
    } catch {
      return;
    }
    if (!Array.isArray(list) || list.length === 0) return;
    const options = () => ({
      fetch: answering(list),
      retry: { attempts: 1 },
      credentials: () => Promise.resolve({ username: "u", password: "p" }),
    });
    const image = { host: "registry.example", repository: "a", tag: "t" };
    let refusal;
    try {
      await listReferrers(image, DIGEST, options());
    } catch (error) {
      refusal = error;
    }
    await registrySource(image, options()).resolve();
    if (refusal !== undefined) throw refusal;
  },
};

function answers(...list) {
  return Buffer.from(JSON.stringify(list));
}

function answering(list) {
  let next = 0;
  return () => {
    const answer = Object(list[Math.min(next, list.length - 1)]);
    next++;
    const headers = new Headers();
    for (const [name, value] of Object.entries(Object(answer.headers))) {
      // A header that HTTP does not carry reaches nobody.
      try {
        headers.set(name, String(value));
      } catch {
        continue;
      }
    }
    const status = [200, 201, 301, 307, 400, 401, 403, 404, 429, 500].includes(answer.status)
      ? answer.status
      : 200;
    const body = typeof answer.body === "string" ? answer.body : "[]";
    return Promise.resolve(new Response(body, { status, headers }));
  };
}
