import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { onTestFinished } from "vitest";

export interface RequestLog {
  host: string;
  /** Of each request, the method and what it is about, without digests and the like. */
  requests: string[];
  /** Of each request that succeeded, the method and the path. */
  lines: string[];
}

/** Passes requests on to a registry until the test ends, and notes them. */
export async function requestLog(target: string): Promise<RequestLog> {
  const [hostname, port] = target.split(":");
  const log: RequestLog = { host: "", requests: [], lines: [] };
  const server = createServer((message, response) => {
    const { method = "", url: path = "", headers } = message;
    log.requests.push(`${method} ${kindOf(path)}`);
    const onward = request({ hostname, port, method, path, headers }, (answer) => {
      if ((answer.statusCode ?? 500) < 300) log.lines.push(`${method} ${path}`);
      response.writeHead(answer.statusCode ?? 500, answer.headers);
      answer.pipe(response);
    });
    onward.on("error", () => response.destroy());
    message.pipe(onward);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  log.host = `127.0.0.1:${String((server.address() as AddressInfo).port)}`;
  return log;
}

/** Of a path such as `/v2/REPOSITORY/blobs/DIGEST`, what is behind the repository. */
function kindOf(path: string): string {
  const [, kind = path, name = ""] = /\/(manifests|blobs\/uploads|blobs|referrers)\/([^?]*)/.exec(path) ?? []; // prettier-ignore
  if (kind === "blobs/uploads") return "upload";
  return `${kind} by ${name.startsWith("sha256:") ? "digest" : "tag"}`;
}
