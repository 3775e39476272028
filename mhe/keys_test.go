package mhe_test

import (
	"fmt"
	"io"
	"math"
	"math/bits"
	"slices"
	"strings"
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

// rotated is the plan of product keys and the Galois keys that go with them, all
// at different levels.
func rotated() mhe.KeyPlan {
	return mhe.KeyPlan{
		Rotations: []mhe.Key{{By: 1, Level: 5}, {By: 7, Level: 3}, {By: 8, Level: 0}, {By: 1023, Level: 6}},
		Products:  []mhe.Key{{By: 0, Level: 4}, {By: 1, Level: 5}, {By: 7, Level: 3}, {By: 1023, Level: 6}},
	}
}

// Product keys relinearise and rotate at their own levels and below, with one
// prime in a digit and with several, and nowhere above.
func TestProductKeysRelineariseAndRotate(t *testing.T) {
	for _, logP := range [][]int{{60}, {60, 60}, {60, 60, 60}} {
		t.Run(fmt.Sprint("special primes ", logP), func(t *testing.T) {
			set, plan := special(t, 3, logP...), rotated()
			w := testkit.NewWorld(t, set, plan)
			require.Equal(t, 4, w.Keys.GaloisKeys())
			require.Equal(t, 4, w.Keys.ProductKeys())
			require.Equal(t, plan.Bytes(set), w.Keys.Bytes())
			x, y := testkit.Random(set.N(), 1), testkit.Random(set.N(), 2)
			for level := set.MaxLevel(); level >= 2; level-- {
				cx, cy := w.Encrypt(t, x, level), w.Encrypt(t, y, level)
				for _, k := range plan.Products {
					z, err := mhe.MultiplyRotated(w.Keys, cx, cy, k.By)
					if level > k.Level {
						require.ErrorIs(t, err, mhe.ErrShape)
						require.ErrorContains(t, err, "no relinearisation key")
						continue
					}
					require.NoError(t, err)
					limit := 1e-8
					if level == 2 { // see TestKeysWork
						limit = 1e-4
					}
					require.Less(t, testkit.MaxDiff(w.Open(t, z, 3), rotation(k.By).Apply(times(x, y))), limit, "rotation by %d at level %d", k.By, level)
					if k.By == 0 {
						continue
					}
					r, err := mhe.NewCKKS(w.Keys, 1).Map(rotation(k.By), cx)
					require.NoError(t, err)
					require.Less(t, testkit.MaxDiff(w.Open(t, r, 3), rotation(k.By).Apply(x)), 1e-8, "rotation by %d at level %d", k.By, level)
				}
				_, err := mhe.MultiplyRotated(w.Keys, cx, cy, 2)
				require.ErrorContains(t, err, "no relinearisation key for a rotation by 2")
			}
		})
	}
}

// Encoded shares take, for every polynomial, as many bits per residue as the
// prime has: the encryption key over all primes, two relinearisation digits at the
// highest level of a product, and one for each key at its level.
func TestKeyShareSizes(t *testing.T) {
	set := special(t, 2, 60, 60)
	width := func(level int) (sum int) { // bits of a residue in all limbs
		primes := append(slices.Clone(set.CKKS().Q()[:level+1]), set.CKKS().P()...)
		for _, q := range primes {
			sum += bits.Len64(q - 1)
		}
		return sum
	}
	digits := map[int]int{0: 1, 1: 1, 2: 2, 3: 2, 4: 3, 5: 3, 6: 4} // two primes a digit
	sizes := map[string]int{}
	for _, part := range rotated().Parts(set, 1<<30) {
		sizes[part.Name()] = part.Shape().Size()
	}
	bytes := func(levels ...int) int {
		total := 0
		for _, l := range levels {
			total += digits[l] * width(l) * set.N() / 8
		}
		return 5 + total
	}
	require.Equal(t, map[string]int{
		"encryption": 5 + width(6)*set.N()/8, "relinearisation": bytes(6, 6),
		"rotations 0": bytes(5, 3, 0, 6), "products 0": bytes(4, 5, 3, 6),
	}, sizes)
	memory := 0
	for _, l := range []int{5, 3, 0, 6, 4, 5, 3, 6} {
		memory += 2 * digits[l] * (l + 3) * set.N() * 8
	}
	require.Equal(t, memory, rotated().Bytes(set))
	require.Equal(t, 5+2*width(6)*set.N()/8, mhe.EncryptionKeySize(set))
	w := testkit.NewWorld(t, set, mhe.KeyPlan{})
	b, err := w.Keys.Encryption().Encode()
	require.NoError(t, err)
	require.Len(t, b, mhe.EncryptionKeySize(set))
	require.Zero(t, w.Keys.Bytes())
}

// However small parts are, they make every key once, in the same order and from
// the same randomness.
func TestPartsCoverThePlanOnce(t *testing.T) {
	set, src := testkit.Toy(t, 2), testkit.Source
	sk, err := mhe.NewSecretKey(set, src("sk")(""))
	require.NoError(t, err)
	one := mhe.KeyPlan{Rotations: []mhe.Key{{By: 1, Level: 6}}}.Parts(set, 0)[1].Shape().Size()
	for name, plan := range map[string]mhe.KeyPlan{
		"nothing": {}, "rotations": {Rotations: rotated().Rotations}, "products": {Products: rotated().Products}, "both": rotated(),
	} {
		t.Run(name, func(t *testing.T) {
			var want mhe.Share
			for _, maxBytes := range []int{1 << 40, -1, 0, one - 1, one, 2 * one, 3 * one} {
				var all, relin mhe.Share
				var order []string
				b, err := mhe.NewKeyBuilder(set, plan)
				require.NoError(t, err)
				for _, part := range plan.Parts(set, maxBytes) {
					_, err = b.Finish()
					require.ErrorIs(t, err, mhe.ErrShape, "before %s", part.Name())
					require.NotContains(t, order, part.Name())
					order = append(order, part.Name())
					require.Equal(t, strings.HasPrefix(part.Name(), "products "), part.Second())
					s, err := part.Share(sk, src("c"), src("p"), src("e")(""), relin)
					require.NoError(t, err)
					if part.Name() == "relinearisation" {
						relin = s
					} else if shape := part.Shape(); part.Name() != "encryption" && shape.Size() > maxBytes {
						require.Len(t, shape[0], len(shape)+1, "%s of %d bytes has more than one key", part.Name(), shape.Size())
					}
					all = append(all, s...)
					b, err = b.Add(part, src("c"), s)
					require.NoError(t, err)
					_, err = b.Add(part, src("c"), s)
					require.ErrorContains(t, err, "added before")
				}
				if want == nil {
					want = all
				}
				require.Equal(t, want, all, "%d bytes", maxBytes)
				keys, err := b.Finish()
				require.NoError(t, err)
				require.Equal(t, len(plan.Rotations), keys.GaloisKeys())
				require.Equal(t, len(plan.Products), keys.ProductKeys())
				require.Equal(t, plan.Bytes(set), keys.Bytes())
				kinds := slices.Clone(order)
				for i, n := range order {
					kinds[i] = strings.Fields(n)[0]
				}
				var wantKinds []string
				for kind, planned := range []bool{true, len(plan.Products) > 0, len(plan.Rotations) > 0, len(plan.Products) > 0} {
					if planned {
						wantKinds = append(wantKinds, []string{"encryption", "relinearisation", "rotations", "products"}[kind])
					}
				}
				require.Equal(t, wantKinds, slices.Compact(kinds))
			}
		})
	}
}

func TestKeyPlanRefuses(t *testing.T) {
	set := testkit.Toy(t, 2)
	for name, keys := range map[string][]mhe.Key{
		"negative level":       {{By: 1, Level: -1}},
		"level above the top":  {{By: 1, Level: set.MaxLevel() + 1}},
		"negative rotation":    {{By: -1}},
		"rotation once around": {{By: set.N()}},
		"not increasing":       {{By: 2}, {By: 1}},
		"twice the same":       {{By: 2, Level: 1}, {By: 2, Level: 3}},
	} {
		for _, plan := range []mhe.KeyPlan{{Rotations: keys}, {Products: keys}} {
			require.ErrorIs(t, plan.Check(set), mhe.ErrShape, name)
			require.Empty(t, plan.Parts(set, 1<<20), name)
			_, err := mhe.NewKeyBuilder(set, plan)
			require.ErrorIs(t, err, mhe.ErrShape, name)
		}
	}
	require.ErrorIs(t, mhe.KeyPlan{Rotations: []mhe.Key{{By: 0}}}.Check(set), mhe.ErrShape, "rotation by nothing")
	require.NoError(t, mhe.KeyPlan{Products: []mhe.Key{{By: 0}}}.Check(set))
}

func TestKeyPartsRefuse(t *testing.T) {
	set := testkit.Toy(t, 2)
	sk, err := mhe.NewSecretKey(set, testkit.Source("sk")(""))
	require.NoError(t, err)
	other, err := mhe.NewSecretKey(special(t, 2, 50), testkit.Source("sk")(""))
	require.NoError(t, err)
	src, plan := testkit.Source("x"), rotated()
	parts := plan.Parts(set, 1<<30)
	relin, products := parts[1], parts[3]
	first, err := relin.Share(sk, src, src, src("e"), nil)
	require.NoError(t, err)
	share := func(part mhe.KeyPart, sk mhe.SecretKey, eph io.Reader, relin mhe.Share) func(*testing.T) {
		return func(t *testing.T) {
			t.Helper()
			s, err := part.Share(sk, src, src, eph, relin)
			require.ErrorIs(t, err, mhe.ErrShape)
			require.Nil(t, s)
		}
	}
	t.Run("no part", share(mhe.KeyPart{}, sk, src("e"), first))
	t.Run("no ephemeral secret in the first round", share(relin, sk, nil, nil))
	t.Run("no ephemeral secret in the second", share(products, sk, nil, first))
	t.Run("no first round", share(products, sk, src("e"), nil))
	t.Run("half a first round", share(products, sk, src("e"), first[:len(first)/2]))
	t.Run("a first round at a lower level", share(products, sk, src("e"), append(mhe.Share{first[0][1:]}, first[1:]...)))
	t.Run("another ring", share(products, sk, src("e"), append(mhe.Share{{{1}, {2}, {3}, {4}, {5}, {6}, {7}, {8}}}, first[1:]...)))
	for _, part := range parts {
		t.Run("another set for "+part.Name(), share(part, other, src("e"), first))
	}
	require.Empty(t, mhe.KeyPart{}.Shape())

	b, err := mhe.NewKeyBuilder(set, plan)
	require.NoError(t, err)
	add := func(part mhe.KeyPart, sum mhe.Share) {
		t.Helper()
		next, err := b.Add(part, src, sum)
		require.ErrorIs(t, err, mhe.ErrShape)
		require.Nil(t, next)
	}
	for i, part := range parts {
		good := part.Shape().New()
		add(part, nil)
		add(part, good[1:])
		add(part, append(good, good[0]))
		add(part, append(mhe.Share{good[0][1:]}, good[1:]...))
		_, err = b.Finish()
		require.ErrorIs(t, err, mhe.ErrShape)
		incomplete := b
		for j, other := range parts {
			if j != i {
				incomplete, err = incomplete.Add(other, src, other.Shape().New())
				require.NoError(t, err)
			}
		}
		_, err = incomplete.Finish()
		require.ErrorIs(t, err, mhe.ErrShape, "without %s", part.Name())
	}
	add(mhe.KeyPart{}, nil)
	for _, foreign := range [][]mhe.KeyPart{
		plan.Parts(special(t, 2, 50), 1<<30),
		mhe.KeyPlan{Rotations: []mhe.Key{{By: 2, Level: 5}}, Products: []mhe.Key{{By: 2, Level: 5}}}.Parts(set, 0)[1:],
		mhe.KeyPlan{Rotations: []mhe.Key{{By: 1, Level: 4}}, Products: []mhe.Key{{By: 1, Level: 4}}}.Parts(set, 0)[1:],
	} {
		for _, part := range foreign {
			add(part, part.Shape().New())
		}
	}
}

// The parties of a process may share a builder: adding to it leaves it, and the
// sum, as they are.
func TestKeyBuilderIsImmutable(t *testing.T) {
	set, src := testkit.Toy(t, 2), testkit.Source
	plan := mhe.KeyPlan{Rotations: []mhe.Key{{By: 1, Level: 1}, {By: 2, Level: 1}}}
	parts := plan.Parts(set, 0)
	b, err := mhe.NewKeyBuilder(set, plan)
	require.NoError(t, err)
	for i, part := range parts {
		one, two := part.Shape().New(), part.Shape().New()
		two[0][0][0] = 1
		x, err := b.Add(part, src("c"), one)
		require.NoError(t, err, "part %d", i)
		y, err := b.Add(part, src("c"), two)
		require.NoError(t, err, "part %d", i)
		require.Equal(t, part.Shape().New(), one)
		require.NotEqual(t, x, y)
		b = x
	}
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
	common := testkit.Source("common")
	sk := w.Secrets[0]
	eph := func() io.Reader { return testkit.Source("eph")("") }
	var keys []generator
	var relin mhe.Share
	for i, part := range fewKeys.Parts(set, 1<<30) {
		keys = append(keys, generator{"keys, " + part.Name(), []int{1, 2 * 4, 4 + 3, 2 * (4 + 2)}[i], func(p mhe.Source) (mhe.Share, error) {
			return part.Share(sk, common, p, eph(), relin)
		}})
		if part.Name() == "relinearisation" {
			var err error
			relin, err = part.Share(sk, common, testkit.Source("r1"), eph(), nil)
			require.NoError(t, err)
		}
	}
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
	return append(keys, []generator{
		{"decryption", 2, func(p mhe.Source) (mhe.Share, error) { return o.DecryptShare(sk, c1, p) }},
		{"key switch", 2 * (1 + 3), func(p mhe.Source) (mhe.Share, error) { return o.SwitchShare(sk, c1, querier, p) }},
		{"encryption", 3, func(p mhe.Source) (mhe.Share, error) {
			return ciphertext(w.Keys.Encryption().Encrypt(w.Encoder, zeros, 6, mhe.Power(45), p))
		}},
		{"rerandomisation", 3, func(p mhe.Source) (mhe.Share, error) {
			return ciphertext(w.Keys.Encryption().Rerandomise(x, p))
		}},
	}...)
}

// fewKeys has keys of different levels: with one special prime a digit more than
// the level.
var fewKeys = mhe.KeyPlan{
	Rotations: []mhe.Key{{By: 1, Level: 3}, {By: 7, Level: 2}},
	Products:  []mhe.Key{{By: 0, Level: 3}, {By: 5, Level: 1}},
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
	good := testkit.Source("x")
	short := func() io.Reader { return io.LimitReader(good("e"), 1) }
	b, err := mhe.NewKeyBuilder(set, fewKeys)
	require.NoError(t, err)
	var relin mhe.Share
	for i, part := range fewKeys.Parts(set, 1<<30) {
		for ok := range []int{1, 4, 4 + 3, 4 + 2}[i] { // common polynomials
			_, err := part.Share(sk, failing(good, ok), good, good("e"), relin)
			require.ErrorContains(t, err, "randomness")
			if part.Name() != "relinearisation" { // of which nothing stays
				_, err = b.Add(part, failing(good, ok), part.Shape().New())
				require.ErrorContains(t, err, "randomness")
			}
		}
		if part.Name() == "relinearisation" {
			relin = part.Shape().New()
		}
		if part.Name() == "relinearisation" || part.Second() {
			_, err = part.Share(sk, good, good, short(), relin)
			require.ErrorContains(t, err, "randomness")
		}
	}
	_, err = mhe.NewSecretKey(set, short())
	require.ErrorContains(t, err, "randomness")
	for ok := range 3 {
		_, _, err = mhe.NewQuerierKey(set, failing(good, ok))
		require.ErrorContains(t, err, "randomness")
	}
}

// The secret u is in every share of the first half of the relinearisation part and
// of the product keys, and nowhere else.
func TestEphemeralSecretChangesTheProductKeysOnly(t *testing.T) {
	set := testkit.Toy(t, 2)
	sk, err := mhe.NewSecretKey(set, testkit.Source("sk")(""))
	require.NoError(t, err)
	var relin mhe.Share
	for _, part := range fewKeys.Parts(set, 1<<30) {
		share := func(eph string) mhe.Share {
			s, err := part.Share(sk, testkit.Source("c"), testkit.Source("p"), testkit.Source(eph)(""), relin)
			require.NoError(t, err)
			return s
		}
		a, b := share("1"), share("2")
		first := part.Name() == "relinearisation"
		for i := range a {
			if first && i < len(a)/2 || part.Second() {
				requireFresh(t, a[i], b[i], "%s, polynomial %d", part.Name(), i)
			} else {
				require.Equal(t, a[i], b[i], "%s, polynomial %d", part.Name(), i)
			}
		}
		if first {
			relin = a
		}
	}
}

// All parties must use the same common randomness: keys of a party with another
// seed are noise.
func TestCommonRandomnessMustAgree(t *testing.T) {
	set := testkit.Toy(t, 2)
	part := mhe.KeyPlan{}.Parts(set, 0)[0]
	var sum mhe.Share
	w := testkit.World{Set: set, Encoder: mhe.NewEncoder(set)}
	for i := range 2 {
		sk, err := mhe.NewSecretKey(set, testkit.Source(fmt.Sprint("sk", i))(""))
		require.NoError(t, err)
		w.Secrets = append(w.Secrets, sk)
		s, err := part.Share(sk, testkit.Source(fmt.Sprint("common", i)), testkit.Source(fmt.Sprint(i)), nil, nil)
		require.NoError(t, err)
		sum = testkit.Add(t, part.Shape(), sum, s)
	}
	b, err := mhe.NewKeyBuilder(set, mhe.KeyPlan{})
	require.NoError(t, err)
	b, err = b.Add(part, testkit.Source("common0"), sum)
	require.NoError(t, err)
	w.Keys, err = b.Finish()
	require.NoError(t, err)
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
	digits := set.MaxLevel() + 1
	plan := testkit.KeysAt(set.MaxLevel(), 1, 5)
	plan.Products = append(plan.Products, mhe.Key{By: 5, Level: 3})
	src := testkit.Source
	sk, err := mhe.NewSecretKey(set, src("sk")(""))
	require.NoError(t, err)
	u, err := mhe.NewSecretKey(set, src("eph")("")) // the same ternary numbers
	require.NoError(t, err)
	shares := map[string]mhe.Share{}
	for _, part := range plan.Parts(set, 1<<30) {
		shares[part.Name()], err = part.Share(sk, src("common"), src(part.Name()), src("eph")(""), shares["relinearisation"])
		require.NoError(t, err)
	}

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
	e := first(shares["encryption"][0])
	sk.MulAdd(0, e, uniform("encryption"))
	note("encryption", e)
	e = first(ba[0])
	secret.MulAdd(0, e, ba[1][:1])
	note("querier", e)
	// open takes a·σ⁻¹(s) away from a share in Montgomery form, and leaves it
	open := func(share rns.Poly, k int, name string) rns.Poly {
		c := set.CKKS()
		inverse, err := rns.NewAutomorphism(c.N(), c.RingQ().NthRoot(), c.GaloisElement(-k))
		require.NoError(t, err)
		rotated := b.New()
		inverse.Apply(rotated[0], s[0])
		b[0].MForm(rotated[0], rotated[0])
		e := first(share)
		b.MulAdd(e, uniform(name), rotated)
		b[0].IMForm(e[0], e[0])
		return e
	}
	relin, products := shares["relinearisation"], shares["products 0"]
	for i := range digits {
		a := uniform(fmt.Sprint("relinearisation/", i))
		h0, h1 := relin[i], relin[digits+i]
		e = first(h1)
		sk.MulSub(0, e, a)
		note("relinearisation, s·a + e", e)
		for r, k := range plan.Products {
			if i > k.Level {
				continue
			}
			e = open(products[r*digits+i], k.By, fmt.Sprintf("product %d/%d", k.By, i))
			sk.MulSub(0, e, h0[:1])
			u.MulSub(0, e, h1[:1])
			note(fmt.Sprint("product rotated by ", k.By), e)
		}
		if i == 0 { // it has P·s on this limb
			continue
		}
		e = first(h0)
		u.MulAdd(0, e, a)
		note("relinearisation, -u·a + e", e)
		for r, k := range plan.Rotations {
			note(fmt.Sprint("rotation by ", k.By), open(shares["rotations 0"][r*digits+i], k.By, fmt.Sprintf("rotation %d/%d", k.By, i)))
		}
	}
	require.Len(t, noise, 8)
	for name, v := range noise {
		want := params.Sigma * params.Sigma
		if strings.HasPrefix(name, "product") {
			want *= 2 // e2 and e3
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
