package study

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/nereid-mhe/nereid/dataset"
	"github.com/nereid-mhe/nereid/nn"
)

// NetworkConfig describes a study that trains a network. Fields with a stated
// default may be zero.
type NetworkConfig struct {
	Common

	Hidden     []nn.Hidden
	Outputs    int // 1 for two classes or a regression, else one for each class
	Regression bool
	Loss       nn.NetworkLoss
	Optimiser  nn.Optimiser
	Steps      int
	Epochs     int     // in place of Steps: passes over the rows, of the party with most of them
	Batch      int     // rows per party and step; 0 for all that fit, or that the smallest party has
	Gain       float64 // of the initial weights; 0 for 1
	MaxTarget  float64 // declared bound of |target|; 0 for 1

	// Unit, if not 0, divides centred features by it instead of by their standard
	// deviations: for features of one kind, such as pixels.
	Unit float64
	// Floor is added to the standard deviations, so that features that hardly vary,
	// or are constant, stay small.
	Floor float64

	Layout nn.Layout
	LogN   int // of the toy ring of Insecure; 0 for 12

	// What the search for a plan allows a party.
	MaxMemory    int64   // bytes; 0 for no limit
	MaxWeightErr float64 // standard deviation of a weight's error after training; 0 for 1e-3

	Predict int // rows of the test table that are predicted under encryption

	// MaxOutputNoise is the largest planned standard deviation of an opened output
	// with which a study starts; 0 for a tenth of MaxTarget.
	MaxOutputNoise float64

	// Checkpoint, if not empty, is a file to which the state is written after
	// every step, and from which a run that was stopped goes on.
	Checkpoint string
}

func (c NetworkConfig) withDefaults() NetworkConfig {
	c.Common = c.Common.withDefaults()
	if c.MaxTarget == 0 {
		c.MaxTarget = 1
	}
	if c.LogN == 0 {
		c.LogN = 12
	}
	if c.MaxOutputNoise == 0 {
		c.MaxOutputNoise = nn.DefaultOutputNoise * c.MaxTarget
	}
	c.Layout.Predict = c.Predict > 0
	return c
}

func (c NetworkConfig) check(v *violations) {
	c.Common.check(v)
	v.must(c.Outputs >= 1, "%d outputs: want 1 for two classes or a regression, or one for each class", c.Outputs)
	v.must(!c.Regression || c.Outputs == 1, "a regression with %d outputs: want 1", c.Outputs)
	v.must(c.Steps >= 1 || c.Epochs > 0, "%d steps: want at least 1", c.Steps)
	v.must(c.Epochs >= 0, "%d epochs: want at least 1", c.Epochs)
	v.must(c.Epochs == 0 || c.Steps == 0, "%d epochs and %d steps: give one of them", c.Epochs, c.Steps)
	v.must(c.Batch >= 0, "a batch of %d rows: want 1 or more, or 0 for all that fit", c.Batch)
	v.must(c.MaxTarget > 0 && finite(c.MaxTarget), "targets bounded by %g: want a positive number", c.MaxTarget)
	v.must(c.Unit >= 0 && finite(c.Unit), "features divided by %g: want a positive number", c.Unit)
	v.must(c.Floor >= 0 && finite(c.Floor), "a floor of %g under standard deviations: want 0 or more", c.Floor)
	v.must(c.Unit == 0 || c.Floor == 0, "features divided by a unit and by standard deviations at once: give one")
	v.must(c.LogN >= 8 && c.LogN <= 16, "a toy ring of 2^%d slots: want 2^8 to 2^16", c.LogN)
	v.must(!math.IsNaN(c.MaxOutputNoise) && c.MaxOutputNoise >= 0, "outputs opened with a noise of up to %g: want a positive number", c.MaxOutputNoise)
	v.must(c.Predict >= 0, "%d rows to predict", c.Predict)
}

// PlanRequest returns what is planned for tables of so many features: with the steps
// and the batch of c, which may be open, and the openings of p in place of Predict.
func (c NetworkConfig) PlanRequest(features int, p Policy) nn.PlanRequest {
	c = c.withDefaults()
	return nn.PlanRequest{
		Net: nn.Network{
			Features: features, Hidden: c.Hidden, Outputs: c.Outputs, Loss: c.Loss,
			Optimiser: c.Optimiser, Steps: c.Steps, Parties: c.Parties, Batch: c.Batch, Seed: c.Seed, Gain: c.Gain,
			MaxFeature: math.Max(c.Clip, 1), MaxTarget: c.MaxTarget,
		},
		Link: nn.Link{Mbit: c.Link.Mbit, Latency: c.Link.Latency}, Fanout: c.Fanout, Quantum: c.Quantum,
		Predict:   nn.Predictions{Queriers: p.Allowances(), Flooding: c.Flooding, MaxNoise: c.MaxOutputNoise},
		MaxMemory: c.MaxMemory, MaxWeightErr: c.MaxWeightErr,
	}
}

// network describes the model for the tables that the parties declare.
func (c NetworkConfig) network(d Declared) (nn.Network, error) {
	n := c.PlanRequest(d.Features, nil).Net
	smallest := d.least()
	least, greatest := d.Rows[smallest], slices.Max(d.Rows)
	if c.Batch > least {
		return n, fmt.Errorf("%w: a batch of %d rows, party %d has %d: lower the batch to %d", ErrConfig, c.Batch, smallest, least, least)
	}
	if n.Batch == 0 {
		logN := 14
		if c.Insecure {
			logN = c.LogN
		}
		most, err := nn.MaxNetworkBatch(n, 1<<logN, c.Layout)
		if err != nil {
			return n, err
		}
		n.Batch = min(most, least)
	}
	if c.Epochs > 0 {
		n.Steps = c.Epochs * ((greatest + n.Batch - 1) / n.Batch)
	}
	return n, nil
}

// plan fits parameters: those of the layout, or what the planner finds fastest for
// the study's network with the costs that the program comes with, which is the same
// everywhere, and the openings of p.
func (c NetworkConfig) plan(ctx context.Context, n nn.Network, p Policy) (*nn.NetworkPlan, error) {
	l := c.Layout
	switch {
	case c.Insecure:
		return nn.FitNetworkInsecure(n, l, c.LogN)
	case l.InputWindow != 0 || l.InputBaby != 0 || l.InnerWindow != 0 || l.Strips != 0 || l.NoRefresh != nil:
		return nn.FitNetwork(n, l, c.Quantum)
	}
	r := c.PlanRequest(n.Features, p)
	r.Net = n
	search, err := nn.PlanNetwork(ctx, r)
	if err != nil {
		return nil, err
	}
	return search.Best().Plan, nil
}

// targets returns the targets of a table by row and output.
func targets(n nn.Network, regression bool, t dataset.Table) ([][]float64, error) {
	out := make([][]float64, t.Rows())
	for i, y := range t.Y {
		if regression {
			out[i] = []float64{y}
			continue
		}
		if y != math.Trunc(y) {
			return nil, fmt.Errorf("%w: row %d has label %g: classes are whole numbers from 0", ErrConfig, i, y)
		}
		var err error
		if out[i], err = n.Targets(int(y)); err != nil {
			return nil, fmt.Errorf("%w: row %d has a label outside the declared classes: %w", ErrConfig, i, err)
		}
	}
	return out, nil
}
