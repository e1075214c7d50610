import { chmodSync, lstatSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs"; // prettier-ignore
import { delimiter, dirname, join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import {
  checkCredentials,
  configuredCredentials,
  removeCredentials,
  storeCredentials,
} from "../../src/registry/index.js";
import { expectCode } from "../support/codes.js";
import { temporaryDirectories } from "../support/image.js";
import { QUICK, refuse, reply, testServer, type TestServer } from "./server.js";

const directory = temporaryDirectories();
const ALICE = { username: "alice", password: "secret: ä" };
/** `printf 'alice:secret: ä' | base64` */
const ALICE_AUTH = "YWxpY2U6c2VjcmV0OiDDpA==";
const DOCKER = ".docker/config.json";
const RUNTIME = "run/containers/auth.json";

let home: string;
let env: Record<string, string>;
beforeEach(() => {
  home = directory();
  env = {
    PATH: `${join(home, "bin")}${delimiter}${process.env.PATH ?? ""}`,
    XDG_RUNTIME_DIR: join(home, "run"),
    HELPER_LOG: join(home, "log"),
  };
});

const write = (path: string, content: unknown, mode = 0o644): void => {
  mkdirSync(dirname(join(home, path)), { recursive: true });
  writeFileSync(join(home, path), typeof content === "string" ? content : JSON.stringify(content)); // prettier-ignore
  chmodSync(join(home, path), mode);
};
const read = (path: string): unknown => JSON.parse(readFileSync(join(home, path), "utf8"));
const find = (host: string): Promise<unknown> =>
  configuredCredentials({ env, home })({ host, repository: "team/app" });
const store = (host: string, file?: string): Promise<string> =>
  storeCredentials(host, ALICE, { env, home, file });
const remove = (host: string): Promise<string[]> => removeCredentials(host, { env, home });

/** A helper that keeps what it is told in a file. */
function helper(name: string): void {
  const kept = join(home, `${name}.json`);
  const script = [
    `#!/bin/sh`,
    `case "$1" in`,
    `store) cat > ${kept} ;;`,
    `get) if [ -e ${kept} ]; then cat ${kept}; else echo "credentials not found in native keychain"; exit 1; fi ;;`,
    `erase) rm ${kept} ;;`,
    `esac`,
  ];
  write(`bin/docker-credential-${name}`, script.join("\n"), 0o755);
}

describe("storing credentials", () => {
  it("makes Docker's file, which only its owner can read", async () => {
    expect(await store("r.example:5000")).toBe(join(home, DOCKER));
    expect(read(DOCKER)).toEqual({ auths: { "r.example:5000": { auth: ALICE_AUTH } } });
    expect(statSync(join(home, DOCKER)).mode & 0o777).toBe(0o600);
    expect(await find("r.example:5000")).toEqual(ALICE);
  });

  it("keeps other entries and unknown members, and makes the file private", async () => {
    const others = { "other.example": { auth: "eDp5", email: "x@example" }, __proto__x: {} };
    write(DOCKER, { HttpHeaders: { a: "b" }, auths: { ...others, "r.example": { auth: "eDp5" } } });
    await store("r.example");
    expect(read(DOCKER)).toEqual({
      HttpHeaders: { a: "b" },
      auths: { ...others, "r.example": { auth: ALICE_AUTH } },
    });
    expect(statSync(join(home, DOCKER)).mode & 0o777).toBe(0o600);
  });

  it("replaces the entry that is used, however the host is written", async () => {
    write(RUNTIME, { auths: { "https://r.example/v2/": { auth: "eDp5" } } });
    expect(await store("r.example")).toBe(join(home, RUNTIME));
    expect(read(RUNTIME)).toEqual({ auths: { "r.example": { auth: ALICE_AUTH } } });
    expect(await find("r.example")).toEqual(ALICE);
  });

  it.each(["docker.io", "index.docker.io", "registry-1.docker.io"])(
    "names Docker Hub as Docker does, for %s",
    async (host) => {
      write(DOCKER, { auths: { "docker.io": { auth: "eDp5" } } });
      await store(host);
      expect(read(DOCKER)).toEqual({
        auths: { "https://index.docker.io/v1/": { auth: ALICE_AUTH } },
      });
      expect(await find("docker.io")).toEqual(ALICE);
    },
  );

  it("uses only the named file, or that of REGISTRY_AUTH_FILE", async () => {
    write(RUNTIME, { auths: { "r.example": { auth: "eDp5" } } });
    expect(await store("r.example", join(home, "own.json"))).toBe(join(home, "own.json"));
    env.REGISTRY_AUTH_FILE = join(home, "variable.json");
    expect(await store("r.example")).toBe(join(home, "variable.json"));
    expect(read(RUNTIME)).toEqual({ auths: { "r.example": { auth: "eDp5" } } });
  });

  it("changes the target of a link", async () => {
    write("real.json", {});
    mkdirSync(join(home, ".docker"));
    symlinkSync(join(home, "real.json"), join(home, DOCKER));
    await store("r.example");
    expect(lstatSync(join(home, DOCKER)).isSymbolicLink()).toBe(true);
    expect(read("real.json")).toHaveProperty("auths");
  });

  it.each([
    ["credHelpers", { credHelpers: { "r.example": "test" } }],
    ["credsStore", { credsStore: "test" }],
  ])("stores the password in the helper of %s, and not in the file", async (_, config) => {
    helper("test");
    write(DOCKER, { ...config, auths: { "r.example": { auth: "eDp5" } } });
    expect(await store("r.example")).toBe("docker-credential-test");
    const secret = { ServerURL: "r.example", Username: "alice", Secret: ALICE.password };
    expect(read("test.json")).toEqual(secret);
    expect(read(DOCKER)).toEqual({ ...config, auths: {} });
    expect(await find("r.example")).toEqual(ALICE);
    expect(await remove("r.example")).toEqual(["docker-credential-test"]);
    expect(await remove("r.example")).toEqual([]);
  });

  it("keeps every entry of many logins at the same time", async () => {
    const hosts = Array.from({ length: 5 }, (_, i) => `r${String(i)}.example`);
    await Promise.all(hosts.map((host) => store(host)));
    const { auths } = read(DOCKER) as { auths: object };
    expect(Object.keys(auths).sort()).toEqual(hosts);
    expect(readdirSync(join(home, ".docker"))).toEqual(["config.json"]);
  });

  it("does not change a file that is not JSON", async () => {
    write(DOCKER, "{ broken");
    await expectCode(store("r.example"), "CREDENTIALS_INVALID");
    expect(readFileSync(join(home, DOCKER), "utf8")).toBe("{ broken");
  });

  it.each(["a/b", "user@r.example", ""])("rejects %j as a host", async (host) => {
    await expectCode(store(host), "REFERENCE_INVALID");
  });
});

it("removing credentials clears every file, and keeps the entries of repositories", async () => {
  write(RUNTIME, { auths: { "r.example": { auth: "eDp5" }, "r.example/team": { auth: "eDp5" } } });
  write(DOCKER, { auths: { "https://r.example/v1/": {} }, x: 1 });
  expect(await remove("r.example")).toEqual([join(home, RUNTIME), join(home, DOCKER)]);
  expect(read(RUNTIME)).toEqual({ auths: { "r.example/team": { auth: "eDp5" } } });
  expect(read(DOCKER)).toEqual({ auths: {}, x: 1 });
});

describe("checking credentials", () => {
  const basic = `Basic ${ALICE_AUTH}`;
  const check = (server: TestServer, password = ALICE.password): Promise<void> =>
    checkCredentials(server.host, { ...ALICE, password }, QUICK);

  it("asks the registry itself, with a password", async () => {
    const server = await testServer(({ headers }, response) =>
      headers.authorization === basic
        ? reply(response, 200)
        : reply(response, 401, { "www-authenticate": 'Basic realm="r"' }),
    );
    await check(server);
    expect(server.log().at(-1)).toBe("GET /v2/");
    await expectCode(check(server, "wrong"), "REGISTRY_DENIED");
  });

  it("asks the token service, for no repository", async () => {
    const server = await testServer(({ target, headers }, response) => {
      if (target.startsWith("/token")) {
        if (headers.authorization !== basic) return refuse(response, 401, "UNAUTHORIZED");
        return reply(response, 200, {}, '{"token":"t"}');
      }
      if (headers.authorization === "Bearer t") return reply(response, 200);
      const challenge = `Bearer realm="${server.url}/token",service="s"`;
      return reply(response, 401, { "www-authenticate": challenge });
    });
    await check(server);
    const asked = server.requests.find(({ target }) => target.startsWith("/token"));
    expect(asked?.target).toBe("/token?service=s&account=alice");
    await expectCode(check(server, "wrong"), "REGISTRY_DENIED");
  });
});
