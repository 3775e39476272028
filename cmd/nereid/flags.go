package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nereid-mhe/nereid/dataset"
	"github.com/nereid-mhe/nereid/studyfile"
)

// options are the flags of the demo.
type options struct {
	file studyfile.File
	input
	printing
}

// input are the flags that say where the rows come from.
type input struct {
	data           []string // files; none for other data
	rows, features int      // of synthetic data
}

// printing are the flags of report, progress and logs.
type printing struct {
	format, output string
	level          slog.Level
	verbose, quiet bool
}

// defaults returns the settings of the demo without flags.
func defaults() *options {
	o := &options{studyfile.New(studyfile.Logistic), defaultInput(), defaultPrinting()}
	o.file.Name, o.file.Parties.Count, o.file.Simulate = "demo", 10, studyfile.NewSimulate()
	return o
}

func defaultInput() input { return input{rows: 500, features: 8} }

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
			bindColumns(f, &o.file.Data)
			bindSplit(f, &o.file)
		})},
		{"Parties and network", flagSet(func(f *pflag.FlagSet) {
			bindParties(f, &o.file)
			bindDealing(f, o.file.Simulate)
		})},
		{"Training", flagSet(o.bindTraining)},
		{"Security", flagSet(func(f *pflag.FlagSet) {
			bindFlooding(f, &o.file.Crypto)
			bindAttacker(f, &o.file.Crypto)
			bindInsecure(f, o.file.Simulate, toyFlag[2:])
		})},
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
	f.StringArrayVar(&o.data, "data", nil, "text `FILE` with a row per sample, separated by comma, semicolon or tab; repeat it to take the rows of several together; without it the data is synthetic: Gaussian features in different units, labels drawn from a logistic model")
	f.IntVar(&o.rows, "rows", o.rows, "`ROWS` of synthetic data")
	f.IntVar(&o.features, "features", o.features, "`COLUMNS` of synthetic data")
}

func bindColumns(f *pflag.FlagSet, d *studyfile.Data) {
	f.StringVar(&d.Label, "label", d.Label, "label column of the file, by `NAME` or by index from 0 (-1 is the last)")
	f.StringSliceVar(&d.Classes, "classes", nil, "the two labels in the file that mean 0 and 1, as `NEG,POS` (default 0,1)")
	f.StringSliceVar(&d.Drop, "drop", nil, "`COLUMN` to leave out, by name or index; repeat, or separate by commas")
	f.Var(choice(&d.Missing, "error", "drop", "mean"), "missing", "`POLICY` for missing values: error refuses the file, drop leaves out the row, mean takes the mean of the column")
	f.Var(&value{kind: "CHAR", set: func(s string) error { return setComma(&d.Comma, s) }}, "comma", "`CHAR` that separates columns, or the word tab (default: detected)")
}

func bindSplit(f *pflag.FlagSet, s *studyfile.File) {
	f.Float64Var(&s.Simulate.TestFraction, "test-fraction", s.Simulate.TestFraction, "`SHARE` of the rows kept back for the querier, between 0 and 1")
	f.Uint64Var(&s.Training.Seed, "seed", s.Training.Seed, "public `NUMBER` that fixes synthetic data, split and order of rows; never the cryptography")
}

func bindParties(f *pflag.FlagSet, s *studyfile.File) {
	f.IntVar(&s.Parties.Count, "parties", s.Parties.Count, "`N` data owners, 2 or more")
	f.IntVar(&s.Parties.Fanout, "fanout", s.Parties.Fanout, "`N` children per inner node of the tree that joins the parties")
	f.Float64Var(&s.Hosts.Mbit, "mbit", s.Hosts.Mbit, "bandwidth of the modelled network in `MBIT/S`")
	f.Float64Var(&s.Hosts.Latency, "latency", s.Hosts.Latency, "latency of the modelled network, one way, in `MS`")
}

func bindDealing(f *pflag.FlagSet, s *studyfile.Simulate) {
	f.Var(&value{text: s.Partition, kind: "HOW", set: func(text string) error { return setPartition(&s.Partition, text) }}, "partition", "`HOW` rows are dealt to parties: even, skewed (party i gets a share like 1/i), label (sorted by label), column:NAME (sorted by a feature)")
	f.IntVar(&s.Cores, "cores", s.Cores, "`N` parties that compute at the same time; 0 for all cores of this machine")
}

func (o *options) bindTraining(f *pflag.FlagSet) {
	m, t := &o.file.Model, &o.file.Training
	boolean(f, "regression", "linear regression of a numeric label instead of logistic regression of a class", func(on bool) {
		m.Kind, m.Loss.Name, o.file.Data.Target = studyfile.Logistic, "logistic", "class"
		if on {
			m.Kind, m.Loss.Name, o.file.Data.Target = studyfile.Linear, "squared", "number"
		}
	})
	f.Float64Var(&o.file.Data.TargetBound, "max-target", 0, "public `BOUND` of the label of a regression; 0 takes the largest of the table, and lists it as opened")
	f.IntVar(&t.Epochs, "epochs", t.Epochs, "`N` passes over the rows")
	f.IntVar(&t.Batch, "batch", t.Batch, "`ROWS` of a party in a step; 0 for as many as fit in one ciphertext")
	f.Float64Var(&t.Rate, "rate", t.Rate, "learning `RATE` of the first step")
	f.Float64Var(&t.Schedule.Decay, "decay", t.Schedule.Decay, "step k, counted from 0, learns at rate/(1 + `D`*k)")
	f.Float64Var(&t.L2, "l2", t.L2, "weight decay `L`: the ridge penalty")
	f.IntVar(&m.Loss.Degree, "degree", m.Loss.Degree, "`DEGREE` of the polynomial in place of the sigmoid: 1, 3, 5 or 7")
	f.Float64Var(&m.Loss.Bound, "interval", m.Loss.Bound, "`BOUND` of the model's outputs: the polynomial is fitted on [-BOUND, BOUND]")
	f.Float64Var(&o.file.Preprocessing.Clip, "clip", o.file.Preprocessing.Clip, "cut standardised features at this many `STDS` from the mean")
}

func bindFlooding(f *pflag.FlagSet, c *studyfile.Crypto) {
	f.IntVar(&c.FloodingBits, "flooding", c.FloodingBits, "statistical security of opened values in `BITS`, 30 to 80")
}

func bindAttacker(f *pflag.FlagSet, c *studyfile.Crypto) {
	boolean(f, "quantum", "128-bit security against quantum attackers (slower); without it against classical ones", func(on bool) {
		if c.Attacker = "classical"; on {
			c.Attacker = "quantum"
		}
	})
}

// bindInsecure binds the flag that turns security off; it has several names.
func bindInsecure(f *pflag.FlagSet, s *studyfile.Simulate, name string) {
	f.BoolVar(&s.Insecure, name, s.Insecure, "NO SECURITY AT ALL: a toy ring that runs in seconds, to try the command out")
}

func (o *printing) bind(f *pflag.FlagSet) {
	f.Var(choice(&o.format, "text", "json"), "format", "`FORM` of the report, text or json; json is one line, the last on stdout")
	f.StringVar(&o.output, "output", o.output, "`FILE` for the report instead of stdout; it is replaced once the report is complete")
	o.bindLog(f)
}

// bindLog binds what is shown on stderr.
func (o *printing) bindLog(f *pflag.FlagSet) {
	f.BoolVarP(&o.quiet, "quiet", "q", o.quiet, "no progress on stderr")
	f.BoolVarP(&o.verbose, "verbose", "v", o.verbose, "the same as --log-level info")
	f.Var(&value{text: "warn", kind: "LEVEL", set: o.setLevel}, "log-level", "`LEVEL` of logs on stderr: debug (every message), info, warn or error")
}

// check reports flags that do not go together.
func (o *options) check(f *pflag.FlagSet) error {
	if err := o.input.check(f, o.file.Data); err != nil {
		return err
	}
	if n := len(o.file.Data.Classes); f.Changed("classes") && n != 2 {
		return usageError("give the label that means 0 and the one that means 1, such as --classes 2,4", "--classes names %d labels, want 2", n)
	}
	return o.printing.check(f)
}

func (o *input) check(f *pflag.FlagSet, d studyfile.Data) error {
	fileOnly, syntheticOnly := []string{"label", "classes", "drop", "missing", "comma"}, []string{"rows", "features"}
	for _, name := range fileOnly {
		if f.Changed(name) && len(o.data) == 0 {
			return usageError("name the file with --data, or drop --"+name, "--%s describes a file, but no --data is given", name)
		}
	}
	for _, name := range syntheticOnly {
		if f.Changed(name) && f.Changed("data") {
			return usageError("drop one of the two", "--%s is for synthetic data, but --data names a file", name)
		}
	}
	switch {
	case slices.Contains(o.data, ""):
		return usageError("name a file", "--data is empty")
	case len(o.data) > 0 && d.Label == "":
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

// boolean binds a flag that is given without a value, or with true or false.
func boolean(f *pflag.FlagSet, name, usage string, set func(on bool)) {
	f.Var(&value{text: "false", kind: "bool", set: func(s string) error {
		on, err := strconv.ParseBool(s)
		if err == nil {
			set(on)
		}
		return err
	}}, name, usage)
	f.Lookup(name).NoOptDefVal = "true"
}

func setComma(to *string, s string) error {
	if s == `\t` || s == "\t" {
		s = "tab"
	}
	r, n := utf8.DecodeRuneInString(s)
	if s != "tab" && (n == 0 || n != len(s) || r == utf8.RuneError) {
		return errors.New("want one character, or tab")
	}
	*to = s
	return nil
}

func setPartition(to *string, s string) error {
	known := []dataset.Partition{dataset.PartitionEven, dataset.PartitionSkewed, dataset.PartitionLabel}
	if column, ok := strings.CutPrefix(s, "column:"); !slices.Contains(known, dataset.Partition(s)) && (!ok || column == "") {
		return errors.New("want even, skewed, label or column:NAME")
	}
	*to = s
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
