package mhe_test

import (
	"encoding/json"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/packing"
)

// Work has what the counts have, by level, and more.
func TestWorkIsWhatIsCounted(t *testing.T) {
	set := special(t, 2, 60, 60)
	tr, c := tracedOperands(t, set)
	c.run(t)
	n, w := tr.Count, tr.Count.Work
	require.EqualValues(t, n.Decomposed, w.Of(mhe.OpDecompose))
	require.EqualValues(t, n.Tensors, w.Of(mhe.OpTensor))
	require.EqualValues(t, n.PlainMul, w.Of(mhe.OpDataTerm))
	require.EqualValues(t, n.Divisions, w.Of(mhe.OpDivide)+w.Of(mhe.OpDivideRescale)+w.Of(mhe.OpRescale))
	require.EqualValues(t, n.Rotations+n.Relinearised, w.Of(mhe.OpKeyProduct))
	require.EqualValues(t, n.Rotations, w.Of(mhe.OpPermute))
	require.Positive(t, n.Operands)
	c.release()
	before := w
	c.run(t)
	require.Equal(t, n.Operands, tr.Count.Operands, "released: no more alive than before")
	require.Equal(t, before, n.Work, "a work is a value")
	require.EqualValues(t, 2*w.Of(mhe.OpTensor), tr.Count.Work.Of(mhe.OpTensor))
}

// Operations outside products are counted too.
func TestWorkOfMaps(t *testing.T) {
	set := special(t, 2, 60)
	tr, ev := mhe.NewTrace(set)
	x := mhe.TracedTensor(mhe.Range{Max: 1, RMS: 1}, 4, mhe.Power(45))
	m := packing.Map{Steps: []packing.Step{{Rotations: []int{0, 1, 2}, Mask: make([]float64, 16)}}}
	y, err := ev.Map(m, x)
	require.NoError(t, err)
	_, err = ev.Mul(y, y)
	require.NoError(t, err)
	w := tr.Count.Work
	require.EqualValues(t, 1, w.Of(mhe.OpDecompose))
	require.EqualValues(t, 2, w.Of(mhe.OpKeyProduct))
	require.EqualValues(t, 1, w.Of(mhe.OpMulPlain))
	require.EqualValues(t, 1, w.Of(mhe.OpMultiply))
	n := float64(set.N())
	require.InDelta(t, 16*4/(n*math.Log2(n)), w.Of(mhe.OpEncode), 1e-12, "a period of 16")
	i := slices.IndexFunc(w, func(t mhe.Task) bool { return t.Op == mhe.OpMultiply })
	require.Equal(t, 3, w[i].Level)
}

// costs returns a record with one time for every operation but those of samples.
func costs(samples ...mhe.Sample) mhe.Costs {
	c := mhe.Costs{Version: 1, Samples: samples}
	for _, op := range mhe.AllOps {
		if !slices.ContainsFunc(samples, func(s mhe.Sample) bool { return s.Op == op }) {
			c.Samples = append(c.Samples, mhe.Sample{Op: op, LogN: 14, Special: 2, Level: 3, Seconds: 1})
		}
	}
	return c
}

func TestCostsInterpolate(t *testing.T) {
	c := costs(
		mhe.Sample{Op: mhe.OpAdd, LogN: 14, Special: 2, Level: 1, Seconds: 10},
		mhe.Sample{Op: mhe.OpAdd, LogN: 14, Special: 2, Level: 3, Seconds: 30},
		mhe.Sample{Op: mhe.OpAdd, LogN: 14, Special: 2, Level: 7, Seconds: 50},
		mhe.Sample{Op: mhe.OpAdd, LogN: 15, Special: 2, Level: 3, Seconds: 70},
		mhe.Sample{Op: mhe.OpDecompose, LogN: 14, Special: 1, Level: 3, Seconds: 20},
		mhe.Sample{Op: mhe.OpDecompose, LogN: 14, Special: 2, Level: 3, Seconds: 12},
	)
	for _, x := range []struct {
		name                string
		op                  mhe.Op
		logN, special, lvl  int
		amount, wantSeconds float64
	}{
		{"at a sample", mhe.OpAdd, 14, 2, 3, 1, 30},
		{"twice", mhe.OpAdd, 14, 2, 3, 2, 60},
		{"between", mhe.OpAdd, 14, 2, 2, 1, 20},
		{"between others", mhe.OpAdd, 14, 2, 5, 1, 40},
		{"above", mhe.OpAdd, 14, 2, 9, 1, 60},
		{"below", mhe.OpAdd, 14, 2, 0, 1, 0},
		{"another ring", mhe.OpAdd, 15, 2, 3, 1, 70},
		{"a larger ring", mhe.OpAdd, 16, 2, 3, 1, 140},
		{"a smaller ring", mhe.OpAdd, 13, 2, 3, 1, 15},
		{"special primes", mhe.OpDecompose, 14, 1, 3, 1, 20},
		{"in proportion to digits and limbs", mhe.OpDecompose, 14, 2, 7, 1, 12 * 4 * 10.0 / (2 * 6)},
		{"the nearest special primes", mhe.OpDecompose, 14, 3, 3, 1, 12 * 2 * 7.0 / (2 * 6)},
		{"N log N", mhe.OpDecompose, 15, 2, 3, 1, 12 * 2 * 15.0 / 14},
	} {
		t.Run(x.name, func(t *testing.T) {
			got := c.Seconds(x.logN, x.special, mhe.Work{{Op: x.op, Level: x.lvl, Amount: x.amount}})
			require.InDelta(t, x.wantSeconds, got, 1e-9)
		})
	}
}

func TestCostsJSON(t *testing.T) {
	c := costs(mhe.Sample{Op: mhe.OpAdd, LogN: 14, Special: 2, Level: 1, Seconds: 0.1234567890123})
	c.Machine = mhe.Machine{CPU: "a", OS: "b", Arch: "c", Go: "d", When: "e"}
	b, err := json.Marshal(c)
	require.NoError(t, err)
	got, err := mhe.ParseCosts(b)
	require.NoError(t, err)
	require.Equal(t, c, got)
	for name, x := range map[string]struct {
		change func(c *mhe.Costs)
		want   string
	}{
		"version":  {func(c *mhe.Costs) { c.Version = 2 }, "a record of version 2, want 1"},
		"missing":  {func(c *mhe.Costs) { c.Samples = c.Samples[2:] }, "the record has no decompose, no add: measure again"},
		"negative": {func(c *mhe.Costs) { c.Samples[0].Seconds = -1 }, "takes -1 seconds"},
		"ring":     {func(c *mhe.Costs) { c.Samples[0].LogN = 40 }, "N = 2^40"},
		"special":  {func(c *mhe.Costs) { c.Samples[0].Special = 0 }, "0 special primes"},
	} {
		t.Run(name, func(t *testing.T) {
			bad := c
			bad.Samples = slices.Clone(c.Samples)
			x.change(&bad)
			b, err := json.Marshal(bad)
			require.NoError(t, err)
			_, err = mhe.ParseCosts(b)
			require.ErrorIs(t, err, mhe.ErrCosts)
			require.ErrorContains(t, err, x.want)
		})
	}
	_, err = mhe.ParseCosts([]byte("{"))
	require.ErrorIs(t, err, mhe.ErrCosts)
}

func TestStopwatch(t *testing.T) {
	runs := 0
	s, err := mhe.Stopwatch{Rounds: 4}.Time(func() error { runs++; return nil })
	require.NoError(t, err)
	require.Equal(t, 5, runs)
	require.GreaterOrEqual(t, s, 0.0)
	_, err = mhe.Stopwatch{}.Time(func() error { return mhe.ErrShape })
	require.ErrorIs(t, err, mhe.ErrShape)
}
