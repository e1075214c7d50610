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
  /** How much of the request gets to the registry. After all of it, the answer gets lost. */
  passed: "nothing" | "half" | "all";
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
      if (hold !== undefined) {
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
    if (hold?.moment.passed === "half") {
      passHalf(message, registry, () => {
        reach(hold);
      });
    } else {
      message.pipe(registry);
    }
    const exchange: Exchange = {
      isRead: isReading(message),
      isHeld: hold !== undefined,
      ended: new Promise((resolve) => {
        registry.on("close", () => {
          exchanges.delete(exchange);
          settle();
          resolve();
        });
      }),
    };
    exchanges.add(exchange);
  }

  const server = createServer((message, response) => {
    message.on("error", () => undefined);
    hear(message);
    const hold = next !== undefined && isMoment(message, next.moment) ? next : undefined;
    if (hold === undefined) {
      if (!isSilent || isReading(message) || message.method === "DELETE") pass(message, response);
      return;
    }
    isSilent = true;
    next = undefined;
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

function passHalf(
  message: IncomingMessage,
  registry: ReturnType<typeof httpRequest>,
  reach: () => void,
): void {
  let left = Math.floor(Number(message.headers["content-length"]) / 2);
  // The rest is read and thrown away: of a socket that is not read, no end is heard.
  message.on("data", (chunk: Buffer) => {
    if (left === 0) return;
    const part = chunk.subarray(0, left);
    left -= part.byteLength;
    registry.write(part, left === 0 ? reach : undefined);
  });
}

function uploadId(location: string): string {
  return new URL(location, "http://registry").pathname.split("/").at(-1) ?? "";
}
