package nn_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/bootstrap"
	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/nn"
	"github.com/nereid-mhe/nereid/params"
)

// toySet returns parameters of 2^logN slots without security for a network.
func toySet(t testing.TB, logN int, n nn.Network, l nn.Layout) params.Set {
	t.Helper()
	levels, err := nn.NetworkLevels(n, l)
	require.NoError(t, err)
	q := []int{60, 60, 60}
	for range levels {
		q = append(q, 43)
	}
	set, err := params.New(params.Config{LogN: logN, LogQ: q, LogP: []int{60, 60}, LogScale: 43, Parties: n.Parties, Insecure: true})
	require.NoError(t, err)
	return set
}

func activation(t testing.TB, name string, degree int, bound float64) nn.Activation {
	t.Helper()
	a, err := nn.NewActivation(name, degree, bound, nn.LeastSquares)
	require.NoError(t, err)
	return a
}

// networkData returns random rows whose class depends on them.
func networkData(n nn.Network, rows int, seed uint64) []nn.NetworkData {
	rng := rand.New(rand.NewPCG(seed, 1))
	out := make([]nn.NetworkData, n.Parties)
	for i := range out {
		d := &out[i]
		for range rows {
			x := make([]float64, n.Features)
			sum := 0.0
			for j := range x {
				x[j] = max(-n.MaxFeature, min(n.MaxFeature, rng.NormFloat64()))
				sum += x[j] * float64(j%3-1)
			}
			class := 0
			if sum > 0 {
				class = 1
			}
			y, _ := n.Targets(class)
			d.X, d.Y = append(d.X, x), append(d.Y, y)
		}
		d.Sampler, _ = nn.NewSampler(rows, n.Batch, seed, i)
	}
	return out
}

func requireModel(t testing.TB, want, got []nn.Affine, delta float64) {
	t.Helper()
	require.Len(t, got, len(want))
	for l := range want {
		require.InDeltaSlice(t, want[l].B, got[l].B, delta, "biases of layer %d", l+1)
		for k := range want[l].W {
			require.InDeltaSlice(t, want[l].W[k], got[l].W[k], delta, "unit %d of layer %d", k, l+1)
		}
	}
}

// The twin runs the layouts; plain matrix products do the same.
func TestNetworkTwinIsMatrixTraining(t *testing.T) {
	tanh := activation(t, "tanh", 3, 4)
	silu := activation(t, "silu", 2, 4)
	sigmoid := activation(t, "sigmoid", 3, 4)
	logistic, err := nn.LogisticLoss(3, 6)
	require.NoError(t, err)
	plain := nn.Optimiser{Rate: 0.2}
	heavy := nn.Optimiser{Rate: 0.1, Momentum: 0.8, L2: 0.01, Layers: []float64{1, 0.5, 0.7}, Schedule: nn.Schedule{Warmup: 1, Decay: 0.1, Power: 0.5}}
	heavyTwo := nn.Optimiser{Rate: 0.1, Momentum: 0.5, L2: 0.01}
	nesterov := nn.Optimiser{Rate: 0.1, Momentum: 0.7, Nesterov: true, Schedule: nn.Schedule{Power: 1}}
	for name, n := range map[string]nn.Network{
		"no hidden layer": {Features: 5, Outputs: 3, Loss: nn.SquaredLoss(4), Optimiser: plain, Batch: 20},
		"one output":      {Features: 5, Hidden: []nn.Hidden{{Units: 8, Activation: tanh}}, Outputs: 1, Loss: logistic, Optimiser: nn.Optimiser{Rate: 0.5}, Batch: 30},
		"two layers":      {Features: 11, Hidden: []nn.Hidden{{Units: 6, Activation: silu}}, Outputs: 2, Loss: nn.SquaredLoss(4), Optimiser: nesterov, Batch: 40},
		"three layers":    {Features: 11, Hidden: []nn.Hidden{{Units: 8, Activation: tanh}, {Units: 7, Activation: sigmoid}}, Outputs: 3, Loss: nn.SquaredLoss(4), Optimiser: heavy, Batch: 60},
		"narrow to wide":  {Features: 3, Hidden: []nn.Hidden{{Units: 2, Activation: tanh}, {Units: 16, Activation: tanh}}, Outputs: 4, Loss: nn.SquaredLoss(4), Optimiser: plain, Batch: 40},
		"two passes":      {Features: 5, Hidden: []nn.Hidden{{Units: 16, Activation: sigmoid}}, Outputs: 2, Loss: nn.SquaredLoss(4), Optimiser: heavyTwo, Batch: 80},
	} {
		for _, skip := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s skip=%v", name, skip), func(t *testing.T) {
				n.Parties, n.Steps, n.MaxFeature, n.MaxTarget, n.Seed = 3, 4, 3, 1, 7
				var l nn.Layout
				if skip {
					for range 2*len(n.Hidden) + 1 {
						l.NoRefresh = append(l.NoRefresh, true)
					}
				}
				p, err := nn.CompileNetwork(toySet(t, 10, n, l), n, l)
				require.NoError(t, err)
				data := networkData(n, 90, 5)
				twin, err := nn.NewNetworkTwin(p, data)
				require.NoError(t, err)
				requireModel(t, n.InitialWeights(), twin.Weights(), 1e-12)
				for range n.Steps {
					require.NoError(t, twin.Step(context.Background(), 2))
				}
				requireModel(t, nn.TrainExact(n, false, data...), twin.Weights(), 1e-9)
			})
		}
	}
}

// clearRefresh is a refresh in the clear.
type clearRefresh struct{}

func (clearRefresh) RefreshPublic(_ context.Context, _ string, c bootstrap.Config, in []mhe.Tensor) ([]mhe.Tensor, error) {
	var v [][]float64
	for _, x := range in {
		v = append(v, x.Values())
	}
	var out []mhe.Tensor
	for _, y := range c.Apply(v) {
		out = append(out, mhe.ClearTensor(y, c.Out, c.ScaleOut))
	}
	return out, nil
}

// Predictions for encrypted rows are the network's outputs.
func TestPredictorIsTheNetwork(t *testing.T) {
	tanh := activation(t, "tanh", 3, 4)
	sigmoid := activation(t, "sigmoid", 3, 4)
	for _, n := range []nn.Network{
		{Features: 5, Outputs: 3, Loss: nn.SquaredLoss(4), Batch: 20},
		{Features: 11, Hidden: []nn.Hidden{{Units: 8, Activation: tanh}}, Outputs: 1, Loss: nn.SquaredLoss(4), Batch: 40},
		{Features: 6, Hidden: []nn.Hidden{{Units: 4, Activation: tanh}, {Units: 16, Activation: tanh}}, Outputs: 2, Loss: nn.SquaredLoss(4), Batch: 30}, // a narrow first layer
		{Features: 20, Outputs: 1, Loss: nn.SquaredLoss(4), Batch: 30},
		{Features: 30, Hidden: []nn.Hidden{{Units: 8, Activation: sigmoid}, {Units: 8, Activation: tanh}}, Outputs: 3, Loss: nn.SquaredLoss(4), Batch: 40},
	} {
		n.Parties, n.Steps, n.MaxFeature, n.MaxTarget, n.Seed, n.Optimiser = 3, 2, 3, 1, 7, nn.Optimiser{Rate: 0.1, Momentum: 0.5}
		p, err := nn.CompileNetwork(toySet(t, 10, n, nn.Layout{}), n, nn.Layout{Predict: true})
		require.NoError(t, err)
		requirePredictions(t, p, networkData(n, 90, 5))
	}
}

// requirePredictions trains in the clear and holds predictions against the network.
func requirePredictions(t *testing.T, p *nn.NetworkPlan, data []nn.NetworkData) {
	t.Helper()
	n := p.Net
	twin, err := nn.NewNetworkTwin(p, data)
	require.NoError(t, err)
	for range n.Steps {
		require.NoError(t, twin.Step(context.Background(), 2))
	}
	ctx, ev := context.Background(), mhe.NewClear(p.Set)
	predictor, err := nn.NewPredictor(ctx, p, ev, clearRefresh{}, twin.State())
	require.NoError(t, err)
	rows := data[0].X[:min(17, p.Query.Rows)]
	blocks, err := p.EncodeQuery(rows)
	require.NoError(t, err)
	var x []mhe.Tensor
	for _, v := range blocks {
		x = append(x, mhe.ClearTensor(v, p.Query.Level, p.Query.Scale))
	}
	out, err := predictor.Predict(ctx, "query", x, len(rows))
	require.NoError(t, err)
	got := p.DecodeOutputs(out.Values(), len(rows))
	sum, outputs := 0.0, 0.0
	for s, row := range rows {
		want := n.Output(twin.Weights(), row, false)
		require.InDeltaSlice(t, want, got[s], 1e-9)
		for _, v := range want {
			outputs += math.Abs(v)
		}
	}
	for _, v := range out.Values() {
		sum += math.Abs(v)
	}
	require.InDelta(t, outputs, sum, 1e-6, "other slots")
}
