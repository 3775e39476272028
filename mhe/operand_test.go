package mhe_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/internal/testkit"
	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/mhe/rns"
	"github.com/nereid-mhe/nereid/packing"
	"github.com/nereid-mhe/nereid/params"
)

// mixed has every kind of group and term: with and without rotations, before and
// after the sum, and rotations that terms share.
var mixed = packing.Product{
	{
		{Terms: []packing.Term{{X: 0, Y: 0}, {X: 1, RX: 3, Y: 1, RY: -1}}},
		{By: 5, Terms: []packing.Term{{X: 0, RX: 3, Y: 1, RY: -1}}},
	},
	{{By: -1, Terms: []packing.Term{{X: 1, RX: 3, Y: 0, RY: 2}, {X: 1, RX: 1027, Y: 0}}}},
	{{Terms: []packing.Term{{X: 1, Y: 1}}}},
}

// mixedData is mixed for data, whose vectors are not rotated.
func mixedData() (p packing.Product) {
	for _, groups := range mixed {
		var gs []packing.Group
		for _, g := range groups {
			g.Terms = slices.Clone(g.Terms)
			for t := range g.Terms {
				g.Terms[t].RY = 0
			}
			gs = append(gs, g)
		}
		p = append(p, gs)
	}
	return p
}

// An operandCase runs products on one backend, with operands that the caller keeps.
type operandCase struct {
	ev   mhe.Evaluator
	x, y []*mhe.Operand
	d    *mhe.Data
}

const operandLevel = 4

// newOperands returns two operands for x and two for y, and two vectors of data.
func newOperands(t testing.TB, ev mhe.Evaluator, lift func(v []float64, level int) mhe.Tensor) operandCase {
	t.Helper()
	values := func(n int, seed uint64) [][]float64 {
		return [][]float64{testkit.Random(n, seed), testkit.Random(n, seed+1)}
	}
	d, err := mhe.NewData(values(16, 30), mhe.Power(40))
	require.NoError(t, err)
	c := operandCase{ev: ev, d: d}
	for i := range 2 {
		c.x = append(c.x, mhe.NewOperand(lift(values(1024, 10)[i], operandLevel)))
		c.y = append(c.y, mhe.NewOperand(lift(values(1024, 20)[i], operandLevel+1)))
	}
	return c
}

// run returns mixed of the operands, and mixedData.
func (c operandCase) run(t testing.TB) []mhe.Tensor {
	t.Helper()
	a, err := c.ev.Product(mixed, c.x, c.y)
	require.NoError(t, err)
	b, err := c.ev.ProductData(mixedData(), c.x, c.d)
	require.NoError(t, err)
	return slices.Concat(a, b)
}

// passing returns the case with operands that keep nothing.
func (c operandCase) passing() operandCase {
	for _, list := range []*[]*mhe.Operand{&c.x, &c.y} {
		var os []*mhe.Operand
		for _, o := range *list {
			os = append(os, mhe.Passing(o.Tensor())...)
		}
		*list = os
	}
	return c
}

func (c operandCase) release() { mhe.Release(c.x, c.y) }

// words copies the polynomials of ciphertexts.
func words(ts []mhe.Tensor) (all []rns.Poly) {
	for _, t := range ts {
		for _, p := range t.Polys() {
			all = append(all, clone(p))
		}
	}
	return all
}

// tracedOperands runs the case on a trace.
func tracedOperands(t testing.TB, set params.Set) (*mhe.Trace, operandCase) {
	t.Helper()
	tr, ev := mhe.NewTrace(set)
	return tr, newOperands(t, ev, func(v []float64, level int) mhe.Tensor {
		return mhe.TracedTensor(mhe.Plain(v).Range(), level, mhe.Power(45))
	})
}

// Operands keep their rotations: a product again costs none of them, which the
// trace counts, and gives the same bits, as it does with operands released.
// Garbage in scratch space and the number of workers change nothing, and what is
// released is nobody's result.
func TestOperandsKeepRotations(t *testing.T) {
	for _, logP := range [][]int{{60}, {60, 60}} {
		t.Run(fmt.Sprint(logP), func(t *testing.T) {
			set := special(t, 2, logP...)
			tr, c := tracedOperands(t, set)
			c.run(t)
			once := tr.Count
			once.Work, once.Operands, once.Data = nil, 0, 0 // see TestWorkIsWhatIsCounted
			require.Equal(t, mhe.Counts{
				Rotations:    4 + 2*2, // 3 of both x, -1 and 2 of y; sums by 5 and -1
				Relinearised: 4,       // groups
				Tensors:      6, PlainMul: 6,
				Decomposed: 4 + 2*2 + 4,
				Divisions:  4 + 2*3, // one for each output
			}, once)
			c.run(t)
			twice := tr.Count
			require.Equal(t, once.Rotations+2*2, twice.Rotations, "sums only")
			require.Equal(t, 4, once.Decomposed-(twice.Decomposed-once.Decomposed), "every operand once")
			require.Equal(t, 4, once.Divisions-(twice.Divisions-once.Divisions))
			require.Equal(t, 2*once.Relinearised, twice.Relinearised)
			require.Equal(t, 2*once.Tensors, twice.Tensors)
			require.Equal(t, 2*once.PlainMul, twice.PlainMul)
			keys := tr.Keys()
			c.release()
			c.run(t)
			require.Equal(t, twice.Rotations+once.Rotations, tr.Count.Rotations, "released: as new")
			require.Equal(t, twice.Decomposed+once.Decomposed, tr.Count.Decomposed)
			require.Equal(t, keys, tr.Keys())

			w := testkit.NewWorld(t, set, keys)
			ckks := func(workers int) operandCase {
				return newOperands(t, mhe.NewCKKS(w.Keys, workers), func(v []float64, level int) mhe.Tensor { return w.Encrypt(t, v, level) })
			}
			clear := newOperands(t, mhe.NewClear(set), func(v []float64, level int) mhe.Tensor {
				return mhe.ClearTensor(v, level, mhe.Power(45))
			}).run(t)
			c = ckks(1)
			first := c.run(t)
			want := words(first)
			for i, z := range first {
				require.Less(t, testkit.MaxDiff(w.Open(t, z, 2), clear[i].Values()), 1e-7, "output %d", i)
			}
			require.Equal(t, want, words(c.run(t)), "a second time")
			pollute(set.N())
			require.Equal(t, want, words(c.run(t)), "with dirty scratch space")
			c.release()
			pollute(set.N())
			require.Equal(t, want, words(first), "results are nobody's scratch space")
			require.Equal(t, want, words(c.run(t)), "released and with dirty scratch space")
			four := ckks(4)
			pollute(set.N())
			require.Equal(t, want, words(four.run(t)), "on four cores")
			require.Equal(t, want, words(four.run(t)), "on four cores, a second time")
			brief := c.passing()
			pollute(set.N())
			require.Equal(t, want, words(brief.run(t)), "of operands that keep nothing")
			pollute(set.N())
			require.Equal(t, want, words(brief.run(t)), "of operands that keep nothing, a second time")
		})
	}
}

// Mul gives the same bits on any number of cores and with dirty scratch space, is
// symmetric, and what the clear twin gives.
func TestMulIsDeterministic(t *testing.T) {
	set := testkit.Toy(t, 2)
	w := world(t, set, 1)
	u, v := testkit.Random(8, 1), testkit.Random(16, 2)
	x, y := w.Encrypt(t, u, 5), w.Encrypt(t, v, 4)
	z, err := mhe.NewCKKS(w.Keys, 1).Mul(x, y)
	require.NoError(t, err)
	require.Equal(t, 3, z.Level())
	want := words([]mhe.Tensor{z})
	clear, err := mhe.NewClear(set).Mul(mhe.ClearTensor(u, 5, mhe.Power(45)), mhe.ClearTensor(v, 4, mhe.Power(45)))
	require.NoError(t, err)
	require.Equal(t, times(slices.Concat(u, u), v), clear.Values())
	require.Zero(t, z.Scale().Cmp(clear.Scale()))
	require.Less(t, testkit.MaxDiff(w.Open(t, z, 2), clear.Values()), 1e-8)
	for _, workers := range []int{1, 4} {
		for _, o := range [][2]mhe.Tensor{{x, y}, {y, x}} {
			pollute(set.N())
			again, err := mhe.NewCKKS(w.Keys, workers).Mul(o[0], o[1])
			require.NoError(t, err)
			require.Equal(t, want, words([]mhe.Tensor{again}), "%d workers", workers)
		}
	}
	require.Equal(t, want, words([]mhe.Tensor{z}))
}

// An operand that was rotated for a product at a low level is rotated again for
// one at a higher level, with a key that the trace has at that level.
func TestOperandAtAHigherLevelLater(t *testing.T) {
	set := testkit.Toy(t, 2)
	p := packing.Product{{{Terms: []packing.Term{{RX: 3}}}}}
	u, v := testkit.Random(8, 1), testkit.Random(8, 2)
	run := func(ev mhe.Evaluator, lift func(v []float64, level int) mhe.Tensor) (out []mhe.Tensor) {
		x := mhe.Operands(lift(u, 5))
		for _, level := range []int{3, 5, 4} {
			z, err := ev.Product(p, x, mhe.Operands(lift(v, level)))
			require.NoError(t, err)
			require.Equal(t, level-1, z[0].Level())
			out = append(out, z...)
		}
		return out
	}
	tr, ev := mhe.NewTrace(set)
	run(ev, func(v []float64, level int) mhe.Tensor {
		return mhe.TracedTensor(mhe.Plain(v).Range(), level, mhe.Power(45))
	})
	require.Equal(t, mhe.KeyPlan{Rotations: []mhe.Key{{By: 3, Level: 5}}, Products: []mhe.Key{{By: 0, Level: 5}}}, tr.Keys())
	require.Equal(t, 2, tr.Count.Rotations, "at level 3 and at level 5, which serves level 4")
	require.Equal(t, 2+3, tr.Count.Decomposed)
	w := testkit.NewWorld(t, set, tr.Keys())
	want := p.Apply([][]float64{u}, [][]float64{v})[0]
	for i, z := range run(mhe.NewCKKS(w.Keys, 1), func(v []float64, level int) mhe.Tensor { return w.Encrypt(t, v, level) }) {
		require.Less(t, testkit.MaxDiff(w.Open(t, z, 2), want), 1e-7, "product %d", i)
	}
}

// Sums of as many products as are allowed, of the largest residues, do not
// overflow: with the primes of 60 bits that there are, on both sides of 2^60.
func TestLargestGroupDoesNotOverflow(t *testing.T) {
	wide := slices.Repeat([]int{60}, 12)
	set, err := params.New(params.Config{LogN: 10, LogQ: wide, LogP: wide[:7], LogScale: 45, Parties: 2, Insecure: true})
	require.NoError(t, err)
	base := mhe.Basis(set, set.MaxLevel())
	beyond := 0
	for _, s := range mhe.ExtendedBasis(set, set.MaxLevel()) {
		require.Less(t, float64(s.Modulus), math.Ldexp(1+1.0/256, 60))
		if s.Modulus > 1<<60 {
			beyond++
		}
	}
	require.NotZero(t, beyond, "a prime of 60 bits may be above 2^60")
	most := base.New()
	for j, s := range base {
		for i := range most[j] {
			most[j][i] = s.Modulus - 1
		}
	}
	const terms = mhe.MaxTensors
	x := slices.Repeat([]mhe.Tensor{mhe.NewEncrypted(most, most, mhe.Power(45))}, terms)
	got := mhe.TensorSum(set, x, x)
	for j, s := range base {
		for c, want := range []uint64{terms, 2 * terms, terms} { // (-1)² for each product
			require.Equal(t, slices.Repeat([]uint64{want}, s.N), got[c][j], "polynomial %d, prime %d", c, s.Modulus)
		}
	}
}
