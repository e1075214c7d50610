// Serves the built page on this machine, with the headers that a public server should send.
//
//     node web/serve.js [PORT]           (default: 8080)
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";

const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".svg": "image/svg+xml",
};

/** As in index.html, and what only a header can say. */
export const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "worker-src 'self'",
  "img-src 'self'",
  "connect-src 'none'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

const HEADERS = {
  "Content-Security-Policy": POLICY,
  "Cross-Origin-Opener-Policy": "same-origin",
  "Referrer-Policy": "no-referrer",
  "X-Content-Type-Options": "nosniff",
};

export function createPageServer(directory) {
  return createServer((request, response) => {
    const { pathname } = new URL(request.url ?? "/", "http://localhost");
    const name = pathname === "/" ? "index.html" : pathname.slice(1);
    const type = /^[\w.-]+$/.test(name) ? TYPES[extname(name)] : undefined;
    const content = type === undefined ? Promise.reject() : readFile(join(directory, name));
    content.then(
      (bytes) => response.writeHead(200, { ...HEADERS, "Content-Type": type }).end(bytes),
      () => response.writeHead(404, HEADERS).end(),
    );
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const port = Number(process.argv[2] ?? 8080);
  const server = createPageServer(fileURLToPath(new URL("dist", import.meta.url)));
  server.listen(port, "127.0.0.1", () => console.log(`http://localhost:${String(port)}/`));
}
