package mhe_test

import (
	"crypto/sha3"
	"fmt"
	"io"
	"math"
	"math/big"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/nereid-mhe/nereid/internal/testkit"
	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/mhe/rns"
	"github.com/nereid-mhe/nereid/packing"
	"github.com/nereid-mhe/nereid/params"
)

// What Encrypt encrypts, at any level and scale that hold it, all parties
// decrypt: the secret key is the sum of their shares.
func TestEncryptEveryLevel(t *testing.T) {
	set := testkit.Toy(t, 3)
	w := world(t, set)
	for level := range set.MaxLevel() + 1 {
		for _, logScale := range []int{30, 45} {
			for _, period := range []int{8, 64, set.N()} {
				v := testkit.Random(period, uint64(level))
				x, err := w.Keys.Encryption().Encrypt(w.Encoder, v, level, mhe.Power(logScale), testkit.Source("x"))
				require.NoError(t, err)
				require.Equal(t, level, x.Level())
				require.True(t, x.Encrypted())
				require.InDelta(t, logScale, x.LogScale(), 1e-12)
				require.Less(t, rms(w.Open(t, x, 3), v), 2*mhe.NewNoise(set).Encrypt(mhe.Power(logScale)))
			}
		}
	}
	for _, level := range []int{-1, set.MaxLevel() + 1} {
		_, err := w.Keys.Encryption().Encrypt(w.Encoder, zeros, level, mhe.Power(40), testkit.Source("x"))
		require.ErrorIs(t, err, mhe.ErrShape)
	}
	_, err := w.Keys.Encryption().Encrypt(w.Encoder, zeros[:3], 0, mhe.Power(40), testkit.Source("x"))
	require.ErrorIs(t, err, mhe.ErrShape)
}

// Two encryptions of one value have nothing in common that a reader could see.
func TestEncryptionsOfEqualValuesDiffer(t *testing.T) {
	set := testkit.Toy(t, 2)
	w := world(t, set)
	var xs []mhe.Tensor
	for i := range 2 {
		x, err := w.Keys.Encryption().Encrypt(w.Encoder, zeros, 6, mhe.Power(45), testkit.Source(fmt.Sprint(i)))
		require.NoError(t, err)
		xs = append(xs, x)
	}
	for i, p := range xs[0].Polys() {
		requireFresh(t, p, xs[1].Polys()[i], "polynomial %d", i)
	}
}

// trivial returns the ciphertext (scale·v, 0) that anybody can read.
func trivial(t testing.TB, w testkit.World, v []float64, level int) mhe.Tensor {
	t.Helper()
	b := mhe.Basis(w.Set, level)
	p, err := w.Encoder.Encode(v, mhe.Power(45), b)
	require.NoError(t, err)
	return mhe.NewEncrypted(p, b.New(), mhe.Power(45))
}

// Rerandomising changes every residue of both polynomials and keeps the value,
// also of a ciphertext that was none: what a party computes of its data and of
// weights that are still public zeros has c1 = 0.
func TestRerandomise(t *testing.T) {
	set := testkit.Toy(t, 3)
	w := world(t, set)
	key := w.Keys.Encryption()
	v := testkit.Random(64, 1)
	for name, x := range map[string]mhe.Tensor{"fresh": w.Encrypt(t, v, 4), "trivial": trivial(t, w, v, 4), "at the lowest level": trivial(t, w, v, 0)} {
		t.Run(name, func(t *testing.T) {
			before := [2][][]uint64{clone(x.Polys()[0]), clone(x.Polys()[1])}
			y, err := key.Rerandomise(x, testkit.Source("one"))
			require.NoError(t, err)
			z, err := key.Rerandomise(x, testkit.Source("two"))
			require.NoError(t, err)
			zero := mhe.Basis(set, x.Level()).New()
			for i := range 2 {
				require.Equal(t, before[i], [][]uint64(x.Polys()[i]), "the argument is unchanged")
				requireFresh(t, x.Polys()[i], y.Polys()[i], "polynomial %d, before and after", i)
				requireFresh(t, y.Polys()[i], z.Polys()[i], "polynomial %d, twice", i)
				requireFresh(t, zero, y.Polys()[i], "polynomial %d and zero", i)
			}
			require.Equal(t, x.Level(), y.Level())
			require.Zero(t, x.Scale().Cmp(y.Scale()))
			// both have the noise of an encryption at most twice
			require.Less(t, rms(w.Open(t, y, 3), v), 2*mhe.NewNoise(set).Encrypt(x.Scale()))
		})
	}
	_, err := key.Rerandomise(mhe.ClearTensor(v, 3, mhe.Power(45)), testkit.Source("x"))
	require.ErrorIs(t, err, mhe.ErrShape)
	_, err = key.Rerandomise(mhe.Plain(v), testkit.Source("x"))
	require.ErrorIs(t, err, mhe.ErrShape)
}

// The gradient at public weights is what Rerandomise is for: without it, anybody
// reads it.
func TestGradientAtPublicWeightsIsReadable(t *testing.T) {
	set := testkit.Toy(t, 2)
	w := world(t, set)
	x := mhe.Plain(testkit.Random(64, 1))
	d, err := packing.NewDot(1, 64, set.N())
	require.NoError(t, err)
	g, err := mhe.NewCKKS(w.Keys, 1).Dot(d, trivial(t, w, testkit.Random(64, 2), 6), x, 0)
	require.NoError(t, err)
	require.Equal(t, mhe.Basis(set, 5).New(), g.Polys()[1], "c1 = 0")
	safe, err := w.Keys.Encryption().Rerandomise(g, testkit.Source("x"))
	require.NoError(t, err)
	requireFresh(t, g.Polys()[1], safe.Polys()[1], "c1")
}

// Dropping levels is exact, and only goes down.
func TestDrop(t *testing.T) {
	set := testkit.Toy(t, 2)
	w := world(t, set)
	x := w.Encrypt(t, testkit.Random(64, 1), 4)
	want := w.Open(t, x, 2)
	for level := 4; level >= 0; level-- {
		y, err := mhe.Drop(x, level)
		require.NoError(t, err)
		require.Equal(t, level, y.Level())
		require.Zero(t, x.Scale().Cmp(y.Scale()))
		require.InDeltaSlice(t, want, w.Open(t, y, 2), 1e-14, "the same integers, modulo less")
	}
	clear, err := mhe.Drop(mhe.ClearTensor(zeros, 4, mhe.Power(45)), 1)
	require.NoError(t, err)
	require.Equal(t, 1, clear.Level())
	for _, level := range []int{-1, 5} {
		_, err := mhe.Drop(x, level)
		require.ErrorIs(t, err, mhe.ErrShape)
	}
	_, err = mhe.Drop(mhe.Plain(zeros), 0)
	require.ErrorIs(t, err, mhe.ErrShape)
}

// A ciphertext is a share of a sum: it adds, encodes and decodes as shares do.
func TestCiphertextsAreShares(t *testing.T) {
	set := testkit.Toy(t, 2)
	w := world(t, set)
	x, y := testkit.Random(64, 1), testkit.Random(64, 2)
	shape := mhe.CipherShape(set, 3)
	var sum mhe.Share
	for _, v := range [][]float64{x, y} {
		s, err := w.Encrypt(t, v, 3).Share()
		require.NoError(t, err)
		sum = testkit.Add(t, shape, sum, s)
	}
	got := w.Open(t, mhe.NewEncrypted(sum[0], sum[1], mhe.Power(45)), 2)
	for i := range x {
		require.InDelta(t, x[i]+y[i], got[i], 1e-8)
	}
	_, err := mhe.Plain(x).Share()
	require.ErrorIs(t, err, mhe.ErrShape)
}

// Scales have 128 bits, also where a caller computes with them in place.
func TestPower(t *testing.T) {
	for _, log := range []int{-100, 0, 45, 1000} {
		p := mhe.Power(log)
		require.EqualValues(t, 128, p.Prec())
		require.Equal(t, log+1, p.MantExp(nil), "2^log is 0.5·2^(log+1)")
		p.Mul(p, p)
		require.Zero(t, p.Cmp(mhe.Power(2*log)))
	}
}

func TestTensorsSayWhatTheyAre(t *testing.T) {
	set := testkit.Toy(t, 2)
	w := world(t, set)
	v := []float64{3, -4, 0, 0, 0, 0, 0, 0}
	plain := mhe.Plain(v)
	require.Equal(t, -1, plain.Level())
	require.False(t, plain.Encrypted())
	require.Equal(t, v, plain.Values())
	require.Equal(t, mhe.Range{Max: 4, RMS: math.Sqrt(25.0 / 8)}, plain.Range())
	require.Nil(t, plain.Polys())
	require.Equal(t, mhe.Range{}, mhe.Plain(nil).Range())

	r := mhe.Range{Max: 2, RMS: 1, Err: 1e-3}
	require.Equal(t, r, mhe.Unknown(r).Range())
	require.False(t, mhe.Unknown(r).Encrypted())
	traced := mhe.TracedTensor(r, 3, mhe.Power(40))
	require.Equal(t, r, traced.Range())
	require.Equal(t, 3, traced.Level())
	require.True(t, traced.Encrypted())
	require.InDelta(t, 40, traced.LogScale(), 0)

	x := w.Encrypt(t, v, 2)
	require.Len(t, x.Polys(), 2)
	require.Nil(t, x.Values())
}

// Integers encrypted by several parties add up exactly, of either sign, and as
// large as the level holds, under noise and flooding below half a unit.
func TestIntegersAddUpExactly(t *testing.T) {
	set := testkit.Toy(t, 3)
	w := world(t, set)
	key := w.Keys.Encryption()
	rapid.Check(t, func(rt *rapid.T) {
		level := rapid.IntRange(1, 3).Draw(rt, "level")
		// flooding of 2^20 in each of three shares: 2^24 is 9 of its deviations
		shift := rapid.IntRange(25, 40).Draw(rt, "shift")
		most := int64(1) << rapid.IntRange(0, 60).Draw(rt, "size")
		n := rapid.IntRange(1, 40).Draw(rt, "count")
		shape := mhe.CipherShape(set, level)
		sum, want := shape.New(), make([]*big.Int, n)
		for i := range want {
			want[i] = new(big.Int)
		}
		for party := range 3 {
			v := rapid.SliceOfN(rapid.Int64Range(-most, most), n, n).Draw(rt, "integers")
			x, err := key.EncryptIntegers(v, shift, level, testkit.Source(fmt.Sprint("integers", party)))
			require.NoError(rt, err)
			require.Equal(rt, level, x.Level())
			require.Zero(rt, x.Scale().Cmp(mhe.Power(shift)))
			s, err := x.Share()
			require.NoError(rt, err)
			_, err = shape.Add(sum, s)
			require.NoError(rt, err)
			for i := range v {
				want[i].Add(want[i], big.NewInt(v[i]))
			}
		}
		x := mhe.NewEncrypted(sum[0], sum[1], mhe.Power(shift))
		o := mhe.Opening{Set: set, Level: level, Count: 1, Sigma: 1 << 20}
		got, err := o.DecryptIntegers([]mhe.Tensor{x}, opening(t, w, o, []mhe.Tensor{x}, []int{0, 1, 2}, nil), n)
		require.NoError(rt, err)
		require.Len(rt, got[0], n)
		for i := range want {
			require.Zero(rt, want[i].Cmp(got[0][i]), "%v instead of %v", got[0][i], want[i])
		}
	})
	for name, tt := range map[string]struct {
		n, shift, level int
	}{"too many": {set.N() + 1, 30, 1}, "no shift": {1, 0, 1}, "below all levels": {1, 30, -1}, "above all levels": {1, 30, set.MaxLevel() + 1}} {
		_, err := key.EncryptIntegers(make([]int64, tt.n), tt.shift, tt.level, testkit.Source("x"))
		require.ErrorIs(t, err, mhe.ErrShape, name)
	}
	_, err := key.EncryptIntegers(make([]int64, 4), 30, 1, failing(testkit.Source("x"), 0))
	require.ErrorContains(t, err, "randomness")

	x, err := key.EncryptIntegers([]int64{1}, 30, 1, testkit.Source("x"))
	require.NoError(t, err)
	o := mhe.Opening{Set: set, Level: 1, Count: 1, Sigma: 100}
	share := opening(t, w, o, []mhe.Tensor{x}, []int{0}, nil)
	_, err = o.DecryptIntegers([]mhe.Tensor{x}, share, set.N()+1)
	require.ErrorIs(t, err, mhe.ErrShape)
	_, err = o.DecryptIntegers(nil, share, 1)
	require.ErrorIs(t, err, mhe.ErrShape)
	// with shares missing, the integers are as large as the modulus
	got, err := o.DecryptIntegers([]mhe.Tensor{x}, share, set.N())
	require.NoError(t, err)
	bits := 0
	for _, v := range got[0] {
		bits = max(bits, v.BitLen())
	}
	require.InDelta(t, set.LogModulus(1)-30, bits, 2)
}

// A key is named by its hash: that of what is encoded.
func TestEncryptionKeyHash(t *testing.T) {
	set := testkit.Toy(t, 2)
	hashes := map[[32]byte]bool{}
	for _, seed := range []string{"a", "b"} {
		_, key, err := mhe.NewQuerierKey(set, testkit.Source(seed))
		require.NoError(t, err)
		h, err := key.Hash()
		require.NoError(t, err)
		b, err := key.Encode()
		require.NoError(t, err)
		require.Equal(t, sha3.Sum256(b), h)
		hashes[h] = true
	}
	require.Len(t, hashes, 2)
}

// Reveal is what all parties' openings come to, for who holds all secrets.
func TestReveal(t *testing.T) {
	set := testkit.Toy(t, 3)
	w := world(t, set)
	v := testkit.Random(64, 1)
	x := w.Encrypt(t, v, 3)
	got, err := mhe.Reveal(w.Encoder, x, w.Secrets...)
	require.NoError(t, err)
	require.Less(t, testkit.MaxDiff(got, v), 1e-8)
	got, err = mhe.Reveal(w.Encoder, x, w.Secrets[1:]...)
	require.NoError(t, err)
	requireLost(t, set, 3, 45, got, v)
	_, err = mhe.Reveal(w.Encoder, mhe.Plain(v))
	require.ErrorIs(t, err, mhe.ErrShape)
}

// constant is a stream of zeros, of which the Gaussian makes its tail: 19.
type constant struct{}

func (constant) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// A fresh encryption of zero is ⌊(b·u + e0)/P⌉, ⌊(a·u + e1)/P⌉, computed here with
// big integers. Under the rounding no measurement shows e0 and e1: with the
// narrowest special prime, 20 bits, and the largest errors, 19, they move one
// coefficient in 55000, seven of these 409600.
func TestEncryptionIsTheFormula(t *testing.T) {
	set := tiny(t)
	_, key, err := mhe.NewQuerierKey(set, testkit.Source("querier"))
	require.NoError(t, err)
	full := mhe.ExtendedBasis(set, set.MaxLevel())
	encoded, err := key.Encode()
	require.NoError(t, err)
	ba, err := mhe.Shape{full, full}.Decode(encoded)
	require.NoError(t, err)
	ext, base, enc := mhe.ExtendedBasis(set, 0), mhe.Basis(set, 0), mhe.NewEncoder(set)
	p := new(big.Int).SetUint64(set.CKKS().P()[0])
	twice, tail := new(big.Int).Lsh(p, 1), slices.Repeat([]int64{params.Tail}, set.N())
	most := 800
	if testing.Short() {
		most = 100
	}
	for k := range most {
		src := func(name string) io.Reader {
			if name == "u" {
				return testkit.Source("u")(fmt.Sprint(k))
			}
			return constant{}
		}
		ints, err := rns.Ternary(src("u"), set.N())
		require.NoError(t, err)
		u := ext.New()
		ext.AddInts(u, ints)
		ext.NTT(u)
		for i, s := range ext {
			s.MForm(u[i], u[i])
		}
		got, err := key.Encrypt(enc, zeros, 0, mhe.Power(20), src)
		require.NoError(t, err)
		for c := range 2 {
			x := ext.New()
			ext.MulAdd(x, rns.Poly{ba[c][0], ba[c][set.MaxLevel()+1]}, u)
			ext.INTT(x)
			ext.AddInts(x, tail)
			have := clone(got.Polys()[c])
			base.INTT(have)
			for i := range set.N() {
				v := ext.Centred(x, i)
				v.Lsh(v, 1).Add(v, p).Div(v, twice) // ⌊v/P⌉
				require.Zero(t, v.Cmp(base.Centred(have, i)), "encryption %d, polynomial %d, coefficient %d", k, c, i)
			}
		}
	}
}
