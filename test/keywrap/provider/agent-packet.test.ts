import { describe, expect, it } from "vitest";
import { attestationAgent, provider } from "../../../src/keywrap/provider/index.js";
import { describeWrappedKey } from "../../../src/keywrap/schemes.js";
import type { RecipientInfo } from "../../../src/keywrap/types.js";

/** Written by coco_keyprovider: guest-components, ocicrypt-rs/data/sample_kbc_annotation.json */
const SAMPLE = {
  kid: "kbs:///default/key/1",
  wrapped_data:
    "KxAFgXwa0y72Xdygub9lF00RVMtSRbYzvakIEASgi3Gvt1wGLkhKPXf0S033Jdi6vAN6zBM7d0xZSDo2JCeew0FeKwTYgdJfdcPhuEpZOpjhwIsidyeiunzp0J/crvI1tSPZJw4DPHZN2eQtg71rDzIbuDM5ATheiDM9/YJv+k+n6Nv6/pRb8qynNzbWFz7Q8wEo1ZZlL6UftOBJ6j9GuEOTM2k/B+5sMA2VhGHSzDsKA1mn0qzcn2HJg4GcmxwDpJwzm5n7B4iIJ3A0umrQAjQ=",
  iv: "3PQMqtjbR4hxCr83",
  wrap_type: "A256GCM",
};

/** The names of guest-components: coco_keyprovider/src/enc_mods/mod.rs, DEFAULT_KEY_REPO_PATH. */
const INVENTED = "/default/image-kek/2f0a6d0e-6f0f-4a6e-9e0b-0d6f3c1b2a4d";

const describeAgent = (packet: unknown): Promise<RecipientInfo[]> =>
  describeWrappedKey("provider.attestation-agent", Buffer.from(JSON.stringify(packet)));

async function packetOf(keyId: string): Promise<Record<string, unknown>> {
  const agent = attestationAgent({ kek: Buffer.alloc(32, 7), keyId });
  const recipient = provider.recipient("attestation-agent", { provider: agent });
  const wrapped = await recipient.wrap(Buffer.from("secret"));
  return JSON.parse(Buffer.from(wrapped).toString()) as Record<string, unknown>;
}

const warning = (words: string): string => expect.stringContaining(words) as string;

describe("the description of a packet", () => {
  const kid = "kbs:///default/image-kek/1";

  it("has no warning for a key with a name", async () => {
    expect(await describeAgent(await packetOf(kid))).toEqual([
      { algorithm: "A256GCM", keyId: kid },
    ]);
  });

  it("is the same for version 2", async () => {
    const more = { version: "0.1.0", provider: "kbs", provider_settings: {}, annotations: {} };
    const packet = { ...(await packetOf(kid)), ...more };
    expect(await describeAgent(packet)).toEqual([{ algorithm: "A256GCM", keyId: kid }]);
  });

  it("names another key server of version 2", async () => {
    const packet = { version: "0.1.0", provider: "aliyun", kid: "key-1", wrapped_data: "AA==" };
    expect(await describeAgent(packet)).toEqual([{ algorithm: "aliyun", keyId: "key-1" }]);
  });

  it.each([INVENTED, `kbs://${INVENTED}`])(
    "warns of the name %s, whose key may be lost",
    async (name) => {
      const packet = { ...(await packetOf(kid)), kid: name };
      expect(await describeAgent(packet)).toEqual([
        { algorithm: "A256GCM", keyId: name, warnings: [warning("the image is lost")] },
      ]);
    },
  );

  it.each([{}, { version: "0.1.0", provider: "kbs" }])(
    "warns of the sample key, in a packet with %o too",
    async (more) => {
      const [info] = await describeAgent({ ...SAMPLE, ...more });
      expect(info!.warnings).toEqual([warning("everybody can decrypt")]);
    },
  );

  it("does not mistake another key for the sample key", async () => {
    const [info] = await describeAgent({ ...SAMPLE, iv: "3PQMqtjbR4hxCr84" });
    expect(info).not.toHaveProperty("warnings");
  });

  it.each([{ wrap_type: "A256CTR" }, { wrap_type: undefined }])(
    "warns of another algorithm: %o",
    async (change) => {
      const [info] = await describeAgent({ ...(await packetOf(kid)), ...change });
      expect(info!.warnings).toEqual([warning("not wrapped with A256GCM")]);
    },
  );

  it.each([[[]], [{}], [{ kid: 7 }], [null], ["text"]])(
    "knows nothing about %j of another program",
    async (packet) => {
      expect(await describeAgent(packet)).toEqual([{ algorithm: "provider" }]);
    },
  );
});
