package nn_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/nereid-mhe/nereid/internal/testkit"
	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/nn"
	"github.com/nereid-mhe/nereid/packing"
	"github.com/nereid-mhe/nereid/params"
)

func TestModelRefusals(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*nn.Model)
		want   string
	}{
		{"no features", func(m *nn.Model) { m.Features = 0 }, "0 features"},
		{"negative features", func(m *nn.Model) { m.Features = -1 }, "-1 features"},
		{"no loss", func(m *nn.Model) { m.Loss = nil }, "no loss"},
		{"the zero logistic loss", func(m *nn.Model) { m.Loss = nn.Logistic{} }, "a loss on the interval [-0, 0]"},
		{"the zero squared loss", func(m *nn.Model) { m.Loss = nn.Squared{} }, "a loss on the interval"},
		{"a negative interval", func(m *nn.Model) { m.Loss = nn.Squared{Bound: -1} }, "a loss on the interval"},
		{"an unknown interval", func(m *nn.Model) { m.Loss = nn.Squared{Bound: math.NaN()} }, "a loss on the interval"},
		{"an infinite interval", func(m *nn.Model) { m.Loss = nn.Squared{Bound: math.Inf(1)} }, "a loss on the interval"},
		{"no steps", func(m *nn.Model) { m.Steps = 0 }, "0 training steps"},
		{"one party", func(m *nn.Model) { m.Batch = m.Batch[:1] }, "1 parties, want at least 2"},
		{"an empty batch", func(m *nn.Model) { m.Batch[1] = 0 }, "party 1 has a batch of 0 rows"},
		{"features without bound", func(m *nn.Model) { m.MaxFeature = 0 }, "features bounded by 0"},
		{"features of NaN", func(m *nn.Model) { m.MaxFeature = math.NaN() }, "features bounded by NaN"},
		{"features of Inf", func(m *nn.Model) { m.MaxFeature = math.Inf(1) }, "features bounded by +Inf"},
		{"negative targets", func(m *nn.Model) { m.MaxTarget = -1 }, "targets bounded by -1"},
		{"targets of NaN", func(m *nn.Model) { m.MaxTarget = math.NaN() }, "targets bounded by NaN"},
		{"targets of Inf", func(m *nn.Model) { m.MaxTarget = math.Inf(1) }, "targets bounded by +Inf"},
		{"no learning rate", func(m *nn.Model) { m.SGD.Rate = 0 }, "learning rate 0"},
		{"a learning rate of NaN", func(m *nn.Model) { m.SGD.Rate = math.NaN() }, "learning rate NaN"},
		{"an infinite learning rate", func(m *nn.Model) { m.SGD.Rate = math.Inf(1) }, "learning rate +Inf"},
		{"negative decay", func(m *nn.Model) { m.SGD.Decay = -1 }, "decay -1"},
		{"decay of NaN", func(m *nn.Model) { m.SGD.Decay = math.NaN() }, "decay NaN"},
		{"infinite decay", func(m *nn.Model) { m.SGD.Decay = math.Inf(1) }, "decay +Inf"},
		{"negative L2", func(m *nn.Model) { m.SGD.L2 = -1 }, "L2 -1"},
		{"L2 of NaN", func(m *nn.Model) { m.SGD.L2 = math.NaN() }, "L2 NaN"},
		{"infinite L2", func(m *nn.Model) { m.SGD.L2 = math.Inf(1) }, "L2 +Inf"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := small(t)
			tt.change(&m)
			set := testkit.Toy(t, max(2, len(m.Batch)))
			for _, err := range []error{
				second(nn.FitInsecure(m)), second(nn.Fit(m, false)), second(nn.Compile(set, m)),
			} {
				require.ErrorIs(t, err, nn.ErrModel)
				require.ErrorContains(t, err, tt.want)
			}
		})
	}
	// all at once
	_, err := nn.FitInsecure(nn.Model{SGD: nn.SGD{Decay: -1, L2: -1}})
	require.Len(t, strings.Split(err.Error(), "\n"), 8, err)
}

func second(_ nn.Plan, err error) error { return err }

// What a model needs must be there: levels, slots, parties, and a small enough
// gradient.
func TestCompileRefuses(t *testing.T) {
	toy := func(parties, levels int) params.Set {
		set, err := params.InsecureToy(parties, levels)
		require.NoError(t, err)
		return set
	}
	// a cubic costs: 1 forward, 2 for the powers, 1 backward
	_, err := nn.Compile(toy(3, 4), small(t))
	require.NoError(t, err)

	m := small(t)
	m.Loss = logistic(t, 7, 6) // 6 levels and a mask level that none is left for
	_, err = nn.Compile(toy(3, 1), m)
	require.ErrorIs(t, err, mhe.ErrLevel)
	var level *mhe.LevelError
	require.ErrorAs(t, err, &level)
	require.Equal(t, "Polynomials", level.Op)
	require.Equal(t, 4, level.Need)
	require.Equal(t, 2, level.Have, "of three levels, one went to the product")

	_, err = nn.Compile(toy(3, 3), small(t)) // the gradient ends below the masks
	require.ErrorIs(t, err, mhe.ErrShape)
	require.ErrorContains(t, err, "the masks need level 2")

	_, err = nn.Compile(toy(4, 4), small(t))
	require.ErrorIs(t, err, nn.ErrModel)
	require.ErrorContains(t, err, "3 batches for parameters of 4 parties")

	m = small(t)
	m.Batch = []int{1, 129, 1} // 8·128 slots are there
	_, err = nn.Compile(toy(3, 4), m)
	require.ErrorIs(t, err, packing.ErrShape)
	require.ErrorIs(t, err, nn.ErrModel)
	require.ErrorContains(t, err, "5 features × 129 samples")
	m.Batch[1] = 128
	_, err = nn.Compile(toy(3, 4), m)
	require.NoError(t, err)

	m = small(t)
	m.MaxFeature = 1e12 // leaves no scale below the masks
	_, err = nn.Compile(toy(3, 4), m)
	require.Error(t, err)
}

// Fit finds a secure set for every degree and for least squares, whose refresh is
// at the lowest level that carries masks, and no key is for a level or a rotation
// that is not used.
func TestFitIsSecureForEveryDegree(t *testing.T) {
	if testing.Short() {
		t.Skip("real rings")
	}
	for _, tt := range []struct {
		name        string
		loss        nn.Loss
		logN, scale int
		quantum     bool
	}{
		{name: "squared", loss: nn.Squared{Bound: 6}, logN: 14, scale: 45},
		{name: "degree 1", loss: logistic(t, 1, 6), logN: 14, scale: 45},
		{name: "degree 3", loss: logistic(t, 3, 6), logN: 14, scale: 45},
		{name: "degree 5", loss: logistic(t, 5, 6), logN: 14, scale: 37},
		{name: "degree 7", loss: logistic(t, 7, 6), logN: 15, scale: 45},
		{name: "degree 3, quantum", loss: logistic(t, 3, 6), logN: 15, scale: 45, quantum: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := small(t)
			m.Loss = tt.loss
			p, err := nn.Fit(m, tt.quantum)
			require.NoError(t, err)
			require.Equal(t, 128, p.Set.SecurityBits())
			require.Equal(t, tt.logN, p.Set.LogN())
			require.Equal(t, tt.scale, p.Set.LogScale())
			require.Equal(t, p.Set.MaskLevel(), p.GradLevel, "no level is unused")
			require.NoError(t, p.Keys.Check(p.Set))
			require.Len(t, p.Keys.Products, 1)
			require.Zero(t, p.Keys.Products[0].By, "products only relinearise")
			var rotations []int
			for _, k := range p.Keys.Rotations {
				rotations = append(rotations, k.By)
			}
			require.Equal(t, p.Dense.Dot.Sum.Rotations(p.Set.N()), rotations)
			require.LessOrEqual(t, p.Dense.LogScale, p.Set.LogMessage())
			require.Less(t, p.WeightErr, 1e-4, "what issue and users expect of weights")
			require.Positive(t, p.WeightErr)
			require.Positive(t, p.OutputErr)
			require.Positive(t, p.OpenedErr)
			require.LessOrEqual(t, p.OpenedErr, p.OutputErr, "most slots of an answer are empty")
			require.Zero(t, p.PredictLevel)
		})
	}
}

// More columns than a toy ring has slots are no reason to refuse a model.
func TestFitOfManyFeatures(t *testing.T) {
	if testing.Short() {
		t.Skip("real rings")
	}
	m := small(t)
	m.Features = 2000
	p, err := nn.Fit(m, false)
	require.NoError(t, err)
	require.Equal(t, 8, p.MaxBatch(), "2048 of 16384 slots for each row")
}

// A hundred features are no reason for more levels; a plan on a longer chain than
// it needs refreshes higher up.
func TestCompileOnALongerChain(t *testing.T) {
	set, err := params.InsecureToy(3, 8)
	require.NoError(t, err)
	p, err := nn.Compile(set, small(t))
	require.NoError(t, err)
	require.Equal(t, 10-4, p.GradLevel)
}

// Equal plans have equal hashes, and everything that parties must agree on
// changes it.
func TestPlanHash(t *testing.T) {
	base := toy(t, small(t)).Hash()
	require.Equal(t, base, toy(t, small(t)).Hash())
	seen := map[[32]byte]string{base: "base"}
	for name, change := range map[string]func(*nn.Model){
		"Features":         func(m *nn.Model) { m.Features = 6 },
		"degree":           func(m *nn.Model) { m.Loss = logistic(t, 5, 6) },
		"interval":         func(m *nn.Model) { m.Loss = logistic(t, 3, math.Nextafter(6, 7)) },
		"loss":             func(m *nn.Model) { m.Loss = nn.Squared{Bound: 6} },
		"another squared":  func(m *nn.Model) { m.Loss = nn.Squared{Bound: math.Nextafter(6, 7)} },
		"Rate":             func(m *nn.Model) { m.SGD.Rate = math.Nextafter(0.8, 1) },
		"Decay":            func(m *nn.Model) { m.SGD.Decay = math.Nextafter(0.1, 1) },
		"L2":               func(m *nn.Model) { m.SGD.L2 = math.Nextafter(0.05, 1) },
		"Steps":            func(m *nn.Model) { m.Steps++ },
		"Batch":            func(m *nn.Model) { m.Batch = []int{6, 8, 4} },
		"order of parties": func(m *nn.Model) { m.Batch = []int{8, 6, 3} },
		"parties":          func(m *nn.Model) { m.Batch = []int{6, 8, 2, 1} },
		"MaxFeature":       func(m *nn.Model) { m.MaxFeature = math.Nextafter(1, 2) },
		"MaxTarget":        func(m *nn.Model) { m.MaxTarget = math.Nextafter(1, 2) },
	} {
		m := small(t)
		change(&m)
		h := toy(t, m).Hash()
		require.NotContains(t, seen, h, "%s and %s", name, seen[h])
		seen[h] = name
	}
	set, err := params.InsecureToy(3, 5)
	require.NoError(t, err)
	longer, err := nn.Compile(set, small(t))
	require.NoError(t, err)
	require.NotContains(t, seen, longer.Hash(), "parameters")
	for name, change := range map[string]func(*nn.Plan){
		"GradLevel":    func(p *nn.Plan) { p.GradLevel++ },
		"PredictLevel": func(p *nn.Plan) { p.PredictLevel++ },
		"LogScale":     func(p *nn.Plan) { p.Dense.LogScale-- },
		"OutScale":     func(p *nn.Plan) { p.Dense.OutScale-- },
		"Update":       func(p *nn.Plan) { p.Update = p.Update.Then(p.Update) },
		"Rotations":    func(p *nn.Plan) { p.Keys.Rotations = p.Keys.Rotations[1:] },
		"key level":    func(p *nn.Plan) { p.Keys.Rotations[0].Level-- },
		"Products":     func(p *nn.Plan) { p.Keys.Products = nil },
		"products":     func(p *nn.Plan) { p.Keys.Products[0].By++ },
		"relin level":  func(p *nn.Plan) { p.Keys.Products[0].Level-- },
	} {
		p := toy(t, small(t))
		change(p)
		require.NotEqual(t, base, p.Hash(), name)
	}
}

func TestBatchRefuses(t *testing.T) {
	m := small(t)
	p := toy(t, m)
	row := func(x float64) []float64 { return []float64{0, 0, x, 0, 1} }
	good := [][]float64{row(1), row(-1)}
	_, err := p.Batch(0, good, []float64{0, 1})
	require.NoError(t, err)
	for _, tt := range []struct {
		name    string
		rows    [][]float64
		targets []float64
		want    string
	}{
		{"a feature beyond its bound", [][]float64{row(0), row(math.Nextafter(1, 2))}, []float64{0, 0}, "row 1, feature 2 is 1.0000000000000002, beyond the declared bound of 1"},
		{"a negative one", [][]float64{row(-7)}, []float64{0}, "row 0, feature 2 is -7"},
		{"NaN", [][]float64{row(math.NaN())}, []float64{0}, "feature 2 is NaN"},
		{"Inf", [][]float64{row(math.Inf(-1))}, []float64{0}, "feature 2 is -Inf"},
		{"too few features", [][]float64{row(0), {1, 2}}, []float64{0, 0}, "row 1 has 2 features, want 5"},
		{"too many features", [][]float64{append(row(0), 1)}, []float64{0}, "row 0 has 6 features, want 5"},
		{"a target beyond its bound", good, []float64{0, 2}, "row 1 has target 2, beyond the declared bound of 1"},
		{"a target of NaN", good, []float64{math.NaN(), 0}, "row 0 has target NaN"},
		{"a target too few", good, []float64{0}, "2 rows and 1 targets"},
		{"too many rows", slices.Repeat(good, 5), make([]float64, 10), "10 rows and 10 targets, want equal numbers up to 8"},
	} {
		_, err := p.Batch(0, tt.rows, tt.targets)
		require.ErrorIs(t, err, nn.ErrModel, tt.name)
		require.ErrorContains(t, err, tt.want, tt.name)
	}
}

func TestQueryRefuses(t *testing.T) {
	p := toy(t, small(t))
	row := []float64{0.1, -0.2, 0.3, -1, 1}
	require.Equal(t, 8, p.Queries())
	for _, rows := range []int{1, 8} {
		v, err := p.Query(slices.Repeat([][]float64{row}, rows))
		require.NoError(t, err)
		require.Len(t, v, p.Dense.Dot.Layout.Period())
	}
	for name, rows := range map[string][][]float64{"none": nil, "too many": slices.Repeat([][]float64{row}, 9), "narrow": {row, row[1:]}, "beyond the bound": {row, {0, 1.5, 0, 0, 1}}, "NaN": {{0, 0, math.NaN(), 0, 1}}} {
		_, err := p.Query(rows)
		require.ErrorIs(t, err, nn.ErrModel, name)
	}
	x := mhe.ClearTensor(make([]float64, 64), p.Set.MaxLevel(), mhe.Power(45))
	ev := mhe.NewClear(p.Set)
	for _, rows := range []int{0, -1, 9} {
		_, err := p.Predict(ev, x, x, rows)
		require.ErrorIs(t, err, nn.ErrModel)
	}
	low := mhe.ClearTensor(make([]float64, 64), 1, mhe.Power(45))
	_, err := p.Predict(ev, low, low, 1)
	require.ErrorIs(t, err, mhe.ErrShape, "weights and queries come at the highest level")
	_, err = p.Predict(ev, mhe.Plain(make([]float64, 8)), x, 1)
	require.ErrorIs(t, err, mhe.ErrShape)
}

// Predictions are the model's outputs of the query's rows, and nothing else of
// what the querier sent, or of the weights, is in any slot.
func TestPredictShowsOutputsOnly(t *testing.T) {
	p := toy(t, small(t))
	ev, top, scale := mhe.NewClear(p.Set), p.Set.MaxLevel(), mhe.Power(p.Set.LogScale())
	w := testkit.Random(5, 1)
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 8).Draw(rt, "rows")
		seed := rapid.Uint64().Draw(rt, "seed")
		full := testkit.Random(p.Set.N(), seed) // a hostile query: every slot is in use
		asked := rapid.IntRange(1, n).Draw(rt, "asked")
		z, err := p.Predict(ev, mhe.ClearTensor(p.Dense.Dot.Weights(w), top, scale), mhe.ClearTensor(full, top, scale), asked)
		require.NoError(rt, err)
		require.Equal(rt, p.PredictLevel, z.Level())
		got := z.Values()
		require.Len(rt, got, p.Set.N())
		for s, v := range got {
			if s >= asked {
				require.Zero(rt, v, "slot %d", s)
			}
		}

		var rows [][]float64
		for k := range n {
			rows = append(rows, testkit.Random(5, seed+uint64(k)))
		}
		q, err := p.Query(rows)
		require.NoError(rt, err)
		z, err = p.Predict(ev, mhe.ClearTensor(p.Dense.Dot.Weights(w), top, scale), mhe.ClearTensor(q, top, scale), n)
		require.NoError(rt, err)
		for k, y := range p.Outputs(z.Values(), n) {
			require.InDelta(rt, nn.Output(w, rows[k]), y, 1e-12)
		}
	})
}

// The sampler of a party visits its rows in one order, around and around: after
// any number of steps no row was taken twice more often than another, and a batch
// holds no row twice.
func TestSamplerCoversRowsEqually(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.IntRange(1, 50).Draw(t, "rows")
		batch := rapid.IntRange(1, rows).Draw(t, "batch")
		s, err := nn.NewSampler(rows, batch, rapid.Uint64().Draw(t, "seed"), rapid.IntRange(0, 9).Draw(t, "party"))
		require.NoError(t, err)
		count := make([]int, rows)
		for step := range rapid.IntRange(0, 40).Draw(t, "steps") {
			got := s.Rows(step)
			require.Len(t, got, batch)
			for _, i := range got {
				count[i]++
			}
			slices.Sort(got)
			require.Len(t, slices.Compact(got), batch)
			require.LessOrEqual(t, slices.Max(count)-slices.Min(count), 1)
		}
		if rows%batch == 0 { // after an epoch, every row once
			count := make([]int, rows)
			for step := range rows / batch {
				for _, i := range s.Rows(step) {
					count[i]++
				}
			}
			require.Equal(t, slices.Repeat([]int{1}, rows), count)
		}
	})
}

// Seed and party choose the order.
func TestSamplerOrders(t *testing.T) {
	rows := func(seed uint64, party int) []int {
		s, err := nn.NewSampler(100, 100, seed, party)
		require.NoError(t, err)
		return s.Rows(0)
	}
	require.Equal(t, rows(1, 0), rows(1, 0))
	require.NotEqual(t, rows(1, 0), rows(2, 0))
	require.NotEqual(t, rows(1, 0), rows(1, 1))
	for _, tt := range [][2]int{{10, 0}, {10, -1}, {10, 11}, {0, 0}, {0, 1}} {
		_, err := nn.NewSampler(tt[0], tt[1], 1, 0)
		require.ErrorIs(t, err, nn.ErrModel, fmt.Sprint(tt))
	}
}
