// Command plans prints what the parties of some studies must agree on to the last bit:
// plans, prices that the choice of a plan follows from, masks of updates, initial
// weights and their encoding, noise from a stream, each as a digest. On standard error
// it says whether this program was built to fuse products and sums.
package main

import (
	"context"
	"crypto/sha3"
	"encoding/binary"
	"fmt"
	"io"
	"os"

	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/mhe/rns"
	"github.com/nereid-mhe/nereid/nn"
	"github.com/nereid-mhe/nereid/params"
)

func main() {
	fmt.Fprintf(os.Stderr, "fuses: %t\n", fma(1+0x1p-52, 1-0x1p-52, -1) != 0)
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// fma is not zero for (1+ε)(1-ε)-1 only if the product is not rounded.
//
//go:noinline
func fma(x, y, z float64) float64 { return x*y + z }

func run() error {
	for _, degree := range []int{1, 3, 5, 7} {
		if err := regression(degree); err != nil {
			return err
		}
	}
	for i, name := range nn.ActivationNames() {
		if err := network(name, nn.Criterion(i%2)); err != nil {
			return err
		}
	}
	if err := noise(); err != nil {
		return err
	}
	return search()
}

// noise prints what a party must make again from the same stream.
func noise() error {
	stream := func() io.Reader {
		s := sha3.NewSHAKE128()
		_, _ = s.Write([]byte("plans")) // does not fail
		return s
	}
	small, err := rns.NewGaussian(params.Sigma, 20).Sample(stream(), 1<<14)
	if err != nil {
		return err
	}
	large, err := rns.Flood(stream(), 1<<14, 0x1.3p49)
	if err != nil {
		return err
	}
	fmt.Printf("noise: small %s large %s\n", digest(small), digest(large))
	return nil
}

// digest returns a short hash of values.
func digest(values ...any) string {
	h := sha3.New256()
	for _, v := range values {
		if err := binary.Write(h, binary.BigEndian, v); err != nil {
			fmt.Fprint(h, v) // of a type without a size
		}
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:12])
}

// regression prints plans of logistic and linear regressions.
func regression(degree int) error {
	loss, err := nn.NewLogistic(degree, 6.7)
	if err != nil {
		return err
	}
	m := nn.Model{
		Features: 9, Loss: loss, SGD: nn.SGD{Rate: 0.7, Decay: 0.03, L2: 0.013}, Steps: 50,
		Batch: []int{61, 60, 59}, MaxFeature: 3.3, MaxTarget: 1,
	}
	if degree == 1 {
		m.Loss = nn.Squared{Bound: 2.7}
	}
	p, err := nn.Fit(m, false)
	if err != nil {
		return err
	}
	fmt.Printf("regression %d: plan %x errors %s\n", degree, p.Hash(), digest(p.WeightErr, p.OutputErr, p.OpenedErr))
	return nil
}

// described is a network with all that a study may say.
func described(name string, by nn.Criterion) (n nn.Network, err error) {
	degree := map[string]int{"sigmoid": 7, "tanh": 5, "softplus": 4, "relu": 2, "silu": 6}[name]
	f, err := nn.NewActivation(name, degree, 2.3, by)
	if err != nil {
		return n, err
	}
	loss, err := nn.LogisticLoss(3, 5.1)
	return nn.Network{
		Features: 11, Hidden: []nn.Hidden{{Units: 16, Activation: f, Gain: f.Gain()}, {Units: 7, Activation: f, Gain: f.Gain()}}, Outputs: 3, Loss: loss,
		Optimiser: nn.Optimiser{
			Rate: 0.3, Layers: []float64{1, 0.7, 0.3}, Momentum: 0.9, L2: 0.001,
			Schedule: nn.Schedule{Warmup: 3, Decay: 0.01, Power: 0.9},
		},
		Steps: 20, Parties: 3, Batch: 120, Seed: 5, Gain: 0.7, MaxFeature: 3.3, MaxTarget: 1,
	}, err
}

// network prints the plan of a network and what follows from it.
func network(name string, by nn.Criterion) error {
	n, err := described(name, by)
	if err != nil {
		return err
	}
	p, err := nn.FitNetwork(n, nn.Layout{Predict: true}, false)
	if err != nil {
		return err
	}
	fmt.Printf("%s by %v: plan %x errors %s price %s\n", name, by, p.Hash(), digest(p.WeightErr, p.Query.OutputErr), digest(p.Price(nn.DefaultCosts(), nn.Link{Mbit: 970, Latency: 13}, 2)))
	for _, step := range []int{1, 17} {
		var masks []any
		for _, part := range p.Parts {
			c := p.UpdateConfig(part, step)
			before, mix, after := c.Map.Hash(), c.Mix.Hash(), c.After.Hash()
			masks = append(masks, before[:], mix[:], after[:])
		}
		fmt.Printf("  masks of step %d: %s\n", step, digest(masks...))
	}
	weights := n.InitialWeights()
	var all []any
	for _, a := range weights {
		for _, row := range a.W {
			all = append(all, row)
		}
	}
	encoded, err := mhe.NewEncoder(p.Set).Encode(weights[1].W[0], p.Parameters[1].Scale, mhe.Basis(p.Set, 0))
	if err != nil {
		return err
	}
	fmt.Printf("  initial weights: %s encoded %s\n", digest(all...), digest([]uint64(encoded[0])))
	return nil
}

// search prints what a search finds, and the prices of all that it tries.
func search() error {
	n, err := described("cubic", nn.LeastSquares)
	if err != nil {
		return err
	}
	n.Features, n.Hidden, n.Outputs, n.Optimiser.Layers = 9, n.Hidden[:1], 1, nil
	s, err := nn.PlanNetwork(context.Background(), nn.PlanRequest{
		Net: n, Link: nn.Link{Mbit: 1000, Latency: 20}, Predict: nn.Predictions{Queriers: []nn.Allowance{{Rows: 100, Requests: 5}}},
	})
	if err != nil {
		return err
	}
	var prices []any
	for _, c := range s.Candidates {
		hash := c.Plan.Hash()
		prices = append(prices, hash[:], c.Price, c.Noise)
	}
	fmt.Printf("search: plan %x; %d candidates, %s\n", s.Best().Plan.Hash(), len(s.Candidates), digest(prices...))
	return nil
}
