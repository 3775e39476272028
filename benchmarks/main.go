// Command benchmarks measures what the project claims about its speed:
//
//	go run ./benchmarks refresh    the collective refresh against Lattigo's
//	go run ./benchmarks logreg     a party's compute in one training step
//	go run ./benchmarks mlp        networks on BCW, CREDIT and MNIST, whole studies
//	go run ./benchmarks scale      a training step against parties, features, units, batch
//	go run ./benchmarks network    nodes over emulated links against what was forecast
//
// Everything a ratio compares is timed in one run, turn by turn, and summarised
// by medians, so that the ratios hold on a machine that does other things as
// well. --format json prints one JSON object in one line. README.md says what
// each figure means; results holds the objects of recorded runs.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
)

func main() {
	if err := command().Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "benchmarks:", err)
		os.Exit(1)
	}
}

// options are the flags that all benchmarks share.
type options struct {
	format  string
	repeat  int
	seconds float64
	clock   string
	toy     bool
}

func command() *cobra.Command {
	var o options
	root := &cobra.Command{
		Use:           "benchmarks",
		Short:         "Measure the collective refresh and a training step",
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			return o.check()
		},
	}
	f := root.PersistentFlags()
	f.StringVar(&o.format, "format", "text", "output format: text or json")
	f.IntVar(&o.repeat, "repeat", 31, "measure at least this many rounds")
	f.Float64Var(&o.seconds, "seconds", 0, "measure for at least this many seconds")
	f.StringVar(&o.clock, "clock", defaultClock(), "clock of figures on one thread: cpu, which leaves out what other programs take, or wall")
	f.BoolVar(&o.toy, "toy", false, "use a small ring WITHOUT SECURITY, to try the program; its figures mean nothing")
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(refreshCommand(&o), logregCommand(&o), mlpCommand(&o), scaleCommand(&o), networkCommand(&o))
	return root
}

func (o options) check() error {
	switch {
	case o.format != "text" && o.format != "json":
		return fmt.Errorf("unknown format %q, want text or json", o.format)
	case o.clock != string(cpuClock) && o.clock != string(wallClock):
		return fmt.Errorf("unknown clock %q, want cpu or wall", o.clock)
	case o.repeat < 1:
		return fmt.Errorf("--repeat %d, want at least 1", o.repeat)
	case !(o.seconds >= 0 && o.seconds <= 86400):
		return fmt.Errorf("--seconds %g, want 0 to 86400", o.seconds)
	}
	return nil
}

func (o options) limit() limit {
	return limit{o.repeat, time.Duration(o.seconds * float64(time.Second)), clock(o.clock)}
}

// defaultClock is processor time where the system tells it.
func defaultClock() string {
	if _, ok := cpuTime(); ok {
		return string(cpuClock)
	}
	return string(wallClock)
}

// A report is the result of a benchmark.
type report interface {
	// text writes the report for people. Its JSON form is the one for programs.
	text(w *bytes.Buffer)
}

func (o options) print(w io.Writer, r report) error {
	if o.format == "json" {
		return json.NewEncoder(w).Encode(r)
	}
	var b bytes.Buffer
	r.text(&b)
	_, err := b.WriteTo(w)
	return err
}

func refreshCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "refresh",
		Short: "Time the collective refresh, with and without a slot map, against Lattigo's",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			set, err := refreshParams(o.toy)
			if err != nil {
				return err
			}
			r, err := benchmarkRefresh(set, o.limit())
			if err != nil {
				return err
			}
			return o.print(cmd.OutOrStdout(), r)
		},
	}
}

func logregCommand(o *options) *cobra.Command {
	var studies bool
	var data string
	cmd := &cobra.Command{
		Use:   "logreg",
		Short: "Time a party's compute in one step of logistic regression",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			plan, err := logregPlan(o.toy)
			if err != nil {
				return err
			}
			r, err := benchmarkLogreg(cmd.Context(), plan, o.limit())
			if err != nil {
				return err
			}
			if studies {
				if r.Studies, err = runStudies(cmd.Context(), data, o.toy); err != nil {
					return err
				}
			}
			return o.print(cmd.OutOrStdout(), r)
		},
	}
	cmd.Flags().BoolVar(&studies, "study", false, "also run whole studies on the Pima and BCW data, for a minute")
	cmd.Flags().StringVar(&data, "data", "../shared/data", "folder of the data for --study")
	return cmd
}
