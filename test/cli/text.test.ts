import { describe, expect, it } from "vitest";
import { helpText } from "../../src/cli/help.js";
import { COMMAND_TABLE, COMMANDS } from "../../src/cli/command-table.js";
import { hintFor, HINTS } from "../../src/cli/hints.js";
import {
  progressBar,
  progressDisplay,
  progressLine,
  progressLines,
  writeAbove,
} from "../../src/cli/progress.js";
import { renderDecrypted, renderEncrypted, renderReport } from "../../src/cli/render.js";
import { statusOf } from "../../src/cli/status.js";
import { bytes, plural, printable } from "../../src/cli/text.js";
import { OcicryptError, type ErrorCode } from "../../src/errors.js";
import type { ImageProgress } from "../../src/image/engine/progress.js";
import type { ImageReport } from "../../src/image/inspect.js";

describe("text for a terminal", () => {
  it.each([
    ["plain Ünicode 漢字 \u{1f600}", "plain Ünicode 漢字 \u{1f600}"],
    ["a\u001b[31mred", "a\uFFFD[31mred"],
    ["a\r\n\tb\u0000\u0007\u0008", "a\uFFFD\uFFFD\uFFFDb\uFFFD\uFFFD\uFFFD"],
    ["\u007f\u0080\u009b31m\u009f", "\uFFFD\uFFFD\uFFFD31m\uFFFD"],
    ["\u202egpj.exe\u202c\u2066x\u2069\u2028", "\uFFFDgpj.exe\uFFFD\uFFFDx\uFFFD\uFFFD"],
  ])("%j holds nothing that it would obey", (text, expected) => {
    expect(printable(text)).toBe(expected);
  });

  it.each([
    [0, "0 B"],
    [1023, "1023 B"],
    [1024, "1.0 KiB"],
    [1536, "1.5 KiB"],
    [5 * 1024 ** 2, "5.0 MiB"],
    [3 * 1024 ** 3, "3.0 GiB"],
    [2 * 1024 ** 4, "2.0 TiB"],
    [5000 * 1024 ** 4, "5000.0 TiB"],
  ])("%i bytes are %s", (count, expected) => {
    expect(bytes(count)).toBe(expected);
  });

  it.each([
    [0, "0 layers"],
    [1, "1 layer"],
    [2, "2 layers"],
  ])("%i", (count, expected) => {
    expect(plural(count, "layer")).toBe(expected);
  });
});

describe("hints", () => {
  // A code without a hint does not compile.
  const hints: Readonly<Record<ErrorCode, string>> = HINTS;

  it.each(Object.entries(hints))("of %s fits behind its name", (_, hint) => {
    expect(hint).toMatch(/^\S[^\n]{8,120}[^\s.]$/);
    expect(printable(hint)).toBe(hint);
  });
});

describe("a hint says what to type", () => {
  it.each<[ErrorCode, string]>([
    ["ALREADY_ENCRYPTED", "ocicrypt recipients add"],
    ["ALREADY_ENCRYPTED", "--layer"],
    ["MANIFEST_TOO_LARGE", "fewer layers with --layer"],
    ["NOTHING_SELECTED", "ocicrypt inspect shows what there is"],
    ["REGISTRY_DENIED", "with the right password"],
    ["PACKAGE_MISSING", "beside ocicrypt: with -g"],
    ["PROFILE_IMPOSSIBLE", "name only recipients"],
    ["KEY_IS_PUBLIC", "-k private.pem"],
    ["KEY_MISMATCH", "-k private.pem -k certificate.pem"],
    ["KEY_UNSUPPORTED", "pkcs7:FILE certificates"],
    ["PASSWORD_MISSING", "FILE:prompt"],
    ["IMAGE_NOT_FOUND", "oci-archive:FILE"],
    ["IMAGE_NOT_FOUND", "the source comes first"],
    ["LAYOUT_INVALID", "oci:DIR"],
  ])("for %s: %s", (code, words) => {
    expect(HINTS[code]).toContain(words);
  });

  it.each<[ErrorCode, string, string]>([
    ["REGISTRY_UNREACHABLE", "GET https://r:1/v2/ failed: it does not speak TLS", "--plain-http"],
    ["REFERENCE_INVALID", "credentials do not go into the name of an image", "skopeo login"],
    [
      "NOTHING_SELECTED",
      'the image has no manifest for the platform "x"; it has a single one',
      "leave --platform away",
    ],
  ])("for %s, where it is about something special: %s", (code, message, words) => {
    const hint = hintFor(new OcicryptError(code, message));
    expect(hint).toContain(words);
    expect(hint).toMatch(/^\S[^\n]{8,120}[^\s.]$/);
    expect(HINTS[code]).not.toContain(words);
    expect(hintFor(new OcicryptError(code, "anything else"))).toBe(HINTS[code]);
  });
});

describe("exit statuses", () => {
  it.each<[ErrorCode, number]>([
    ["REFERENCE_INVALID", 2],
    ["NO_KEYS", 3],
    ["NO_MATCHING_KEY", 3],
    ["HMAC_MISMATCH", 4],
    ["BLOB_SIZE_MISMATCH", 4],
    ["BLOB_DIGEST_MISMATCH", 4],
    ["DIFF_ID_MISMATCH", 4],
    ["PASSWORD_WRONG", 1],
    ["DESTINATION_FULL", 1],
    ["MANIFEST_INVALID", 1],
  ])("of %s is %i", (code, status) => {
    expect(statusOf(code)).toBe(status);
  });
});

describe("help", () => {
  it.each([undefined, "recipients", ...COMMANDS] as const)("of %s fits a terminal", (command) => {
    const lines = helpText(command).split("\n");
    expect(lines.filter((line) => line.length > 100)).toEqual([]);
    expect(lines.at(-1)).toBe("");
    expect(lines[0]).toContain(`Usage: ocicrypt ${command ?? "<command>"}`);
  });

  it.each(COMMANDS)("of %s has an example of it", (command) => {
    const [, examples] = helpText(command).split("Examples\n");
    expect(examples).toContain(`  ocicrypt ${command} `);
  });

  it.each(COMMANDS)("of %s has all of its options, and what ends it", (command) => {
    const text = helpText(command);
    const { options } = COMMAND_TABLE[command];
    const short = options.filter((name) => !/^(?:encrypt-layer|(?:en|de)cryption-key)$/.test(name));
    expect(short.filter((name) => !text.includes(`--${name} `))).toEqual([]);
    if (options.includes("key")) expect(text).toContain("\nKeys\n");
    expect(text).toContain("130, 143 interrupted");
  });

  it("of recipients has the four commands", () => {
    const text = helpText("recipients");
    for (const action of ["list", "add", "remove", "replace"]) {
      expect(text).toContain(`  recipients ${action} <image>`);
    }
  });

  it("of recipients remove needs one of two", () => {
    expect(helpText("recipients remove")).toContain("--recipient-id <id>... | -k <key>...");
  });
});

const DIGEST = `sha256:${"0123456789abcdef".repeat(4)}`;
const EVIL = "\u001b]0;title\u0007\u009b31m\r";

describe("rendered results", () => {
  const content = { mediaType: EVIL, digest: DIGEST, size: 2048 };
  const layer = { platform: `linux/${EVIL}`, index: 3, before: content, after: content };
  const image = { mediaType: EVIL, digest: DIGEST, size: 1 };

  it("of encryption and decryption", () => {
    const encrypted = renderEncrypted({ image, layers: [layer], warnings: [] }, "oci:b");
    const diffId = "skipped: not a tar layer" as const;
    const decrypted = renderDecrypted(
      { image, layers: [{ ...layer, diffId }], warnings: [] },
      "oci:b",
    );
    for (const text of [encrypted, decrypted]) {
      expect(printable(text.replaceAll("\n", ""))).toBe(text.replaceAll("\n", ""));
      expect(text).toContain("layer 3  2.0 KiB  sha256:0123456789ab -> sha256:0123456789ab");
      expect(text).toContain(`oci:b is ${DIGEST}\n`);
    }
    expect(encrypted).toMatch(/^encrypted 1 layer\n/);
    expect(decrypted).toMatch(/^decrypted 1 layer\n/);
    expect(decrypted).toContain("diffID skipped: not a tar layer\n");
  });

  it("of inspection has the ids of recipients", () => {
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

  it("of inspection", () => {
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

describe("the progress bar", () => {
  const half: ImageProgress = {
    ...{ digest: DIGEST, action: "encrypt", blobBytes: 1, blobSize: 2 },
    ...{ bytes: 1024 ** 2, size: 2 * 1024 ** 2 },
  };

  it.each<[string, Partial<ImageProgress>, number, string]>([
    ["nothing", { bytes: 0 }, 0, "encrypt [------------------------]   0%  0 B of 2.0 MiB"],
    ["half", {}, 2, "encrypt [############------------]  50%  1.0 MiB of 2.0 MiB  512.0 KiB/s"],
    ["all", { bytes: 2 * 1024 ** 2 }, 0, "encrypt [########################] 100%  2.0 MiB of 2.0 MiB"], // prettier-ignore
    ["too much", { bytes: 4 * 1024 ** 2 }, 0, "encrypt [########################] 100%  4.0 MiB of 2.0 MiB"], // prettier-ignore
    ["an empty image", { bytes: 0, size: 0, action: "copy" }, 0, "copy    [########################] 100%  0 B of 0 B"], // prettier-ignore
  ])("of %s", (_, change, seconds, expected) => {
    expect(progressLine({ ...half, ...change }, seconds)).toBe(expected);
  });

  function terminal(columns: number): { stream: NodeJS.WriteStream; written: string[] } {
    const written: string[] = [];
    const stream = { columns, write: (text: string) => written.push(text) };
    return { stream: stream as unknown as NodeJS.WriteStream, written };
  }

  it("is drawn at most ten times a second, on one line, and is removed", () => {
    const { stream, written } = terminal(40);
    let now = 5000;
    const bar = progressBar(stream, () => now);
    for (; now < 5250; now += 10) bar.update(half);
    expect(written).toHaveLength(3);
    for (const text of written) {
      expect(text).toMatch(/^\r[^\r\n]{1,39}\u001b\[K$/);
    }
    bar.clear();
    bar.clear();
    expect(written.slice(3)).toEqual(["\r\u001b[K"]);
  });

  it("has a line for each of several blobs, and takes all of them away", () => {
    const { stream, written } = terminal(100);
    let now = 0;
    const bar = progressBar(stream, () => now);
    for (const name of ["a", "b"]) {
      bar.update({ ...half, digest: `sha256:${name.repeat(64)}`, blobBytes: 1, blobSize: 4 });
      now += 1000;
    }
    expect(written.at(-1)).toMatch(
      /^\r {2}\w+ a{12} \[#{6}-{18}\] {2}25%.*\u001b\[K\n {2}\w+ b{12} .*\n\w+ .*\u001b\[K$/,
    );
    bar.update({ ...half, digest: `sha256:${"a".repeat(64)}`, blobBytes: 4, blobSize: 4 });
    expect(written.at(-1)).toMatch(/^\r\u001b\[2A\w+ [^\n]*\u001b\[K\u001b\[J$/);
    bar.clear();
    expect(written.at(-1)).toBe("\r\u001b[K");
  });

  it("makes room for a line above it", () => {
    const { stream, written } = terminal(100);
    const bar = progressDisplay(Object.assign(stream, { isTTY: true }));
    bar.update({ ...half, digest: `sha256:${"a".repeat(64)}` });
    writeAbove(stream, "trying again");
    expect(written.slice(-2)).toEqual(["\r\u001b[K", "trying again\n"]);
    bar.clear();
    expect(written.at(-1)).toBe("trying again\n");
  });

  it("is a line each ten seconds where there is no terminal", () => {
    const { stream, written } = terminal(80);
    let now = 0;
    const lines = progressLines(stream, () => now);
    for (; now < 25_000; now += 1000) lines.update({ ...half, bytes: 5 * 1024 ** 2 });
    lines.clear();
    expect(written).toHaveLength(2);
    expect(written[0]).toMatch(/^\w+: 5\.0 MiB of .*, 512\.0 KiB\/s\n$/);
  });

  it("leaves no trace where it was never drawn", () => {
    const { stream, written } = terminal(80);
    progressBar(stream).clear();
    expect(written).toEqual([]);
  });
});
