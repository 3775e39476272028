package rns_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"math/big"
	"slices"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/mhe/rns"
)

// constant is a stream of one byte for ever.
type constant byte

func (c constant) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(c)
	}
	return len(p), nil
}

// counting counts the bytes read.
type counting struct {
	io.Reader
	n int
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += n
	return n, err
}

// samplers are all of them, with a function of a stream that gives comparable
// values, and the bytes that each reads for 256 coefficients; 0 if it rejects.
func samplers(t testing.TB) map[string]struct {
	sample func(io.Reader) (any, error)
	bytes  int
} {
	b := basis(t)
	type s = struct {
		sample func(io.Reader) (any, error)
		bytes  int
	}
	return map[string]s{
		"gaussian": {func(r io.Reader) (any, error) { return rns.NewGaussian(3.2, 19).Sample(r, n) }, 8 * n},
		"ternary":  {func(r io.Reader) (any, error) { return rns.Ternary(r, n) }, 0},
		"flood":    {func(r io.Reader) (any, error) { return rns.Flood(r, n, 1e6) }, 8 * n},
		"mask":     {func(r io.Reader) (any, error) { return rns.NewMask(r, n, 150) }, 24 * n},
		"uniform":  {func(r io.Reader) (any, error) { p := b.New(); err := b.Uniform(r, p); return p, err }, 0},
	}
}

// Equal streams give equal samples, other streams others: a share can be made
// twice. How the stream is cut into reads does not matter.
func TestSamplersAreFunctionsOfTheStream(t *testing.T) {
	for name, s := range samplers(t) {
		t.Run(name, func(t *testing.T) {
			a, err := s.sample(newStream(1))
			require.NoError(t, err)
			again, err := s.sample(iotest.OneByteReader(newStream(1)))
			require.NoError(t, err)
			require.Equal(t, a, again)
			other, err := s.sample(newStream(2))
			require.NoError(t, err)
			require.NotEqual(t, a, other)
			if s.bytes > 0 {
				c := &counting{Reader: newStream(1)}
				_, err := s.sample(c)
				require.NoError(t, err)
				require.Equal(t, s.bytes, c.n, "bytes read")
			}
		})
	}
}

// A stream that ends or fails is an error, never a sample of zeros.
func TestSamplersRefuseShortStreams(t *testing.T) {
	broken := errors.New("broken")
	for name, s := range samplers(t) {
		for _, have := range []int64{0, 10, 100} {
			_, err := s.sample(io.LimitReader(newStream(1), have))
			require.Error(t, err, name)
			require.ErrorContains(t, err, "rns: randomness")
		}
		_, err := s.sample(iotest.ErrReader(broken))
		require.ErrorIs(t, err, broken, name)
	}
}

// The Gaussian's table is entered at both ends: the rarest word gives the tail,
// the likeliest gives 0, and the lowest bit is the sign.
func TestGaussianEnds(t *testing.T) {
	g := rns.NewGaussian(3.2, 19)
	for _, tt := range []struct {
		word uint64
		want int64
	}{{0, 19}, {1, -19}, {math.MaxUint64 - 1, 0}, {math.MaxUint64, 0}} {
		v, err := g.Sample(bytes.NewReader(binary.LittleEndian.AppendUint64(nil, tt.word)), 1)
		require.NoError(t, err)
		require.Equal(t, []int64{tt.want}, v, "word %#x", tt.word)
	}
}

func TestFloodEnds(t *testing.T) {
	// 2^50 is the largest deviation whose 8σ a float holds exactly
	_, err := rns.Flood(newStream(1), n, 1<<50)
	require.NoError(t, err)
	for _, sigma := range []float64{1<<50 + 1, -1, math.Inf(1), math.NaN()} {
		_, err := rns.Flood(newStream(1), n, sigma)
		require.Error(t, err, sigma)
	}
	v, err := rns.Flood(newStream(1), 7, 0)
	require.NoError(t, err)
	require.Equal(t, make([]int64, 7), v, "no noise, and an odd number of it")
	// the smallest uniform, 2^-53, is the largest sample: √(2·53·ln 2) = 8.57 σ
	v, err = rns.Flood(constant(0), 2, 1000)
	require.NoError(t, err)
	require.Equal(t, int64(8572), v[0])
}

// Words above the largest multiple of the prime would favour small residues:
// they are thrown away.
func TestUniformRejects(t *testing.T) {
	b := primes(t, n, 60)
	q := b[0].Modulus
	limit := math.MaxUint64 - math.MaxUint64%q
	var stream []byte
	for _, w := range []uint64{limit, 7, math.MaxUint64, limit - 1, q, 0} {
		stream = binary.LittleEndian.AppendUint64(stream, w)
	}
	p := b.New()
	require.NoError(t, b.Uniform(io.MultiReader(bytes.NewReader(stream), constant(0)), p))
	require.Equal(t, []uint64{7, q - 1, 0, 0}, p[0][:4])
}

// Residues are uniform modulo every prime: mean q/2 and variance q²/12 within
// five standard errors, whose kurtosis 9/5 makes the latter √(0.8/n) of itself.
func TestUniformMoments(t *testing.T) {
	const n = 1 << 13
	for _, s := range primes(t, n, 60, 36, 20) {
		p := rns.Basis{s}.New()
		require.NoError(t, rns.Basis{s}.Uniform(newStream(30), p))
		x := make([]float64, n)
		for i, r := range p[0] {
			x[i] = float64(r)/float64(s.Modulus) - 0.5
		}
		uniformMoments(t, x)
	}
}

// Masks are uniform on their whole interval.
func TestMaskMoments(t *testing.T) {
	const n = 1 << 12
	b := primes(t, n, 60, 60, 60, 60)
	for _, width := range []int{8, 64, 150, 192} {
		m, err := rns.NewMask(newStream(31), n, width)
		require.NoError(t, err)
		p := b.New()
		for j, s := range b {
			m.Limb(s, p[j])
		}
		x := make([]float64, n)
		for i := range x {
			f := new(big.Float).SetInt(value(b, p, i))
			x[i], _ = f.SetMantExp(f, -width).Float64()
		}
		uniformMoments(t, x)
	}
}

// uniformMoments allows five standard errors from the uniform distribution on
// [-1/2, 1/2).
func uniformMoments(t *testing.T, x []float64) {
	t.Helper()
	var sum, sq float64
	for _, v := range x {
		sum += v
		sq += v * v
	}
	m := float64(len(x))
	require.InDelta(t, 0, sum/m, 5/math.Sqrt(12*m)+1.0/256, "mean") // an 8-bit mask is centred on -1/2 of 2^8
	require.InDelta(t, 1.0/12, sq/m, 5*math.Sqrt(0.8/m)/12, "variance")
	require.Less(t, slices.Min(x), -0.49)
	require.Greater(t, slices.Max(x), 0.49)
}

func TestNewMaskRefuses(t *testing.T) {
	for _, bits := range []int{-1, 0, 193} {
		_, err := rns.NewMask(newStream(1), n, bits)
		require.ErrorContains(t, err, "want 1 to 192")
	}
}
