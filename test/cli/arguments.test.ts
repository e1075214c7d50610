import { generateKeyPairSync } from "node:crypto";
import { describe, expect, it, vi } from "vitest";
import { parseCommandLine } from "../../src/cli/arguments.js";
import { UsageError } from "../../src/cli/errors.js";

const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });

const ENCRYPT = ["encrypt", "oci:a", "oci:b"];
const DECRYPT = ["decrypt", "oci:a", "oci:b"];

function refusal(args: readonly string[]): UsageError {
  try {
    parseCommandLine(args);
  } catch (error) {
    expect(error).toBeInstanceOf(UsageError);
    return error as UsageError;
  }
  throw new Error("should have been refused");
}

describe("a command line", () => {
  it("for encrypt is parsed", () => {
    const args = [
      ...ENCRYPT,
      "-r",
      "jwe:x",
      "--recipient=jwe:y",
      "--platform",
      "linux/amd64",
      "-q",
    ];
    expect(parseCommandLine(args)).toMatchObject({
      command: "encrypt",
      images: ["oci:a", "oci:b"],
      recipients: ["jwe:x", "jwe:y"],
      keys: [],
      layers: undefined,
      platforms: ["linux/amd64"],
      json: false,
      quiet: true,
      help: false,
      version: false,
    });
  });

  it("for decrypt is parsed", () => {
    const args = ["-k", "a.pem", ...DECRYPT, "--key", "b.pem:pass=x y", "--json"];
    expect(parseCommandLine(args)).toMatchObject({
      command: "decrypt",
      images: ["oci:a", "oci:b"],
      keys: ["a.pem", "b.pem:pass=x y"],
      platforms: undefined,
      json: true,
      quiet: false,
    });
  });

  it("for inspect is parsed", () => {
    expect(parseCommandLine(["inspect", "oci:a"])).toMatchObject({
      command: "inspect",
      images: ["oci:a"],
      keys: [],
    });
  });

  it("accepts skopeo's names for options", () => {
    const encrypt = [...ENCRYPT, "--encryption-key", "jwe:x", "--encrypt-layer", "-1"];
    expect(parseCommandLine(encrypt)).toMatchObject({ recipients: ["jwe:x"], layers: [-1] });
    const decrypt = [...DECRYPT, "--decryption-key", "k.pem"];
    expect(parseCommandLine(decrypt)).toMatchObject({ keys: ["k.pem"] });
    const inspect = ["inspect", "oci:a", "--decryption-key=k.pem"];
    expect(parseCommandLine(inspect)).toMatchObject({ keys: ["k.pem"] });
  });

  it.each([
    [["--layer", "0"], [0]],
    [["--layer=-1"], [-1]],
    [["--layer", "-1"], [-1]],
    [
      ["--layer", "-1", "--layer", "2", "--encrypt-layer", "-12"],
      [-1, 2, -12],
    ],
    [["--layer", "999999999"], [999999999]],
    [["--layer", "007"], [7]],
    [
      ["--layer", "0,-1,2..3"],
      [0, -1, { from: 2, to: 3 }],
    ],
  ])("selects layers: %j", (args, expected) => {
    expect(parseCommandLine([...ENCRYPT, "-r", "jwe:x", ...args]).layers).toEqual(expected);
  });

  it.each([
    "1.5",
    "1e3",
    "first",
    "",
    " 1",
    "--1",
    "+1",
    "0x1",
    "1,",
    "1,x",
    "1000000000",
    "-",
    "١",
  ])("rejects %j as a layer number", (text) => {
    const { message, hint } = refusal([...ENCRYPT, "-r", "jwe:x", `--layer=${text}`]);
    expect(message).toMatch(/^"[^"]*" is not a layer number$/);
    expect(hint).toContain("--layer -2..-1");
  });

  it.each([
    [["--help"], undefined],
    [["-h"], undefined],
    [["help"], undefined],
    [["encrypt", "--help"], "encrypt"],
    [["--help", "decrypt"], "decrypt"],
    [["help", "inspect"], "inspect"],
    [["encrypt", "-h", "too", "many", "--layer", "1"], "encrypt"],
    [["recipients", "list", "--help"], "recipients list"],
  ])("requests help: %j", (args, command) => {
    expect(parseCommandLine(args)).toMatchObject({ help: true, command, topic: command });
  });

  it.each([[["recipients", "--help"]], [["-h", "recipients"]], [["help", "recipients"]]])(
    "asks for help about all recipients commands: %j",
    (args) => {
      const topic = "recipients";
      expect(parseCommandLine(args)).toMatchObject({ help: true, command: undefined, topic });
    },
  );

  it.each([
    [["encryt", "oci:a", "oci:b"], "there is no command encryt", "encrypt"],
    [["decript"], "there is no command decript", "decrypt"],
    [["inspct", "oci:a"], "there is no command inspct", "inspect"],
    [["help", "encryp"], "there is no command encryp", "encrypt"],
    [[...ENCRYPT, "--recipent", "jwe:x"], "there is no option --recipent", "--recipient"],
    [[...DECRYPT, "--kye", "k.pem"], "there is no option --kye", "--key"],
    [[...DECRYPT, "--encrypton-key", "k.pem"], "no option --encrypton-key", "--encryption-key"],
    [["inspect", "oci:a", "--jsn"], "there is no option --jsn", "--json"],
    [["inspect", "oci:a", "--Json"], "there is no option --Json", "--json"],
    [[...ENCRYPT, "--recipient-i", "jwe:0"], "there is no option --recipient-i", "--recipient-id"],
    [[...ENCRYPT, "--redact"], "there is no option --redact", "--redact-history"],
    [["list", "oci:a"], "there is no command list", "recipients list"],
    [["remove", "oci:a"], "there is no command remove", "recipients remove"],
    [["version"], "there is no command version", "--version"],
    [["recipients", "rotate"], "there is no command recipients rotate", "rotate"],
    [["recipients", "decrypt", "oci:a"], "there is no command recipients decrypt", "decrypt"],
  ])("gets a suggestion for a typing mistake: %j", (args, message, meant) => {
    const error = refusal(args);
    expect(error.message).toContain(message);
    expect(error.hint).toBe(`did you mean ${meant}?`);
  });

  it.each([
    [["sign", "oci:a"], "there is no command sign", "encrypt, decrypt, inspect"],
    [["constructor"], "there is no command constructor", "encrypt, decrypt, inspect"],
    [[...ENCRYPT, "--remove-signatures"], "no option --remove-signatures", "signatures"],
    [[...ENCRYPT, "-x"], "there is no option -x", "ocicrypt encrypt --help"],
    [["recipients", "add", "-x"], "there is no option -x", "ocicrypt recipients add --help"],
    [[...ENCRYPT, "--requ"], "there is no option --requ", "--help"],
    [["recipients"], "recipients needs an action", "recipients list, add, remove or replace"],
    [["recipients", "oci:a"], "no command recipients oci:…", "list, add, remove or replace"],
    [["recipients", "list"], "recipients list takes <image>, got none", "list oci:app"],
    [["rotate", "oci:a"], "got 1", "-r jwe:bob.pem -k private.pem"],
    [["recipients", "remove"], "got none", "-r jwe:public.pem"],
    [[...ENCRYPT, "-r", "jwe:a", "jwe:b"], "got 3", "repeat an option for each of its values"],
    [["inspect", "oci:a", "--toString"], "there is no option --toString", "--help"],
    [["inspect", "oci:a", "--__proto__"], "there is no option --__proto__", "--help"],
    [["encrypt", "-r", "jwe:x"], "encrypt takes <source> <destination>", "ocicrypt encrypt"],
    [["encrypt", "oci:a", "-r", "jwe:x"], "<source> <destination>", "ocicrypt encrypt"],
    [[...ENCRYPT, "oci:c", "-r", "jwe:x"], "<source> <destination>", "ocicrypt encrypt"],
    [["decrypt", "oci:a", "-k", "x"], "<source> <destination>", "ocicrypt decrypt"],
    [["inspect"], "inspect takes <image>", "ocicrypt inspect"],
    [["inspect", "oci:a", "oci:b"], "inspect takes <image>", "ocicrypt inspect"],
    [ENCRYPT, "needs a recipient", "-r jwe:public.pem"],
    [DECRYPT, "needs a key", "-k private.pem"],
    [[...ENCRYPT, "-k", "k.pem"], "needs a recipient", "-r jwe:public.pem"],
    [[...ENCRYPT, "-r", "jwe:x", "-k", "k.pem"], "only to open the image of --reuse", "-r"],
    [[...DECRYPT, "-r", "jwe:x"], "decrypt has no option --recipient", "ocicrypt decrypt --help"],
    [[...DECRYPT, "-k", "x", "--encrypt-layer", "1"], "no option --encrypt-layer", "--help"],
    [["inspect", "oci:a", "--layer", "1"], "inspect has no option --layer", "--help"],
    [["inspect", "oci:a", "--platform", "x"], "inspect has no option --platform", "--help"],
  ])("is rejected if it makes no sense: %j", (args, message, hint) => {
    const error = refusal(args);
    expect(error.message).toContain(message);
    expect(error.hint).toContain(hint);
  });

  it.each([
    [[...DECRYPT, "-k"], "-k needs a key", "such as -k private.pem"],
    [[...DECRYPT, "--key"], "--key needs a key", "such as --key private.pem"],
    [[...ENCRYPT, "-r"], "-r needs a recipient", "such as -r jwe:public.pem"],
    [[...ENCRYPT, "--base"], "--base needs an image", "such as --base oci:base:latest"],
    [
      [...DECRYPT, "-k", "-q"],
      "-k needs a key",
      "such as -k private.pem; write --key=… for a value that begins with a dash",
    ],
    [
      [...ENCRYPT, "--min-size", "-1"],
      "--min-size needs a size",
      "such as --min-size 10MiB; write --min-size=… for a value that begins with a dash",
    ],
    [[...DECRYPT, "--json=yes", "-k", "x"], "--json takes no value", "write --json alone"],
    [[...DECRYPT, "-k=x"], "-k takes its value without =", "such as -k private.pem"],
    [[...DECRYPT, "-key", "x"], "-key lacks a dash", "write --key"],
    [[...ENCRYPT, "-recipient=jwe:x"], "-recipient lacks a dash", "write --recipient"],
    [["inspect", "oci:a", "-json"], "-json lacks a dash", "write --json"],
  ])("is rejected if an option lacks a value or has one too many: %j", (args, message, hint) => {
    const error = refusal(args);
    expect({ message: error.message, hint: error.hint }).toEqual({ message, hint });
  });

  it("accepts values that begin with a dash or are joined to their option", () => {
    const args = ["decrypt", "oci:a", "oci:b", "--key=-odd.pem", "-kx.pem", "-k", "-"];
    expect(parseCommandLine(args).keys).toEqual(["-odd.pem", "x.pem", "-"]);
    expect(parseCommandLine(["inspect", "oci:a", "-qk", "x.pem"])).toMatchObject({
      quiet: true,
      keys: ["x.pem"],
    });
    expect(parseCommandLine(["inspect", "--", "-a"]).images).toEqual(["-a"]);
  });

  it("treats everything after -- as images", () => {
    const args = ["encrypt", "-r", "jwe:x", "--layer", "-1", "--", "--layer", "-2"];
    expect(parseCommandLine(args)).toMatchObject({ layers: [-1], images: ["--layer", "-2"] });
  });

  it.each([
    ["1..0", "0..1"],
    ["-1..-2", "-2..-1"],
  ])("rejects the backwards range %s", (text, forwards) => {
    const { message, hint } = refusal([...ENCRYPT, "-r", "jwe:x", "--layer", text]);
    expect(message).toContain("runs backwards");
    expect(hint).toBe(`write --layer ${forwards}`);
    const args = [...ENCRYPT, "-r", "jwe:x", "--layer=1..-1", "--layer=-1..1"];
    expect(parseCommandLine(args).layers).toHaveLength(2);
  });

  it.each(["bad", "sha256:0cedf6ac0c2f", "0cedf6ac0c2f"])("rejects %s as a digest", (text) => {
    const { message, hint } = refusal([...ENCRYPT, "-r", "jwe:x", "--digest", text]);
    expect(message).toBe(`"${text}" is not a whole digest`);
    expect(hint).toContain("inspect --json");
    const digest = `sha256:${"0".repeat(64)}`;
    const args = [...ENCRYPT, "-r", "jwe:x", "--digest", digest];
    expect(parseCommandLine(args).digests).toEqual([digest]);
  });

  it.each(["5x", "5PB", "-", "MiB", "1.5.5G", "5i", "1e3", "999999999999T"])(
    "rejects %s as a size",
    (text) => {
      const { message, hint } = refusal([...ENCRYPT, "-r", "jwe:x", "--min-size", text]);
      expect(message).toBe(`"${text}" is not a size`);
      expect(hint).toContain("10M or 10MiB (binary), 10MB (decimal)");
    },
  );

  it.each([
    ["10", 10],
    ["10M", 10 * 1024 ** 2],
    ["10m", 10 * 1024 ** 2],
    ["10MiB", 10 * 1024 ** 2],
    ["10Mi", 10 * 1024 ** 2],
    ["10MB", 10_000_000],
    ["1.5GiB", 1.5 * 1024 ** 3],
    ["5kB", 5000],
    ["2T", 2 * 1024 ** 4],
  ])("reads the size %s", (text, expected) => {
    const args = [...ENCRYPT, "-r", "jwe:x", "--min-size", text];
    expect(parseCommandLine(args).minSize).toBe(expected);
  });

  it.each(["0", "257M"])("rejects chunks of %s", (text) => {
    const { message } = refusal([...ENCRYPT, "-r", "jwe:x", "--chunk-size", text]);
    expect(message).toBe("the size of --chunk-size must be from 1 byte to 256 MiB");
  });

  it("reads the size of chunks as other sizes", () => {
    const args = [...ENCRYPT, "-r", "jwe:x", "--chunk-size", "5M"];
    expect(parseCommandLine(args).chunkSize).toBe(5 * 1024 ** 2);
  });

  it.each([
    ["amd64", "linux/amd64"],
    ["aarch64", "linux/arm64"],
    ["windows/amd64", "windows/amd64"],
  ])("reads the platform %s", (text, expected) => {
    const args = [...ENCRYPT, "-r", "jwe:x", "--platform", text];
    expect(parseCommandLine(args).platforms).toEqual([expected]);
  });

  it.each([
    [["--src-creds", "alice:s3cret"], "--creds-stdin"],
    [["--dest-creds=alice:s3cret"], "login"],
    [["--src-tls-verify=false"], "--plain-http"],
    [["--dest-tls-verify", "false"], "--ca-file"],
    [["--src-authfile", "auth.json"], "--authfile FILE"],
    [["--dest-cert-dir", "/certs"], "--ca-file FILE"],
    [["--all"], "--platform"],
    [["-a"], "--platform"],
    [["--override-arch", "arm64"], "--platform OS/ARCH"],
    [["--insecure-policy"], "omit it"],
    [["--format", "oci"], "omit it"],
    [["--gpg-homedir", "/keys"], "GNUPGHOME"],
    [["--src-no-creds"], "omit it"],
    [["--tmpdir", "/tmp"], "TMPDIR"],
    [["--registries.d", "/etc"], "--verify-signature"],
    [["--log-level", "debug"], "--debug"],
    [["--src-cred", "u:s3cret"], "if you mean --src-creds: log in first"],
    [["--src-tls-verfy=false"], "if you mean --src-tls-verify: use --plain-http"],
    [["--tls-verfy=false"], "if you mean --tls-verify: use --plain-http"],
    [["--dest-compres"], "if you mean --dest-compress: omit it"],
    [["--al"], "if you mean --all: omit it"],
  ])("translates the option of another tool: %j", (option, expected) => {
    const { message, hint } = refusal([...ENCRYPT, "-r", "jwe:x", ...option]);
    expect(message).toMatch(/^there is no option --?[\w.-]+$/);
    expect(hint).toContain(expected);
    expect(`${message} ${hint ?? ""}`).not.toContain("s3cret");
  });

  it("points from skopeo copy to the commands", () => {
    expect(refusal(["copy", "oci:a", "oci:b"]).hint).toContain("ocicrypt encrypt");
  });

  it.each([
    [[...DECRYPT, "--kye=k.pem:pass=s3cret"]],
    [[...DECRYPT, "--kye", "k.pem:pass=s3cret"]],
    [[...DECRYPT, "--json=k.pem:pass=s3cret"]],
    [[...DECRYPT, "--layer", "1", "k.pem:pass=s3cret"]],
    [[...ENCRYPT, "-k", "k.pem:pass=s3cret"]],
    [["inspect", "oci:a", "-k", "k.pem:pass=s3cret", "--recipent"]],
    [["inspect", "oci:a", "-k=k.pem:pass=s3cret"]],
    [["inspect", "oci:a", "-key=k.pem:pass=s3cret"]],
    [["inspect", "oci:a", "-key", "k.pem:pass=s3cret"]],
    [["inspect", "oci:a", "-k", "-k.pem:pass=s3cret"]],
    [["k.pem:pass=s3cret", "oci:a"]],
    [["recipients", "k.pem:s3cret"]],
    [["help", "k.pem:s3cret"]],
    [[...DECRYPT, "--k.pem:pass=s3cret"]],
  ])("that is rejected does not reveal a password: %j", (args) => {
    const { message, hint } = refusal(args);
    expect(`${message} ${hint ?? ""}`).not.toContain("s3cret");
  });

  const pem = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  const der = privateKey.export({ type: "pkcs8", format: "der" });
  const ENCODED = [der.toString("base64"), der.toString("base64url"), der.toString("hex")];

  it.each([pem, pem.trimEnd(), pem.replaceAll("\n", " ")])(
    "with the content of a key says what to write: %#",
    (content) => {
      const { message, hint } = refusal([...DECRYPT, content]);
      expect(message).toBe("a key is given by its file name, not by its content");
      expect(hint).toContain("such as -k private.pem");
    },
  );

  it.each(["-----BEGIN", "--a b", `--${"A".repeat(60)}`, "---x", "--k:x"])(
    "does not quote %j, which is not an option",
    (argument) => {
      const { message, hint } = refusal([...DECRYPT, argument]);
      expect(message).toBe("an argument begins with a dash but is not an option");
      expect(hint).toContain("--help");
    },
  );

  it.each(ENCODED)("that is rejected does not reveal an encoded key: %#", (key) => {
    const attempts = [
      [key],
      ["help", key],
      ["recipients", key],
      [...DECRYPT, key],
      [...DECRYPT, `--${key}`],
      [...ENCRYPT, "--layer", key],
      [...ENCRYPT, "--digest", key],
      [...ENCRYPT, "--min-size", key],
      [...ENCRYPT, "-r", "jwe:x", "--compat", key],
    ];
    for (const args of attempts) {
      const { message, hint } = refusal(args);
      expect(`${message} ${hint ?? ""}`).not.toContain(key.slice(0, 12));
    }
  });
});

describe("the number of threads", () => {
  const threads = (...args: string[]): number | undefined =>
    parseCommandLine([...ENCRYPT, "-r", "jwe:x", ...args]).threads;

  it("comes from the option, or else from the environment", () => {
    expect(threads()).toBeUndefined();
    expect(threads("--threads", "0")).toBe(0);
    vi.stubEnv("OCICRYPT_THREADS", "3");
    expect(threads()).toBe(3);
    expect(threads("--threads", "64")).toBe(64);
    vi.stubEnv("OCICRYPT_THREADS", "");
    expect(threads()).toBeUndefined();
    vi.unstubAllEnvs();
  });

  it.each(["65", "-1", "1.5", "", "many"])("is not %j", (text) => {
    expect(refusal([...ENCRYPT, "-r", "jwe:x", `--threads=${text}`]).message).toContain("threads");
    vi.stubEnv("OCICRYPT_THREADS", text === "" ? " " : text);
    expect(refusal([...ENCRYPT, "-r", "jwe:x"]).message).toContain("OCICRYPT_THREADS");
    vi.unstubAllEnvs();
  });
});
