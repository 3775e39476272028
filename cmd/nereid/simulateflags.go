package main

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/nereid-mhe/nereid/nn"
	"github.com/nereid-mhe/nereid/study"
)

// A simulation is the flags of the command simulate.
type simulation struct {
	cfg study.NetworkConfig // without what config adds
	input
	images    imageFiles
	synthetic bool
	printing

	hidden     []float64 // units by layer
	activation string
	degree     int       // 0 for one that suits the activation
	bound      []float64 // one, or by hidden layer
	fit        nn.Criterion
	loss       string
	lossDegree int
	lossBound  float64   // 0 for one that suits the loss
	gain       []float64 // one, or by layer; none for what suits the activation
	epochs     int       // 0 for steps
}

// defaultSimulation returns the settings without flags.
func defaultSimulation() *simulation {
	d := study.Default().Common
	d.Name, d.Parties, d.Fanout, d.Clip = "simulation", 3, 0, 4
	return &simulation{
		cfg:   study.NetworkConfig{Common: d, Optimiser: nn.Optimiser{Rate: 0.2}, Steps: 20},
		input: defaultInput(), printing: defaultPrinting(),
		hidden: []float64{16}, activation: "cubic", bound: []float64{3}, loss: "squared", lossDegree: 3,
	}
}

// groups binds flags to o.
func (o *simulation) groups() []group {
	return []group{
		{"Data", flagSet(o.bindData)},
		{"Parties and network", flagSet(o.bindParties)},
		{"Model", flagSet(o.bindModel)},
		{"Training", flagSet(o.bindTraining)},
		{"Security", flagSet(func(f *pflag.FlagSet) {
			bindSecurity(f, &o.cfg.Common, "insecure")
			f.BoolVar(&o.cfg.Insecure, toyFlag[2:], false, "the same as --insecure, for those who know the demo")
		})},
		{"Output", flagSet(o.bindOutput)},
	}
}

func (o *simulation) bindData(f *pflag.FlagSet) {
	o.input.bind(f)
	f.Lookup("data").Usage = "text `FILE` with a row per sample, separated by comma, semicolon or tab"
	f.Lookup("classes").Usage = "the labels in the file that mean 0, 1, 2, …, as `A,B,C` (default: whole numbers from 0)"
	f.StringVar(&o.images.images, "images", "", "idx `FILE` of images, plain or with gzip, in place of --data")
	f.StringVar(&o.images.labels, "labels", "", "idx `FILE` of their labels")
	f.StringVar(&o.images.testImages, "test-images", "", "idx `FILE` of images to test on; without it a share of --images")
	f.StringVar(&o.images.testLabels, "test-labels", "", "idx `FILE` of their labels")
	f.BoolVar(&o.synthetic, "synthetic", false, "made-up data of two classes: Gaussian features in different units; the default without a file")
	bindSplit(f, &o.cfg.Common)
	f.IntVar(&o.cfg.Predict, "predict", 0, "`ROWS` of the test whose outputs are computed under encryption and opened to a querier")
	f.Lookup("test-fraction").Usage = "`SHARE` of the rows kept back for the test, between 0 and 1"
	f.Lookup("seed").Usage = "public `NUMBER` that fixes synthetic data, split, order of rows and initial weights; never the cryptography"
	f.Float64Var(&o.cfg.Unit, "unit", 0, "`NUMBER` that centred features are divided by; 0 for the standard deviation of each (default 0.5 for images)")
	f.Float64Var(&o.cfg.Floor, "floor", 0, "`NUMBER` added to standard deviations, so that columns that hardly vary, or are constant, stay small")
	f.Float64Var(&o.cfg.Clip, "clip", o.cfg.Clip, "cut scaled features at this `BOUND`")
}

func (o *simulation) bindParties(f *pflag.FlagSet) {
	bindParties(f, &o.cfg.Common)
	f.Lookup("fanout").Usage = "`N` children per inner node of the trees that join the parties; 0 puts every party under every other's root"
}

func (o *simulation) bindModel(f *pflag.FlagSet) {
	names := nn.ActivationNames()
	f.Var(&value{text: "16", kind: "UNITS", set: o.setHidden}, "hidden", "`UNITS` of the hidden layers, such as 64,64, or none")
	f.Var(choice(&o.activation, names...), "activation", "`FUNCTION` of the hidden layers: "+strings.Join(names, ", "))
	f.IntVar(&o.degree, "degree", 0, "`DEGREE` of the polynomial in place of the activation; 0 for 2 or 3, as suits it")
	f.Var(numbers(&o.bound, "3"), "bound", "arguments of activations are expected in [-BOUND, BOUND], one `BOUND` or one per hidden layer")
	f.Var(&value{text: "least-squares", kind: "word", set: o.setFit}, "fit", "`CRITERION` of the polynomial: least-squares or minimax")
	f.Var(numbers(&o.gain, ""), "gain", "initial weights have the variance `GAIN`/inputs, one or one per layer (default: by activation; 1 for outputs)")
	f.IntVar(&o.cfg.Outputs, "outputs", 0, "`N` outputs: 1 for two classes or a regression, else one per class; 0 for what the classes say")
	f.BoolVar(&o.cfg.Regression, "regression", false, "predict a number instead of a class")
	f.Float64Var(&o.cfg.MaxTarget, "max-target", 0, "public `BOUND` of the label of a regression; 0 takes the largest of the data, and lists it as opened")
	f.Var(choice(&o.loss, "squared", "logistic"), "loss", "`LOSS`: squared or logistic")
	f.IntVar(&o.lossDegree, "loss-degree", o.lossDegree, "`DEGREE` of the polynomial in place of the sigmoid of the logistic loss: 1, 3, 5 or 7")
	f.Float64Var(&o.lossBound, "loss-bound", 0, "outputs are expected in [-BOUND, BOUND]; 0 for 3 with the squared loss, 8 with the logistic one")
	f.Lookup("loss-bound").Usage = "`BOUND` of outputs, expected in [-BOUND, BOUND]; 0 for 3 with the squared loss, 8 with the logistic one"
}

func (o *simulation) bindTraining(f *pflag.FlagSet) {
	opt := &o.cfg.Optimiser
	f.IntVar(&o.cfg.Steps, "steps", o.cfg.Steps, "`N` training steps")
	f.IntVar(&o.epochs, "epochs", 0, "`N` passes over the rows, in place of --steps")
	f.IntVar(&o.cfg.Batch, "batch", 0, "`ROWS` of a party in a step; 0 for as many as fit, or as the smallest party has")
	f.Float64Var(&opt.Rate, "rate", opt.Rate, "learning `RATE`")
	f.Var(numbers(&opt.Layers, ""), "rates", "`FACTORS` of the rate by layer, that of the outputs included, such as 1,0.5")
	f.Float64Var(&opt.Momentum, "momentum", 0, "`M`, 0 or more and less than 1")
	f.BoolVar(&opt.Nesterov, "nesterov", false, "Nesterov's method; costs a level")
	f.Float64Var(&opt.L2, "l2", 0, "weight decay `L` of all but biases")
	f.IntVar(&opt.Schedule.Warmup, "warmup", 0, "`STEPS` over which the rate rises to its value")
	f.Float64Var(&opt.Schedule.Power, "power", 0, "the rate falls as (1 - step/steps)^`P`; 1 for linearly, 0 for not")
	f.Float64Var(&opt.Schedule.Decay, "decay", 0, "step k, counted from 0, learns at rate/(1 + `D`*k)")
}

func (o *simulation) bindOutput(f *pflag.FlagSet) {
	o.printing.bind(f)
	f.StringVar(&o.cfg.Checkpoint, "checkpoint", "", "`FILE` for the state after every step, from which the same command goes on; holds the SECRETS of all simulated parties")
}

// check reports flags that do not go together, and carries over those that stand
// for two settings.
func (o *simulation) check(f *pflag.FlagSet) error {
	if err := o.input.check(f); err != nil {
		return err
	}
	if err := o.checkImages(f); err != nil {
		return err
	}
	for _, given := range []string{"data", "images"} {
		for _, made := range []string{"synthetic", "rows", "features"} {
			if f.Changed(given) && f.Changed(made) {
				return usageError("drop one of the two", "--%s is for synthetic data, but --%s names a file", made, given)
			}
		}
	}
	switch n := len(o.schema.Classes); {
	case f.Changed("classes") && n < 2:
		return usageError("give the labels that mean 0, 1 and so on, such as --classes 2,4", "--classes names %s, want 2 or more", count(n, "label"))
	case n > 2 && o.cfg.Outputs > 0 && o.cfg.Outputs != n, n == 2 && o.cfg.Outputs > 2:
		return usageError("drop --outputs", "--outputs %d, but --classes names %d labels", o.cfg.Outputs, n)
	case o.data == "" && !o.images.given() && o.cfg.Outputs > 2:
		return usageError("name a file with --data or --images", "--outputs %d, but synthetic data has two classes", o.cfg.Outputs)
	case o.cfg.Regression && o.loss == "logistic" && f.Changed("loss"):
		return usageError("drop one of the two", "--loss logistic is for classes, but --regression is given")
	case f.Changed("max-target") && !o.cfg.Regression:
		return usageError("drop it", "--max-target is for --regression")
	case f.Changed("epochs") && f.Changed("steps"):
		return usageError("drop one of the two", "--epochs and --steps both say how long to train")
	case f.Changed("epochs") && o.epochs < 1:
		return usageError("give 1 or more", "--epochs %d", o.epochs)
	case f.Changed("checkpoint") && o.cfg.Checkpoint == "":
		return usageError("name a file", "--checkpoint is empty")
	}
	return o.printing.check(f)
}

func (o *simulation) checkImages(f *pflag.FlagSet) error {
	i := o.images
	for _, pair := range []struct{ name, value, needs, there string }{
		{"images", i.images, "labels", i.labels},
		{"labels", i.labels, "images", i.images},
		{"test-images", i.testImages, "test-labels", i.testLabels},
		{"test-labels", i.testLabels, "test-images", i.testImages},
		{"test-images", i.testImages, "images", i.images},
	} {
		switch {
		case f.Changed(pair.name) && pair.value == "":
			return usageError("name a file", "--%s is empty", pair.name)
		case pair.value != "" && pair.there == "":
			return usageError(fmt.Sprintf("name the file with --%s", pair.needs), "--%s needs --%s", pair.name, pair.needs)
		}
	}
	if !i.given() {
		return nil
	}
	for _, other := range []string{"data", "regression"} {
		if f.Changed(other) {
			return usageError("drop one of the two", "--images and --%s do not go together", other)
		}
	}
	if i.testImages != "" && f.Changed("test-fraction") {
		return usageError("drop one of the two", "--test-fraction keeps rows back, but --test-images names others")
	}
	return nil
}

func (o *simulation) setHidden(s string) error {
	if s == "none" {
		o.hidden = nil
		return nil
	}
	list, err := parseNumbers(s)
	for _, u := range list {
		if err == nil && (u != math.Trunc(u) || u < 1 || u > 1<<16) {
			err = errors.New("")
		}
	}
	if err != nil {
		return errors.New("want whole numbers of units, such as 64 or 64,64, or none")
	}
	o.hidden = list
	return nil
}

func (o *simulation) setFit(s string) error {
	by, ok := map[string]nn.Criterion{"least-squares": nn.LeastSquares, "minimax": nn.Minimax}[s]
	if !ok {
		return errors.New("want least-squares or minimax")
	}
	o.fit = by
	return nil
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
