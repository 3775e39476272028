package main

import (
	"fmt"

	"github.com/spf13/pflag"

	"github.com/nereid-mhe/nereid/studyfile"
)

// A simulation is the flags of the command simulate.
type simulation struct {
	described
	input
	images    imageFiles
	synthetic bool
	printing

	predict    int
	checkpoint string
}

// defaultSimulation returns the settings without flags.
func defaultSimulation() *simulation {
	o := &simulation{described: described{file: studyfile.New(studyfile.Network)}, input: defaultInput(), printing: defaultPrinting()}
	o.file.Name, o.file.Parties.Count, o.file.Simulate = "simulation", 3, studyfile.NewSimulate()
	o.file.Model.Hidden = []studyfile.Layer{studyfile.NewLayer(16)}
	return o
}

// groups binds flags to o.
func (o *simulation) groups() []group {
	return []group{
		{"Study", flagSet(o.bindStudy)},
		{"Data", flagSet(o.bindData)},
		{"Parties and network", flagSet(func(f *pflag.FlagSet) {
			o.bindParties(f)
			bindDealing(f, o.file.Simulate)
		})},
		{"Model", flagSet(o.bindModel)},
		{"Training", flagSet(func(f *pflag.FlagSet) {
			o.bindTraining(f)
			f.IntVar(&o.file.Training.Epochs, "epochs", 0, "`N` passes over the rows, in place of --steps")
		})},
		{"Security", flagSet(func(f *pflag.FlagSet) {
			bindFlooding(f, &o.file.Crypto)
			bindAttacker(f, &o.file.Crypto)
			bindInsecure(f, o.file.Simulate, "insecure")
			bindInsecure(f, o.file.Simulate, toyFlag[2:]) // for those who know the demo
		})},
		{"Output", flagSet(o.bindOutput)},
	}
}

func (o *simulation) bindData(f *pflag.FlagSet) {
	s := &o.file
	o.input.bind(f)
	bindColumns(f, &s.Data)
	f.Lookup("data").Usage = "text `FILE` with a row per sample, separated by comma, semicolon or tab; repeat it to take the rows of several together"
	f.Lookup("classes").Usage = "the labels in the file that mean 0, 1, 2, …, as `A,B,C` (default: whole numbers from 0)"
	f.StringVar(&o.images.images, "images", "", "idx `FILE` of images, plain or with gzip, in place of --data")
	f.StringVar(&o.images.labels, "labels", "", "idx `FILE` of their labels")
	f.StringVar(&o.images.testImages, "test-images", "", "idx `FILE` of images to test on; without it a share of --images")
	f.StringVar(&o.images.testLabels, "test-labels", "", "idx `FILE` of their labels")
	f.BoolVar(&o.synthetic, "synthetic", false, "made-up data of two classes: Gaussian features in different units; the default without a file")
	bindSplit(f, s)
	f.IntVar(&o.predict, "predict", 0, "`ROWS` of the test whose outputs are computed under encryption and opened to a querier; with --study what its policy allows")
	f.Lookup("test-fraction").Usage = "`SHARE` of the rows kept back for the test, between 0 and 1"
	f.Lookup("seed").Usage = "public `NUMBER` that fixes synthetic data, split, order of rows and initial weights; never the cryptography"
	f.Float64Var(&s.Preprocessing.Unit, "unit", 0, "`NUMBER` that centred features are divided by; 0 for the standard deviation of each (default 0.5 for images)")
	f.Float64Var(&s.Preprocessing.Floor, "floor", 0, "`NUMBER` added to standard deviations, so that columns that hardly vary, or are constant, stay small")
	f.Float64Var(&s.Preprocessing.Clip, "clip", s.Preprocessing.Clip, "cut scaled features at this `BOUND`")
}

func (o *simulation) bindOutput(f *pflag.FlagSet) {
	o.printing.bind(f)
	f.StringVar(&o.checkpoint, "checkpoint", "", "`FILE` for the state after every step, from which the same command goes on; holds the SECRETS of all simulated parties")
}

// check reports flags that do not go together, and settles what the study is.
func (o *simulation) check(f *pflag.FlagSet) error {
	epochs, steps := o.file.Training.Epochs, f.Changed("steps")
	switch {
	case f.Changed("epochs") && steps:
		return usageError("drop one of the two", "--epochs and --steps both say how long to train")
	case f.Changed("epochs") && epochs < 1:
		return usageError("give 1 or more", "--epochs %d", epochs)
	case f.Changed("epochs"):
		o.file.Training.Steps = 0
	}
	if err := o.settle(f); err != nil {
		return err
	}
	if err := o.input.check(f, o.file.Data); err != nil {
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
	if f.Changed("checkpoint") && o.checkpoint == "" {
		return usageError("name a file", "--checkpoint is empty")
	}
	if o.path != "" {
		if err := o.checkStudy(f); err != nil {
			return err
		}
	} else if err := o.checkModel(f); err != nil {
		return err
	}
	return o.printing.check(f)
}

// checkModel is for a model that flags describe.
func (o *simulation) checkModel(f *pflag.FlagSet) error {
	d, outputs := o.file.Data, o.file.Model.Outputs
	switch n := len(d.Classes); {
	case f.Changed("classes") && n < 2:
		return usageError("give the labels that mean 0, 1 and so on, such as --classes 2,4", "--classes names %s, want 2 or more", count(n, "label"))
	case n > 2 && outputs > 0 && outputs != n, n == 2 && outputs > 2:
		return usageError("drop --outputs", "--outputs %d, but --classes names %d labels", outputs, n)
	case len(o.data) == 0 && !o.images.given() && outputs > 2:
		return usageError("name a file with --data or --images", "--outputs %d, but synthetic data has two classes", outputs)
	case d.Target == "number" && o.file.Model.Loss.Name == "logistic":
		return usageError("drop one of the two", "--loss logistic is for classes, but --regression is given")
	case f.Changed("max-target") && d.Target == "class":
		return usageError("drop it", "--max-target is for --regression")
	}
	return nil
}

// checkStudy is for a study that a file describes.
func (o *simulation) checkStudy(f *pflag.FlagSet) error {
	d, most := o.file.Data, o.file.Opening.Rows()
	switch made := len(o.data) == 0 && !o.images.given(); {
	case len(o.data) > 0 && d.Format == "idx", o.images.given() && d.Format == "csv":
		return usageError("name files of that format", "the data of %s are in the format %s", o.path, d.Format)
	case made && d.ClassCount > 2:
		return usageError("name a file with --data or --images", "%s has %d classes, but synthetic data has two", o.path, d.ClassCount)
	case made && f.Changed("features") && d.FeatureCount > 0 && o.features != d.FeatureCount:
		return usageError("drop --features", "--features %d, but %s has %d", o.features, o.path, d.FeatureCount)
	case f.Changed("predict") && o.predict > most:
		return usageError("predict fewer rows, or change the file", "--predict %d, but under opening in %s a querier may have %s", o.predict, o.path, count(most, "row"))
	case o.file.Model.Kind == studyfile.Network:
		return nil
	case o.checkpoint != "":
		return usageError("drop it", "--checkpoint is for networks, but the kind of %s is %s", o.path, o.file.Model.Kind)
	case o.images.testImages != "":
		return usageError("drop it", "--test-images is for networks, but the kind of %s is %s", o.path, o.file.Model.Kind)
	}
	return nil
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
