package bootstrap_test

import (
	"fmt"
	"io"
	"math"
	"math/big"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/bootstrap"
	"github.com/nereid-mhe/nereid/internal/testkit"
	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/mhe/rns"
	"github.com/nereid-mhe/nereid/packing"
	"github.com/nereid-mhe/nereid/params"
)

// A party is what one party holds when it makes shares.
type party struct {
	set params.Set
	r   *bootstrap.Refresh
	sk  mhe.SecretKey
	c1  []rns.Poly
	a   []rns.Poly
}

// newParty prepares shares for count inputs with uniform second polynomials.
func newParty(t testing.TB, m packing.Map, count, workers int) party {
	t.Helper()
	set := testkit.Toy(t, 3)
	r, err := bootstrap.New(set, mhe.NewEncoder(set), bootstrap.Config{In: 2, Out: 6, Count: count, Map: m, ScaleIn: mhe.Power(40), ScaleOut: mhe.Power(40), Workers: workers})
	require.NoError(t, err)
	p := party{set: set, r: r}
	p.sk, err = mhe.NewSecretKey(set, testkit.Source("sk")(""))
	require.NoError(t, err)
	p.a, err = r.Common(testkit.Source("common"))
	require.NoError(t, err)
	p.c1 = p.inputs(t, "c1")
	return p
}

// inputs are uniform second polynomials, another one for each seed.
func (p party) inputs(t testing.TB, seed string) []rns.Poly {
	t.Helper()
	b := mhe.Basis(p.set, 2)
	c1 := make([]rns.Poly, len(p.a))
	for i := range c1 {
		c1[i] = b.New()
		require.NoError(t, b.Uniform(testkit.Source(seed)(fmt.Sprint(i)), c1[i]))
	}
	return c1
}

// fitting returns first polynomials with which the masked values of a share for
// count inputs are what they are in a refresh: within the range of the masks.
func fitting(t testing.TB, set params.Set, share mhe.Share, count int) []rns.Poly {
	t.Helper()
	b := mhe.Basis(set, 2)
	c0 := make([]rns.Poly, count)
	for i := range c0 {
		mask, err := rns.NewMask(testkit.Source("fitting")(fmt.Sprint(i)), set.N(), set.MaskBits())
		require.NoError(t, err)
		c0[i] = b.New()
		for j, s := range b {
			mask.Limb(s, c0[i][j])
		}
		b.NTT(c0[i])
		b.Sub(c0[i], share[i])
	}
	return c0
}

func (p party) fitting(t testing.TB, share mhe.Share) []rns.Poly {
	t.Helper()
	return fitting(t, p.set, share, len(p.c1))
}

func (p party) share(t testing.TB, label string) mhe.Share {
	t.Helper()
	s, err := p.r.Share(p.sk, p.c1, p.a, testkit.Source(label))
	require.NoError(t, err)
	return s
}

// masks returns M - e of every ciphertext as integers: c1·s - h, for who knows s.
func (p party) masks(t testing.TB, share mhe.Share) []*big.Int {
	t.Helper()
	b := mhe.Basis(p.set, 2)
	var all []*big.Int
	for i := range p.c1 {
		m := b.New()
		p.sk.MulAdd(2, m, p.c1[i])
		b.Sub(m, share[i])
		b.INTT(m)
		all = append(all, integers(b, m)...)
	}
	return all
}

// integers returns the centred coefficients of p, in coefficient form.
func integers(b rns.Basis, p rns.Poly) []*big.Int {
	q := big.NewInt(1)
	for _, s := range b {
		q.Mul(q, new(big.Int).SetUint64(s.Modulus))
	}
	unit := make([]*big.Int, len(b)) // 1 modulo its prime, 0 modulo the others
	for j, s := range b {
		m := new(big.Int).SetUint64(s.Modulus)
		unit[j] = new(big.Int).Quo(q, m)
		unit[j].Mul(unit[j], new(big.Int).ModInverse(unit[j], m))
	}
	half := new(big.Int).Rsh(q, 1)
	out := make([]*big.Int, b.N())
	for i := range out {
		x := new(big.Int)
		for j := range b {
			x.Add(x, new(big.Int).Mul(unit[j], new(big.Int).SetUint64(p[j][i])))
		}
		if x.Mod(x, q).Cmp(half) > 0 {
			x.Sub(x, q)
		}
		out[i] = x
	}
	return out
}

// unit returns x/2^bits.
func unit(x *big.Int, bits int) float64 {
	f := new(big.Float).SetInt(x)
	if f.Sign() == 0 {
		return 0
	}
	v, _ := f.SetMantExp(f, -bits).Float64()
	return v
}

// Who knows s sees M: uniform on all of [-2^(B-1), 2^(B-1)), in mean, variance,
// the sixteen parts of the interval, and down to the lowest byte. 8192
// coefficients; 6 standard errors.
func TestMasksSpanTheirWholeWidth(t *testing.T) {
	const count = 8
	p := newParty(t, packing.Map{}, count, 1)
	width := p.set.MaskBits()
	masks := p.masks(t, p.share(t, "label"))
	n := float64(len(masks))
	var sum, sq float64
	var top [16]float64
	var low [256]float64
	lo, hi := 1.0, -1.0
	for _, m := range masks {
		x := unit(m, width) // in [-1/2, 1/2)
		sum, sq = sum+x, sq+x*x
		lo, hi = min(lo, x), max(hi, x)
		top[min(15, max(0, int(16*(x+0.5))))]++
		low[new(big.Int).And(m, big.NewInt(255)).Uint64()]++
	}
	require.InDelta(t, 0, sum/n, 6/math.Sqrt(12*n), "mean")
	require.InDelta(t, 1.0/12, sq/n, 6*math.Sqrt(0.8/n)/12, "variance") // kurtosis 9/5
	require.Greater(t, hi, 0.499)
	require.Less(t, lo, -0.499)
	require.LessOrEqual(t, hi, 0.5)
	require.GreaterOrEqual(t, lo, -0.5)
	require.Less(t, chiSquare(top[:], n), 15+6*math.Sqrt(2*15), "the sixteen parts of the interval")
	require.Less(t, chiSquare(low[:], n), 255+6*math.Sqrt(2*255), "the lowest byte")
}

// chiSquare returns Σ (count - n/k)²/(n/k), of mean k-1 and variance 2(k-1).
func chiSquare(count []float64, n float64) float64 {
	want, sum := n/float64(len(count)), 0.0
	for _, c := range count {
		sum += (c - want) * (c - want) / want
	}
	return sum
}

// One label, one share: the same bytes whenever it is made again.
func TestSharesAreFunctionsOfTheSource(t *testing.T) {
	sums, _ := blockSum(t, testkit.Toy(t, 3), 1.0/64)
	for _, m := range []packing.Map{{}, sums, {Steps: []packing.Step{{Rotations: []int{1, 4}}}}} {
		p := newParty(t, m, 2, 1)
		encode := func(s mhe.Share) []byte {
			b, err := p.r.Shape().Encode(s)
			require.NoError(t, err)
			return b
		}
		require.True(t, slices.Equal(encode(p.share(t, "label")), encode(p.share(t, "label"))))

		other := p.share(t, "other label")
		for i, x := range p.share(t, "label") {
			for j := range x {
				for k := range x[j] {
					if x[j][k] == other[i][j][k] {
						require.Failf(t, "a residue repeats", "polynomial %d, limb %d, residue %d", i, j, k)
					}
				}
			}
		}
	}
}

// Two labels never share a mask, nor does any coefficient of one: their
// difference is as wide as the difference of two uniform numbers, and no
// coefficient of it is small. A repetition would leave e - e', at most 38. The
// least of 4096 differences is below 2^-30 of the width once in 2^18 runs.
func TestMasksOfTwoLabelsNeverRepeat(t *testing.T) {
	const count = 4
	p := newParty(t, packing.Map{}, count, 1)
	width := p.set.MaskBits()
	labels := map[string][]*big.Int{}
	for _, l := range []string{"step 1", "step 2", "step 1 attempt 2", ""} {
		labels[l] = p.masks(t, p.share(t, l))
	}
	for a, x := range labels {
		for b, y := range labels {
			if a == b {
				continue
			}
			sq, n := 0.0, float64(len(x))
			for i := range x {
				d := math.Abs(unit(new(big.Int).Sub(x[i], y[i]), width))
				require.Greater(t, d, math.Exp2(-30), "%q and %q, coefficient %d", a, b, i)
				sq += d * d
			}
			// the difference of two uniform numbers has variance 1/6 and kurtosis 12/5
			require.InDelta(t, 1.0/6, sq/n, 6*math.Sqrt(1.4/n)/6, "%q and %q", a, b)
		}
	}
	// nor does a mask repeat within a share, from ciphertext to ciphertext
	all := labels["step 1"]
	sorted := slices.SortedFunc(slices.Values(all), (*big.Int).Cmp)
	for i := range sorted[1:] {
		d := new(big.Int).Sub(sorted[i+1], sorted[i])
		require.Positive(t, d.Cmp(big.NewInt(38)), "two coefficients of one share")
	}
}

// The mask that is taken off is the one that is put back: h' + a·s + (h - c1·s) is
// e + e', of variance 2σ² within 6 standard errors: not zero, and nothing more.
func TestSharesHideBehindFreshNoise(t *testing.T) {
	const count = 8
	p := newParty(t, packing.Map{}, count, 1)
	share := p.share(t, "label")
	in := mhe.Basis(p.set, 2)
	var sum, sq float64
	for i := range p.c1 {
		d := in.New()
		in.Add(d, share[i])
		in.Add(d, share[count+i][:3])
		p.sk.MulSub(2, d, p.c1[i])
		p.sk.MulAdd(2, d, p.a[i][:3])
		in.INTT(d)
		for _, x := range integers(in, d) {
			require.True(t, x.IsInt64() && x.Int64() <= 2*params.Tail && x.Int64() >= -2*params.Tail, "e + e' is %v", x)
			f := float64(x.Int64())
			sum, sq = sum+f, sq+f*f
		}
	}
	n := float64(count * p.set.N())
	want := 2 * params.Sigma * params.Sigma
	require.InDelta(t, 1, sq/n/want, 6*math.Sqrt(2/n), "variance")
	require.InDelta(t, 0, sum/n, 6*math.Sqrt(want/n), "mean")
}

// What must never happen, and why: one source for two inputs gives the secret
// away. h - h' is s·(c1 - c1'), noise and mask gone.
func TestOneMaskForTwoInputsGivesTheSecretAway(t *testing.T) {
	p := newParty(t, packing.Map{}, 1, 1)
	a := p.share(t, "label")
	first := p.c1
	p.c1 = p.inputs(t, "another input")
	b := p.share(t, "label")
	basis := mhe.Basis(p.set, 2)
	basis.Sub(a[0], b[0])
	p.sk.MulSub(2, a[0], first[0])
	p.sk.MulAdd(2, a[0], p.c1[0])
	require.Equal(t, basis.New(), a[0])
	require.Equal(t, a[1], b[1], "and the other half does not depend on the input at all")
}

// Streams are opened once, by names that differ between ciphertexts.
func TestSharesUseEveryStreamOnce(t *testing.T) {
	p := newParty(t, packing.Map{}, 3, 1)
	var names []string
	record := func(name string) io.Reader {
		names = append(names, name)
		return testkit.Source("label")(name)
	}
	_, err := p.r.Share(p.sk, p.c1, p.a, record)
	require.NoError(t, err)
	require.Len(t, names, 9, "a mask and two errors for each of three")
	private := slices.Clone(names)
	names = nil
	_, err = p.r.Common(record)
	require.NoError(t, err)
	require.Len(t, names, 3)
	all := append(private, names...)
	slices.Sort(all)
	require.Len(t, slices.Compact(all), 12)

	for ok := range private { // randomness that ends is an error, never a share
		left := ok
		failing := func(name string) io.Reader {
			if left--; left < 0 {
				return io.LimitReader(testkit.Source("x")(name), 100)
			}
			return testkit.Source("x")(name)
		}
		s, err := p.r.Share(p.sk, p.c1, p.a, failing)
		require.ErrorContains(t, err, "randomness")
		require.Nil(t, s)
	}
	_, err = p.r.Common(func(name string) io.Reader { return io.LimitReader(testkit.Source("x")(name), 100) })
	require.ErrorContains(t, err, "randomness")
}

// The number of goroutines changes no bit, of shares and of results, for any map;
// nor do other shares made at the same time, or what scratch space held before.
func TestWorkersChangeNothing(t *testing.T) {
	set := testkit.Toy(t, 3)
	for name, kind := range maps(t, set) {
		t.Run(name, func(t *testing.T) {
			c0 := []rns.Poly{}
			finish := func(workers int) (mhe.Share, []mhe.Tensor) {
				p := newParty(t, kind.m, 2, workers)
				s := p.share(t, "label")
				c0 = p.fitting(t, s)
				out, err := p.r.Finish(c0, p.a, s)
				require.NoError(t, err)
				return s, out
			}
			share, out := finish(1)
			for _, workers := range []int{0, 2, 5} {
				pollute(set.N())
				s, o := finish(workers)
				pollute(set.N())
				require.Equal(t, share, s, "%d workers", workers)
				for i := range o {
					require.Equal(t, out[i].Polys(), o[i].Polys(), "%d workers", workers)
				}
				requireReduced(t, mhe.Shape{mhe.Basis(set, 6), mhe.Basis(set, 6)}, mhe.Share(o[1].Polys()))
				requireReduced(t, newParty(t, kind.m, 2, workers).r.Shape(), s)
			}
			p := newParty(t, kind.m, 2, 2)
			var wg sync.WaitGroup
			for range 3 {
				wg.Go(func() {
					s, err := p.r.Share(p.sk, p.c1, p.a, testkit.Source("label"))
					if err != nil || !slices.EqualFunc(share, s, func(a, b rns.Poly) bool { return slices.EqualFunc(a, b, slices.Equal) }) {
						t.Errorf("a share made beside others differs (%v)", err)
					}
				})
			}
			wg.Wait()
		})
	}
}

// requireReduced requires every residue to be below its prime: anything else would
// encode to other bytes than an equal polynomial, or to bytes that peers refuse.
func requireReduced(t testing.TB, shape mhe.Shape, share mhe.Share) {
	t.Helper()
	require.Len(t, share, len(shape))
	for i, b := range shape {
		require.Len(t, share[i], len(b))
		for j, s := range b {
			require.Less(t, slices.Max(share[i][j]), s.Modulus, "polynomial %d, limb %d", i, j)
		}
	}
}

// pollute fills free scratch space with garbage.
func pollute(n int) {
	limbs := make([][]uint64, 64)
	for i := range limbs {
		limbs[i] = rns.BorrowLimb(n)
		for k := range limbs[i] {
			limbs[i][k] = math.MaxUint64
		}
	}
	for _, l := range limbs {
		rns.ReturnLimb(l)
	}
}

// A share leaves its inputs alone, and so does the end of a refresh.
func TestRefreshLeavesItsArguments(t *testing.T) {
	sums, _ := blockSum(t, testkit.Toy(t, 3), 0.5)
	p := newParty(t, sums, 1, 1)
	c1, a := p.inputs(t, "c1")[0], p.a[0]
	a = slices.Clone(a)
	for i := range a {
		a[i] = slices.Clone(a[i])
	}
	s := p.share(t, "label")
	again := p.share(t, "label")
	c0 := p.fitting(t, s)
	_, err := p.r.Finish(c0, p.a, s)
	require.NoError(t, err)
	require.Equal(t, c1, p.c1[0])
	require.Equal(t, a, p.a[0])
	require.Equal(t, again, s, "the sum of shares")
	require.Equal(t, p.fitting(t, s), c0)
}

func TestRefreshRefusesShapes(t *testing.T) {
	p := newParty(t, packing.Map{}, 2, 1)
	s := p.share(t, "label")
	short := []rns.Poly{p.c1[0], p.c1[1][:2]}
	long := []rns.Poly{p.c1[0], append(slices.Clone(p.c1[1]), p.c1[0][0])}
	for name, tt := range map[string]struct{ c, a []rns.Poly }{
		"too few inputs":        {p.c1[:1], p.a},
		"no inputs":             {nil, p.a},
		"too many inputs":       {append(slices.Clone(p.c1), p.c1[0]), p.a},
		"too few common":        {p.c1, p.a[:1]},
		"an input too low":      {short, p.a},
		"an input too high":     {long, p.a},
		"a common one too low":  {p.c1, []rns.Poly{p.a[0], p.a[1][:3]}},
		"a common one too long": {p.c1, []rns.Poly{p.a[0], append(slices.Clone(p.a[1]), p.a[0][0])}},
	} {
		got, err := p.r.Share(p.sk, tt.c, tt.a, testkit.Source("x"))
		require.ErrorIs(t, err, mhe.ErrShape, name)
		require.Nil(t, got)
		if tt.c != nil { // which is right where the shares hold the first polynomials
			_, err = p.r.Finish(tt.c, tt.a, s)
			require.ErrorIs(t, err, mhe.ErrShape, name)
			_, err = p.r.ShareOwn(p.sk, tt.c, p.c1, tt.a, testkit.Source("x"))
			require.ErrorIs(t, err, mhe.ErrShape, name)
		}
	}
	for _, sum := range []mhe.Share{nil, s[:3], append(slices.Clone(s), s[0])} {
		_, err := p.r.Finish(p.c1, p.a, sum)
		require.ErrorIs(t, err, mhe.ErrShape)
	}
	// what came off the wire: the codec of the shape refuses it first
	b, err := p.r.Shape().Encode(s)
	require.NoError(t, err)
	_, err = p.r.Shape().Decode(b[1:])
	require.ErrorIs(t, err, mhe.ErrShape)
	require.Len(t, p.r.InputShape(), 2)
	require.Equal(t, mhe.Basis(p.set, 2), p.r.InputShape()[0])
}

// The hash names everything that a share depends on besides its inputs, and the
// number of goroutines is not among it.
func TestHash(t *testing.T) {
	sums, _ := blockSum(t, testkit.Toy(t, 3), 0.5)
	base := bootstrap.Config{In: 2, Out: 5, Count: 1, Map: sums, ScaleIn: mhe.Power(40), ScaleOut: mhe.Power(40), Workers: 1}
	hash := func(parties int, c bootstrap.Config) [32]byte {
		set := testkit.Toy(t, parties)
		r, err := bootstrap.New(set, mhe.NewEncoder(set), c)
		require.NoError(t, err)
		return r.Hash()
	}
	want := hash(3, base)
	more := base
	more.Workers = 4
	require.Equal(t, want, hash(3, more))

	seen := map[[32]byte]string{want: "base", hash(4, base): "parties"}
	require.Len(t, seen, 2)
	other, _ := blockSum(t, testkit.Toy(t, 3), math.Nextafter(0.5, 1))
	odd := mhe.Power(40)
	odd.Add(odd, mhe.Power(-60)) // beyond what a float64 tells from 2^40
	for name, change := range map[string]func(*bootstrap.Config){
		"In":                       func(c *bootstrap.Config) { c.In = 3 },
		"Out":                      func(c *bootstrap.Config) { c.Out = 6 },
		"Count":                    func(c *bootstrap.Config) { c.Count = 2 },
		"Map":                      func(c *bootstrap.Config) { c.Map = other },
		"ScaleIn":                  func(c *bootstrap.Config) { c.ScaleIn = mhe.Power(39) },
		"ScaleOut":                 func(c *bootstrap.Config) { c.ScaleOut = mhe.Power(41) },
		"the last bits of a scale": func(c *bootstrap.Config) { c.ScaleIn = odd },
	} {
		c := base
		change(&c)
		h := hash(3, c)
		require.NotContains(t, seen, h, name)
		seen[h] = name
	}
}
