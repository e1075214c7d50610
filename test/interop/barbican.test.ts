import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, type TestContext } from "vitest";
import { deleteSecret, barbicanSuite, environmentOf, type User } from "../support/barbican-suite.js"; // prettier-ignore
import { hasBarbican, type RealBarbican, startBarbican } from "./barbican-server.js";
import {
  diffIds,
  layoutLayers,
  ocicrypt,
  PLAIN_LAYOUT,
  requirePeer,
  type RunResult,
  temporaryDirectory,
  VECTORS,
} from "./peers.js";

const isThere = hasBarbican();
const directory = temporaryDirectory();
const at = (name: string): string => join(directory, name);

let server: RealBarbican;

describe.skipIf(!isThere)("Barbican 15 with Keystone 22", () => {
  beforeAll(async () => {
    server = await startBarbican();
  });
  afterAll(() => {
    server.stop();
  });
  barbicanSuite(() => server);

  describe("and the command", () => {
    const as = (user: User, ...args: string[]): Promise<RunResult> =>
      ocicrypt(args, { env: environmentOf(server, user) });
    const done = async (result: Promise<RunResult>): Promise<void> => {
      const { status, stderr } = await result;
      expect(status, stderr).toBe(0);
    };

    it("encrypt, add, rotate and decrypt, until the secrets are deleted", async () => {
      const [enc, rotated] = [at("enc"), at("rotated")];
      await done(as("alice", "encrypt", `oci:${PLAIN_LAYOUT}`, `oci:${enc}`, "-r", "barbican:"));
      await done(as("olga", "decrypt", `oci:${enc}`, `oci:${at("dec")}`, "-k", "barbican"));
      expect(diffIds(at("dec"))).toEqual(diffIds(PLAIN_LAYOUT));
      const refused = await as("olga", "encrypt", `oci:${PLAIN_LAYOUT}`, `oci:${at("no")}`, "-r", "barbican:"); // prettier-ignore
      expect(refused.stderr).toContain("(KEY_SERVER_UNAUTHORIZED)");
      const foreign = await as("stan", "decrypt", `oci:${enc}`, `oci:${at("no")}`, "-k", "barbican"); // prettier-ignore
      expect(foreign.stderr).toContain("(KEY_SERVER_UNAUTHORIZED)");

      const pem = join(VECTORS, "peers", "keys", "rsa3072.pub.pem");
      await done(as("alice", "recipients", "add", `oci:${enc}`, "-r", `jwe:${pem}`, "-k", "barbican")); // prettier-ignore
      const rotate = ["rotate", `oci:${enc}`, `oci:${rotated}`, "-k", "barbican"];
      await done(as("alice", ...rotate, "-r", `barbican:${server.endpoint}`));
      await done(as("olga", "decrypt", `oci:${rotated}`, `oci:${at("two")}`, "-k", "barbican"));
      expect(diffIds(at("two"))).toEqual(diffIds(PLAIN_LAYOUT));

      for (const id of secretsIn(rotated)) await deleteSecret(server, id);
      const gone = await as("olga", "decrypt", `oci:${rotated}`, `oci:${at("no")}`, "-k", "barbican"); // prettier-ignore
      expect(gone.stderr).toContain("(KEY_SERVER_KEY_NOT_FOUND)");
      await done(as("olga", "decrypt", `oci:${enc}`, `oci:${at("old")}`, "-k", "barbican"));
    });
  });
});

/** The ids of the secrets of an image, read without this library. */
function secretsIn(layout: string): string[] {
  return layoutLayers(layout).map(({ annotations }) => {
    const wrapped = annotations["org.opencontainers.image.enc.keys.provider.barbican"]!;
    const { secretRef } = JSON.parse(Buffer.from(wrapped, "base64").toString()) as {
      secretRef: string;
    };
    return secretRef.split("/").at(-1)!;
  });
}

it.skipIf(isThere)("Barbican and Keystone are Debian's packages", (context: TestContext) => {
  requirePeer(context, "barbican-api with keystone", false);
});
