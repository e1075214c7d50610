import { describe, expect, it } from "vitest";
import { lintConfig, type ConfigFinding } from "../../../src/image/features/config-lint.js";
import { inspectImage } from "../../../src/image/inspect.js";
import { redactHistory } from "../../../src/image/features/config-history.js";
import { layoutSource } from "../../../src/store/layout/source.js";
import { expectCode } from "../../support/codes.js";
import {
  CONFIG,
  createLayout,
  EMPTY,
  forPlatform,
  layer,
  layoutOf,
  putAttestation,
  putBlob,
  putIndex,
  putManifest,
  putText,
  readBlob,
  readEntries,
  readManifest,
  snapshot,
  temporaryDirectories,
  writeIndex,
  type Layer,
} from "../../support/image.js";
import { decrypt, encrypt } from "../../support/operations.js";

const directory = temporaryDirectories();

function configOf(members: unknown): Buffer {
  return Buffer.from(JSON.stringify(members));
}

function lint(members: unknown): ConfigFinding[] {
  return lintConfig(configOf(members)).findings;
}

const lintEnv = (...Env: string[]): ConfigFinding[] => lint({ config: { Env } });
const lintStep = (created_by: string): ConfigFinding[] => lint({ history: [{ created_by }] });

/** Put together here, so that no tool takes this file for a leak. */
const SECRETS = {
  "private-key": "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIE",
  "aws-access-key-id": "AKIA" + "IOSFODNN7EXAMPLE",
  "github-token": "ghp_" + "a1B2".repeat(9),
  "gitlab-token": "glpat-" + "a1B2".repeat(5),
  "slack-token": "xoxb-" + "1234567890-abc",
  "npm-token": "npm_" + "a1B2".repeat(9),
  jwt: "eyJ" + "hbGciOiJIUzI1NiJ9.eyJ" + "zdWIiOiIxIn0.c2lnbmF0dXJl",
  "basic-auth-url": "https://user:" + "hunter2@example.com/x",
} as const;

describe("lintConfig: a secret by its value", () => {
  it.each(Object.entries(SECRETS))("%s", (kind, secret) => {
    const findings = lint({
      config: { Env: [`A=${secret}`], Labels: { l: `in ${secret}, say` } },
      history: [{}, { created_by: `RUN echo ${secret} > x` }, { comment: secret }],
    });
    expect(findings).toEqual([
      { where: "env", name: "A", kind },
      { where: "label", name: "l", kind },
      { where: "history", index: 1, kind },
      { where: "history", index: 2, kind },
    ]);
  });

  it.each([
    ["a private key", "-----BEGIN PRIVATE KEY-----", "private-key"],
    ["an OpenSSH key", "-----BEGIN OPENSSH PRIVATE KEY-----", "private-key"],
    ["a PGP key", "-----BEGIN PGP PRIVATE KEY BLOCK-----", "private-key"],
    ["a temporary AWS key", `ASIA${"A1".repeat(8)}`, "aws-access-key-id"],
    ["a fine-grained GitHub token", `github_pat_${"a1_B".repeat(20)}`, "github-token"],
    ["a GitHub app's token", `ghs_${"a".repeat(36)}`, "github-token"],
    ["a password without user", "redis://:hunter2@cache:6379", "basic-auth-url"],
  ])("%s", (_, value, kind) => {
    expect(lintEnv(`A=${value}`)).toEqual([{ where: "env", name: "A", kind }]);
  });

  it.each([
    ["a public key", "-----BEGIN PUBLIC KEY-----"],
    ["a certificate", "-----BEGIN CERTIFICATE-----"],
    ["too short an AWS key", "AKIAIOSFODNN7EXAMPL"],
    ["an AWS key inside of a word", "xAKIAIOSFODNN7EXAMPLE"],
    ["too short a GitHub token", `ghp_${"a".repeat(35)}`],
    ["half a JWT", "eyJhbGciOiJIUzI1NiJ9.abc"],
    ["a URL with a port", "https://example.com:8080/@scope"],
    ["a URL with a user", "https://user@example.com"],
    ["a URL with a reference to a password", "https://user:$TOKEN@example.com"],
    ["an address of git", "git@github.com:a/b.git"],
    ["a digest", "0f8ae5cbf0b6ac0f3d1b4ee0fc4b9bf9c59d8c07d5b5a8d0a0a4cbb2b4b0a7f3"],
  ])("is not %s", (_, value) => {
    expect(lintEnv(`A=${value}`)).toEqual([]);
    expect(lintStep(`RUN echo ${value}`)).toEqual([]);
  });
});

describe("lintConfig: a secret by its name", () => {
  it.each([
    "PASSWORD", "DB_PASSWORD", "DBPASSWORD", "db-password", "spring.datasource.password", "PASSWD",
    "KEY_PASSPHRASE", "DB_PASS", "MYSQL_PWD", "NPM_TOKEN", "TOKENS", "githubToken", "CLIENT_SECRET",
    "SECRET_KEY_BASE", "AWS_SECRET_ACCESS_KEY", "API_KEY", "APIKEY", "apiKey", "API_KEYS", "X-API-Key",
    "STORAGE_ACCOUNT_KEY", "SSH_PRIVATE_KEY", "ENCRYPTION_KEY", "SIGNING_KEY", "CREDENTIALS",
    "AWS_ACCESS_KEY_ID",
  ])("%s", (name) => {
    const finding = { name, kind: "secret-name" };
    expect(lintEnv(`${name}=hunter2`)).toEqual([{ where: "env", ...finding }]);
    expect(lint({ config: { Labels: { [name]: "hunter2" } } })).toEqual([{ where: "label", ...finding }]);
    expect(lintStep(`ENV ${name}=hunter2`)).toEqual([{ where: "history", index: 0, ...finding }]);
  }); // prettier-ignore

  it.each([
    "PATH", "PWD", "OLDPWD", "HOME", "GPG_KEY", "PUBLIC_KEY", "KEYBOARD", "MONKEY", "COMPASS", "BYPASS",
    "TOKENIZERS_PARALLELISM", "TOKENIZER", "POSTGRES_PASSWORD_FILE", "SECRET_DIR", "TOKEN_URL",
    "ACCESS_TOKEN_TTL", "TOKEN_EXPIRY", "API_KEY_NAME", "AUTHOR", "APIKEYBOARD",
  ])("is not %s", (name) => {
    expect(lintEnv(`${name}=hunter2`)).toEqual([]);
  }); // prettier-ignore

  it.each(["", "true", "False", "yes", "no", "null", "$OTHER", "${OTHER}"])(
    "is not reported for the value %j",
    (value) => {
      expect(lintEnv(`MYSQL_ALLOW_EMPTY_PASSWORD=${value}`)).toEqual([]);
    },
  );

  it.each([
    ["hex", "0123456789abcdef0123456789abcdef"],
    ["base64", "MDEyMzQ1Njc4OWFiY2RlZg=="],
    ["base64url", "MDEyMzQ1Njc4OWFiY2RlZ-_A"],
  ])("and by a value of %s", (_, value) => {
    expect(lintEnv(`TOKEN=${value}`)).toEqual([{ where: "env", name: "TOKEN", kind: "random-value" }]);
  }); // prettier-ignore

  it.each(["hunter2", "12345678901234567890!", "not-a-random-value-at-all"])(
    "and not by the value %s",
    (value) => {
      expect(lintEnv(`TOKEN=${value}`)).toMatchObject([{ kind: "secret-name" }]);
    },
  );
});

describe("lintConfig: the history", () => {
  const token = { where: "history", name: "NPM_TOKEN", index: 0, kind: "secret-name" };

  it.each([
    ["BuildKit's ENV", "ENV NPM_TOKEN=hunter2"],
    ["BuildKit's ARG", "ARG NPM_TOKEN=hunter2"],
    ["one of several", "ENV A=b NPM_TOKEN=hunter2 C=d"],
    ["quotes", 'ENV A="b c" NPM_TOKEN="hunter 2"'],
    ["single quotes", "ENV NPM_TOKEN='hunter 2'"],
    ["BuildKit's arguments", "RUN |2 A=b NPM_TOKEN=hunter2 /bin/sh -c npm ci # buildkit"],
    ["the older builder's ENV", "/bin/sh -c #(nop)  ENV NPM_TOKEN=hunter2"],
    ["the older builder's ARG", "/bin/sh -c #(nop)  ARG NPM_TOKEN=hunter2"],
    ["the older builder's arguments", "|1 NPM_TOKEN=hunter2 /bin/sh -c npm ci"],
    ["lower case", "env NPM_TOKEN=hunter2"],
  ])("%s", (_, text) => {
    expect(lintStep(text)).toEqual([token]);
  });

  it.each([
    ["an argument without a value", "ARG NPM_TOKEN"],
    ["an empty one", 'ARG NPM_TOKEN=""'],
    ["a variable of a script", "RUN /bin/sh -c TOKEN=$(cat x) npm ci # buildkit"],
    ["a variable behind the arguments", "RUN |1 A=b /bin/sh -c TOKEN=hunter2 npm ci"],
    ["no step at all", "TOKEN=hunter2"],
  ])("nothing in %s", (_, text) => {
    expect(lintStep(text)).toEqual([]);
  });

  it("reports each finding once for an entry", () => {
    const secret = SECRETS["npm-token"];
    expect(lintStep(`RUN |1 NPM_TOKEN=${secret} /bin/sh -c echo ${secret}`)).toEqual([
      { ...token, kind: "npm-token" },
    ]);
    const entry = { created_by: "ENV NPM_TOKEN=a NPM_TOKEN=b" };
    expect(lint({ history: [entry, entry] })).toEqual([token, { ...token, index: 1 }]);
  });
});

describe("lintConfig", () => {
  it("counts and names what a config reveals", () => {
    const config = { Env: ["PATH=/bin", "EMPTY=", "A=b=c"], Labels: { maintainer: "me", x: "" } };
    const history = [{ created_by: "COPY . ." }, { empty_layer: true }];
    expect(lintConfig(configOf({ config, history }))).toEqual({
      env: ["PATH", "EMPTY", "A"],
      labels: ["maintainer", "x"],
      history: 2,
      findings: [],
    });
  });

  it.each<[string, unknown]>([
    ["nothing", {}],
    ["null", { config: null, history: null }],
    ["other types", { config: { Env: "A=b", Labels: ["a"] }, history: { a: 1 } }],
    ["texts", { config: "x", history: "x" }],
    ["lists of others", { config: { Env: [1, null, { a: 1 }], Labels: null }, history: [] }],
  ])("ignores %s", (_, members) => {
    const nothing = { env: [], labels: [], history: 0, findings: [] };
    expect(lintConfig(configOf(members))).toEqual(nothing);
  });

  it("survives members of any type", () => {
    const history = [1, null, "x", [], { created_by: 1, comment: null }];
    const config = { Env: ["", "=", "=TOKEN"], Labels: { __proto__x: 1, TOKEN: 5, "": "" } };
    expect(lintConfig(configOf({ config, history })).findings).toEqual([]);
    const proto = lintConfig(Buffer.from('{"config":{"Labels":{"__proto__":"x","TOKEN":"y"}}}'));
    expect(proto.labels).toEqual(["__proto__", "TOKEN"]);
    expect(proto.findings).toEqual([{ where: "label", name: "TOKEN", kind: "secret-name" }]);
  });

  it.each(["", "x", "[]", "1", "\u{feff}{}"])("rejects %j", async (text) => {
    await expectCode(() => lintConfig(Buffer.from(text)), "MANIFEST_INVALID");
  });

  it("never shows a value", () => {
    const values = [...Object.values(SECRETS), "hunter2"];
    const named = values.map((value, i) => `TOKEN_${String(i)}=${value}`);
    const report = lintConfig(
      configOf({
        config: {
          // The last ones are names as a whole.
          Env: [...named, ...values.slice(0, -1)],
          Labels: Object.fromEntries(values.slice(0, -1).map((value) => [value, value])),
        },
        history: values.map((value) => ({ created_by: `ENV TOKEN=${value}`, comment: value })),
      }),
    );
    expect(report.findings.length).toBeGreaterThan(30);
    const text = JSON.stringify(report);
    for (const value of values) expect(text).not.toContain(JSON.stringify(value).slice(1, -1));
    expect(report.env.at(-1)).toBe("(withheld)");
  });

  it("shortens names", () => {
    expect(lintConfig(configOf({ config: { Env: [`${"A".repeat(5000)}=`] } })).env[0]).toHaveLength(100);
  }); // prettier-ignore

  it.each<[string, string]>([
    ["letters", "a"],
    ["what may start a token", "eyJ"],
    ["what may start one after another", "-eyJ"],
    ["halves of tokens", "eyJhbGciOiJI."],
    ["schemes", "a://"],
    ["schemes and colons", "a://b:"],
    ["marks of keys", "-----BEGIN "],
    ["suffixes", "_expir"],
    ["assignments", "A='"],
    ["more of them", "A=\""],
    ["names", "pwd"],
    ["base64 and its end", "A1="],
    ["spaces", " "],
  ])("is not slow for 300 KiB of %s", (_, unit) => {
    const text = unit.repeat((300 * 1024) / unit.length);
    const config = { Env: [`TOKEN=${text}`, `${text}=x`, text], Labels: { [text]: text } };
    const history = [`ENV ${text}`, `RUN |999 ${text}`, text].map((created_by) => ({ created_by }));
    // The processor's time: the machine may be busy.
    const started = process.cpuUsage();
    lintConfig(configOf({ config, history }));
    expect(process.cpuUsage(started).user / 600).toBeLessThan(1000);
  }); // prettier-ignore
});

describe("redactHistory", () => {
  it.each([
    ["first", '{"created_by":"x","created":"t"}', '{"created":"t"}'],
    ["last", '{"created":"t","comment":"x"}', '{"created":"t"}'],
    ["both", '{"created":"t","created_by":"x","empty_layer":true,"comment":"y"}', '{"created":"t","empty_layer":true}'],
    ["alone", '{"created_by":"x"}', "{}"],
    ["with spaces", '{ "created_by" : "x" ,\n "empty_layer" : true }', '{ "empty_layer" : true }'],
    ["of another type", '{"created_by":{"a":["x"]},"a":1}', '{"a":1}'],
    ["with escapes in its name", '{"created\\u005fby":"x","a":1}', '{"a":1}'],
  ])("removes members: %s", (_, before, after) => {
    const wrap = (entry: string): string => `{"history" : [${entry},{"a":1}],\n"comment":"stays"}\n`;
    const redacted = redactHistory(Buffer.from(wrap(before)));
    expect(Buffer.from(redacted!).toString()).toBe(wrap(after));
  }); // prettier-ignore

  it.each(["{}", '{"history":[]}', '{"history":null}', '{"history":[1,{"created":"t"}]}'])(
    "has nothing to remove from %s",
    (text) => {
      expect(redactHistory(Buffer.from(text))).toBeUndefined();
    },
  );

  it.each([
    "x",
    '{"history":[{"comment":"x","comment":"y"}]}',
    '{"history":[{"Created_By":"x"}]}',
    '{"History":[{"comment":"x"}]}',
  ])("rejects %s", async (text) => {
    await expectCode(() => redactHistory(Buffer.from(text)), "MANIFEST_INVALID");
  });
});

const CONFIG_WITH_SECRETS = {
  architecture: "amd64",
  os: "linux",
  config: { Env: ["DB_PASSWORD=hunter2"], Labels: { "my-label": "x" } },
  history: [
    { created: "2026-01-01T00:00:00Z", created_by: "ARG TOKEN=hunter2" },
    { created_by: "CMD x", empty_layer: true, comment: "buildkit" },
  ],
};

/** A config with the right diffIDs. */
function imageConfig(layers: readonly Layer[]): { mediaType: string; content: string } {
  const rootfs = { type: "layers", diff_ids: layers.map(({ diffId }) => diffId) };
  return { mediaType: CONFIG, content: JSON.stringify({ ...CONFIG_WITH_SECRETS, rootfs }) };
}

async function withSecrets(): Promise<string> {
  const path = directory();
  const layers = [await layer("a")];
  await layoutOf(path, layers, { config: imageConfig(layers) });
  return path;
}

const ENV_WARNING =
  'the config stays readable: environment variable "DB_PASSWORD" has the name of a secret';
const STEP_WARNING = 'the config stays readable: history entry 0 "TOKEN" has the name of a secret';

describe("encryptImage", () => {
  it("warns about each secret in the config, and never shows it", async () => {
    const { warnings } = await encrypt(await withSecrets(), directory());
    expect(warnings).toEqual([ENV_WARNING, STEP_WARNING]);
  });

  it("warns once about a secret in several configs", async () => {
    const path = await createLayout(directory());
    const layers = [await layer("a")];
    const config = imageConfig(layers);
    const { descriptor } = await putManifest(path, layers, { config });
    const other = await putManifest(path, layers, { config, extra: { annotations: { a: "b" } } });
    const entries = [
      forPlatform(descriptor, "linux/amd64"),
      forPlatform(other.descriptor, "linux/arm64"),
    ];
    await writeIndex(path, [await putIndex(path, entries)]);
    expect((await encrypt(path, directory())).warnings).toEqual([ENV_WARNING, STEP_WARNING]);
    const options = { platforms: ["linux/amd64"] };
    const { warnings } = await encrypt(path, directory(), options);
    expect(warnings.filter((warning) => warning.includes("DB_PASSWORD"))).toEqual([ENV_WARNING]);
  });

  it("limits the number of warnings about secrets", async () => {
    const path = directory();
    const Env = Array.from({ length: 1000 }, (_, i) => `TOKEN_${String(i)}=x`);
    const config = { mediaType: CONFIG, content: JSON.stringify({ config: { Env } }) };
    await layoutOf(path, [await layer("a")], { config });
    const { warnings } = await encrypt(path, directory());
    expect(warnings).toHaveLength(51);
    expect(warnings.at(-1)).toContain("950 more");
  });

  it.each([
    ["of an artifact", EMPTY, JSON.stringify(CONFIG_WITH_SECRETS), []],
    ["that is no JSON", CONFIG, "TOKEN=x", [expect.stringContaining("is not JSON") as string, expect.stringContaining("has no readable diffIDs") as string]],
    ["that is too large", CONFIG, " ".repeat(4 * 1024 * 1024 + 1), [expect.stringContaining("too large") as string, expect.stringContaining("has no readable diffIDs") as string]],
  ])("encrypts with a config %s", async (_, mediaType, content, expected) => {
    const [path, destination] = [directory(), directory()];
    await layoutOf(path, [await layer("a")], { config: { mediaType, content } });
    const { image, warnings } = await encrypt(path, destination);
    expect(warnings).toEqual(expected);
    const { config } = await readManifest(destination, image);
    expect((await readBlob(destination, config)).toString()).toBe(content);
  }); // prettier-ignore

  it("removes only the history", async () => {
    const [path, destination] = [await withSecrets(), directory()];
    const { image, warnings } = await encrypt(path, destination, { redactHistory: true });
    const before = (await readManifest(path, (await readEntries(path))[0]!)).config;
    const { config } = await readManifest(destination, image);
    const text = (await readBlob(destination, config)).toString();
    const original = JSON.parse((await readBlob(path, before)).toString()) as object;
    const history = [{ created: "2026-01-01T00:00:00Z" }, { empty_layer: true }];
    expect(JSON.parse(text)).toEqual({ ...original, history });
    expect(config).toEqual({ ...before, digest: config.digest, size: Buffer.byteLength(text) });
    expect(warnings).toEqual([
      ENV_WARNING,
      expect.stringContaining(`the history was removed from the config ${before.digest}`),
    ]);
    // The removed text appears nowhere.
    const blobs = Object.values(await snapshot(destination));
    expect(blobs).not.toContain(before.digest);

    const decrypted = await decrypt(destination, directory());
    expect(decrypted.layers).toMatchObject([{ diffId: "verified" }]);
    expect(decrypted.image.digest).not.toBe((await readEntries(path))[0]!.digest);
  });

  it("removes the history from every platform, and data from the manifest", async () => {
    const [path, destination] = [await createLayout(directory()), directory()];
    const layers = [await layer("a")];
    const { mediaType, content } = imageConfig(layers);
    const manifests = await Promise.all(
      ["amd64", "arm64"].map(async (architecture) => {
        const text = content.replace("amd64", architecture);
        const stored = await putBlob(path, text);
        const config = { mediaType, ...stored, data: Buffer.from(text).toString("base64") };
        const entries = layers.map(({ descriptor }) => descriptor);
        for (const { blob } of layers) await putBlob(path, blob);
        const manifest = await putText(path, JSON.stringify({ schemaVersion: 2, config, layers: entries })); // prettier-ignore
        return forPlatform(manifest, `linux/${architecture}`);
      }),
    );
    const attestation = await putAttestation(path, manifests[0]!);
    await writeIndex(path, [await putIndex(path, [...manifests, attestation])]);
    const { warnings, image } = await encrypt(path, destination, { redactHistory: true });
    expect(warnings.filter((warning) => warning.includes("history was removed"))).toHaveLength(2);
    expect(warnings.at(-1)).toContain("attestations");
    const index = JSON.parse((await readBlob(destination, image)).toString()) as {
      manifests: { digest: string }[];
    };
    for (const entry of index.manifests.slice(0, 2)) {
      const { config } = await readManifest(destination, entry);
      expect(config).not.toHaveProperty("data");
      expect((await readBlob(destination, config)).toString()).not.toContain("hunter2 /");
      expect((await readBlob(destination, config)).toString()).not.toContain("ARG");
    }
    expect((await decrypt(destination, directory())).layers).toHaveLength(2);
  });

  it("warns about a former config that still exists", async () => {
    const path = await withSecrets();
    const { warnings } = await encrypt(path, path, { redactHistory: true });
    expect(warnings).toContainEqual(expect.stringContaining("still holds the config"));
  });

  it("does not change a config that has nothing to redact", async () => {
    const path = directory();
    const { descriptor } = await layoutOf(path, [await layer("a")]);
    const destination = directory();
    const { warnings } = await encrypt(path, destination, { redactHistory: true });
    expect(warnings).toEqual([]);
    expect((await decrypt(destination, directory())).image).toEqual(descriptor);
  });

  it("refuses to redact a history that it cannot read", async () => {
    const [path, parent] = [directory(), directory()];
    const config = { mediaType: CONFIG, content: "no JSON" };
    await layoutOf(path, [await layer("a")], { config });
    const run = encrypt(path, `${parent}/new`, { redactHistory: true });
    await expectCode(run, "MANIFEST_INVALID");
    expect(await snapshot(parent)).toEqual({});
  });
});

describe("inspectImage", () => {
  it("reports what a config reveals, if requested", async () => {
    const path = await withSecrets();
    const source = layoutSource({ path });
    expect((await inspectImage(source)).manifests[0]).not.toHaveProperty("config");
    expect((await inspectImage(source, { config: true })).manifests[0]!.config).toEqual({
      env: ["DB_PASSWORD"],
      labels: ["my-label"],
      history: 2,
      findings: [
        { where: "env", name: "DB_PASSWORD", kind: "secret-name" },
        { where: "history", name: "TOKEN", index: 0, kind: "secret-name" },
      ],
    });
  });

  it("reports nothing for the config of an artifact", async () => {
    const path = directory();
    await layoutOf(path, [await layer("a")], { config: { mediaType: EMPTY, content: "{}" } });
    const report = await inspectImage(layoutSource({ path }), { config: true });
    expect(report.manifests[0]).not.toHaveProperty("config");
  });
});
