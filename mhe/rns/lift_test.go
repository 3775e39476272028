package rns_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/mhe/rns"
)

// Conversions and divisions have the same bits on every processor, for lazy
// residues and for coefficients at any distance from the ends of the range.
func TestLiftPaths(t *testing.T) {
	const n = 2048
	all := primes(t, n, 60, 60, 43, 43, 60, 60, 45, 45, 60, 60, 20, 20)
	for from := 1; from <= 8; from++ {
		source, target := all[:from], slices.Concat(all[from:], all[:1])
		for kind := range 6 {
			in := make(rns.Poly, from)
			for i, s := range source {
				in[i] = edges(n, uint64(i), 8*s.Modulus)[kind]
				half := s.Modulus / 2 // the ends of the range of a single prime
				copy(in[i], []uint64{half, half + 1, half - 1, 0, s.Modulus - 1, s.Modulus, 3*s.Modulus + half, 3*s.Modulus + half + 1})
			}
			got, want := bothPaths(n*len(target), func(dst []uint64) {
				out := make(rns.Poly, len(target))
				for j := range out {
					out[j] = dst[j*n : (j+1)*n]
				}
				rns.NewLift(source, target).Do(in, out, 2)
			})
			require.True(t, slices.Equal(want, got), "%d primes, kind %d", from, kind)
		}
	}
}

func TestRoundPaths(t *testing.T) {
	const n = 2048
	all := primes(t, n, 60, 60, 43, 43, 60, 60, 45, 45, 60)
	v := make([]int64, n)
	for i := range v {
		v[i] = int64(i%41 - 20)
	}
	for _, special := range []int{1, 2, 3, 4} {
		for kind := range 6 {
			for _, ints := range [][]int64{nil, v} {
				got, want := bothPaths(n*len(all), func(dst []uint64) {
					x := make(rns.Poly, len(all))
					for j, s := range all {
						x[j] = dst[j*n : (j+1)*n]
						copy(x[j], edges(n, uint64(j), s.Modulus)[kind])
					}
					rns.NewDivider(all[:len(all)-special], all[len(all)-special:]).Round(x, ints, ints, 1)
				})
				keep := n * (len(all) - special) // the rest is destroyed
				require.True(t, slices.Equal(want[:keep], got[:keep]), "%d primes, kind %d", special, kind)
			}
		}
	}
}
