package bootstrap_test

import (
	"fmt"
	"math"
	"math/big"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/bootstrap"
	"github.com/nereid-mhe/nereid/internal/testkit"
	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/packing"
	"github.com/nereid-mhe/nereid/params"
)

// maps are the kinds of slot maps that a refresh treats differently, with the
// number of slots of a result that have errors of their own.
func maps(t testing.TB, set params.Set) map[string]struct {
	m           packing.Map
	independent int
} {
	t.Helper()
	sums, layout := blockSum(t, set, 1.0/64)
	cyclic, err := layout.CyclicSum(4)
	require.NoError(t, err)
	type kind = struct {
		m           packing.Map
		independent int
	}
	mask := func(v ...float64) packing.Step { return packing.Step{Mask: v} }
	return map[string]kind{
		"identity":       {packing.Map{}, set.N()},
		"rotation":       {packing.Map{Steps: []packing.Step{{Rotations: []int{5}}}}, set.N()},
		"cyclic sum":     {cyclic, set.N() / 16},
		"constant mask":  {packing.Map{Steps: []packing.Step{mask(0.5)}}, set.N()},
		"two masks":      {packing.Map{Steps: []packing.Step{mask(0.5), {Rotations: []int{3}}, mask(-4)}}, set.N()},
		"block sum":      {sums, set.N() / 16},
		"late rotations": {packing.Map{Steps: []packing.Step{mask(2), {Rotations: []int{1}}}}, set.N()},
	}
}

// encryptions of zero, and their slots, which are errors.
func noises(t testing.TB, w testkit.World, count int, scale *big.Float, label string) (cts []mhe.Tensor, err [][]float64) {
	t.Helper()
	for i := range count {
		x, e := w.Keys.Encryption().Encrypt(w.Encoder, make([]float64, 8), 2, scale, testkit.Source(fmt.Sprint(label, i)))
		require.NoError(t, e)
		cts, err = append(cts, x), append(err, w.Open(t, x, w.Set.Parties()))
	}
	return cts, err
}

// The variance that a refresh adds is that of the formula, neither more, which
// would cost precision, nor less, which would uncover shares: within 6 standard
// errors over 32 ciphertexts in four rounds. An identity's slots are 32768, a
// variance of which is known within √(2/32768) = 0.8%.
func TestRefreshNoiseMatchesTheFormula(t *testing.T) {
	rounds, count, sizes := 4, 8, []int{2, 5}
	if testing.Short() {
		rounds, sizes = 1, []int{3}
	}
	for _, parties := range sizes {
		set := testkit.Toy(t, parties)
		w := testkit.NewWorld(t, set, mhe.KeyPlan{})
		for name, kind := range maps(t, set) {
			scales := [][2]int{{40, 40}}
			if kind.m.Depth() > 0 { // what comes in dominates, or what is added on the way out
				scales = [][2]int{{36, 45}, {45, 34}}
			}
			for _, s := range scales {
				t.Run(fmt.Sprintf("parties=%d/%s/scale=%d to %d", parties, name, s[0], s[1]), func(t *testing.T) {
					in, out := mhe.Power(s[0]), mhe.Power(s[1])
					r, err := bootstrap.New(set, w.Encoder, bootstrap.Config{In: 2, Out: 6, Count: count, Map: kind.m, ScaleIn: in, ScaleOut: out})
					require.NoError(t, err)
					sq, mean := 0.0, 0.0
					for k := range rounds {
						cts, before := noises(t, w, count, in, fmt.Sprint("x", k))
						for i, x := range round(t, w, r, cts, parties, fmt.Sprint(name, k)) {
							want := kind.m.Apply(before[i])
							for j, v := range w.Open(t, x, parties) {
								d := v - want[j]
								sq, mean = sq+d*d, mean+d
							}
						}
					}
					n, independent := float64(rounds*count*set.N()), float64(rounds*count*kind.independent)
					formula := r.Range(mhe.Range{}).Err
					t.Logf("variance is %.4f of the formula's, 6 standard errors are %.3f", sq/n/formula/formula, 6*math.Sqrt(2/independent))
					require.InDelta(t, 1, sq/n/formula/formula, 6*math.Sqrt(2/independent))
					require.InDelta(t, 0, mean/n/formula, 6/math.Sqrt(independent), "mean")
				})
			}
		}
	}
}

// A mask is encoded with a rounding that a large input makes visible: with a
// coarse mask, inputs of size 1 have the error of the formula and zeros do not.
func TestMaskRoundingMatchesTheFormula(t *testing.T) {
	set := testkit.Toy(t, 2)
	w := testkit.NewWorld(t, set, mhe.KeyPlan{})
	// The mask's scale is P·2^out/2^in = 2^21: coarse, next to an input at 2^49.
	in, out := mhe.Power(49), mhe.Power(10)
	m := packing.Map{Steps: []packing.Step{{Mask: testkit.Random(set.N(), 1)}}}
	r, err := bootstrap.New(set, w.Encoder, bootstrap.Config{In: 2, Out: 6, Count: 1, Map: m, ScaleIn: in, ScaleOut: out})
	require.NoError(t, err)
	formula := r.Range(mhe.Range{Max: 1, RMS: 1 / math.Sqrt(3)})
	small := r.Range(mhe.Range{})
	require.Greater(t, small.Err, 0.0)
	v := testkit.Random(set.N(), 2)
	x, err := w.Keys.Encryption().Encrypt(w.Encoder, v, 2, in, testkit.Source("x"))
	require.NoError(t, err)
	got := rmsDiff(w.Open(t, round(t, w, r, []mhe.Tensor{x}, 2, "coarse")[0], 2), m.Apply(v))
	require.InDelta(t, math.Log2(formula.Err), math.Log2(got), 0.3)
	require.LessOrEqual(t, small.Err, formula.Err)
}

// A refresh does not move values: after a hundred, the scale is Δ to the last bit
// every time, the error is that of a hundred independent ones, and no constant
// factor and no constant has crept in. A mask of ones multiplies and divides by
// the special primes each time.
func TestHundredRefreshesInARow(t *testing.T) {
	set := testkit.Toy(t, 3)
	w := testkit.NewWorld(t, set, mhe.KeyPlan{})
	scale := mhe.Power(set.LogScale())
	steps := 100
	if testing.Short() {
		steps = 20
	}
	for name, m := range map[string]packing.Map{
		"identity": {},
		"mask":     {Steps: []packing.Step{{Mask: []float64{1}}}},
		// the mean over 16 slots that hold the same value, as weights do
		"mean": func() packing.Map { m, _ := blockSum(t, set, 1.0/16); return m }(),
	} {
		t.Run(name, func(t *testing.T) {
			r, err := bootstrap.New(set, w.Encoder, bootstrap.Config{In: 2, Out: 6, Count: 1, Map: m, ScaleIn: scale, ScaleOut: scale})
			require.NoError(t, err)
			v := m.Apply(testkit.Random(set.N(), 1))
			x := w.Encrypt(t, v, 2)
			start := m.Apply(w.Open(t, x, 3)) // which the map leaves as it is
			// Noise on the way in comes at the input's scale, before the map, and on the way
			// out after it. The mean over a block of 16 leaves a sixteenth of what is
			// independent in it, and all of what its slots have in common.
			block := 1.0
			if name == "mean" {
				block = 16
			}
			in := mhe.NewNoise(set).Slots(params.Sigma*math.Sqrt(3), scale)
			out := math.Sqrt(math.Pow(r.Range(mhe.Range{}).Err, 2) - in*in/block)
			common, expect := 0.0, 0.0
			for k := range steps {
				x = round(t, w, r, []mhe.Tensor{x}, 3, fmt.Sprint("row", name, k))[0]
				require.Equal(t, 6, x.Level())
				require.Zero(t, x.Scale().Cmp(scale), "the scale after %d refreshes", k+1)
				x, err = mhe.Drop(x, 2)
				require.NoError(t, err)
				common += in * in / block
				if k > 0 {
					common += out * out / block
				}
				expect = math.Sqrt(common + out*out)
				if k == 0 || k == 9 || k == steps-1 {
					got := rmsDiff(w.Open(t, x, 3), start)
					t.Logf("after %d: error 2^%.2f, expected 2^%.2f", k+1, math.Log2(got), math.Log2(expect))
					require.InDelta(t, math.Log2(expect), math.Log2(got), 0.5)
				}
			}
			var xy, xx, drift float64
			for i, y := range w.Open(t, x, 3) {
				xy, xx, drift = xy+y*start[i], xx+start[i]*start[i], drift+y-start[i]
			}
			n := float64(set.N())
			require.InDelta(t, 1, xy/xx, 6*4*expect*math.Sqrt(n)/xx, "a factor has crept in") // errors shared by 16 slots: √16 more
			require.InDelta(t, 0, drift/n, 6*4*expect/math.Sqrt(n), "a constant has crept in")
		})
	}
}

// Any level from the masks' to below the output's can be refreshed, on chains
// longer than what a lift converts at a time.
func TestRefreshFromEveryLevel(t *testing.T) {
	set, err := params.InsecureToy(2, 8) // eleven primes
	require.NoError(t, err)
	w := testkit.NewWorld(t, set, mhe.KeyPlan{})
	scale := mhe.Power(40)
	sums, _ := blockSum(t, set, 0.5)
	for in := set.MaskLevel(); in < set.MaxLevel(); in++ {
		for out := in + 1; out <= set.MaxLevel(); out += 3 {
			for name, m := range map[string]packing.Map{"identity": {}, "block sum": sums} {
				r, err := bootstrap.New(set, w.Encoder, bootstrap.Config{In: in, Out: out, Count: 1, Map: m, ScaleIn: scale, ScaleOut: scale, Workers: 2})
				require.NoError(t, err)
				v := testkit.Random(set.N(), 1)
				x, err := w.Keys.Encryption().Encrypt(w.Encoder, v, in, scale, testkit.Source("x"))
				require.NoError(t, err)
				var y mhe.Tensor
				require.NotPanics(t, func() { y = round(t, w, r, []mhe.Tensor{x}, 2, "level")[0] }, "%s from level %d to %d", name, in, out)
				require.Equal(t, out, y.Level())
				require.Less(t, testkit.MaxDiff(w.Open(t, y, 2), m.Apply(v)), 1e-7, "%s from level %d to %d", name, in, out)
			}
		}
	}
}

// Messages up to scale·|v| = 2^LogMessage, which the masks are made for, come
// through, with every party's mask on them.
func TestRefreshOfTheLargestMessage(t *testing.T) {
	for _, parties := range []int{2, 5} {
		set := testkit.Toy(t, parties)
		w := testkit.NewWorld(t, set, mhe.KeyPlan{})
		scale := mhe.Power(45)
		v := testkit.Random(set.N(), 1)
		for i := range v { // to ±2^LogMessage at the scale
			v[i] = math.Copysign(math.Exp2(float64(set.LogMessage()-45)), v[i])
		}
		r, err := bootstrap.New(set, w.Encoder, bootstrap.Config{In: 2, Out: 6, Count: 1, ScaleIn: scale, ScaleOut: scale})
		require.NoError(t, err)
		x := w.Encrypt(t, v, 2)
		require.Less(t, testkit.MaxDiff(w.Open(t, round(t, w, r, []mhe.Tensor{x}, parties, "large")[0], parties), v), 1e-8)
	}
}
