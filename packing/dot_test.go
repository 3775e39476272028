package packing_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/nereid-mhe/nereid/packing"
)

const slots = 256

// A batch of random rows with weights, targets and errors of matching sizes.
type batch struct {
	dot        packing.Dot
	w, e       []float64
	rows       [][]float64
	feat, smpl int
}

func drawBatch(t *rapid.T) batch {
	b := batch{feat: rapid.IntRange(1, 20).Draw(t, "features")}
	b.smpl = rapid.IntRange(1, packing.MaxBatch(b.feat, slots)).Draw(t, "samples")
	var err error
	b.dot, err = packing.NewDot(b.feat, b.smpl, slots)
	require.NoError(t, err)
	number := rapid.Float64Range(-1, 1)
	b.w = rapid.SliceOfN(number, b.feat, b.feat).Draw(t, "weights")
	used := rapid.IntRange(0, b.smpl).Draw(t, "rows") // a batch may be short
	b.e = rapid.SliceOfN(number, used, used).Draw(t, "errors")
	for range used {
		b.rows = append(b.rows, rapid.SliceOfN(number, b.feat, b.feat).Draw(t, "row"))
	}
	return b
}

func times(x, y []float64) []float64 {
	out := make([]float64, len(x))
	for i := range x {
		out[i] = x[i] * y[i]
	}
	return out
}

// Sum(w ⊙ x) holds the schoolbook product w·x_s at every feature of sample s, and
// zero at padding samples.
func TestDotForwardIsTheProduct(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := drawBatch(t)
		z := b.dot.Sum.Apply(times(b.dot.Weights(b.w), b.dot.Data(b.rows)))
		size := b.dot.Layout.Axes[1].Size
		want := make([]float64, len(z))
		for s, row := range b.rows {
			for j := range b.dot.Layout.Axes[0].Size {
				for k := range row {
					want[j*size+s] += b.w[k] * row[k]
				}
			}
		}
		near(t, want, z)
	})
}

// The block sum of e ⊙ x holds Σ_s e_s·x_sj at feature j, and Read finds it.
func TestDotBackwardIsTheProduct(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := drawBatch(t)
		g := b.dot.Layout.BlockSum(1).Apply(times(b.dot.Targets(b.e), b.dot.Data(b.rows)))
		want := make([]float64, b.feat)
		for s, row := range b.rows {
			for j, x := range row {
				want[j] += b.e[s] * x
			}
		}
		near(t, want, b.dot.Read(g))
	})
}

// Reading what Weights wrote gives the weights, from one period or from many.
func TestDotReadInvertsWeights(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := drawBatch(t)
		v := b.dot.Weights(b.w)
		require.Len(t, v, b.dot.Layout.Period())
		require.Equal(t, b.w, b.dot.Read(v))
		require.Equal(t, b.w, b.dot.Read(append(v, v...)))
		for s := range b.dot.Layout.Axes[1].Size { // padding samples carry the weights too
			for j, x := range b.w {
				require.Equal(t, x, v[b.dot.Layout.Slot(j, s)])
			}
		}
	})
}

// Select keeps the outputs of the first rows, once, and nothing else of the whole
// ciphertext: neither padding, nor other features, nor repetitions.
func TestSelectKeepsEveryOutputOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := drawBatch(t)
		rows := rapid.IntRange(0, b.smpl).Draw(t, "kept")
		v := make([]float64, slots)
		for i := range v {
			v[i] = float64(i + 1)
		}
		m := b.dot.Select(rows)
		require.NoError(t, m.Check(slots))
		require.Equal(t, 1, m.Depth())
		require.Empty(t, m.Rotations(slots))
		for i, x := range m.Apply(v) {
			if i < rows { // feature 0 is outermost: its samples come first
				require.Equal(t, v[i], x)
			} else {
				require.Zero(t, x)
			}
		}
	})
}

// MaxBatch fits and one more does not.
func TestMaxBatchIsTheLargest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		features := rapid.IntRange(1, slots).Draw(t, "features")
		largest := packing.MaxBatch(features, slots)
		require.Positive(t, largest)
		_, err := packing.NewDot(features, largest, slots)
		require.NoError(t, err)
		_, err = packing.NewDot(features, largest+1, slots)
		require.ErrorIs(t, err, packing.ErrShape)
	})
	require.Zero(t, packing.MaxBatch(slots+1, slots))
	require.Zero(t, packing.MaxBatch(0, slots), "no features, no batch")
	require.Zero(t, packing.MaxBatch(-1, slots))
}

func TestNewDotRefuses(t *testing.T) {
	for _, tt := range []struct{ features, batch, slots int }{
		{0, 1, 8}, {1, 0, 8}, {-1, 1, 8}, {1, -1, 8}, {1, 1, 0}, {1, 1, 9}, {9, 1, 8}, {1, 9, 8}, {3, 4, 8}, {1, 1, 4}, {1 << 62, 1 << 62, 8},
	} {
		_, err := packing.NewDot(tt.features, tt.batch, tt.slots)
		require.ErrorIs(t, err, packing.ErrShape, "%+v", tt)
	}
}

// Data is encoded in periods of at least 8: small products are padded to that.
func TestDotPeriods(t *testing.T) {
	for features := 1; features <= 9; features++ {
		for samples := 1; samples <= 9; samples++ {
			d, err := packing.NewDot(features, samples, slots)
			require.NoError(t, err)
			require.GreaterOrEqual(t, d.Layout.Period(), 8)
			require.Equal(t, samples, d.Layout.Axes[1].Len)
			require.Less(t, d.Layout.Axes[0].Size, 2*features, "no feature more than needed")
		}
	}
}

// Update turns the products of a batch into the mean gradient, replicated as
// weights are, wherever in the ciphertext they came from: given all slots it
// averages the repetitions, whose independent errors shrink by their number.
func TestUpdateIsTheMeanGradient(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := drawBatch(t)
		factor := rapid.Float64Range(-2, 2).Draw(t, "factor")
		products := times(b.dot.Targets(b.e), b.dot.Data(b.rows))
		want := make([]float64, b.feat)
		for s, row := range b.rows {
			for j, x := range row {
				want[j] += factor * b.e[s] * x
			}
		}
		m := b.dot.Update(factor)
		near(t, b.dot.Weights(want), m.Apply(products), "one period")
		copies := slots / b.dot.Layout.Period()
		all := slices.Repeat(products, copies)
		near(t, slices.Repeat(b.dot.Weights(want), copies), m.Apply(all), "all slots")
		require.NoError(t, m.Check(slots))
		require.Equal(t, 1, m.Depth())

		ones := slices.Repeat([]float64{1}, slots)
		block := float64(b.dot.Layout.Axes[1].Size)
		require.InDelta(t, factor*factor*block/float64(copies), m.ApplyVariance(ones)[0], 1e-9)
	})
}
