import { once } from "node:events";
import { Readable } from "node:stream";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { awsKms, type AwsKmsKeyOptions } from "../../../src/keyserver/aws-kms/index.js";
import { loadSdk } from "../../../src/keyserver/aws-kms/service.js";
import { describe as describeWrapped } from "../../../src/keyserver/aws-kms/wrapped.js";
import { keyServerKeys, keyServerRecipients } from "../../../src/keyserver/index.js";
import type { JsonObject } from "../../../src/text/json.js";
import { reply } from "../../registry/server.js";
import { type AwsKmsDouble, awsKmsDouble } from "../../support/aws-kms-double.js";
import { expectCode } from "../../support/codes.js";

const SECRET = Buffer.alloc(240, "s");
const COPY = (): Uint8Array => Uint8Array.from(SECRET);
const OTHER = "arn:aws:kms:us-east-1:111122223333:key/00000000-0000-4000-8000-000000000000";

beforeEach(() => {
  for (const name of ["AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_ENDPOINT_URL"]) {
    vi.stubEnv(name, undefined);
  }
  vi.stubEnv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE");
  vi.stubEnv("AWS_SECRET_ACCESS_KEY", "s3cret-access-key");
  vi.stubEnv("AWS_CONFIG_FILE", "/none");
  vi.stubEnv("AWS_SHARED_CREDENTIALS_FILE", "/none");
});
afterEach(() => {
  vi.unstubAllEnvs();
});

async function setUp(): Promise<{ server: AwsKmsDouble; arn: string; options: AwsKmsKeyOptions }> {
  const server = await awsKmsDouble();
  const arn = server.makeKey("alias/app");
  return { server, arn, options: { endpoint: server.url, region: "eu-west-2" } };
}

async function opens(options: AwsKmsKeyOptions, wrapped: Uint8Array): Promise<boolean> {
  const secret = await awsKms.key(options).unwrap(wrapped);
  return secret !== null && Buffer.from(secret).equals(SECRET);
}

function* endless(): Generator<Buffer, never> {
  for (;;) yield Buffer.alloc(16 * 1024, " ");
}

const changed = (wrapped: Uint8Array, changes: object): Uint8Array =>
  Buffer.from(
    JSON.stringify({ ...(JSON.parse(Buffer.from(wrapped).toString()) as object), ...changes }),
  );

describe("a key", () => {
  it("wraps by its ARN, id or alias, and opens by the ARN in KMS's answer", async () => {
    const { server, arn, options } = await setUp();
    for (const name of [arn, arn.split("/")[1]!, "alias/app"]) {
      const wrapped = await awsKms.recipient(name, options).wrap(COPY());
      expect(describeWrapped(wrapped)).toEqual([{ algorithm: "aws-kms", keyId: arn }]);
      expect(await opens(options, wrapped)).toBe(true);
      expect(await opens({ ...options, keys: [arn] }, wrapped)).toBe(true);
    }
    const [encrypt, decrypt] = server.requests.map(({ body }) => JSON.parse(body.toString()) as Record<string, string>);
    expect(Buffer.from(encrypt!.Plaintext!, "base64")).toHaveLength(32);
    expect(decrypt).not.toHaveProperty("Plaintext");
    expect(decrypt!.KeyId).toBe(arn);
    expect(JSON.stringify(server.requests)).not.toContain("s3cret-access-key");
  }); // prettier-ignore

  it("binds an encryption context, which a key may require", async () => {
    const { arn, options } = await setUp();
    const encryptionContext = { team: "a", stage: "live" };
    const wrapped = await awsKms.recipient(arn, { ...options, encryptionContext }).wrap(COPY());
    expect(await opens(options, wrapped)).toBe(true);
    expect(await opens({ ...options, encryptionContext: { stage: "live", team: "a" } }, wrapped)).toBe(true);
    expect(await opens({ ...options, encryptionContext: { team: "b" } }, wrapped)).toBe(false);
    await expectCode(opens(options, changed(wrapped, { context: { team: "b" } })), "WRAPPED_KEY_INVALID");
  }); // prettier-ignore

  it.each([
    ["Disabled", "KEY_SERVER_KEY_DISABLED"],
    ["PendingDeletion", "KEY_SERVER_KEY_DISABLED"],
  ] as const)("that is %s is refused", async (state, code) => {
    const { server, arn, options } = await setUp();
    const wrapped = await awsKms.recipient(arn, options).wrap(COPY());
    server.setState(arn, state);
    await expectCode(opens(options, wrapped), code);
  });

  it("of another region or another list is not sent", async () => {
    const { server, arn, options } = await setUp();
    const wrapped = await awsKms.recipient(arn, options).wrap(COPY());
    server.requests.length = 0;
    expect(await opens({ ...options, region: "us-east-1" }, wrapped)).toBe(false);
    expect(await opens({ endpoint: server.url, keys: [OTHER] }, wrapped)).toBe(false);
    expect(await opens({ ...options, keys: [arn.replace(/.$/, "x")] }, wrapped)).toBe(false);
    vi.stubEnv("AWS_REGION", "us-east-1");
    await expectCode(opens({ endpoint: server.url }, wrapped), "KEY_SERVER_CONFIG_INVALID");
    expect(server.requests).toEqual([]);
  });
});

describe("an answer", () => {
  const type = (name: string): string => JSON.stringify({ __type: name, message: "s3cret" });
  const plaintext = (length: number): string =>
    JSON.stringify({ Plaintext: Buffer.alloc(length).toString("base64") });
  it.each([
    ["that is a web page", 200, "<html>", "KEY_SERVER_ANSWER_INVALID"],
    ["without a plaintext", 200, "{}", "KEY_SERVER_ANSWER_INVALID"],
    ["with a key of 16 bytes", 200, plaintext(16), "KEY_SERVER_ANSWER_INVALID"],
    ["with another key", 200, plaintext(32), "WRAPPED_KEY_INVALID"],
    ["of 1 MiB", 200, " ".repeat(2 ** 20), "KEY_SERVER_ANSWER_INVALID"],
    ["that redirects", 307, "", "KEY_SERVER_ANSWER_INVALID"],
    ["400 without a name", 400, "<html>", "KEY_SERVER_ANSWER_INVALID"],
    ["401", 401, "", "KEY_SERVER_UNAUTHORIZED"],
    ["403", 403, "", "KEY_SERVER_UNAUTHORIZED"],
    ["404", 404, "", "KEY_SERVER_KEY_NOT_FOUND"],
    ["409", 409, "", "KEY_SERVER_ANSWER_INVALID"],
    ["410", 410, "", "KEY_SERVER_KEY_NOT_FOUND"],
    ["422", 422, "", "KEY_SERVER_ANSWER_INVALID"],
    ["429", 429, "", "KEY_SERVER_UNREACHABLE"],
    ["500", 500, type("KMSInternalException"), "KEY_SERVER_UNREACHABLE"],
    ["AccessDenied", 400, type("AccessDeniedException"), "KEY_SERVER_UNAUTHORIZED"],
    ["an expired token", 400, type("ExpiredTokenException"), "KEY_SERVER_UNAUTHORIZED"],
    ["an unknown key", 400, type("NotFoundException"), "KEY_SERVER_KEY_NOT_FOUND"],
    ["an unknown ciphertext", 400, type("InvalidCiphertextException"), "WRAPPED_KEY_INVALID"],
    ["a key for signatures", 400, type("InvalidKeyUsageException"), "KEY_UNSUPPORTED"],
  ] as const)("%s is an error", async (_, status, body, code) => {
    const { server, arn, options } = await setUp();
    const other = await awsKmsDouble();
    const wrapped = await awsKms.recipient(arn, options).wrap(COPY());
    server.intercept = (_request, response) => reply(response, status, { location: other.url }, body);
    const error = await expectCode(opens(options, wrapped), code);
    expect(error.message).not.toContain("s3cret");
    expect(other.requests).toEqual([]);
  }); // prettier-ignore

  it("that never comes fails at the deadline", async () => {
    const { server, arn, options } = await setUp();
    const wrapped = await awsKms.recipient(arn, options).wrap(COPY());
    server.intercept = () => true;
    await expectCode(opens({ ...options, timeout: 300 }, wrapped), "KEY_SERVER_UNREACHABLE");
  });

  it("that comes byte by byte ends at the deadline, and the connection is closed", async () => {
    const { server, arn, options } = await setUp();
    const wrapped = await awsKms.recipient(arn, options).wrap(COPY());
    const closed: Promise<unknown>[] = [];
    server.intercept = (_, response) => {
      const timer = setInterval(() => response.write(" "), 10);
      closed.push(
        once(response, "close").finally(() => {
          clearInterval(timer);
        }),
      );
      return true;
    };
    await expectCode(opens({ ...options, timeout: 300 }, wrapped), "KEY_SERVER_UNREACHABLE");
    expect(closed).toHaveLength(1);
    await Promise.all(closed);
  });

  it.each([200, 400])("with status %i that never ends is cut when it is too large", async (status) => {
    const { server, arn, options } = await setUp();
    const closed: Promise<unknown>[] = [];
    server.intercept = (_, response) => {
      response.writeHead(status, { "content-type": "application/x-amz-json-1.1" });
      closed.push(once(response, "close"));
      Readable.from(endless()).on("error", () => undefined).pipe(response);
      return true;
    };
    const wrapping = awsKms.recipient(arn, options).wrap(COPY());
    const { message } = await expectCode(wrapping, "KEY_SERVER_ANSWER_INVALID");
    expect(message).toBe("an answer of AWS KMS is too large");
    expect(closed).toHaveLength(1);
    await Promise.all(closed);
  }); // prettier-ignore

  it("of a server that is down is reported as unreachable", async () => {
    const { arn } = await setUp();
    const recipient = awsKms.recipient(arn, { endpoint: "http://127.0.0.1:1" });
    await expectCode(recipient.wrap(COPY()), "KEY_SERVER_UNREACHABLE");
  });
});

describe("the settings of AWS KMS", () => {
  const contextOf = (own: JsonObject): Parameters<typeof keyServerKeys>[1] => ({
    settings: { "aws-kms": own },
    readFile: () => Buffer.alloc(0),
  });
  const roundTrip = async (r: string, k: string, own: JsonObject = {}): Promise<boolean> => {
    const {
      found: [recipient],
    } = await keyServerRecipients(r, contextOf(own));
    const {
      found: [key],
    } = await keyServerKeys([k], contextOf(own));
    const secret = await key!.unwrap(await recipient!.wrap(COPY()));
    return secret !== null && Buffer.from(secret).equals(SECRET);
  };

  it("come from AWS's variables, an ARN or the settings file", async () => {
    const { server, arn } = await setUp();
    vi.stubEnv("AWS_ENDPOINT_URL_KMS", server.url);
    expect(await roundTrip(`aws-kms:${arn}`, `aws-kms:${arn}`)).toBe(true);
    const own = { region: "eu-west-2", "encryption-context": { team: "a" } };
    expect(await roundTrip("aws-kms:alias/app", "aws-kms", own)).toBe(true);
    vi.stubEnv("AWS_REGION", "eu-west-2");
    expect(await roundTrip("aws-kms:alias/app", "aws-kms")).toBe(true);
  });

  it("need a region and credentials", async () => {
    const { server, arn } = await setUp();
    vi.stubEnv("AWS_ENDPOINT_URL_KMS", server.url);
    await expectCode(roundTrip("aws-kms:alias/app", "aws-kms"), "KEY_SERVER_CONFIG_INVALID");
    vi.stubEnv("AWS_ACCESS_KEY_ID", undefined);
    vi.stubEnv("AWS_EC2_METADATA_DISABLED", "true");
    await expectCode(roundTrip(`aws-kms:${arn}`, "aws-kms"), "KEY_SERVER_UNAUTHORIZED");
  });

  it.each([
    ["aws-kms:", {}],
    ["aws-kms:a/b", {}],
    [`aws-kms:${OTHER}`, { region: "evil.example/" }],
    [`aws-kms:${OTHER}`, { endpoint: "http://kms.example" }],
    [`aws-kms:${OTHER}`, { "encryption-context": ["a"] }],
    [`aws-kms:${OTHER}`, { "secret-access-key": "x" }],
  ])("of %s with %j are refused", async (text, own) => {
    await expectCode(keyServerRecipients(text, contextOf(own)), "KEY_SERVER_CONFIG_INVALID");
  });
});

it.each([
  ["an alias as key", { key: "arn:aws:kms:eu-west-2:111122223333:alias/app" }],
  ["a URL as key", { key: "https://kms.example" }],
  ["no ciphertext", { ciphertext: undefined }],
  ["a list as context", { context: ["a"] }],
  ["seventeen pairs as context", { context: Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`k${String(i)}`, "v"])) }],
])("a wrapped key with %s is refused", async (_, changes) => {
  const { server, arn, options } = await setUp();
  const wrapped = changed(await awsKms.recipient(arn, options).wrap(COPY()), changes);
  server.requests.length = 0;
  await expectCode(opens(options, wrapped), "WRAPPED_KEY_INVALID");
  expect(server.requests).toEqual([]);
}); // prettier-ignore

it("names a missing SDK", async () => {
  const missing = Object.assign(new Error("no"), { code: "ERR_MODULE_NOT_FOUND" });
  await expectCode(
    loadSdk(() => Promise.reject(missing)),
    "PACKAGE_MISSING",
  );
});
