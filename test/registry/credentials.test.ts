import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { configuredCredentials, type Credentials } from "../../src/registry/index.js";
import { expectCode } from "../support/codes.js";
import { temporaryDirectories } from "../support/image.js";

const directory = temporaryDirectories();

interface Home {
  home: string;
  env: Record<string, string>;
  write(path: string, content: unknown): void;
  helper(name: string, script: string): void;
  find(host: string, repository?: string): Promise<Credentials | undefined>;
}

function newHome(): Home {
  const home = directory();
  const bin = join(home, "bin");
  const env = {
    PATH: `${bin}${delimiter}${process.env.PATH ?? ""}`,
    XDG_RUNTIME_DIR: join(home, "run"),
  };
  const write = (path: string, content: unknown): void => {
    mkdirSync(dirname(join(home, path)), { recursive: true });
    writeFileSync(
      join(home, path),
      typeof content === "string" ? content : JSON.stringify(content),
    );
  };
  return {
    home,
    env,
    write,
    helper(name, script) {
      write(`bin/docker-credential-${name}`, `#!/bin/sh\n${script}\n`);
      chmodSync(join(bin, `docker-credential-${name}`), 0o755);
    },
    find: (host, repository = "team/app") =>
      configuredCredentials({ env, home })({ host, repository }),
  };
}

const auth = (username: string, password = "secret"): { auth: string } => ({
  auth: Buffer.from(`${username}:${password}`).toString("base64"),
});
const user = (username: string, password = "secret"): Credentials => ({ username, password });

const DOCKER = ".docker/config.json";

describe("the entry of a file that is used", () => {
  const KEYS = {
    "r.example": auth("host"),
    "r.example/team": auth("team"),
    "r.example/team/app": auth("app"),
    "r.example:5000": auth("port"),
    example: auth("suffix"),
    "docker.io": auth("hub"),
  };
  it.each<[string, string, string | undefined]>([
    ["r.example", "team/app", "app"],
    ["r.example", "team/app/sub", "app"],
    ["r.example", "team/application", "team"],
    ["r.example", "teams/app", "host"],
    ["r.example", "app", "host"],
    ["r.example:5000", "team/app", "port"],
    ["r.example:5001", "team/app", undefined],
    ["xr.example", "team/app", undefined],
    ["r.example.evil", "team/app", undefined],
    ["docker.io", "library/app", "hub"],
    ["__proto__", "app", undefined],
  ])("for %s/%s", async (host, repository, expected) => {
    const home = newHome();
    home.write(DOCKER, { auths: KEYS });
    const found = await home.find(host, repository);
    expect(found).toEqual(expected === undefined ? undefined : user(expected));
  });

  it.each<[string, string, boolean]>([
    ["https://index.docker.io/v1/", "docker.io", true],
    ["index.docker.io", "docker.io", true],
    ["https://index.docker.io/v1/", "index.docker.io.evil", false],
    ["https://index.docker.io/v1/", "r.example", false],
    ["docker.io", "r.example", false],
    ["https://r.example", "r.example", true],
    ["https://r.example/v1/", "r.example", true],
    ["https://r.example/v2/", "r.example", true],
    ["https://r.example.evil/v2/", "r.example", false],
    ["https://r.example/v2/other", "r.example", true],
    ["http://r.example//", "r.example", true],
    ["r.example/", "r.example", true],
    ["r.example/v1/", "r.example", true],
    ["r.example/team/", "r.example", true],
    ["r.example/other/", "r.example", false],
    ["https://r.example:5000/", "r.example", false],
  ])("%s is for %s: %s", async (key, host, isFound) => {
    const home = newHome();
    home.write(DOCKER, { auths: { [key]: auth("a") } });
    expect(await home.find(host)).toEqual(isFound ? user("a") : undefined);
  });
});

describe("the file that is used", () => {
  const at = (name: string): unknown => ({ auths: { "r.example": auth(name) } });

  it("the first that has credentials, in skopeo's order", async () => {
    const home = newHome();
    expect(await home.find("r.example")).toBeUndefined();
    home.write(DOCKER, at("docker"));
    expect(await home.find("r.example")).toEqual(user("docker"));
    home.write(".config/containers/auth.json", at("config"));
    expect(await home.find("r.example")).toEqual(user("config"));
    home.write("run/containers/auth.json", { auths: { "other.example": auth("x") } });
    expect(await home.find("r.example")).toEqual(user("config"));
    home.write("run/containers/auth.json", at("runtime"));
    if (process.platform === "linux") expect(await home.find("r.example")).toEqual(user("runtime"));
  });

  it("only the file of REGISTRY_AUTH_FILE", async () => {
    const home = newHome();
    home.write(DOCKER, at("docker"));
    home.write("mine.json", { auths: {} });
    home.env.REGISTRY_AUTH_FILE = join(home.home, "mine.json");
    expect(await home.find("r.example")).toBeUndefined();
    home.write("mine.json", at("mine"));
    expect(await home.find("r.example")).toEqual(user("mine"));
  });

  it("the files in DOCKER_CONFIG and XDG_CONFIG_HOME instead of the usual files", async () => {
    const home = newHome();
    home.write(DOCKER, at("usual"));
    home.write("d/config.json", at("docker"));
    home.env.DOCKER_CONFIG = join(home.home, "d");
    expect(await home.find("r.example")).toEqual(user("docker"));
    home.write("x/containers/auth.json", at("config"));
    home.env.XDG_CONFIG_HOME = join(home.home, "x");
    expect(await home.find("r.example")).toEqual(user("config"));
  });

  it("DOCKER_AUTH_CONFIG before the files, which are the fallback", async () => {
    const home = newHome();
    home.write("run/containers/auth.json", at("runtime"));
    home.write(DOCKER, { auths: { "r.example": auth("docker"), "f.example": auth("file") } });
    home.env.DOCKER_AUTH_CONFIG = JSON.stringify(at("inline"));
    expect(await home.find("r.example")).toEqual(user("inline"));
    expect(await home.find("f.example")).toEqual(user("file"));
    home.env.DOCKER_AUTH_CONFIG = "hunter2";
    const error = await expectCode(home.find("r.example"), "CREDENTIALS_INVALID");
    expect(error.message).toMatch(/DOCKER_AUTH_CONFIG cannot be used: (?!.*hunter2)/);
    home.write("mine.json", at("mine"));
    home.env.REGISTRY_AUTH_FILE = join(home.home, "mine.json");
    expect(await home.find("r.example")).toEqual(user("mine"));
  });

  it("no credentials from empty variables", async () => {
    const home = newHome();
    home.write(DOCKER, at("docker"));
    Object.assign(home.env, { REGISTRY_AUTH_FILE: "", DOCKER_CONFIG: "", XDG_CONFIG_HOME: "" });
    expect(await home.find("r.example")).toEqual(user("docker"));
  });
});

describe("what an entry holds", () => {
  it.each<[string, unknown, Credentials | undefined]>([
    ["a password with colons", auth("a", "b:c:d"), user("a", "b:c:d")],
    ["a password that Docker padded", auth("a", "b\0\0"), user("a", "b")],
    ["an identity token", { ...auth("a"), identitytoken: "t" }, { identityToken: "t" }],
    ["an empty identity token", { ...auth("a"), identitytoken: "" }, user("a")],
    ["nothing", {}, undefined],
    ["null", null, undefined],
    ["an empty name and password", { auth: "" }, undefined],
    ["a name and a password", { username: "a", password: "b" }, user("a", "b")],
    [
      "a name and a password beside an empty auth",
      { username: "a", password: "b", auth: "" },
      user("a", "b"),
    ],
    [
      "a name and a password beside another auth",
      { username: "x", password: "y", ...auth("a") },
      user("a"),
    ],
    ["base64 with line breaks", { auth: "YTpz\r\nZWNy\nZXQ=\n" }, user("a")],
  ])("%s", async (_, entry, expected) => {
    const home = newHome();
    home.write(DOCKER, { auths: { "r.example": entry } });
    expect(await home.find("r.example")).toEqual(expected);
  });

  it.each<[string, unknown]>([
    ["no JSON", '{"auths": {"r.example": {"auth": "hunter2'],
    ["an array", []],
    ["a text for auths", { auths: "hunter2" }],
    ["a text for the entry", { auths: { "r.example": "hunter2" } }],
    ["a number for the password", { auths: { "r.example": { username: "a", password: 1 } } }],
    ["a list for auth", { auths: { "r.example": { auth: ["hunter2"] } } }],
    ["a Secret of Kubernetes", { kind: "Secret", data: { ".dockerconfigjson": "hunter2" } }],
    ["no base64", { auths: { "r.example": { auth: "hunter2 hunter2" } } }],
    ["no colon", { auths: { "r.example": { auth: Buffer.from("hunter2").toString("base64") } } }],
    ["no name", { auths: { "r.example": auth("", "hunter2") } }],
    // Go reads these names as those of its structs, under Unicode case folding.
    ...["Auths", "AUTHS", "auth\u017f", "credsstore", "credHelper\u017f", "CredHelpers"].map(
      (name): [string, unknown] => [`the name ${name}`, { [name]: {}, x: "hunter2" }],
    ),
    ...["Auth", "AUTH", "UserName", "pa\u017fsword", "identityToken"].map(
      (name): [string, unknown] => [
        `the name ${name} in an entry`,
        { auths: { "r.example": { username: "a", [name]: "hunter2" } } },
      ],
    ),
    ["two entries of one name", '{"auths":{"r.example":{},"r.example":{"auth":"hunter2"}}}'],
    ["far too much", `{"auths":{}, "x": "${"hunter2".repeat(200_000)}"}`],
  ])("%s cannot be used and is not shown", async (_, content) => {
    const home = newHome();
    home.write(DOCKER, content);
    const error = await expectCode(home.find("r.example"), "CREDENTIALS_INVALID");
    expect(error.message).toContain(DOCKER);
    expect(`${error.message} ${String(error.cause)}`).not.toContain("hunter2");
  });

  it("the form of .dockercfg is read", async () => {
    const home = newHome();
    home.write(DOCKER, { "https://r.example/v1/": { ...auth("a"), email: "x" } });
    expect(await home.find("r.example")).toEqual(user("a"));
    expect(await home.find("other.example")).toBeUndefined();
    home.write(DOCKER, { "r.example": { username: "a", password: "b" } });
    expect(await home.find("r.example")).toEqual({ username: "a", password: "b" });
  });

  it("a file that cannot be read", async () => {
    const home = newHome();
    mkdirSync(join(home.home, DOCKER), { recursive: true });
    await expectCode(home.find("r.example"), "CREDENTIALS_INVALID");
  });
});

describe.skipIf(process.platform === "win32")("credential helpers", () => {
  const answer = (username: string, secret: string): string =>
    `read host; printf '{"ServerURL":"%s","Username":"${username}","Secret":"%s"}' "$host" "$1:${secret}:$host"`;

  it("are called with exactly the host", async () => {
    const home = newHome();
    home.helper("test", answer("u", "s"));
    home.write(DOCKER, { credHelpers: { "r.example": "test" }, auths: { "r.example": auth("x") } });
    expect(await home.find("r.example")).toEqual(user("u", "get:s:r.example"));
    expect(await home.find("r.example.evil")).toBeUndefined();
  });

  it("are called for Docker Hub with its old URL", async () => {
    const home = newHome();
    home.helper("test", answer("u", "s"));
    home.write(DOCKER, { credHelpers: { "docker.io": "test" } });
    expect(await home.find("docker.io")).toEqual(user("u", "get:s:https://index.docker.io/v1/"));
  });

  it("are called for empty entries of a file", async () => {
    const home = newHome();
    home.helper("store", answer("u", "s"));
    home.write(DOCKER, { credsStore: "store", auths: { "r.example": {}, "f.example": auth("f") } });
    expect(await home.find("r.example")).toEqual(user("u", "get:s:r.example"));
    expect(await home.find("f.example")).toEqual(user("f"));
  });

  it("can return an identity token", async () => {
    const home = newHome();
    home.helper("test", answer("<token>", "s"));
    home.write(DOCKER, { credsStore: "test" });
    expect(await home.find("r.example")).toEqual({ identityToken: "get:s:r.example" });
  });

  it("can have no credentials", async () => {
    const home = newHome();
    home.helper("test", "echo 'credentials not found in native keychain'; exit 1");
    home.write("run/containers/auth.json", { credHelpers: { "r.example": "test" } });
    home.write(DOCKER, { auths: { "r.example": auth("file") } });
    expect(await home.find("r.example")).toEqual(user("file"));
  });

  it.each<[string, string, RegExp]>([
    ["fails", "echo hunter2; echo hunter2 >&2; exit 3", /exit status 3/],
    ["answers no JSON", "echo hunter2", /not JSON/],
    [
      "answers something else",
      `echo '{"Username":1,"Secret":"hunter2"}'`,
      /no user name and secret/,
    ],
    ["answers null", "echo null", /no user name and secret/],
    [
      "uses a name that only Go reads",
      `echo '{"Username":"a","\u017fecret":"hunter2"}'`,
      /readers could disagree/,
    ],
    ["answers without end", "while :; do echo hunter2hunter2hunter2hunter2; done", /too large/],
  ])("one that %s", async (_, script, message) => {
    const home = newHome();
    home.helper("test", script);
    home.write(DOCKER, { credHelpers: { "r.example": "test" } });
    const error = await expectCode(home.find("r.example"), "CREDENTIALS_INVALID");
    expect(error.message).toMatch(message);
    expect(error.message).not.toContain("hunter2");
  });

  it.each(["missing-helper", "../../bin/sh", "a b", "-x", "$(id)", "a\u0000b"])(
    "rejects %s",
    async (name) => {
      const home = newHome();
      home.write(DOCKER, { credHelpers: { "r.example": name } });
      await expectCode(home.find("r.example"), "CREDENTIALS_INVALID");
    },
  );
});
