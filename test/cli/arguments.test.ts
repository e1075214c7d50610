import { describe, expect, it } from "vitest";
import { parseCommandLine } from "../../src/cli/arguments.js";
import { UsageError } from "../../src/cli/usage-error.js";

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
  it("of encrypt", () => {
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

  it("of decrypt", () => {
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

  it("of inspect", () => {
    expect(parseCommandLine(["inspect", "oci:a"])).toMatchObject({
      command: "inspect",
      images: ["oci:a"],
      keys: [],
    });
  });

  it("may use skopeo's names", () => {
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
  ])("may name layers: %j", (args, expected) => {
    expect(parseCommandLine([...ENCRYPT, "-r", "jwe:x", ...args]).layers).toEqual(expected);
  });

  it.each(["1.5", "1e3", "first", "", " 1", "--1", "+1", "0x1", "1,2", "1000000000", "-", "١"])(
    "may not name %j as a layer",
    (text) => {
      const { message, hint } = refusal([...ENCRYPT, "-r", "jwe:x", `--layer=${text}`]);
      expect(message).toContain(JSON.stringify(text));
      expect(hint).toContain("--layer -2..-1");
    },
  );

  it.each([
    [["--help"], undefined],
    [["-h"], undefined],
    [["help"], undefined],
    [["encrypt", "--help"], "encrypt"],
    [["--help", "decrypt"], "decrypt"],
    [["help", "inspect"], "inspect"],
    [["encrypt", "-h", "too", "many", "--layer", "1"], "encrypt"],
  ])("may ask for help: %j", (args, command) => {
    expect(parseCommandLine(args)).toMatchObject({ help: true, command });
  });

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
  ])("with a typing mistake: %j", (args, message, meant) => {
    const error = refusal(args);
    expect(error.message).toContain(message);
    expect(error.hint).toBe(`did you mean ${meant}?`);
  });

  it.each([
    [["sign", "oci:a"], "there is no command sign", "encrypt, decrypt, inspect"],
    [["constructor"], "there is no command constructor", "encrypt, decrypt, inspect"],
    [[...ENCRYPT, "--remove-signatures"], "there is no option --remove-signatures", "--help"],
    [[...ENCRYPT, "-x"], "there is no option -x", "--help"],
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
  ])("that makes no sense: %j", (args, message, hint) => {
    const error = refusal(args);
    expect(error.message).toContain(message);
    expect(error.hint).toContain(hint);
  });

  it.each([
    [[...DECRYPT, "-k"], "argument missing"],
    [[...DECRYPT, "--key"], "argument missing"],
    [[...DECRYPT, "-k", "-q"], "ambiguous"],
    [[...DECRYPT, "--json=yes", "-k", "x"], "does not take an argument"],
  ])("whose option has no value or one too many: %j", (args, message) => {
    expect(refusal(args).message).toContain(message);
  });

  it.each([
    [[...DECRYPT, "--kye=k.pem:pass=s3cret"]],
    [[...DECRYPT, "--kye", "k.pem:pass=s3cret"]],
    [[...DECRYPT, "--json=k.pem:pass=s3cret"]],
    [[...DECRYPT, "--layer", "1", "k.pem:pass=s3cret"]],
    [[...ENCRYPT, "-k", "k.pem:pass=s3cret"]],
    [["inspect", "oci:a", "-k", "k.pem:pass=s3cret", "--recipent"]],
  ])("that is refused keeps the password: %j", (args) => {
    const { message, hint } = refusal(args);
    expect(`${message} ${hint ?? ""}`).not.toContain("s3cret");
  });
});
