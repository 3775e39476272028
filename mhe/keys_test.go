package mhe_test

import (
	"fmt"
	"io"
	"math"
	"math/bits"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/internal/testkit"
	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/mhe/rns"
	"github.com/nereid-mhe/nereid/packing"
	"github.com/nereid-mhe/nereid/params"
)

// one is the layout of a product of single slots: no sums, no rotations.
func one(t testing.TB, set params.Set) packing.Dot {
	t.Helper()
	d, err := packing.NewDot(1, 8, set.N())
	require.NoError(t, err)
	return d
}

// times returns the slotwise product of one period.
func times(x, y []float64) []float64 {
	out := make([]float64, len(x))
	for i := range x {
		out[i] = x[i] * y[i]
	}
	return out
}

// rotation is the map that rotates by k.
func rotation(k int) packing.Map {
	return packing.Map{Steps: []packing.Step{{Rotations: []int{k}}}}
}

// Keys made by any number of parties encrypt to all of them, multiply, and rotate
// by every planned amount, with one special prime and with several.
func TestKeysWork(t *testing.T) {
	for _, tt := range []struct {
		parties int
		logP    []int
	}{{2, []int{60}}, {3, []int{60}}, {5, []int{60}}, {2, []int{60, 60}}, {2, []int{60, 60, 60}}, {2, slices.Repeat([]int{60}, 7)}} {
		t.Run(fmt.Sprintf("parties=%d special=%d", tt.parties, len(tt.logP)), func(t *testing.T) {
			if testing.Short() && (tt.parties > 3 || len(tt.logP) > 2) {
				t.Skip("more of the same")
			}
			set := special(t, tt.parties, tt.logP...)
			w := world(t, set, 1, 7, 1023)
			require.Equal(t, set.Hash(), w.Keys.Set().Hash())
			require.Equal(t, 3, w.Keys.GaloisKeys())
			ev := mhe.NewCKKS(w.Keys, 1)
			x, y := testkit.Random(set.N(), 1), testkit.Random(set.N(), 2)
			for level := set.MaxLevel(); level >= 2; level-- { // every split into digits
				cx, cy := w.Encrypt(t, x, level), w.Encrypt(t, y, level)
				require.Less(t, testkit.MaxDiff(w.Open(t, cx, tt.parties), x), 1e-8, "encryption at level %d", level)
				for _, k := range []int{1, 7, -1, 1023 + 1024} {
					r, err := ev.Map(rotation(k), cx)
					require.NoError(t, err)
					require.Less(t, testkit.MaxDiff(w.Open(t, r, tt.parties), rotation(k).Apply(x)), 1e-8, "rotation by %d at level %d", k, level)
				}
				p, err := ev.Dot(one(t, set), cx, cy, 0)
				require.NoError(t, err)
				require.Equal(t, level-1, p.Level())
				limit := 1e-8
				if level == 2 { // a 60-bit prime divides the scale of 2^90 to 2^30
					limit = 1e-4
				}
				require.Less(t, testkit.MaxDiff(w.Open(t, p, tt.parties), times(x, y)), limit, "product at level %d", level)
			}
		})
	}
}

// Encoded shares take, for every polynomial, as many bits per residue as the
// prime has: the encryption key over all primes, two relinearisation digits and
// one per rotation over those of the keys' level.
func TestKeyShareSizes(t *testing.T) {
	set := special(t, 2, 60, 60)
	width := func(level int) (sum int) { // bits of a residue in all limbs
		primes := append(slices.Clone(set.CKKS().Q()[:level+1]), set.CKKS().P()...)
		for _, q := range primes {
			sum += bits.Len64(q - 1)
		}
		return sum
	}
	for _, tt := range []struct{ level, digits int }{{0, 1}, {1, 1}, {2, 2}, {5, 3}, {6, 4}} { // two primes a digit
		plan := mhe.KeyPlan{Rotations: []int{1, 2, 5}, Level: tt.level}
		require.Equal(t, 5+(width(6)+5*tt.digits*width(tt.level))*set.N()/8, plan.Shape1(set).Size())
		require.Equal(t, 5+tt.digits*width(tt.level)*set.N()/8, plan.Shape2(set).Size())
		require.Equal(t, 5+2*width(6)*set.N()/8, mhe.EncryptionKeySize(set))
	}
	w := testkit.NewWorld(t, set, mhe.KeyPlan{Rotations: []int{3}, Level: 4})
	b, err := w.Keys.Encryption().Encode()
	require.NoError(t, err)
	require.Len(t, b, mhe.EncryptionKeySize(set))
}

func TestKeyPlanRefuses(t *testing.T) {
	set := testkit.Toy(t, 2)
	sk, err := mhe.NewSecretKey(set, testkit.Source("sk")(""))
	require.NoError(t, err)
	src, eph := testkit.Source("x"), func() io.Reader { return testkit.Source("e")("") }
	for name, plan := range map[string]mhe.KeyPlan{
		"negative level":       {Level: -1},
		"level above the top":  {Level: set.MaxLevel() + 1},
		"rotation by nothing":  {Rotations: []int{0}},
		"negative rotation":    {Rotations: []int{-1}},
		"rotation once around": {Rotations: []int{set.N()}},
		"not increasing":       {Rotations: []int{2, 1}},
		"twice the same":       {Rotations: []int{2, 2}},
	} {
		require.ErrorIs(t, plan.Check(set), mhe.ErrShape, name)
		_, err := plan.Round1(sk, src, src, eph())
		require.ErrorIs(t, err, mhe.ErrShape, name)
		_, err = plan.Round2(sk, nil, src, eph())
		require.ErrorIs(t, err, mhe.ErrShape, name)
		_, err = plan.Finish(set, src, nil, nil)
		require.ErrorIs(t, err, mhe.ErrShape, name)
	}
	plan := mhe.KeyPlan{Rotations: []int{1}, Level: 3}
	s1, err := plan.Round1(sk, src, src, eph())
	require.NoError(t, err)
	s2, err := plan.Round2(sk, s1, src, eph())
	require.NoError(t, err)
	_, err = plan.Round2(sk, s1[1:], src, eph())
	require.ErrorIs(t, err, mhe.ErrShape)
	for _, tt := range [][2]mhe.Share{{s1[1:], s2}, {s1, s2[1:]}, {s2, s1}, {nil, s2}, {s1, nil}} {
		_, err = plan.Finish(set, src, tt[0], tt[1])
		require.ErrorIs(t, err, mhe.ErrShape)
	}
}

// The parties of a process may hold one sum between them: finishing it twice
// gives the same keys.
func TestFinishLeavesItsArguments(t *testing.T) {
	set := testkit.Toy(t, 2)
	plan := mhe.KeyPlan{Rotations: []int{1}, Level: 3}
	sk, err := mhe.NewSecretKey(set, testkit.Source("sk")(""))
	require.NoError(t, err)
	src := testkit.Source("x")
	s1, err := plan.Round1(sk, src, src, src("e"))
	require.NoError(t, err)
	s2, err := plan.Round2(sk, s1, src, src("e"))
	require.NoError(t, err)
	b1, err := plan.Shape1(set).Encode(s1)
	require.NoError(t, err)
	b2, err := plan.Shape2(set).Encode(s2)
	require.NoError(t, err)
	_, err = plan.Finish(set, src, s1, s2)
	require.NoError(t, err)
	after1, err := plan.Shape1(set).Encode(s1)
	require.NoError(t, err)
	after2, err := plan.Shape2(set).Encode(s2)
	require.NoError(t, err)
	require.True(t, slices.Equal(b1, after1), "the first sum changed")
	require.True(t, slices.Equal(b2, after2), "the second sum changed")
}

// A generator makes the polynomials of a share, or of a ciphertext, from its
// sources.
type generator struct {
	name    string
	streams int // of secret randomness: one for every noise, and for every u
	make    func(private mhe.Source) (mhe.Share, error)
}

// generators are all functions of the package that draw secret randomness.
func generators(t testing.TB) []generator {
	t.Helper()
	set := testkit.Toy(t, 2)
	w := world(t, set, 1, 7)
	plan := mhe.KeyPlan{Rotations: []int{1, 7}, Level: 3}
	common := testkit.Source("common")
	sk := w.Secrets[0]
	eph := func() io.Reader { return testkit.Source("eph")("") }
	sum, err := plan.Round1(sk, common, testkit.Source("r1"), eph())
	require.NoError(t, err)
	x := w.Encrypt(t, testkit.Random(8, 1), 3)
	c1 := []rns.Poly{x.Polys()[1], x.Polys()[0]}
	o := mhe.Opening{Set: set, Level: 3, Count: 2, Sigma: 1e9}
	_, querier, err := mhe.NewQuerierKey(set, testkit.Source("querier"))
	require.NoError(t, err)
	ciphertext := func(x mhe.Tensor, err error) (mhe.Share, error) {
		if err != nil {
			return nil, err
		}
		return x.Share()
	}
	return []generator{
		{"key generation 1", 1 + 4*(2+2), func(p mhe.Source) (mhe.Share, error) { return plan.Round1(sk, common, p, eph()) }},
		{"key generation 2", 4 * 2, func(p mhe.Source) (mhe.Share, error) { return plan.Round2(sk, sum, p, eph()) }},
		{"decryption", 2, func(p mhe.Source) (mhe.Share, error) { return o.DecryptShare(sk, c1, p) }},
		{"key switch", 2 * (1 + 3), func(p mhe.Source) (mhe.Share, error) { return o.SwitchShare(sk, c1, querier, p) }},
		{"encryption", 3, func(p mhe.Source) (mhe.Share, error) {
			return ciphertext(w.Keys.Encryption().Encrypt(w.Encoder, zeros, 6, mhe.Power(45), p))
		}},
		{"rerandomisation", 3, func(p mhe.Source) (mhe.Share, error) {
			return ciphertext(w.Keys.Encryption().Rerandomise(x, p))
		}},
	}
}

// Equal sources make equal bits: a lost share is made again. Another source
// changes every residue of every polynomial.
func TestSharesAreFunctionsOfTheSource(t *testing.T) {
	for _, g := range generators(t) {
		t.Run(g.name, func(t *testing.T) {
			a, err := g.make(testkit.Source("label"))
			require.NoError(t, err)
			again, err := g.make(testkit.Source("label"))
			require.NoError(t, err)
			require.Equal(t, a, again)
			other, err := g.make(testkit.Source("other label"))
			require.NoError(t, err)
			for i := range a {
				requireFresh(t, a[i], other[i], "polynomial %d", i)
			}
		})
	}
}

// No stream is opened twice for one share: no two of its noises are the same, and
// none is left out.
func TestSharesUseEveryStreamOnce(t *testing.T) {
	for _, g := range generators(t) {
		var names []string
		_, err := g.make(recording(testkit.Source("label"), &names))
		require.NoError(t, err)
		require.Len(t, names, g.streams, g.name)
		slices.Sort(names)
		require.Equal(t, slices.Compact(slices.Clone(names)), names, g.name)
	}
}

// Randomness that fails, at whatever point, is an error and not a share.
func TestSharesRefuseFailingRandomness(t *testing.T) {
	for _, g := range generators(t) {
		var names []string
		_, err := g.make(recording(testkit.Source("label"), &names))
		require.NoError(t, err)
		for ok := range names {
			share, err := g.make(failing(testkit.Source("label"), ok))
			require.ErrorContains(t, err, "randomness", "%s, stream %q", g.name, names[ok])
			require.Nil(t, share)
		}
	}
	set := testkit.Toy(t, 2)
	sk, err := mhe.NewSecretKey(set, testkit.Source("sk")(""))
	require.NoError(t, err)
	plan, good := mhe.KeyPlan{Rotations: []int{1}, Level: 1}, testkit.Source("x")
	s1, err := plan.Round1(sk, good, good, good("e"))
	require.NoError(t, err)
	s2, err := plan.Round2(sk, s1, good, good("e"))
	require.NoError(t, err)
	for ok := range 5 { // the encryption key, two digits each of two keys
		_, err := plan.Round1(sk, failing(good, ok), good, good("e"))
		require.ErrorContains(t, err, "randomness")
	}
	for ok := range 3 { // the relinearisation key brings its polynomial along
		_, err := plan.Finish(set, failing(good, ok), s1, s2)
		require.ErrorContains(t, err, "randomness")
	}
	short := io.LimitReader(good("e"), 1)
	_, err = plan.Round1(sk, good, good, short)
	require.ErrorContains(t, err, "randomness")
	_, err = plan.Round2(sk, s1, good, short)
	require.ErrorContains(t, err, "randomness")
	_, err = mhe.NewSecretKey(set, short)
	require.ErrorContains(t, err, "randomness")
	for ok := range 3 {
		_, _, err = mhe.NewQuerierKey(set, failing(good, ok))
		require.ErrorContains(t, err, "randomness")
	}
}

// The secret u of the relinearisation key is in every share of its first half,
// and nowhere else in the first round.
func TestEphemeralSecretChangesTheRelinearisationKeyOnly(t *testing.T) {
	set := testkit.Toy(t, 2)
	sk, err := mhe.NewSecretKey(set, testkit.Source("sk")(""))
	require.NoError(t, err)
	plan := mhe.KeyPlan{Rotations: []int{1}, Level: 2} // 3 digits
	make := func(eph string) mhe.Share {
		s, err := plan.Round1(sk, testkit.Source("c"), testkit.Source("p"), testkit.Source(eph)(""))
		require.NoError(t, err)
		return s
	}
	a, b := make("1"), make("2")
	for i := range a {
		if 1 <= i && i <= 3 {
			requireFresh(t, a[i], b[i], "half %d", i)
		} else {
			require.Equal(t, a[i], b[i], "polynomial %d", i)
		}
	}
}

// All parties must use the same common randomness: keys of a party with another
// seed are noise.
func TestCommonRandomnessMustAgree(t *testing.T) {
	set := testkit.Toy(t, 2)
	plan := mhe.KeyPlan{}
	var sum mhe.Share
	w := testkit.World{Set: set, Encoder: mhe.NewEncoder(set)}
	for i := range 2 {
		sk, err := mhe.NewSecretKey(set, testkit.Source(fmt.Sprint("sk", i))(""))
		require.NoError(t, err)
		w.Secrets = append(w.Secrets, sk)
		s, err := plan.Round1(sk, testkit.Source(fmt.Sprint("common", i)), testkit.Source(fmt.Sprint(i)), testkit.Source("e")(fmt.Sprint(i)))
		require.NoError(t, err)
		sum = testkit.Add(t, plan.Shape1(set), sum, s)
	}
	keys, err := plan.Finish(set, testkit.Source("common0"), sum, plan.Shape2(set).New())
	require.NoError(t, err)
	w.Keys = keys
	v := testkit.Random(set.N(), 1)
	got := w.Open(t, w.Encrypt(t, v, 2), 2)
	require.Greater(t, math.Log2(rms(got, v)), lostDecryption(set, 2, 45)-2)
}

// Every noise in every share of key generation has variance σ², within 6 standard
// errors: with less, the share is no sample of ring learning with errors and
// gives the secret away; with more, everything loses precision. Who knows the
// secrets s and u takes the rest of a share away, on its first limb.
func TestKeySharesHideBehindFreshNoise(t *testing.T) {
	set := testkit.Toy(t, 2)
	plan := mhe.KeyPlan{Rotations: []int{1, 5}, Level: set.MaxLevel()}
	digits := set.MaxLevel() + 1
	src := testkit.Source
	sk, err := mhe.NewSecretKey(set, src("sk")(""))
	require.NoError(t, err)
	u, err := mhe.NewSecretKey(set, src("eph")("")) // the same ternary numbers
	require.NoError(t, err)
	s1, err := plan.Round1(sk, src("common"), src("1"), src("eph")(""))
	require.NoError(t, err)
	s2, err := plan.Round2(sk, s1, src("2"), src("eph")(""))
	require.NoError(t, err)

	b := mhe.Basis(set, 0)
	first := func(p rns.Poly) rns.Poly { return clone(p[:1]) }
	uniform := func(name string) rns.Poly { // common randomness: its first limb comes first
		p := b.New()
		require.NoError(t, b.Uniform(src("common")(name), p))
		return p
	}
	ones, s := b.New(), b.New()
	for i := range ones[0] {
		ones[0][i] = 1
	}
	sk.MulAdd(0, s, ones)

	ext := mhe.ExtendedBasis(set, set.MaxLevel())
	secret, key, err := mhe.NewQuerierKey(set, src("querier"))
	require.NoError(t, err)
	encoded, err := key.Encode()
	require.NoError(t, err)
	ba, err := mhe.Shape{ext, ext}.Decode(encoded)
	require.NoError(t, err)

	noise := map[string][]float64{}
	note := func(name string, p rns.Poly) { noise[name] = append(noise[name], coefficients(b, p)...) }
	e := first(s1[0])
	sk.MulAdd(0, e, uniform("encryption"))
	note("encryption", e)
	e = first(ba[0])
	secret.MulAdd(0, e, ba[1][:1])
	note("querier", e)
	for i := range digits {
		a := uniform(fmt.Sprint("relinearisation/", i))
		h0, h1 := s1[1+i], s1[1+digits+i]
		e = first(h1)
		sk.MulSub(0, e, a)
		note("relinearisation, s·a + e", e)
		if i > 0 { // digit 0 has P·s on this limb
			e = first(h0)
			u.MulAdd(0, e, a)
			note("relinearisation, -u·a + e", e)
		}
		e = first(s2[i]) // s·h0 + (u-s)·h1 + e2 + e3
		sk.MulSub(0, e, h0[:1])
		u.MulSub(0, e, h1[:1])
		sk.MulAdd(0, e, h1[:1])
		note("relinearisation, second round", e)
		if i == 0 {
			continue
		}
		for r, k := range plan.Rotations { // e - a·σ⁻¹(s), in Montgomery form
			c := set.CKKS()
			inverse, err := rns.NewAutomorphism(c.N(), c.RingQ().NthRoot(), c.GaloisElement(-k))
			require.NoError(t, err)
			rotated := b.New()
			inverse.Apply(rotated[0], s[0])
			b[0].MForm(rotated[0], rotated[0])
			e = first(s1[1+(2+r)*digits+i])
			b.MulAdd(e, uniform(fmt.Sprintf("rotation %d/%d", k, i)), rotated)
			b[0].IMForm(e[0], e[0])
			note(fmt.Sprint("rotation by ", k), e)
		}
	}
	require.Len(t, noise, 7)
	for name, v := range noise {
		want := params.Sigma * params.Sigma
		if name == "relinearisation, second round" {
			want *= 2 // two of them, one for each product
		}
		var sum, sq float64
		for _, x := range v {
			require.LessOrEqual(t, math.Abs(x), 2.0*params.Tail, name)
			sum, sq = sum+x, sq+x*x
		}
		n := float64(len(v))
		t.Logf("%s: variance is %.4f of σ² as many times", name, sq/n/want)
		require.InDelta(t, 1, sq/n/want, 6*math.Sqrt(2/n), name)
		require.InDelta(t, 0, sum/n, 6*math.Sqrt(want/n), name)
	}
}
