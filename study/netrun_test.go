package study

import (
	"context"
	"log/slog"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/dataset"
	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/nn"
	"github.com/nereid-mhe/nereid/protocols"
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

// Layers that share ciphertexts train under encryption to the weights of the clear
// twin, as precisely as the plan says, and predict.
func TestRunNetworkInStrips(t *testing.T) {
	sigmoid, err := nn.NewActivation("sigmoid", 3, 3, nn.LeastSquares)
	require.NoError(t, err)
	for name, x := range map[string]struct {
		hidden int
		layout nn.Layout
		change func(c *NetworkConfig)
		counts []int
	}{
		"two layers": {1, nn.Layout{Strips: 2}, func(*NetworkConfig) {}, []int{1, 1}},
		"three layers": {2, nn.Layout{Strips: 4, InputWindow: 8, InnerWindow: 8}, func(c *NetworkConfig) {
			c.Hidden[1].Activation, c.Batch, c.Optimiser.Layers = sigmoid, 25, []float64{1, 0.5, 2}
		}, []int{1, 1, 1}},
		"three layers, Nesterov, several strips": {2, nn.Layout{Strips: 4, InputWindow: 4, InnerWindow: 2, InputBaby: 2}, func(c *NetworkConfig) {
			c.Hidden[0].Activation, c.Batch, c.Optimiser.Nesterov = sigmoid, 20, true
		}, []int{2, 1, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			c, table := toyNetwork(t, 3)
			c.Hidden, c.Layout, c.Predict = c.Hidden[:x.hidden], x.layout, 20
			x.change(&c)
			s, err := PrepareNetwork(t.Context(), c, table, dataset.Table{})
			require.NoError(t, err)
			var counts []int
			for _, q := range s.Plan().Parameters {
				counts = append(counts, q.Count)
			}
			require.Equal(t, x.counts, counts)
			r, err := RunNetwork(t.Context(), c, table, dataset.Table{}, nil, nil)
			require.NoError(t, err)
			v := r.Verification
			t.Logf("weights differ by %.2g, root mean square %.2g, planned %.2g", r.MaxWeightDiff, v.WeightErr, v.WeightErrPlan)
			require.Less(t, r.MaxWeightDiff, 1e-4)
			require.Less(t, v.WeightErr, v.WeightErrPlan)
			require.Greater(t, v.WeightErr, v.WeightErrPlan/32)
			require.Less(t, math.Abs(math.Log2(r.Prediction.Noise/r.Prediction.NoisePlan)), 1.0)
		})
	}
}

// A batch of more rows than a ciphertext holds goes through the network in passes,
// whose gradients add up before the update: to the weights of the clear twin, which
// knows nothing of passes.
func TestRunNetworkInPasses(t *testing.T) {
	const parties = 2
	c, _ := toyNetwork(t, parties)
	c.Hidden, c.Steps = c.Hidden[:1], 2
	most, err := nn.MaxNetworkBatch(nn.Network{Features: 6, Hidden: c.Hidden, Outputs: c.Outputs}, 1<<c.LogN, c.Layout)
	require.NoError(t, err)
	c.Batch = 2 * most
	table, err := dataset.Synthetic(dataset.SyntheticConfig{Rows: 5 * parties * c.Batch / 4, Features: 6, Seed: 3})
	require.NoError(t, err)
	s, err := PrepareNetwork(context.Background(), c, table, dataset.Table{})
	require.NoError(t, err)
	require.Equal(t, 2, s.Plan().Passes)
	require.Equal(t, most, s.Plan().Rows)

	r, err := RunNetwork(t.Context(), c, table, dataset.Table{}, nil, nil)
	require.NoError(t, err)
	t.Logf("%d rows in passes of %d: weights differ by %.2g, planned %.2g", c.Batch, most, r.Verification.WeightErr, r.Verification.WeightErrPlan)
	require.Less(t, r.MaxWeightDiff, 1e-4)
	require.Equal(t, 2*3, r.Refreshes, "three points of refresh in each pass")
}

// What flooding hides is the error of what is opened, after the refresh of the
// outputs with its sums over the units: the plan must not be below the measured one.
func TestPlannedErrorCoversOutputs(t *testing.T) {
	for _, units := range []int{4, 32} { // narrower and wider than a block of the query
		c, table := toyNetwork(t, 3)
		c.Hidden, c.Outputs, c.Predict = c.Hidden[:1], 1, 30
		c.Hidden[0].Units = units
		ctx := context.Background()
		s, err := PrepareNetwork(ctx, c, table, dataset.Table{})
		require.NoError(t, err)
		require.NoError(t, s.runTwin(ctx))
		require.NoError(t, s.makeParties(slog.New(slog.DiscardHandler)))
		require.NoError(t, s.setUp(ctx))
		require.NoError(t, s.train(ctx))
		root := s.parties[0]
		seed := protocols.GenerateSeed()
		q, err := s.admitted(root.enc, seed)
		require.NoError(t, err)
		rows := s.query[:s.net.Query.Rows]
		ask, err := q.encrypt(root.keys.Encryption(), rows, seed, 0)
		require.NoError(t, err)
		outputs := make([]mhe.Tensor, len(s.parties))
		require.NoError(t, s.all(ctx, func(ctx context.Context, p *netParty) error {
			predictor, err := nn.NewPredictor(ctx, s.net, p.ev, p, s.state)
			if err == nil {
				outputs[p.id], err = predictor.Predict(ctx, "query", ask.tensors, len(rows))
			}
			return err
		}))
		var secrets []mhe.SecretKey
		for _, p := range s.parties {
			secrets = append(secrets, p.sk)
		}
		slots, err := mhe.Reveal(root.enc, outputs[0], secrets...)
		require.NoError(t, err)
		got, square := s.net.DecodeOutputs(slots, len(rows)), 0.0
		for i, row := range rows {
			d := got[i][0] - s.net.Net.Output(s.twin[len(s.twin)-1], row, false)[0]
			square += d * d / float64(len(rows))
		}
		measured := math.Sqrt(square)
		t.Logf("%d units: error of outputs 2^%.1f, planned 2^%.1f", units, math.Log2(measured), math.Log2(s.net.Query.OutputErr))
		require.Less(t, measured, s.net.Query.OutputErr)
		require.Greater(t, measured, s.net.Query.OutputErr/64)
	}
}

// Passes over the rows are those of the party with most of them.
func TestNetworkEpochs(t *testing.T) {
	c, table := toyNetwork(t, 3)
	c.Steps, c.Epochs, c.Batch = 0, 2, 7
	s, err := PrepareNetwork(t.Context(), c, table, dataset.Table{})
	require.NoError(t, err)
	require.Equal(t, 2*6, s.Plan().Net.Steps, "40 rows a party in batches of 7")

	c.Steps = 1
	_, err = PrepareNetwork(t.Context(), c, table, dataset.Table{})
	require.ErrorIs(t, err, ErrConfig)
	require.ErrorContains(t, err, "2 epochs and 1 steps: give one of them")
}
