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
	"github.com/nereid-mhe/nereid/roster"
	"github.com/nereid-mhe/nereid/study"
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
	var file *study.CheckpointError
	var who *identity.Error
	var agreed *roster.Error
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &rate):
		return &failure{exitRefused, rate.Err, fmt.Sprintf("--rate %g works", rate.Rate)}
	case errors.As(err, &file):
		code := exitRefused
		if file.Err != nil {
			code = exitUsage
		}
		return &failure{code, err, file.Remedy}
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
	case refused(err):
		return &failure{exitRefused, err, flagsFor(err.Error())}
	}
	return &failure{exitInternal, err, ""}
}

// refused reports whether err is about a study that cannot be run as described.
func refused(err error) bool {
	return errors.Is(err, study.ErrConfig) || errors.Is(err, nn.ErrModel) || errors.Is(err, params.ErrConfig)
}

// settings maps words of the messages of packages study and nn to the flags
// behind them.
var settings = []struct{ words, flag string }{
	{"parties: ", "--parties"},
	{"a fan-out of", "--fanout"},
	{"a test fraction of", "--test-fraction"},
	{" of degree ", "--degree"},
	{"an interval of", "--interval"},
	{"features cut at", "--clip"},
	{"targets bounded by", "--max-target"},
	{" has target ", "--max-target"},
	{" epochs: ", "--epochs"},
	{"a batch of", "--batch"},
	{"flooding of", "--flooding"},
	{" Mbit/s and", "--mbit or --latency"},
	{" cores", "--cores"},
	{"model: learning rate ", "--rate"},
	{"model: decay ", "--decay"},
	{"model: L2 ", "--l2"},
	{"an output of the clear twin", "--rate, --interval or --clip"},
	{"levels between refreshes", "--degree"},

	{" outputs: want", "--outputs"},
	{"a regression with", "--outputs"},
	{" steps: want", "--steps"},
	{"features divided by", "--unit"},
	{"a floor of", "--floor"},
	{"by standard deviations at once", "--floor"},
	{" rows to predict", "--predict"},
	{", target ", "--max-target"},
	{"outside the declared classes", "--outputs or --classes"},
	{" rates of layers", "--rates"},
	{" of the rate of layer", "--rates"},
	{"model: momentum ", "--momentum"},
	{"method without momentum", "--momentum"},
	{"a warm-up of", "--warmup"},
	{"falls with power", "--power"},
	{" with a gain of", "--gain"},
	{"model: a gain of", "--gain"},
	{"activation on [", "--bound"},
	{"a loss on the interval", "--loss-bound"},
	{"lost in rounding", "--bound"},
	{"of the clear twin the outputs", "--rate, --gain or --loss-bound"},
	{"of the clear twin the arguments", "--rate, --gain or --bound"},
	{"of the clear twin a value", "--rate"},
	{"of the clear twin a summed", "--rate or --batch"},
	{"a weight of the clear twin", "--rate or --l2"},
	{"no parameters fit the network", "--hidden, --degree, --batch or --parties"},
	{"the widest layer", "--hidden"},
}

// flagsFor names the flags that a refused study should change.
func flagsFor(message string) string {
	var flags []string
	for _, s := range settings {
		if strings.Contains(message, s.words) && !slices.Contains(flags, s.flag) {
			flags = append(flags, s.flag)
		}
	}
	if len(flags) == 0 {
		return `see "nereid help" and --help of the command for the settings of a study`
	}
	return "change " + strings.Join(flags, ", ")
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
