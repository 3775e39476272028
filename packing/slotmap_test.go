package packing_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/nereid-mhe/nereid/packing"
)

// drawMap draws a program of up to four steps for n slots.
func drawMap(t *rapid.T, n int) packing.Map {
	var m packing.Map
	for range rapid.IntRange(0, 4).Draw(t, "steps") {
		var s packing.Step
		s.Rotations = rapid.SliceOfN(rapid.IntRange(-2*n, 2*n), 0, 4).Draw(t, "rotations")
		if rapid.Bool().Draw(t, "masked") {
			period := 1 << rapid.IntRange(0, log2(n)).Draw(t, "period")
			s.Mask = rapid.SliceOfN(rapid.Float64Range(-2, 2), period, period).Draw(t, "mask")
		}
		m.Steps = append(m.Steps, s)
	}
	return m
}

func log2(n int) int { return int(math.Round(math.Log2(float64(n)))) }

func drawSlots(t *rapid.T) (n int, v []float64) {
	n = 1 << rapid.IntRange(0, 5).Draw(t, "log slots")
	return n, rapid.SliceOfN(rapid.Float64Range(-1, 1), n, n).Draw(t, "slots")
}

// A matrix is a linear map in the plainest form.
type matrix [][]float64

func (m matrix) apply(v []float64) []float64 {
	out := make([]float64, len(m))
	for i, row := range m {
		for j, x := range row {
			out[i] += x * v[j]
		}
	}
	return out
}

// dense writes a program out as the matrix that it is: the product, from the
// left, of its steps' masks on the diagonal times sums of cyclic shifts.
func dense(m packing.Map, n int) matrix {
	out := make(matrix, n)
	for i := range out {
		out[i] = make([]float64, n)
		out[i][i] = 1
	}
	for _, s := range m.Steps {
		next := make(matrix, n)
		for i := range next {
			next[i] = make([]float64, n)
			ks := s.Rotations
			if len(ks) == 0 {
				ks = []int{0}
			}
			factor := 1.0
			if s.Mask != nil {
				factor = s.Mask[i%len(s.Mask)]
			}
			for _, k := range ks {
				for j, x := range out[packing.Mod(i+k, n)] {
					next[i][j] += factor * x
				}
			}
		}
		out = next
	}
	return out
}

// near allows for rounding: entries of up to 4 steps of 4 rotations and masks
// below 2 are at most 4^4·2^4 = 2^12 in size.
func near(t require.TestingT, want, got []float64, msg ...any) {
	require.InDeltaSlice(t, want, got, 1e-9, msg...)
}

func TestApplyIsTheMatrix(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, v := drawSlots(t)
		m := drawMap(t, n)
		before := slices.Clone(v)
		near(t, dense(m, n).apply(v), m.Apply(v))
		require.Equal(t, before, v, "Apply leaves its argument alone")
		require.NoError(t, m.Check(n))
	})
}

// Rotate(v, k) moves slot k to slot 0.
func TestRotationsGoLeft(t *testing.T) {
	rotate := packing.Map{Steps: []packing.Step{{Rotations: []int{1}}}}
	require.Equal(t, []float64{1, 2, 3, 0}, rotate.Apply([]float64{0, 1, 2, 3}))
}

// One period stands for all slots: mapping the period and repeating it is
// repeating it and mapping.
func TestApplyOnAPeriod(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, v := drawSlots(t)
		m := drawMap(t, n)
		near(t, slices.Repeat(m.Apply(v), 4), m.Apply(slices.Repeat(v, 4)))
	})
}

func TestThenIsComposition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, v := drawSlots(t)
		a, b := drawMap(t, n), drawMap(t, n)
		ab := a.Then(b)
		near(t, b.Apply(a.Apply(v)), ab.Apply(v))
		require.Equal(t, a.Depth()+b.Depth(), ab.Depth())
		require.Equal(t, a.Identity() && b.Identity(), ab.Identity())

		h := a.Hash()
		_ = append(ab.Steps, packing.Step{}) // must not reach into a
		require.Equal(t, h, a.Hash())
	})
}

func TestDepthAndRotationsAreWhatTheStepsSay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, _ := drawSlots(t)
		m := drawMap(t, n)
		masks, set := 0, map[int]bool{}
		for _, s := range m.Steps {
			if s.Mask != nil {
				masks++
			}
			for _, k := range s.Rotations {
				for k < 0 {
					k += n
				}
				set[k%n] = true
			}
		}
		delete(set, 0)
		require.Equal(t, masks, m.Depth())
		got := m.Rotations(n)
		require.Len(t, got, len(set))
		require.True(t, slices.IsSorted(got))
		for _, k := range got {
			require.True(t, set[k])
		}
	})
}

func TestIdentity(t *testing.T) {
	step := func(s ...packing.Step) packing.Map { return packing.Map{Steps: s} }
	for _, tt := range []struct {
		name string
		m    packing.Map
		want bool
	}{
		{"zero value", packing.Map{}, true},
		{"empty step", step(packing.Step{}), true},
		{"rotation by 0", step(packing.Step{Rotations: []int{0}}), true},
		{"twice nothing", step(packing.Step{}, packing.Step{Rotations: []int{0}}), true},
		{"rotation", step(packing.Step{Rotations: []int{1}}), false},
		{"doubling", step(packing.Step{Rotations: []int{0, 0}}), false},
		{"mask", step(packing.Step{Mask: []float64{1}}), false},
		{"late rotation", step(packing.Step{}, packing.Step{Rotations: []int{0, 3}}), false},
	} {
		require.Equal(t, tt.want, tt.m.Identity(), tt.name)
	}
	rapid.Check(t, func(t *rapid.T) {
		n, v := drawSlots(t)
		if m := drawMap(t, n); m.Identity() {
			require.Equal(t, v, m.Apply(v), "what says it is the identity leaves every slot")
		}
	})
}

func TestCheckRefusesMasks(t *testing.T) {
	for _, tt := range []struct {
		mask []float64
		ok   bool
	}{
		{nil, true},
		{[]float64{1}, true},
		{make([]float64, 8), true},
		{[]float64{}, false},
		{make([]float64, 3), false},
		{make([]float64, 16), false},
	} {
		m := packing.Map{Steps: []packing.Step{{}, {Mask: tt.mask}}}
		if err := m.Check(8); tt.ok {
			require.NoError(t, err)
		} else {
			require.ErrorIs(t, err, packing.ErrShape)
			require.ErrorContains(t, err, "step 1 has a mask of period")
		}
	}
}

// The hash of a program changes with every number in it, with where a number
// stands, and with the number of steps.
func TestHashTellsProgramsApart(t *testing.T) {
	step := func(s ...packing.Step) packing.Map { return packing.Map{Steps: s} }
	negativeZero := math.Copysign(0, -1)
	maps := []packing.Map{
		{},
		step(packing.Step{}),
		step(packing.Step{}, packing.Step{}),
		step(packing.Step{Rotations: []int{1}}),
		step(packing.Step{Rotations: []int{-1}}),
		step(packing.Step{Rotations: []int{1, 2}}),
		step(packing.Step{Rotations: []int{2, 1}}),
		step(packing.Step{Rotations: []int{1}}, packing.Step{Rotations: []int{2}}),
		step(packing.Step{Mask: []float64{1}}),
		step(packing.Step{Mask: []float64{1, 1}}),
		step(packing.Step{Mask: []float64{0}}),
		step(packing.Step{Mask: []float64{negativeZero}}),
		step(packing.Step{Mask: []float64{math.Nextafter(1, 2)}}),
		step(packing.Step{Rotations: []int{1}, Mask: []float64{1}}),
		step(packing.Step{Rotations: []int{1}}, packing.Step{Mask: []float64{1}}),
		step(packing.Step{Mask: []float64{1}}, packing.Step{Rotations: []int{1}}),
	}
	seen := map[[32]byte]int{}
	for i, m := range maps {
		before, ok := seen[m.Hash()]
		require.False(t, ok, "programs %d and %d have one hash", i, before)
		seen[m.Hash()] = i
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawMap(t, 8), drawMap(t, 8)
		require.Equal(t, equal(a, b), a.Hash() == b.Hash())
	})
}

// equal compares programs by the exact bits of their numbers.
func equal(a, b packing.Map) bool {
	return slices.EqualFunc(a.Steps, b.Steps, func(x, y packing.Step) bool {
		bits := func(p, q float64) bool { return math.Float64bits(p) == math.Float64bits(q) }
		return slices.Equal(x.Rotations, y.Rotations) && (x.Mask == nil) == (y.Mask == nil) && slices.EqualFunc(x.Mask, y.Mask, bits)
	})
}

func TestMod(t *testing.T) {
	for _, tt := range [][3]int{{5, 4, 1}, {-1, 4, 3}, {-8, 4, 0}, {0, 4, 0}, {4, 4, 0}, {3, 1, 0}} {
		require.Equal(t, tt[2], packing.Mod(tt[0], tt[1]), "%d mod %d", tt[0], tt[1])
	}
}

// No input within the bounds leaves the bound of the output, and the worst input,
// which has the signs of the matrix's row, reaches it.
func TestApplyBoundDominates(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, v := drawSlots(t)
		m := drawMap(t, n)
		bounds := make([]float64, n)
		for i, x := range v {
			bounds[i] = math.Abs(x)
		}
		limit := m.ApplyBound(bounds)
		for i, x := range m.Apply(v) {
			require.LessOrEqual(t, math.Abs(x), limit[i]+1e-9)
		}
	})
	l, err := packing.NewLayout(64, packing.Axis{Name: "unit", Len: 8}, packing.Axis{Name: "sample", Len: 8})
	require.NoError(t, err)
	m := l.BlockSum(-0.5)
	ones := slices.Repeat([]float64{1}, 64)
	require.Equal(t, slices.Repeat([]float64{4}, 64), m.ApplyBound(ones), "a sum of eight, halved")
	require.Equal(t, slices.Repeat([]float64{-4}, 64), m.Apply(ones))
}

// The variance of independent errors behind a map, predicted and measured over
// 4000 draws: within 6 standard errors, each √(2/4000) of the variance.
func TestApplyVarianceMatchesMonteCarlo(t *testing.T) {
	const draws = 4000
	l, err := packing.NewLayout(32, packing.Axis{Name: "unit", Len: 4}, packing.Axis{Name: "sample", Len: 8})
	require.NoError(t, err)
	cyclic, err := l.CyclicSum(4)
	require.NoError(t, err)
	rng := rand.New(rand.NewPCG(1, 2))
	masked := packing.Map{Steps: []packing.Step{{Rotations: []int{0, 3, -5}, Mask: []float64{1, -2, 0.5, 0}}, {Rotations: []int{4}}}}
	for name, m := range map[string]packing.Map{"identity": {}, "block sum": l.BlockSum(0.25), "cyclic sum": cyclic, "masked": masked} {
		t.Run(name, func(t *testing.T) {
			in := make([]float64, 32)
			for i := range in {
				in[i] = 0.1 + float64(i%5)
			}
			want, sq := m.ApplyVariance(in), make([]float64, 32)
			for range draws {
				e := make([]float64, 32)
				for i := range e {
					e[i] = math.Sqrt(in[i]) * rng.NormFloat64()
				}
				for i, x := range m.Apply(e) {
					sq[i] += x * x
				}
			}
			for i := range sq {
				require.InDelta(t, want[i], sq[i]/draws, 6*math.Sqrt(2.0/draws)*want[i], "slot %d", i)
			}
		})
	}
}

// CyclicSum replaces every slot by the sum along the outermost axis, at any
// radix, including axes of size 1, and asks for no mask.
func TestCyclicSumIsTheSum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := drawLayout(t)
		radix := rapid.SampledFrom([]int{2, 4, 8}).Draw(t, "radix")
		m, err := l.CyclicSum(radix)
		require.NoError(t, err)
		v := rapid.SliceOfN(rapid.Float64Range(-1, 1), l.Period(), l.Period()).Draw(t, "values")
		outer := l.Axes[0].Size
		stride := l.Period() / outer
		want := make([]float64, l.Period())
		for s := range want {
			for k := range outer {
				want[s] += v[k*stride+s%stride]
			}
		}
		near(t, want, m.Apply(v))
		require.Zero(t, m.Depth())
		// ⌈log_radix(size)⌉ steps
		steps := 0
		for r := 1; r < outer; r *= radix {
			steps++
		}
		require.Len(t, m.Steps, steps)
	})
}

// Radix 2 needs one Galois key for each doubling, radix 4 three for each
// quadrupling.
func TestCyclicSumRotations(t *testing.T) {
	l, err := packing.NewLayout(1024, packing.Axis{Name: "unit", Len: 16}, packing.Axis{Name: "sample", Len: 64})
	require.NoError(t, err)
	for radix, want := range map[int][]int{
		2: {64, 128, 256, 512},
		4: {64, 128, 192, 256, 512, 768},
	} {
		m, err := l.CyclicSum(radix)
		require.NoError(t, err)
		require.Equal(t, want, m.Rotations(1024))
	}
	for _, radix := range []int{-2, 0, 1, 3, 6} {
		_, err := l.CyclicSum(radix)
		require.ErrorIs(t, err, packing.ErrShape)
	}
}

// BlockSum replaces every slot by factor times the sum along the innermost axis,
// padding included, with one mask.
func TestBlockSumIsTheSum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := drawLayout(t)
		factor := rapid.Float64Range(-2, 2).Draw(t, "factor")
		v := rapid.SliceOfN(rapid.Float64Range(-1, 1), l.Period(), l.Period()).Draw(t, "values")
		b := l.Axes[len(l.Axes)-1].Size
		want := make([]float64, l.Period())
		for s := range want {
			for k := range b {
				want[s] += factor * v[s/b*b+k]
			}
		}
		m := l.BlockSum(factor)
		near(t, want, m.Apply(v))
		require.Equal(t, 1, m.Depth())
		require.NoError(t, m.Check(l.Slots))
	})
}
