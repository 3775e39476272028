package rns_test

import (
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/mhe/rns"
)

// Split is the mask with errors added, and taken from errors.
func TestSplitAddsAndSubtracts(t *testing.T) {
	const n = 512
	for _, s := range primes(t, n, 60, 45, 20) {
		m, err := rns.NewMask(newStream(1), n, 175)
		require.NoError(t, err)
		q := s.Modulus
		p, v := make([]int64, n), make([]int64, n)
		for i := range p {
			p[i], v[i] = int64(i%39-19), int64(19-i%37)
		}
		copy(p, []int64{int64(q) - 1, 1 - int64(q), 0})
		copy(v, []int64{int64(q) - 1, 1 - int64(q), 0})
		limb, plus, minus := make([]uint64, n), make([]uint64, n), make([]uint64, n)
		m.Limb(s, limb)
		m.Split(s, plus, minus, p, v)
		wantPlus, wantMinus := slices.Clone(limb), make([]uint64, n)
		rns.AddInts(s, wantPlus, p)
		s.Neg(limb, wantMinus)
		rns.AddInts(s, wantMinus, v)
		require.Equal(t, wantPlus, plus)
		require.Equal(t, wantMinus, minus)
		m.Split(s, plus, minus, nil, v)
		require.Equal(t, limb, plus)
		require.Equal(t, wantMinus, minus)
		m.Split(s, plus, nil, p, nil)
		require.Equal(t, wantPlus, plus)

		m.Release() // and the next one has the memory, and other contents
		next, err := rns.NewMask(newStream(2), n, 175)
		require.NoError(t, err)
		next.Limb(s, plus)
		require.NotEqual(t, limb, plus)
	}
	rns.Mask{}.Release()
}

// A mask of ones or zeros throughout is the largest or the smallest integer of its
// width, modulo primes that are just above and below powers of two.
func TestMaskEnds(t *testing.T) {
	for _, s := range primes(t, n, 60, 60, 45, 20) {
		for _, bits := range []int{1, 64, 65, 128, 175, 192} {
			for fill, want := range map[byte]uint64{0: s.Modulus - rns.PowMod(s, bits-1), math.MaxUint8: rns.PowMod(s, bits-1) - 1} {
				m, err := rns.NewMask(constant(fill), n, bits)
				require.NoError(t, err)
				limb := make([]uint64, n)
				m.Limb(s, limb)
				require.Equal(t, slices.Repeat([]uint64{want}, n), limb, "%d bits of %d", bits, fill)
			}
		}
	}
}

// Fill is Sample, for lengths that are no multiple of anything.
func TestGaussianFill(t *testing.T) {
	g := rns.NewGaussian(3.2, 19)
	long, err := g.Sample(newStream(3), 23)
	require.NoError(t, err)
	for n := range 23 {
		v := rns.BorrowInts(n)
		require.NoError(t, g.Fill(newStream(3), v))
		require.Equal(t, long[:n], v[:n:n])
		rns.ReturnInts(v)
	}
}
