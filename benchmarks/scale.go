package main

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nereid-mhe/nereid/dataset"
	"github.com/nereid-mhe/nereid/nn"
	"github.com/nereid-mhe/nereid/study"
)

// A shape is a study whose cost is measured: a network of one hidden layer and one
// output on made-up rows.
type shape struct {
	Parties  int `json:"parties"`
	Fanout   int `json:"fanout"` // most children of a party in a tree
	Features int `json:"features"`
	Hidden   int `json:"hidden"`
	Batch    int `json:"batch_party"`
}

// A scaleRow is the cost of a shape in a step. Seconds are of one core.
type scaleRow struct {
	Sweep string `json:"sweep"`
	shape
	Party   float64            `json:"iteration_party"`
	Phase   map[string]float64 `json:"iteration_party_phase"`
	Network float64            `json:"iteration_network_model"`
	Wall    float64            `json:"iteration_wall_model"`
	Bytes   int64              `json:"bytes_party_iteration"`
	Setup   float64            `json:"setup"`
	Keys    int                `json:"keys"`

	// What the planner has chosen: local refreshes stop paying with many parties.
	LogN      int `json:"log_n"`
	Refreshes int `json:"refreshes_iteration"`
}

// A scaleReport is the result of benchmark scale: costs against one size at a time.
type scaleReport struct {
	Steps   int        `json:"steps"`
	Rows    []scaleRow `json:"rows"`
	Machine machine    `json:"machine"`
	Date    string     `json:"date"`
}

// scaleBase is what a sweep leaves as it is.
var scaleBase = shape{Parties: 3, Features: 63, Hidden: 64, Batch: 112}

type scaleOptions struct {
	parties, features, hidden, batch string
	steps, fanout                    int
}

func scaleCommand(o *options) *cobra.Command {
	var s scaleOptions
	cmd := &cobra.Command{
		Use:   "scale",
		Short: "Measure the cost of a training step against parties, features, hidden units and batch",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r := scaleReport{Steps: s.steps, Machine: thisMachine(), Date: today()}
			for _, sweep := range []struct {
				name, sizes string
				set         func(*shape, int)
			}{
				{"parties", s.parties, func(x *shape, n int) { x.Parties = n }},
				{"features", s.features, func(x *shape, n int) { x.Features = n }},
				{"hidden", s.hidden, func(x *shape, n int) { x.Hidden = n }},
				{"batch", s.batch, func(x *shape, n int) { x.Batch = n }},
			} {
				for text := range strings.SplitSeq(sweep.sizes, ",") {
					if text == "" {
						continue
					}
					n, err := strconv.Atoi(text)
					if err != nil || n < 1 {
						return fmt.Errorf("--%s: %q is no size", sweep.name, text)
					}
					x := scaleBase
					sweep.set(&x, n)
					if x.Fanout = x.Parties - 1; s.fanout > 0 {
						x.Fanout = min(s.fanout, x.Fanout)
					}
					row, err := x.measure(cmd.Context(), s.steps, o.toy)
					if err != nil {
						return fmt.Errorf("%+v: %w", x, err)
					}
					row.Sweep = sweep.name
					fmt.Fprintf(cmd.ErrOrStderr(), "%+v: %.3f s\n", x, row.Party)
					r.Rows = append(r.Rows, row)
				}
			}
			return o.print(cmd.OutOrStdout(), r)
		},
	}
	f := cmd.Flags()
	f.StringVar(&s.parties, "parties", "2,4,8,16,32,64,128", "numbers of parties")
	f.StringVar(&s.features, "features", "15,63,255,1023", "numbers of features")
	f.StringVar(&s.hidden, "hidden", "16,32,64,128,256", "numbers of hidden units")
	f.StringVar(&s.batch, "batch", "28,56,112,224,448", "rows of a party in a step")
	f.IntVar(&s.fanout, "fanout", 0, "most children of a party in a tree; 0 for all others")
	f.IntVar(&s.steps, "steps", 3, "steps of each study; medians are over steps and parties")
	return cmd
}

// measure runs a few steps of the shape's study.
func (x shape) measure(ctx context.Context, steps int, toy bool) (scaleRow, error) {
	row := scaleRow{shape: x}
	table, err := dataset.Synthetic(dataset.SyntheticConfig{Rows: x.Parties*x.Batch*5/4 + 5, Features: x.Features, Seed: 1})
	if err != nil {
		return row, err
	}
	a, err := cubic(1.5)
	if err != nil {
		return row, err
	}
	common := netCommon("scale")
	common.Parties, common.Fanout, common.Insecure = x.Parties, max(1, x.Fanout), toy
	r, err := study.RunNetwork(ctx, study.NetworkConfig{
		Common: common, Hidden: []nn.Hidden{{Units: x.Hidden, Activation: a, Gain: 0.1}}, Outputs: 1, Loss: nn.SquaredLoss(2), Gain: 0.02,
		Optimiser: nn.Optimiser{Rate: 0.05, Momentum: 0.5}, Steps: steps, Batch: x.Batch,
	}, table, dataset.Table{}, nil, nil)
	if err != nil {
		return row, err
	}
	row.Party, row.Phase, row.Network, row.Wall = r.Seconds.IterationParty, r.Seconds.IterationPhase, r.Seconds.IterationNetwork, r.Seconds.IterationWallModel
	row.Bytes, row.Setup, row.Keys = r.Bytes.IterationParty, r.Seconds.Setup, r.Crypto.GaloisKeys+r.Crypto.ProductKeys
	row.LogN, row.Refreshes = r.Crypto.LogN, r.Refreshes
	return row, nil
}

// text implements [report].
func (r scaleReport) text(w *bytes.Buffer) {
	fmt.Fprintf(w, "%s, %d cores, %s; medians of %d steps, seconds of a party on one core\n\n", r.Machine.CPU, r.Machine.Cores, r.Date, r.Steps)
	fmt.Fprintf(w, "%-9s %7s %6s %8s %6s %5s %8s %8s %8s %8s %7s %5s %5s %9s\n", "sweep", "parties", "fanout", "features", "hidden", "batch", "party", "local", "refresh", "wall", "MB", "keys", "log N", "refreshes")
	for _, x := range r.Rows {
		fmt.Fprintf(w, "%-9s %7d %6d %8d %6d %5d %8.3f %8.3f %8.3f %8.3f %7.1f %5d %5d %9d\n", x.Sweep, x.Parties, x.Fanout, x.Features, x.Hidden, x.Batch,
			x.Party, x.Phase["map"], x.Phase["refresh"], x.Wall, float64(x.Bytes)/1e6, x.Keys, x.LogN, x.Refreshes)
	}
}
