/** Content that goes chunk by chunk to a reader. */
export interface Handoff {
  readonly content: AsyncIterable<Uint8Array>;
  /**
   * Waits until the reader is done with the chunk. Does not wait for a reader that stopped.
   */
  give(chunk: Uint8Array): Promise<void>;
  /** Ends the content. */
  end(): void;
}

/** Hands content to one reader. */
export function handoff(): Handoff {
  const waiting: Uint8Array[] = [];
  let isEnded = false;
  let hasStopped = false;
  let wakeReader = (): void => undefined;
  let wakeWriter = (): void => undefined;

  async function* read(): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      for (;;) {
        const chunk = waiting.shift();
        if (chunk !== undefined) {
          yield chunk;
          wakeWriter();
        } else if (isEnded) return;
        else await new Promise<void>((resolve) => (wakeReader = resolve));
      }
    } finally {
      hasStopped = true;
      wakeWriter();
    }
  }

  return {
    content: read(),
    async give(chunk) {
      if (hasStopped) return;
      waiting.push(chunk);
      const taken = new Promise<void>((resolve) => (wakeWriter = resolve));
      wakeReader();
      await taken;
    },
    end() {
      isEnded = true;
      wakeReader();
    },
  };
}
