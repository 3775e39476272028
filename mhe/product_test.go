package mhe_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/internal/testkit"
	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/packing"
	"github.com/nereid-mhe/nereid/params"
)

// A productCase is a product with operands of its own on every backend.
type productCase struct {
	set params.Set
	w   testkit.World
	p   packing.Product
	x   [][]float64 // encrypted, one value for each slot
	y   [][]float64 // encrypted, or data of a shorter period
}

const productLevel = 4 // operands have a level more than keys need

// run computes the product on a backend and the values of its outputs.
func (c productCase) run(t testing.TB, data bool, ev mhe.Evaluator, lift func(v []float64, level int) mhe.Tensor) []mhe.Tensor {
	t.Helper()
	var x, y []mhe.Tensor
	for _, v := range c.x {
		x = append(x, lift(v, productLevel))
	}
	xs := mhe.Operands(x...)
	defer mhe.Release(xs)
	for _, v := range c.y {
		y = append(y, lift(v, productLevel+1))
	}
	if data {
		d, err := mhe.NewData(c.y, mhe.Power(40))
		require.NoError(t, err)
		out, err := ev.ProductData(c.p, xs, d)
		require.NoError(t, err)
		return out
	}
	ys := mhe.Operands(y...)
	defer mhe.Release(ys)
	out, err := ev.Product(c.p, xs, ys)
	require.NoError(t, err)
	return out
}

// Products of every layout agree on ciphertexts and floats, and their errors are
// what the trace says.
func TestProductsAgree(t *testing.T) {
	const logSlots = 10
	grid, err := packing.NewGrid(16, 1<<logSlots)
	require.NoError(t, err)
	in, err := packing.NewInput(grid, 20, 13, 8, 2)
	require.NoError(t, err)
	inner := func(skew bool) packing.Inner {
		l, err := packing.NewInner(grid, 16, 10, 4, skew)
		require.NoError(t, err)
		return l
	}
	a, b := inner(false), inner(true)
	for _, special := range [][]int{{60}, {60, 60}} {
		set, err := params.New(params.Config{LogN: logSlots, LogQ: []int{60, 60, 60, 45, 45, 45}, LogP: special, LogScale: 45, Parties: 3, Insecure: true})
		require.NoError(t, err)
		for _, c := range []struct {
			name string
			p    packing.Product
			nx   int
			ny   int
			data bool
		}{
			{"input forward", in.Forward, 3, 24, true},
			{"input backward", in.Backward, 1, 24, true},
			{"plain forward", a.Forward, 4, 1, false},
			{"plain backward", a.Backward, 4, 1, false},
			{"plain gradient", a.Gradient, 1, 1, false},
			{"skewed forward", b.Forward, 4, 1, false},
			{"skewed gradient", b.Gradient, 1, 1, false},
		} {
			t.Run(fmt.Sprint(c.name, special), func(t *testing.T) {
				k := productCase{set: set, p: c.p}
				for i := range c.nx {
					k.x = append(k.x, testkit.Random(set.N(), uint64(i)))
				}
				period := set.N()
				if c.data {
					period = grid.Block
				}
				for i := range c.ny {
					k.y = append(k.y, testkit.Random(period, uint64(100+i)))
				}
				scale := mhe.Power(set.LogScale())
				tr, ev := mhe.NewTrace(set)
				traced := k.run(t, c.data, ev, func(v []float64, level int) mhe.Tensor {
					r := mhe.Plain(v).Range()
					r.Err = mhe.NewNoise(set).Encrypt(scale)
					return mhe.TracedTensor(r, level, scale)
				})
				k.w = testkit.NewWorld(t, set, tr.Keys())
				clear := k.run(t, c.data, mhe.NewClear(set), func(v []float64, level int) mhe.Tensor {
					return mhe.ClearTensor(v, level, scale)
				})
				got := k.run(t, c.data, mhe.NewCKKS(k.w.Keys, 2), func(v []float64, level int) mhe.Tensor {
					return k.w.Encrypt(t, v, level)
				})
				require.Len(t, got, len(c.p))
				sum, plan := 0.0, 0.0
				for i := range got {
					require.Equal(t, productLevel-1, got[i].Level())
					require.Zero(t, got[i].Scale().Cmp(clear[i].Scale()))
					require.Zero(t, got[i].Scale().Cmp(traced[i].Scale()))
					e := rms(k.w.Open(t, got[i], set.Parties()), clear[i].Values())
					sum, plan = sum+e*e, plan+traced[i].Range().Err*traced[i].Range().Err
				}
				withinBits(t, math.Sqrt(plan), math.Sqrt(sum), 1, "%s", c.name)
			})
		}
	}
}

// Any polynomial agrees with its values, at the depth that it says.
func TestPolynomialsOfAnyParity(t *testing.T) {
	set, err := params.InsecureToy(3, 6)
	require.NoError(t, err)
	w := world(t, set)
	v := testkit.Random(64, 3)
	x := w.Encrypt(t, v, set.MaxLevel())
	polys := [][]float64{
		{0, 2},
		{1, -0.5},
		{0, 0, 1},
		{0.3, 0, -2},
		{0.5, 0.25, 0.125},
		{1, 2, 3, -0.5},
		{0, 1, 0, -0.3},
		{0.1, 0, 0.2, 0.3},
		{0, 0, 0, 0, 1},
		{1, 1, 1, 1, -1},
		{0.5, 0, -0.5, 0.1, 0, 0.2},
		{0, 0, 0.1, 0, -0.2, 0, 0.3},
	}
	out, err := mhe.NewCKKS(w.Keys, 1).Polynomials(x, polys...)
	require.NoError(t, err)
	for i, c := range polys {
		require.Equal(t, set.MaxLevel()-mhe.Depth(len(c)-1), out[i].Level(), "%g", c)
		want := make([]float64, len(v))
		for s, z := range v {
			for k := len(c) - 1; k >= 0; k-- {
				want[s] = want[s]*z + c[k]
			}
		}
		require.Less(t, rms(w.Open(t, out[i], 3), want), 1e-6, "%g", c)
	}
}

// BenchmarkProduct measures the products of a 784-64-64 network at the security
// of 128 bits.
func BenchmarkProduct(b *testing.B) {
	set, err := params.New(params.Config{LogN: 14, LogQ: []int{60, 60, 60, 43, 43, 43}, LogP: []int{60, 60}, LogScale: 43, Parties: 10})
	require.NoError(b, err)
	grid, err := packing.NewGrid(64, set.N())
	require.NoError(b, err)
	in, err := packing.NewInput(grid, 785, 64, 32, 1)
	require.NoError(b, err)
	l, err := packing.NewInner(grid, 64, 64, 32, false)
	require.NoError(b, err)
	const level = 3
	for _, c := range []struct {
		name   string
		p      packing.Product
		nx, ny int
		data   bool
	}{
		{"input/forward", in.Forward, 25, 800, true},
		{"input/backward", in.Backward, 1, 800, true},
		{"inner/forward", l.Forward, 2, 1, false},
		{"inner/backward", l.Backward, 2, 1, false},
		{"inner/gradient", l.Gradient, 1, 1, false},
	} {
		b.Run(c.name, func(b *testing.B) {
			scale := mhe.Power(set.LogScale())
			run := func(ev mhe.Evaluator, x, y mhe.Tensor, d *mhe.Data) {
				xs := make([]*mhe.Operand, c.nx)
				for i := range xs {
					xs[i] = mhe.NewOperand(x)
				}
				ys := mhe.Operands(y)
				var err error
				if c.data {
					_, err = ev.ProductData(c.p, xs, d)
				} else {
					_, err = ev.Product(c.p, xs, ys)
				}
				require.NoError(b, err)
				mhe.Release(xs, ys)
			}
			tr, ev := mhe.NewTrace(set)
			t := mhe.TracedTensor(mhe.Range{}, level, scale)
			run(ev, t, t, mhe.UnknownData(800, 256, scale, mhe.Range{}))
			keys := testkit.OneParty(b, set, tr.Keys())
			x, err := keys.Encryption().Encrypt(mhe.NewEncoder(set), testkit.Random(set.N(), 1), level, scale, testkit.Source("x"))
			require.NoError(b, err)
			var values [][]float64
			for range 800 {
				values = append(values, testkit.Random(256, 2))
			}
			d, err := mhe.NewData(values, scale)
			require.NoError(b, err)
			ckks := mhe.NewCKKS(keys, 1)
			run(ckks, x, x, d)
			for b.Loop() {
				run(ckks, x, x, d)
			}
		})
	}
}
