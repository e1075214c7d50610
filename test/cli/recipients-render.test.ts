import { describe, expect, it } from "vitest";
import { renderEdited, renderRecipients } from "../../src/cli/recipients-render.js";
import type { EditRecipientsResult, LayerRecipientsResult } from "../../src/image/index.js";

const DIGEST = `sha256:${"0123456789ab".repeat(6).slice(0, 64)}`;
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
  it("shows places, algorithms, ids and problems", () => {
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

  it("says when there are none", () => {
    expect(renderRecipients({ digest: DIGEST, layers: [] })).toBe("no layer is encrypted\n");
  });

  it("makes text of an image safe for a terminal", () => {
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
      "    is there already  jwe:0",
      `oci:app is ${DIGEST}`,
      "",
    ]);
  });

  it("says that nothing was changed, and what stays", () => {
    const text = renderEdited(result({ kept: [{ scheme: "provider.kms", index: 0 }] }), "oci:app");
    expect(text).toMatch(/^nothing to change\n/);
    expect(text).toContain("    stays  provider.kms:0\n");
  });
});
