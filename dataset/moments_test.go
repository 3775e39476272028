package dataset_test

import (
	"math"
	"strconv"
	"testing"

	"github.com/nereid-mhe/nereid/dataset"
	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/stat"
	"pgregory.net/rapid"
)

// drawTable draws n rows of three columns with mean/std ratios up to 10^4.
func drawTable(t *rapid.T, n int) dataset.Table {
	table := dataset.Table{Features: []string{"a", "b", "c"}}
	offset := rapid.Float64Range(-1e4, 1e4).Draw(t, "offset")
	for range n {
		row := []float64{
			rapid.Float64Range(-1, 1).Draw(t, "a"),
			rapid.Float64Range(0, 1e9).Draw(t, "b"),
			offset + rapid.Float64Range(-1, 1).Draw(t, "c"),
		}
		table.X, table.Y = append(table.X, row), append(table.Y, 0)
	}
	// Two rows that bound the variances from below.
	table.X = append(table.X, []float64{-1, 0, offset - 1}, []float64{1, 1e9, offset + 1})
	table.Y = append(table.Y, 0, 1)
	return table
}

func requireClose(t require.TestingT, want, got []float64, relative float64) {
	require.Len(t, got, len(want))
	for j := range want {
		require.InDelta(t, want[j], got[j], relative*(1+math.Abs(want[j])), "column %d", j)
	}
}

// The moments of a table are the sum of those of its parts, in any order.
func TestMomentsAdd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := drawTable(t, rapid.IntRange(0, 30).Draw(t, "rows"))
		parties := rapid.IntRange(1, all.Rows()).Draw(t, "parties")
		parts, err := dataset.Divide(all, parties, dataset.PartitionSkewed, 1)
		require.NoError(t, err)
		var forth, back dataset.Moments
		for i := range parts {
			forth = forth.Add(parts[i].Moments())
			back = parts[parties-1-i].Moments().Add(back)
		}
		want := all.Moments()
		for _, got := range []dataset.Moments{forth, back} {
			require.Equal(t, float64(all.Rows()), got.N)
			requireClose(t, want.Sum, got.Sum, 1e-10)
			requireClose(t, want.SumSq, got.SumSq, 1e-10)
		}
	})
}

// Standardised columns have mean 0 and variance 1, and mean and standard
// deviation agree with gonum's two-pass formula.
func TestScalerStandardises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table := drawTable(t, rapid.IntRange(0, 30).Draw(t, "rows"))
		s, err := table.Moments().Scaler(0)
		require.NoError(t, err)
		require.NoError(t, s.Check(table))
		z := s.Apply(table)
		for j := range table.Features {
			var column, scaled []float64
			for i := range table.X {
				column, scaled = append(column, table.X[i][j]), append(scaled, z.X[i][j])
			}
			mean, std := stat.PopMeanStdDev(column, nil)
			require.InEpsilon(t, std, s.Std[j], 1e-6)
			require.InDelta(t, mean, s.Mean[j], 1e-12*(1+math.Abs(mean)))
			mean, variance := stat.PopMeanVariance(scaled, nil)
			require.InDelta(t, 0, mean, 1e-6)
			require.InDelta(t, 1, variance, 1e-6)
		}
	})
}

func TestMomentsAddEdges(t *testing.T) {
	m := dataset.Moments{N: 2, Sum: []float64{3}, SumSq: []float64{5}}
	require.Equal(t, m, m.Add(dataset.Moments{}))
	require.Equal(t, m, dataset.Moments{}.Add(m))
	require.Equal(t, dataset.Moments{N: 4, Sum: []float64{6}, SumSq: []float64{10}}, m.Add(m))
	require.Equal(t, []float64{3}, m.Sum, "Add must not write to its operands")

	// A copy, not an alias.
	c := m.Add(dataset.Moments{})
	c.Sum[0] = 7
	require.Equal(t, []float64{3}, m.Sum)

	for _, o := range []dataset.Moments{
		{N: 2, Sum: []float64{3, 4}, SumSq: []float64{5, 6}},
		{N: 2, Sum: []float64{3}, SumSq: []float64{5, 6}},
		{N: 2},
	} {
		require.True(t, math.IsNaN(m.Add(o).N))
		require.True(t, math.IsNaN(m.Add(o).Add(m).N), "a mismatch must not heal")
	}
}

func TestMomentsOfNoRows(t *testing.T) {
	m := dataset.Table{Features: []string{"a"}}.Moments()
	require.Equal(t, dataset.Moments{Sum: []float64{0}, SumSq: []float64{0}}, m)
}

// Plain summation of 0.1 a million times is off in the 11th digit.
func TestMomentsAreCompensated(t *testing.T) {
	const n = 1_000_000
	row := []float64{0.1, 1e8}
	table := dataset.Table{X: make([][]float64, n), Y: make([]float64, n)}
	for i := range table.X {
		table.X[i] = row
	}
	m := table.Moments()
	require.InEpsilon(t, n*0.1, m.Sum[0], 1e-15)
	require.InEpsilon(t, n*0.1*0.1, m.SumSq[0], 1e-15)
	require.InEpsilon(t, n*1e16, m.SumSq[1], 1e-15)
}

// Alternating mean ± std is resolved down to std = mean/10^5.5 and refused
// below mean/10^6, in between it depends on the rounding of the mean.
func TestScalerCancellation(t *testing.T) {
	for _, mean := range []float64{1, 1.1, 12345.678, 1e9, -3e-5} {
		for _, tt := range []struct {
			ratio float64
			ok    bool
		}{{1e-3, true}, {3.2e-6, true}, {5e-7, false}, {1e-9, false}, {0, false}} {
			std := math.Abs(mean) * tt.ratio
			table := dataset.Table{}
			for range 500 {
				table.X = append(table.X, []float64{mean - std}, []float64{mean + std})
				table.Y = append(table.Y, 0, 1)
			}
			s, err := table.Moments().Scaler(0)
			if !tt.ok {
				require.Error(t, err, "mean %g ratio %g", mean, tt.ratio)
				continue
			}
			require.NoError(t, err, "mean %g ratio %g", mean, tt.ratio)
			require.InEpsilon(t, std, s.Std[0], 1e-3)
		}
	}
}

func TestScalerErrors(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	one := []float64{1}
	two := []float64{2}
	for _, tt := range []struct {
		name    string
		moments dataset.Moments
		clip    float64
		column  string
		problem string
	}{
		{"negative clip", dataset.Moments{2, one, two}, -1, "", "clip"},
		{"NaN clip", dataset.Moments{2, one, two}, nan, "", "clip"},
		{"infinite clip", dataset.Moments{2, one, two}, inf, "", "clip"},
		{"no rows", dataset.Moments{}, 0, "", "0 rows"},
		{"negative rows", dataset.Moments{-2, one, two}, 0, "", "-2 rows"},
		{"infinite rows", dataset.Moments{inf, one, two}, 0, "", "Inf rows"},
		{"mismatch", dataset.Moments{2, one, two}.Add(dataset.Moments{2, nil, nil}), 0, "", "same columns"},
		{"lengths", dataset.Moments{2, one, nil}, 0, "", "same columns"},
		{"constant", dataset.Moments{4, []float64{1, 4}, []float64{2, 4}}, 0, "1", "variance 0"},
		{"negative variance", dataset.Moments{4, []float64{1, 4}, []float64{2, 3}}, 0, "1", "variance -0.25"},
		{"NaN sum", dataset.Moments{4, []float64{nan}, []float64{3}}, 0, "0", "variance NaN"},
		{"infinite squares", dataset.Moments{4, []float64{1}, []float64{inf}}, 0, "0", "variance +Inf"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := tt.moments.Scaler(tt.clip)
			var e *dataset.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, tt.column, e.Column)
			require.Contains(t, e.Problem, tt.problem)
			require.NotEmpty(t, e.Remedy)
			require.Zero(t, s)
		})
	}
}

func TestScalerApply(t *testing.T) {
	table := dataset.Table{Features: []string{"a", "b"}, X: [][]float64{{1, 10}, {3, 90}}, Y: []float64{0, 1}}
	s := dataset.Scaler{Mean: []float64{2, 10}, Std: []float64{1, 10}, Clip: 5}
	z := s.Apply(table)
	require.Equal(t, [][]float64{{-1, 0}, {1, 5}}, z.X)
	z.X[0][0], z.Y[0], z.Features[0] = 7, 7, "z"
	require.Equal(t, dataset.Table{Features: []string{"a", "b"}, X: [][]float64{{1, 10}, {3, 90}}, Y: []float64{0, 1}}, table)

	s = dataset.Scaler{Mean: []float64{2, 10}, Std: []float64{0.25, 0.1}, Clip: 3}
	require.Equal(t, [][]float64{{-3, 0}, {3, 3}}, s.Apply(table).X)
}

func TestScalerCheck(t *testing.T) {
	table := dataset.Table{X: [][]float64{{1, 10}}, Y: []float64{0}}
	for i, s := range []dataset.Scaler{
		{},
		{Mean: []float64{1}, Std: []float64{1}},
		{Mean: []float64{1, 2}, Std: []float64{1}},
		{Mean: []float64{1, 2}, Std: []float64{1, 0}},
		{Mean: []float64{math.NaN(), 2}, Std: []float64{1, 1}},
	} {
		var e *dataset.Error
		require.ErrorAs(t, s.Check(table), &e, strconv.Itoa(i))
	}
	require.Error(t, dataset.Scaler{}.Check(dataset.Table{Y: []float64{1}}))
}
