package rns_test

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tuneinsight/lattigo/v5/ring"

	"github.com/nereid-mhe/nereid/mhe/rns"
)

// eachPath runs a test with the assembly, if the processor takes it, and without.
func eachPath(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	was := rns.SetVector(false)
	defer rns.SetVector(was)
	t.Run("generic", f)
	rns.SetVector(was)
	if !was {
		t.Log("no AVX-512 here: only the generic code ran")
		return
	}
	t.Run("vector", f)
}

// edges are limbs of residues below bound: random ones, the ends of the range,
// and one that is not zero.
func edges(n int, seed, bound uint64) [][]uint64 {
	r := rand.New(rand.NewPCG(seed, bound))
	random, ends, first, last := make([]uint64, n), make([]uint64, n), make([]uint64, n), make([]uint64, n)
	for i := range random {
		random[i] = r.Uint64N(bound)
		ends[i] = (bound - 1) * r.Uint64N(2)
	}
	first[0], last[n-1] = bound-1, bound-1
	return [][]uint64{random, ends, first, last, make([]uint64, n), slices.Repeat([]uint64{bound - 1}, n)}
}

// mod reduces the residues of x.
func mod(x []uint64, q uint64) []uint64 {
	out := make([]uint64, len(x))
	for i, r := range x {
		out[i] = r % q
	}
	return out
}

// matchLattigo compares all four transforms of x with Lattigo's, in and out of
// place.
func matchLattigo(t *testing.T, s *ring.SubRing, x []uint64) {
	t.Helper()
	q, n := s.Modulus, s.N
	for _, tt := range []struct {
		name             string
		lattigo          func(in, out []uint64)
		full, lazy, back func(s *ring.SubRing, in, out []uint64)
	}{
		{"forward", s.NTT, rns.NTT, rns.NTTLazy, rns.INTT},
		{"inverse", s.INTT, rns.INTT, rns.INTTLazy, rns.NTT},
	} {
		want, got, in := make([]uint64, n), make([]uint64, n), slices.Clone(x)
		tt.lattigo(mod(x, q), want)
		tt.full(s, in, got)
		require.True(t, slices.Equal(want, got), "%s, N = %d, prime %d", tt.name, n, q)
		require.True(t, slices.Equal(x, in), "the input is not changed")
		tt.full(s, in, in)
		require.True(t, slices.Equal(want, in), "%s in place, N = %d, prime %d", tt.name, n, q)
		tt.lazy(s, x, got)
		require.Less(t, slices.Max(got), 8*q)
		require.True(t, slices.Equal(want, mod(got, q)), "lazy %s, N = %d, prime %d", tt.name, n, q)
		tt.back(s, want, got)
		require.True(t, slices.Equal(mod(x, q), got), "%s and back, N = %d, prime %d", tt.name, n, q)
	}
}

// Transforms have Lattigo's results at every size, below and above powers of two,
// for all residues that they take.
func TestTransformsMatchLattigo(t *testing.T) {
	top := 16
	if testing.Short() {
		top = 13
	}
	rings := map[int]rns.Basis{}
	for logN := 4; logN <= top; logN++ {
		rings[logN] = primes(t, 1<<logN, 60, 60, 45, 45, 43, 43, 30)
	}
	eachPath(t, func(t *testing.T) {
		for logN := 4; logN <= top; logN++ {
			for _, s := range rings[logN] {
				for _, x := range edges(s.N, 1, s.Modulus) {
					matchLattigo(t, s, x)
				}
				for _, x := range edges(s.N, 2, 2*s.Modulus) {
					matchLattigo(t, s, x)
				}
			}
		}
	})
}

// Rings of the other type have transforms of their own.
func TestStandardRing(t *testing.T) {
	const n = 512
	var moduli []uint64
	for _, s := range primes(t, n, 60, 45) {
		moduli = append(moduli, s.Modulus)
	}
	r, err := ring.NewRing(n, moduli)
	require.NoError(t, err)
	eachPath(t, func(t *testing.T) {
		for _, s := range r.SubRings {
			matchLattigo(t, s, edges(n, 3, s.Modulus)[0])
		}
	})
}

// A limb that is too short is a panic before anything is written past its end.
func TestTransformsRefuseShortLimbs(t *testing.T) {
	s := primes(t, 512, 60)[0]
	eachPath(t, func(t *testing.T) {
		long, short := make([]uint64, 512), make([]uint64, 511)
		for _, f := range []func(s *ring.SubRing, in, out []uint64){rns.NTT, rns.NTTLazy, rns.INTT, rns.INTTLazy} {
			require.Panics(t, func() { f(s, long, short[:511:511]) })
			require.Panics(t, func() { f(s, short[:511:511], long) })
		}
	})
}

// The tables of a prime are made once, by whoever comes first.
func TestTransformsAtOnce(t *testing.T) {
	s := primes(t, 256, 58)[0]
	x := edges(256, 4, s.Modulus)[0]
	want := make([]uint64, 256)
	s.NTT(x, want)
	var wg sync.WaitGroup
	got := make([][]uint64, 8)
	for i := range got {
		got[i] = make([]uint64, 256)
		wg.Go(func() { rns.NTT(s, x, got[i]) })
	}
	wg.Wait()
	for _, y := range got {
		require.Equal(t, want, y)
	}
}

func FuzzTransforms(f *testing.F) {
	const n = 256
	b := primes(f, n, 60, 60, 45, 43)
	f.Add([]byte{}, uint8(0))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, uint8(1))
	f.Fuzz(func(t *testing.T, data []byte, prime uint8) {
		s := b[int(prime)%len(b)]
		x := make([]uint64, n)
		for i := range x {
			var word [8]byte
			if at := i * 8; at < len(data) {
				copy(word[:], data[at:])
			}
			x[i] = binary.LittleEndian.Uint64(word[:]) % (2 * s.Modulus)
		}
		matchLattigo(t, s, x)
	})
}

// The ratio is to Lattigo's transform, measured in the same run.
func BenchmarkTransforms(b *testing.B) {
	for _, logN := range []int{12, 14, 16} {
		n := 1 << logN
		for _, s := range primes(b, n, 60, 43) {
			x, y := edges(n, 1, s.Modulus)[0], make([]uint64, n)
			for _, bb := range []struct {
				name    string
				lattigo func(in, out []uint64)
				ours    func(s *ring.SubRing, in, out []uint64)
			}{
				{"NTT", s.NTT, rns.NTT},
				{"NTTLazy", s.NTTLazy, rns.NTTLazy},
				{"INTT", s.INTT, rns.INTT},
				{"INTTLazy", s.INTTLazy, rns.INTTLazy},
			} {
				b.Run(fmt.Sprintf("%s/logN=%d/bits=%d", bb.name, logN, bits.Len64(s.Modulus-s.Modulus>>8)), func(b *testing.B) {
					compare(b, func() { bb.ours(s, x, y) }, "lattigo", func() { bb.lattigo(x, y) })
				})
			}
		}
	}
}

// compare reports the median times of two functions that run in turn, and their
// ratio: other programs disturb both alike.
func compare(b *testing.B, ours func(), name string, theirs func()) {
	b.Helper()
	var times [2][]float64
	for b.Loop() {
		for i, f := range []func(){ours, theirs} {
			start := time.Now()
			f()
			times[i] = append(times[i], float64(time.Since(start).Nanoseconds()))
		}
	}
	median := func(v []float64) float64 {
		slices.Sort(v)
		return v[len(v)/2]
	}
	x, y := median(times[0]), median(times[1])
	b.ReportMetric(x, "ns/call")
	b.ReportMetric(y, name+"-ns/call")
	b.ReportMetric(y/x, "ratio")
	b.ReportMetric(0, "ns/op")
}
