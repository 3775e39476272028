package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nereid-mhe/nereid/dataset"
	"github.com/nereid-mhe/nereid/study"
)

// options are the flags of the demo.
type options struct {
	cfg study.Config
	input
	printing
}

// input are the flags that say where the rows come from.
type input struct {
	data           string // file; empty for other data
	schema         dataset.Schema
	rows, features int // of synthetic data
}

// printing are the flags of report, progress and logs.
type printing struct {
	format, output string
	level          slog.Level
	verbose, quiet bool
}

// defaults returns the settings of the demo without flags.
func defaults() *options {
	return &options{study.Default(), defaultInput(), defaultPrinting()}
}

func defaultInput() input {
	return input{schema: dataset.Schema{Missing: dataset.MissingError}, rows: 500, features: 8}
}

func defaultPrinting() printing { return printing{format: "text", level: slog.LevelWarn} }

// A group is a set of flags under one heading of the help.
type group struct {
	title string
	flags *pflag.FlagSet
}

// groups binds flags to o.
func (o *options) groups() []group {
	return []group{
		{"Data", flagSet(func(f *pflag.FlagSet) {
			o.input.bind(f)
			bindSplit(f, &o.cfg.Common)
		})},
		{"Parties and network", flagSet(func(f *pflag.FlagSet) { bindParties(f, &o.cfg.Common) })},
		{"Training", flagSet(o.bindTraining)},
		{"Security", flagSet(func(f *pflag.FlagSet) { bindSecurity(f, &o.cfg.Common, "insecure-toy") })},
		{"Output", flagSet(o.printing.bind)},
	}
}

func flagSet(bind func(*pflag.FlagSet)) *pflag.FlagSet {
	f := pflag.NewFlagSet("", pflag.ContinueOnError)
	f.SortFlags = false
	bind(f)
	return f
}

func (o *input) bind(f *pflag.FlagSet) {
	f.StringVar(&o.data, "data", o.data, "text `FILE` with a row per sample, separated by comma, semicolon or tab; without it the data is synthetic: Gaussian features in different units, labels drawn from a logistic model")
	f.StringVar(&o.schema.Label, "label", o.schema.Label, "label column of the file, by `NAME` or by index from 0 (-1 is the last)")
	f.StringSliceVar(&o.schema.Classes, "classes", nil, "the two labels in the file that mean 0 and 1, as `NEG,POS` (default 0,1)")
	f.StringSliceVar(&o.schema.Drop, "drop", nil, "`COLUMN` to leave out, by name or index; repeat, or separate by commas")
	f.Var(choice(&o.schema.Missing, dataset.MissingError, dataset.MissingDrop, dataset.MissingMean), "missing", "`POLICY` for missing values: error refuses the file, drop leaves out the row, mean takes the mean of the column")
	f.Var(&value{kind: "CHAR", set: o.setComma}, "comma", "`CHAR` that separates columns, or the word tab (default: detected)")
	f.IntVar(&o.rows, "rows", o.rows, "`ROWS` of synthetic data")
	f.IntVar(&o.features, "features", o.features, "`COLUMNS` of synthetic data")
}

func bindSplit(f *pflag.FlagSet, c *study.Common) {
	f.Float64Var(&c.TestFraction, "test-fraction", c.TestFraction, "`SHARE` of the rows kept back for the querier, between 0 and 1")
	f.Uint64Var(&c.Seed, "seed", c.Seed, "public `NUMBER` that fixes synthetic data, split and order of rows; never the cryptography")
}

func bindParties(f *pflag.FlagSet, c *study.Common) {
	f.IntVar(&c.Parties, "parties", c.Parties, "`N` data owners, 2 or more")
	f.IntVar(&c.Fanout, "fanout", c.Fanout, "`N` children per inner node of the tree that joins the parties")
	f.Var(&value{text: string(dataset.PartitionEven), kind: "HOW", set: func(s string) error { return setPartition(&c.Partition, s) }}, "partition", "`HOW` rows are dealt to parties: even, skewed (party i gets a share like 1/i), label (sorted by label), column:NAME (sorted by a feature)")
	f.Float64Var(&c.Link.Mbit, "mbit", c.Link.Mbit, "bandwidth of the modelled network in `MBIT/S`")
	f.Float64Var(&c.Link.Latency, "latency", c.Link.Latency, "latency of the modelled network, one way, in `MS`")
	f.IntVar(&c.Cores, "cores", c.Cores, "`N` parties that compute at the same time; 0 for all cores of this machine")
}

func (o *options) bindTraining(f *pflag.FlagSet) {
	f.BoolVar(&o.cfg.Regression, "regression", o.cfg.Regression, "linear regression of a numeric label instead of logistic regression of a class")
	f.Float64Var(&o.cfg.MaxTarget, "max-target", o.cfg.MaxTarget, "public `BOUND` of the label of a regression; 0 takes the largest of the table, and lists it as opened")
	f.IntVar(&o.cfg.Epochs, "epochs", o.cfg.Epochs, "`N` passes over the rows")
	f.IntVar(&o.cfg.Batch, "batch", o.cfg.Batch, "`ROWS` of a party in a step; 0 for as many as fit in one ciphertext")
	f.Float64Var(&o.cfg.SGD.Rate, "rate", o.cfg.SGD.Rate, "learning `RATE` of the first step")
	f.Float64Var(&o.cfg.SGD.Decay, "decay", o.cfg.SGD.Decay, "step k, counted from 0, learns at rate/(1 + `D`*k)")
	f.Float64Var(&o.cfg.SGD.L2, "l2", o.cfg.SGD.L2, "weight decay `L`: the ridge penalty")
	f.IntVar(&o.cfg.Degree, "degree", o.cfg.Degree, "`DEGREE` of the polynomial in place of the sigmoid: 1, 3, 5 or 7")
	f.Float64Var(&o.cfg.Interval, "interval", o.cfg.Interval, "`BOUND` of the model's outputs: the polynomial is fitted on [-BOUND, BOUND]")
	f.Float64Var(&o.cfg.Clip, "clip", o.cfg.Clip, "cut standardised features at this many `STDS` from the mean")
}

// bindSecurity binds the flags of security; toy is the name of the one that turns
// it off.
func bindSecurity(f *pflag.FlagSet, c *study.Common, toy string) {
	f.IntVar(&c.Flooding, "flooding", c.Flooding, "statistical security of opened values in `BITS`, 30 to 80")
	f.BoolVar(&c.Quantum, "quantum", c.Quantum, "128-bit security against quantum attackers (slower); without it against classical ones")
	f.BoolVar(&c.Insecure, toy, c.Insecure, "NO SECURITY AT ALL: a toy ring that runs in seconds, to try the command out")
}

func (o *printing) bind(f *pflag.FlagSet) {
	f.Var(choice(&o.format, "text", "json"), "format", "`FORM` of the report, text or json; json is one line, the last on stdout")
	f.StringVar(&o.output, "output", o.output, "`FILE` for the report instead of stdout; it is replaced once the report is complete")
	f.BoolVarP(&o.quiet, "quiet", "q", o.quiet, "no progress on stderr")
	f.BoolVarP(&o.verbose, "verbose", "v", o.verbose, "the same as --log-level info")
	f.Var(&value{text: "warn", kind: "LEVEL", set: o.setLevel}, "log-level", "`LEVEL` of logs on stderr: debug (every message), info, warn or error")
}

// check reports flags that do not go together, and carries over those that stand
// for two settings.
func (o *options) check(f *pflag.FlagSet) error {
	if err := o.input.check(f); err != nil {
		return err
	}
	if n := len(o.schema.Classes); f.Changed("classes") && n != 2 {
		return usageError("give the label that means 0 and the one that means 1, such as --classes 2,4", "--classes names %d labels, want 2", n)
	}
	o.schema.Regression = o.cfg.Regression
	return o.printing.check(f)
}

func (o *input) check(f *pflag.FlagSet) error {
	fileOnly, syntheticOnly := []string{"label", "classes", "drop", "missing", "comma"}, []string{"rows", "features"}
	for _, name := range fileOnly {
		if f.Changed(name) && o.data == "" {
			return usageError("name the file with --data, or drop --"+name, "--%s describes a file, but no --data is given", name)
		}
	}
	for _, name := range syntheticOnly {
		if f.Changed(name) && f.Changed("data") {
			return usageError("drop one of the two", "--%s is for synthetic data, but --data names a file", name)
		}
	}
	switch {
	case f.Changed("data") && o.data == "":
		return usageError("name a file", "--data is empty")
	case o.data != "" && o.schema.Label == "":
		return usageError("name the label column with --label, by name or index", "--data needs a label column")
	}
	return nil
}

func (o *printing) check(f *pflag.FlagSet) error {
	if f.Changed("output") && o.output == "" {
		return usageError("name a file", "--output is empty")
	}
	if o.verbose && !f.Changed("log-level") {
		o.level = slog.LevelInfo
	}
	return nil
}

// A value is a flag with its own parser. It implements [pflag.Value].
type value struct {
	text, kind string
	set        func(string) error
}

func (v *value) String() string { return v.text }
func (v *value) Type() string   { return v.kind }

// Set implements [pflag.Value].
func (v *value) Set(s string) error {
	if err := v.set(s); err != nil {
		return err
	}
	v.text = s
	return nil
}

// choice returns a flag that takes one of a few words.
func choice[T ~string](p *T, words ...T) *value {
	return &value{text: string(*p), kind: "word", set: func(s string) error {
		if !slices.Contains(words, T(s)) {
			return fmt.Errorf("want one of %s", strings.Trim(fmt.Sprint(words), "[]"))
		}
		*p = T(s)
		return nil
	}}
}

func (o *input) setComma(s string) error {
	if s == "tab" || s == `\t` {
		s = "\t"
	}
	r, n := utf8.DecodeRuneInString(s)
	if n == 0 || n != len(s) || r == utf8.RuneError {
		return errors.New("want one character, or tab")
	}
	o.schema.Comma = r
	return nil
}

func setPartition(to *dataset.Partition, s string) error {
	p := dataset.Partition(s)
	known := []dataset.Partition{dataset.PartitionEven, dataset.PartitionSkewed, dataset.PartitionLabel}
	if column, ok := strings.CutPrefix(s, "column:"); !slices.Contains(known, p) && (!ok || column == "") {
		return errors.New("want even, skewed, label or column:NAME")
	}
	*to = p
	return nil
}

func (o *printing) setLevel(s string) error {
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
	l, ok := levels[s]
	if !ok {
		return errors.New("want debug, info, warn or error")
	}
	o.level = l
	return nil
}

// helpWidth is the number of columns that help and report keep to.
const helpWidth = 100

// usage prints the flags of a command under their headings.
func usage(groups []group) func(*cobra.Command) error {
	return func(c *cobra.Command) error {
		var b strings.Builder
		fmt.Fprintf(&b, "Usage:\n  %s\n\nExamples:\n%s\n", c.UseLine(), c.Example)
		for _, g := range groups {
			fmt.Fprintf(&b, "\n%s:\n%s", g.title, g.flags.FlagUsagesWrapped(helpWidth))
		}
		_, err := io.WriteString(c.OutOrStdout(), b.String())
		return err
	}
}
