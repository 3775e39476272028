package rns_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/mhe/rns"
)

// bothPaths returns what f writes to a slice of n words, with the assembly and
// without.
func bothPaths(n int, f func(dst []uint64)) (vector, generic []uint64) {
	vector, generic = make([]uint64, n), make([]uint64, n)
	f(vector)
	was := rns.SetVector(false)
	defer rns.SetVector(was)
	f(generic)
	return vector, generic
}

// Words of any size are reduced to the same residues on every processor.
func TestReduce128Paths(t *testing.T) {
	for _, s := range primes(t, 256, 60, 60, 45, 43, 20) {
		for _, n := range []int{1, 7, 8, 9, 64, 1003} {
			hi, lo := edges(n, 1, math.MaxUint64), edges(n, 2, math.MaxUint64)
			for i := range hi {
				for k := range lo {
					got, want := bothPaths(n, func(dst []uint64) { rns.Reduce128(s, dst, hi[i], lo[k]) })
					require.Equal(t, want, got)
				}
			}
		}
	}
}

// Sums of products are the same on every processor, up to the largest that 128
// bits hold: lazy digits, and reduced keys.
func TestDotPaths(t *testing.T) {
	for _, s := range primes(t, 256, 60, 60, 45, 43, 20) {
		q := s.Modulus
		for _, terms := range []int{1, 2, 7, 31} {
			for _, n := range []int{4, 8, 13, 64, 264} {
				var d, b, a [][]uint64
				part := make([]uint64, 0, terms*n)
				at, w := make([]int, terms), make([]uint64, terms)
				r := rand.New(rand.NewPCG(1, q))
				for i := range terms {
					d = append(d, edges(n, uint64(i), 8*q)[i%2*5])
					b = append(b, edges(n, uint64(i)+100, q)[i%3])
					a = append(a, edges(n, uint64(i)+200, q)[5-i%2*5])
					at[i], w[i] = n*((i*3)%terms), q-1-r.Uint64N(2)*r.Uint64N(q)
					part = append(part, d[i]...)
				}
				got, want := bothPaths(2*n, func(dst []uint64) { rns.Dot2(s, dst[:n], dst[n:], d, b, a) })
				require.Equal(t, want, got, "two sums of %d terms, %d residues", terms, n)
				got, want = bothPaths(n, func(dst []uint64) { rns.Dot(s, dst, part, at, w) })
				require.Equal(t, want, got, "%d terms, %d residues", terms, n)
			}
		}
	}
}

// A sum of no terms is zero.
func TestDotOfNothing(t *testing.T) {
	s := primes(t, 256, 60)[0]
	got, want := bothPaths(16, func(dst []uint64) { rns.Dot(s, dst, nil, nil, nil) })
	require.Equal(t, make([]uint64, 16), got)
	require.Equal(t, want, got)
}

// More terms than words of 52 bits take are added all the same.
func TestDotOfManyTerms(t *testing.T) {
	s := primes(t, 256, 43)[0]
	const n, terms = 16, 3000
	part, at, w := edges(n, 1, s.Modulus)[5], make([]int, terms), make([]uint64, terms)
	for i := range w {
		w[i] = s.Modulus - 1
	}
	got, want := bothPaths(n, func(dst []uint64) { rns.Dot(s, dst, part, at, w) })
	require.Equal(t, want, got)
}

// generic returns f without the assembly.
func generic(f func()) func() {
	return func() {
		was := rns.SetVector(false)
		defer rns.SetVector(was)
		f()
	}
}

// The ratio is to the generic code, measured in the same run.
func BenchmarkPaths(b *testing.B) {
	const n = 1 << 14
	all := primes(b, n, 60, 60, 60, 43, 43, 43, 43, 43)
	s := all[0]
	a, err := rns.NewAutomorphism(n, 4*n, 5)
	require.NoError(b, err)
	var x [3][][]uint64
	var terms []rns.Term
	part, at, w := []uint64{}, []int{}, []uint64{}
	for i := range 16 {
		for k := range x {
			x[k] = append(x[k], edges(n, uint64(3*i+k), s.Modulus)[0])
		}
		terms = append(terms, rns.Term{X: x[0][i], By: a, Mask: x[1][i][:256]})
		part, at, w = append(part, x[0][i][:64]...), append(at, 64*i), append(w, x[1][i][i])
	}
	y, z := make([]uint64, n), make([]uint64, n)
	in, out := all.Borrow(), all.Borrow()
	one, two := rns.NewLift(all[:1], all[1:]), rns.NewLift(all[:2], all[2:])
	for name, f := range map[string]func(){
		"Dot2/terms=4":             func() { rns.Dot2(s, y, z, x[0][:4], x[1][:4], x[2][:4]) },
		"Dot2/terms=7":             func() { rns.Dot2(s, y, z, x[0][:7], x[1][:7], x[2][:7]) },
		"Dot/terms=16/residues=64": func() { rns.Dot(s, y[:64], part, at, w) },
		"Sum/terms=16/period=256":  func() { rns.Sum(s, y, terms) },
		"Reduce128":                func() { rns.Reduce128(s, y, x[0][0], x[1][0]) },
		"Apply":                    func() { a.Apply(y, x[0][0]) },
		"AutomorphismAdd":          func() { a.Add(y, x[0][0], s.Modulus) },
		fmt.Sprintf("Lift/from=1/to=%d", len(all)-1): func() { one.Do(in[:1], out[1:], 1) },
		fmt.Sprintf("Lift/from=2/to=%d", len(all)-2): func() { two.Do(in[:2], out[2:], 1) },
	} {
		b.Run(name, func(b *testing.B) { compare(b, f, "generic", generic(f)) })
	}
}
