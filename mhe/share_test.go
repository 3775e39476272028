package mhe_test

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/nereid-mhe/nereid/internal/testkit"
	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/mhe/rns"
	"github.com/nereid-mhe/nereid/params"
)

// tiny is the smallest ring there is, for decoders: 256 residues of 20 bits are
// 640 bytes. INSECURE.
func tiny(t testing.TB) params.Set {
	t.Helper()
	set, err := params.New(params.Config{LogN: 8, LogQ: []int{22, 20}, LogP: []int{20}, LogScale: 20, MaskPrimes: 1, Lambda: 1, Parties: 2, Insecure: true})
	require.NoError(t, err)
	return set
}

// random returns a share of uniform polynomials.
func random(t require.TestingT, sh mhe.Shape, seed string) mhe.Share {
	s := sh.New()
	for i, b := range sh {
		require.NoError(t, b.Uniform(testkit.Source(seed)(""), s[i]))
	}
	return s
}

// drawShape draws up to four polynomials at up to two levels.
func drawShape(t *rapid.T, set params.Set) mhe.Shape {
	var sh mhe.Shape
	for range rapid.IntRange(0, 4).Draw(t, "polynomials") {
		level := rapid.IntRange(0, set.MaxLevel()).Draw(t, "level")
		if rapid.Bool().Draw(t, "extended") {
			sh = append(sh, mhe.ExtendedBasis(set, level))
		} else {
			sh = append(sh, mhe.Basis(set, level))
		}
	}
	return sh
}

// What is encoded decodes to the same share, in exactly Size bytes.
func TestShareCodecRoundTrip(t *testing.T) {
	set := tiny(t)
	rapid.Check(t, func(t *rapid.T) {
		sh := drawShape(t, set)
		s := random(t, sh, rapid.String().Draw(t, "seed"))
		b, err := sh.Encode(s)
		require.NoError(t, err)
		require.Len(t, b, sh.Size())
		got, err := sh.Decode(b)
		require.NoError(t, err)
		require.Equal(t, s, got)
	})
}

// Shares add up as vectors do, in any order and grouping, and encoded sums are
// equal bytes.
func TestShareSumsCommute(t *testing.T) {
	set := tiny(t)
	rapid.Check(t, func(t *rapid.T) {
		sh := drawShape(t, set)
		add := func(shares ...mhe.Share) []byte {
			acc := sh.New()
			for _, s := range shares {
				var err error
				acc, err = sh.Add(acc, s)
				require.NoError(t, err)
			}
			b, err := sh.Encode(acc)
			require.NoError(t, err)
			return b
		}
		a, b, c := random(t, sh, "a"), random(t, sh, "b"), random(t, sh, "c")
		want := add(a, b, c)
		require.Equal(t, want, add(c, a, b))
		bc, err := sh.Add(b, c)
		require.NoError(t, err)
		require.Equal(t, want, add(a, bc))
	})
}

// malformed are the ways in which bytes are not a share, made from a good one.
var malformed = map[string]struct {
	spoil func(b []byte, set params.Set) []byte
	want  error
	text  string
}{
	"empty":             {func([]byte, params.Set) []byte { return nil }, mhe.ErrShape, "0 bytes, want"},
	"header only":       {func(b []byte, _ params.Set) []byte { return b[:5] }, mhe.ErrShape, "5 bytes, want"},
	"truncated":         {func(b []byte, _ params.Set) []byte { return b[:len(b)-1] }, mhe.ErrShape, "bytes, want"},
	"oversized":         {func(b []byte, _ params.Set) []byte { return append(b, 0) }, mhe.ErrShape, "bytes, want"},
	"twice":             {func(b []byte, _ params.Set) []byte { return append(b, b...) }, mhe.ErrShape, "bytes, want"},
	"version 0":         {func(b []byte, _ params.Set) []byte { b[0] = 0; return b }, mhe.ErrShape, "version 0, want 1"},
	"version 2":         {func(b []byte, _ params.Set) []byte { b[0] = 2; return b }, mhe.ErrShape, "version 2, want 1"},
	"fewer polynomials": {func(b []byte, _ params.Set) []byte { binary.BigEndian.PutUint32(b[1:], 1); return b }, mhe.ErrShape, "1 polynomials, want 2"},
	"more polynomials":  {func(b []byte, _ params.Set) []byte { binary.BigEndian.PutUint32(b[1:], 1<<31); return b }, mhe.ErrShape, "polynomials, want 2"},
	"all ones":          {func(b []byte, _ params.Set) []byte { return append(b[:5], slices.Repeat([]byte{0xff}, len(b)-5)...) }, rns.ErrEncoding, "polynomial 0"},
	"last residue too large": {func(b []byte, _ params.Set) []byte {
		return append(b[:len(b)-3], 0xff, 0xff, 0xff)
	}, rns.ErrEncoding, "polynomial 1"},
}

// A decoder takes no bytes but those that the encoder writes.
func TestDecodersRefuse(t *testing.T) {
	set := tiny(t)
	_, key, err := mhe.NewQuerierKey(set, testkit.Source("q"))
	require.NoError(t, err)
	encodedKey, err := key.Encode()
	require.NoError(t, err)
	sh := mhe.CipherShape(set, 1)
	share, err := sh.Encode(random(t, sh, "x"))
	require.NoError(t, err)
	for name, m := range malformed {
		t.Run(name, func(t *testing.T) {
			_, err := sh.Decode(m.spoil(slices.Clone(share), set))
			require.ErrorIs(t, err, m.want)
			require.ErrorContains(t, err, m.text)
			_, err = mhe.DecodeEncryptionKey(set, m.spoil(slices.Clone(encodedKey), set))
			require.ErrorIs(t, err, m.want)
			require.ErrorContains(t, err, "encryption key: ")
		})
	}
	// a share of another shape is refused before anything is read
	_, err = mhe.CipherShape(set, 0).Decode(share)
	require.ErrorIs(t, err, mhe.ErrShape)
}

func TestShareAddAndEncodeRefuse(t *testing.T) {
	set := tiny(t)
	sh := mhe.CipherShape(set, 1)
	s := sh.New()
	for _, tt := range [][2]mhe.Share{{s, s[:1]}, {s[:1], s}, {nil, s}, {s, nil}} {
		_, err := sh.Add(tt[0], tt[1])
		require.ErrorIs(t, err, mhe.ErrShape)
	}
	_, err := sh.Encode(s[:1])
	require.ErrorIs(t, err, mhe.ErrShape)
	_, err = sh.Encode(nil)
	require.ErrorIs(t, err, mhe.ErrShape)
}

// A decoded key encrypts as the key does.
func TestEncryptionKeyCodec(t *testing.T) {
	set := testkit.Toy(t, 2)
	secret, key, err := mhe.NewQuerierKey(set, testkit.Source("q"))
	require.NoError(t, err)
	b, err := key.Encode()
	require.NoError(t, err)
	again, err := mhe.DecodeEncryptionKey(set, b)
	require.NoError(t, err)
	enc, v := mhe.NewEncoder(set), testkit.Random(8, 1)
	x, err := key.Encrypt(enc, v, 3, mhe.Power(45), testkit.Source("x"))
	require.NoError(t, err)
	y, err := again.Encrypt(enc, v, 3, mhe.Power(45), testkit.Source("x"))
	require.NoError(t, err)
	require.Equal(t, x.Polys(), y.Polys())
	got, err := secret.Decrypt(enc, y)
	require.NoError(t, err)
	require.Less(t, testkit.MaxDiff(got, v), 1e-8)
}

// Whatever bytes come in, decoding ends in an error or in a share that encodes to
// the same bytes.
func FuzzShapeDecode(f *testing.F) {
	set := tiny(f)
	sh := mhe.Shape{mhe.Basis(set, 0), mhe.Basis(set, 0)}
	b, err := sh.Encode(random(f, sh, "x"))
	require.NoError(f, err)
	f.Add(b)
	for _, m := range malformed {
		f.Add(m.spoil(slices.Clone(b), set))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		s, err := sh.Decode(in)
		if err != nil {
			require.Nil(t, s)
			return
		}
		out, err := sh.Encode(s)
		require.NoError(t, err)
		require.Equal(t, in, out)
	})
}

// A key that decodes encodes to the same bytes and encrypts, whatever it is.
func FuzzDecodeEncryptionKey(f *testing.F) {
	set := tiny(f)
	_, key, err := mhe.NewQuerierKey(set, testkit.Source("q"))
	require.NoError(f, err)
	b, err := key.Encode()
	require.NoError(f, err)
	f.Add(b)
	for _, m := range malformed {
		f.Add(m.spoil(slices.Clone(b), set))
	}
	enc := mhe.NewEncoder(set)
	f.Fuzz(func(t *testing.T, in []byte) {
		key, err := mhe.DecodeEncryptionKey(set, in)
		if err != nil {
			require.Nil(t, key)
			return
		}
		out, err := key.Encode()
		require.NoError(t, err)
		require.Equal(t, in, out)
		_, err = key.Encrypt(enc, zeros, 1, mhe.Power(20), testkit.Source("x"))
		require.NoError(t, err)
	})
}
