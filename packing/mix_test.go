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

// drawMix draws a mix of up to four inputs into up to four outputs of n slots.
func drawMix(t *rapid.T, n int) (m packing.Mix, inputs int) {
	inputs = rapid.IntRange(1, 4).Draw(t, "inputs")
	masked := rapid.Bool().Draw(t, "masked")
	for range rapid.IntRange(1, 4).Draw(t, "outputs") {
		var pieces []packing.Piece
		for range rapid.IntRange(1, 5).Draw(t, "pieces") {
			p := packing.Piece{In: rapid.IntRange(0, inputs-1).Draw(t, "in"), By: rapid.IntRange(-2*n, 2*n).Draw(t, "by")}
			if masked {
				period := 1 << rapid.IntRange(0, log2(n)).Draw(t, "period")
				p.Mask = rapid.SliceOfN(rapid.Float64Range(-2, 2), period, period).Draw(t, "mask")
			}
			pieces = append(pieces, p)
		}
		m = append(m, pieces)
	}
	return m, inputs
}

func drawInputs(t *rapid.T, inputs, n int) [][]float64 {
	x := make([][]float64, inputs)
	for i := range x {
		x[i] = rapid.SliceOfN(rapid.Float64Range(-1, 1), n, n).Draw(t, "slots")
	}
	return x
}

// denseMix writes a mix out as one matrix on the inputs end to end.
func denseMix(m packing.Mix, inputs, n int) matrix {
	out := make(matrix, len(m)*n)
	for i := range out {
		out[i] = make([]float64, inputs*n)
		for _, p := range m[i/n] {
			f := 1.0
			if p.Mask != nil {
				f = p.Mask[i%n%len(p.Mask)]
			}
			out[i][p.In*n+packing.Mod(i%n+p.By, n)] += f
		}
	}
	return out
}

func TestMixIsTheMatrix(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := 1 << rapid.IntRange(0, 5).Draw(t, "log slots")
		m, inputs := drawMix(t, n)
		require.NoError(t, m.Check(inputs, n))
		x := drawInputs(t, inputs, n)
		before := slices.Concat(x...)
		near(t, denseMix(m, inputs, n).apply(before), slices.Concat(m.Apply(x)...))
		require.Equal(t, before, slices.Concat(x...), "Apply leaves its argument alone")
	})
}

// A mix of one input that adds rotations of it is a map of one step.
func TestMixOfOneIsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, v := drawSlots(t)
		ks := rapid.SliceOfN(rapid.IntRange(-n, n), 1, 4).Draw(t, "rotations")
		mask := rapid.SliceOfN(rapid.Float64Range(-2, 2), n, n).Draw(t, "mask")
		var pieces []packing.Piece
		for _, k := range ks {
			pieces = append(pieces, packing.Piece{By: k, Mask: mask})
		}
		x, m := packing.Mix{pieces}, packing.Map{Steps: []packing.Step{{Rotations: ks, Mask: mask}}}
		near(t, m.Apply(v), x.Apply([][]float64{v})[0])
		near(t, m.ApplyVariance(v), x.ApplyVariance([][]float64{v})[0])
		near(t, m.ApplyBound(v), x.ApplyBound([][]float64{v})[0])
		require.Equal(t, 1, x.Depth())
	})
}

// One period stands for all slots.
func TestMixOnAPeriod(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := 1 << rapid.IntRange(0, 5).Draw(t, "log slots")
		m, inputs := drawMix(t, n)
		x := drawInputs(t, inputs, n)
		long := make([][]float64, inputs)
		for i, v := range x {
			long[i] = slices.Repeat(v, 4)
		}
		for i, v := range m.Apply(x) {
			near(t, slices.Repeat(v, 4), m.Apply(long)[i])
		}
	})
}

func TestMixBoundDominates(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := 1 << rapid.IntRange(0, 4).Draw(t, "log slots")
		m, inputs := drawMix(t, n)
		x := drawInputs(t, inputs, n)
		bounds := make([][]float64, inputs)
		for i, v := range x {
			for _, f := range v {
				bounds[i] = append(bounds[i], math.Abs(f))
			}
		}
		limit := m.ApplyBound(bounds)
		for i, out := range m.Apply(x) {
			for k, f := range out {
				require.LessOrEqual(t, math.Abs(f), limit[i][k]+1e-9)
			}
		}
	})
}

// The variance of independent errors behind a mix, predicted and measured over
// 4000 draws, within 6 standard errors.
func TestMixVarianceMatchesMonteCarlo(t *testing.T) {
	const draws, n = 4000, 8
	m := packing.Mix{
		{{In: 0, By: 1, Mask: []float64{1, -2}}, {In: 1, By: -3, Mask: []float64{0.5}}, {In: 0, By: 2, Mask: []float64{3, 0, 1, -1}}},
		{{In: 1, By: 5, Mask: []float64{2}}},
	}
	rng := rand.New(rand.NewPCG(1, 2))
	in := [][]float64{make([]float64, n), make([]float64, n)}
	for i := range n {
		in[0][i], in[1][i] = 0.1+float64(i%5), 1+float64(i%3)
	}
	want, sq := m.ApplyVariance(in), [2][n]float64{}
	for range draws {
		e := [][]float64{make([]float64, n), make([]float64, n)}
		for i := range in {
			for k, v := range in[i] {
				e[i][k] = math.Sqrt(v) * rng.NormFloat64()
			}
		}
		for i, out := range m.Apply(e) {
			for k, x := range out {
				sq[i][k] += x * x
			}
		}
	}
	for i := range want {
		for k, w := range want[i] {
			require.InDelta(t, w, sq[i][k]/draws, 6*math.Sqrt(2.0/draws)*w, "output %d, slot %d", i, k)
		}
	}
}

func TestMixCheckRefuses(t *testing.T) {
	one := []float64{1}
	for name, tt := range map[string]struct {
		m    packing.Mix
		want string
	}{
		"an input too many":          {packing.Mix{{{In: 2}}}, "of input 2, want 0 to 1"},
		"a negative input":           {packing.Mix{{{In: -1}}}, "of input -1"},
		"an output of nothing":       {packing.Mix{{{}}, {}}, "output 1 of a mix has no pieces"},
		"a mask of three":            {packing.Mix{{{Mask: []float64{1, 2, 3}}}}, "a mask of period 3"},
		"an empty mask":              {packing.Mix{{{Mask: []float64{}}}}, "a mask of period 0"},
		"a mask longer than slots":   {packing.Mix{{{Mask: make([]float64, 16)}}}, "a mask of period 16 for 8 slots"},
		"a mask here, none there":    {packing.Mix{{{Mask: one}, {}}}, "piece 1 of output 0 has no mask"},
		"one output masked, one not": {packing.Mix{{{}}, {{Mask: one}}}, "piece 0 of output 0 has no mask"},
	} {
		err := tt.m.Check(2, 8)
		require.ErrorIs(t, err, packing.ErrShape, name)
		require.ErrorContains(t, err, tt.want, name)
	}
	require.NoError(t, packing.Mix(nil).Check(2, 8))
}

// The hash changes with every number of a mix and with where it stands.
func TestMixHash(t *testing.T) {
	one := []float64{1}
	mixes := []packing.Mix{
		nil,
		{{}},
		{{}, {}},
		{{{}}},
		{{{}}, {}},
		{{}, {{}}},
		{{{In: 1}}},
		{{{By: 1}}},
		{{{By: -1}}},
		{{{}, {In: 1}}},
		{{{In: 1}, {}}},
		{{{}}, {{In: 1}}},
		{{{Mask: one}}},
		{{{Mask: []float64{1, 1}}}},
		{{{Mask: []float64{math.Nextafter(1, 2)}}}},
		{{{Mask: []float64{0}}}},
		{{{Mask: []float64{math.Copysign(0, -1)}}}},
	}
	seen := map[[32]byte]int{}
	for i, m := range mixes {
		before, ok := seen[m.Hash()]
		require.False(t, ok, "mixes %d and %d have one hash", i, before)
		seen[m.Hash()] = i
	}
	rapid.Check(t, func(t *rapid.T) { // any change of any one piece
		m, _ := drawMix(t, 8)
		before := m.Hash()
		out := rapid.IntRange(0, len(m)-1).Draw(t, "output")
		p := &m[out][rapid.IntRange(0, len(m[out])-1).Draw(t, "piece")]
		switch change := rapid.IntRange(0, 2).Draw(t, "change"); {
		case change == 0:
			p.In++
		case change == 1 || p.Mask == nil:
			p.By--
		default:
			i := rapid.IntRange(0, len(p.Mask)-1).Draw(t, "factor")
			p.Mask = slices.Clone(p.Mask)
			p.Mask[i] = math.Nextafter(p.Mask[i], 3)
		}
		require.NotEqual(t, before, m.Hash())
	})
}
