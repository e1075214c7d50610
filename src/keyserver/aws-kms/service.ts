import type { KMSClient } from "@aws-sdk/client-kms";
import { errno, OcicryptError, type ErrorCode } from "../../errors.js";
import { withDeadline } from "../../io/abort.js";
import { collect } from "../../io/source.js";
import { MAX_KEY_SERVER_ANSWER } from "../../spec/limits.js";
import { invalidSettings, serverUrl } from "../settings.js";
import { type EncryptionContext, isKeyArn } from "./wrapped.js";

/** The options of AWS KMS. Credentials come from the default chain of the AWS SDK. */
export interface AwsKmsOptions {
  /** The region. Default: that of the key's ARN, or else that of the SDK's chain, such as `AWS_REGION`. */
  region?: string | undefined;
  /** The URL of another endpoint, as in `AWS_ENDPOINT_URL_KMS`. Default: that of the region. */
  endpoint?: string | undefined;
  /** The milliseconds for one operation with all its retries. Default: 20,000. */
  timeout?: number | undefined;
  /** Allows HTTP to another machine. Default: false. */
  plainHttp?: boolean | undefined;
  /**
   * A client of your own, for example with other credentials or a proxy. Requests use its region and
   * endpoint; `timeout` still applies. Default: one with these options.
   */
  client?: KMSClient | undefined;
}

/** The operations of KMS that wrap and unwrap data keys. */
export interface Service {
  region(): Promise<string>;
  encrypt(
    key: string,
    plaintext: Uint8Array,
    context: EncryptionContext,
    signal: AbortSignal | undefined,
  ): Promise<{ key: string; ciphertext: Uint8Array }>;
  decrypt(
    key: string,
    ciphertext: Uint8Array,
    context: EncryptionContext,
    signal: AbortSignal | undefined,
  ): Promise<Uint8Array>;
}

type Sdk = typeof import("@aws-sdk/client-kms");

const DEFAULT_TIMEOUT = 20_000;

/** @throws {@link OcicryptError} `KEY_SERVER_CONFIG_INVALID` */
export function openService(options: AwsKmsOptions): Service {
  const { region, client: own, timeout = DEFAULT_TIMEOUT } = options;
  const endpoint =
    options.endpoint === undefined
      ? undefined
      : serverUrl(options.endpoint, "the endpoint of AWS KMS", options.plainHttp).href;
  if (region !== undefined && !/^[a-z]{2,10}(?:-[a-z0-9]{1,20}){1,4}$/.test(region)) {
    throw invalidSettings("the region of AWS KMS is not valid");
  }
  let loading: Promise<{ sdk: Sdk; client: KMSClient }> | undefined;
  const load = (): Promise<{ sdk: Sdk; client: KMSClient }> =>
    (loading ??= loadSdk().then((sdk) => {
      const given = { ...(region !== undefined && { region }), ...(endpoint !== undefined && { endpoint }) }; // prettier-ignore
      return { sdk, client: own ?? new sdk.KMSClient({ ...given, maxAttempts: 3 }) };
    }));

  async function send<T>(
    operation: string,
    signal: AbortSignal | undefined,
    run: (sdk: Sdk, client: KMSClient, signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const { sdk, client } = await load();
    const late = (): OcicryptError =>
      failed(operation, "KEY_SERVER_UNREACHABLE", `took longer than ${String(timeout)} ms`);
    try {
      return await withDeadline((own) => run(sdk, client, own), { timeout, signal, late });
    } catch (error) {
      signal?.throwIfAborted();
      throw meaningOf(operation, error);
    }
  }

  return {
    region: () => send("configuration", undefined, (_, client) => client.config.region()),
    encrypt: (key, plaintext, context, signal) =>
      send("Encrypt", signal, async (sdk, client, abortSignal) => {
        const input = { KeyId: key, Plaintext: plaintext, EncryptionContext: { ...context } };
        const command = new sdk.EncryptCommand(input);
        command.middlewareStack.add(bounded, BEFORE_PARSING);
        const answer = await client.send(command, { abortSignal });
        const { KeyId: arn = "", CiphertextBlob: ciphertext } = answer;
        if (ciphertext !== undefined && ciphertext.byteLength > 0 && isKeyArn(arn)) {
          return { key: arn, ciphertext };
        }
        throw failed(
          "Encrypt",
          "KEY_SERVER_ANSWER_INVALID",
          "was answered without a ciphertext or a key",
        );
      }),
    decrypt: (key, ciphertext, context, signal) =>
      send("Decrypt", signal, async (sdk, client, abortSignal) => {
        const input = { KeyId: key, CiphertextBlob: ciphertext, EncryptionContext: { ...context } };
        const command = new sdk.DecryptCommand(input);
        command.middlewareStack.add(bounded, BEFORE_PARSING);
        const { Plaintext } = await client.send(command, { abortSignal });
        if (Plaintext !== undefined) return Plaintext;
        throw failed("Decrypt", "KEY_SERVER_ANSWER_INVALID", "was answered without a plaintext");
      }),
  };
}

/**
 * Loads the AWS SDK, an optional package.
 *
 * @throws {@link OcicryptError} `PACKAGE_MISSING`
 */
export async function loadSdk(
  load: () => Promise<Sdk> = () => import("@aws-sdk/client-kms"),
): Promise<Sdk> {
  try {
    return await load();
  } catch (error) {
    if (errno(error) !== "ERR_MODULE_NOT_FOUND") throw error;
    const message =
      "AWS KMS needs the package @aws-sdk/client-kms: npm install @aws-sdk/client-kms";
    throw new OcicryptError("PACKAGE_MISSING", message, { cause: error });
  }
}

/** Between the connection and the SDK's parser. */
const BEFORE_PARSING = { step: "deserialize", priority: "low" } as const;

type Send<Args, Result> = (args: Args) => Promise<Result>;

/** Reads an answer for the SDK, which itself would read any number of bytes into memory. */
function bounded<Args, Result extends { response: unknown }>(
  next: Send<Args, Result>,
): Send<Args, Result> {
  return async (args) => {
    const result = await next(args);
    const { response } = result;
    if (hasStream(response)) {
      const tooLarge = (): OcicryptError =>
        new OcicryptError("KEY_SERVER_ANSWER_INVALID", "an answer of AWS KMS is too large");
      Object.assign(response, {
        body: await collect(response.body, MAX_KEY_SERVER_ANSWER, tooLarge),
      });
    }
    return result;
  };
}

function hasStream(response: unknown): response is { body: AsyncIterable<Uint8Array> } {
  if (typeof response !== "object" || response === null || !("body" in response)) return false;
  const { body } = response;
  return typeof body === "object" && body !== null && Symbol.asyncIterator in body;
}

/** https://docs.aws.amazon.com/kms/latest/APIReference/API_Decrypt.html#API_Decrypt_Errors, and the common errors. */
const CODES: Readonly<Partial<Record<string, ErrorCode>>> = {
  NotFoundException: "KEY_SERVER_KEY_NOT_FOUND",
  DisabledException: "KEY_SERVER_KEY_DISABLED",
  KMSInvalidStateException: "KEY_SERVER_KEY_DISABLED",
  KeyUnavailableException: "KEY_SERVER_KEY_DISABLED",
  InvalidKeyUsageException: "KEY_UNSUPPORTED",
  InvalidCiphertextException: "WRAPPED_KEY_INVALID",
  IncorrectKeyException: "WRAPPED_KEY_INVALID",
  AccessDeniedException: "KEY_SERVER_UNAUTHORIZED",
  CredentialsProviderError: "KEY_SERVER_UNAUTHORIZED",
  ExpiredTokenException: "KEY_SERVER_UNAUTHORIZED",
  IncompleteSignature: "KEY_SERVER_UNAUTHORIZED",
  InvalidSignatureException: "KEY_SERVER_UNAUTHORIZED",
  MissingAuthenticationTokenException: "KEY_SERVER_UNAUTHORIZED",
  UnrecognizedClientException: "KEY_SERVER_UNAUTHORIZED",
  DependencyTimeoutException: "KEY_SERVER_UNREACHABLE",
  KMSInternalException: "KEY_SERVER_UNREACHABLE",
  LimitExceededException: "KEY_SERVER_UNREACHABLE",
  ThrottlingException: "KEY_SERVER_UNREACHABLE",
  TimeoutError: "KEY_SERVER_UNREACHABLE",
};

/** The SDK's messages can quote the request, so only the name and the status are shown. */
function meaningOf(operation: string, error: unknown): unknown {
  if (error instanceof OcicryptError || !(error instanceof Error)) return error;
  if (error.message === "Region is missing") {
    return invalidSettings("the region of AWS KMS is missing: set AWS_REGION, or name the key by its ARN"); // prettier-ignore
  }
  const status = statusOf(error);
  const known = Object.hasOwn(CODES, error.name) ? CODES[error.name] : undefined;
  const code = known ?? codeOf(status, error);
  const name = /^\w{1,60}$/.test(error.name) ? error.name : "an error";
  const why = status === undefined ? `failed with ${errno(error) ?? name}` : `was answered ${String(status)}: ${name}`; // prettier-ignore
  return failed(operation, code, why, error);
}

function codeOf(status: number | undefined, error: Error): ErrorCode {
  if (status === 429 || (status !== undefined && status >= 500)) return "KEY_SERVER_UNREACHABLE";
  if (status === 401 || status === 403) return "KEY_SERVER_UNAUTHORIZED";
  if (status === 404 || status === 410) return "KEY_SERVER_KEY_NOT_FOUND";
  if (status === undefined && errno(error) !== undefined) return "KEY_SERVER_UNREACHABLE";
  return "KEY_SERVER_ANSWER_INVALID";
}

function statusOf(error: Error): number | undefined {
  if (!("$metadata" in error)) return undefined;
  const { $metadata } = error as Error & { $metadata?: { httpStatusCode?: number } };
  return $metadata?.httpStatusCode;
}

function failed(operation: string, code: ErrorCode, why: string, cause?: unknown): OcicryptError {
  const message = `the request ${operation} to AWS KMS ${why}`;
  return new OcicryptError(code, message, cause === undefined ? {} : { cause });
}
