import { OcicryptError } from "../../errors.js";
import type { Operation } from "./request.js";

export type Grpc = typeof import("@grpc/grpc-js");

/**
 * The gRPC library, which is an optional package: most who use key providers run commands.
 *
 * @throws {@link OcicryptError} `PACKAGE_MISSING`
 */
export async function loadGrpc(
  load: () => Promise<Grpc> = () => import("@grpc/grpc-js"),
): Promise<Grpc> {
  try {
    return await load();
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ERR_MODULE_NOT_FOUND")) {
      throw error;
    }
    const message =
      "key providers over gRPC need a package that is not installed: npm install @grpc/grpc-js";
    throw new OcicryptError("PACKAGE_MISSING", message, { cause: error });
  }
}

/** The method for each operation; ocicrypt utils/keyprovider/keyprovider.proto. */
export const METHODS: Readonly<Record<Operation, string>> = {
  keywrap: "/keyprovider.KeyProviderService/WrapKey",
  keyunwrap: "/keyprovider.KeyProviderService/UnWrapKey",
};

/** Messages stay bytes for gRPC, so that what is wrong with one can be said by our own errors. */
export function asBuffer(message: Uint8Array): Buffer {
  return Buffer.from(message.buffer, message.byteOffset, message.byteLength);
}
