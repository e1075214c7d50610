// Starts a Tang server for an example: tangd answers each connection on standard input and output.
import { execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";

const PROGRAMS = "/usr/libexec";

export async function startTang(directory) {
  if (!existsSync(join(PROGRAMS, "tangd"))) {
    const isCi = process.env.CI === "true";
    console.log(`tangd is not installed${isCi ? "" : ": skipped"}`);
    process.exit(isCi ? 1 : 0);
  }
  mkdirSync(directory);
  execFileSync(join(PROGRAMS, "tangd-keygen"), [directory], { stdio: "ignore" });
  const sockets = new Set();
  const server = createServer((socket) => {
    const tangd = spawn(join(PROGRAMS, "tangd"), [directory], {
      stdio: ["pipe", "pipe", "ignore"],
    });
    sockets.add(socket);
    socket.on("close", () => {
      sockets.delete(socket);
      tangd.kill();
    });
    tangd.stdin.on("error", () => undefined);
    socket.on("error", () => undefined).pipe(tangd.stdin);
    tangd.stdout.pipe(socket);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${server.address().port}`;
  return {
    recipient: `tang:${url}?thp=${thumbprint(directory)}`,
    key: `tang:${url}`,
    // Bun keeps running while a client keeps a connection.
    stop: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** The thumbprint of the signing key (RFC 7638), which tang-show-keys prints. */
function thumbprint(directory) {
  const keys = readdirSync(directory).map((name) => readFileSync(join(directory, name), "utf8"));
  const { crv, kty, x, y } = keys
    .map((text) => JSON.parse(text))
    .find(({ alg }) => alg === "ES512");
  return createHash("sha256").update(JSON.stringify({ crv, kty, x, y })).digest("base64url");
}
