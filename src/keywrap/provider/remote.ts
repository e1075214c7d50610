import { parseAnswer } from "./answer.js";
import { runCommand } from "./command.js";
import type { Invocation } from "./config.js";
import { encodeRequest, type Operation } from "./request.js";
import type { KeyProvider, KeyProviderRequest } from "./types.js";

/**
 * A provider behind the protocol of ocicrypt, docs/keyprovider.md. It never says that a key is not
 * its own: the protocol has no way to, an error can be anything.
 *
 * @param name by which it finds its parameters
 * @param who how to call it in errors
 */
export function remoteProvider(name: string, invocation: Invocation, who: string): KeyProvider {
  async function ask(operation: Operation, request: KeyProviderRequest): Promise<Uint8Array> {
    const message = encodeRequest(operation, name, request.params, request.bytes);
    let answer: Uint8Array | undefined;
    try {
      answer = await send(operation, message, request.signal);
      return parseAnswer(operation, answer, who);
    } finally {
      message.fill(0);
      answer?.fill(0);
    }
  }

  async function send(
    operation: Operation,
    message: Uint8Array,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    if (invocation.kind === "cmd") return await runCommand(invocation, message, who, signal);
    const { callServer } = await import("./grpc-client.js");
    return await callServer(invocation, operation, message, who, signal);
  }

  return {
    wrapKey: (request) => ask("keywrap", request),
    unwrapKey: (request) => ask("keyunwrap", request),
  };
}
