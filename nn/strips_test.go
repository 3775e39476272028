package nn_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/internal/testkit"
	"github.com/nereid-mhe/nereid/nn"
)

// packed are networks whose layers share ciphertexts, with strips for each.
func packed(t testing.TB) map[string]struct {
	n      nn.Network
	layout nn.Layout
	counts []int // ciphertexts of each parameter
} {
	tanh, sigmoid := activation(t, "tanh", 3, 4), activation(t, "sigmoid", 3, 4)
	logistic, err := nn.LogisticLoss(3, 6)
	require.NoError(t, err)
	heavy := nn.Optimiser{Rate: 0.1, Momentum: 0.8, L2: 0.01, Layers: []float64{1, 0.5, 0.7}, Schedule: nn.Schedule{Warmup: 1, Decay: 0.1, Power: 0.5}}
	nesterov := nn.Optimiser{Rate: 0.1, Momentum: 0.7, Nesterov: true, L2: 0.01}
	return map[string]struct {
		n      nn.Network
		layout nn.Layout
		counts []int
	}{
		"two layers in one ciphertext": {
			nn.Network{Features: 5, Hidden: []nn.Hidden{{Units: 8, Activation: tanh}}, Outputs: 1, Loss: logistic, Optimiser: nn.Optimiser{Rate: 0.5}, Batch: 40},
			nn.Layout{Strips: 2},
			[]int{1, 1},
		},
		"three layers in one ciphertext, constants in an activation": {
			nn.Network{Features: 11, Hidden: []nn.Hidden{{Units: 8, Activation: tanh}, {Units: 7, Activation: sigmoid}}, Outputs: 3, Loss: nn.SquaredLoss(4), Optimiser: heavy, Batch: 17},
			nn.Layout{Strips: 4, InputWindow: 16, InnerWindow: 8},
			[]int{1, 1, 1},
		},
		"several strips of each": {
			nn.Network{Features: 11, Hidden: []nn.Hidden{{Units: 8, Activation: sigmoid}, {Units: 7, Activation: tanh}}, Outputs: 3, Loss: nn.SquaredLoss(4), Optimiser: heavy, Batch: 13},
			nn.Layout{Strips: 4, InputWindow: 4, InputBaby: 2, InnerWindow: 2}, // 3, 4 and 2
			[]int{3, 1, 1},
		},
		"blocks shorter than the layers are wide": {
			nn.Network{Features: 3, Hidden: []nn.Hidden{{Units: 2, Activation: tanh}, {Units: 16, Activation: tanh}, {Units: 16, Activation: tanh}}, Outputs: 4, Loss: nn.SquaredLoss(4), Optimiser: nesterov, Batch: 9},
			nn.Layout{Strips: 4, InnerWindow: 8}, // 1, 1, 2 and 1
			[]int{2, 1, 1, 1},
		},
		"features of one layer": {
			nn.Network{Features: 20, Outputs: 3, Loss: nn.SquaredLoss(4), Optimiser: nesterov, Batch: 20},
			nn.Layout{Strips: 2, InputWindow: 8, InputBaby: 4}, // 3
			[]int{2},
		},
	}
}

// Weights in shared ciphertexts train as they do in their own: to the result of
// matrix products.
func TestStripsAreMatrixTraining(t *testing.T) {
	for name, c := range packed(t) {
		for _, skip := range []string{"none", "all", "first"} {
			t.Run(fmt.Sprintf("%s, skip %s", name, skip), func(t *testing.T) {
				n, l := c.n, c.layout
				n.Parties, n.Steps, n.MaxFeature, n.MaxTarget, n.Seed = 3, 4, 3, 1, 7
				for i := range 2*len(n.Hidden) + 1 {
					l.NoRefresh = append(l.NoRefresh, skip == "all" || skip == "first" && i == 0)
				}
				p, err := nn.CompileNetwork(toySet(t, 10, n, l), n, l)
				require.NoError(t, err)
				var counts []int
				for _, q := range p.Parameters {
					counts = append(counts, q.Count)
				}
				require.Equal(t, c.counts, counts)
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

// The strips are part of the plan, and change neither what is trained nor how
// precisely: noise is that of a ciphertext, whoever shares it.
func TestStripsOfPlans(t *testing.T) {
	for name, c := range packed(t) {
		t.Run(name, func(t *testing.T) {
			n, own := c.n, c.layout
			n.Parties, n.Steps, n.MaxFeature, n.MaxTarget = 3, 4, 3, 1
			own.Strips = 1
			set := toySet(t, 12, n, own)
			shared, err := nn.CompileNetwork(set, n, c.layout)
			require.NoError(t, err)
			alone, err := nn.CompileNetwork(set, n, own)
			require.NoError(t, err)
			require.NotEqual(t, alone.Hash(), shared.Hash())
			require.Less(t, len(shared.Parameters), len(alone.Parameters)+1)
			require.InEpsilon(t, alone.WeightErr, shared.WeightErr, 0.5)
			most, err := nn.MaxNetworkBatch(n, set.N(), c.layout)
			require.NoError(t, err)
			n.Batch = most
			_, err = nn.CompileNetwork(set, n, c.layout)
			require.NoError(t, err, "%d rows fit", most)
			n.Batch++
			_, err = nn.CompileNetwork(set, n, c.layout)
			require.ErrorIs(t, err, nn.ErrModel)
			require.ErrorContains(t, err, fmt.Sprintf("a batch of %d rows does not fit beside a window", n.Batch))
			require.ErrorContains(t, err, "take fewer strips")
		})
	}
}

// Parties share the ciphertexts of the aggregated refresh out where no layer lies
// across: the parts give what the whole gives.
func TestPartsOfStrips(t *testing.T) {
	parts := map[string]int{} // of the weights
	for name, c := range packed(t) {
		n := c.n
		n.Parties, n.Steps, n.MaxFeature, n.MaxTarget = 10, 4, 3, 1
		p, err := nn.CompileNetwork(toySet(t, 10, n, c.layout), n, c.layout)
		require.NoError(t, err)
		done := make([]int, len(p.Parameters))
		for _, part := range p.Parts {
			q := p.Parameters[part.Parameter]
			var in [][]float64
			for i := range q.Count {
				in = append(in, testkit.Random(p.Set.N(), uint64(i)))
			}
			require.Equal(t, done[part.Parameter], part.Lo, "in order")
			done[part.Parameter] = part.Hi
			want := p.UpdateConfig(nn.Part{Parameter: part.Parameter, Hi: q.Count}, 1).Apply(in)
			got := p.UpdateConfig(part, 1).Apply(in[part.Lo:part.Hi])
			require.Equal(t, want[part.Lo:part.Hi], got, name)
			if !q.Bias {
				parts[name]++
			}
		}
		for i, q := range p.Parameters {
			require.Equal(t, q.Count, done[i])
		}
	}
	require.Equal(t, 2, parts["features of one layer"])
	require.Equal(t, 1, parts["several strips of each"])
}

func TestStripsRefuse(t *testing.T) {
	n := packed(t)["two layers in one ciphertext"].n
	n.Parties, n.Steps, n.MaxFeature, n.MaxTarget = 3, 4, 3, 1
	for _, l := range []nn.Layout{{Strips: 3}, {Strips: 256}, {Strips: 16, InputWindow: 16}, {Strips: -4}} {
		_, err := nn.CompileNetwork(toySet(t, 10, n, l), n, l)
		require.ErrorIs(t, err, nn.ErrModel, "%+v", l)
		_, err = nn.MaxNetworkBatch(n, 1<<10, l)
		require.ErrorContains(t, err, "take fewer strips", "%+v", l)
	}
}

// Predictions take the weights from their strips.
func TestPredictorOfStrips(t *testing.T) {
	for name, c := range packed(t) {
		t.Run(name, func(t *testing.T) {
			n, l := c.n, c.layout
			n.Parties, n.Steps, n.MaxFeature, n.MaxTarget, n.Seed = 3, 2, 3, 1, 7
			if len(n.Hidden) > 0 {
				n.Loss = nn.SquaredLoss(4)
			}
			l.Predict = true
			p, err := nn.CompileNetwork(toySet(t, 10, n, l), n, l)
			require.NoError(t, err)
			requirePredictions(t, p, networkData(n, 90, 5))
		})
	}
}

// Sharing ciphertexts is chosen where it is cheaper, and only there: two parties with
// few rows save a transfer; with full ciphertexts there is no room for it.
func TestPlanSharesCiphertexts(t *testing.T) {
	if testing.Short() {
		t.Skip("searches twice")
	}
	n := planned(t, 2)
	n.Features, n.Hidden[0].Units, n.Batch = 9, 64, 54
	s, err := nn.PlanNetwork(t.Context(), nn.PlanRequest{Net: n, Link: nn.Link{Mbit: 1000, Latency: 20}})
	require.NoError(t, err)
	best := s.Best()
	require.Greater(t, best.Layout.Strips, 1)
	require.Regexp(t, `strips of \d+ positions, \d+ to a ciphertext, 1 in all`, best.Packing())
	require.Contains(t, best.String(), best.Packing())
	alone := false
	for _, c := range s.Distinct() {
		if c.Layout.Strips == 1 && c.Points() == best.Points() && c.Chain == best.Chain {
			alone = true
			require.Less(t, best.Price.Iteration, c.Price.Iteration)
			require.Less(t, best.Price.IterationBytes, c.Price.IterationBytes)
			require.Contains(t, c.Reason, "slower", "the report says by how much")
		}
	}
	require.True(t, alone, "the same without strips is among the candidates")

	full, err := search()
	require.NoError(t, err)
	for _, c := range full.Candidates {
		require.Equal(t, 1, c.Layout.Strips)
	}
}
