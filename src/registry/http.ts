export interface HttpRequest {
  method: "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE";
  url: URL;
  headers?: Readonly<Record<string, string>>;
  body?: Uint8Array<ArrayBuffer>;
  /** Milliseconds; for what takes its time. */
  timeout?: number;
  signal?: AbortSignal | undefined;
}

/** An answer whose body is to be read to its end, or left by {@link close}. */
export interface OpenAnswer {
  readonly status: number;
  readonly headers: { get(name: string): string | null };
  readonly body: AsyncGenerator<Uint8Array, void, undefined>;
  close(): void;
}

export interface Answer {
  readonly status: number;
  readonly headers: { get(name: string): string | null };
  readonly bytes: Uint8Array;
  /** Whether there was more than the limit, which is left out. */
  readonly isCut: boolean;
}
