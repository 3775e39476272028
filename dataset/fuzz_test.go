package dataset_test

import (
	"math"
	"testing"
	"unicode/utf8"

	"github.com/nereid-mhe/nereid/dataset"
	"github.com/stretchr/testify/require"
)

// Whatever the file and the schema, Read does not panic; it either returns a
// rectangular, finite table with the promised targets or nothing but an error.
func FuzzRead(f *testing.F) {
	for _, seed := range []struct{ text, label, drop, class string }{
		{small, "ill", "", ""},
		{gaps, "2", "", ""},
		{"1,2,B\n3,4,M\n", "-1", "0", "M"},
		{"\ufeff\"a;\nb\";c;\"d\"\r\n1;?;0\r\n,5;1;1\r\n", "d", "c", ""},
		{"0\t1\t2\n", "a", "-9", "nan"},
		{"a,a\n\"\"\"\",\"", "1", "\x00", "0x1"},
		{"1e308,0\n1e308,1\n-1e-400,1\nNA,0\n", "c1", "", "1"},
	} {
		f.Add([]byte(seed.text), seed.label, seed.drop, seed.class, byte(7), int32(0))
		f.Add([]byte(seed.text), seed.label, seed.drop, seed.class, byte(24), int32(';'))
	}
	f.Fuzz(func(t *testing.T, text []byte, label, drop, class string, flags byte, comma int32) {
		s := dataset.Schema{
			Label:      label,
			Missing:    []dataset.Missing{"", "drop", "mean", "?"}[flags&3],
			Regression: flags&4 != 0,
			Partial:    flags&8 != 0,
			Comma:      comma,
		}
		if drop != "" {
			s.Drop = []string{drop}
		}
		if class != "" {
			s.Classes = []string{"0", class}
		}
		table, report, err := read(string(text), s)
		if err != nil {
			require.Zero(t, table)
			require.Zero(t, report)
			if utf8.Valid(text) {
				for _, e := range joined(err) {
					require.NotContains(t, e.Error(), "\n")
				}
			}
			return
		}
		requireSound(t, table, s.Regression)
		require.Equal(t, table.Rows(), report.Rows)
		require.LessOrEqual(t, report.Imputed, table.Rows()*table.Dim())
	})
}

// requireSound checks what Read promises of its tables.
func requireSound(t *testing.T, table dataset.Table, regression bool) {
	t.Helper()
	finite := func(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
	require.Positive(t, table.Rows())
	require.Positive(t, table.Dim())
	require.Len(t, table.Features, table.Dim())
	require.Len(t, table.Y, table.Rows())
	for i, row := range table.X {
		require.Len(t, row, table.Dim())
		for _, v := range row {
			require.True(t, finite(v))
		}
		if y := table.Y[i]; regression {
			require.True(t, finite(y))
		} else {
			require.True(t, y == 0 || y == 1)
		}
	}
}

// Whatever the files, ReadIDX does not panic and returns as many images, all of
// one size with values in 0..1, as labels, or nothing but an error.
func FuzzReadIDX(f *testing.F) {
	f.Add(images, labels)
	f.Add(gzipped(f, images), gzipped(f, labels))
	f.Add(images[:9], labels[:3])
	f.Add(idx(2051, []uint32{1 << 31, 1 << 16, 1 << 16}), labels)
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, images, labels []byte) {
		X, y, err := dataset.ReadIDX(writeIDX(t, dir, images, labels))
		if err != nil {
			require.Nil(t, X)
			require.Nil(t, y)
			return
		}
		require.Len(t, y, len(X))
		for _, x := range X {
			require.Len(t, x, len(X[0]))
			for _, v := range x {
				require.True(t, 0 <= v && v <= 1)
			}
		}
	})
}
