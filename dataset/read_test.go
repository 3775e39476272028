package dataset_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/nereid-mhe/nereid/dataset"
	"github.com/stretchr/testify/require"
)

// small has a header and both classes.
const small = "age,bmi,ill\n50,33.6,1\n31,26.6,0\n32,23.3,1\n"

func read(text string, s dataset.Schema) (dataset.Table, dataset.Report, error) {
	return dataset.Read(strings.NewReader(text), "f.csv", s)
}

// joined returns the parts of an error made by errors.Join, or err alone.
func joined(err error) []error {
	if j, ok := err.(interface{ Unwrap() []error }); ok {
		return j.Unwrap()
	}
	return []error{err}
}

func TestReadTables(t *testing.T) {
	want := dataset.Table{
		Features: []string{"age", "bmi"},
		X:        [][]float64{{50, 33.6}, {31, 26.6}, {32, 23.3}},
		Y:        []float64{1, 0, 1},
	}
	unnamed := want
	unnamed.Features = []string{"c0", "c1"}
	for _, tt := range []struct {
		name   string
		text   string
		schema dataset.Schema
		header bool
		want   dataset.Table
	}{
		{"name", small, dataset.Schema{Label: "ill"}, true, want},
		{"index", small, dataset.Schema{Label: "2"}, true, want},
		{"negative index", small, dataset.Schema{Label: "-1"}, true, want},
		{"spaces in label", small, dataset.Schema{Label: " ill "}, true, want},
		{"no header", "50,33.6,1\n31,26.6,0\n32,23.3,1", dataset.Schema{Label: "2"}, false, unnamed},
		{"default name", "50,33.6,1\n31,26.6,0\n32,23.3,1", dataset.Schema{Label: "c2"}, false, unnamed},
		{"byte order mark", "\ufeff" + small, dataset.Schema{Label: "ill"}, true, want},
		{"CRLF", strings.ReplaceAll(small, "\n", "\r\n"), dataset.Schema{Label: "ill"}, true, want},
		{"semicolon", strings.ReplaceAll(small, ",", ";"), dataset.Schema{Label: "ill"}, true, want},
		{"tab", strings.ReplaceAll(small, ",", "\t"), dataset.Schema{Label: "ill"}, true, want},
		{"space", strings.ReplaceAll(small, ",", " "), dataset.Schema{Label: "ill", Comma: ' '}, true, want},
		{"bar", strings.ReplaceAll(small, ",", "|"), dataset.Schema{Label: "ill", Comma: '|'}, true, want},
		{"blank lines", "\n\r\n" + strings.ReplaceAll(small, "\n", "\n\n"), dataset.Schema{Label: "ill"}, true, want},
		{
			"quotes and blanks", "\"age\", \"bmi\",ill\n 50 ,\"33.6\",1\n\"31\",26.6,\"0\"\n+32,2.33e1,1.0\n",
			dataset.Schema{Label: "ill"},
			true, want,
		},
		{
			"dropped text and order of columns", "ill;name;age;bmi\n1;Ann;50;33.6\n0;Bo, Jr.;31;26.6\n1;;32;23.3\n",
			dataset.Schema{Label: "ill", Drop: []string{"name", "1"}},
			true, want,
		},
		{
			"features in an order of their own", "name,bmi,note,age,ill\nAnn,33.6,x,50,1\nBo,26.6,y,31,0\nCy,23.3,,32,1\n",
			dataset.Schema{Label: "ill", Features: []string{"age", "bmi"}},
			true, want,
		},
		{
			"features by index without header", "Ann,33.6,50,1\nBo,26.6,31,0\nCy,23.3,32,1\n",
			dataset.Schema{Label: "-1", Features: []string{"2", "1"}},
			false,
			dataset.Table{Features: []string{"c2", "c1"}, X: want.X, Y: want.Y},
		},
		{
			"text id without header", "p-1,50,33.6,1\np-2,31,26.6,0\np-3,32,23.3,1\n",
			dataset.Schema{Label: "3", Drop: []string{"0"}},
			false,
			dataset.Table{Features: []string{"c1", "c2"}, X: want.X, Y: want.Y},
		},
		{
			"text classes without header", "50,33.6,M\n31,26.6,B\n32,23.3,M\n",
			dataset.Schema{Label: "-1", Classes: []string{"B", "M"}},
			false, unnamed,
		},
		{
			"number classes by value", "age,bmi,ill\n50,33.6,4\n31,26.6,2.0\n32,23.3,4\n",
			dataset.Schema{Label: "ill", Classes: []string{" 2", "4"}},
			true, want,
		},
		{
			"three text classes in their order", "50,33.6,mid\n31,26.6,low\n32,23.3,high\n",
			dataset.Schema{Label: "-1", Classes: []string{"low", "mid", "high"}},
			false,
			dataset.Table{Features: unnamed.Features, X: want.X, Y: []float64{1, 0, 2}},
		},
		{
			"whole numbers of three classes", "50,33.6,1\n31,26.6,-0\n32,23.3,2.0\n",
			dataset.Schema{Label: "-1", ClassCount: 3},
			false,
			dataset.Table{Features: unnamed.Features, X: want.X, Y: []float64{1, 0, 2}},
		},
		{
			"years as header", "2019,2020,ill\n50,33.6,1\n31,26.6,0\n32,23.3,1\n",
			dataset.Schema{Label: "ill"},
			true,
			dataset.Table{Features: []string{"2019", "2020"}, X: want.X, Y: want.Y},
		},
		{
			"name before index", "3,b,ill,0\n50,33.6,1,5\n31,26.6,0,6\n32,23.3,1,7\n",
			dataset.Schema{Label: "ill", Drop: []string{"0"}},
			true,
			dataset.Table{Features: []string{"3", "b"}, X: want.X, Y: want.Y},
		},
		{
			"header with an empty and a missing-like name", ",NA,ill\n50,33.6,1\n31,26.6,0\n32,23.3,1\n",
			dataset.Schema{Label: "-1"},
			true,
			dataset.Table{Features: []string{"c0", "NA"}, X: want.X, Y: want.Y},
		},
		{
			"semicolon inside a text of a comma file", "age,weight;kg,ill\n50,33.6,1\n31,26.6,0\n32,23.3,1\n",
			dataset.Schema{Label: "ill"},
			true,
			dataset.Table{Features: []string{"age", "weight;kg"}, X: want.X, Y: want.Y},
		},
		{
			"separator and line end inside quotes", "\"age,\nyears\",\"b;m;i\",ill\n50,33.6,1\n31,26.6,0\n32,23.3,1\n",
			dataset.Schema{Label: "ill"},
			true,
			dataset.Table{Features: []string{"age,\nyears", "b;m;i"}, X: want.X, Y: want.Y},
		},
		{
			"regression", "50,33.6,1\n31,26.6,-7.5\n32,23.3,1e3\n",
			dataset.Schema{Label: "-1", Regression: true},
			false,
			dataset.Table{Features: []string{"c0", "c1"}, X: want.X, Y: []float64{1, -7.5, 1000}},
		},
		{
			"two columns starting with 0 and 1", "0,1\n5,0\n",
			dataset.Schema{Label: "1"},
			false,
			dataset.Table{Features: []string{"c0"}, X: [][]float64{{0}, {5}}, Y: []float64{1, 0}},
		},
		{
			"part of the data", "50,1,1\n31,1,1\n",
			dataset.Schema{Label: "2", Partial: true},
			false,
			dataset.Table{Features: []string{"c0", "c1"}, X: [][]float64{{50, 1}, {31, 1}}, Y: []float64{1, 1}},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, report, err := read(tt.text, tt.schema)
			require.NoError(t, err)
			require.Equal(t, tt.want, got)
			require.Equal(t, dataset.Report{Rows: got.Rows(), Header: tt.header}, report)
			require.Equal(t, len(got.Features), got.Dim())
		})
	}
}

// The third column is 1 and 3 where present, the fourth constant but for a gap.
const gaps = "1,?,0\n2,1,1\n3,NaN,0\n4,na,1\n5,3,0\n"

func TestReadMissing(t *testing.T) {
	drop, report, err := read(gaps, dataset.Schema{Label: "2", Missing: dataset.MissingDrop})
	require.NoError(t, err)
	require.Equal(t, dataset.Report{Rows: 2, Dropped: 3}, report)
	require.Equal(t, [][]float64{{2, 1}, {5, 3}}, drop.X)
	require.Equal(t, []float64{1, 0}, drop.Y)

	mean, report, err := read(gaps, dataset.Schema{Label: "2", Missing: dataset.MissingMean})
	require.NoError(t, err)
	require.Equal(t, dataset.Report{Rows: 5, Imputed: 3}, report)
	require.Equal(t, [][]float64{{1, 2}, {2, 1}, {3, 2}, {4, 2}, {5, 3}}, mean.X)
}

// Columns of one value are allowed by whoever scales them without dividing by their
// own deviation; labels of one class are not.
func TestReadConstantAllowed(t *testing.T) {
	got, _, err := read("age,bmi,ill\n1,2,1\n2,2,0\n", dataset.Schema{Label: "ill", Constant: true})
	require.NoError(t, err)
	require.Equal(t, [][]float64{{1, 2}, {2, 2}}, got.X)
	_, _, err = read("age,bmi,ill\n1,2,1\n2,2,1\n", dataset.Schema{Label: "ill", Constant: true})
	require.ErrorContains(t, err, "only one class")
}

// A mean that rounding would push off the only value must not hide that the
// column is constant: (0.1+0.1+0.1)/3 is not 0.1.
func TestReadConstantWithGap(t *testing.T) {
	const text = "1,0.1,0\n2,0.1,1\n3,0.1,0\n4,,1\n"
	_, _, err := read(text, dataset.Schema{Label: "2", Missing: dataset.MissingMean})
	var e *dataset.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, "c1", e.Column)

	got, _, err := read(text, dataset.Schema{Label: "2", Missing: dataset.MissingMean, Partial: true})
	require.NoError(t, err)
	require.Equal(t, 0.1, got.X[3][1])
}

func TestReadJoinsProblems(t *testing.T) {
	text := "age,ill\n1,0\n" + strings.Repeat("x,1\n", 7) + "2,2\n3\n"
	_, _, err := read(text, dataset.Schema{Label: "ill"})
	list := joined(err)
	require.Len(t, list, 6)
	for i, e := range list[:5] {
		require.Equal(t, &dataset.Error{
			File: "f.csv", Row: 3 + i, Column: "age", Value: "x",
			Problem: "not a number",
			Remedy:  "replace the text by numbers or list the column under drop",
		}, e)
	}
	require.EqualError(t, list[5], "dataset: f.csv: and 4 more")

	// Up to five are listed in full.
	_, _, err = read("age,ill\nx,0\ny,1\n", dataset.Schema{Label: "ill"})
	require.Len(t, joined(err), 2)
}

func TestReadFileFailures(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "absent.csv")
	_, _, err := dataset.ReadFile(missing, dataset.Schema{Label: "0"})
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorContains(t, err, missing)

	dir := t.TempDir()
	_, _, err = dataset.ReadFile(dir, dataset.Schema{Label: "0"})
	require.ErrorContains(t, err, dir)

	path := filepath.Join(dir, "ok.csv")
	require.NoError(t, os.WriteFile(path, []byte(small), 0o600))
	got, _, err := dataset.ReadFile(path, dataset.Schema{Label: "ill"})
	require.NoError(t, err)
	require.Equal(t, 3, got.Rows())
}

// A read error is wrapped wherever it strikes, and nothing half read returned.
func TestReadBrokenReader(t *testing.T) {
	broken := errors.New("cable out")
	head := "a,b\n" + strings.Repeat("1,0\n2,1\n", 20_000)
	for _, bytes := range []int{0, 2, 70_000, len(head)} {
		r := io.MultiReader(strings.NewReader(head[:bytes]), iotest.ErrReader(broken))
		got, report, err := dataset.Read(r, "f.csv", dataset.Schema{Label: "b"})
		require.ErrorIs(t, err, broken)
		require.ErrorContains(t, err, "f.csv")
		require.Zero(t, got)
		require.Zero(t, report)
	}
}

// The reader may hand out one byte at a time.
func TestReadOneByteReader(t *testing.T) {
	got, _, err := dataset.Read(iotest.OneByteReader(strings.NewReader(small)), "f.csv", dataset.Schema{Label: "ill"})
	require.NoError(t, err)
	require.Equal(t, 3, got.Rows())
}

// Header and rows longer than the look-ahead window, with CRLF at its border.
func TestReadWideTable(t *testing.T) {
	const d = 20_000
	var b strings.Builder
	line := func(cell func(int) string, last string) {
		for i := range d {
			b.WriteString(cell(i) + ";")
		}
		b.WriteString(last + "\r\n")
	}
	line(func(int) string { return "0,5" }, "0") // decimal commas do not win over semicolons
	_, _, err := read(b.String(), dataset.Schema{Label: "-1", Drop: []string{"1", "2"}})
	var e *dataset.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, "0,5", e.Value)

	// A line of exactly 64 KiB up to and with its carriage return.
	head := "a," + strings.Repeat("b", 64<<10-4) + ",\r\n"
	got, _, err := read(head+"1,2,0\r\n2,3,1\r\n", dataset.Schema{Label: "-1"})
	require.NoError(t, err)
	require.Equal(t, 2, got.Rows())
}

func BenchmarkRead(b *testing.B) {
	text := strings.Repeat("1.5,20,300,4.25,5,6,7,8,0\n2.5,21,301,4.5,6,7,8,9,1\n", 5_000)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, _, err := read(text, dataset.Schema{Label: "-1"}); err != nil {
			b.Fatal(err)
		}
	}
}
