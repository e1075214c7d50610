// Command ocicrypt-vectors drives containers/ocicrypt, the Go reference
// implementation, for the tests of this project: it makes the test vectors in
// this folder, encrypts and decrypts single layers, and measures speed.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

const usageText = `usage: ocicrypt-vectors COMMAND [FLAGS]

commands:
  generate [-dir DIR]
        write keys, vectors and VERSIONS.json below DIR (default: the current directory)
  encrypt  -recipient SPEC [-recipient SPEC...] [-digest D] [-mediatype M] -annotations OUT.json < plain > cipher
        SPEC: jwe:FILE, pkcs7:FILE, pgp:NAME, pkcs11:FILE, provider:NAME[:PARAMS]
  decrypt  -key SPEC [-key SPEC...] [-dec-recipient SPEC...] -annotations IN.json < cipher > plain
        SPEC: FILE, FILE:PASSWORD, FILE:pass=.., FILE:file=.., FILE:fd=.., provider:NAME[:PARAMS]
  bench    -size BYTES -chunk BYTES -rounds N [-op both|encrypt|decrypt]
        print one JSON line with the seconds of each round
`

// Exit statuses.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// usageError is a wrong way of calling the program.
type usageError struct{ message string }

func (e usageError) Error() string { return e.message }

func usagef(format string, args ...any) error {
	return usageError{fmt.Sprintf(format, args...)}
}

var commands = map[string]func(args []string) error{
	"generate": generateCommand,
	"encrypt":  encryptCommand,
	"decrypt":  decryptCommand,
	"bench":    benchCommand,
}

// output is the standard output, for results only: older versions of ocicrypt print
// a note to os.Stdout when they use PKCS#11, which would be among a layer's bytes.
var output = os.Stdout

func main() {
	os.Stdout = os.Stderr
	os.Exit(exitStatus(run(os.Args[1:])))
}

// run executes one command. A panic inside ocicrypt is reported as an error, so
// that a caller can tell it from wrong use, which has the same exit status as a
// Go panic.
func run(args []string) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	if len(args) == 0 {
		return usagef("no command given")
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		return flag.ErrHelp
	}
	command, ok := commands[args[0]]
	if !ok {
		return usagef("unknown command %q", args[0])
	}
	return command(args[1:])
}

func exitStatus(err error) int {
	var wrongUse usageError
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(output, usageText)
		return exitOK
	case errors.As(err, &wrongUse):
		fmt.Fprintf(os.Stderr, "ocicrypt-vectors: %v\n\n%s", err, usageText)
		return exitUsage
	default:
		fmt.Fprintf(os.Stderr, "ocicrypt-vectors: %v\n", err)
		return exitFailed
	}
}

// newFlagSet returns a silent flag set: main prints the one usage text.
func newFlagSet(command string) *flag.FlagSet {
	flags := flag.NewFlagSet(command, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	return flags
}

// parseFlags accepts flags only, no further arguments.
func parseFlags(flags *flag.FlagSet, args []string) error {
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return usagef("%s: %v", flags.Name(), err)
	}
	if flags.NArg() > 0 {
		return usagef("%s: unexpected argument %q", flags.Name(), flags.Arg(0))
	}
	return nil
}

// stringList is a flag that may be given several times.
type stringList []string

func (l *stringList) String() string { return strings.Join(*l, " ") }

func (l *stringList) Set(value string) error {
	*l = append(*l, value)
	return nil
}
