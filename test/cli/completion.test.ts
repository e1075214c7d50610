import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { SHELLS } from "../../src/cli/command-words.js";
import { completionScript } from "../../src/cli/completion.js";
import { UsageError } from "../../src/cli/errors.js";
import { runProgram } from "../support/command.js";
import { unavailable } from "../support/environment.js";
import { temporaryDirectories } from "../support/image.js";

const directory = temporaryDirectories();
let folder: string;

/** Prints the completions of the line in the first argument. */
const DRIVERS = {
  bash: `source ./_ocicrypt
COMP_WORDBREAKS=$' \\t\\n"\\'><=;|&(:'
COMP_LINE=$1 COMP_POINT=\${#1} COMPREPLY=()
_ocicrypt
printf '%s\\n' "\${COMPREPLY[@]}"`,
  fish: `source ./_ocicrypt
complete -C $argv[1] | string replace -r '\\t.*' ''`,
  // An interactive zsh on a pseudo terminal, with a compadd that prints each match.
  zsh: `zmodload zsh/zpty
zpty z zsh -f -i
zpty -w z "source ./setup.zsh"
repeat 4; do zpty -r z line; [[ $line == ok* ]] && break; done
zpty -w -n z "$1"$'\\t'
integer toggle=0
while zpty -r z; do :; done | while IFS= read -r line; do
  if [[ $line == *$'\\0\\r' ]]; then (( toggle++ )) && exit 0 || continue; fi
  (( toggle )) && echo -E - \${line%$'\\r'}
done`,
} as const;

const ZSH_SETUP = `PROMPT=
fpath=($PWD $fpath)
autoload -Uz compinit
compinit -u -D
bindkey '^M' undefined
bindkey '^J' undefined
bindkey '^I' complete-word
null-line () { echo -E - $'\\0' }
compprefuncs=( null-line )
comppostfuncs=( null-line exit )
zstyle ':completion:*' list-grouped false
zstyle ':completion:*' insert-tab false
compadd () {
  if [[ \${@[1,(i)(-|--)]} == *-(O|A|D)\\ * ]]; then builtin compadd "$@"; return $?; fi
  typeset -a hits
  builtin compadd -A hits "$@"
  local hit
  for hit in "\${hits[@]}"; do echo -E - "\${IPREFIX}\${hit}"; done
  builtin compadd "$@"
}
echo ok
`;

beforeAll(() => {
  folder = directory();
  mkdirSync(join(folder, "app"));
  for (const name of ["public.pem", "my key.pem"]) writeFileSync(join(folder, name), "");
  writeFileSync(join(folder, "setup.zsh"), ZSH_SETUP);
});

async function complete(
  shell: (typeof SHELLS)[number],
  line: string,
  skip: (why: string) => never,
): Promise<string[]> {
  writeFileSync(join(folder, "_ocicrypt"), completionScript(shell));
  const quick = shell === "bash" ? ["--norc"] : shell === "zsh" ? ["-f"] : ["--no-config"];
  const driver = join(folder, `driver.${shell}`);
  writeFileSync(driver, DRIVERS[shell]);
  const { stdout } = await runProgram(shell, [...quick, driver, line], { cwd: folder }).catch(
    (error: unknown) => {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      return unavailable(skip, `${shell} is not installed`);
    },
  );
  // bash completes the part after the last colon; the others the whole word.
  const [, head = ""] = /(?:^|\s)(\S*:)\S*$/.exec(line) ?? [];
  const words = stdout.split("\n").filter((word) => word !== "");
  const whole = words.map((word) => (shell === "bash" ? head + word : word));
  return whole.map((word) => word.replaceAll("\\", "").replace(/(\w)\/$/, "$1")).sort();
}

describe.each(SHELLS)("completion in %s", (shell) => {
  it.for<[string, string[]]>([
    ["ocicrypt en", ["encrypt"]],
    ["ocicrypt recipients ", ["add", "list", "remove", "replace"]],
    ["ocicrypt recipients add --rec", ["--recipient"]],
    ["ocicrypt completion ", ["bash", "fish", "zsh"]],
    ["ocicrypt encrypt --compat ", ["coco", "go"]],
    [
      "ocicrypt encrypt oci:app oci:b -r ",
      [
        "age:",
        "aws-kms:",
        "barbican:",
        "jwe:",
        "key-protect:",
        "pgp:",
        "pkcs11:",
        "pkcs7:",
        "provider:",
        "sss:",
        "tang:",
        "vault:",
      ],
    ],
    ["ocicrypt encrypt -r jwe:pub", ["jwe:public.pem"]],
    ["ocicrypt encrypt --ca-file pub", ["public.pem"]],
    ["ocicrypt decrypt -k my", ["my key.pem"]],
    ["ocicrypt encrypt -q oci:a", ["oci:app"]],
    ["ocicrypt encrypt --layer -1 o", ["oci-archive:", "oci:"]],
  ])("of %j", async ([line, expected], { skip }) => {
    expect(await complete(shell, line, skip)).toEqual(expected);
  });
});

describe("bash completion", () => {
  it("continues a scheme whose colon is typed", async ({ skip }) => {
    expect(await complete("bash", "ocicrypt inspect docker:", skip)).toEqual(["docker://"]);
  });

  it("completes a value after an equals sign", async ({ skip }) => {
    expect(await complete("bash", "ocicrypt encrypt --compat=c", skip)).toEqual(["coco"]);
    const line = "ocicrypt encrypt --recipient=jwe:pub";
    expect(await complete("bash", line, skip)).toEqual(["--recipient=jwe:public.pem"]);
  });
});

it("rejects other shells", () => {
  expect(() => completionScript("tcsh")).toThrow(UsageError);
});
