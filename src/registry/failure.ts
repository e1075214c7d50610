import { OcicryptError, type ErrorCode } from "../errors.js";
import { isTemporary, showRequest, whyFailed } from "../http/exchange.js";
import type { Answer, HttpRequest } from "../http/transport.js";
import { asObject, parseJson } from "../text/json.js";
import { printable } from "../text/printable.js";
import { redact } from "../text/redact.js";

const MAX_CODES = 3;
const MAX_WORDS = 300;

/**
 * Returns the error for an unexpected answer, with the registry's own message.
 *
 * @param codes the error codes of some statuses. Default: `REGISTRY_DENIED` for 401 and 403 and for
 *   what {@link isDenied}, and `REGISTRY_FAILED` for all others.
 */
export function failure(
  request: HttpRequest,
  answer: Answer,
  codes: Readonly<Partial<Record<number, ErrorCode>>> = {},
): OcicryptError {
  const { status } = answer;
  const isRefused = status === 401 || status === 403 || isDenied(answer);
  const usual = isRefused ? "REGISTRY_DENIED" : "REGISTRY_FAILED";
  const said = [String(status), ...registryErrors(answer)].join(": ");
  return new OcicryptError(codes[status] ?? usual, `${showRequest(request)} was answered ${said}`);
}

/** Returns the password and the tokens in a request, as text. */
export function secretsIn({ headers, body }: HttpRequest): string[] {
  const [scheme = "", value = ""] = headers?.authorization?.split(" ") ?? [];
  const found = [value];
  if (scheme === "Basic") {
    found.push(
      Buffer.from(value, "base64")
        .toString()
        .replace(/^[^:]*:/, ""),
    );
  }
  if (
    headers?.["content-type"] === "application/x-www-form-urlencoded" &&
    body instanceof Uint8Array
  ) {
    found.push(new URLSearchParams(Buffer.from(body).toString()).get("refresh_token") ?? "");
  }
  return found.filter((secret) => secret !== "");
}

/** Returns the error `REGISTRY_INVALID_RESPONSE` for an answer that violates the protocol. */
export function invalidAnswer(
  request: Pick<HttpRequest, "method" | "url">,
  why: string,
): OcicryptError {
  const message = `the answer to ${showRequest(request)} cannot be used: ${why}`;
  return new OcicryptError("REGISTRY_INVALID_RESPONSE", message);
}

/**
 * Whether an answer with status 400 rejects the token of its request, as Amazon's public registry
 * does when a token has expired (https://github.com/aws/containers-roadmap/issues/2835,
 * https://github.com/oras-project/oras-go/issues/1227).
 */
export function isDenied(answer: Answer): boolean {
  if (answer.status !== 400) return false;
  return errorsIn(answer).some(({ code }) => code === "DENIED" || code === "UNAUTHORIZED");
}

function registryErrors(answer: Answer): string[] {
  return errorsIn(answer).map(({ code, message }) => {
    const words = [code, message].filter((word) => typeof word === "string" && word !== "");
    return redact(words.map((word) => printable(String(word), MAX_WORDS)).join(" "), answer.secrets ?? []); // prettier-ignore
  });
}

/** https://github.com/opencontainers/distribution-spec/blob/main/spec.md#error-codes */
function errorsIn({ bytes }: Answer): { code?: unknown; message?: unknown }[] {
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
  return (errors as unknown[]).slice(0, MAX_CODES).map((error) => asObject(error) ?? {});
}

/** Whether a failed request may succeed when it is sent again. */
export function isTransient(error: unknown): error is OcicryptError {
  return (
    error instanceof OcicryptError &&
    error.code === "REGISTRY_UNREACHABLE" &&
    isTemporary(error.cause)
  );
}

/**
 * Returns the error for a request that got no answer or only a part of it: `REGISTRY_UNREACHABLE`,
 * or `REGISTRY_INVALID_RESPONSE` if the server does not speak HTTP.
 */
export function unreachable(request: HttpRequest, cause: unknown): OcicryptError {
  if (cause instanceof OcicryptError) return cause;
  const { why, isHttp } = whyFailed(cause);
  if (!isHttp) return invalidAnswer(request, why);
  const message = `${showRequest(request)} failed: ${why}`;
  return new OcicryptError("REGISTRY_UNREACHABLE", message, { cause });
}
