package main

import (
	"errors"
	"math"

	"github.com/spf13/pflag"

	"github.com/nereid-mhe/nereid/nn"
)

// A planning is the flags of the command plan.
type planning struct {
	req nn.PlanRequest // without what request adds

	hidden     []int
	activation string
	degree     int // 0 for one that suits the activation
	bound      float64
	loss       string
	lossBound  float64
	memory     float64 // GiB

	calibrate bool
	costs     string // file; empty for the cache, or else the built-in record
	format    string
	top       int
	crossover bool
}

// defaultPlanning returns the settings without flags: those of MNIST.
func defaultPlanning() *planning {
	return &planning{
		req: nn.PlanRequest{
			Net:  nn.Network{Features: 784, Outputs: 10, Optimiser: nn.Optimiser{Rate: 0.3}, Steps: 54, Parties: 10, MaxFeature: 8, MaxTarget: 1},
			Link: nn.Link{Mbit: 1000, Latency: 20}, MaxWeightErr: 1e-3,
		},
		hidden: []int{64, 64}, activation: "cubic", bound: 3, loss: "squared", memory: 8, format: "text", top: 8, crossover: true,
	}
}

// groups binds flags to o.
func (o *planning) groups() []group {
	return []group{
		{"Model", flagSet(o.bindModel)},
		{"Training", flagSet(o.bindTraining)},
		{"Parties and network", flagSet(o.bindParties)},
		{"Constraints", flagSet(o.bindConstraints)},
		{"Costs", flagSet(o.bindCosts)},
		{"Output", flagSet(o.bindOutput)},
	}
}

func (o *planning) bindModel(f *pflag.FlagSet) {
	n := &o.req.Net
	f.IntVar(&n.Features, "features", n.Features, "`N` columns of the data")
	f.Var(&value{text: "64,64", kind: "UNITS", set: o.setHidden}, "hidden", "`UNITS` of the hidden layers, such as 64,64, or none")
	f.IntVar(&n.Outputs, "outputs", n.Outputs, "`N` outputs: 1 for two classes or a regression, else one per class")
	f.Var(choice(&o.activation, nn.ActivationNames()...), "activation", "`FUNCTION` of the hidden layers")
	f.IntVar(&o.degree, "degree", 0, "`DEGREE` of the polynomial in place of the activation; 0 for 2 or 3, as suits it")
	f.Float64Var(&o.bound, "bound", o.bound, "arguments of activations are expected in [-BOUND, BOUND]")
	f.Lookup("bound").Usage = "`BOUND` of the arguments of activations, expected in [-BOUND, BOUND]"
	f.Var(choice(&o.loss, "squared", "logistic"), "loss", "`LOSS`: squared or logistic")
	f.Float64Var(&o.lossBound, "loss-bound", 0, "`BOUND` of outputs; 0 for 3 with the squared loss, 8 with the logistic one")
	f.Float64Var(&n.MaxFeature, "clip", n.MaxFeature, "`BOUND` of scaled features")
}

func (o *planning) bindTraining(f *pflag.FlagSet) {
	n := &o.req.Net
	f.IntVar(&n.Batch, "batch", 0, "`ROWS` of a party in a step; 0 for as many as fit one ciphertext, and plans compared per row")
	f.IntVar(&n.Steps, "steps", n.Steps, "`N` training steps")
	f.Float64Var(&n.Optimiser.Rate, "rate", n.Optimiser.Rate, "learning `RATE`")
	f.Float64Var(&n.Optimiser.Momentum, "momentum", 0, "`M`, 0 or more and less than 1")
	f.BoolVar(&n.Optimiser.Nesterov, "nesterov", false, "Nesterov's method; costs a level")
	f.IntVar(&o.req.Predict.Rows, "predict", 0, "`ROWS` whose outputs a querier may have opened; they need more keys and more precision")
}

func (o *planning) bindParties(f *pflag.FlagSet) {
	f.IntVar(&o.req.Net.Parties, "parties", o.req.Net.Parties, "`N` data owners, 2 or more")
	f.Float64Var(&o.req.Link.Mbit, "mbit", o.req.Link.Mbit, "bandwidth of every party in `MBIT/S`")
	f.Float64Var(&o.req.Link.Latency, "latency", o.req.Link.Latency, "latency, one way, in `MS`")
	f.IntVar(&o.req.Fanout, "fanout", 0, "`N` children per inner node of the trees that join the parties; 0 puts every party under every other's root")
}

func (o *planning) bindConstraints(f *pflag.FlagSet) {
	f.Float64Var(&o.memory, "memory", o.memory, "`GIB` of memory of a party; 0 for no limit")
	f.Float64Var(&o.req.MaxWeightErr, "max-weight-error", o.req.MaxWeightErr, "`ERR` of a weight after training: largest standard deviation")
	f.Float64Var(&o.req.Predict.MaxNoise, "max-output-noise", 0, "`NOISE` of an opened output, with 30 bits of flooding: largest standard deviation; 0 for a tenth of the targets' bound")
	f.BoolVar(&o.req.Quantum, "quantum", false, "128-bit security against quantum attackers (slower); without it against classical ones")
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

func (o *planning) setHidden(s string) error {
	if s == "none" {
		o.hidden = nil
		return nil
	}
	list, err := parseNumbers(s)
	var units []int
	for _, u := range list {
		if u != math.Trunc(u) || u < 1 || u > 1<<16 {
			err = errors.New("not a number of units")
		}
		units = append(units, int(u))
	}
	if err != nil {
		return errors.New("want whole numbers of units, such as 64 or 64,64, or none")
	}
	o.hidden = units
	return nil
}

// check reports flags that do not go together.
func (o *planning) check(f *pflag.FlagSet) error {
	switch {
	case f.Changed("costs") && o.costs == "":
		return usageError("name a file", "--costs is empty")
	case o.top < 1:
		return usageError("give 1 or more", "--top %d", o.top)
	case !(o.memory >= 0) || math.IsInf(o.memory, 0):
		return usageError("give a number of GiB, or 0 for no limit", "--memory %g", o.memory)
	}
	return nil
}

// request returns what is to be planned.
func (o *planning) request() (nn.PlanRequest, error) {
	r := o.req
	r.MaxMemory = int64(o.memory * (1 << 30))
	degree := o.degree
	if degree == 0 {
		degree = map[string]int{"sigmoid": 3, "tanh": 3, "softplus": 2, "relu": 2, "silu": 2}[o.activation]
	}
	for _, units := range o.hidden {
		a, err := nn.NewActivation(o.activation, degree, o.bound, nn.LeastSquares)
		if err != nil {
			return r, err
		}
		r.Net.Hidden = append(r.Net.Hidden, nn.Hidden{Units: units, Activation: a, Gain: a.Gain()})
	}
	bound := o.lossBound
	if bound == 0 {
		bound = map[string]float64{"squared": 3, "logistic": 8}[o.loss]
	}
	r.Net.Loss = nn.SquaredLoss(bound)
	var err error
	if o.loss == "logistic" {
		r.Net.Loss, err = nn.LogisticLoss(3, bound)
	}
	return r, err
}
