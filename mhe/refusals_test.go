package mhe_test

import (
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/internal/testkit"
	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/packing"
)

// A kit is a backend with encrypted tensors of its own.
type kit struct {
	name string
	ev   mhe.Evaluator
	at   func(level int) mhe.Tensor // at scale 2^45
}

func kits(t testing.TB) (w testkit.World, all []kit) {
	t.Helper()
	set := testkit.Toy(t, 2)
	w = world(t, set, 1)
	v := testkit.Random(8, 1)
	_, trace := mhe.NewTrace(set)
	return w, []kit{
		{"ckks", mhe.NewCKKS(w.Keys, 1), func(l int) mhe.Tensor { return w.Encrypt(t, v, l) }},
		{"clear", mhe.NewClear(set), func(l int) mhe.Tensor { return mhe.ClearTensor(v, l, mhe.Power(45)) }},
		{"trace", trace, func(l int) mhe.Tensor { return mhe.TracedTensor(mhe.Range{Max: 1, RMS: 0.5}, l, mhe.Power(45)) }},
	}
}

// Every backend refuses the same operands with the same kind of error: what the
// trace and the clear twin accept, ciphertexts can do.
func TestBackendsRefuseAlike(t *testing.T) {
	w, all := kits(t)
	dot := one(t, w.Set)
	masked := dot
	masked.Sum = packing.Map{Steps: []packing.Step{{Mask: []float64{1}}}}
	data := mhe.Plain(testkit.Random(8, 2))
	cubic := []float64{0.5, 0.2, 0, -0.01}
	mask := packing.Map{Steps: []packing.Step{{Mask: []float64{1, 0}}}}
	with := func(x float64) mhe.Tensor { return mhe.Plain(append(make([]float64, 7), x)) }

	type call func(k kit) (mhe.Tensor, error)
	for _, tt := range []struct {
		name string
		do   call
		want error
		have int // levels, for want ErrLevel
		need int
	}{
		{name: "Dot of plain weights", do: func(k kit) (mhe.Tensor, error) { return k.ev.Dot(dot, data, data, 0) }, want: mhe.ErrShape},
		{name: "Dot of nothing", do: func(k kit) (mhe.Tensor, error) { return k.ev.Dot(dot, mhe.Tensor{}, data, 0) }, want: mhe.ErrShape},
		{name: "Dot at level 0", do: func(k kit) (mhe.Tensor, error) { return k.ev.Dot(dot, k.at(0), data, 0) }, want: mhe.ErrLevel, need: 1},
		{name: "Dot of an encrypted batch at level 0", do: func(k kit) (mhe.Tensor, error) { return k.ev.Dot(dot, k.at(3), k.at(0), 0) }, want: mhe.ErrLevel, need: 1},
		{name: "Dot of two encrypted at a scale", do: func(k kit) (mhe.Tensor, error) { return k.ev.Dot(dot, k.at(3), k.at(3), 40) }, want: mhe.ErrShape},
		{name: "Dot to a coarse scale", do: func(k kit) (mhe.Tensor, error) { return k.ev.Dot(dot, k.at(6), data, 9) }, want: mhe.ErrShape},
		{name: "Dot with a mask in its sum", do: func(k kit) (mhe.Tensor, error) { return k.ev.Dot(masked, k.at(3), data, 0) }, want: mhe.ErrShape},
		{name: "Dot of two encrypted with a mask in its sum", do: func(k kit) (mhe.Tensor, error) { return k.ev.Dot(masked, k.at(3), k.at(3), 0) }, want: mhe.ErrShape},

		{name: "Outer of plain errors", do: func(k kit) (mhe.Tensor, error) { return k.ev.Outer(dot, data, data, 40) }, want: mhe.ErrShape},
		{name: "Outer with an encrypted batch", do: func(k kit) (mhe.Tensor, error) { return k.ev.Outer(dot, k.at(3), k.at(3), 40) }, want: mhe.ErrShape},
		{name: "Outer at level 0", do: func(k kit) (mhe.Tensor, error) { return k.ev.Outer(dot, k.at(0), data, 40) }, want: mhe.ErrLevel, need: 1},
		{name: "Outer to a coarse scale", do: func(k kit) (mhe.Tensor, error) { return k.ev.Outer(dot, k.at(6), data, 9) }, want: mhe.ErrShape},

		{name: "Polynomials of plain data", do: func(k kit) (mhe.Tensor, error) { return mhe.Polynomial(k.ev, cubic, data) }, want: mhe.ErrShape},
		{name: "Polynomials with too few levels", do: func(k kit) (mhe.Tensor, error) { return mhe.Polynomial(k.ev, cubic, k.at(1)) }, want: mhe.ErrLevel, have: 1, need: 2},
		{name: "Polynomials of degree 7 with too few levels", do: func(k kit) (mhe.Tensor, error) { return mhe.Polynomial(k.ev, append(cubic, 0, 0, 0, 1e-3), k.at(3)) }, want: mhe.ErrLevel, have: 3, need: 4},
		{name: "Polynomials with an even power and too few levels", do: func(k kit) (mhe.Tensor, error) { return mhe.Polynomial(k.ev, []float64{0, 1, 1}, k.at(0)) }, want: mhe.ErrLevel, need: 1},
		{name: "Polynomials of degree 4 with too few levels", do: func(k kit) (mhe.Tensor, error) {
			return mhe.Polynomial(k.ev, []float64{1, 1, 1, 1, 1}, k.at(1))
		}, want: mhe.ErrLevel, have: 1, need: 2},
		{name: "Polynomials of which the second needs more levels", do: func(k kit) (mhe.Tensor, error) {
			out, err := k.ev.Polynomials(k.at(1), []float64{0, 0, 1}, cubic)
			require.Nil(t, out)
			return mhe.Tensor{}, err
		}, want: mhe.ErrLevel, have: 1, need: 2},
		{name: "Polynomials of which the second is constant", do: func(k kit) (mhe.Tensor, error) {
			out, err := k.ev.Polynomials(k.at(6), cubic, []float64{1})
			require.Nil(t, out)
			return mhe.Tensor{}, err
		}, want: mhe.ErrShape},
		{name: "Polynomials that is constant", do: func(k kit) (mhe.Tensor, error) { return mhe.Polynomial(k.ev, []float64{1, 0, 0}, k.at(6)) }, want: mhe.ErrShape},
		{name: "Polynomials without coefficients", do: func(k kit) (mhe.Tensor, error) { return mhe.Polynomial(k.ev, nil, k.at(6)) }, want: mhe.ErrShape},
		{name: "Polynomials of NaN", do: func(k kit) (mhe.Tensor, error) { return mhe.Polynomial(k.ev, []float64{0, math.NaN()}, k.at(6)) }, want: mhe.ErrShape},
		{name: "Polynomials of Inf", do: func(k kit) (mhe.Tensor, error) {
			return mhe.Polynomial(k.ev, []float64{0, 1, 0, math.Inf(-1)}, k.at(6))
		}, want: mhe.ErrShape},
		{name: "Polynomials with a constant of NaN", do: func(k kit) (mhe.Tensor, error) { return mhe.Polynomial(k.ev, []float64{math.NaN(), 1}, k.at(6)) }, want: mhe.ErrShape},

		{name: "Sub from plain data", do: func(k kit) (mhe.Tensor, error) { return k.ev.Sub(data, k.at(3)) }, want: mhe.ErrShape},
		{name: "Sub of another scale", do: func(k kit) (mhe.Tensor, error) {
			g, err := k.ev.Outer(dot, k.at(6), data, 40)
			require.NoError(t, err)
			return k.ev.Sub(k.at(6), g)
		}, want: mhe.ErrShape},

		{name: "AddScaled to plain data", do: func(k kit) (mhe.Tensor, error) { return k.ev.AddScaled(data, data, k.at(3)) }, want: mhe.ErrShape},
		{name: "AddScaled of plain data", do: func(k kit) (mhe.Tensor, error) { return k.ev.AddScaled(k.at(3), data, data) }, want: mhe.ErrShape},
		{name: "AddScaled with an encrypted factor", do: func(k kit) (mhe.Tensor, error) { return k.ev.AddScaled(k.at(3), k.at(4), k.at(4)) }, want: mhe.ErrShape},
		{name: "AddScaled at the same level", do: func(k kit) (mhe.Tensor, error) { return k.ev.AddScaled(k.at(3), data, k.at(3)) }, want: mhe.ErrLevel, have: 3, need: 4},

		{name: "Map of plain data", do: func(k kit) (mhe.Tensor, error) { return k.ev.Map(mask, data) }, want: mhe.ErrShape},
		{name: "Map with too few levels", do: func(k kit) (mhe.Tensor, error) { return k.ev.Map(mask.Then(mask), k.at(1)) }, want: mhe.ErrLevel, have: 1, need: 2},
		{name: "Map with an odd mask", do: func(k kit) (mhe.Tensor, error) {
			return k.ev.Map(packing.Map{Steps: []packing.Step{{Mask: make([]float64, 3)}}}, k.at(3))
		}, want: mhe.ErrShape},
		{name: "Map with a mask of NaN", do: func(k kit) (mhe.Tensor, error) {
			return k.ev.Map(packing.Map{Steps: []packing.Step{{Mask: []float64{math.NaN()}}}}, k.at(3))
		}, want: mhe.ErrShape},

		{name: "data of no power of two", do: func(k kit) (mhe.Tensor, error) { return k.ev.Dot(dot, k.at(3), mhe.Plain(make([]float64, 12)), 0) }, want: mhe.ErrShape},
		{name: "data of a short period", do: func(k kit) (mhe.Tensor, error) { return k.ev.Sub(k.at(3), mhe.Plain(make([]float64, 4))) }, want: mhe.ErrShape},
		{name: "data of more than all slots", do: func(k kit) (mhe.Tensor, error) {
			return k.ev.Outer(dot, k.at(3), mhe.Plain(make([]float64, 2048)), 40)
		}, want: mhe.ErrShape},
		{name: "no data", do: func(k kit) (mhe.Tensor, error) { return k.ev.Sub(k.at(3), mhe.Plain([]float64{})) }, want: mhe.ErrShape},
		{name: "data of NaN", do: func(k kit) (mhe.Tensor, error) { return k.ev.Dot(dot, k.at(3), with(math.NaN()), 0) }, want: mhe.ErrShape},
		{name: "data of Inf", do: func(k kit) (mhe.Tensor, error) { return k.ev.AddScaled(k.at(3), with(math.Inf(1)), k.at(4)) }, want: mhe.ErrShape},
	} {
		for _, k := range all {
			t.Run(tt.name+"/"+k.name, func(t *testing.T) {
				_, err := tt.do(k)
				require.ErrorIs(t, err, tt.want)
				if tt.want == mhe.ErrLevel {
					var level *mhe.LevelError
					require.ErrorAs(t, err, &level)
					require.Equal(t, tt.have, level.Have)
					require.Equal(t, tt.need, level.Need)
					require.Contains(t, tt.name, level.Op, "the error names the operation")
					require.ErrorContains(t, err, level.Op+" needs level")
				}
			})
		}
	}
}

// Tensors of one backend are refused by the others, as any operand.
func TestBackendsDoNotMix(t *testing.T) {
	w, all := kits(t)
	dot, data := one(t, w.Set), mhe.Plain(testkit.Random(8, 2))
	for _, k := range all {
		for _, o := range all {
			if k.name == o.name {
				continue
			}
			t.Run(k.name+" with "+o.name, func(t *testing.T) {
				for name, f := range map[string]func() (mhe.Tensor, error){
					"Dot":         func() (mhe.Tensor, error) { return k.ev.Dot(dot, o.at(3), data, 0) },
					"Dot's batch": func() (mhe.Tensor, error) { return k.ev.Dot(dot, k.at(3), o.at(3), 0) },
					"Outer":       func() (mhe.Tensor, error) { return k.ev.Outer(dot, o.at(3), data, 40) },
					"Polynomial":  func() (mhe.Tensor, error) { return mhe.Polynomial(k.ev, []float64{0, 1}, o.at(3)) },
					"Sub from":    func() (mhe.Tensor, error) { return k.ev.Sub(o.at(3), k.at(3)) },
					"Sub of":      func() (mhe.Tensor, error) { return k.ev.Sub(k.at(3), o.at(3)) },
					"AddScaled":   func() (mhe.Tensor, error) { return k.ev.AddScaled(o.at(3), data, k.at(4)) },
					"AddScaled's": func() (mhe.Tensor, error) { return k.ev.AddScaled(k.at(3), data, o.at(4)) },
					"Map":         func() (mhe.Tensor, error) { return k.ev.Map(packing.Map{}, o.at(3)) },
				} {
					_, err := f()
					require.ErrorIs(t, err, mhe.ErrShape, name)
				}
			})
		}
	}
}

// Data of which only the range is known can be traced and nothing else.
func TestUnknownDataIsForTracing(t *testing.T) {
	w, all := kits(t)
	unknown := mhe.Unknown(mhe.Range{Max: 1, RMS: 0.5})
	for _, k := range all {
		for _, f := range []func() (mhe.Tensor, error){
			func() (mhe.Tensor, error) { return k.ev.Dot(one(t, w.Set), k.at(3), unknown, 0) },
			func() (mhe.Tensor, error) { return k.ev.Sub(k.at(3), unknown) },
		} {
			_, err := f()
			if k.name == "trace" {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, mhe.ErrShape, k.name)
			}
		}
	}
}

// A tensor above the highest level, or whose polynomials differ in length, is not
// one of this study's.
func TestTensorsOfOtherChains(t *testing.T) {
	w, all := kits(t)
	dot, data := one(t, w.Set), mhe.Plain(testkit.Random(8, 2))
	top := w.Set.MaxLevel()
	b := mhe.Basis(w.Set, top)
	long := append(b.New(), make([]uint64, w.Set.N()))
	tensors := map[string][]mhe.Tensor{
		"ckks": {
			mhe.NewEncrypted(long, long, mhe.Power(45)),
			mhe.NewEncrypted(b.New(), b.New()[:3], mhe.Power(45)),
			mhe.NewEncrypted(b.New()[:3], b.New(), mhe.Power(45)),
			mhe.NewEncrypted(nil, nil, mhe.Power(45)),
		},
		"clear": {mhe.ClearTensor(zeros, top+1, mhe.Power(45)), mhe.ClearTensor(zeros, 3, nil), mhe.ClearTensor(nil, 3, mhe.Power(45))},
		"trace": {mhe.TracedTensor(mhe.Range{Max: 1}, top+1, mhe.Power(45)), mhe.TracedTensor(mhe.Range{Max: 1}, 3, nil), mhe.TracedTensor(mhe.Range{Max: -1}, 3, mhe.Power(45))},
	}
	for _, k := range all {
		for i, x := range tensors[k.name] {
			for _, f := range []func() (mhe.Tensor, error){
				func() (mhe.Tensor, error) { return k.ev.Dot(dot, x, data, 0) },
				func() (mhe.Tensor, error) { return k.ev.Dot(dot, k.at(top), x, 0) },
				func() (mhe.Tensor, error) { return k.ev.Sub(k.at(top), x) },
				func() (mhe.Tensor, error) { return k.ev.Map(rotation(1), x) },
			} {
				require.NotPanics(t, func() {
					_, err := f()
					require.Error(t, err, "%s, tensor %d", k.name, i)
				}, "%s, tensor %d", k.name, i)
			}
		}
	}
}

// Keys are for the rotations and the level of their plan.
func TestMissingKeys(t *testing.T) {
	set := testkit.Toy(t, 2)
	w := testkit.NewWorld(t, set, testkit.KeysAt(2, 1))
	ev, v := mhe.NewCKKS(w.Keys, 1), testkit.Random(8, 1)
	at := func(level int) mhe.Tensor { return w.Encrypt(t, v, level) }

	_, err := ev.Map(rotation(1), at(2))
	require.NoError(t, err)
	_, err = ev.Dot(one(t, set), at(2), at(2), 0)
	require.NoError(t, err)
	_, err = ev.Map(rotation(0), at(6))
	require.NoError(t, err, "a rotation by nothing needs no key")

	_, err = ev.Map(rotation(2), at(2))
	require.ErrorIs(t, err, mhe.ErrShape)
	require.ErrorContains(t, err, "no Galois key for a rotation by 2 at level 2")
	_, err = ev.Map(rotation(1), at(3))
	require.ErrorIs(t, err, mhe.ErrShape)
	require.ErrorContains(t, err, "no Galois key for a rotation by 1 at level 3")
	_, err = ev.Dot(one(t, set), at(3), at(3), 0)
	require.ErrorIs(t, err, mhe.ErrShape)
	require.ErrorContains(t, err, "no relinearisation key at level 3")
	_, err = mhe.Polynomial(ev, []float64{0, 1, 0, 1}, at(3))
	require.ErrorIs(t, err, mhe.ErrShape)
}

// A step of a sum without rotations keeps its operand, in every backend.
func TestSumWithAnEmptyStep(t *testing.T) {
	w, all := kits(t)
	d := one(t, w.Set)
	v, x := testkit.Random(8, 1), testkit.Random(8, 2)
	for _, sum := range []packing.Map{{}, {Steps: []packing.Step{{}}}, {Steps: []packing.Step{{Rotations: []int{0}}}}, {Steps: []packing.Step{{}, {Rotations: []int{0}}, {}}}} {
		d.Sum = sum
		for _, k := range all {
			z, err := k.ev.Dot(d, k.at(4), mhe.Plain(x), 0)
			require.NoError(t, err)
			require.Equal(t, 3, z.Level())
			switch k.name {
			case "ckks":
				require.Less(t, testkit.MaxDiff(w.Open(t, z, 2), times(v, x)), 1e-8)
			case "clear":
				require.Equal(t, times(v, x), z.Values())
			case "trace":
				require.GreaterOrEqual(t, z.Range().Max, mhe.Plain(x).Range().Max)
			}
		}
	}
}

// Data that happens to be zero is data: a trace goes on with it.
func TestTraceOfZeros(t *testing.T) {
	w, all := kits(t)
	d := one(t, w.Set)
	for _, k := range all {
		z, err := k.ev.Dot(d, k.at(4), mhe.Plain(zeros), 0)
		require.NoError(t, err, k.name)
		_, err = k.ev.Sub(z, mhe.Plain(zeros))
		require.NoError(t, err, k.name)
		_, err = k.ev.AddScaled(k.at(3), mhe.Plain(zeros), k.at(4))
		require.NoError(t, err, k.name)
		y, err := k.ev.Map(packing.Map{Steps: []packing.Step{{Mask: []float64{0}}}}, k.at(4))
		require.NoError(t, err, k.name)
		_, err = mhe.Polynomial(k.ev, []float64{0, 1, 0, 1}, y)
		require.NoError(t, err, k.name)
	}
}

// Subtracting at another level drops the higher one, whichever side it is on.
func TestSubAtDifferentLevels(t *testing.T) {
	w, all := kits(t)
	v := testkit.Random(8, 1)
	for _, k := range all {
		for _, levels := range [][2]int{{5, 2}, {2, 5}, {4, 4}} {
			z, err := k.ev.Sub(k.at(levels[0]), k.at(levels[1]))
			require.NoError(t, err)
			require.Equal(t, min(levels[0], levels[1]), z.Level())
			switch k.name {
			case "ckks":
				require.Less(t, testkit.MaxDiff(w.Open(t, z, 2), zeros), 1e-8)
			case "clear":
				require.Equal(t, zeros, z.Values())
			}
		}
		// a product with itself is a square, also of one tensor
		p, err := k.ev.Dot(one(t, w.Set), k.at(5), k.at(4), 0)
		require.NoError(t, err)
		require.Equal(t, 3, p.Level())
		if k.name == "ckks" {
			require.Less(t, testkit.MaxDiff(w.Open(t, p, 2), times(v, v)), 1e-8)
		}
	}
}

// A polynomial costs as many levels as Depth says and is what Horner's rule gives,
// at every degree, with zero coefficients inside and leading zeros.
func TestPolynomialDegrees(t *testing.T) {
	w, all := kits(t)
	v := testkit.Random(8, 1)
	for _, c := range [][]float64{
		{0, 1},
		{0.5, -2},
		{0, 0, 1},
		{0.5, 1, -1, 0},
		{0.5, 0.2, 0.1, -0.1},
		{0, 0, 0, 0, 0.5},
		{1, 0, -0.5, 0.25, 0, -0.125},
		{0, 1, 0, 0},
		{0.5, 0.2, 0, -0.1},
		{0, 0, 0, 1},
		{-1, 0.5, 0, 0.25, 0, -0.125},
		{0, 1, 0, 0, 0, 1},
		{0.5, 0.2, 0, -0.1, 0, 0.05, 0, 0.3},
		{0, 0, 0, 0, 0, 0, 0, 1},
		{1, 1e-9},
		{0, 1e6},
	} {
		want := make([]float64, 8)
		degree := 0
		for k, a := range c {
			if a != 0 {
				degree = k
			}
		}
		for i, x := range v {
			for _, a := range slices.Backward(c) {
				want[i] = want[i]*x + a
			}
		}
		for _, k := range all {
			z, err := mhe.Polynomial(k.ev, c, k.at(6))
			require.NoError(t, err)
			require.Equal(t, 6-mhe.Depth(degree), z.Level())
			switch k.name {
			case "ckks":
				require.Less(t, testkit.MaxDiff(w.Open(t, z, 2), want), 1e-8*max(1, math.Abs(c[degree])), "%v", c)
			case "clear":
				require.InDeltaSlice(t, want, z.Values(), 1e-14*max(1, math.Abs(c[degree])), "%v", c)
			}
		}
	}
	for degree, want := range map[int]int{0: 0, 1: 0, 2: 1, 3: 2, 4: 2, 5: 3, 6: 3, 7: 4} {
		require.Equal(t, want, mhe.Depth(degree))
	}
}
