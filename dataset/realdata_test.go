package dataset_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/nereid-mhe/nereid/dataset"
	"github.com/stretchr/testify/require"
)

// realData returns the path of a public data set, searched for in shared/data
// of every folder above the working directory. The sets are not in the
// repository: without them the test is skipped.
func realData(t testing.TB, parts ...string) string {
	t.Helper()
	dir, err := os.Getwd()
	require.NoError(t, err)
	for {
		path := filepath.Join(append([]string{dir, "shared", "data"}, parts...)...)
		if _, err := os.Stat(path); err == nil {
			return path
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Skipf("public data set %s is not here: put it in shared/data beside the repository", filepath.Join(parts...))
		}
		dir = up
	}
}

// Counts from shared/data/README.md.
func TestReadRealData(t *testing.T) {
	for _, tt := range []struct {
		name      string
		path      []string
		schema    dataset.Schema
		report    dataset.Report
		dim, ones int
		first     string // name of the first feature
	}{
		{
			"Pima",
			[]string{"pima", "pima-indians-diabetes.data.csv"},
			dataset.Schema{Label: "8"},
			dataset.Report{Rows: 768},
			8, 268, "c0",
		},
		{
			"breast cancer, drop",
			[]string{"bcw", "breast-cancer-wisconsin.data"},
			dataset.Schema{Label: "10", Drop: []string{"0"}, Missing: dataset.MissingDrop, Classes: []string{"2", "4"}},
			dataset.Report{Rows: 683, Dropped: 16},
			9, 239, "c1",
		},
		{
			"breast cancer, mean",
			[]string{"bcw", "breast-cancer-wisconsin.data"},
			dataset.Schema{Label: "-1", Drop: []string{"c0"}, Missing: dataset.MissingMean, Classes: []string{"2", "4"}},
			dataset.Report{Rows: 699, Imputed: 16},
			9, 241, "c1",
		},
		{
			"credit",
			[]string{"credit", "default_of_credit_card_clients.csv"},
			dataset.Schema{Label: "default payment next month", Drop: []string{"ID"}},
			dataset.Report{Rows: 30_000, Header: true},
			23, 6_636, "LIMIT_BAL",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			table, report, err := dataset.ReadFile(realData(t, tt.path...), tt.schema)
			require.NoError(t, err)
			require.Equal(t, tt.report, report)
			require.Equal(t, tt.dim, table.Dim())
			require.Equal(t, tt.ones, ones(table))
			require.Equal(t, tt.first, table.Features[0])
			requireSound(t, table, false)
			_, err = table.Moments().Scaler(5)
			require.NoError(t, err)
		})
	}
}

func TestReadRealWine(t *testing.T) {
	for file, want := range map[string]struct {
		rows    int
		quality float64 // sum over the counts in the README
	}{
		"winequality-white.csv": {4_898, 3*20 + 4*163 + 5*1457 + 6*2198 + 7*880 + 8*175 + 9*5},
		"winequality-red.csv":   {1_599, 3*10 + 4*53 + 5*681 + 6*638 + 7*199 + 8*18},
	} {
		table, report, err := dataset.ReadFile(realData(t, "wine_quality", file), dataset.Schema{Label: "quality", Regression: true})
		require.NoError(t, err)
		require.Equal(t, dataset.Report{Rows: want.rows, Header: true}, report)
		require.Equal(t, 11, table.Dim())
		require.Equal(t, "fixed acidity", table.Features[0])
		sum := 0.0
		for _, y := range table.Y {
			sum += y
		}
		require.Equal(t, want.quality, sum)
	}
}

// The raw breast cancer file without a schema for it is refused with the rows
// of its first question marks.
func TestReadRealDataRefused(t *testing.T) {
	path := realData(t, "bcw", "breast-cancer-wisconsin.data")
	_, _, err := dataset.ReadFile(path, dataset.Schema{Label: "10", Drop: []string{"0"}, Classes: []string{"2", "4"}})
	list := joined(err)
	require.Len(t, list, 6)
	require.EqualError(t, list[0], "dataset: "+path+`, row 24, column "c6", value "?": the value is missing; `+
		`fill it in, drop the column, or use "drop" or "mean" for missing values`)
	require.ErrorContains(t, list[5], "and 11 more")
}

func TestReadRealMNIST(t *testing.T) {
	for _, tt := range []struct {
		set    string
		counts [10]int
	}{
		{"t10k", [10]int{980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009}},
		{"train", [10]int{5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949}},
	} {
		t.Run(tt.set, func(t *testing.T) {
			if testing.Short() && tt.set == "train" {
				t.Skip("0.4 GB of images; run without -short")
			}
			X, labels, err := dataset.ReadIDX(
				realData(t, "mnist", tt.set+"-images-idx3-ubyte.gz"),
				realData(t, "mnist", tt.set+"-labels-idx1-ubyte.gz"))
			require.NoError(t, err)
			var counts [10]int
			require.Len(t, X, len(labels))
			for i, x := range X {
				counts[labels[i]]++
				if len(x) != 28*28 {
					t.Fatalf("image %d has %d pixels", i, len(x))
				}
			}
			require.Equal(t, tt.counts, counts)
			if tt.set == "t10k" {
				sum := 0.0
				for _, x := range X {
					for _, v := range x {
						sum += v
					}
				}
				require.InDelta(t, 0.1325, sum/float64(len(X)*28*28), 5e-5)
			}
		})
	}
}
