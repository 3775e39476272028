package dataset_test

import (
	"math"
	"testing"

	"github.com/nereid-mhe/nereid/dataset"
	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/stat"
	"pgregory.net/rapid"
)

// Recorded with Go 1.26 on amd64. A change means that studies with synthetic
// data no longer reproduce.
func TestSyntheticIsFixed(t *testing.T) {
	got, err := dataset.Synthetic(dataset.SyntheticConfig{Rows: 3, Features: 3, Seed: 7, Noise: 0.1})
	require.NoError(t, err)
	require.Equal(t, dataset.Table{
		Features: []string{"x0", "x1", "x2"},
		X: [][]float64{
			{221.2388430569236, 58.524976778180985, -167.0220936559232},
			{194.04139648247866, 272.22242005027044, -98.01943245002536},
			{205.23113608956476, 212.944409481515, -53.68556855716958},
		},
		Y: []float64{0, 0, 1},
	}, got)
	w, b, err := dataset.SyntheticConfig{Rows: 3, Features: 3, Seed: 7}.Truth()
	require.NoError(t, err)
	require.Equal(t, []float64{1.0897866649705477, -0.708399724152476, 1.7838204132604565, 1.3638965786156945}, append(w, b))
}

// Over consecutive seeds b ~ N(0, 0.5²), weights average to 0, and wᵀΣw is 4.
func TestSyntheticTruth(t *testing.T) {
	var intercepts, first []float64
	for seed := range uint64(2000) {
		w, b, err := dataset.SyntheticConfig{Rows: 2, Features: 4, Seed: seed}.Truth()
		require.NoError(t, err)
		variance := 0.0
		for j := range w {
			for k := range w {
				variance += w[j] * w[k] * math.Pow(0.3, math.Abs(float64(j-k)))
			}
		}
		require.InDelta(t, 4, variance, 1e-12)
		intercepts, first = append(intercepts, b), append(first, w[0])
	}
	// Three standard errors are 0.034 for the mean and 0.024 for the deviation.
	mean, std := stat.MeanStdDev(intercepts, nil)
	require.InDelta(t, 0, mean, 0.034)
	require.InDelta(t, 0.5, std, 0.024)
	require.InDelta(t, 0, stat.Mean(first, nil), 0.07)
}

// Standardised rows follow the documented population: neighbours correlate by
// 0.3, their neighbours by 0.09, w·z has standard deviation 2, and among rows
// with predicted probability near p a share of p + Noise(1-2p) is positive.
func TestSyntheticFollowsTheModel(t *testing.T) {
	const noise = 0.1
	c := dataset.SyntheticConfig{Rows: 40_000, Features: 5, Seed: 11, Noise: noise}
	table, err := dataset.Synthetic(c)
	require.NoError(t, err)
	w, b, err := c.Truth()
	require.NoError(t, err)
	s, err := table.Moments().Scaler(0)
	require.NoError(t, err)
	z := s.Apply(table)

	column := func(j int) (v []float64) {
		for _, row := range z.X {
			v = append(v, row[j])
		}
		return v
	}
	for j := range c.Features - 2 {
		require.InDelta(t, 0.3, stat.Correlation(column(j), column(j+1), nil), 0.02)
		require.InDelta(t, 0.09, stat.Correlation(column(j), column(j+2), nil), 0.02)
	}
	var wz []float64
	var bins [10]struct{ n, expected, positive float64 }
	for i, row := range z.X {
		dot := 0.0
		for j, v := range row {
			dot += w[j] * v
		}
		wz = append(wz, dot)
		p := 1 / (1 + math.Exp(-(dot + b)))
		bin := &bins[min(int(10*p), 9)]
		bin.n++
		bin.expected += p + noise*(1-2*p)
		bin.positive += table.Y[i]
	}
	require.InDelta(t, 2, stat.StdDev(wz, nil), 0.05)
	for _, bin := range bins {
		require.Greater(t, bin.n, 1000.0)
		// Four standard deviations of a mean of n Bernoulli draws are below 2/sqrt(n).
		require.InDelta(t, bin.expected/bin.n, bin.positive/bin.n, 2/math.Sqrt(bin.n)+0.01)
	}
	for j := range s.Mean {
		require.InDelta(t, math.Round(s.Mean[j]/s.Std[j]), s.Mean[j]/s.Std[j], 0.1)
	}
}

// Any small table has both classes, finite cells, and the rows of a larger one.
func TestSyntheticSmall(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := dataset.SyntheticConfig{
			Rows:     rapid.IntRange(2, 6).Draw(t, "rows"),
			Features: rapid.IntRange(1, 4).Draw(t, "features"),
			Seed:     rapid.Uint64().Draw(t, "seed"),
			Noise:    rapid.Float64Range(0, 0.49).Draw(t, "noise"),
		}
		small, err := dataset.Synthetic(c)
		require.NoError(t, err)
		require.Equal(t, c.Rows, small.Rows())
		require.Equal(t, c.Features, small.Dim())
		n := ones(small)
		require.True(t, 0 < n && n < c.Rows)
		larger := c
		larger.Rows, larger.Noise = 10, 0.25
		large, err := dataset.Synthetic(larger)
		require.NoError(t, err)
		require.Equal(t, small.X, large.X[:c.Rows])
	})
}

func TestSyntheticErrors(t *testing.T) {
	for _, tt := range []struct {
		name    string
		config  dataset.SyntheticConfig
		problem string
	}{
		{"no rows", dataset.SyntheticConfig{Rows: 1, Features: 1}, "1 synthetic rows"},
		{"no features", dataset.SyntheticConfig{Rows: 2}, "0 synthetic features"},
		{"too large", dataset.SyntheticConfig{Rows: math.MaxInt, Features: math.MaxInt}, "cells"},
		{"negative noise", dataset.SyntheticConfig{Rows: 2, Features: 1, Noise: -0.1}, "noise -0.1"},
		{"too much noise", dataset.SyntheticConfig{Rows: 2, Features: 1, Noise: 0.5}, "noise 0.5"},
		{"NaN noise", dataset.SyntheticConfig{Rows: 2, Features: 1, Noise: math.NaN()}, "noise NaN"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := dataset.Synthetic(tt.config)
			var e *dataset.Error
			require.ErrorAs(t, err, &e)
			require.Contains(t, e.Problem, tt.problem)
			_, _, err = tt.config.Truth()
			require.ErrorAs(t, err, &e)
		})
	}
}
