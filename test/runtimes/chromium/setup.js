import { Buffer } from "buffer/";
import { beforeEach } from "vitest";
import { LACKS } from "../lacks.js";

/** The package knows no base64url, and decodes wrong text in its own way. */
const { from } = Buffer;
const { equals, toString } = Buffer.prototype;
Buffer.from = (value, encoding, length) => {
  if (encoding === "base64url") return from(value, "base64");
  if (encoding === "hex") return from(/^(?:[0-9a-f]{2})*/i.exec(value)[0], "hex");
  return from(value, encoding, length);
};
Buffer.prototype.toString = function (encoding = "utf8", start = 0, end = this.length) {
  const part = this.subarray(start, end);
  if (encoding === "base64url") return part.toBase64({ alphabet: "base64url", omitPadding: true });
  if (encoding === "utf8") return new TextDecoder("utf-8", { ignoreBOM: true }).decode(part);
  return toString.call(part, encoding);
};
Buffer.prototype.equals = function (other) {
  return equals.call(this, Buffer.from(other));
};
globalThis.Buffer = Buffer;

globalThis.process = {
  env: { OCICRYPT_TEST_ENGINE: "web" },
  platform: "browser",
  cwd: () => "/",
  hrtime: { bigint: () => BigInt(Math.round(performance.now() * 1e6)) },
};

globalThis.setImmediate = (callback, ...values) => {
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => {
    port1.close();
    callback(...values);
  };
  port2.postMessage(undefined);
};

beforeEach(({ task, skip }) => {
  const lack = LACKS.chromium.find(
    ({ file, tests, isSkipped }) =>
      isSkipped && task.file.filepath.endsWith(`/${file}`) && tests.test(task.fullTestName),
  );
  if (lack !== undefined) skip(lack.reason);
});
