package bootstrap_test

import (
	"fmt"
	"io"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/nereid-mhe/nereid/bootstrap"
	"github.com/nereid-mhe/nereid/internal/testkit"
	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/mhe/rns"
	"github.com/nereid-mhe/nereid/packing"
	"github.com/nereid-mhe/nereid/params"
)

// toyWith returns the toy set with the given number of special primes.
func toyWith(t testing.TB, parties, special int) params.Set {
	t.Helper()
	c := testkit.Toy(t, parties).Config()
	c.LogP = slices.Repeat([]int{60}, special)
	set, err := params.New(c)
	require.NoError(t, err)
	return set
}

// mixOf returns a mix in which every output has three pieces, of period-p masks
// of 0.5 and -0.5 in a pattern of its own, or of none for p = 0.
func mixOf(inputs, outputs, p int) packing.Mix {
	m := make(packing.Mix, outputs)
	for i := range m {
		for k := range 3 {
			piece := packing.Piece{In: (i + k) % inputs, By: []int{0, 3, -70}[k] * (i + 1)}
			for t := range p {
				piece.Mask = append(piece.Mask, math.Copysign(0.5, math.Sin(float64(t*t+k))))
			}
			m[i] = append(m[i], piece)
		}
	}
	return m
}

func TestRefreshMixes(t *testing.T) {
	sums, layout := blockSum(t, testkit.Toy(t, 3), 1.0/16)
	cyclic, err := layout.CyclicSum(2)
	require.NoError(t, err)
	rotate := packing.Map{Steps: []packing.Step{{Rotations: []int{5}}}}
	double := packing.Map{Steps: []packing.Step{{Rotations: []int{0, 0}}}}
	for _, special := range []int{1, 2} {
		set := toyWith(t, 3, special)
		w := testkit.NewWorld(t, set, mhe.KeyPlan{})
		for _, tt := range []struct {
			name string
			c    bootstrap.Config
		}{
			{"spread", bootstrap.Config{Count: 1, Mix: mixOf(1, 3, 16)}},
			{"gather", bootstrap.Config{Count: 4, Mix: mixOf(4, 1, 16)}},
			{"three to two", bootstrap.Config{Count: 3, Mix: mixOf(3, 2, 256)}},
			{"three to two on two cores", bootstrap.Config{Count: 3, Mix: mixOf(3, 2, 256), Workers: 2}},
			{"full masks", bootstrap.Config{Count: 2, Mix: mixOf(2, 2, set.N())}},
			{"a mask of one", bootstrap.Config{Count: 2, Mix: mixOf(2, 2, 1)}},
			{"a mask of half the slots", bootstrap.Config{Count: 2, Mix: mixOf(2, 2, set.N()/2)}},
			{"no masks", bootstrap.Config{Count: 3, Mix: mixOf(3, 4, 0)}},
			{"no masks, rotations around", bootstrap.Config{Count: 2, Map: rotate, Mix: mixOf(2, 3, 0), After: cyclic}},
			{"a map before", bootstrap.Config{Count: 2, Map: sums, Mix: mixOf(2, 3, 32)}},
			{"a map after", bootstrap.Config{Count: 2, Mix: mixOf(2, 3, 32), After: sums}},
			{"maps around", bootstrap.Config{Count: 2, Map: rotate, Mix: mixOf(2, 2, 8), After: cyclic}},
			{"a mask before only", bootstrap.Config{Count: 2, Map: sums, Mix: mixOf(2, 3, 0)}},
			{"a mask after only", bootstrap.Config{Count: 2, Mix: mixOf(2, 3, 0), After: sums}},
			{"map and after, no mix", bootstrap.Config{Count: 2, Map: sums, After: rotate}},
			{"after only", bootstrap.Config{Count: 1, After: sums}},
			{"a sum of maps", bootstrap.Config{Count: 2, Map: sums, Mix: mixOf(2, 3, 32), Plus: []packing.Linear{
				{Mix: mixOf(2, 3, 8), After: cyclic}, {Mix: packing.Mix{nil, mixOf(2, 1, 16)[0], nil}},
			}}},
			{"a sum of maps without masks", bootstrap.Config{Count: 1, Mix: mixOf(1, 2, 0), Plus: []packing.Linear{
				{Before: rotate, Mix: packing.Mix{mixOf(1, 1, 0)[0], nil}},
			}}},
			{"maps of an output each", bootstrap.Config{Count: 2, Mix: packing.Mix{mixOf(2, 1, 32)[0], nil}, Workers: 2, Plus: []packing.Linear{
				{Before: rotate, Mix: packing.Mix{nil, mixOf(2, 1, 32)[0]}},
			}}},
			{"twice the same slot", bootstrap.Config{Count: 1, Map: double}},
		} {
			t.Run(fmt.Sprintf("special=%d/%s", special, tt.name), func(t *testing.T) {
				c := tt.c
				c.In, c.Out, c.ScaleIn, c.ScaleOut = 2, 5, mhe.Power(40), mhe.Power(40)
				if c.Masked() {
					c.ScaleOut = mhe.Power(44)
				}
				r, err := bootstrap.New(set, w.Encoder, c)
				require.NoError(t, err)
				var cts []mhe.Tensor
				var x [][]float64
				for i := range c.Count {
					x = append(x, testkit.Random(set.N(), uint64(i)))
					ct, err := w.Keys.Encryption().Encrypt(w.Encoder, x[i], 2, c.ScaleIn, testkit.Source(fmt.Sprint("x", i)))
					require.NoError(t, err)
					cts = append(cts, ct)
				}
				got, want := round(t, w, r, cts, set.Parties(), tt.name), c.Apply(x)
				require.Len(t, got, len(want))
				require.Len(t, r.OutputShape(), len(want))
				require.Len(t, r.InputShape(), c.Count)
				est := r.Range(mhe.Range{Max: 1, RMS: 0.6, Err: mhe.NewNoise(set).Encrypt(c.ScaleIn)})
				for i, y := range got {
					require.Equal(t, 5, y.Level())
					require.Zero(t, y.Scale().Cmp(c.ScaleOut), "the scale must land exactly")
					rms := rmsDiff(w.Open(t, y, set.Parties()), want[i])
					t.Logf("output %d: error 2^%.2f, estimate 2^%.2f", i, math.Log2(rms), math.Log2(est.Err))
					require.InDelta(t, math.Log2(est.Err), math.Log2(rms), 1.5)
					for _, v := range want[i] {
						require.LessOrEqual(t, math.Abs(v), est.Max+1e-9)
					}
				}
			})
		}
	}
}

// The variance that a refresh with a mix adds is that of the formula, within 6
// standard errors. All masks are of ±1/2, so that all slots have one variance; the
// outputs are not independent of each other.
func TestMixNoiseMatchesTheFormula(t *testing.T) {
	rounds := 12
	if testing.Short() {
		rounds = 4
	}
	half := packing.Map{Steps: []packing.Step{{Rotations: []int{2, 11}, Mask: []float64{0.5, -0.5}}}}
	for _, special := range []int{1, 2} {
		set := toyWith(t, 3, special)
		w := testkit.NewWorld(t, set, mhe.KeyPlan{})
		for name, c := range map[string]bootstrap.Config{
			"masks":      {Count: 3, Mix: mixOf(3, 2, 64)},
			"no masks":   {Count: 3, Mix: mixOf(3, 4, 0)},
			"map before": {Count: 3, Map: half, Mix: mixOf(3, 2, 0)},
			"map after":  {Count: 3, Mix: mixOf(3, 2, 16), After: half},
		} {
			scales := [][2]int{{40, 40}}
			if name != "no masks" { // what comes in dominates, or what is added on the way out
				scales = [][2]int{{36, 45}, {45, 34}}
			}
			for _, s := range scales {
				t.Run(fmt.Sprintf("special=%d/%s/scale=%d to %d", special, name, s[0], s[1]), func(t *testing.T) {
					c.In, c.Out, c.ScaleIn, c.ScaleOut = 2, 6, mhe.Power(s[0]), mhe.Power(s[1])
					r, err := bootstrap.New(set, w.Encoder, c)
					require.NoError(t, err)
					sq, mean, slots := 0.0, 0.0, 0
					for k := range rounds {
						cts, before := noises(t, w, c.Count, c.ScaleIn, fmt.Sprint("x", k))
						want := c.Apply(before)
						for i, x := range round(t, w, r, cts, 3, fmt.Sprint(name, k)) {
							for j, v := range w.Open(t, x, 3) {
								d := v - want[i][j]
								sq, mean, slots = sq+d*d, mean+d, slots+1
							}
						}
					}
					n, independent := float64(slots), float64(rounds*set.N())/2
					formula := r.Range(mhe.Range{}).Err
					t.Logf("variance is %.4f of the formula's, 6 standard errors are %.3f", sq/n/formula/formula, 6*math.Sqrt(2/independent))
					require.InDelta(t, 1, sq/n/formula/formula, 6*math.Sqrt(2/independent))
					require.InDelta(t, 0, mean/n/formula, 6/math.Sqrt(independent), "mean")
				})
			}
		}
	}
}

// A mix makes every party's masks of several inputs into those of several outputs:
// with uniform inputs, shares of any number of outputs depend on the streams alone,
// on no number of goroutines and on nothing that scratch space held before; every
// stream is opened once, and one that ends gives an error.
func TestMixSharesAreFunctionsOfTheSource(t *testing.T) {
	set := testkit.Toy(t, 3)
	sums, _ := blockSum(t, set, 0.25)
	sk, err := mhe.NewSecretKey(set, testkit.Source("sk")(""))
	require.NoError(t, err)
	c := bootstrap.Config{In: 2, Out: 5, Count: 3, Mix: mixOf(3, 2, 16), After: sums, ScaleIn: mhe.Power(40), ScaleOut: mhe.Power(40)}
	var first []byte
	for _, workers := range []int{1, 2, 5} {
		c.Workers = workers
		r, err := bootstrap.New(set, mhe.NewEncoder(set), c)
		require.NoError(t, err)
		a, err := r.Common(testkit.Source("common"))
		require.NoError(t, err)
		require.Len(t, a, 2)
		p := party{set: set, r: r, sk: sk, a: make([]rns.Poly, 3)}
		p.c1 = p.inputs(t, "c1")
		var names []string
		record := func(name string) io.Reader {
			names = append(names, name)
			return testkit.Source("label")(name)
		}
		share, err := r.Share(sk, p.c1, a, record)
		require.NoError(t, err)
		slices.Sort(names)
		require.Equal(t, []string{"e 0", "e 1", "e 2", "e' 0", "e' 1", "mask 0", "mask 1", "mask 2"}, names)
		requireReduced(t, r.Shape(), share)
		pollute(set.N())
		b, err := r.Shape().Encode(share)
		require.NoError(t, err)
		if first == nil {
			first = b
		}
		require.True(t, slices.Equal(first, b), "%d workers", workers)
		for left := range names {
			failing := func(name string) io.Reader {
				if left--; left < 0 {
					return io.LimitReader(testkit.Source("x")(name), 100)
				}
				return testkit.Source("x")(name)
			}
			s, err := r.Share(sk, p.c1, a, failing)
			require.ErrorContains(t, err, "randomness")
			require.Nil(t, s)
		}
	}
}

// An input that is a sum may send its first polynomials inside the shares: the
// result is the same to the last bit, whichever inputs do so.
func TestOwnFirstPolynomials(t *testing.T) {
	set := testkit.Toy(t, 3)
	w := testkit.NewWorld(t, set, mhe.KeyPlan{})
	in := mhe.Basis(set, 2)
	for name, c := range map[string]bootstrap.Config{
		"identity": {Count: 2},
		"mix":      {Count: 2, Mix: mixOf(2, 3, 16)},
	} {
		t.Run(name, func(t *testing.T) {
			c.In, c.Out, c.ScaleIn, c.ScaleOut = 2, 5, mhe.Power(40), mhe.Power(40)
			r, err := bootstrap.New(set, w.Encoder, c)
			require.NoError(t, err)
			a, err := r.Common(testkit.Source("common"))
			require.NoError(t, err)
			var values [][]float64
			own := make([][]rns.Poly, 3) // by party
			c0, c1 := r.InputShape().New(), r.InputShape().New()
			for i := range c.Count {
				values = append(values, make([]float64, set.N()))
				for k := range own {
					v := testkit.Random(set.N(), uint64(10*i+k))
					x, err := w.Keys.Encryption().Encrypt(w.Encoder, v, 2, c.ScaleIn, testkit.Source(fmt.Sprint("x", i, k)))
					require.NoError(t, err)
					own[k] = append(own[k], x.Polys()[0])
					in.Add(c0[i], x.Polys()[0])
					in.Add(c1[i], x.Polys()[1])
					for j := range v {
						values[i][j] += v[j]
					}
				}
			}
			var results [][]mhe.Tensor
			for _, inside := range [][]bool{nil, {false, false}, {true, true}, {false, true}} {
				var sum mhe.Share
				first := slices.Clone(c0)
				for k, sk := range w.Secrets {
					mine := slices.Clone(own[k])
					for i := range mine {
						if inside == nil || !inside[i] {
							mine[i] = nil
						} else {
							first[i] = nil
						}
					}
					if inside == nil {
						mine = nil
					}
					s, err := r.ShareOwn(sk, mine, c1, a, testkit.Source(fmt.Sprint("share ", k)))
					require.NoError(t, err)
					plain, err := r.Share(sk, c1, a, testkit.Source(fmt.Sprint("share ", k)))
					require.NoError(t, err)
					for i := range mine {
						if mine[i] != nil {
							in.Add(plain[i], mine[i])
						}
					}
					require.Equal(t, plain, s, "the share and the party's own polynomial, added")
					sum = testkit.Add(t, r.Shape(), sum, s)
				}
				if !slices.ContainsFunc(first, func(p rns.Poly) bool { return p != nil }) {
					first = nil
				}
				out, err := r.Finish(first, a, sum)
				require.NoError(t, err)
				results = append(results, out)
			}
			for _, out := range results[1:] {
				for i := range out {
					require.Equal(t, results[0][i].Polys(), out[i].Polys())
				}
			}
			for i, y := range c.Apply(values) {
				require.Less(t, testkit.MaxDiff(w.Open(t, results[0][i], 3), y), 1e-6)
			}
			short := []rns.Poly{c0[0], c0[1][:2]}
			for _, bad := range [][]rns.Poly{c0[:1], append(slices.Clone(c0), c0[0]), {}, short} {
				_, err := r.ShareOwn(w.Secrets[0], bad, c1, a, testkit.Source("x"))
				require.ErrorIs(t, err, mhe.ErrShape)
				_, err = r.Finish(bad, a, r.Shape().New())
				require.ErrorIs(t, err, mhe.ErrShape)
			}
		})
	}
}

func TestMixRefusals(t *testing.T) {
	set := testkit.Toy(t, 2)
	enc := mhe.NewEncoder(set)
	one := []float64{1}
	good := bootstrap.Config{In: 2, Out: 6, Count: 2, Mix: mixOf(2, 3, 16), ScaleIn: mhe.Power(40), ScaleOut: mhe.Power(40)}
	for name, change := range map[string]func(*bootstrap.Config){
		"an input that is not there": func(c *bootstrap.Config) { c.Count = 1 },
		"an output of nothing":       func(c *bootstrap.Config) { c.Mix = packing.Mix{{{}}, {}} },
		"a negative input":           func(c *bootstrap.Config) { c.Mix = packing.Mix{{{In: -1}}} },
		"a mask here, none there":    func(c *bootstrap.Config) { c.Mix = packing.Mix{{{Mask: one}}, {{}}} },
		"a mask of three":            func(c *bootstrap.Config) { c.Mix = packing.Mix{{{Mask: []float64{1, 2, 3}}}} },
		"a mask that is too long":    func(c *bootstrap.Config) { c.Mix = packing.Mix{{{Mask: make([]float64, 2*set.N())}}} },
		"a mask of NaN":              func(c *bootstrap.Config) { c.Mix = packing.Mix{{{Mask: []float64{math.NaN()}}}} },
		"an odd mask after":          func(c *bootstrap.Config) { c.After.Steps = []packing.Step{{Mask: []float64{1, 2, 3}}} },
		"too many masks":             func(c *bootstrap.Config) { c.After.Steps = slices.Repeat([]packing.Step{{Mask: one}}, 3) },
		"a scale by no mask": func(c *bootstrap.Config) {
			c.Mix, c.ScaleOut = mixOf(2, 2, 0), mhe.Power(41)
		},
	} {
		c := good
		change(&c)
		r, err := bootstrap.New(set, enc, c)
		require.ErrorIs(t, err, mhe.ErrShape, name)
		require.Nil(t, r, name)
	}

	r, err := bootstrap.New(set, enc, good)
	require.NoError(t, err)
	sk, err := mhe.NewSecretKey(set, testkit.Source("sk")(""))
	require.NoError(t, err)
	c, a, sum := r.InputShape().New(), r.OutputShape().New(), r.Shape().New()
	_, err = r.Share(sk, c, a, testkit.Source("x"))
	require.NoError(t, err)
	for name, tt := range map[string]struct {
		c, a []rns.Poly
		sum  mhe.Share
	}{
		"inputs as many as outputs":    {a[:3], a, sum},
		"too few inputs":               {c[:1], a, sum},
		"as many common ones as input": {c, a[:2], sum},
		"too many common ones":         {c, append(slices.Clone(a), a[0]), sum},
		"a common one as an input":     {c, []rns.Poly{a[0], a[1], c[0]}, sum},
		"inputs and outputs exchanged": {a, c, sum},
	} {
		_, err := r.Share(sk, tt.c, tt.a, testkit.Source("x"))
		require.ErrorIs(t, err, mhe.ErrShape, name)
		_, err = r.Finish(tt.c, tt.a, tt.sum)
		require.ErrorIs(t, err, mhe.ErrShape, name)
	}
	for _, bad := range []mhe.Share{nil, sum[:4], append(slices.Clone(sum), sum[0])} {
		_, err := r.Finish(c, a, bad)
		require.ErrorIs(t, err, mhe.ErrShape)
	}
}

// The hash changes with every piece of the mix, with what comes before and after
// it, and with which of the three a thing is in.
func TestMixHash(t *testing.T) {
	set := testkit.Toy(t, 3)
	enc := mhe.NewEncoder(set)
	seen := map[[32]byte]string{}
	add := func(name string, c bootstrap.Config) {
		c.In, c.Out, c.ScaleIn, c.ScaleOut = 2, 5, mhe.Power(40), mhe.Power(40)
		r, err := bootstrap.New(set, enc, c)
		require.NoError(t, err)
		require.NotContains(t, seen, r.Hash(), name)
		seen[r.Hash()] = name
	}
	rotate := packing.Map{Steps: []packing.Step{{Rotations: []int{1}}}}
	mask := packing.Map{Steps: []packing.Step{{Mask: []float64{0.5}}}}
	add("base", bootstrap.Config{Count: 2, Mix: mixOf(2, 2, 4)})
	add("map", bootstrap.Config{Count: 2, Mix: mixOf(2, 2, 4), Map: rotate})
	add("after", bootstrap.Config{Count: 2, Mix: mixOf(2, 2, 4), After: rotate})
	add("mask before", bootstrap.Config{Count: 2, Mix: mixOf(2, 2, 4), Map: mask})
	add("mask after", bootstrap.Config{Count: 2, Mix: mixOf(2, 2, 4), After: mask})
	add("no mix", bootstrap.Config{Count: 2, Map: mask})
	add("one more input", bootstrap.Config{Count: 3, Mix: mixOf(2, 2, 4)})
	for i := range 2 {
		for k := range 3 {
			for change, f := range map[string]func(p *packing.Piece){
				"in":   func(p *packing.Piece) { p.In = 1 - p.In },
				"by":   func(p *packing.Piece) { p.By++ },
				"mask": func(p *packing.Piece) { p.Mask[3] = math.Nextafter(p.Mask[3], 1) },
			} {
				m := mixOf(2, 2, 4)
				f(&m[i][k])
				add(fmt.Sprint(change, " of ", i, k), bootstrap.Config{Count: 2, Mix: m})
			}
			m := mixOf(2, 2, 4)
			m[i] = slices.Delete(m[i], k, k+1)
			add(fmt.Sprint("without ", i, k), bootstrap.Config{Count: 2, Mix: m})
		}
	}
	// without a mix, After is more of Map
	r, err := bootstrap.New(set, enc, bootstrap.Config{In: 2, Out: 5, Count: 1, Map: rotate, After: mask, ScaleIn: mhe.Power(40), ScaleOut: mhe.Power(40)})
	require.NoError(t, err)
	s, err := bootstrap.New(set, enc, bootstrap.Config{In: 2, Out: 5, Count: 1, Map: rotate.Then(mask), ScaleIn: mhe.Power(40), ScaleOut: mhe.Power(40)})
	require.NoError(t, err)
	require.Equal(t, r.Hash(), s.Hash())
}

// An encoded period multiplies as the whole polynomial does.
func TestEncodedPeriodMultiplies(t *testing.T) {
	set := testkit.Toy(t, 2)
	enc, b := mhe.NewEncoder(set), mhe.ExtendedBasis(set, 4)
	x := b.New()
	require.NoError(t, b.Uniform(testkit.Source("x")(""), x))
	for p := 8; p <= set.N(); p *= 2 {
		v := testkit.Random(p, uint64(p))
		short, err := enc.EncodePeriod(v, mhe.Power(50), b)
		require.NoError(t, err)
		long, err := enc.Encode(v, mhe.Power(50), b)
		require.NoError(t, err)
		for j, s := range b {
			require.Len(t, short[j], p)
			s.MForm(short[j], short[j])
			s.MForm(long[j], long[j])
			got, want := make([]uint64, s.N), make([]uint64, s.N)
			rns.MulPeriod(s, got, x[j], short[j])
			s.MulCoeffsMontgomery(x[j], long[j], want)
			require.Equal(t, want, got, "period %d", p)
		}
	}
}

// The sizes of a training step: six primes, two special ones, ten parties. The mix
// gathers four inputs in four outputs of 16 pieces, with masks of period 256.
func BenchmarkStep(b *testing.B) {
	set, err := params.New(params.Config{LogN: 14, LogQ: []int{60, 60, 60, 43, 43, 43}, LogP: []int{60, 60}, LogScale: 43, Parties: 10, LogMessage: 46, Insecure: true})
	require.NoError(b, err)
	enc := mhe.NewEncoder(set)
	sk, err := mhe.NewSecretKey(set, testkit.Source("sk")(""))
	require.NoError(b, err)
	l, err := packing.NewLayout(set.N(), packing.Axis{Name: "unit", Len: 64}, packing.Axis{Name: "sample", Len: 256})
	require.NoError(b, err)
	mix := make(packing.Mix, 4)
	for i := range mix {
		for k := range 16 {
			mix[i] = append(mix[i], packing.Piece{In: k % 4, By: 256 * (k - i), Mask: testkit.Random(256, uint64(k))})
		}
	}
	for _, bc := range []struct {
		name string
		c    bootstrap.Config
	}{
		{"map=none", bootstrap.Config{Count: 1}},
		{"map=blocksum256", bootstrap.Config{Count: 1, Map: l.BlockSum(1.0 / 64)}},
		{"mix=4x16", bootstrap.Config{Count: 4, Mix: mix}},
	} {
		for _, out := range []int{3, 4, 5} {
			c := bc.c
			c.In, c.Out, c.ScaleIn, c.ScaleOut = 2, out, mhe.Power(43), mhe.Power(43)
			r, err := bootstrap.New(set, enc, c)
			require.NoError(b, err)
			a, err := r.Common(testkit.Source("common"))
			require.NoError(b, err)
			in := r.InputShape().New()
			share, err := r.Share(sk, in, a, testkit.Source("x"))
			require.NoError(b, err)
			b.Run(fmt.Sprintf("share/%s/out=%d", bc.name, out), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					_, err := r.Share(sk, in, a, testkit.Source("x"))
					require.NoError(b, err)
				}
			})
			b.Run(fmt.Sprintf("finish/%s/out=%d", bc.name, out), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					_, err := r.Finish(in, a, share)
					require.NoError(b, err)
				}
			})
		}
	}
}

// Maps can be added that have the same outputs, masks all or none, and that leave no
// output without pieces.
func TestSumsOfMapsRefuse(t *testing.T) {
	set := testkit.Toy(t, 2)
	for name, c := range map[string]bootstrap.Config{
		"no mix":          {Count: 1, Plus: []packing.Linear{{}}},
		"other outputs":   {Count: 1, Mix: mixOf(1, 2, 8), Plus: []packing.Linear{{Mix: mixOf(1, 1, 8)}}},
		"no mask":         {Count: 1, Mix: mixOf(1, 2, 8), Plus: []packing.Linear{{Mix: mixOf(1, 2, 0)}}},
		"a mask":          {Count: 1, Mix: mixOf(1, 2, 0), Plus: []packing.Linear{{Mix: mixOf(1, 2, 8)}}},
		"nothing at all":  {Count: 1, Mix: packing.Mix{mixOf(1, 1, 8)[0], nil}, Plus: []packing.Linear{{Mix: packing.Mix{mixOf(1, 1, 8)[0], nil}}}},
		"an input beyond": {Count: 1, Mix: mixOf(1, 2, 8), Plus: []packing.Linear{{Mix: mixOf(2, 2, 8)}}},
	} {
		c.In, c.Out, c.ScaleIn, c.ScaleOut = 2, 5, mhe.Power(40), mhe.Power(40)
		_, err := bootstrap.New(set, mhe.NewEncoder(set), c)
		require.ErrorIs(t, err, mhe.ErrShape, name)
	}
}

// The hash tells the maps of a sum apart, and a sum from its first map.
func TestHashOfSums(t *testing.T) {
	set := testkit.Toy(t, 2)
	seen := map[[32]byte]bool{}
	for _, plus := range [][]packing.Linear{
		nil,
		{{Mix: mixOf(1, 2, 8)}},
		{{Mix: mixOf(1, 2, 16)}},
		{{Mix: mixOf(1, 2, 8)}, {Mix: mixOf(1, 2, 16)}},
		{{Before: packing.Map{Steps: []packing.Step{{Rotations: []int{1}}}}, Mix: mixOf(1, 2, 8)}},
	} {
		r, err := bootstrap.New(set, mhe.NewEncoder(set), bootstrap.Config{
			In: 2, Out: 5, Count: 1, Mix: mixOf(1, 2, 8), Plus: plus, ScaleIn: mhe.Power(40), ScaleOut: mhe.Power(40),
		})
		require.NoError(t, err)
		require.False(t, seen[r.Hash()])
		seen[r.Hash()] = true
	}
}

// Any config is either refused or computes its map: a refresh by a single party,
// of an input that is encoded but not encrypted.
func TestAnyMixIsRefusedOrComputed(t *testing.T) {
	c := testkit.Toy(t, 2).Config()
	c.LogN, c.LogP = 8, []int{60, 60}
	set, err := params.New(c)
	require.NoError(t, err)
	enc, n := mhe.NewEncoder(set), set.N()
	sk, err := mhe.NewSecretKey(set, testkit.Source("sk")(""))
	require.NoError(t, err)
	rapid.Check(t, func(t *rapid.T) {
		number := func(lo, hi int, name string) int { return rapid.IntRange(lo, hi).Draw(t, name) }
		mask := func() []float64 {
			length := number(0, 300, "length")
			if number(0, 9, "good") > 0 {
				length = 1 << number(0, 8, "log length")
			}
			return testkit.Random(length, uint64(length))
		}
		slotMap := func() (m packing.Map) {
			for range number(0, 2, "steps") {
				s := packing.Step{Rotations: rapid.SliceOfN(rapid.IntRange(-n, 2*n), 0, 3).Draw(t, "rotations")}
				if number(0, 3, "masked step") == 0 {
					s.Mask = mask()
				}
				m.Steps = append(m.Steps, s)
			}
			return m
		}
		c := bootstrap.Config{In: 2, Out: number(2, 6, "out"), Count: number(1, 3, "count"), Map: slotMap(), After: slotMap(), ScaleIn: mhe.Power(40), ScaleOut: mhe.Power(40), Workers: number(0, 2, "workers")}
		masked := rapid.Bool().Draw(t, "masked")
		draw := func() (pieces []packing.Piece) {
			for range number(1, 5, "pieces") {
				p := packing.Piece{In: number(0, c.Count-1, "in"), By: number(-n, 2*n, "by")}
				if number(0, 40, "input") == 0 {
					p.In = -1
				}
				if masked != (number(0, 40, "mixed") == 0) {
					p.Mask = mask()
				}
				pieces = append(pieces, p)
			}
			return pieces
		}
		for range number(0, 3, "outputs") {
			c.Mix = append(c.Mix, draw())
		}
		for range number(0, 2, "maps to add") {
			m := make(packing.Mix, max(0, len(c.Mix)-number(0, 40, "missing")/40))
			for i := range m {
				if number(0, 3, "in use") > 0 {
					m[i] = draw()
				}
			}
			c.Plus = append(c.Plus, packing.Linear{Before: slotMap(), Mix: m, After: slotMap()})
		}
		bad, deepest := c.Out <= c.In || len(c.Plus) > 0 && len(c.Mix) == 0, 0
		for _, l := range c.Linears() {
			used := slices.DeleteFunc(slices.Clone(l.Mix), func(p []packing.Piece) bool { return len(p) == 0 })
			bad = bad || l.Before.Check(n) != nil || l.After.Check(n) != nil || used.Check(c.Count, n) != nil
			bad = bad || len(l.Mix) != len(c.Mix) || (l.Depth() > 0) != c.Masked()
			deepest = max(deepest, l.Depth())
		}
		r, err := bootstrap.New(set, enc, c)
		if bad {
			require.ErrorIs(t, err, mhe.ErrShape)
			return
		}
		if err != nil { // more masks than special primes have room for
			require.ErrorIs(t, err, mhe.ErrShape)
			require.Greater(t, deepest, 4)
			return
		}
		a, err := r.Common(testkit.Source("common"))
		require.NoError(t, err)
		c0, c1, x := r.InputShape().New(), r.InputShape().New(), make([][]float64, c.Count)
		for i := range x {
			x[i] = testkit.Random(n, uint64(i))
			c0[i], err = enc.Encode(x[i], c.ScaleIn, mhe.Basis(set, 2))
			require.NoError(t, err)
		}
		share, err := r.Share(sk, c1, a, testkit.Source("share"))
		require.NoError(t, err)
		out, err := r.Finish(c0, a, share)
		require.NoError(t, err)
		bound := r.Range(mhe.Range{Max: 1, RMS: 1})
		for i, y := range c.Apply(x) {
			got, err := mhe.Reveal(enc, out[i], sk)
			require.NoError(t, err)
			require.Less(t, testkit.MaxDiff(got, y), 12*bound.Err+1e-12*bound.Max, "output %d", i)
		}
	})
}
