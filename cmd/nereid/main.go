// Command nereid trains models on the data of several parties while the weights
// stay encrypted from the first step to the last.
//
//	nereid demo      run a whole study with all its parties in one process
//	nereid init      write an example of a study file
//	nereid check     check a study file and print the study's hash
//	nereid simulate  run a study file, or a network of several layers, as demo does
//	nereid plan      find the fastest way to train a network, and what it costs
//	nereid identity  make the keys of a party or a querier, and show them
//	nereid study     agree on a study: invite, join, approve, lock, sign
//	nereid local     run a study with every party in a process of its own here
//	nereid node      run a party of a locked study on its host; also called train
//	nereid preflight check all that a node needs before it is started
//	nereid comm      print who connects to whom, and how many bytes to expect
//	nereid status    ask nodes how far they are and for whom they wait
//	nereid watch     the same, again and again
//	nereid predict   ask the parties for predictions, as the querier
//	nereid journal   show that no journal has two shares for one label
//	nereid version   print the version and how the binary was built
//
// The command is thin: it reads flags and files, calls package study, and shows
// progress and the report. Results go to stdout; progress, logs and errors go to
// stderr. The exit codes below and the JSON form of the report are a contract.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/spf13/cobra"
)

// Exit codes.
const (
	exitOK          = 0
	exitInternal    = 1   // a failure inside, such as a full disk or a bug
	exitUsage       = 2   // an unknown command or flag, a bad flag value, an unwritable output
	exitData        = 3   // the data cannot be read or used
	exitRefused     = 4   // the study cannot be run with these settings or state, or does not allow it
	exitUntrusted   = 5   // a passphrase, key, fingerprint, signature, document or state does not hold
	exitInterrupted = 130 // SIGINT or SIGTERM
)

const exitCodes = `Exit codes:
  0    done; the report is complete
  1    a failure inside, such as a full disk
  2    an unknown command or flag, a bad flag value, an output that cannot be written
  3    the data cannot be read or used; the message names file, row, column and remedy
  4    the study cannot be run with these settings or this state, or does not allow it
  5    a passphrase, key, fingerprint, signature, document or state does not hold
  130  interrupted (SIGINT or SIGTERM); no report is written`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run executes the command line and returns the exit code. Errors are shown on
// stderr, once.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	var f *failure
	if ctx.Err() != nil && !(errors.As(err, &f) && f.code == exitInterrupted) {
		err = &failure{code: exitInterrupted, err: errInterrupted}
	}
	f = explain(err)
	f.show(stderr, wantsJSON(args))
	return f.code
}

// wantsJSON reports whether errors are to be shown as JSON. It looks at the
// arguments as they are, because they may be what is wrong.
func wantsJSON(args []string) bool {
	for i, a := range args {
		if a == "--format=json" || a == "--format" && slices.Equal(args[i+1:min(i+2, len(args))], []string{"json"}) {
			return true
		}
	}
	return false
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "nereid",
		Short: "Train on the data of several parties with the weights encrypted throughout",
		Long: `Nereid trains models on the data of several parties that may not share it. Every
party keeps its rows; weights and gradients are encrypted under a key that no
party holds, from the first step to the last.

Start with "nereid demo": it runs a whole study in this process, on made-up data
or on a file of yours, and prints what it achieved, cost and revealed.`,
		SilenceErrors: true, // run shows them
		SilenceUsage:  true,

		SuggestionsMinimumDistance: 2,
		Args:                       cobra.ArbitraryArgs, // RunE words what is wrong with them
		RunE:                       chooseCommand,
	}
	root.SetFlagErrorFunc(flagError)
	root.SetHelpTemplate("{{with or .Long .Short}}{{. | trimTrailingWhitespaces}}\n\n{{end}}{{.UsageString}}\n" + exitCodes + "\n")
	root.AddCommand(newDemo(), newSimulate(), newLocal(), newPlan(), newInit(), newCheck(), newIdentity(), newStudy(), newPreflight(), newComm(), newNode(), newStatus(), newWatch(), newPredict(), newJournal(), newVersion())
	return root
}

// chooseCommand is what a command does that has commands below it: it prints its
// help, or refuses an argument that names none of them.
func chooseCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return c.Help()
	}
	remedy := fmt.Sprintf("see %q for the commands", c.CommandPath()+" --help")
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		remedy = fmt.Sprintf("did you mean %q?", near[0])
	}
	return usageError(remedy, "unknown command %q", args[0])
}

// wantArgs refuses a number of arguments below least or above most; names says what
// they are.
func wantArgs(least, most int, names string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if n := len(args); n < least || n > most {
			return usageError(fmt.Sprintf("see %q", c.CommandPath()+" --help"), "%s, want %s", count(n, "argument"), names)
		}
		return nil
	}
}

// noArgs refuses arguments that are no flags.
func noArgs(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return usageError(fmt.Sprintf("see %q", c.CommandPath()+" --help"), "unexpected argument %q", args[0])
}
