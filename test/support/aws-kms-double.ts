import { createCipheriv, createDecipheriv, randomBytes, randomUUID } from "node:crypto";
import type { ServerResponse } from "node:http";
import { reply, type SeenRequest, type TestServer, testServer } from "../registry/server.js";

/**
 * A double of AWS KMS: its JSON protocol with the operations Encrypt and Decrypt, and the names of
 * their errors, from AWS' API reference. AWS' own SDK drives it. Keys are real keys: a wrong key, a
 * wrong context and changed bytes really fail. The same tests run against local-kms, the work of
 * others, in test/interop/aws-kms.test.ts.
 */
export interface AwsKmsDouble extends TestServer {
  /** Makes a key, and returns its ARN. */
  makeKey(alias?: string): string;
  setState(arn: string, state: State): void;
  intercept?: (request: SeenRequest, response: ServerResponse) => boolean;
}

type State = "Enabled" | "Disabled" | "PendingDeletion";
type Json = Readonly<Record<string, unknown>>;

interface KmsKey {
  arn: string;
  alias: string | undefined;
  secret: Buffer;
  state: State;
}

export async function awsKmsDouble(isLasting?: boolean): Promise<AwsKmsDouble> {
  const keys: KmsKey[] = [];
  const server = await testServer((request, response) => {
    if (double.intercept?.(request, response) === true) return true;
    const [status, answer] = handle(request);
    const headers = { "content-type": "application/x-amz-json-1.1" };
    return reply(response, status, headers, JSON.stringify(answer));
  }, isLasting);

  function handle({ headers, body }: SeenRequest): [number, Json] {
    // Signature version 4; the double does not verify it.
    if (!(headers.authorization ?? "").startsWith("AWS4-HMAC-SHA256 Credential=")) {
      return failure("MissingAuthenticationTokenException");
    }
    const operation = String(headers["x-amz-target"]).replace("TrentService.", "");
    const input = JSON.parse(body.toString()) as Record<string, string>;
    const id = input.KeyId ?? "";
    const key = keys.find(({ arn, alias }) => [arn, arn.split("/")[1], alias].includes(id));
    if (key === undefined) return failure("NotFoundException");
    if (key.state === "Disabled") return failure("DisabledException");
    if (key.state === "PendingDeletion") return failure("KMSInvalidStateException");
    const aad = Buffer.from(JSON.stringify(Object.entries(input.EncryptionContext ?? {}).sort()));
    const common = { KeyId: key.arn, EncryptionAlgorithm: "SYMMETRIC_DEFAULT" };
    if (operation === "Encrypt") {
      const plaintext = Buffer.from(input.Plaintext!, "base64");
      if (plaintext.byteLength > 4096) return failure("ValidationException");
      const nonce = randomBytes(12);
      const cipher = createCipheriv("aes-256-gcm", key.secret, nonce).setAAD(aad);
      const parts = [nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()];
      return [200, { ...common, CiphertextBlob: Buffer.concat(parts).toString("base64") }];
    }
    const bytes = Buffer.from(input.CiphertextBlob!, "base64");
    try {
      const decipher = createDecipheriv("aes-256-gcm", key.secret, bytes.subarray(0, 12));
      decipher.setAAD(aad).setAuthTag(bytes.subarray(-16));
      const parts = [decipher.update(bytes.subarray(12, -16)), decipher.final()];
      return [200, { ...common, Plaintext: Buffer.concat(parts).toString("base64") }];
    } catch {
      return failure("InvalidCiphertextException");
    }
  }

  const double: AwsKmsDouble = Object.assign(server, {
    makeKey(alias?: string) {
      const arn = `arn:aws:kms:eu-west-2:111122223333:key/${randomUUID()}`;
      keys.push({ arn, alias, secret: randomBytes(32), state: "Enabled" });
      return arn;
    },
    setState(arn: string, state: State) {
      keys.find((key) => key.arn === arn)!.state = state;
    },
  });
  return double;
}

function failure(name: string): [number, Json] {
  return [400, { __type: name, message: "see the documentation" }];
}
