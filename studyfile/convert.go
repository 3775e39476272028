package studyfile

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/nereid-mhe/nereid/dataset"
	"github.com/nereid-mhe/nereid/nn"
	"github.com/nereid-mhe/nereid/study"
)

// ErrInexpressible is wrapped by errors about studies that no file describes.
var ErrInexpressible = errors.New("no study file says this")

// common converts what all kinds of studies have in common.
func (f File) common() study.Common {
	s := f.Simulate
	if s == nil {
		s = NewSimulate()
	}
	return study.Common{
		Name: f.Name, Parties: f.Parties.Count, Fanout: f.Parties.Fanout,
		Partition: dataset.Partition(s.Partition), TestFraction: s.TestFraction, Seed: f.Training.Seed, Clip: f.Preprocessing.Clip,
		Flooding: f.Crypto.FloodingBits, Quantum: f.Crypto.Attacker == "quantum", Insecure: s.Insecure,
		Link: study.Link{Mbit: f.Hosts.Mbit, Latency: f.Hosts.Latency}, Cores: s.Cores,
	}
}

// fromCommon is the inverse of common.
func fromCommon(kind Kind, c study.Common) File {
	f := New(kind)
	f.Name, f.Parties.Count, f.Parties.Fanout = c.Name, c.Parties, c.Fanout
	f.Training.Seed, f.Preprocessing.Clip = c.Seed, c.Clip
	if c.Flooding != 0 {
		f.Crypto.FloodingBits = c.Flooding
	}
	if c.Quantum {
		f.Crypto.Attacker = "quantum"
	}
	f.Hosts.Mbit, f.Hosts.Latency = c.Link.Mbit, c.Link.Latency
	f.Simulate = NewSimulate()
	f.Simulate.TestFraction, f.Simulate.Insecure, f.Simulate.Cores = c.TestFraction, c.Insecure, c.Cores
	if c.Partition != "" {
		f.Simulate.Partition = string(c.Partition)
	}
	return f
}

// Columns returns what a loader of the parties' files has to know.
func (f File) Columns() dataset.Schema {
	d := f.Data
	s := dataset.Schema{
		Label: d.Label, Features: d.Features, Drop: d.Drop, Missing: dataset.Missing(d.Missing),
		Classes: d.Classes, ClassCount: d.ClassCount, Regression: d.Target == "number",
		Constant: f.Preprocessing.Unit > 0 || f.Preprocessing.Floor > 0,
	}
	if s.Comma, _ = utf8.DecodeRuneInString(d.Comma); d.Comma == "tab" {
		s.Comma = '\t'
	} else if d.Comma == "" {
		s.Comma = 0
	}
	return s
}

// fromColumns is the inverse of Columns.
func (d *Data) fromColumns(s dataset.Schema) {
	d.Label, d.Features, d.Drop, d.Classes, d.ClassCount = s.Label, s.Features, s.Drop, s.Classes, s.ClassCount
	if s.Missing != "" {
		d.Missing = string(s.Missing)
	}
	switch s.Comma {
	case 0:
	case '\t':
		d.Comma = "tab"
	default:
		d.Comma = string(s.Comma)
	}
	if d.Target = "class"; s.Regression {
		d.Target = "number"
	}
}

// Regression converts a study of logistic or linear regression. A simulation of it
// plays the querier who may have most rows.
func (f File) Regression() (study.Config, error) {
	m, t := f.Model, f.Training
	if m.Kind == Network {
		return study.Config{}, fmt.Errorf("%w: model.kind: found %s; want logistic or linear", ErrFile, m.Kind)
	}
	return study.Config{
		Common: f.common(), Regression: m.Kind == Linear, MaxTarget: f.Data.TargetBound,
		Degree: m.Loss.Degree, Interval: m.Loss.Bound,
		SGD:    nn.SGD{Rate: t.Rate, Decay: t.Schedule.Decay, L2: t.L2},
		Epochs: t.Epochs, Steps: t.Steps, Batch: t.Batch,
		Predict: f.Opening.Rows(), MaxOutputNoise: f.Crypto.MaxOutputNoise,
	}, nil
}

// FromRegression returns the file of a study of logistic or linear regression. Its
// querier is called "querier". A study whose predictions have no bound has no file:
// the error wraps [ErrInexpressible].
func FromRegression(c study.Config, columns dataset.Schema) (File, error) {
	if c.Predict == 0 {
		return File{}, fmt.Errorf("%w: no bound of the rows to predict: set Predict", ErrInexpressible)
	}
	kind := Logistic
	if c.Regression {
		kind = Linear
	}
	f := fromCommon(kind, c.Common)
	f.Data.fromColumns(columns)
	f.Data.TargetBound = c.MaxTarget
	if f.Model.Loss.Bound = c.Interval; !c.Regression {
		f.Model.Loss.Degree = c.Degree
	}
	t := &f.Training
	t.Epochs, t.Steps, t.Batch = c.Epochs, c.Steps, c.Batch
	t.Rate, t.Schedule.Decay, t.L2 = c.SGD.Rate, c.SGD.Decay, c.SGD.L2
	f.Opening.Queriers = []Querier{{Name: "querier", Rows: c.Predict}}
	f.Crypto.MaxOutputNoise = c.MaxOutputNoise
	return f.WithDefaults(), nil
}

// activation returns the polynomial of a layer.
func (l Layer) activation() (nn.Activation, error) {
	fit := nn.LeastSquares
	if l.Fit == "minimax" {
		fit = nn.Minimax
	}
	return nn.NewActivation(l.Activation, l.Degree, l.Bound, fit)
}

// network returns the loss of a network.
func (l Loss) network() (nn.NetworkLoss, error) {
	if l.Name == "squared" {
		if l.Degree != 1 {
			return nn.NetworkLoss{}, fmt.Errorf("%w: a squared loss with degree %d: want 1", nn.ErrModel, l.Degree)
		}
		return nn.SquaredLoss(l.Bound), nil
	}
	if l.Degree < 1 || l.Degree > 7 || l.Degree%2 == 0 {
		return nn.NetworkLoss{}, fmt.Errorf("%w: a logistic loss with degree %d: want 1, 3, 5 or 7", nn.ErrModel, l.Degree)
	}
	return nn.LogisticLoss(l.Degree, l.Bound)
}

// Network converts a study of a network. A simulation of it plays the querier who may
// have most rows, if there is one. Errors wrap [nn.ErrModel]; a file from [Parse]
// gives none.
func (f File) Network() (study.NetworkConfig, error) {
	m, t := f.Model, f.Training
	c := study.NetworkConfig{
		Common: f.common(), Outputs: m.Outputs, Regression: f.Data.Target == "number", Gain: m.OutputGain,
		Optimiser: nn.Optimiser{
			Rate: t.Rate, Momentum: t.Momentum, Nesterov: t.Nesterov, L2: t.L2,
			Schedule: nn.Schedule{Warmup: t.Schedule.Warmup, Power: t.Schedule.Power, Decay: t.Schedule.Decay},
		},
		Steps: t.Steps, Epochs: t.Epochs, Batch: t.Batch, MaxTarget: f.Data.TargetBound,
		Unit: f.Preprocessing.Unit, Floor: f.Preprocessing.Floor,
		MaxMemory: int64(f.Hosts.Memory * gib), MaxWeightErr: f.Crypto.MaxWeightError,
		Predict: f.Opening.Rows(), MaxOutputNoise: f.Crypto.MaxOutputNoise,
	}
	if m.Kind != Network {
		return c, fmt.Errorf("%w: model.kind: found %s; want network", ErrFile, m.Kind)
	}
	if len(t.LayerRates) > 0 {
		c.Optimiser.Layers = t.LayerRates
	}
	var errs []error
	for _, l := range m.Hidden {
		a, err := l.activation()
		h := nn.Hidden{Units: l.Units, Activation: a, Gain: l.Gain}
		if err == nil && h.Gain == 0 {
			h.Gain = a.Gain()
		}
		c.Hidden, errs = append(c.Hidden, h), append(errs, err)
	}
	loss, err := m.Loss.network()
	c.Loss = loss
	return c, errors.Join(append(errs, err)...)
}

// PlanRequest returns what is to be planned for a study of a network, before there
// are data: its file must say the number of features, and the steps or the public
// numbers of rows and the batch that they follow from.
func (f File) PlanRequest() (nn.PlanRequest, error) {
	c, err := f.Network()
	if err != nil {
		return nn.PlanRequest{}, err
	}
	if f.Data.FeatureCount == 0 {
		return nn.PlanRequest{}, &Violation{Field: "data.feature_count", Found: "nothing", Want: "the number of features, or a list of them under data.features"}
	}
	if c.Epochs > 0 {
		most := 0
		for _, m := range f.Parties.Roster {
			most = max(most, m.Rows)
		}
		if f.secretRows() != "" || c.Batch == 0 {
			return nn.PlanRequest{}, &Violation{Field: "training.epochs", Found: fmt.Sprint(c.Epochs), Want: "training.steps, or public rows of the parties and a batch: passes over secret numbers of rows are no number of steps"}
		}
		c.Steps = c.Epochs * ((most + c.Batch - 1) / c.Batch)
	}
	r := c.PlanRequest(f.Data.FeatureCount, f.policy(nil))
	if r.Fanout >= c.Parties-1 {
		r.Fanout = 0 // all others, however many there are
	}
	return r, nil
}

// Forecast returns what nodes are expected to take for the study of a network that
// trains as a plan of [File.PlanRequest] says, with all requests that queriers may make.
func (f File) Forecast(plan *nn.NetworkPlan, h study.Host) (study.Forecast, error) {
	f = f.WithDefaults()
	c, err := f.Network()
	if err != nil {
		return study.Forecast{}, err
	}
	return c.Forecast(plan, f.policy(nil), h)
}

// gib is a GiB in bytes.
const gib = 1 << 30

// FromNetwork returns the file of a study of a network. Its querier, if it has one, is
// called "querier". The file of a checkpoint is no part of a study and is left out. A
// study with a layout or a toy ring of its own has no file: the plan chooses them, and
// the error wraps [ErrInexpressible].
func FromNetwork(c study.NetworkConfig, columns dataset.Schema) (File, error) {
	l := c.Layout
	if l.InputWindow != 0 || l.InputBaby != 0 || l.InnerWindow != 0 || l.Strips != 0 || l.NoRefresh != nil {
		return File{}, fmt.Errorf("%w: a layout, which the plan chooses: leave it empty", ErrInexpressible)
	}
	if c.LogN != 0 && c.LogN != 12 {
		return File{}, fmt.Errorf("%w: a toy ring of 2^%d slots: leave LogN empty", ErrInexpressible, c.LogN)
	}
	f := fromCommon(Network, c.Common)
	f.Data.fromColumns(columns)
	if f.Data.TargetBound = c.MaxTarget; !c.Regression {
		f.Data.TargetBound = 0
	}
	m, t := &f.Model, &f.Training
	if m.Outputs = c.Outputs; c.Gain > 0 {
		m.OutputGain = c.Gain
	}
	for _, h := range c.Hidden {
		layer := Layer{Units: h.Units, Activation: h.Activation.Name(), Degree: h.Activation.Degree(), Bound: h.Activation.Bound(), Fit: "least-squares", Gain: h.Gain}
		if h.Activation.Criterion() == nn.Minimax {
			layer.Fit = "minimax"
		}
		if layer.Gain == 0 {
			layer.Gain = m.OutputGain // that of the network
		}
		m.Hidden = append(m.Hidden, layer)
	}
	m.Loss = Loss{c.Loss.Name(), c.Loss.Degree(), c.Loss.Bound()}
	o := c.Optimiser
	*t = Training{
		Steps: c.Steps, Epochs: c.Epochs, Batch: c.Batch, Seed: c.Seed,
		Rate: o.Rate, LayerRates: o.Layers, Momentum: o.Momentum, Nesterov: o.Nesterov, L2: o.L2,
		Schedule: Schedule{o.Schedule.Warmup, o.Schedule.Power, o.Schedule.Decay},
	}
	f.Preprocessing.Unit, f.Preprocessing.Floor = c.Unit, c.Floor
	if f.Hosts.Memory = float64(c.MaxMemory) / gib; c.MaxWeightErr > 0 {
		f.Crypto.MaxWeightError = c.MaxWeightErr
	}
	if f.Crypto.MaxOutputNoise = c.MaxOutputNoise; c.Predict > 0 {
		f.Opening.Queriers = []Querier{{Name: "querier", Rows: c.Predict}}
	}
	return f.WithDefaults(), nil
}
