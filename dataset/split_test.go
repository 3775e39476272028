package dataset_test

import (
	"cmp"
	"math"
	"slices"
	"testing"

	"github.com/nereid-mhe/nereid/dataset"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// numbered returns a table whose first feature is the row number and whose
// second repeats every seven rows; zeros of the n targets are 0, the others 1.
func numbered(n, zeros int) dataset.Table {
	t := dataset.Table{Features: []string{"row", "week"}}
	for i := range n {
		t.X = append(t.X, []float64{float64(i), float64(i % 7)})
		t.Y = append(t.Y, 0)
		if i >= zeros {
			t.Y[i] = 1
		}
	}
	return t
}

// ids returns the sorted row numbers of numbered tables.
func ids(parts ...dataset.Table) []int {
	var all []int
	for _, p := range parts {
		for _, x := range p.X {
			all = append(all, int(x[0]))
		}
	}
	slices.Sort(all)
	return all
}

func upTo(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

func ones(t dataset.Table) int {
	n := 0
	for _, y := range t.Y {
		n += int(y)
	}
	return n
}

func TestSelect(t *testing.T) {
	all := numbered(5, 2)
	got := all.Select([]int{4, 0, 4})
	require.Equal(t, dataset.Table{
		Features: []string{"row", "week"}, X: [][]float64{{4, 4}, {0, 0}, {4, 4}}, Y: []float64{1, 0, 1},
	}, got)
	require.Same(t, &all.X[4][0], &got.X[0][0])
	require.Equal(t, 3, got.Rows())
	require.Equal(t, 2, all.Select(nil).Dim())
	require.Equal(t, 0, all.Select(nil).Rows())
}

// Train and test together are the table, each row once and with its target;
// classes are dealt in proportion, and both are in both parts if possible.
func TestSplitIsAPartition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		zeros, n1 := rapid.IntRange(1, 60).Draw(t, "zeros"), rapid.IntRange(1, 60).Draw(t, "ones")
		n := zeros + n1
		if n == 2 {
			t.Skip("too few rows")
		}
		all := numbered(n, zeros)
		f := rapid.Float64Range(0.001, 0.999).Draw(t, "fraction")
		seed := rapid.Uint64().Draw(t, "seed")
		train, test, err := dataset.Split(all, f, seed)
		require.NoError(t, err)
		require.Equal(t, upTo(n), ids(train, test))
		require.NotZero(t, test.Rows())
		for _, part := range []dataset.Table{train, test} {
			require.Equal(t, all.Features, part.Features)
			for i, x := range part.X {
				require.Equal(t, all.Y[int(x[0])], part.Y[i])
			}
		}
		for _, class := range [][2]int{{zeros, test.Rows() - ones(test)}, {n1, ones(test)}} {
			size, tested := class[0], class[1]
			require.Less(t, tested, size, "a class is missing in train")
			if size > 1 {
				require.Positive(t, tested, "a class is missing in test")
				want := min(max(math.Round(f*float64(size)), 1), float64(size-1))
				require.EqualValues(t, want, tested)
			}
		}
		again, _, err := dataset.Split(all, f, seed)
		require.NoError(t, err)
		require.Equal(t, train, again)
	})
}

// The order is part of the interface: parties must agree on it whatever they
// were built with. Recorded; if this fails the draw has changed, do not update
// it lightly.
func TestSplitOrderIsFixed(t *testing.T) {
	train, test, err := dataset.Split(numbered(10, 5), 0.4, 2026)
	require.NoError(t, err)
	order := func(t dataset.Table) (rows []int) {
		for _, x := range t.X {
			rows = append(rows, int(x[0]))
		}
		return rows
	}
	require.Equal(t, []int{0, 9, 4, 7, 2, 6}, order(train))
	require.Equal(t, []int{5, 1, 3, 8}, order(test))
}

func TestSplitRegression(t *testing.T) {
	all := numbered(10, 0)
	for i := range all.Y {
		all.Y[i] = float64(i)
	}
	for fraction, want := range map[float64]int{0.001: 1, 0.26: 3, 0.999: 9} {
		train, test, err := dataset.Split(all, fraction, 1)
		require.NoError(t, err)
		require.Equal(t, want, test.Rows())
		require.Equal(t, upTo(10), ids(train, test))
	}
}

func TestSplitErrors(t *testing.T) {
	regression := dataset.Table{X: [][]float64{{1}}, Y: []float64{5}}
	ragged := dataset.Table{X: [][]float64{{1}, {1, 2}}, Y: []float64{0, 1}}
	for _, tt := range []struct {
		name     string
		table    dataset.Table
		fraction float64
		problem  string
	}{
		{"fraction 0", numbered(10, 5), 0, "not between 0 and 1"},
		{"fraction 1", numbered(10, 5), 1, "not between 0 and 1"},
		{"fraction NaN", numbered(10, 5), math.NaN(), "not between 0 and 1"},
		{"no rows", dataset.Table{}, 0.5, "no rows"},
		{"one class", numbered(10, 0), 0.5, "only one class"},
		{"one row of each class", numbered(2, 1), 0.5, "2 rows are too few"},
		{"one row", regression, 0.5, "1 rows are too few"},
		{"targets missing", dataset.Table{X: regression.X}, 0.5, "1 rows but 0 targets"},
		{"ragged", ragged, 0.5, "row 1 of the table has 2 columns"},
		{"names", dataset.Table{Features: []string{"a", "b"}, X: regression.X, Y: regression.Y}, 0.5, "1 columns but 2 names"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			train, test, err := dataset.Split(tt.table, tt.fraction, 1)
			var e *dataset.Error
			require.ErrorAs(t, err, &e)
			require.Contains(t, e.Problem, tt.problem)
			require.NotEmpty(t, e.Remedy)
			require.Zero(t, train)
			require.Zero(t, test)
		})
	}
}

// Every partition deals each row to exactly one party, with sizes as
// documented and the same parts for the same seed.
func TestDivideCoversEachRowOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 200).Draw(t, "rows")
		parties := rapid.IntRange(1, n).Draw(t, "parties")
		p := rapid.SampledFrom([]dataset.Partition{
			"", dataset.PartitionEven, dataset.PartitionSkewed, dataset.PartitionLabel, dataset.PartitionBy("week"), "column:1",
		}).Draw(t, "partition")
		seed := rapid.Uint64().Draw(t, "seed")
		all := numbered(n, rapid.IntRange(0, n).Draw(t, "zeros"))
		parts, err := dataset.Divide(all, parties, p, seed)
		require.NoError(t, err)
		require.Len(t, parts, parties)
		require.Equal(t, upTo(n), ids(parts...))
		for i, part := range parts {
			require.Positive(t, part.Rows())
			if p != dataset.PartitionSkewed {
				require.InDelta(t, float64(n)/float64(parties), part.Rows(), 1)
			}
			require.True(t, i == 0 || part.Rows() <= parts[i-1].Rows(), "sizes must not increase")
			for k, x := range part.X {
				require.Equal(t, all.Y[int(x[0])], part.Y[k])
			}
		}
		again, err := dataset.Divide(all, parties, p, seed)
		require.NoError(t, err)
		require.Equal(t, parts, again)
	})
}

// Sorting partitions put equal keys side by side: the keys of one party are
// never above those of the next.
func TestDivideSorts(t *testing.T) {
	all := numbered(100, 30)
	for p, key := range map[dataset.Partition]func(dataset.Table, int) float64{
		dataset.PartitionLabel:        func(t dataset.Table, i int) float64 { return t.Y[i] },
		dataset.PartitionBy("week"):   func(t dataset.Table, i int) float64 { return t.X[i][1] },
		dataset.Partition("column:0"): func(t dataset.Table, i int) float64 { return t.X[i][0] },
	} {
		parts, err := dataset.Divide(all, 7, p, 3)
		require.NoError(t, err)
		var keys []float64
		for _, part := range parts {
			for i := range part.X {
				keys = append(keys, key(part, i))
			}
		}
		require.True(t, slices.IsSortedFunc(keys, cmp.Compare[float64]), string(p))
	}
}

func TestDivideSkewedSizes(t *testing.T) {
	for _, tt := range []struct {
		rows int
		want []int
	}{
		{14, []int{7, 4, 3}},      // 11 to share as 6 : 3 : 2
		{15, []int{8, 4, 3}},      // 12 as 6.5 : 3.3 : 2.2, one left over
		{3, []int{1, 1, 1}},       // one row each, none to share
		{28, []int{13, 7, 5, 3}},  // 24 as 11.52 : 5.76 : 3.84 : 2.88
		{1000, []int{1000}},       // one party
		{7, []int{2, 2, 1, 1, 1}}, // 2 as 0.9 : 0.4 : …, both left over
	} {
		parts, err := dataset.Divide(numbered(tt.rows, 1), len(tt.want), dataset.PartitionSkewed, 1)
		require.NoError(t, err)
		var got []int
		for _, p := range parts {
			got = append(got, p.Rows())
		}
		require.Equal(t, tt.want, got)
	}
}

func TestDivideErrors(t *testing.T) {
	unnamed := numbered(4, 2)
	unnamed.Features = nil
	for _, tt := range []struct {
		name      string
		table     dataset.Table
		parties   int
		partition dataset.Partition
		column    string
		problem   string
		remedy    string
	}{
		{"no party", numbered(4, 2), 0, "even", "", "0 parties", "one party"},
		{"negative", numbered(4, 2), -3, "even", "", "-3 parties", "one party"},
		{"fewer rows than parties", numbered(4, 2), 5, "even", "", "4 rows cannot be divided among 5", "fewer parties"},
		{"unknown partition", numbered(4, 2), 2, "random", "", "unknown partition", `"skewed"`},
		{"unknown column", numbered(4, 2), 2, "column:age", "age", "no such column", `"row", "week"`},
		{"unknown column of unnamed", unnamed, 2, "column:c2", "c2", "no such column", `"c0", "c1"`},
		{"empty column", numbered(4, 2), 2, "column:", "", "no such column", `"row", "week"`},
		{"bad table", dataset.Table{Y: []float64{1}}, 1, "even", "", "0 rows but 1 targets", "one target"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			parts, err := dataset.Divide(tt.table, tt.parties, tt.partition, 1)
			var e *dataset.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, tt.column, e.Column)
			require.Contains(t, e.Problem, tt.problem)
			require.Contains(t, e.Remedy, tt.remedy)
			require.Nil(t, parts)
		})
	}
}
