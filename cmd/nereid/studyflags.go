package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/nereid-mhe/nereid/nn"
	"github.com/nereid-mhe/nereid/studyfile"
)

// A described is a study of a network as flags describe it, or any study as a file
// does, which flags may repeat.
type described struct {
	path string // of the file; empty for flags alone
	file studyfile.File
	layers
}

func (o *described) bindStudy(f *pflag.FlagSet) {
	f.StringVar(&o.path, "study", "", "study `FILE`, which says all that flags can say about the study; other flags must agree with it")
}

func (o *described) bindModel(f *pflag.FlagSet) {
	m, d := &o.file.Model, &o.file.Data
	o.layers.bind(f, m.Hidden)
	f.IntVar(&m.Outputs, "outputs", m.Outputs, "`N` outputs: 1 for two classes or a regression, else one per class; 0 for what the classes say")
	boolean(f, "regression", "predict a number instead of a class", func(on bool) {
		if d.Target = "class"; on {
			d.Target = "number"
		}
	})
	f.Float64Var(&d.TargetBound, "max-target", 0, "public `BOUND` of the label of a regression; 0 takes the largest of the data, and lists it as opened")
	f.Var(choice(&m.Loss.Name, "squared", "logistic"), "loss", "`LOSS`: squared or logistic")
	f.IntVar(&m.Loss.Degree, "loss-degree", 0, "`DEGREE` of the polynomial in place of the sigmoid of the logistic loss: 1, 3, 5 or 7; 0 for 3")
	f.Float64Var(&m.Loss.Bound, "loss-bound", 0, "`BOUND` of outputs, expected in minus BOUND to BOUND; 0 for 3 with the squared loss, 8 with the logistic one")
}

func (o *described) bindTraining(f *pflag.FlagSet) {
	t := &o.file.Training
	f.IntVar(&t.Steps, "steps", t.Steps, "`N` training steps")
	f.IntVar(&t.Batch, "batch", 0, "`ROWS` of a party in a step; 0 for as many as fit, or as the smallest party has")
	f.Float64Var(&t.Rate, "rate", t.Rate, "learning `RATE`")
	f.Var(numbers(&t.LayerRates, ""), "rates", "`FACTORS` of the rate by layer, that of the outputs included, such as 1,0.5")
	f.Float64Var(&t.Momentum, "momentum", 0, "`M`, 0 or more and less than 1")
	f.BoolVar(&t.Nesterov, "nesterov", false, "Nesterov's method; costs a level")
	f.Float64Var(&t.L2, "l2", 0, "weight decay `L` of all but biases")
	f.IntVar(&t.Schedule.Warmup, "warmup", 0, "`STEPS` over which the rate rises to its value")
	f.Float64Var(&t.Schedule.Power, "power", 0, "the rate falls as (1 - step/steps)^`P`; 1 for linearly, 0 for not")
	f.Float64Var(&t.Schedule.Decay, "decay", 0, "step k, counted from 0, learns at rate/(1 + `D`*k)")
}

// bindParties binds the flags of parties and the network.
func (o *described) bindParties(f *pflag.FlagSet) {
	bindParties(f, &o.file)
	f.Lookup("fanout").Usage = "`N` children per inner node of the trees that join the parties; 0 puts every party under every other's root"
}

// settle completes the study by the flags that were given, or reads it from its file,
// which they must not contradict. A file without a section for simulations leaves
// that to flags.
func (o *described) settle(f *pflag.FlagSet) error {
	var given []*pflag.Flag
	f.Visit(func(flag *pflag.Flag) { given = append(given, flag) })
	if o.path == "" {
		if f.Changed("study") {
			return usageError("name a file", "--study is empty")
		}
		return o.layers.apply(&o.file, f.Changed)
	}
	file, err := readStudy(o.path)
	if err != nil {
		return err
	}
	var repeat []func() error
	for _, flag := range given {
		repeat = append(repeat, again(flag)) // before the values that flags point to are gone
	}
	silent, simulate := file.Simulate == nil, o.file.Simulate
	if !silent && simulate != nil {
		*simulate = *file.Simulate
	}
	o.file, o.file.Simulate = file, simulate // where the flags point to
	for i, flag := range given {
		before := o.file.WithDefaults()
		if err := repeat[i](); err != nil {
			return err
		}
		if err := o.layers.apply(&o.file, func(name string) bool { return name == flag.Name }); err != nil {
			return err
		}
		for _, d := range studyfile.Differences(before, o.file.WithDefaults()) {
			if !silent || !strings.HasPrefix(d.Field, "simulate.") {
				return o.contradiction(flag.Name, d)
			}
		}
	}
	return nil
}

func (o *described) contradiction(flag string, d studyfile.Difference) error {
	has := fmt.Sprintf("where %s is %s", d.Field, d.A)
	if d.A == "" {
		has = "which has no " + d.Field
	}
	return usageError(fmt.Sprintf("drop --%s, or change the file", flag), "--%s contradicts %s, %s", flag, o.path, has)
}

// again returns a function that gives a flag the value that it has now.
func again(flag *pflag.Flag) func() error {
	if list, ok := flag.Value.(pflag.SliceValue); ok {
		values := list.GetSlice()
		return func() error { return list.Replace(values) }
	}
	text := flag.Value.String()
	return func() error { return flag.Value.Set(text) }
}

// readStudy reads a study file.
func readStudy(path string) (studyfile.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return studyfile.File{}, usageError("name a study file that exists and can be read", "%w", err)
	}
	defer f.Close()                                              // opened for reading: nothing to lose
	b, err := io.ReadAll(io.LimitReader(f, studyfile.MaxSize+1)) // one more is too large
	if err != nil {
		return studyfile.File{}, usageError("name a study file that exists and can be read", "%w", err)
	}
	return studyfile.Parse(path, b)
}

// layers are the flags of the hidden layers.
type layers struct {
	units       []int
	activation  string
	degree      int
	bound, gain []float64 // one, or by layer; gains with that of the outputs
	fit         string
}

// bind binds the flags, with defaults as in hidden, all alike but for their units.
func (l *layers) bind(f *pflag.FlagSet, hidden []studyfile.Layer) {
	var units []string
	for _, h := range hidden {
		units = append(units, strconv.Itoa(h.Units))
	}
	l.activation, l.fit = hidden[0].Activation, hidden[0].Fit
	f.Var(&value{text: strings.Join(units, ","), kind: "UNITS", set: l.setUnits}, "hidden", "`UNITS` of the hidden layers, such as 64,64, or none")
	f.Var(choice(&l.activation, nn.ActivationNames()...), "activation", "`FUNCTION` of the hidden layers: "+strings.Join(nn.ActivationNames(), ", "))
	f.IntVar(&l.degree, "degree", 0, "`DEGREE` of the polynomial in place of the activation; 0 for 2 or 3, as suits it")
	f.Var(numbers(&l.bound, fmt.Sprint(hidden[0].Bound)), "bound", "arguments of activations are expected in [-BOUND, BOUND], one `BOUND` or one per hidden layer")
	f.Var(choice(&l.fit, "least-squares", "minimax"), "fit", "`CRITERION` of the polynomial: least-squares or minimax")
	f.Var(numbers(&l.gain, ""), "gain", "initial weights have the variance `GAIN`/inputs, one or one per layer (default: by activation; 1 for outputs)")
}

func (l *layers) setUnits(s string) error {
	l.units = nil
	if s == "none" {
		return nil
	}
	list, err := parseNumbers(s)
	for _, u := range list {
		if err == nil && (u != math.Trunc(u) || u < 1 || u > 1<<16) {
			err = errors.New("not a number of units")
		}
		l.units = append(l.units, int(u))
	}
	if err != nil {
		return errors.New("want whole numbers of units, such as 64 or 64,64, or none")
	}
	return nil
}

// apply changes the layers of a study by the flags that were given.
func (l *layers) apply(s *studyfile.File, given func(flag string) bool) error {
	m := &s.Model
	m.Hidden = slices.Clone(m.Hidden)
	if given("hidden") {
		for len(m.Hidden) < len(l.units) {
			m.Hidden = append(m.Hidden, studyfile.NewLayer(0))
		}
		m.Hidden = m.Hidden[:len(l.units)]
		for i, u := range l.units {
			m.Hidden[i].Units = u
		}
	}
	n := len(m.Hidden)
	for _, list := range []struct {
		flag string
		len  int
		most int
		of   string
	}{
		{"bound", len(l.bound), n, "hidden layers"},
		{"gain", len(l.gain), n + 1, "layers, that of the outputs included"},
	} {
		if given(list.flag) && list.len > 1 && list.len != list.most {
			return usageError(fmt.Sprintf("give one number, or %d", list.most), "--%s has %d numbers for %d %s", list.flag, list.len, list.most, list.of)
		}
	}
	if k := len(s.Training.LayerRates); given("rates") && k != n+1 {
		return usageError(fmt.Sprintf("give %d factors", n+1), "--rates has %d numbers for %d layers, that of the outputs included", k, n+1)
	}
	for i := range m.Hidden {
		h := &m.Hidden[i]
		if given("activation") {
			h.Activation = l.activation
		}
		if given("degree") {
			h.Degree = l.degree
		}
		if given("bound") {
			h.Bound = at(l.bound, i)
		}
		if given("fit") {
			h.Fit = l.fit
		}
		if given("gain") {
			h.Gain = at(l.gain, i)
		}
	}
	if given("gain") {
		m.OutputGain = at(l.gain, n)
	}
	return nil
}

// at returns the number of a layer: the only one of a list, or its own.
func at(list []float64, i int) float64 {
	if len(list) == 1 {
		return list[0]
	}
	return list[i]
}

// numbers returns a flag that takes one number or several.
func numbers(p *[]float64, text string) *value {
	return &value{text: text, kind: "numbers", set: func(s string) error {
		list, err := parseNumbers(s)
		if err != nil {
			return errors.New("want a number, or several separated by commas")
		}
		*p = list
		return nil
	}}
}

func parseNumbers(s string) ([]float64, error) {
	var list []float64
	for field := range strings.SplitSeq(s, ",") {
		v, err := strconv.ParseFloat(strings.TrimSpace(field), 64)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, errors.New("not a number")
		}
		list = append(list, v)
	}
	return list, nil
}
