import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { age } from "../../src/keyserver/age/index.js";
import {
  buildGoPeers,
  buildPeers,
  COMMAND,
  diffIds,
  type GoPeers,
  hasProgram,
  layoutLayers,
  ocicrypt,
  PLAIN_LAYOUT,
  requirePeer,
  succeed,
  temporaryDirectory,
} from "./peers.js";

const directory = temporaryDirectory();
const at = (name: string): string => join(directory, name);
const hasGo = hasProgram("go", "version");
let go: GoPeers | undefined;

/** A pair of keys by age-keygen, in the files NAME.txt and NAME.pub. */
async function makeKeys(name: string, ...args: string[]): Promise<string> {
  await succeed(at("age-keygen"), [...args, "-o", at(`${name}.txt`)]);
  const recipient = await succeed(at("age-keygen"), ["-y", at(`${name}.txt`)]);
  writeFileSync(at(`${name}.pub`), recipient);
  return recipient.toString().trim();
}

const command = (...args: string[]): Promise<Buffer> =>
  succeed(process.execPath, [COMMAND, ...args]);

const recipients = new Map<string, string>();

beforeAll(async () => {
  if (!hasGo) return;
  await buildPeers(directory, "age");
  go = await buildGoPeers(directory);
  recipients.set("classic", await makeKeys("classic"));
  recipients.set("hybrid", await makeKeys("hybrid", "-pq"));
}, 600_000);

describe.each(["classic", "hybrid"])("an image for a key of age-keygen (%s)", (name) => {
  const layout = at(`encrypted-${name}`);
  const identity = at(`${name}.txt`);
  const config = at(`${name}.json`);

  beforeAll(async () => {
    if (!hasGo) return;
    await command(
      "encrypt",
      `oci:${PLAIN_LAYOUT}`,
      `oci:${layout}`,
      "-r",
      `age:${recipients.get(name)!}`,
    );
    const cmd = {
      path: process.execPath,
      args: [COMMAND, "provider", "age", "-k", identity, "-r", `age:${at(`${name}.pub`)}`],
    };
    writeFileSync(config, JSON.stringify({ "key-providers": { age: { cmd } } }));
  });

  it("opens with the command", async (context) => {
    requirePeer(context, "go", hasGo);
    await command("decrypt", `oci:${layout}`, `oci:${at(`ours-${name}`)}`, "-k", identity);
    expect(diffIds(at(`ours-${name}`))).toEqual(diffIds(PLAIN_LAYOUT));
  });

  it("has wrapped keys that age opens", async (context) => {
    requirePeer(context, "go", hasGo);
    for (const { annotations } of layoutLayers(layout)) {
      const wrapped = annotations["org.opencontainers.image.enc.keys.provider.age"];
      const input = Buffer.from(wrapped ?? "", "base64");
      const opened = await succeed(at("age"), ["-d", "-i", identity], { input });
      expect(JSON.parse(opened.toString())).toMatchObject({ symkey: expect.any(String) as string });
    }
  });

  it("is decrypted by skopeo's library through ocicrypt provider", async (context) => {
    requirePeer(context, "go", hasGo);
    const env = { OCICRYPT_KEYPROVIDER_CONFIG: config };
    const to = at(`go-${name}`);
    const args = ["--decryption-key", "provider:age:any", `oci:${layout}`, `oci:${to}`];
    await succeed(go!.imageCopy, args, { env });
    expect(diffIds(to)).toEqual(diffIds(PLAIN_LAYOUT));
  });

  it("is also made by skopeo's library through ocicrypt provider", async (context) => {
    requirePeer(context, "go", hasGo);
    const env = { OCICRYPT_KEYPROVIDER_CONFIG: config };
    for (const [to, params] of [
      ["named", `:${recipients.get(name)!}`],
      ["default", ""],
    ] as const) {
      const made = at(`made-${to}-${name}`);
      const args = [
        "--encryption-key",
        `provider:age${params}`,
        `oci:${PLAIN_LAYOUT}`,
        `oci:${made}`,
      ];
      await succeed(go!.imageCopy, args, { env });
      await command("decrypt", `oci:${made}`, `oci:${made}-opened`, "-k", identity);
      expect(diffIds(`${made}-opened`)).toEqual(diffIds(PLAIN_LAYOUT));
    }
  });

  it("has keys that age can wrap", async (context) => {
    requirePeer(context, "go", hasGo);
    const wrapped = await succeed(at("age"), ["-R", at(`${name}.pub`)], {
      input: Buffer.from("a secret"),
    });
    const [key] = await age.keys(readFileSync(identity));
    expect(Buffer.from((await key!.unwrap(wrapped))!).toString()).toBe("a secret");
  });

  it("does not open with another identity, and its provider says so", async (context) => {
    requirePeer(context, "go", hasGo);
    const other = at(name === "classic" ? "hybrid.txt" : "classic.txt");
    const args = ["decrypt", `oci:${layout}`, `oci:${at("none")}`, "-k", other];
    const { status, stderr } = await ocicrypt(args);
    expect(status).toBe(3);
    expect(stderr).toContain("NO_MATCHING_KEY");
  });
});
