package study

import (
	"context"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/dataset"
	"github.com/nereid-mhe/nereid/nn"
)

// toyNetwork is a small study of a network on a ring without security.
func toyNetwork(t testing.TB, parties int) (NetworkConfig, dataset.Table) {
	t.Helper()
	table, err := dataset.Synthetic(dataset.SyntheticConfig{Rows: 50 * parties, Features: 6, Seed: 3})
	require.NoError(t, err)
	tanh, err := nn.NewActivation("tanh", 3, 3, nn.LeastSquares)
	require.NoError(t, err)
	return NetworkConfig{
		Common: Common{
			Name: "toy", Parties: parties, Fanout: max(1, parties-1), TestFraction: 0.2, Seed: 4, Clip: 4,
			Insecure: true, Link: Link{Mbit: 1000, Latency: 20},
		},
		Hidden: []nn.Hidden{{Units: 8, Activation: tanh}, {Units: 4, Activation: tanh}}, Outputs: 2, Loss: nn.SquaredLoss(3),
		Optimiser: nn.Optimiser{Rate: 0.2, Momentum: 0.8, L2: 0.001}, Steps: 4, Batch: 30, LogN: 10,
	}, table
}

func TestRunNetwork(t *testing.T) {
	c, table := toyNetwork(t, 3)
	c.Predict = 30
	r, err := RunNetwork(context.Background(), c, table, dataset.Table{}, nil, nil)
	require.NoError(t, err)
	require.Less(t, r.MaxWeightDiff, 1e-4)
	require.InDelta(t, r.Accuracy.ClearTwin, r.Accuracy.Encrypted, 0.02)
	require.Equal(t, 5, r.Refreshes)
	require.Len(t, r.MaxWeightDiffStep, 4)
	require.Positive(t, r.Bytes.IterationParty)
	t.Logf("weights differ by %.2g, root mean square %.2g, planned %.2g", r.MaxWeightDiff, r.Verification.WeightErr, r.Verification.WeightErrPlan)
	t.Logf("%+v", r.Accuracy)
	p := r.Prediction
	require.NotNil(t, p)
	require.Equal(t, 30, p.Rows)
	withinBits := math.Abs(math.Log2(p.Noise / p.NoisePlan))
	require.Less(t, withinBits, 1.0, "noise of predictions: measured %.3g, planned %.3g", p.Noise, p.NoisePlan)
	require.Greater(t, p.SameAsTwin, 0.9)
	t.Logf("%+v", p)
}
