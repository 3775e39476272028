package mhe_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/internal/testkit"
	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/packing"
)

func TestEvaluatorMatchesClearTwin(t *testing.T) {
	set := testkit.Toy(t, 3)
	dot, err := packing.NewDot(9, 16, set.N())
	require.NoError(t, err)
	weights, rows, targets := testkit.Random(9, 1), make([][]float64, 16), testkit.Random(16, 2)
	for i := range rows {
		rows[i] = testkit.Random(9, uint64(10+i))
	}
	x := mhe.Plain(dot.Data(rows))
	run := func(ev mhe.Evaluator, w mhe.Tensor) []mhe.Tensor {
		z, err := ev.Dot(dot, w, x, 0)
		require.NoError(t, err)
		p, err := mhe.Polynomial(ev, []float64{0.5, 0.15, 0, -0.0016}, z)
		require.NoError(t, err)
		e, err := ev.Sub(p, mhe.Plain(dot.Targets(targets)))
		require.NoError(t, err)
		g, err := ev.Outer(dot, e, x, 40)
		require.NoError(t, err)
		return []mhe.Tensor{z, p, e, g}
	}
	top, scale := set.MaxLevel(), mhe.Power(set.LogScale())

	trace, ev := mhe.NewTrace(set)
	traced := run(ev, mhe.TracedTensor(mhe.Range{Max: 1, RMS: 0.6, Err: 1e-12}, top, scale))
	w := testkit.NewWorld(t, set, trace.Keys())
	encrypted := run(mhe.NewCKKS(w.Keys, 2), w.Encrypt(t, dot.Weights(weights), top))
	clear := run(mhe.NewClear(set), mhe.ClearTensor(dot.Weights(weights), top, scale))
	for i, name := range []string{"z", "p", "e", "g"} {
		require.Equal(t, clear[i].Level(), encrypted[i].Level(), name)
		require.Equal(t, traced[i].Level(), encrypted[i].Level(), name)
		require.Zero(t, clear[i].Scale().Cmp(encrypted[i].Scale()), name)
		got := w.Open(t, encrypted[i], set.Parties())
		diff := testkit.MaxDiff(got, clear[i].Values())
		t.Logf("%s: level %d scale 2^%.2f error 2^%.1f, estimate 2^%.1f", name, encrypted[i].Level(), encrypted[i].LogScale(), math.Log2(diff), math.Log2(traced[i].Range().Err))
		require.Less(t, diff, 1e-6, name)
	}
}
