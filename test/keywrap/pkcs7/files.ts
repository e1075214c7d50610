import { createPrivateKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { importDer, type PlatformKey } from "#engine/keys";
import { isOcicryptError } from "../../../src/errors.js";

const VECTORS = new URL("../../../vectors/peers/", import.meta.url);
const FIXTURES = new URL("fixtures/", import.meta.url);

/** When all the certificates here are valid. */
export const VALID_DATE: Date = new Date("2027-01-01T00:00:00Z");

/** Private options as `fixtures/make.sh` encrypts them. */
export const PRIVATE_OPTIONS: Buffer = readFixture("private-options.txt");

/** A file of vectors/peers. */
export function readVector(path: string): Buffer {
  return readFileSync(new URL(path, VECTORS));
}

/** A file of vectors/peers/keys. */
export function readKey(name: string): Buffer {
  return readVector(`keys/${name}`);
}

/** A private key of vectors/peers/keys, as the engine has it. */
export function readPrivateKey(name: string): PlatformKey {
  const der = createPrivateKey(readKey(name)).export({ type: "pkcs8", format: "der" });
  return importDer(der, "pkcs8");
}

/** A file that `fixtures/make.sh` made. */
export function readFixture(name: string): Buffer {
  return readFileSync(new URL(name, FIXTURES));
}

/** The elements of the annotation for PKCS#7. */
export function wrappedKeys(annotations: Readonly<Record<string, string>>): Buffer[] {
  const annotation = annotations["org.opencontainers.image.enc.keys.pkcs7"] ?? "";
  return annotation.split(",").map((element) => Buffer.from(element, "base64"));
}

/** The first message of a layer in vectors/peers/layers. */
export function readMessage(layer: string): Buffer {
  const annotations = JSON.parse(readVector(`layers/${layer}.json`).toString()) as Record<
    string,
    string
  >;
  return wrappedKeys(annotations)[0]!;
}

/** The outcome of an attempt: the code of its error, `null`, or the bytes in hexadecimal. */
export async function outcome(attempt: Promise<Uint8Array | null>): Promise<string | null> {
  try {
    const secret = await attempt;
    return secret && Buffer.from(secret).toString("hex");
  } catch (error) {
    if (isOcicryptError(error)) return error.code;
    throw error;
  }
}
