package mhe_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/nereid-mhe/nereid/internal/testkit"
	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/mhe/rns"
)

// opening runs a decryption or, with a key to switch to, a key switch with the
// shares of the given parties.
func opening(t testing.TB, w testkit.World, o mhe.Opening, in []mhe.Tensor, parties []int, to *mhe.EncryptionKey) mhe.Share {
	t.Helper()
	var c1 []rns.Poly
	for _, x := range in {
		c1 = append(c1, x.Polys()[1])
	}
	var sum mhe.Share
	for _, i := range parties {
		private := testkit.Source(fmt.Sprint("opening ", i))
		shape := o.DecryptShape()
		s, err := o.DecryptShare(w.Secrets[i], c1, private)
		if to != nil {
			shape = o.SwitchShape()
			s, err = o.SwitchShare(w.Secrets[i], c1, to, private)
		}
		require.NoError(t, err)
		sum = testkit.Add(t, shape, sum, s)
	}
	return sum
}

// three encrypts three vectors at a level.
func three(t testing.TB, w testkit.World, level int) (in []mhe.Tensor, v [][]float64) {
	t.Helper()
	for i := range 3 {
		v = append(v, testkit.Random(w.Set.N(), uint64(i)))
		x, err := w.Keys.Encryption().Encrypt(w.Encoder, v[i], level, mhe.Power(45), testkit.Source(fmt.Sprint("x", i)))
		require.NoError(t, err)
		in = append(in, x)
	}
	return in, v
}

// All parties together decrypt; any one missing, the others know nothing: the
// error is as large as the modulus.
func TestDecryptionNeedsEveryShare(t *testing.T) {
	set := testkit.Toy(t, 3)
	w := world(t, set)
	for _, level := range []int{0, 2, 6} {
		in, v := three(t, w, level)
		o := mhe.Opening{Set: set, Level: level, Count: 3, Sigma: 1000}
		for name, parties := range map[string][]int{"all": {0, 1, 2}, "without 0": {1, 2}, "without 1": {0, 2}, "without 2": {0, 1}, "one alone": {1}, "one twice": {0, 1, 1}} {
			t.Run(fmt.Sprintf("level=%d/%s", level, name), func(t *testing.T) {
				got, err := o.Decrypt(w.Encoder, in, opening(t, w, o, in, parties, nil))
				require.NoError(t, err)
				for i := range got {
					if name == "all" {
						require.Less(t, testkit.MaxDiff(got[i], v[i]), 1e-7)
					} else {
						requireLost(t, set, level, 45, got[i], v[i])
					}
				}
			})
		}
	}
}

// A key switch gives the values to the querier, and to nobody else: not without
// every share, not to a party, not to all parties together, not to another
// querier.
func TestKeySwitchIsForTheQuerierOnly(t *testing.T) {
	set := testkit.Toy(t, 3)
	w := world(t, set)
	secret, key, err := mhe.NewQuerierKey(set, testkit.Source("querier"))
	require.NoError(t, err)
	other, _, err := mhe.NewQuerierKey(set, testkit.Source("other querier"))
	require.NoError(t, err)
	encoded, err := key.Encode()
	require.NoError(t, err)
	key, err = mhe.DecodeEncryptionKey(set, encoded)
	require.NoError(t, err)
	const level, sigma = 1, 1 << 12
	in, v := three(t, w, level)
	o := mhe.Opening{Set: set, Level: level, Count: 3, Sigma: sigma}

	out, err := o.Switch(in, opening(t, w, o, in, []int{0, 1, 2}, key))
	require.NoError(t, err)
	noise := mhe.NewNoise(set)
	// besides the flooding: the ciphertext's error, and a fresh zero of every party
	err0 := noise.Encrypt(mhe.Power(45)) * math.Sqrt(1+3)
	for i := range out {
		got, err := secret.Decrypt(w.Encoder, out[i])
		require.NoError(t, err)
		require.Equal(t, level, out[i].Level())
		withinBits(t, noise.Opened(err0, sigma, mhe.Power(45)), rms(got, v[i]), 0.5, "a querier's answer")

		for _, sk := range append(w.Secrets, other) {
			got, err := sk.Decrypt(w.Encoder, out[i])
			require.NoError(t, err)
			requireLost(t, set, level, 45, got, v[i])
		}
		requireLost(t, set, level, 45, w.Open(t, out[i], 3), v[i])
		got, err = secret.Decrypt(w.Encoder, in[i])
		require.NoError(t, err)
		requireLost(t, set, level, 45, got, v[i])
	}
	out, err = o.Switch(in, opening(t, w, o, in, []int{0, 2}, key))
	require.NoError(t, err)
	for i := range out {
		got, err := secret.Decrypt(w.Encoder, out[i])
		require.NoError(t, err)
		requireLost(t, set, level, 45, got, v[i])
	}
}

// The flooding in a share has exactly the deviation asked for: too little would
// open the secret, too much the answer. h - c1·s is the flooding itself.
// 16·1024 coefficients give a variance within √(2/16384) = 1.1%.
func TestFloodingHasItsDeviation(t *testing.T) {
	set := testkit.Toy(t, 2)
	w := world(t, set)
	const count, level = 16, 1
	noise := mhe.NewNoise(set)
	formula, err := noise.Flooding(noise.Encrypt(mhe.Power(45)), mhe.Power(45), 100, 30)
	require.NoError(t, err)
	x := w.Encrypt(t, zeros, level)
	b := mhe.Basis(set, level)
	var c1 []rns.Poly
	for range count {
		c1 = append(c1, x.Polys()[1])
	}
	for _, sigma := range []float64{4, 1e5, formula} {
		o := mhe.Opening{Set: set, Level: level, Count: count, Sigma: sigma}
		share, err := o.DecryptShare(w.Secrets[0], c1, testkit.Source("flood"))
		require.NoError(t, err)
		var sum, sq float64
		for i := range share {
			flood := clone(share[i])
			w.Secrets[0].MulSub(level, flood, c1[i])
			for _, f := range coefficients(b, flood) {
				sum, sq = sum+f, sq+f*f
			}
		}
		n := float64(count * set.N())
		want := sigma*sigma + 1.0/12 // rounding
		t.Logf("σ = 2^%.2f: variance is %.4f of the formula's", math.Log2(sigma), sq/n/want)
		require.InDelta(t, 1, sq/n/want, 6*math.Sqrt(2/n), "variance, relative")
		require.InDelta(t, 0, sum/n/sigma, 6/math.Sqrt(n), "mean, in σ")
	}
}

// σ = √(12·τ)·2^(s/2)·σ_ct, with σ_ct in coefficients: slots over √(2N). Written
// out with numbers: N = 1024, an error of 2^-30 at scale 2^40 is 2^10/√2048 in
// coefficients.
func TestFloodingFormula(t *testing.T) {
	noise := mhe.NewNoise(testkit.Toy(t, 2))
	scale := mhe.Power(40)
	for _, tt := range []struct {
		openings, security int
		want               float64
	}{
		{1, 30, math.Sqrt(12) * (1 << 15) * 1024 / math.Sqrt(2048)},
		{100, 30, 10 * math.Sqrt(12) * (1 << 15) * 1024 / math.Sqrt(2048)},
		{3, 40, 6 * (1 << 20) * 1024 / math.Sqrt(2048)},
	} {
		got, err := noise.Flooding(0x1p-30, scale, tt.openings, tt.security)
		require.NoError(t, err)
		require.InEpsilon(t, tt.want, got, 0x1p-19)
		require.GreaterOrEqual(t, got, tt.want*(1-1e-12), "never less than the rule wants")
		// the querier's error, from every party's flooding: √2 parties
		require.InEpsilon(t, math.Hypot(0x1p-30, got*math.Sqrt(2*2048)*0x1p-40), noise.Opened(0x1p-30, got, scale), 1e-12)
	}
	require.InEpsilon(t, 3, noise.Coefficients(noise.Slots(3, scale), scale), 1e-12)
	for _, tt := range []struct {
		name               string
		err                float64
		openings, security int
	}{
		{"no openings", 1, 0, 30},
		{"negative openings", 1, -1, 30},
		{"too little security", 1, 1, mhe.MinFlooding - 1},
		{"no error", 0, 1, 30},
		{"negative error", -1, 1, 30},
		{"unknown error", math.NaN(), 1, 30},
		{"any error", math.Inf(1), 1, 30},
	} {
		_, err := noise.Flooding(tt.err, scale, tt.openings, tt.security)
		require.ErrorIs(t, err, mhe.ErrShape, tt.name)
	}
}

func TestOpeningRefuses(t *testing.T) {
	set := testkit.Toy(t, 2)
	w := world(t, set)
	_, key, err := mhe.NewQuerierKey(set, testkit.Source("querier"))
	require.NoError(t, err)
	in, _ := three(t, w, 2)
	var c1 []rns.Poly
	for _, x := range in {
		c1 = append(c1, x.Polys()[1])
	}
	good := mhe.Opening{Set: set, Level: 2, Count: 3, Sigma: 8}
	src := testkit.Source("p")
	share := func(o mhe.Opening, c1 []rns.Poly) error {
		s, err := o.DecryptShare(w.Secrets[0], c1, src)
		if err != nil {
			require.Nil(t, s)
			z, err := o.SwitchShare(w.Secrets[0], c1, key, src)
			require.Error(t, err)
			require.Nil(t, z)
		}
		return err
	}
	require.NoError(t, share(good, c1))
	for name, change := range map[string]func(o *mhe.Opening) []rns.Poly{
		"too few":       func(*mhe.Opening) []rns.Poly { return c1[:2] },
		"none":          func(*mhe.Opening) []rns.Poly { return nil },
		"another level": func(o *mhe.Opening) []rns.Poly { o.Level = 1; return c1 },
		"missing limbs": func(*mhe.Opening) []rns.Poly { return []rns.Poly{c1[0], c1[1], c1[2][:1]} },
		"no flooding":   func(o *mhe.Opening) []rns.Poly { o.Sigma = 0; return c1 },
		"too little":    func(o *mhe.Opening) []rns.Poly { o.Sigma = 3.1; return c1 }, // an error of fresh keys has 3.2
		"negative":      func(o *mhe.Opening) []rns.Poly { o.Sigma = -1; return c1 },
		"not a number":  func(o *mhe.Opening) []rns.Poly { o.Sigma = math.NaN(); return c1 },
	} {
		o := good
		bad := change(&o)
		require.ErrorIs(t, share(o, bad), mhe.ErrShape, name)
	}
	o := good
	o.Sigma = math.Inf(1)
	require.Error(t, share(o, c1), "no float holds such flooding")

	sum := opening(t, w, good, in, []int{0, 1}, nil)
	switched := opening(t, w, good, in, []int{0, 1}, key)
	low, err := mhe.Drop(in[0], 1)
	require.NoError(t, err)
	clear := mhe.ClearTensor(zeros, 2, mhe.Power(45))
	for name, tt := range map[string]struct {
		in   []mhe.Tensor
		lost int // polynomials that a share lacks
	}{
		"too few":       {in[:2], 0},
		"a short sum":   {in, 1},
		"another level": {[]mhe.Tensor{in[0], in[1], low}, 0},
		"no ciphertext": {[]mhe.Tensor{clear, in[1], in[2]}, 0},
	} {
		_, err := good.Decrypt(w.Encoder, tt.in, sum[tt.lost:])
		require.ErrorIs(t, err, mhe.ErrShape, name)
		_, err = good.Switch(tt.in, switched[tt.lost:])
		require.ErrorIs(t, err, mhe.ErrShape, name)
	}
	_, err = w.Secrets[0].Decrypt(w.Encoder, clear)
	require.ErrorIs(t, err, mhe.ErrShape)
}

func TestRoundUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := rapid.Float64Range(1e-30, 1e30).Draw(t, "x")
		up := mhe.RoundUp(x)
		require.GreaterOrEqual(t, up, x)
		require.LessOrEqual(t, up, x*(1+0x1p-19))
		require.Equal(t, up, mhe.RoundUp(up))
		require.Equal(t, -up, mhe.RoundUp(-x))
	})
	require.Zero(t, mhe.RoundUp(0))
	require.Equal(t, 1.0, mhe.RoundUp(1))
	require.True(t, math.IsInf(mhe.RoundUp(math.Inf(1)), 1))
}
