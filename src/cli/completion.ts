import { COMMAND_TABLE, COMMANDS, GROUPS, type CommandName } from "./command-table.js";
import { UsageError, withoutMarks } from "./errors.js";
import { actionsOf, argumentCompletion, SHELLS } from "./command-words.js";
import { firstWords, optionsOf, spellings, summaryOf } from "./help.js";
import { OPTION_NAMES, OPTIONS, type Completion } from "./options.js";

/** The schemes with which the values of options and arguments start. */
const SCHEMES: Readonly<Record<"image" | "recipient" | "key", readonly string[]>> = {
  image: ["oci:", "oci-archive:", "docker://", "docker-archive:", "dir:"],
  recipient:
    "jwe: pkcs7: pgp: pkcs11: age: tang: sss: barbican: vault: key-protect: aws-kms: provider:".split(
      " ",
    ),
  key: ["provider:"],
};

/**
 * Returns the script that completes the command in a shell.
 *
 * @throws {UsageError}
 */
export function completionScript(shell: string): string {
  switch (shell) {
    case "bash":
      return bashScript();
    case "zsh":
      return zshScript();
    case "fish":
      return fishScript();
    default:
      throw new UsageError(`there is no completion for this shell`, `write ${SHELLS.join(", ")}`);
  }
}

function functionOf(completes: Completion | undefined): string {
  if (completes === undefined) return ":";
  return typeof completes === "string"
    ? `_ocicrypt_${completes}`
    : `_ocicrypt_words ${completes.join(" ")}`;
}

function bashScript(): string {
  const withValue = OPTION_NAMES.filter((name) => OPTIONS[name].type === "string");
  const values = withValue.map(
    (name) => `    ${spellings(name).join("|")}) ${functionOf(OPTIONS[name].completes)} ;;`,
  );
  const commands = COMMANDS.map((command) => {
    const [last = ""] = COMMAND_TABLE[command].takes;
    const options = optionsOf(command).flatMap(spellings).join(" ");
    return `    "${command}") options="${options}"; argument="${functionOf(argumentCompletion(last))}" ;;`;
  });
  const groups = Object.keys(GROUPS);
  return `# bash completion for ocicrypt; load it with: eval "$(ocicrypt completion bash)"

_ocicrypt_words() { COMPREPLY+=($(compgen -W "$*" -- "$current")); }

_ocicrypt_file() {
  compopt -o filenames 2>/dev/null
  local IFS=$'\\n'
  COMPREPLY+=($(compgen -f -- "$current"))
}

# _ocicrypt_scheme SCHEME...: schemes first, then the file after one of them.
_ocicrypt_scheme() {
  local scheme
  for scheme in "$@"; do
    [[ $current == "$scheme"* ]] || continue
    prefix+=$scheme current=\${current#"$scheme"}
    [[ $scheme == *// || $scheme == provider: || $scheme == pgp: ]] || _ocicrypt_file
    return
  done
  _ocicrypt_words "$@"
  ((\${#COMPREPLY[@]})) && compopt -o nospace 2>/dev/null
}

_ocicrypt_image() { _ocicrypt_scheme ${SCHEMES.image.join(" ")}; }
_ocicrypt_recipient() { _ocicrypt_scheme ${SCHEMES.recipient.join(" ")}; }
_ocicrypt_key() {
  _ocicrypt_scheme ${SCHEMES.key.join(" ")}
  [[ $prefix == *provider: ]] || _ocicrypt_file
}

_ocicrypt_value() {
  case $1 in
${values.join("\n")}
    *) return 1 ;;
  esac
  return 0
}

_ocicrypt() {
  local line=\${COMP_LINE:0:COMP_POINT} typed word current prefix= command= options= argument= i
  COMPREPLY=()
  # Not COMP_WORDS, which are split at colons and equals signs too.
  read -a typed <<<"$line"
  [[ $line == *[[:space:]] ]] && typed+=("")
  word=\${typed[-1]} current=\${typed[-1]}
  for ((i = 1; i < \${#typed[@]} - 1; i++)); do
    case \${typed[i]} in
      ${withValue.flatMap(spellings).join("|")}) ((i++)) ;;
      -*) ;;
      *) case $command in "" | ${groups.join(" | ")} | help) command+=\${command:+ }\${typed[i]} ;; esac ;;
    esac
  done
  command=\${command#help }
  if [[ $current == --*=* ]]; then
    prefix=\${current%%=*}=
    current=\${current#*=}
    _ocicrypt_value "\${prefix%=}"
  elif ((\${#typed[@]} < 3)) || ! _ocicrypt_value "\${typed[-2]}"; then
    case $command in
    ""|help) options="--help --version"; argument="_ocicrypt_words ${firstWords()
      .map(({ word }) => word)
      .join(" ")}" ;;
${groups.map((group) => `    ${group}) options="--help"; argument="_ocicrypt_words ${actionsOf(group).join(" ")}" ;;`).join("\n")}
${commands.join("\n")}
    esac
    if [[ $current == -* ]]; then _ocicrypt_words "$options"; else $argument; fi
  fi
  # bash replaces only the part of the word after the last of these characters.
  local break head=
  for break in : =; do
    [[ $COMP_WORDBREAKS == *$break* && \${#word} -gt \${#head} ]] || continue
    [[ \${word%"\${word##*$break}"} == "$head"* ]] && head=\${word%"\${word##*$break}"}
  done
  COMPREPLY=("\${COMPREPLY[@]/#/$prefix}")
  COMPREPLY=("\${COMPREPLY[@]#"$head"}")
}

complete -F _ocicrypt ocicrypt
`;
}

/** Puts a text in single quotes, for zsh and fish. */
function quote(text: string): string {
  return `'${text.replace(/'/g, "'\\''")}'`;
}

function zshScript(): string {
  const described = (word: string, summary: string): string =>
    quote(`${word}:${withoutMarks(summary).replaceAll(":", "\\:")}`);
  const cases = COMMANDS.map(
    (command) => `    ${quote(command)}) _arguments -s ${zshSpecs(command)} ;;`,
  );
  const groups = Object.keys(GROUPS).map((group) => {
    const actions = COMMANDS.filter((command) => command.startsWith(`${group} `)).map((command) =>
      described(command.slice(group.length + 1), COMMAND_TABLE[command].summary),
    );
    return `    ${group}) local -a actions=(${actions.join(" ")}); _describe action actions ;;`;
  });
  return `#compdef ocicrypt
# zsh completion for ocicrypt; save it as _ocicrypt in a directory of fpath.

_ocicrypt_scheme() {
  local scheme
  for scheme in "$@"; do
    if compset -P "$scheme"; then
      [[ $scheme == *// || $scheme == provider: || $scheme == pgp: ]] || _files
      return
    fi
  done
  compadd -S '' -- "$@"
}
_ocicrypt_image() { _ocicrypt_scheme ${SCHEMES.image.join(" ")} }
_ocicrypt_recipient() { _ocicrypt_scheme ${SCHEMES.recipient.join(" ")} }
_ocicrypt_key() { _files; compadd -S '' -- ${SCHEMES.key.join(" ")} }
_ocicrypt_file() { _files }

_ocicrypt() {
  local command="$words[2]"
  local -i skip=1
  case $command in
    ${Object.keys(GROUPS).join("|")}) if ((CURRENT > 3)); then command+=" $words[3]"; skip=2; fi ;;
  esac
  if ((CURRENT == 2)); then
    local -a commands=(${firstWords()
      .map(({ word, summary }) => described(word, summary))
      .join(" ")})
    _describe command commands
    return
  fi
  words=("\${(@)words[1,1]}" "\${(@)words[2+skip,-1]}")
  ((CURRENT -= skip))
  case $command in
${[...cases, ...groups].join("\n")}
    help) compadd -- ${firstWords()
      .map(({ word }) => word)
      .join(" ")} ;;
  esac
}

if [[ $funcstack[1] == _ocicrypt ]]; then _ocicrypt "$@"; else compdef _ocicrypt ocicrypt; fi
`;
}

function zshSpecs(command: CommandName): string {
  const specs = optionsOf(command).map((name) => {
    const { value, multiple = false, completes } = OPTIONS[name];
    const text = summaryOf(name, command).replace(/[[\]:\\]/g, "\\$&");
    const action =
      value === undefined ? "" : `:${value.replaceAll(":", "")}:${zshAction(completes)}`;
    return spellings(name).map((each) => quote(`${multiple ? "*" : ""}${each}[${text}]${action}`)).join(" "); // prettier-ignore
  });
  const takes = COMMAND_TABLE[command].takes.map((name) =>
    quote(`${name.endsWith("...") ? "*" : ""}:${name}:${zshAction(argumentCompletion(name))}`),
  );
  return [...specs, ...takes].join(" ");
}

function zshAction(completes: Completion | undefined): string {
  if (completes === undefined) return " ";
  return typeof completes === "string" ? `_ocicrypt_${completes}` : `(${completes.join(" ")})`;
}

function fishScript(): string {
  const lines = firstWords().map(
    ({ word, summary }) =>
      `complete -c ocicrypt -n '__ocicrypt_command ""' -a ${word} -d ${quote(withoutMarks(summary))}`,
  );
  for (const group of Object.keys(GROUPS)) {
    for (const action of actionsOf(group)) {
      const { summary } = COMMAND_TABLE[`${group} ${action}` as CommandName];
      lines.push(
        `complete -c ocicrypt -n '__ocicrypt_command ${group}' -a ${action} -d ${quote(withoutMarks(summary))}`,
      );
    }
  }
  for (const command of COMMANDS) {
    const when = `-n '__ocicrypt_command "${command}"'`;
    const completes = argumentCompletion(COMMAND_TABLE[command].takes[0]);
    lines.push(`complete -c ocicrypt ${when} ${fishValues(completes)}`);
    for (const name of optionsOf(command)) {
      const { short, type, completes: value } = OPTIONS[name];
      const text = quote(summaryOf(name, command));
      const spelling = `${short === undefined ? "" : `-s ${short} `}-l ${name}`;
      const values =
        type === "string" ? ` ${takesFile(value) ? "-r" : "-x"} ${fishValues(value)}` : "";
      lines.push(`complete -c ocicrypt ${when} ${spelling}${values} -d ${text}`);
    }
  }
  return `# fish completion for ocicrypt; save it in ~/.config/fish/completions/ocicrypt.fish

# The command typed so far is that of the argument; nothing, before there is one.
function __ocicrypt_command
    set -l typed (commandline -opc)
    set -l command
    set -l skip 0
    for word in $typed[2..-1]
        if test $skip = 1
            set skip 0
        else if contains -- $word ${OPTION_NAMES.filter((name) => OPTIONS[name].type === "string")
          .flatMap(spellings)
          .join(" ")}
            set skip 1
        else if not string match -q -- '-*' $word
            if test (count $command) = 0; or test "$command" = ${Object.keys(GROUPS).join('; or test "$command" = ')}
                set -a command $word
            end
        end
    end
    test "$command" = "$argv[1]"
end

function __ocicrypt_schemes
    set -l current (commandline -ct)
    for scheme in $argv
        if string match -q -- "$scheme*" $current
            set -l rest (string sub -s (math (string length -- $scheme) + 1) -- $current)
            for file in (__fish_complete_path $rest)
                echo $scheme$file
            end
            return
        end
    end
    printf '%s\\n' $argv
end

complete -c ocicrypt -f
${lines.join("\n")}
`;
}

/** Whether fish offers files in addition to the other values. */
function takesFile(completes: Completion | undefined): boolean {
  return completes === "file" || completes === "key";
}

function fishValues(completes: Completion | undefined): string {
  if (completes === undefined) return "";
  if (typeof completes !== "string") return `-a ${quote(completes.join(" "))}`;
  if (completes === "file") return "-F";
  const schemes = `-a '(__ocicrypt_schemes ${SCHEMES[completes].join(" ")})'`;
  return completes === "key" ? `-F ${schemes}` : schemes;
}
