package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nereid-mhe/nereid/dataset"
	"github.com/nereid-mhe/nereid/identity"
	"github.com/nereid-mhe/nereid/nn"
	"github.com/nereid-mhe/nereid/params"
	"github.com/nereid-mhe/nereid/protocols"
	"github.com/nereid-mhe/nereid/protocols/transport"
	"github.com/nereid-mhe/nereid/roster"
	"github.com/nereid-mhe/nereid/study"
	"github.com/nereid-mhe/nereid/studyfile"
)

var errInterrupted = errors.New("interrupted: no report was written")

// A failure is an error as the user sees it.
type failure struct {
	code   int
	err    error
	remedy string // what to do about it; may be empty
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// usageError returns a failure of the command line.
func usageError(remedy, format string, args ...any) error {
	return &failure{exitUsage, fmt.Errorf(format, args...), remedy}
}

// explain finds exit code and remedy of an error.
func explain(err error) *failure {
	var f *failure
	var data *dataset.Error
	var rate *study.RateError
	var checkpoint *study.CheckpointError
	var from *fromFile
	var bad *studyfile.Violation
	var who *identity.Error
	var agreed *roster.Error
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &rate):
		remedy := fmt.Sprintf("--rate %g works", rate.Rate)
		if errors.As(err, &from) {
			remedy = fmt.Sprintf("a training.rate of %g in %s works", rate.Rate, from.path)
		}
		return &failure{exitRefused, rate.Err, remedy}
	case errors.As(err, &checkpoint):
		code := exitRefused
		if checkpoint.Err != nil {
			code = exitUsage
		}
		return &failure{code, err, checkpoint.Remedy}
	case errors.As(err, &who):
		code := exitUntrusted
		if who.Reason == identity.Invalid {
			code = exitUsage
		}
		return &failure{code, err, who.Remedy}
	case errors.As(err, &agreed):
		code := exitUntrusted
		if agreed.Reason == roster.Invalid || agreed.Reason == roster.Duplicate {
			code = exitRefused
		}
		return &failure{code, err, agreed.Remedy}
	case errors.As(err, &data):
		return &failure{exitData, err, data.Remedy}
	case errors.As(err, &bad) && bad.File != "":
		return &failure{exitRefused, err, "docs/study.md describes the fields"}
	case errors.As(err, &bad) && errors.As(err, &from):
		return &failure{exitRefused, err, fmt.Sprintf("change %s; docs/study.md describes the fields", from.path)}
	case refused(err):
		return &failure{exitRefused, err, change(err)}
	}
	for _, k := range kinds {
		if k.is(err) {
			return &failure{k.code, err, k.remedy}
		}
	}
	return &failure{exitInternal, err, ""}
}

// kinds are errors that the program meets on a node, which no restart cures, and what to
// do about them if they do not say so themselves.
var kinds = []struct {
	is     func(error) bool
	code   int
	remedy string
}{
	{wraps(study.ErrRolledBack), exitUntrusted, ""},
	{wraps(study.ErrResume), exitRefused, ""},
	{wraps(study.ErrDamaged), exitUntrusted, "check the disk; do not bring an older copy back: if it is lost, the study needs a new lock"},
	{isA[*protocols.CorruptError], exitUntrusted, "check the disk; do not bring an older copy back: if it is lost, the study needs a new lock"},
	{wraps(protocols.ErrBound), exitUntrusted, `no share was made; stop all nodes, and compare their journals with "nereid journal verify"`},
	{wraps(protocols.ErrForgotten), exitUntrusted, `no share was made; stop all nodes, and compare their journals with "nereid journal verify"`},
	{wraps(protocols.ErrInUse), exitUsage, "end the other process: a party has one at a time"},
	{wraps(studyfile.ErrMismatch), exitUntrusted, "do not use this lock: ask the founder"},
	{isA[*transport.PeerError], exitUntrusted, ""},
	{isA[*protocols.BudgetError], exitRefused, "a higher limit is a new study"},
	{wraps(transport.ErrDeclined), exitRefused, ""},
}

func wraps(target error) func(error) bool {
	return func(err error) bool { return errors.Is(err, target) }
}

func isA[E error](err error) bool { return errors.As(err, new(E)) }

// refused reports whether err is about a study that cannot be run as described.
func refused(err error) bool {
	return errors.Is(err, studyfile.ErrFile) || errors.Is(err, study.ErrConfig) || errors.Is(err, nn.ErrModel) || errors.Is(err, params.ErrConfig)
}

// settings maps words of the messages of packages study and nn to the flags behind
// them, and to the fields of a study file.
var settings = []struct{ words, flag, field string }{
	{"parties: ", "--parties", "parties"},
	{"a fan-out of", "--fanout", "parties.fanout"},
	{"a test fraction of", "--test-fraction", "simulate.test_fraction"},
	{" of degree ", "--degree", "model.hidden or model.loss.degree"},
	{"an interval of", "--interval", "model.loss.bound"},
	{"features cut at", "--clip", "preprocessing.clip"},
	{"targets bounded by", "--max-target", "data.target_bound"},
	{" has target ", "--max-target", "data.target_bound"},
	{" epochs: ", "--epochs", "training.epochs"},
	{"a batch of", "--batch", "training.batch"},
	{"flooding of", "--flooding", "crypto.flooding_bits"},
	{" Mbit/s and", "--mbit or --latency", "hosts"},
	{" cores", "--cores", "simulate.cores"},
	{"model: learning rate ", "--rate", "training.rate"},
	{"model: decay ", "--decay", "training.schedule.decay"},
	{"model: L2 ", "--l2", "training.l2"},
	{"an output of the clear twin", "--rate, --interval or --clip", "training.rate, model.loss.bound or preprocessing.clip"},
	{"levels between refreshes", "--degree", "model.hidden or model.loss.degree"},

	{" loss with degree ", "--loss-degree", "model.loss.degree"},
	{"data.feature_count", "--features", "data.feature_count"},
	{"a link of", "--mbit or --latency", "hosts"},
	{"GiB needed", "--memory", "hosts.memory_gib"},
	{"precision: weights within", "--max-weight-error", "crypto.max_weight_error"},
	{" outputs: want", "--outputs", "model.outputs"},
	{"a regression with", "--outputs", "model.outputs"},
	{" steps: want", "--steps", "training.steps"},
	{"features divided by", "--unit", "preprocessing.unit"},
	{"a floor of", "--floor", "preprocessing.floor"},
	{"by standard deviations at once", "--floor", "preprocessing.floor"},
	{" rows to predict", "--predict", "opening.queriers"},
	{", target ", "--max-target", "data.target_bound"},
	{"outside the declared classes", "--outputs or --classes", "model.outputs or data.classes"},
	{" rates of layers", "--rates", "training.layer_rates"},
	{" of the rate of layer", "--rates", "training.layer_rates"},
	{"model: momentum ", "--momentum", "training.momentum"},
	{"method without momentum", "--momentum", "training.momentum"},
	{"a warm-up of", "--warmup", "training.schedule.warmup"},
	{"falls with power", "--power", "training.schedule.power"},
	{" with a gain of", "--gain", "the gains under model"},
	{"model: a gain of", "--gain", "the gains under model"},
	{"activation on [", "--bound", "the bounds under model.hidden"},
	{"a loss on the interval", "--loss-bound", "model.loss.bound"},
	{"lost in rounding", "--bound", "the bounds under model.hidden"},
	{"of the clear twin the outputs", "--rate, --gain or --loss-bound", "training.rate, the gains or model.loss.bound"},
	{"of the clear twin the arguments", "--rate, --gain or --bound", "training.rate, the gains or the bounds"},
	{"of the clear twin a value", "--rate", "training.rate"},
	{"of the clear twin a summed", "--rate or --batch", "training.rate or training.batch"},
	{"a weight of the clear twin", "--rate or --l2", "training.rate or training.l2"},
	{"no parameters fit the network", "--hidden, --degree, --batch or --parties", "model.hidden, training.batch or parties"},
	{"the widest layer", "--hidden", "model.hidden"},
}

// A fromFile is an error about a study that a file describes.
type fromFile struct {
	path string
	err  error
}

func (e *fromFile) Error() string { return e.err.Error() }
func (e *fromFile) Unwrap() error { return e.err }

// inFile marks an error as one about a study of a file, if the study is of a file.
func (o *described) inFile(err error) error {
	if err == nil || o.path == "" {
		return err
	}
	return &fromFile{o.path, err}
}

// change names what of a refused study should be changed: flags, or fields of the file
// that err is from.
func change(err error) string {
	var file *fromFile
	inFile := errors.As(err, &file)
	var names []string
	for _, s := range settings {
		name := s.flag
		if inFile {
			name = s.field
		}
		if strings.Contains(err.Error(), s.words) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	switch {
	case inFile && len(names) == 0:
		return "change " + file.path
	case inFile:
		return fmt.Sprintf("change %s in %s", strings.Join(names, ", "), file.path)
	case len(names) == 0:
		return `see "nereid help" and --help of the command for the settings of a study`
	}
	return "change " + strings.Join(names, ", ")
}

// show writes the failure as one message: text, or one JSON object.
func (f *failure) show(w io.Writer, asJSON bool) {
	lines, apart := f.lines()
	if asJSON {
		type object struct {
			Code    int    `json:"code"`
			Message string `json:"message"`
			Remedy  string `json:"remedy"`
		}
		b, _ := json.Marshal(map[string]object{"error": {f.code, strings.Join(lines, "\n"), f.remedy}}) // strings and an int
		fmt.Fprintf(w, "%s\n", b)
		return
	}
	const prefix = "nereid: "
	text := strings.Join(lines, "\n"+strings.Repeat(" ", len(prefix)))
	if apart && f.remedy != "" {
		text += "; " + f.remedy
	}
	fmt.Fprintf(w, "%s%s\n", prefix, text)
}

// lines returns the message, a line per problem. A remedy that all of them share
// is cut off; apart reports whether lines are without the remedy.
func (f *failure) lines() (lines []string, apart bool) {
	lines = strings.Split(f.Error(), "\n")
	shared, last := 0, len(lines)-1
	for i, l := range lines {
		lines[i] = withoutPackage(l)
		if strings.HasSuffix(l, "; "+f.remedy) {
			shared++
		}
	}
	if shared == 0 {
		return lines, true
	}
	if shared < len(lines) && !(shared == last && strings.HasSuffix(lines[last], " more")) {
		return lines, false
	}
	for i, l := range lines {
		lines[i] = strings.TrimSuffix(l, "; "+f.remedy)
	}
	return lines, true
}

// withoutPackage cuts the name of the package off a line of an error: a user of
// the command has no use for it.
func withoutPackage(line string) string {
	for _, p := range []string{"dataset: ", "study: ", "nn: model: ", "params: refused: ", "identity: ", "roster: "} {
		line = strings.TrimPrefix(line, p)
	}
	return line
}

// flagError words the errors of flag parsing.
func flagError(c *cobra.Command, err error) error {
	remedy := fmt.Sprintf("see %q", c.CommandPath()+" --help")
	var value *pflag.InvalidValueError
	if !errors.As(err, &value) {
		return usageError(remedy, "%w", err)
	}
	var number *strconv.NumError
	want := value.Unwrap().Error()
	if errors.As(err, &number) {
		switch kind := value.GetFlag().Value.Type(); {
		case errors.Is(err, strconv.ErrRange):
			want = "the number is out of range"
		case kind == "float64":
			want = "want a number"
		case kind == "uint64":
			want = "want a whole number, 0 or more"
		case kind == "bool":
			want = "want true or false, or no value at all"
		default:
			want = "want a whole number"
		}
	}
	return usageError(remedy, "--%s %q: %s", value.GetFlag().Name, value.GetValue(), want)
}
