package main

import (
	"fmt"
	"math"
	"strconv"

	"github.com/spf13/pflag"

	"github.com/nereid-mhe/nereid/nn"
	"github.com/nereid-mhe/nereid/studyfile"
)

// A planning is the flags of the command plan.
type planning struct {
	described

	rows, requests int // of the one querier whom flags describe

	calibrate bool
	costs     string // file; empty for the cache, or else the built-in record
	format    string
	top       int
	crossover bool
}

// defaultPlanning returns the settings without flags: those of MNIST.
func defaultPlanning() *planning {
	o := &planning{described: described{file: studyfile.New(studyfile.Network)}, format: "text", top: 8, crossover: true}
	s := &o.file
	s.Name, s.Parties.Count, s.Data.FeatureCount, s.Hosts.Memory = "plan", 10, 784, 8
	s.Model.Hidden, s.Model.Outputs = []studyfile.Layer{studyfile.NewLayer(64), studyfile.NewLayer(64)}, 10
	s.Training.Rate, s.Training.Steps, s.Preprocessing.Clip = 0.3, 54, 8
	return o
}

// groups binds flags to o.
func (o *planning) groups() []group {
	return []group{
		{"Study", flagSet(o.bindStudy)},
		{"Model", flagSet(func(f *pflag.FlagSet) {
			f.IntVar(&o.file.Data.FeatureCount, "features", o.file.Data.FeatureCount, "`N` columns of the data")
			o.bindModel(f)
			f.Float64Var(&o.file.Preprocessing.Clip, "clip", o.file.Preprocessing.Clip, "`BOUND` of scaled features")
		})},
		{"Training", flagSet(o.bindTraining)},
		{"Parties and network", flagSet(o.bindParties)},
		{"Constraints", flagSet(o.bindConstraints)},
		{"Costs", flagSet(o.bindCosts)},
		{"Output", flagSet(o.bindOutput)},
	}
}

func (o *planning) bindTraining(f *pflag.FlagSet) {
	o.described.bindTraining(f)
	f.Lookup("batch").Usage = "`ROWS` of a party in a step; 0 for as many as fit one ciphertext, and plans compared per row"
	f.Var(&value{text: "0", kind: "ROWS", set: o.setPredict}, "predict", "`ROWS` whose outputs a querier may have opened; they need more keys and more precision")
	f.Var(&value{text: "0", kind: "REQUESTS", set: o.setRequests}, "requests", "`REQUESTS` in which it may ask for them, each an opening: the more, the more precision they need; 0 for as few as the rows fit in")
}

// setPredict lets a querier have so many rows.
func (o *planning) setPredict(s string) error { return o.allow(&o.rows, s, "rows") }

// setRequests lets it ask so often.
func (o *planning) setRequests(s string) error { return o.allow(&o.requests, s, "requests") }

// allow sets a number of what the querier may have.
func (o *planning) allow(p *int, s, what string) error {
	n, err := strconv.ParseUint(s, 10, 40)
	if err != nil {
		return fmt.Errorf("want a number of %s", what)
	}
	*p, o.file.Opening.Queriers = int(n), nil
	if o.rows > 0 {
		o.file.Opening.Queriers = []studyfile.Querier{{Name: "querier", Rows: o.rows, Requests: o.requests}}
	}
	return nil
}

func (o *planning) bindConstraints(f *pflag.FlagSet) {
	f.Float64Var(&o.file.Hosts.Memory, "memory", o.file.Hosts.Memory, "`GIB` of memory of a party; 0 for no limit")
	f.Float64Var(&o.file.Crypto.MaxWeightError, "max-weight-error", o.file.Crypto.MaxWeightError, "`ERR` of a weight after training: largest standard deviation")
	f.Float64Var(&o.file.Crypto.MaxOutputNoise, "max-output-noise", 0, "`NOISE` of an opened output: largest standard deviation; 0 for a tenth of the targets' bound")
	bindAttacker(f, &o.file.Crypto)
}

func (o *planning) bindCosts(f *pflag.FlagSet) {
	f.BoolVar(&o.calibrate, "calibrate", false, "measure this machine first, which takes some ten seconds, and keep the record for later plans")
	f.StringVar(&o.costs, "costs", "", "`FILE` with a record of costs, as --calibrate writes it (default: this machine's, if it was measured, else a built-in one)")
}

func (o *planning) bindOutput(f *pflag.FlagSet) {
	f.Var(choice(&o.format, "text", "json"), "format", "`FORM` of the report, text or json; json is one line")
	f.IntVar(&o.top, "top", o.top, "`N` candidates in the report, the chosen one included")
	f.BoolVar(&o.crossover, "crossover", o.crossover, "also plan for 2 to 128 parties and three links, to show where the choice changes")
}

// check reports flags that do not go together, and settles what the study is.
func (o *planning) check(f *pflag.FlagSet) error {
	memory := o.file.Hosts.Memory
	switch {
	case f.Changed("costs") && o.costs == "":
		return usageError("name a file", "--costs is empty")
	case o.top < 1:
		return usageError("give 1 or more", "--top %d", o.top)
	case o.requests > 0 && o.rows == 0:
		return usageError("give the rows with --predict", "--requests %d of no rows", o.requests)
	case !(memory >= 0) || math.IsInf(memory, 0):
		return usageError("give a number of GiB, or 0 for no limit", "--memory %g", memory)
	}
	return o.settle(f)
}

// request returns what is to be planned.
func (o *planning) request() (nn.PlanRequest, error) {
	s := o.file
	if o.path == "" && s.Model.Outputs > 1 && s.Data.Target == "class" {
		s.Data.ClassCount = s.Model.Outputs
	}
	r, err := s.WithDefaults().PlanRequest()
	return r, o.inFile(err)
}
