import {
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type ServerResponse,
} from "node:http";
import type { AddressInfo } from "node:net";
import { onTestFinished } from "vitest";

/** A request at which a registry falls silent. */
export interface RequestMoment {
  method: "POST" | "PATCH" | "PUT" | "DELETE";
  /** Of the path and query. */
  target: RegExp;
  /** Headers, as they begin. */
  headers?: Readonly<Record<string, string>>;
  /**
   * How much of the request gets to the registry. After all of it, the answer gets lost. A number
   * is one of bytes, for streams; requests with fewer are not meant.
   */
  passed: "nothing" | "half" | "all" | number;
}

export interface HoldingProxy {
  host: string;
  /**
   * Waits for a request. Nothing gets to the registry any more then but what reads, and what
   * cancels uploads; and the client has heard of all that got there before.
   */
  hold(moment: RequestMoment): Promise<void>;
  /** Lets everything pass that comes from now on. */
  release(): void;
  /** Waits until nothing is on its way to the registry any more. */
  idle(): Promise<void>;
  /** Uploads that the client knows, and has neither finished nor tried to cancel. */
  openUploads(): string[];
  /** Those with a request that broke off on its way to the registry. */
  brokenUploads(): string[];
}

interface Hold {
  moment: RequestMoment;
  resolve: () => void;
}

interface Exchange {
  isRead: boolean;
  isHeld: boolean;
  ended: Promise<void>;
}

/** Passes requests on to a registry until the test ends. */
export async function holdingProxy(target: string): Promise<HoldingProxy> {
  const [hostname, port] = target.split(":");
  const exchanges = new Set<Exchange>();
  /** With whether the client goes on with them. */
  const uploads = new Map<string, boolean>();
  const broken = new Set<string>();
  let next: Hold | undefined;
  let reached: Hold | undefined;
  let isSilent = false;

  function reach(hold: Hold): void {
    reached = hold;
    settle();
  }

  function settle(): void {
    const isQuiet = [...exchanges].every(({ isRead, isHeld }) => isRead || isHeld);
    if (!isQuiet || [...uploads.values()].includes(false)) return;
    reached?.resolve();
    reached = undefined;
  }

  function hear({ method, url = "" }: IncomingMessage): void {
    const id = uploadId(url);
    if (uploads.has(id)) uploads.set(id, true);
    if (method === "DELETE") uploads.delete(id);
    settle();
  }

  function tell({ method, url = "" }: IncomingMessage, answer: IncomingMessage): void {
    const { statusCode, headers } = answer;
    if (method === "POST" && statusCode === 202) {
      uploads.set(uploadId(headers.location ?? ""), false);
    }
    if (method === "PUT" && statusCode === 201) uploads.delete(uploadId(url));
  }

  function pass(message: IncomingMessage, response: ServerResponse, hold?: Hold): void {
    const { method, url = "" } = message;
    const headers = { ...message.headers };
    delete headers.connection;
    const registry = httpRequest({ hostname, port, method, path: url, headers, agent: false });
    response.on("close", () => {
      if (response.writableFinished) return;
      if (url.includes("/blobs/uploads/")) broken.add(uploadId(url));
      registry.destroy();
    });
    registry.on("error", () => response.destroy());
    registry.on("response", (answer) => {
      if (hold !== undefined && exchange.isHeld) {
        answer.on("end", () => {
          reach(hold);
        });
        answer.resume();
        return;
      }
      tell(message, answer);
      response.writeHead(answer.statusCode ?? 0, answer.headers);
      answer.pipe(response);
    });
    const part = hold && partOf(message, hold.moment);
    const exchange: Exchange = {
      isRead: isReading(message),
      isHeld: hold !== undefined && next !== hold,
      ended: new Promise((resolve) => {
        registry.on("close", () => {
          exchanges.delete(exchange);
          settle();
          resolve();
        });
      }),
    };
    exchanges.add(exchange);
    if (hold === undefined || part === undefined) {
      message.pipe(registry);
      return;
    }
    const isHere = (): boolean => {
      if (next === hold) {
        fallSilent();
        exchange.isHeld = true;
      }
      return exchange.isHeld;
    };
    passPart(message, registry, part, isHere, () => {
      reach(hold);
    });
  }

  function fallSilent(): void {
    isSilent = true;
    next = undefined;
  }

  const server = createServer((message, response) => {
    message.on("error", () => undefined);
    hear(message);
    const hold = next !== undefined && isMoment(message, next.moment) ? next : undefined;
    if (hold === undefined) {
      if (!isSilent || isReading(message) || message.method === "DELETE") pass(message, response);
      return;
    }
    // Whether a stream gets as far is yet to be seen.
    if (typeof hold.moment.passed !== "number") fallSilent();
    if (hold.moment.passed === "nothing") reach(hold);
    else pass(message, response, hold);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  return {
    host: `127.0.0.1:${String((server.address() as AddressInfo).port)}`,
    hold: (moment) => new Promise((resolve) => (next = { moment, resolve })),
    release() {
      next = undefined;
      isSilent = false;
    },
    async idle() {
      await Promise.all([...exchanges].map(({ ended }) => ended));
    },
    openUploads: () => [...uploads.keys()],
    brokenUploads: () => [...broken],
  };
}

function isReading({ method }: IncomingMessage): boolean {
  return method === "GET" || method === "HEAD";
}

function isMoment({ method, url = "", headers }: IncomingMessage, moment: RequestMoment): boolean {
  if (method !== moment.method || !moment.target.test(url)) return false;
  return Object.entries(moment.headers ?? {}).every(([name, value]) =>
    headers[name]?.toString().startsWith(value),
  );
}

/** How many bytes of a request pass; `undefined` where none or all do. */
function partOf({ headers }: IncomingMessage, { passed }: RequestMoment): number | undefined {
  if (passed === "half") return Math.floor(Number(headers["content-length"]) / 2);
  return typeof passed === "number" ? passed : undefined;
}

/** Passes on a part of a request, or all of it where another has been held meanwhile. */
function passPart(
  message: IncomingMessage,
  registry: ReturnType<typeof httpRequest>,
  part: number,
  isHere: () => boolean,
  reach: () => void,
): void {
  let left = part;
  let isHeld = false;
  // The rest is read and thrown away: of a socket that is not read, no end is heard.
  message.on("data", (chunk: Buffer) => {
    if (isHeld) return;
    if (chunk.byteLength >= left && isHere()) {
      isHeld = true;
      registry.write(chunk.subarray(0, left), reach);
      return;
    }
    left = chunk.byteLength >= left ? Infinity : left - chunk.byteLength;
    registry.write(chunk);
  });
  message.on("end", () => {
    if (!isHeld) registry.end();
  });
}

function uploadId(location: string): string {
  return new URL(location, "http://registry").pathname.split("/").at(-1) ?? "";
}
