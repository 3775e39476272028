package nn_test

import (
	"context"
	"math"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/nn"
	"github.com/nereid-mhe/nereid/params"
)

// planned is a network that is planned in a second or two.
func planned(t testing.TB, parties int) nn.Network {
	return nn.Network{
		Features: 23, Hidden: []nn.Hidden{{Units: 16, Activation: activation(t, "cubic", 0, 2)}}, Outputs: 1,
		Loss: nn.SquaredLoss(3), Optimiser: nn.Optimiser{Rate: 0.2, Momentum: 0.9}, Steps: 40, Parties: parties, Batch: 900,
		MaxFeature: 4, MaxTarget: 1,
	}
}

var fast = nn.Link{Mbit: 10000, Latency: 1}

var slow = nn.Link{Mbit: 100, Latency: 50}

// search is one for all tests: they read it only.
var search = sync.OnceValues(func() (*nn.PlanSearch, error) {
	t := &testing.T{}
	return nn.PlanNetwork(context.Background(), nn.PlanRequest{Net: planned(t, 10), Link: nn.Link{Mbit: 1000, Latency: 20}})
})

func TestPlanIsTheFastest(t *testing.T) {
	s, err := search()
	require.NoError(t, err)
	best := s.Best()
	require.Empty(t, best.Rejected)
	require.Equal(t, 14, best.LogN, "a larger ring is slower")
	require.True(t, best.Plan.Set.Secure())
	for i, c := range s.Candidates[1:] {
		require.Equal(t, nn.Slower, c.Rejected)
		require.NotEmpty(t, c.Reason)
		require.LessOrEqual(t, best.Price.Iteration, 1.02*c.Price.Iteration+1e-6)
		if i > 0 {
			require.LessOrEqual(t, s.Candidates[i].Price.Iteration, c.Price.Iteration+1e-6, "sorted")
		}
	}
	seen := map[nn.Constraint]bool{}
	for _, c := range s.Rejected {
		seen[c.Rejected] = true
		require.NotEmpty(t, c.Reason)
		require.NotContains(t, c.Reason, "\n")
	}
	require.True(t, seen[nn.Security])
	p := best.Price
	require.InDelta(t, p.Map+p.Refresh+p.Update+p.Network, p.Iteration, 1e-12)
	require.InDelta(t, 40*p.Iteration, p.Training, 1e-9)
	m := p.Memory
	require.Equal(t, m.Keys+m.Model+m.Operands+m.Data+m.Shares+m.Collector, m.Total)
	require.GreaterOrEqual(t, m.Keys, int64(best.Plan.Keys.Bytes(best.Plan.Set)))
}

// The plan is data: each candidate compiles again from its layout, to the same
// hash.
func TestCandidatesCompileAgain(t *testing.T) {
	s, err := search()
	require.NoError(t, err)
	hashes := map[[32]byte]bool{}
	for _, c := range s.Candidates {
		n := s.Request.Net
		n.Batch = c.Batch
		levels, err := nn.NetworkLevels(n, c.Layout)
		require.NoError(t, err)
		set, err := params.FitChain(n.Parties, levels, c.Masks, c.Special, c.LogN, false)
		require.NoError(t, err)
		p, err := nn.CompileNetwork(set, n, c.Layout)
		require.NoError(t, err)
		require.Equal(t, c.Plan.Hash(), p.Hash(), "%v", c)
		require.Equal(t, c.Price, p.Price(s.Request.Costs, s.Request.Link, s.Request.Fanout))
		require.False(t, hashes[p.Hash()], "every candidate once: %v", c)
		hashes[p.Hash()] = true
	}
}

func TestPlanIsDeterministic(t *testing.T) {
	if testing.Short() {
		t.Skip("searches once more")
	}
	s, err := search()
	require.NoError(t, err)
	again, err := nn.PlanNetwork(t.Context(), s.Request)
	require.NoError(t, err)
	require.Len(t, again.Candidates, len(s.Candidates))
	for i := range s.Candidates {
		a, b := s.Candidates[i], again.Candidates[i]
		require.Equal(t, a.Plan.Hash(), b.Plan.Hash())
		require.Equal(t, a.Price, b.Price)
		require.Equal(t, a.Reason, b.Reason)
	}
	require.Equal(t, len(s.Rejected), len(again.Rejected))
}

// More parties make refreshes dearer, slower links the network.
func TestPriceIsMonotonic(t *testing.T) {
	price := func(parties int, l nn.Link, fanout int) nn.Price {
		p, err := nn.FitNetwork(planned(t, parties), nn.Layout{}, false)
		require.NoError(t, err)
		return p.Price(nn.DefaultCosts(), l, fanout)
	}
	few, many := price(3, fast, 0), price(30, fast, 0)
	require.Greater(t, many.Refresh, 5*few.Refresh)
	require.Greater(t, many.Network, few.Network)
	require.Greater(t, many.IterationBytes, few.IterationBytes)
	require.Greater(t, many.Memory.Shares, few.Memory.Shares)
	require.InDelta(t, few.Map, many.Map, 1e-9, "a party's own rows")
	far := price(30, slow, 0)
	require.Greater(t, far.Network/far.Iteration, many.Network/many.Iteration)
	require.Equal(t, many.Refresh, far.Refresh)
	deep := price(30, fast, 2)
	require.Greater(t, deep.Network, many.Network, "a deep tree has more latency")
}

// The model of the network, by hand for a layer without hidden ones: one point,
// parts of one owner each.
func TestNetworkModel(t *testing.T) {
	n := planned(t, 4)
	n.Hidden, n.Batch = nil, 100
	p, err := nn.FitNetwork(n, nn.Layout{InputWindow: 32}, false)
	require.NoError(t, err)
	size := func(level int) float64 { return float64(mhe.Basis(p.Set, level).EncodedSize()) }
	in, out, top := size(p.Set.MaskLevel()), size(p.Points[0].Out), size(p.Parameters[0].Level)
	require.Len(t, p.Parts, 1, "one ciphertext of weights, whose biases are a feature")
	bytes := 3 * (in + in + out + in + in + in + top + top)
	link := nn.Link{Mbit: 8, Latency: 250}
	require.InDelta(t, bytes/1e6+6*0.25, p.Network(link, 0).Seconds(), 1e-6)
	require.InDelta(t, bytes/1e6+6*2*0.25, p.Network(link, 2).Seconds(), 1e-6, "depth 2")
}

// What wins depends on the parties: few refresh where many do not. For so small a
// network the larger ring, which needs no refresh of a party's own, wins on a fast
// link only: on a slow one the bytes of its updates outweigh it.
func TestCrossover(t *testing.T) {
	s, err := search()
	require.NoError(t, err)
	ws, err := nn.Crossover(t.Context(), s, []int{2, 100}, []nn.Link{fast, slow})
	require.NoError(t, err)
	require.Len(t, ws, 4)
	few, many := ws[0], ws[1]
	require.Equal(t, fast, few.Link)
	require.Equal(t, 100, many.Parties)
	require.Greater(t, many.Skipped, few.Skipped, "%+v", ws)
	requireWinners(t, ws)
	require.Regexp(t, `^from 2 parties .*; from 100 parties no local refresh`, nn.CrossoverLine(ws, fast))
}

func requireWinners(t *testing.T, ws []nn.Winner) {
	t.Helper()
	for _, w := range ws {
		t.Logf("%+v", w)
		require.Positive(t, w.Seconds)
		require.LessOrEqual(t, w.Seconds, 1.02*w.All+1e-6)
		if w.None > 0 {
			require.LessOrEqual(t, w.Seconds, 1.02*w.None+1e-6)
		}
	}
}

// The network of the papers: few parties on a fast link refresh at every point,
// many on a slow one at as few as the small ring has room for. The larger ring
// without any never wins.
func TestCrossoverOfMNIST(t *testing.T) {
	if testing.Short() {
		t.Skip("plans for many numbers of parties")
	}
	s, err := nn.PlanNetwork(t.Context(), nn.PlanRequest{Net: mnist(t, 10), Link: nn.Link{Mbit: 1000, Latency: 20}})
	require.NoError(t, err)
	ws, err := nn.Crossover(t.Context(), s, []int{2, 10, 100}, []nn.Link{fast, slow})
	require.NoError(t, err)
	requireWinners(t, ws)
	few, many := ws[0], ws[5]
	require.Zero(t, few.Skipped)
	require.Greater(t, many.Skipped, 1)
	require.NotEqual(t, few.Placement, many.Placement)
}

// An open batch is what fits, and plans are compared by the row.
func TestPlanOpenBatch(t *testing.T) {
	if testing.Short() {
		t.Skip("searches all rings")
	}
	r := nn.PlanRequest{Net: planned(t, 3), Link: fast}
	r.Net.Batch, r.Net.Hidden = 0, nil
	s, err := nn.PlanNetwork(t.Context(), r)
	require.NoError(t, err)
	best := s.Best()
	most, err := nn.MaxNetworkBatch(r.Net, best.Plan.Set.N(), best.Layout)
	require.NoError(t, err)
	require.Equal(t, most, best.Batch)
	require.Equal(t, 1, best.Plan.Passes)
	for _, c := range s.Candidates {
		require.LessOrEqual(t, best.Price.Row, 1.02*c.Price.Row+1e-8)
	}
}

func TestPlanRefusals(t *testing.T) {
	sigmoid := activation(t, "sigmoid", 3, 6)
	for name, x := range map[string]struct {
		change func(r *nn.PlanRequest)
		want   string
	}{
		"link":    {func(r *nn.PlanRequest) { r.Link.Mbit = 0 }, "a link of 0 Mbit/s"},
		"latency": {func(r *nn.PlanRequest) { r.Link.Latency = -1 }, "a link of"},
		"fanout":  {func(r *nn.PlanRequest) { r.Fanout = -1 }, "a fan-out of -1"},
		"batch":   {func(r *nn.PlanRequest) { r.Net.Batch = -1 }, "a batch of -1 rows"},
		"limit":   {func(r *nn.PlanRequest) { r.MaxMemory = -1 }, "a memory limit of -1 bytes"},
		"error":   {func(r *nn.PlanRequest) { r.MaxWeightErr = -1 }, "weights within -1"},
		"rows":    {func(r *nn.PlanRequest) { r.Predict.Queriers = []nn.Allowance{{}} }, "predictions of 0 rows in 0 requests"},
		"requests": {func(r *nn.PlanRequest) {
			r.Net.Hidden, r.Predict.Queriers = nil, []nn.Allowance{{Rows: 1 << 30, Requests: 1}}
		}, "shape: a querier may have 1073741824 rows in 1 requests, which hold .* allow .* requests"},
		"model":     {func(r *nn.PlanRequest) { r.Net.Steps = 0 }, "0 training steps"},
		"memory":    {func(r *nn.PlanRequest) { r.Net.Hidden, r.MaxMemory = nil, 1<<26 }, `memory: .* GiB needed, 0.06 GiB allowed: allow .* GiB, which fits N=2\^14`},
		"precision": {func(r *nn.PlanRequest) { r.Net.Hidden, r.MaxWeightErr = nil, 1e-12 }, `precision: weights within .* after training, want 1.0e-12 at best`},
		"wide": {func(r *nn.PlanRequest) {
			r.Net.Hidden = []nn.Hidden{{Units: 1 << 15, Activation: sigmoid}}
		}, "shape: .*units"},
	} {
		t.Run(name, func(t *testing.T) {
			if search := name == "memory" || name == "precision" || name == "wide" || name == "requests"; search && testing.Short() {
				t.Skip("searches all rings")
			}
			r := nn.PlanRequest{Net: planned(t, 3), Link: fast}
			x.change(&r)
			_, err := nn.PlanNetwork(t.Context(), r)
			require.ErrorIs(t, err, nn.ErrModel)
			require.Regexp(t, x.want, err.Error())
		})
	}
	bad := nn.DefaultCosts()
	bad.Samples = bad.Samples[:1]
	_, err := nn.PlanNetwork(t.Context(), nn.PlanRequest{Net: planned(t, 3), Link: fast, Costs: bad})
	require.ErrorIs(t, err, mhe.ErrCosts)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = nn.PlanNetwork(ctx, nn.PlanRequest{Net: planned(t, 3), Link: fast})
	require.ErrorIs(t, err, context.Canceled)
}

// What would fit does: the memory that a refusal asks for is enough.
func TestRefusalOfMemorySaysWhatFits(t *testing.T) {
	if testing.Short() {
		t.Skip("searches once more")
	}
	s, err := search()
	require.NoError(t, err)
	least := slices.MinFunc(s.Candidates, func(a, b nn.Candidate) int { return int(a.Price.Memory.Total - b.Price.Memory.Total) })
	r := s.Request
	r.MaxMemory = least.Price.Memory.Total
	got, err := nn.PlanNetwork(t.Context(), r)
	require.NoError(t, err)
	require.LessOrEqual(t, got.Best().Price.Memory.Total, r.MaxMemory)
}

func TestDefaultCosts(t *testing.T) {
	c := nn.DefaultCosts()
	require.NoError(t, c.Check())
	require.NotEmpty(t, c.Machine.CPU)
}

// A calibration has all that a plan is priced with.
func TestCalibrate(t *testing.T) {
	c, err := nn.CalibrateToy(t.Context())
	require.NoError(t, err)
	require.NoError(t, c.Check())
	p, err := nn.FitNetwork(planned(t, 3), nn.Layout{}, false)
	require.NoError(t, err)
	require.Positive(t, p.Price(c, fast, 0).Map)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = nn.CalibrateToy(ctx)
	require.ErrorIs(t, err, context.Canceled)
}

// Predictions are planned with the precision that their flooding leaves: the noise
// of what is opened is within what was asked for, and where training alone would do
// with less, other primes or another ring are chosen. A plan without predictions is
// never slower.
func TestPlanOfPredictions(t *testing.T) {
	if testing.Short() {
		t.Skip("searches all rings")
	}
	r := nn.PlanRequest{Net: planned(t, 10), Link: nn.Link{Mbit: 1000, Latency: 20}, Predict: nn.Predictions{Queriers: []nn.Allowance{{Rows: 3000}, {Rows: 2000}}, MaxNoise: 0.02}}
	s, err := nn.PlanNetwork(t.Context(), r)
	require.NoError(t, err)
	best := s.Best()
	require.LessOrEqual(t, best.Noise, 0.02)
	openings, err := r.Predict.Openings(best.Plan.Query.Rows)
	require.NoError(t, err)
	require.Equal(t, openings, best.Openings)
	noise, err := best.Plan.OutputNoise(openings, mhe.MinFlooding)
	require.NoError(t, err)
	require.Equal(t, noise, best.Noise)
	more, err := best.Plan.OutputNoise(4*openings, mhe.MinFlooding)
	require.NoError(t, err)
	require.InEpsilon(t, 2*noise, more, 0.01, "flooding grows with the root of the openings")
	for _, c := range s.Candidates {
		require.LessOrEqual(t, c.Noise, 0.02)
	}
	without, err := search()
	require.NoError(t, err)
	require.Nil(t, without.Best().Plan.Query)
	require.LessOrEqual(t, without.Best().Price.Iteration, best.Price.Iteration)
	require.Equal(t, params.Roomy, best.Masks, "three mask primes leave gradients too coarse")

	// One who asks for few rows at a time needs more openings, and more precision.
	r.Predict.Queriers[1].Requests = 60
	often, err := nn.PlanNetwork(t.Context(), r)
	require.NoError(t, err)
	require.Greater(t, often.Best().Openings, 60)
	require.LessOrEqual(t, often.Best().Noise, 0.02)
	noise, err = best.Plan.OutputNoise(often.Best().Openings, mhe.MinFlooding)
	require.NoError(t, err)
	require.InEpsilon(t, best.Noise*math.Sqrt(float64(often.Best().Openings)/float64(best.Openings)), noise, 0.01)
	require.Greater(t, noise, 2*best.Noise)

	r.Predict.MaxNoise = 1e-12
	_, err = nn.PlanNetwork(t.Context(), r)
	require.ErrorIs(t, err, nn.ErrModel)
	require.Regexp(t, "precision: outputs opened with a noise of .*, want 1e-12 at best", err.Error())
}

func TestOpeningsOfPredictions(t *testing.T) {
	p := nn.Predictions{Queriers: []nn.Allowance{{Rows: 21}, {Rows: 10, Requests: 4}}}
	require.Equal(t, 31, p.Rows())
	n, err := p.Openings(10)
	require.NoError(t, err)
	require.Equal(t, 3+4, n)
	_, err = p.Openings(2)
	require.ErrorIs(t, err, nn.ErrModel)
	require.ErrorContains(t, err, "a querier may have 10 rows in 4 requests, which hold 2 rows each: allow 5 requests, or fewer rows")
	n, err = nn.Predictions{}.Openings(10)
	require.NoError(t, err)
	require.Zero(t, n)
}

// Prices within a percent are the same: the simpler plan is chosen, whatever the last
// digits say. Much more precision is worth a little more.
func TestChoiceDoesNotTurnOnDigits(t *testing.T) {
	c := func(seconds float64, strips int, bytes, memory int64, bits float64) nn.Candidate {
		return nn.Candidate{Batch: 10, Layout: nn.Layout{Strips: strips}, Price: nn.Price{Iteration: seconds, IterationBytes: bytes, Memory: nn.Memory{Total: memory}, Bits: bits}}
	}
	for name, x := range map[string]struct {
		cs   []nn.Candidate // by price
		want int
	}{
		"strips that gain little":   {[]nn.Candidate{c(1, 4, 10, 5, 20), c(1.009, 1, 12, 5, 20)}, 1},
		"strips that gain enough":   {[]nn.Candidate{c(1, 4, 10, 5, 20), c(1.011, 1, 12, 5, 20)}, 0},
		"as many strips":            {[]nn.Candidate{c(1, 1, 10, 5, 20), c(1.001, 1, 10, 5, 20)}, 0},
		"fewer bytes":               {[]nn.Candidate{c(1, 1, 10, 5, 20), c(1.001, 1, 9, 9, 20)}, 1},
		"less memory":               {[]nn.Candidate{c(1, 1, 10, 5, 20), c(1.001, 1, 10, 4, 20)}, 1},
		"precision":                 {[]nn.Candidate{c(1, 1, 10, 5, 20), c(1.001, 1, 9, 5, 20), c(1.019, 2, 20, 9, 21)}, 2},
		"precision that costs much": {[]nn.Candidate{c(1, 1, 10, 5, 20), c(1.021, 1, 10, 5, 25)}, 0},
	} {
		require.Equal(t, x.want, nn.Chosen(x.cs), name)
	}
}

// Where none of the candidates fits another number of parties, that is said, and
// nothing fails.
func TestCrossoverWhereNothingFits(t *testing.T) {
	s, err := nn.PlanNetwork(t.Context(), nn.PlanRequest{Net: planned(t, 2), Link: fast})
	require.NoError(t, err)
	s.Request.MaxMemory = s.Best().Price.Memory.Total + 1<<20
	ws, err := nn.Crossover(t.Context(), s, []int{2, 100}, []nn.Link{fast})
	require.NoError(t, err)
	require.Empty(t, ws[0].Reason)
	require.NotZero(t, ws[0].Seconds)
	require.Contains(t, ws[1].Reason, "GiB")
	require.Zero(t, ws[1].Seconds)
	require.Regexp(t, `from 100 parties nothing fits: `, nn.CrossoverLine(ws, fast))
}
