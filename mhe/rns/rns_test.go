package rns_test

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tuneinsight/lattigo/v5/ring"

	"github.com/nereid-mhe/nereid/mhe/rns"
)

const n = 256

// stream is a seeded test stream, not cryptographic.
type stream struct{ *rand.ChaCha8 }

func newStream(seed byte) stream { return stream{rand.NewChaCha8([32]byte{seed})} }

// basis returns the primes 60, 60, 60, 45, 36, 60 bits wide.
func basis(t testing.TB) rns.Basis {
	t.Helper()
	var primes []uint64
	for _, b := range []uint64{60, 45, 36} {
		g := ring.NewNTTFriendlyPrimesGenerator(b, 4*n)
		p, err := g.NextAlternatingPrimes(4)
		require.NoError(t, err)
		primes = append(primes, p...)
	}
	primes = []uint64{primes[0], primes[1], primes[2], primes[4], primes[8], primes[3]}
	r, err := ring.NewRingFromType(n, primes, ring.ConjugateInvariant)
	require.NoError(t, err)
	return r.SubRings
}

// value returns coefficient i of p as a centred integer.
func value(b rns.Basis, p rns.Poly, i int) *big.Int {
	q, x := big.NewInt(1), new(big.Int)
	for _, s := range b {
		q.Mul(q, new(big.Int).SetUint64(s.Modulus))
	}
	for k, s := range b {
		m := new(big.Int).SetUint64(s.Modulus)
		c := new(big.Int).Quo(q, m)
		inv := new(big.Int).ModInverse(c, m)
		c.Mul(c, inv).Mul(c, new(big.Int).SetUint64(p[k][i]))
		x.Add(x, c)
	}
	x.Mod(x, q)
	if x.Cmp(new(big.Int).Rsh(q, 1)) > 0 {
		x.Sub(x, q)
	}
	return x
}

func TestMaskIsOneIntegerInEveryLimb(t *testing.T) {
	b := basis(t)
	for _, width := range []int{1, 63, 64, 65, 128, 129, 175, 192} {
		m, err := rns.NewMask(newStream(1), n, width)
		require.NoError(t, err)
		p := b.New()
		for i, s := range b {
			m.Limb(s, p[i])
		}
		half := new(big.Int).Lsh(big.NewInt(1), uint(width-1))
		largest := new(big.Int)
		for i := range n {
			x := value(b, p, i)
			require.True(t, x.Cmp(half) < 0 && x.Cmp(new(big.Int).Neg(half)) >= 0, "%d bits: coefficient %d is %v", width, i, x)
			if x.CmpAbs(largest) > 0 {
				largest = x
			}
		}
		require.GreaterOrEqual(t, largest.BitLen(), width-2, "%d bits: no coefficient is large", width)
	}
	_, err := rns.NewMask(newStream(1), n, 193)
	require.Error(t, err)
}

func TestLiftIsExact(t *testing.T) {
	b := basis(t)
	low, high := b[:3], b[3:]
	m, err := rns.NewMask(newStream(2), n, 178)
	require.NoError(t, err)
	want := b.New()
	for i, s := range b {
		m.Limb(s, want[i])
	}
	for _, workers := range []int{1, 2} {
		got := high.New()
		rns.NewLift(low, high).Do(want[:3], got, workers)
		require.Equal(t, want[3:], got)
	}
}

func TestDividerRounds(t *testing.T) {
	b := basis(t)
	for _, tail := range []int{1, 2} {
		q, p := b[:len(b)-tail], b[len(b)-tail:]
		x := b.New()
		require.NoError(t, b.Uniform(newStream(3), x))
		before, err := rns.NewGaussian(3.2, 19).Sample(newStream(4), n)
		require.NoError(t, err)
		after, err := rns.Flood(newStream(5), n, 1e6)
		require.NoError(t, err)
		want := make([]*big.Int, n)
		for i := range want {
			v := value(b, x, i)
			v.Add(v, big.NewInt(before[i]))
			prod := big.NewInt(1)
			for _, s := range p {
				prod.Mul(prod, new(big.Int).SetUint64(s.Modulus))
			}
			v.Lsh(v, 1).Add(v, prod).Div(v, prod.Lsh(prod, 1)) // ⌊v/P⌉
			want[i] = v.Add(v, big.NewInt(after[i]))
		}
		b.NTT(x)
		rns.NewDivider(q, p).Round(x, before, after, 1)
		got := x[:len(q)]
		q.INTT(got)
		for i := range n {
			diff := new(big.Int).Sub(value(q, got, i), want[i])
			require.LessOrEqual(t, diff.CmpAbs(big.NewInt(0)), 0, "coefficient %d is off by %v", i, diff)
		}
	}
}

func TestGaussianMoments(t *testing.T) {
	const sigma, samples = 3.2, 1 << 17
	v, err := rns.NewGaussian(sigma, 19).Sample(newStream(6), samples)
	require.NoError(t, err)
	checkMoments(t, v, sigma)
	count := map[int64]int{}
	for _, x := range v {
		require.LessOrEqual(t, max(x, -x), int64(19))
		count[x]++
	}
	norm := 0.0
	for k := -19; k <= 19; k++ {
		norm += math.Exp(-float64(k*k) / (2 * sigma * sigma))
	}
	for k := int64(-6); k <= 6; k++ { // every likely value at its frequency, 5 standard errors
		p := math.Exp(-float64(k*k)/(2*sigma*sigma)) / norm
		require.InDelta(t, p, float64(count[k])/samples, 5*math.Sqrt(p/samples), "P(%d)", k)
	}
}

func TestFloodMoments(t *testing.T) {
	for _, sigma := range []float64{10, 1e6, 1e12} {
		v, err := rns.Flood(newStream(7), 1<<16, sigma)
		require.NoError(t, err)
		checkMoments(t, v, sigma)
	}
	_, err := rns.Flood(newStream(7), 8, math.Inf(1))
	require.Error(t, err)
	_, err = rns.Flood(newStream(7), 8, math.NaN())
	require.Error(t, err)
}

// checkMoments allows five standard errors.
func checkMoments(t *testing.T, v []int64, sigma float64) {
	t.Helper()
	var sum, sq, quart float64
	for _, x := range v {
		f := float64(x) / sigma
		sum += f
		sq += f * f
		quart += f * f * f * f
	}
	m := float64(len(v))
	require.InDelta(t, 0, sum/m, 5/math.Sqrt(m), "mean")
	require.InDelta(t, 1, sq/m, 5*math.Sqrt(2/m), "variance")
	require.InDelta(t, 3, quart/m, 5*math.Sqrt(96/m), "kurtosis")
}

func TestTernaryIsBalanced(t *testing.T) {
	v, err := rns.Ternary(newStream(8), 1<<16)
	require.NoError(t, err)
	count := map[int64]float64{}
	for _, x := range v {
		count[x]++
	}
	require.Len(t, count, 3)
	for _, c := range count {
		require.InDelta(t, 1.0/3, c/(1<<16), 5*math.Sqrt(2.0/9/(1<<16)))
	}
}

func TestCodecRoundTrip(t *testing.T) {
	b := basis(t)
	p := b.New()
	require.NoError(t, b.Uniform(newStream(9), p))
	enc := b.Append(nil, p)
	require.Len(t, enc, b.EncodedSize())
	got, err := b.Decode(enc)
	require.NoError(t, err)
	require.Equal(t, p, got)

	for _, bad := range [][]byte{nil, enc[1:], append(enc, 0)} {
		_, err := b.Decode(bad)
		require.ErrorIs(t, err, rns.ErrEncoding)
	}
	for i := range enc[:64] {
		enc[i] = 0xff
	}
	_, err = b.Decode(enc)
	require.ErrorIs(t, err, rns.ErrEncoding)
	require.ErrorContains(t, err, "limb 0")
}

func FuzzDecode(f *testing.F) {
	b := basis(f)
	p := b.New()
	if err := b.Uniform(newStream(10), p); err != nil {
		f.Fatal(err)
	}
	enc := b.Append(nil, p)
	f.Add(enc)
	f.Add(enc[:len(enc)-1])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, in []byte) {
		p, err := b.Decode(in)
		if err == nil {
			require.Equal(t, in, b.Append(nil, p))
		}
	})
}

func BenchmarkSamplers(b *testing.B) {
	const n = 1 << 14
	src := newStream(11)
	g := rns.NewGaussian(3.2, 19)
	b.Run("gaussian", func(b *testing.B) {
		for b.Loop() {
			_, _ = g.Sample(src, n)
		}
	})
	b.Run("mask", func(b *testing.B) {
		for b.Loop() {
			_, _ = rns.NewMask(src, n, 175)
		}
	})
}
