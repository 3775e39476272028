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
	"github.com/nereid-mhe/nereid/study"
	"github.com/nereid-mhe/nereid/studyfile"
)

const simulateLong = `Runs a study with all its parties in this process: every party with its own rows and
secrets, on a modelled network. The study is that of a file (--study), or else a network
of several layers that flags describe. The parties make keys
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
  nereid simulate --study study.yaml --data north.csv --data south.csv
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
		Short:   "Train a network, or run a study file, with all parties in one process",
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
	s := o.study(d)
	var b []byte
	if s.Model.Kind == studyfile.Network {
		b, err = o.network(c, s, d)
	} else {
		r := regression{s, d.train, d.source, "simulation", o.toy()}
		b, err = r.run(c, &o.printing)
	}
	if err != nil {
		return o.inFile(err)
	}
	return out.write(b)
}

// network runs the study of a network and returns the report.
func (o *simulation) network(c *cobra.Command, s studyfile.File, d simData) ([]byte, error) {
	cfg, err := s.Network()
	if err != nil {
		return nil, err
	}
	cfg.Checkpoint = o.checkpoint
	declared := cfg.Regression && cfg.MaxTarget == 0 // taken from the data, which makes it public
	if declared {
		for _, y := range slices.Concat(d.train.Y, d.test.Y) {
			cfg.MaxTarget = math.Max(cfg.MaxTarget, math.Abs(y))
		}
	}
	report, err := o.runNetwork(c, cfg, d)
	if err != nil {
		return nil, err
	}
	if declared {
		report.Openings = append(report.Openings, study.Opened{What: "largest absolute target, as a bound in the public plan", To: "all parties", Values: 1})
	}
	return o.render(report, func(b *bytes.Buffer) { writeNetText(b, o.toy(), cfg, d, report) })
}

// toy is what asks for the toy ring.
func (o *simulation) toy() string {
	if o.path != "" {
		return "simulate.insecure"
	}
	return "--insecure"
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
	s := o.file
	if s.Data.Target == "class" && len(s.Data.Classes) == 0 && s.Data.ClassCount == 0 && s.Model.Outputs > 1 {
		s.Data.ClassCount = s.Model.Outputs
	}
	s = s.WithDefaults()
	switch {
	case o.images.given():
		d, err = o.images.read()
	default:
		in := o.input
		if s.Data.FeatureCount > 0 {
			in.features = s.Data.FeatureCount
		}
		d.train, d.source, err = in.read(s)
	}
	if err != nil {
		return d, err
	}
	if has, want := d.train.Dim(), s.Data.FeatureCount; o.path != "" && want > 0 && has != want {
		return d, &failure{exitData, fmt.Errorf("the data have %d features, %s says %d", has, o.path, want), "name the data of the study, or list its features under data in the file"}
	}
	switch {
	case s.Data.Target == "number":
		d.classes = 0
	case o.path != "" || !o.images.given():
		d.classes = s.Data.ClassCount
	}
	return d, nil
}

// study returns the study that is run on data, which complete what flags say.
func (o *simulation) study(d simData) studyfile.File {
	s := o.file
	if o.path == "" {
		s.Data.ClassCount = d.classes
		if o.images.given() {
			s.Data.Format = "idx"
		}
		if o.predict != 0 {
			s.Opening.Queriers = []studyfile.Querier{{Name: "querier", Rows: o.predict}}
		}
	} else if o.predict > 0 { // no more than the policy has, see check
		s.Opening.Queriers = []studyfile.Querier{{Name: "querier", Rows: o.predict}}
	}
	return s.WithDefaults()
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

// runNetwork runs the study and shows its progress.
func (o *simulation) runNetwork(c *cobra.Command, cfg study.NetworkConfig, d simData) (r study.NetworkReport, err error) {
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
