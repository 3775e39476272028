package mhe

import (
	"math"
	"math/bits"
	"math/cmplx"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tuneinsight/lattigo/v5/core/rlwe"
	"github.com/tuneinsight/lattigo/v5/he/hefloat"
	"github.com/tuneinsight/lattigo/v5/ring"
)

func TestRootsOfUnity(t *testing.T) {
	for _, order := range []int{8, 16, 64, 1 << 12} {
		eighth := rootsOfUnity(order)
		for k := range order {
			want := cmplx.Exp(complex(0, 2*math.Pi*float64(k)/float64(order)))
			got := root(eighth, order, k)
			require.InDelta(t, real(want), real(got), 2e-15, "%d of %d", k, order)
			require.InDelta(t, imag(want), imag(got), 2e-15, "%d of %d", k, order)
		}
		require.Equal(t, complex(1, 0), root(eighth, order, 0))
		require.Equal(t, complex(0, 1), root(eighth, order, order/4))
		require.Equal(t, complex(-1, 0), root(eighth, order, order/2))
	}
}

// The transform is that of Lattigo, which decodes.
func TestFourierIsLattigos(t *testing.T) {
	p, err := hefloat.NewParametersFromLiteral(hefloat.ParametersLiteral{
		LogN: 10, LogQ: []int{50}, LogP: []int{50}, LogDefaultScale: 40, RingType: ring.ConjugateInvariant, Xs: rlwe.DefaultXs,
	})
	require.NoError(t, err)
	lattigo := hefloat.NewEncoder(p)
	f := newFourier(p.N())
	require.Same(t, f, newFourier(p.N()))
	rng := rand.New(rand.NewPCG(1, 2))
	for n := 8; n <= p.N(); n *= 2 {
		got, want := make([]complex128, n), make([]complex128, n)
		for i := range got {
			got[i] = complex(rng.NormFloat64(), rng.NormFloat64())
			want[i] = got[i]
		}
		f.inverse(got)
		require.NoError(t, lattigo.IFFT(want, bits.Len(uint(n))-1))
		for i := range got {
			require.InDelta(t, 0, cmplx.Abs(got[i]-want[i]), 1e-15, "size %d, coefficient %d", n, i)
		}
	}
}

func BenchmarkFourier(b *testing.B) {
	f := newFourier(1 << 14)
	v := make([]complex128, 1<<14)
	for i := range v {
		v[i] = complex(float64(i), 0)
	}
	b.ResetTimer()
	for range b.N {
		f.inverse(v)
	}
}

func BenchmarkLattigoIFFT(b *testing.B) {
	p, err := hefloat.NewParametersFromLiteral(hefloat.ParametersLiteral{LogN: 14, LogQ: []int{50}, LogP: []int{50}, LogDefaultScale: 40, RingType: ring.ConjugateInvariant})
	require.NoError(b, err)
	lattigo := hefloat.NewEncoder(p)
	v := make([]complex128, 1<<14)
	for i := range v {
		v[i] = complex(float64(i), 0)
	}
	b.ResetTimer()
	for range b.N {
		_ = lattigo.IFFT(v, 14)
	}
}

func BenchmarkRootsOfUnity(b *testing.B) {
	for range b.N {
		stageRoots(1 << 16)
	}
}
