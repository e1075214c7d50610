import { OcicryptError, type ErrorCode } from "../errors.js";
import { asObject, parseJson } from "../text/json.js";
import { printable } from "../text/printable.js";
import type { Answer, HttpRequest } from "./transport.js";

const MAX_CODES = 3;
const MAX_WORDS = 300;

/**
 * Describes a request for a message, without the query, which may contain signatures and upload
 * states.
 */
export function showRequest({ method, url }: Pick<HttpRequest, "method" | "url">): string {
  return `${method} ${url.origin}${printable(url.pathname, MAX_WORDS)}`;
}

/**
 * Returns the error for an unexpected answer, with the registry's own message.
 *
 * @param codes the error codes of some statuses. Default: `REGISTRY_DENIED` for 401 and 403, and
 *   `REGISTRY_FAILED` for all others.
 */
export function failure(
  request: HttpRequest,
  answer: Answer,
  codes: Readonly<Partial<Record<number, ErrorCode>>> = {},
): OcicryptError {
  const { status } = answer;
  const usual = status === 401 || status === 403 ? "REGISTRY_DENIED" : "REGISTRY_FAILED";
  const said = [String(status), ...registryErrors(answer.bytes)].join(": ");
  return new OcicryptError(codes[status] ?? usual, `${showRequest(request)} was answered ${said}`);
}

/** Returns the error `REGISTRY_INVALID_RESPONSE` for an answer that violates the protocol. */
export function invalidAnswer(
  request: Pick<HttpRequest, "method" | "url">,
  why: string,
): OcicryptError {
  const message = `the answer to ${showRequest(request)} cannot be used: ${why}`;
  return new OcicryptError("REGISTRY_INVALID_RESPONSE", message);
}

/** https://github.com/opencontainers/distribution-spec/blob/main/spec.md#error-codes */
function registryErrors(bytes: Uint8Array): string[] {
  let value: unknown;
  try {
    const refuse = (why: string): Error => new SyntaxError(why);
    value = parseJson(bytes, { maxSize: bytes.byteLength, refuse });
  } catch {
    // Not JSON, such as an HTML page of a proxy.
    return [];
  }
  const errors = asObject(value)?.errors;
  if (!Array.isArray(errors)) return [];
  return (errors as unknown[]).slice(0, MAX_CODES).map((error) => {
    const { code, message } = asObject(error) ?? {};
    const words = [code, message].filter((word) => typeof word === "string" && word !== "");
    return words.map((word) => printable(String(word), MAX_WORDS)).join(" ");
  });
}

/** Returns the codes, such as `ECONNRESET`, of an error and its causes. */
function systemCodes(error: unknown): string[] {
  const codes: string[] = [];
  for (let depth = 0; error instanceof Error && depth < 5; depth++) {
    if ("code" in error && typeof error.code === "string") codes.push(error.code);
    // undici gives only some of its parser's errors a code.
    else if (error.name === "HTTPParserError") codes.push("HPE_INVALID");
    error = error.cause;
  }
  return codes;
}

const TRANSIENT: ReadonlySet<string> = /* @__PURE__ */ new Set([
  ...["ECONNRESET", "ECONNABORTED", "EPIPE", "ETIMEDOUT", "EAI_AGAIN"],
  ...["UND_ERR_SOCKET", "UND_ERR_CONNECT_TIMEOUT", "UND_ERR_RES_CONTENT_LENGTH_MISMATCH"],
]);

/** Whether a failed request may succeed when it is sent again. */
export function isTransient(error: unknown): error is OcicryptError {
  return (
    error instanceof OcicryptError &&
    error.code === "REGISTRY_UNREACHABLE" &&
    systemCodes(error.cause).some((code) => TRANSIENT.has(code))
  );
}

/**
 * Returns the error for a request that got no answer or only a part of it: `REGISTRY_UNREACHABLE`,
 * or `REGISTRY_INVALID_RESPONSE` if the server does not speak HTTP.
 */
export function unreachable(request: HttpRequest, cause: unknown): OcicryptError {
  if (cause instanceof OcicryptError) return cause;
  const codes = systemCodes(cause);
  if (codes.some((code) => code.startsWith("HPE_"))) {
    return invalidAnswer(request, "it is not HTTP");
  }
  const code = codes.at(-1);
  const why =
    code === "ETIMEDOUT" && cause instanceof Error
      ? cause.message
      : (REASONS[code ?? ""] ?? code ?? "no connection");
  const message = `${showRequest(request)} failed: ${printable(why, MAX_WORDS)}`;
  return new OcicryptError("REGISTRY_UNREACHABLE", message, { cause });
}

const CLOSED = "the connection was closed";
const UNTRUSTED = "the authority that signed its certificate is not trusted";
const REASONS: Readonly<Partial<Record<string, string>>> = {
  ECONNREFUSED: "no server listens there",
  ECONNRESET: CLOSED,
  EPIPE: CLOSED,
  UND_ERR_SOCKET: CLOSED,
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: CLOSED,
  UND_ERR_CONNECT_TIMEOUT: "connecting timed out",
  // From undici's agent for proxies, for any answer to CONNECT other than 200.
  UND_ERR_ABORTED: "the proxy refused the connection",
  ENOTFOUND: "there is no such host",
  EPROTO: "it does not speak TLS",
  ERR_SSL_WRONG_VERSION_NUMBER: "it does not speak TLS",
  DEPTH_ZERO_SELF_SIGNED_CERT: "its certificate is self-signed",
  SELF_SIGNED_CERT_IN_CHAIN: UNTRUSTED,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: UNTRUSTED,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: UNTRUSTED,
  ERR_TLS_CERT_ALTNAME_INVALID: "its certificate is for another host",
  CERT_HAS_EXPIRED: "its certificate has expired",
};
