package bootstrap_test

import (
	"fmt"
	"math"
	"math/big"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/bootstrap"
	"github.com/nereid-mhe/nereid/internal/testkit"
	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/mhe/rns"
	"github.com/nereid-mhe/nereid/packing"
	"github.com/nereid-mhe/nereid/params"
)

// round runs one refresh with the shares of the given parties.
func round(t testing.TB, w testkit.World, r *bootstrap.Refresh, in []mhe.Tensor, parties int, label string) []mhe.Tensor {
	t.Helper()
	out, err := finished(t, w, r, in, parties, label)
	require.NoError(t, err)
	return out
}

// finished is round with what its end says.
func finished(t testing.TB, w testkit.World, r *bootstrap.Refresh, in []mhe.Tensor, parties int, label string) ([]mhe.Tensor, error) {
	t.Helper()
	a, err := r.Common(testkit.Source("common " + label))
	require.NoError(t, err)
	var c0, c1 []rns.Poly
	for _, x := range in {
		c0, c1 = append(c0, x.Polys()[0]), append(c1, x.Polys()[1])
	}
	var sum mhe.Share
	for i, sk := range w.Secrets[:parties] {
		s, err := r.Share(sk, c1, a, testkit.Source(fmt.Sprint(label, " share ", i)))
		require.NoError(t, err)
		sum = testkit.Add(t, r.Shape(), sum, s)
	}
	return r.Finish(c0, a, sum)
}

func blockSum(t testing.TB, set params.Set, factor float64) (packing.Map, packing.Layout) {
	t.Helper()
	l, err := packing.NewLayout(set.N(), packing.Axis{Name: "unit", Len: 16}, packing.Axis{Name: "sample", Len: 16})
	require.NoError(t, err)
	return l.BlockSum(factor), l
}

func TestRefreshAppliesMap(t *testing.T) {
	t.Run("wide masks", func(t *testing.T) { refreshAppliesMap(t, testkit.Toy(t, 3)) })
	t.Run("roomy masks", func(t *testing.T) {
		set, err := params.New(params.Config{
			LogN: 10, LogQ: slices.Repeat([]int{50}, 7), LogP: []int{50, 50}, LogScale: 50, Parties: 3, MaskPrimes: 4, Insecure: true,
		})
		require.NoError(t, err)
		require.Equal(t, 64, set.LogMessage())
		refreshAppliesMap(t, set)
	})
}

func refreshAppliesMap(t *testing.T, set params.Set) {
	w := testkit.NewWorld(t, set, mhe.KeyPlan{})
	sums, layout := blockSum(t, set, 1.0/64)
	cyclic, err := layout.CyclicSum(4)
	require.NoError(t, err)
	twoMasks := sums.Then(packing.Map{Steps: []packing.Step{{Rotations: []int{5, 7}, Mask: []float64{1, 0.5, -0.25, 2}}}})
	for _, tt := range []struct {
		name    string
		m       packing.Map
		rescale bool
		workers int
	}{
		{name: "identity", workers: 1},
		{name: "identity on two cores", workers: 2},
		{name: "rotations only", m: cyclic, workers: 1},
		{name: "block sum", m: sums, rescale: true, workers: 1},
		{name: "block sum on two cores", m: sums, rescale: true, workers: 2},
		{name: "two masks", m: twoMasks, rescale: true, workers: 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in, out := mhe.Power(40), mhe.Power(40)
			if tt.rescale {
				out = mhe.Power(45)
			}
			r, err := bootstrap.New(set, w.Encoder, bootstrap.Config{In: set.MaskLevel(), Out: 6, Count: 2, Map: tt.m, ScaleIn: in, ScaleOut: out, Workers: tt.workers})
			require.NoError(t, err)
			var cts []mhe.Tensor
			var want [][]float64
			for i := range 2 {
				v := testkit.Random(set.N(), uint64(i))
				x, err := w.Keys.Encryption().Encrypt(w.Encoder, v, set.MaskLevel(), in, testkit.Source(fmt.Sprint("x", i)))
				require.NoError(t, err)
				cts, want = append(cts, x), append(want, tt.m.Apply(v))
			}
			got := round(t, w, r, cts, set.Parties(), tt.name)
			est := r.Range(mhe.Range{Max: 1, RMS: 0.6, Err: mhe.NewNoise(set).Encrypt(in)})
			for i, x := range got {
				require.Equal(t, 6, x.Level())
				require.Zero(t, x.Scale().Cmp(out), "the scale must land exactly")
				rms := rmsDiff(w.Open(t, x, set.Parties()), want[i])
				t.Logf("error 2^%.2f, estimate 2^%.2f", math.Log2(rms), math.Log2(est.Err))
				require.InDelta(t, math.Log2(est.Err), math.Log2(rms), 1.5)
			}
		})
	}
}

func rmsDiff(got, want []float64) float64 {
	sum := 0.0
	for i := range got {
		d := got[i] - want[i%len(want)]
		sum += d * d
	}
	return math.Sqrt(sum / float64(len(got)))
}

// With one share missing the result must be noise as large as the modulus.
func TestRefreshNeedsEveryShare(t *testing.T) {
	set := testkit.Toy(t, 3)
	w := testkit.NewWorld(t, set, mhe.KeyPlan{})
	v := testkit.Random(set.N(), 1)
	x := w.Encrypt(t, v, 2)
	scale := mhe.Power(set.LogScale())
	r, err := bootstrap.New(set, w.Encoder, bootstrap.Config{In: 2, Out: 6, Count: 1, ScaleIn: scale, ScaleOut: scale})
	require.NoError(t, err)
	_, err = finished(t, w, r, []mhe.Tensor{x}, set.Parties()-1, "short")
	require.ErrorIs(t, err, bootstrap.ErrOverflow)
}

// The canary sings for values that wrap around, and for nothing that fits: up to
// the bound on messages it is silent.
func TestRefreshSeesOverflow(t *testing.T) {
	set := testkit.Toy(t, 3)
	w := testkit.NewWorld(t, set, mhe.KeyPlan{})
	scale := mhe.Power(set.LogScale())
	for _, m := range []packing.Map{{}, {Steps: []packing.Step{{Rotations: []int{0, 1}, Mask: []float64{0.5}}}}} {
		r, err := bootstrap.New(set, w.Encoder, bootstrap.Config{In: 2, Out: 6, Count: 1, Map: m, ScaleIn: scale, ScaleOut: scale})
		require.NoError(t, err)
		for _, c := range []struct {
			bits float64 // log2 of the scaled value
			fits bool
		}{
			{0, true},
			{float64(set.LogMessage()), true},
			{set.LogModulus(2) - 0.5, false},
		} {
			v := slices.Repeat([]float64{math.Exp2(c.bits - float64(set.LogScale()))}, 8)
			x := w.Encrypt(t, v, 2)
			_, err := finished(t, w, r, []mhe.Tensor{x}, set.Parties(), fmt.Sprint("canary", c.bits, m.Depth()))
			if c.fits {
				require.NoError(t, err, "2^%g", c.bits)
			} else {
				require.ErrorIs(t, err, bootstrap.ErrOverflow, "2^%g", c.bits)
				require.ErrorContains(t, err, "lower the learning rate")
			}
		}
	}
}

func TestRefreshRefusesWhatDoesNotFit(t *testing.T) {
	set := testkit.Toy(t, 2)
	enc := mhe.NewEncoder(set)
	good := bootstrap.Config{In: 2, Out: 6, Count: 1, ScaleIn: mhe.Power(40), ScaleOut: mhe.Power(40)}
	for name, change := range map[string]func(*bootstrap.Config){
		"below the mask level": func(c *bootstrap.Config) { c.In = 1 },
		"down":                 func(c *bootstrap.Config) { c.Out = 2 },
		"above the top":        func(c *bootstrap.Config) { c.Out = 7 },
		"none":                 func(c *bootstrap.Config) { c.Count = 0 },
		"no scale":             func(c *bootstrap.Config) { c.ScaleIn = nil },
		"scale zero":           func(c *bootstrap.Config) { c.ScaleOut = new(big.Float) },
		"scale by no mask":     func(c *bootstrap.Config) { c.ScaleOut = mhe.Power(45) },
		"coarse mask": func(c *bootstrap.Config) {
			c.Map = packing.Map{Steps: []packing.Step{{Mask: []float64{1}}}}
			c.ScaleIn = mhe.Power(100)
		},
		"mask of NaN": func(c *bootstrap.Config) {
			c.Map = packing.Map{Steps: []packing.Step{{Mask: []float64{math.NaN()}}}}
		},
		"negative scale": func(c *bootstrap.Config) { c.ScaleIn = big.NewFloat(-1) },
		"odd mask":       func(c *bootstrap.Config) { c.Map = packing.Map{Steps: []packing.Step{{Mask: []float64{1, 2, 3}}}} },
	} {
		t.Run(name, func(t *testing.T) {
			c := good
			change(&c)
			r, err := bootstrap.New(set, enc, c)
			require.ErrorIs(t, err, mhe.ErrShape)
			require.Nil(t, r)
		})
	}
	r, err := bootstrap.New(set, enc, good)
	require.NoError(t, err)
	_, err = r.Finish(nil, nil, nil)
	require.ErrorIs(t, err, mhe.ErrShape)
}

// The sizes of the mark: 8 primes, as in Lattigo's own benchmark.
func BenchmarkRefresh(b *testing.B) {
	set, err := params.New(params.Config{LogN: 14, LogQ: []int{60, 60, 60, 36, 36, 36, 36, 36}, LogP: []int{60}, LogScale: 36, Parties: 10, LogMessage: 41})
	require.NoError(b, err)
	enc := mhe.NewEncoder(set)
	sk, err := mhe.NewSecretKey(set, testkit.Source("sk")(""))
	require.NoError(b, err)
	l, err := packing.NewLayout(set.N(), packing.Axis{Name: "unit", Len: 64}, packing.Axis{Name: "sample", Len: 256})
	require.NoError(b, err)
	for name, m := range map[string]packing.Map{"map=none": {}, "map=blocksum256": l.BlockSum(1.0 / 64)} {
		for _, workers := range []int{1, 2} {
			r, err := bootstrap.New(set, enc, bootstrap.Config{In: 2, Out: 7, Count: 1, Map: m, ScaleIn: mhe.Power(36), ScaleOut: mhe.Power(36), Workers: workers})
			require.NoError(b, err)
			a, err := r.Common(testkit.Source("common"))
			require.NoError(b, err)
			c := mhe.Basis(set, 2).New()
			require.NoError(b, mhe.Basis(set, 2).Uniform(testkit.Source("c")(""), c))
			share, err := r.Share(sk, []rns.Poly{c}, a, testkit.Source("x"))
			require.NoError(b, err)
			c0 := fitting(b, set, share, 1)
			b.Run(fmt.Sprintf("share/%s/workers=%d", name, workers), func(b *testing.B) {
				for b.Loop() {
					_, err := r.Share(sk, []rns.Poly{c}, a, testkit.Source("x"))
					require.NoError(b, err)
				}
			})
			b.Run(fmt.Sprintf("finish/%s/workers=%d", name, workers), func(b *testing.B) {
				for b.Loop() {
					_, err := r.Finish(c0, a, share)
					require.NoError(b, err)
				}
			})
		}
	}
}
