package rns_test

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/mhe/rns"
)

// Sums of any number of terms, of any period, at any size, are those of integers;
// the largest residues overflow nothing.
func TestSumIsTheSum(t *testing.T) {
	for _, n := range []int{64, 512} {
		auto, err := rns.NewAutomorphism(n, uint64(4*n), 5)
		require.NoError(t, err)
		for _, s := range primes(t, n, 60, 45, 20) {
			q := new(big.Int).SetUint64(s.Modulus)
			inv := new(big.Int).ModInverse(new(big.Int).Lsh(big.NewInt(1), 64), q)
			for _, count := range []int{1, 2, 3, 31, 32, 33, 64, 65, 600} {
				for _, period := range []int{0, 8, n / 8, n} {
					r := rand.New(rand.NewPCG(uint64(count), uint64(period)))
					terms, want := make([]rns.Term, count), make([]big.Int, n)
					for i := range terms {
						x := make([]uint64, n)
						for k := range x {
							x[k] = s.Modulus - 1 - r.Uint64N(2)*r.Uint64N(s.Modulus)
						}
						terms[i].X = x
						if i%2 == 1 || count == 1 {
							terms[i].By = auto
						}
						if period > 0 {
							terms[i].Mask = slices.Repeat([]uint64{s.Modulus - 1}, period)
							terms[i].Mask[0], terms[i].Mask[period-1] = r.Uint64N(s.Modulus), 1
						}
						for k := range want {
							v := new(big.Int).SetUint64(x[k])
							if terms[i].By != nil {
								v.SetUint64(x[auto[k]])
							}
							if period > 0 {
								m := new(big.Int).SetUint64(terms[i].Mask[k/(n/period)])
								v.Mul(v, m).Mul(v, inv)
							}
							want[k].Add(&want[k], v)
						}
					}
					dst := slices.Repeat([]uint64{1 << 63}, n)
					rns.Sum(s, dst, terms)
					for k := range want {
						require.Equal(t, want[k].Mod(&want[k], q).Uint64(), dst[k], "%d terms of period %d, residue %d", count, period, k)
					}
				}
			}
		}
	}
}

// MulPeriod is a sum of one term.
func TestMulPeriod(t *testing.T) {
	for _, s := range primes(t, n, 60, 20) {
		r := rand.New(rand.NewPCG(1, s.Modulus))
		for p := 1; p <= n; p *= 2 {
			x, m := make([]uint64, n), make([]uint64, p)
			for i := range x {
				x[i] = r.Uint64N(s.Modulus)
			}
			for i := range m {
				m[i] = r.Uint64N(s.Modulus)
			}
			want := make([]uint64, n)
			rns.Sum(s, want, []rns.Term{{X: x, Mask: m}})
			got := make([]uint64, n)
			rns.MulPeriod(s, got, x, m)
			require.Equal(t, want, got, "period %d", p)
			rns.MulPeriod(s, x, x, m)
			require.Equal(t, want, x, "in place")
		}
	}
}

func BenchmarkSum(b *testing.B) {
	const n = 1 << 14
	s := primes(b, n, 60)[0]
	auto, err := rns.NewAutomorphism(n, 4*n, 5)
	require.NoError(b, err)
	for _, period := range []int{0, 256, n} {
		terms := make([]rns.Term, 16)
		for i := range terms {
			terms[i] = rns.Term{X: make([]uint64, n), By: auto}
			if period > 0 {
				terms[i].Mask = make([]uint64, period)
			}
		}
		dst := make([]uint64, n)
		b.Run(fmt.Sprintf("terms=16/period=%d", period), func(b *testing.B) {
			for b.Loop() {
				rns.Sum(s, dst, terms)
			}
		})
	}
}
