import { X509Certificate } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import type { RequestListener } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";
import { afterEach, beforeAll, expect, it } from "vitest";
import {
  listTags,
  registryDestination,
  registrySource,
  type FetchResponse,
  type RegistryOptions,
} from "../../src/registry/index.js";
import { certificateDirectories, loadTls, parseCertificates } from "../../src/http/tls.js";
import { single } from "../../src/io/source.js";
import { expectCode } from "../support/codes.js";
import { temporaryDirectories } from "../support/image.js";
import { vectorFile } from "../support/vectors.js";
import { makeCertificate, type Certificate } from "./docker-registry.js";
import { digestOf, MANIFEST, QUICK } from "./server.js";

const directory = temporaryDirectories();
const NAMES = ["SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "XDG_CONFIG_HOME"];
const before = NAMES.map((name) => [name, process.env[name]] as const);
const running: Server[] = [];
let own: Certificate;

beforeAll(() => {
  own = makeCertificate(directory(), "server");
});

afterEach(() => {
  for (const server of running.splice(0)) server.close().closeAllConnections();
  for (const [name, value] of before) {
    if (value === undefined) Reflect.deleteProperty(process.env, name);
    else process.env[name] = value;
  }
});

/** A registry with TLS and one image; `clients` gets the names of client certificates. */
async function secureRegistry(
  requestCert = false,
  port = 0,
  answer: RequestListener = (_, response) => {
    response.writeHead(200, { "content-type": MANIFEST }).end("{}");
  },
): Promise<{ host: string; clients: unknown[]; connections: () => number }> {
  let connections = 0;
  const clients: unknown[] = [];
  const pem = { cert: readFileSync(own.cert), key: readFileSync(own.key) };
  const options = { ...pem, ca: pem.cert, requestCert, rejectUnauthorized: requestCert };
  const server = createServer(options, (request, response) => {
    clients.push((request.socket as unknown as TLSSocket).getPeerCertificate().subject);
    answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  server.on("connection", () => (connections += 1));
  running.push(server);
  const host = `127.0.0.1:${String((server.address() as AddressInfo).port)}`;
  return { host, clients, connections: () => connections };
}

const resolve = (host: string, options: RegistryOptions = {}): Promise<unknown> =>
  registrySource({ host, repository: "app", tag: "v1" }, { ...QUICK, ...options }).resolve();

/** A transport that never reaches the registry. */
const okay = (): Promise<FetchResponse> =>
  Promise.resolve({ status: 200, headers: { get: typeOnly }, body: empty() });

const typeOnly = (name: string): string | null => (name === "content-type" ? MANIFEST : null);

// eslint-disable-next-line @typescript-eslint/require-await -- an iterable
async function* empty(): AsyncGenerator<Uint8Array> {
  yield Buffer.from("{}");
}

it("HTTPS is used and verified on this machine if the registry speaks it", async () => {
  const { host, clients } = await secureRegistry();
  await resolve(host, { ca: readFileSync(own.cert) });
  expect(clients).toHaveLength(1);
  const { message } = await expectCode(resolve(host), "REGISTRY_UNREACHABLE");
  expect(message).toContain("its certificate is self-signed");
  expect(clients).toHaveLength(1);
});

it("a registry on this machine is asked once whether it speaks TLS, however many clients there are", async () => {
  const { host, connections } = await secureRegistry();
  const options = { ca: undefined, fetch: okay };
  await Promise.all([resolve(host, options), resolve(host, options)]);
  await resolve(host, options);
  expect(connections()).toBe(1);
});

it("a registry that is not yet running is asked again", async () => {
  const { host } = await secureRegistry();
  const port = host.split(":")[1]!;
  await new Promise((closed) => running.pop()!.close(closed));
  const urls: string[] = [];
  const fetch = (url: string): ReturnType<typeof okay> => {
    urls.push(url);
    return okay();
  };
  await resolve(host, { fetch });
  await secureRegistry(false, Number(port));
  await resolve(host, { fetch });
  expect(urls.map((url) => new URL(url).protocol)).toEqual(["http:", "https:"]);
});

it.each(["SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"])(
  "the certificates of %s are trusted",
  async (name) => {
    const { host } = await secureRegistry();
    process.env[name] = own.cert;
    // Node.js reads its own variable at the start only; here it counts beside a `ca`.
    const other = makeCertificate(directory(), "other");
    await resolve(host, { ca: readFileSync(other.cert) });
  },
);

it("the certificates in the registry's directory are trusted and presented", async () => {
  const { host, clients } = await secureRegistry(true);
  const config = directory();
  process.env.XDG_CONFIG_HOME = config;
  const certs = join(config, "containers/certs.d", host);
  mkdirSync(certs, { recursive: true });
  writeFileSync(join(certs, "ca.crt"), readFileSync(own.cert));
  await expectCode(resolve(host), "REGISTRY_UNREACHABLE");
  writeFileSync(join(certs, "client.cert"), readFileSync(own.cert));
  const { message } = await expectCode(resolve(host), "CREDENTIALS_INVALID");
  expect(message).toContain("client.cert has no client.key beside it");
  writeFileSync(join(certs, "client.key"), readFileSync(own.key));
  await resolve(host);
  expect(clients).toEqual([{ CN: "ocicrypt test" }]);
});

it("a client certificate is sent only to the registry", async () => {
  const parent = directory();
  mkdirSync(join(parent, "r.example:5000"));
  for (const [name, file] of Object.entries({ "a.cert": own.cert, "a.key": own.key })) {
    writeFileSync(join(parent, "r.example:5000", name), readFileSync(file));
  }
  const options = { host: "r.example:5000", ca: [], env: {}, directories: [parent] };
  const tls = await loadTls(options);
  expect(tls.presented(new URL("https://r.example:5000/v2/"))).toBeDefined();
  expect(tls.presented(new URL("https://r.example/v2/"))).toBeUndefined();
  expect(tls.presented(new URL("https://other.example:5000/"))).toBeUndefined();
});

it("the first directory for the host is used, the user's own before the system's", async () => {
  expect(certificateDirectories({ XDG_CONFIG_HOME: "/x" })).toEqual([
    "/x/containers/certs.d",
    ...(process.platform === "win32" ? [] : ["/etc/containers/certs.d", "/etc/docker/certs.d"]),
  ]);
  const [first, second] = [directory(), directory()];
  for (const parent of [first, second]) mkdirSync(join(parent, "r.example"));
  writeFileSync(join(second, "r.example", "a.cert"), "x");
  const options = { host: "r.example", ca: [], env: {} };
  await loadTls({ ...options, directories: [first, second] });
  await expectCode(loadTls({ ...options, directories: [second] }), "CREDENTIALS_INVALID");
});

// https://github.com/goharbor/harbor-helm/issues/132, https://github.com/goharbor/harbor/issues/3114
it("URLs of the registry itself are used with HTTPS if it writes http:", async () => {
  const digest = digestOf("{}");
  const { host } = await secureRegistry(false, 0, ({ method, headers, url = "" }, response) => {
    const here = `http://${headers.host ?? ""}`;
    const isToken = url.startsWith("/service/token");
    if (isToken) response.end(JSON.stringify({ token: "t" }));
    else if (headers.authorization !== "Bearer t") {
      response.setHeader("www-authenticate", `Bearer realm="${here}/service/token"`);
      response.writeHead(401).end();
    } else if (method === "POST") response.writeHead(202, { location: `${here}/upload` }).end();
    else if (method === "GET") {
      const link = `<${here}/v2/app/tags/list?last=a>; rel="next"`;
      const isLast = url.endsWith("last=a");
      if (!isLast) response.setHeader("link", link);
      response.end(JSON.stringify({ tags: [isLast ? "b" : "a"] }));
    } else response.writeHead(method === "PUT" ? 201 : 202).end();
  });
  const options = { ...QUICK, ca: readFileSync(own.cert) };
  const destination = await registryDestination({ host, repository: "app" }, options);
  await destination.write(single(Buffer.from("{}")), () => ({ digest }));
  expect(await listTags({ host, repository: "app" }, options)).toEqual(["a", "b"]);
});

it.each<[string, (pem: string) => string | Buffer]>([
  ["without line ends", (pem) => pem.replaceAll("\n", "")],
  ["with blanks for line ends", (pem) => pem.replaceAll("\n", " ")],
  ["indented", (pem) => pem.replaceAll(/^/gm, "  ")],
  ["in UTF-16", (pem) => Buffer.from(`\uFEFF${pem}`, "utf16le")],
])("certificates of ca may be %s", (_, change) => {
  const pem = vectorFile("peers/keys/cert-rsa2048.pem").toString();
  const { raw } = new X509Certificate(pem);
  const [first, second, ...more] = parseCertificates(change(`${pem}${pem}`));
  expect([first, second].map((each) => new X509Certificate(each!).raw)).toEqual([raw, raw]);
  expect(more).toEqual([]);
});
