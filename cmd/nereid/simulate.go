package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"math"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/nereid-mhe/nereid/dataset"
	"github.com/nereid-mhe/nereid/nn"
	"github.com/nereid-mhe/nereid/study"
)

const simulateLong = `Trains a network of several layers among parties that are all in this process: every
party with its own rows and secrets, on a modelled network. The parties make keys
together, standardise their columns, and train on encrypted weights; activations are
polynomials, and every party has its own tensors refreshed by all of them.

Before any key is made, the same training runs in the clear (the clear twin). It is
refused if its values leave what the polynomials and masks are made for, with a
learning rate that works if there is one.

The report compares accuracy with training in the clear, and says what the study
cost, how it was protected and what was opened. Because one process holds all secrets,
it also opens the weights, to check and score them. No real study can do that.

With --checkpoint the state is written to a file after every step, and the same
command goes on from there. THE FILE HOLDS THE SECRETS OF ALL PARTIES: it is for
simulations only.

Without flags: synthetic data, a hidden layer of 16 units, 3 parties, 128-bit security.`

const simulateExample = `  nereid simulate --insecure
  nereid simulate --data iris.csv --label species --classes setosa,versicolor,virginica \
      --hidden 16 --epochs 10
  nereid simulate --images train-images-idx3-ubyte.gz --labels train-labels-idx1-ubyte.gz \
      --test-images t10k-images-idx3-ubyte.gz --test-labels t10k-labels-idx1-ubyte.gz \
      --parties 10 --hidden 64,64 --bound 1.2 --gain 0.3,0.5,0.5 --momentum 0.9 --rate 0.3 \
      --steps 20 --checkpoint mnist.checkpoint`

func newSimulate() *cobra.Command {
	o := defaultSimulation()
	groups := o.groups()
	c := &cobra.Command{
		Use:     "simulate",
		Short:   "Train a network with all its parties in one process",
		Long:    simulateLong,
		Example: simulateExample,
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.check(c.Flags()); err != nil {
				return err
			}
			return o.run(c)
		},
	}
	addFlags(c, groups)
	_ = c.Flags().MarkHidden(toyFlag[2:]) // defined in groups
	return c
}

// run reads the data, runs the study and writes the report.
func (o *simulation) run(c *cobra.Command) error {
	out := output{o.output, c.OutOrStdout()}
	if err := out.check(); err != nil {
		return err
	}
	d, err := o.load()
	if err != nil {
		return err
	}
	cfg, err := o.config(d)
	if err != nil {
		return err
	}
	report, err := o.study(c, cfg, d)
	if err != nil {
		return err
	}
	if o.declares() {
		report.Openings = append(report.Openings, study.Opened{What: "largest absolute target, as a bound in the public plan", To: "all parties", Values: 1})
	}
	b, err := o.render(report, func(b *bytes.Buffer) { writeNetText(b, o, cfg, d, report) })
	if err != nil {
		return err
	}
	return out.write(b)
}

// A simData is the rows of a simulation. Without test rows a part of train is kept
// back for the test.
type simData struct {
	train, test dataset.Table
	source      source
	classes     int // 0 for a regression
}

// load returns the rows.
func (o *simulation) load() (d simData, err error) {
	switch {
	case o.images.given():
		d, err = o.images.read()
	case o.data != "":
		s := o.schema
		if s.Regression = o.cfg.Regression; !s.Regression && len(s.Classes) == 0 && o.cfg.Outputs > 1 {
			s.ClassCount = o.cfg.Outputs
		}
		in := o.input
		in.schema = s
		d.train, d.source, err = in.read(o.cfg.Seed)
		d.classes = max(2, len(s.Classes), s.ClassCount)
	default:
		d.train, d.source, err = o.input.read(o.cfg.Seed)
		d.classes = 2
	}
	if o.cfg.Regression {
		d.classes = 0
	}
	return d, err
}

// imageFiles are files in the idx format.
type imageFiles struct{ images, labels, testImages, testLabels string }

func (f imageFiles) given() bool { return f != imageFiles{} }

func (f imageFiles) read() (simData, error) {
	d := simData{source: source{name: f.images}}
	var err error
	if d.train, err = readImages(f.images, f.labels, "--images and --labels"); err != nil {
		return d, err
	}
	if f.testImages != "" {
		if d.test, err = readImages(f.testImages, f.testLabels, "--test-images and --test-labels"); err != nil {
			return d, err
		}
		if a, b := d.train.Dim(), d.test.Dim(); a != b {
			return d, &dataset.Error{File: f.testImages, Problem: fmt.Sprintf("images of %d pixels, those to train on have %d", b, a), Remedy: "use the files of the same set"}
		}
	}
	d.classes = 2
	for _, y := range slices.Concat(d.train.Y, d.test.Y) {
		d.classes = max(d.classes, int(y)+1)
	}
	return d, nil
}

func readImages(images, labels, flags string) (t dataset.Table, err error) {
	x, y, err := dataset.ReadIDX(images, labels)
	if err != nil {
		return t, unreadable(err, flags)
	}
	t.X = x
	for _, label := range y {
		t.Y = append(t.Y, float64(label))
	}
	return t, nil
}

// config completes the configuration of the study by what the data and the flags
// say.
func (o *simulation) config(d simData) (study.NetworkConfig, error) {
	cfg := o.cfg
	if cfg.Fanout == 0 {
		cfg.Fanout = max(1, cfg.Parties-1)
	}
	if cfg.Outputs == 0 {
		if cfg.Outputs = d.classes; d.classes <= 2 {
			cfg.Outputs = 1
		}
	}
	if o.declares() {
		for _, y := range slices.Concat(d.train.Y, d.test.Y) {
			cfg.MaxTarget = math.Max(cfg.MaxTarget, math.Abs(y))
		}
	}
	if cfg.Unit == 0 && cfg.Floor == 0 && o.images.given() {
		cfg.Unit = imageUnit
	}
	var err error
	if cfg.Loss, err = o.lossFunction(); err != nil {
		return cfg, err
	}
	if err := o.layers(&cfg); err != nil {
		return cfg, err
	}
	if cfg.Epochs = o.epochs; o.epochs > 0 {
		cfg.Steps = 0
	}
	return cfg, nil
}

// declares reports whether the bound of targets is taken from the data, which
// makes it public.
func (o *simulation) declares() bool { return o.cfg.Regression && o.cfg.MaxTarget == 0 }

// imageUnit is what centred grey levels between 0 and 1 are divided by: that of
// MNIST has a standard deviation of 0.31.
const imageUnit = 0.5

func (o *simulation) lossFunction() (nn.NetworkLoss, error) {
	bound := o.lossBound
	if o.loss == "squared" {
		if bound == 0 {
			bound = 3
		}
		return nn.SquaredLoss(bound), nil
	}
	if bound == 0 {
		bound = 8
	}
	if d := o.lossDegree; d < 1 || d > 7 || d%2 == 0 {
		return nn.NetworkLoss{}, &failure{exitRefused, fmt.Errorf("a logistic loss of degree %d: want 1, 3, 5 or 7", d), "change --loss-degree"}
	}
	l, err := nn.LogisticLoss(o.lossDegree, bound)
	if err != nil {
		err = &failure{exitRefused, err, "change --loss-bound or --loss-degree"}
	}
	return l, err
}

// layers makes the hidden layers.
func (o *simulation) layers(cfg *study.NetworkConfig) error {
	n := len(o.hidden)
	for _, l := range []struct {
		flag   string
		values []float64
		most   int
		of     string
	}{
		{"--bound", o.bound, n, "hidden layers"},
		{"--gain", o.gain, n + 1, "layers, that of the outputs included"},
	} {
		if k := len(l.values); k > 1 && k != l.most {
			return usageError(fmt.Sprintf("give one number, or %d", l.most), "%s has %d numbers for %d %s", l.flag, k, l.most, l.of)
		}
	}
	if k := len(cfg.Optimiser.Layers); k > 0 && k != n+1 {
		return usageError(fmt.Sprintf("give %d factors", n+1), "--rates has %d numbers for %d layers, that of the outputs included", k, n+1)
	}
	for i, units := range o.hidden {
		a, err := nn.NewActivation(o.activation, o.activationDegree(), at(o.bound, i), o.fit)
		if err != nil {
			return err
		}
		gain := at(o.gain, i)
		if len(o.gain) == 0 {
			gain = a.Gain()
		}
		cfg.Hidden = append(cfg.Hidden, nn.Hidden{Units: int(units), Activation: a, Gain: gain})
	}
	cfg.Gain = at(o.gain, n)
	return nil
}

// at returns the number of a layer: the only one of a list, or its own.
func at(list []float64, i int) float64 {
	switch len(list) {
	case 0:
		return 0
	case 1:
		return list[0]
	}
	return list[i]
}

// activationDegree returns the degree that was asked for, or else one that costs
// two levels at most.
func (o *simulation) activationDegree() int {
	if o.degree == 0 {
		return map[string]int{"sigmoid": 3, "tanh": 3, "softplus": 2, "relu": 2, "silu": 2}[o.activation]
	}
	return o.degree
}

// study runs the study and shows its progress.
func (o *simulation) study(c *cobra.Command, cfg study.NetworkConfig, d simData) (r study.NetworkReport, err error) {
	err = o.show(c, func(log *slog.Logger, progress func(study.Progress)) error {
		log.Info("data read", "rows", d.train.Rows()+d.test.Rows(), "features", d.train.Dim())
		r, err = study.RunNetwork(c.Context(), cfg, d.train, d.test, log, progress)
		return err
	})
	if file := cfg.Checkpoint; c.Context().Err() != nil && file != "" {
		if _, missing := os.Stat(file); missing == nil {
			err = &failure{exitInterrupted, errInterrupted, "the same command goes on from " + file}
		}
	}
	return r, err
}
