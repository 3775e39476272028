package rns_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/mhe/rns"
)

// Automorphisms, whole and in part, have the same bits on every processor.
func TestAutomorphismPaths(t *testing.T) {
	for _, n := range []int{16, 256, 2048} {
		for _, g := range []uint64{1, 5, 25, 125, uint64(4*n - 3)} {
			a, err := rns.NewAutomorphism(n, uint64(4*n), g)
			require.NoError(t, err)
			for _, s := range primes(t, n, 60, 43) {
				src, to := edges(n, g, s.Modulus)[0], edges(n, g+1, s.Modulus)[1]
				for _, part := range [][2]int{{0, n}, {8, n}, {0, 8}, {3, 14}, {n / 2, n/2 + 1}} {
					table := a[part[0]:part[1]]
					m := len(table)
					got, want := bothPaths(2*m, func(dst []uint64) {
						table.Apply(dst[:m], src)
						copy(dst[m:], to)
						table.Add(dst[m:], src, s.Modulus)
					})
					require.Equal(t, want, got)
				}
			}
		}
	}
}

func TestAddPaths(t *testing.T) {
	const n = 256
	b := primes(t, n, 60, 60, 43)
	for _, kind := range []int{0, 1, 4, 5} {
		for _, other := range []int{0, 1, 4, 5} {
			got, want := bothPaths(2*n*len(b), func(dst []uint64) {
				for i, s := range b {
					x := rns.Poly{edges(n, 1, s.Modulus)[kind]}
					sum, diff := dst[2*i*n:(2*i+1)*n], dst[(2*i+1)*n:(2*i+2)*n]
					copy(sum, edges(n, 2, s.Modulus)[other])
					copy(diff, sum)
					rns.Basis{s}.Add(rns.Poly{sum}, x)
					rns.Basis{s}.Sub(rns.Poly{diff}, x)
				}
			})
			require.True(t, slices.Equal(want, got))
		}
	}
}

// Sums have the same bits on every processor, for more terms than one pass takes
// and for periods that the assembly leaves to the generic code.
func TestSumPaths(t *testing.T) {
	const n = 256
	a, err := rns.NewAutomorphism(n, 4*n, 25)
	require.NoError(t, err)
	for _, s := range primes(t, n, 60, 60, 43) {
		for _, count := range []int{1, 2, 5, 64, 65, 200} {
			for _, period := range []int{0, 1, 8, n / 8, n / 4, n} {
				terms := make([]rns.Term, count)
				for i := range terms {
					terms[i].X = edges(n, uint64(i), s.Modulus)[i%6]
					if i%3 > 0 {
						terms[i].By = a
					}
					if period > 0 {
						terms[i].Mask = edges(n, uint64(i)+7, s.Modulus)[(i+i/6)%6][:period]
					}
				}
				got, want := bothPaths(n, func(dst []uint64) { rns.Sum(s, dst, terms) })
				require.Equal(t, want, got, "%d terms of period %d", count, period)
			}
		}
	}
}
