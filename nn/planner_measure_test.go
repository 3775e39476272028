package nn_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/internal/testkit"
	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/mhe/rns"
	"github.com/nereid-mhe/nereid/nn"
)

// mnist is the network of the papers: 784-64-64-10.
func mnist(t testing.TB, parties int) nn.Network {
	c := activation(t, "cubic", 0, 1.2)
	return nn.Network{
		Features: 784, Hidden: []nn.Hidden{{Units: 64, Activation: c, Gain: 0.3}, {Units: 64, Activation: c, Gain: 0.5}}, Outputs: 10,
		Loss: nn.SquaredLoss(2), Gain: 0.5, Optimiser: nn.Optimiser{Rate: 0.3, Momentum: 0.9},
		Steps: 53, Parties: parties, Batch: 225, MaxFeature: 8, MaxTarget: 1,
	}
}

// fakeRefresh returns ciphertexts of nothing in particular where a refresh would
// return one.
type fakeRefresh struct{ p *nn.NetworkPlan }

func (f fakeRefresh) RefreshLocal(_ context.Context, _, _, point int, _ mhe.Tensor) (mhe.Tensor, error) {
	r := f.p.Points[point]
	b := mhe.Basis(f.p.Set, r.Out)
	c := [2]rns.Poly{b.New(), b.New()}
	for _, x := range c {
		if err := b.Uniform(testkit.Source("refresh")(r.Name), x); err != nil {
			return mhe.Tensor{}, err
		}
	}
	return mhe.NewEncrypted(c[0], c[1], r.Scale), nil
}

var errStop = errors.New("gradients are enough")

// stop is an [nn.Updater] that ends a step after phase MAP.
type stop struct{}

func (stop) Update(context.Context, int, [][]mhe.Tensor, nn.Combine) ([][]mhe.Tensor, error) {
	return nil, errStop
}

// BenchmarkPriceOfMap compares the time of phase MAP with what a plan says it
// takes, after a calibration of this machine: the ratio is 1 within a tenth if
// nothing else runs.
func BenchmarkPriceOfMap(b *testing.B) {
	costs, err := nn.CalibrateCosts(b.Context(), mhe.Machine{})
	require.NoError(b, err)
	for name, l := range map[string]nn.Layout{
		"refresh=all":              {},
		"refresh=all-but-forward3": {NoRefresh: []bool{false, false, true, false, false}},
	} {
		p, err := nn.FitNetwork(mnist(b, 10), l, false)
		require.NoError(b, err)
		b.Run(fmt.Sprintf("%s/logN=%d", name, p.Set.LogN()), func(b *testing.B) {
			phase := phaseMap(b, p)
			for b.Loop() {
				require.NoError(b, phase())
			}
			price := p.Price(costs, nn.Link{Mbit: 1000, Latency: 20}, 0).Map
			b.ReportMetric(price, "priced-s/op")
			b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)/price, "measured/priced")
		})
	}
}

// phaseMap returns what runs phase MAP of a step, on one core.
func phaseMap(t testing.TB, p *nn.NetworkPlan) func() error {
	t.Helper()
	keys := testkit.OneParty(t, p.Set, p.Keys)
	st, err := p.Initial(mhe.NewEncoder(p.Set))
	require.NoError(t, err)
	rows, targets := make([][]float64, p.Net.Batch), make([][]float64, p.Net.Batch)
	for s := range rows {
		rows[s] = testkit.Random(p.Net.Features, uint64(s))
		targets[s], err = p.Net.Targets(s % p.Net.Outputs)
		require.NoError(t, err)
	}
	tr := nn.NetworkTrainer{Plan: p, Eval: mhe.NewCKKS(keys, 1), Refresh: fakeRefresh{p}, Update: stop{}}
	return func() error {
		b, err := p.NetworkBatch(rows, targets)
		if err != nil {
			return err
		}
		if _, err = tr.Step(context.Background(), 0, st, b); !errors.Is(err, errStop) {
			return fmt.Errorf("after phase MAP: %w", err)
		}
		return nil
	}
}
