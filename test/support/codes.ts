import { expect } from "vitest";
import { OcicryptError, type ErrorCode } from "../../src/errors.js";

/** Asserts that an operation fails with an error of the library and exactly this code. */
export async function expectCode(
  operation: Promise<unknown> | (() => unknown),
  code: ErrorCode,
): Promise<OcicryptError> {
  let error: unknown;
  try {
    await (typeof operation === "function" ? operation() : operation);
  } catch (caught) {
    error = caught;
  }
  expect(error, "should have failed").toBeInstanceOf(OcicryptError);
  expect((error as OcicryptError).code).toBe(code);
  return error as OcicryptError;
}
