import { describe, expect, it } from "vitest";
import {
  renderDecrypted,
  renderEdited,
  renderEncrypted,
  renderRecipients,
  renderReport,
} from "../../src/cli/render.js";
import { printable } from "../../src/cli/text.js";
import type {
  EditRecipientsResult,
  ImageReport,
  LayerRecipientsResult,
} from "../../src/image/index.js";

const DIGEST = `sha256:${"0123456789abcdef".repeat(4)}`;
const EVIL = "\u001b]0;title\u0007\u009b31m\r";

describe("rendered results", () => {
  const content = { mediaType: EVIL, digest: DIGEST, size: 2048 };
  const layer = { platform: `linux/${EVIL}`, index: 3, before: content, after: content };
  const image = { mediaType: EVIL, digest: DIGEST, size: 1 };

  it("show the layers of encryption and decryption", () => {
    const encrypted = renderEncrypted({ image, layers: [layer], warnings: [] }, "oci:b");
    const diffId = "skipped: the config has no diffIDs" as const;
    const decrypted = renderDecrypted(
      { image, layers: [{ ...layer, diffId, bound: true }], warnings: [] },
      "oci:b",
    );
    for (const text of [encrypted, decrypted]) {
      expect(printable(text.replaceAll("\n", ""))).toBe(text.replaceAll("\n", ""));
      expect(text).toContain("layer 3  2.0 KiB  sha256:0123456789ab -> sha256:0123456789ab");
      expect(text).toContain(`oci:b is ${DIGEST}\n`);
    }
    expect(encrypted).toMatch(/^encrypted 1 layer\n/);
    expect(decrypted).toMatch(/^decrypted 1 layer\n/);
    expect(decrypted).toContain("diffID skipped: the config has no diffIDs\n");
  });

  it("show the ids of recipients", () => {
    const recipients = [
      { scheme: "jwe", index: 0, algorithm: "RSA-OAEP", keyId: "alice" },
      { scheme: "jwe", index: 1, problem: "damaged" },
      { scheme: "provider.kms", index: 0 },
    ];
    const one = { index: 0, mediaType: "m", digest: DIGEST, size: 5, encrypted: true };
    const layers = [{ ...one, recipients, readers: [], keys: [] }];
    const manifests = [{ platform: "-", digest: DIGEST, layers }];
    const text = renderReport({ digest: DIGEST, mediaType: "m", manifests });
    expect(text.split("\n").slice(4, 7)).toEqual([
      "    jwe:0  RSA-OAEP  kid alice",
      "    jwe:1  unreadable: damaged",
      "    provider.kms:0",
    ]);
  });

  it("show the warnings about a recipient below it", () => {
    const recipients = [{ scheme: "provider.x", index: 0, warnings: [`one${EVIL}`, "two"] }];
    const one = { index: 0, mediaType: "m", digest: DIGEST, size: 5, encrypted: true };
    const layers = [{ ...one, recipients, readers: [], keys: [] }];
    const manifests = [{ platform: "-", digest: DIGEST, layers }];
    const text = renderReport({ digest: DIGEST, mediaType: "m", manifests });
    const lines = [
      "    provider.x:0",
      `      warning: ${printable(`one${EVIL}`)}`,
      "      warning: two",
    ];
    expect(text.split("\n").slice(4, 7)).toEqual(lines);
    const list = [{ platform: "-", index: 0, digest: DIGEST, recipients }];
    expect(renderRecipients({ digest: DIGEST, layers: list })).toContain(lines.join("\n"));
  });

  it("remove control characters from a report", () => {
    const report: ImageReport = {
      digest: DIGEST,
      mediaType: EVIL,
      manifests: [
        {
          platform: EVIL,
          digest: DIGEST,
          layers: [
            {
              ...{ index: 0, mediaType: EVIL, digest: DIGEST, size: 5, encrypted: true },
              recipients: [
                { scheme: EVIL, index: 0, algorithm: EVIL, keyId: EVIL },
                { scheme: EVIL, index: 1, problem: EVIL },
              ],
              readers: [],
              keys: [
                { key: EVIL, opens: false, reasons: [EVIL, EVIL] },
                { key: EVIL, opens: true, scheme: EVIL, index: 0, reasons: [] },
              ],
            },
          ],
        },
      ],
    };
    const text = renderReport(report);
    expect(text).toContain(`opens with ${printable(EVIL)} (${printable(EVIL)}:0)\n`);
    expect(printable(text.replaceAll("\n", ""))).toBe(text.replaceAll("\n", ""));
    expect(text.split("\n")).toHaveLength(10);
  });
});

const HOSTILE = "a\u001b[31m\nb\u202e";

const layer: LayerRecipientsResult = {
  ...{ platform: "-", index: 0, digest: DIGEST },
  ...{ added: [], present: [], removed: [], kept: [] },
};

function result(...layers: Partial<LayerRecipientsResult>[]): EditRecipientsResult {
  return {
    image: { mediaType: "m", digest: DIGEST, size: 1 },
    changed: layers.some(({ added = [], removed = [] }) => added.length + removed.length > 0),
    layers: layers.map((each) => ({ ...layer, ...each })),
    warnings: [],
  };
}

describe("renderRecipients", () => {
  it("shows positions, algorithms, ids and problems", () => {
    const recipients = [
      { scheme: "jwe", index: 0, algorithm: "RSA-OAEP", keyId: "alice" },
      { scheme: "jwe", index: 1, problem: "damaged" },
      { scheme: "provider.kms", index: 0 },
    ];
    const layers = [{ platform: "linux/amd64", index: 3, digest: DIGEST, recipients }];
    expect(renderRecipients({ digest: DIGEST, layers }).split("\n")).toEqual([
      DIGEST,
      "  linux/amd64  layer 3  sha256:0123456789ab",
      "    jwe:0  RSA-OAEP  kid alice",
      "    jwe:1  unreadable: damaged",
      "    provider.kms:0",
      "",
    ]);
  });

  it("says that no layer is encrypted", () => {
    expect(renderRecipients({ digest: DIGEST, layers: [] })).toBe("no layer is encrypted\n");
  });

  it("removes control characters from an image's text", () => {
    const recipients = [
      { scheme: HOSTILE, index: 0, algorithm: HOSTILE, keyId: HOSTILE, problem: HOSTILE },
    ];
    const layers = [{ platform: HOSTILE, index: 0, digest: DIGEST, recipients }];
    const text = renderRecipients({ digest: DIGEST, layers });
    expect(text.split("\n")).toHaveLength(4);
    expect(text).not.toMatch(/[\u001b\u202e]/);
  });
});

describe("renderEdited", () => {
  it("counts the layers that were changed", () => {
    const added = [{ scheme: "jwe", index: 1 }];
    const present = [{ scheme: "jwe", index: 0 }];
    const text = renderEdited(result({ added }, { index: 1, present }), "oci:app");
    expect(text.split("\n")).toEqual([
      "changed the recipients of 1 layer",
      "  layer 0  sha256:0123456789ab",
      "    added  jwe:1",
      "  layer 1  sha256:0123456789ab",
      "    already present  jwe:0",
      `oci:app is ${DIGEST}`,
      "",
    ]);
  });

  it("says that nothing changed, and which recipients are kept", () => {
    const text = renderEdited(result({ kept: [{ scheme: "provider.kms", index: 0 }] }), "oci:app");
    expect(text).toMatch(/^nothing to change\n/);
    expect(text).toContain("    kept  provider.kms:0\n");
  });
});
