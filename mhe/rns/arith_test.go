package rns_test

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tuneinsight/lattigo/v5/ring"
	"pgregory.net/rapid"

	"github.com/nereid-mhe/nereid/mhe/rns"
)

// primes returns a ring of n coefficients with a prime of each width.
func primes(t testing.TB, n int, widths ...uint64) rns.Basis {
	t.Helper()
	generators := map[uint64]*ring.NTTFriendlyPrimesGenerator{}
	var all []uint64
	for _, w := range widths {
		if generators[w] == nil {
			g := ring.NewNTTFriendlyPrimesGenerator(w, uint64(4*n))
			generators[w] = &g
		}
		q, err := generators[w].NextAlternatingPrime()
		require.NoError(t, err)
		all = append(all, q)
	}
	r, err := ring.NewRingFromType(n, all, ring.ConjugateInvariant)
	require.NoError(t, err)
	return r.SubRings
}

// set writes the integers v, modulo every prime, to a new polynomial.
func set(b rns.Basis, v []*big.Int) rns.Poly {
	p := b.New()
	for j, s := range b {
		q := new(big.Int).SetUint64(s.Modulus)
		for i, x := range v {
			p[j][i] = new(big.Int).Mod(x, q).Uint64()
		}
	}
	return p
}

// centred draws n integers uniform in ±bound.
func centred(seed uint64, n int, bound *big.Int) []*big.Int {
	r := rand.New(rand.NewPCG(seed, 0))
	v := make([]*big.Int, n)
	for i := range v {
		x := new(big.Int)
		for range bound.BitLen()/64 + 2 {
			x.Lsh(x, 64).Or(x, new(big.Int).SetUint64(r.Uint64()))
		}
		x.Mod(x, new(big.Int).Add(new(big.Int).Lsh(bound, 1), big.NewInt(1)))
		v[i] = x.Sub(x, bound)
	}
	return v
}

func product(b rns.Basis) *big.Int {
	q := big.NewInt(1)
	for _, s := range b {
		q.Mul(q, new(big.Int).SetUint64(s.Modulus))
	}
	return q
}

// Sums, differences and products of residues are those of integers.
func TestArithmeticMatchesIntegers(t *testing.T) {
	b := basis(t)
	rapid.Check(t, func(t *rapid.T) {
		x, y, d := b.New(), b.New(), b.New()
		for i, s := range b {
			residue := rapid.Uint64Range(0, s.Modulus-1)
			for k := range 4 { // a few coefficients; the others are zero
				x[i][k], y[i][k], d[i][k] = residue.Draw(t, "x"), residue.Draw(t, "y"), residue.Draw(t, "d")
			}
		}
		mont := b.New()
		for i, s := range b {
			s.MForm(y[i], mont[i])
		}
		for name, op := range map[string]struct {
			do   func(dst rns.Poly)
			want func(d, x, y *big.Int) *big.Int
		}{
			"Add":    {func(dst rns.Poly) { b.Add(dst, x) }, func(d, x, _ *big.Int) *big.Int { return d.Add(d, x) }},
			"Sub":    {func(dst rns.Poly) { b.Sub(dst, x) }, func(d, x, _ *big.Int) *big.Int { return d.Sub(d, x) }},
			"MulAdd": {func(dst rns.Poly) { b.MulAdd(dst, x, mont) }, func(d, x, y *big.Int) *big.Int { return d.Add(d, x.Mul(x, y)) }},
			"MulSub": {func(dst rns.Poly) { b.MulSub(dst, x, mont) }, func(d, x, y *big.Int) *big.Int { return d.Sub(d, x.Mul(x, y)) }},
		} {
			got := b.New()
			for i := range d {
				copy(got[i], d[i])
			}
			op.do(got)
			for i, s := range b {
				for k := range 5 {
					u := func(v uint64) *big.Int { return new(big.Int).SetUint64(v) }
					want := op.want(u(d[i][k]), u(x[i][k]), u(y[i][k]))
					require.Equal(t, want.Mod(want, u(s.Modulus)).Uint64(), got[i][k], name)
				}
			}
		}
	})
}

// Lattigo's lazy transforms promise residues below twice the prime. In a
// conjugate-invariant ring the forward one leaves up to six times, or eight at an
// odd log2(N); the code relies on no less than this.
func TestLazyTransforms(t *testing.T) {
	for logN := 8; logN <= 13; logN++ {
		n := 1 << logN
		for _, s := range primes(t, n, 60, 45, 36) {
			b := rns.Basis{s}
			p, full, lazy := b.New(), b.New(), make([]uint64, n)
			require.NoError(t, b.Uniform(newStream(byte(logN)), p))
			s.NTT(p[0], full[0])
			s.NTTLazy(p[0], lazy)
			require.Less(t, slices.Max(lazy), 8*s.Modulus)
			rns.AddLazy(s, lazy, make([]uint64, n))
			require.Equal(t, full[0], lazy)
			s.INTTLazy(p[0], lazy)
			require.Less(t, slices.Max(lazy), 2*s.Modulus)
		}
	}
}

// AddLazy takes residues below eight times the prime and leaves them below it.
func TestAddLazy(t *testing.T) {
	for _, s := range primes(t, n, 60, 45, 20) {
		q := s.Modulus
		dst, x, want := make([]uint64, n), make([]uint64, n), make([]uint64, n)
		r := rand.New(rand.NewPCG(3, q))
		for i := range dst {
			dst[i], x[i] = r.Uint64N(8*q), r.Uint64N(q)
		}
		dst[0], x[0] = 8*q-1, q-1
		dst[1], x[1] = 0, 0
		dst[2], x[2] = q, 0
		dst[3], x[3] = q-1, 1
		for i := range want {
			want[i] = (dst[i]%q + x[i]) % q
		}
		rns.AddLazy(s, dst, x)
		require.Equal(t, want, dst)
	}
}

// Integers of any sign and size are added modulo every prime.
func TestAddInts(t *testing.T) {
	b := primes(t, n, 60, 20)
	v := make([]int64, n)
	copy(v, []int64{0, 1, -1, math.MaxInt64, math.MinInt64, int64(b[0].Modulus), -int64(b[0].Modulus), int64(b[1].Modulus) - 1, 1 - int64(b[1].Modulus)})
	for _, start := range []int64{0, 1, -1} {
		p := set(b, slices.Repeat([]*big.Int{big.NewInt(start)}, n))
		b.AddInts(p, v)
		want := make([]*big.Int, n)
		for i, x := range v {
			want[i] = new(big.Int).Add(big.NewInt(x), big.NewInt(start))
		}
		require.Equal(t, set(b, want), p)
	}
}

func TestTransformsAreInverse(t *testing.T) {
	b := basis(t)
	p, want := b.New(), b.New()
	require.NoError(t, b.Uniform(newStream(20), p))
	require.NoError(t, b.Uniform(newStream(20), want))
	b.NTT(p)
	require.NotEqual(t, want, p)
	b.INTT(p)
	require.Equal(t, want, p)
}

func TestReduce128(t *testing.T) {
	for _, s := range primes(t, n, 60, 45, 20) {
		r := rand.New(rand.NewPCG(1, 1))
		q := new(big.Int).SetUint64(s.Modulus)
		inv := new(big.Int).ModInverse(new(big.Int).Lsh(big.NewInt(1), 64), q)
		hi, lo, dst := make([]uint64, 64), make([]uint64, 64), make([]uint64, 64)
		for i := range hi {
			hi[i], lo[i] = r.Uint64(), r.Uint64()
		}
		hi[0], lo[0], hi[1], lo[1], hi[2], lo[2] = 0, 0, math.MaxUint64, math.MaxUint64, 0, math.MaxUint64
		rns.Reduce128(s, dst, hi, lo)
		for i := range dst {
			x := new(big.Int).Lsh(new(big.Int).SetUint64(hi[i]), 64)
			x.Or(x, new(big.Int).SetUint64(lo[i])).Mul(x, inv).Mod(x, q)
			require.Equal(t, x.Uint64(), dst[i])
		}
	}
}

func TestEachCallsEveryIndexOnce(t *testing.T) {
	for _, workers := range []int{-1, 0, 1, 2, 3, 100} {
		for _, n := range []int{0, 1, 2, 7} {
			count := make([]atomic.Int32, n)
			rns.Each(workers, n, func(i int) { count[i].Add(1) })
			for i := range count {
				require.EqualValues(t, 1, count[i].Load(), "%d workers, index %d of %d", workers, i, n)
			}
		}
	}
}

// rotate applies X → X^g to a polynomial Σ a_i·(X^i + X^-i) modulo X^2n + 1: with
// k = i·g mod 4n, X^k + X^-k is that of 4n-k, and minus that of 2n-k.
func rotate(q uint64, a []uint64, g int) []uint64 {
	n := len(a)
	out := make([]uint64, n)
	for i, x := range a {
		k, negative := i*g%(4*n), false
		if k > 2*n {
			k = 4*n - k
		}
		if k > n {
			k, negative = 2*n-k, true
		}
		if negative && x != 0 {
			x = q - x
		}
		out[k] = x
	}
	return out
}

func TestAutomorphismIsXToTheG(t *testing.T) {
	b := basis(t)
	coeff := b.New()
	require.NoError(t, b.Uniform(newStream(21), coeff))
	p := b.New()
	for i := range p {
		copy(p[i], coeff[i])
	}
	b.NTT(p)
	for _, g := range []int{1, 5, 25, 4*n - 3, 13} {
		a, err := rns.NewAutomorphism(n, 4*n, uint64(g))
		require.NoError(t, err)
		got, twice := b.New(), b.New()
		for i, s := range b {
			a.Apply(got[i], p[i])
			a.Apply(twice[i], p[i])
			a.Add(twice[i], p[i], s.Modulus)
			s.Sub(twice[i], got[i], twice[i])
		}
		require.Equal(t, got, twice, "Add adds what Apply writes")
		b.INTT(got)
		for i, s := range b {
			require.Equal(t, rotate(s.Modulus, coeff[i], g), got[i], "g = %d, limb %d", g, i)
		}
	}
	for _, tt := range []struct{ n, order, g uint64 }{
		{n, 3, 5},     // an order that is no power of two
		{n, 4 * n, 3}, // maps residues to their conjugates, which the ring leaves out
		{n, 4 * n, 4*n - 1},
	} {
		_, err := rns.NewAutomorphism(int(tt.n), tt.order, tt.g)
		require.ErrorContains(t, err, fmt.Sprint("rns: Galois element ", tt.g))
	}
}

// A lift is exact up to 0.49·Q for one to eight source primes, on one core or
// several, also of residues below twice their primes. 2048 coefficients are two
// chunks.
func TestLiftIsExactForEveryBasis(t *testing.T) {
	const n = 2048
	all := primes(t, n, 60, 60, 60, 60, 60, 60, 60, 60, 45, 45, 36, 20)
	to := all[8:]
	for k := 1; k <= 8; k++ {
		from := all[:k]
		bound := product(from)
		bound.Mul(bound, big.NewInt(49)).Div(bound, big.NewInt(100))
		v := centred(uint64(k), n, bound)
		v[0], v[1], v[2] = bound, new(big.Int).Neg(bound), new(big.Int)
		in, want := set(from, v), set(to, v)
		l := rns.NewLift(from, to)
		for _, workers := range []int{1, 2} {
			got := to.New()
			l.Do(in, got, workers)
			require.Equal(t, want, got, "%d primes", k)
		}
		require.Equal(t, set(from, v), in, "the input is unchanged")
		lazy := from.New()
		for i, s := range from {
			for x, r := range in[i] {
				lazy[i][x] = r + s.Modulus*uint64(x%2)
			}
		}
		got := to.New()
		l.Do(lazy, got, 1)
		require.Equal(t, want, got, "%d primes, residues that are not reduced", k)
	}
}

// Division by up to eight primes rounds to the nearest integer, with small
// polynomials added before and after it.
func TestDividerRoundsForEveryBasis(t *testing.T) {
	all := primes(t, n, 60, 45, 36, 60, 60, 60, 60, 60, 60, 60, 20)
	for k := 1; k <= 8; k++ {
		q, p := all[:3], all[3:3+k]
		b := all[:3+k]
		half := new(big.Int).Rsh(product(b), 2)
		v := centred(uint64(k), n, half)
		before, after := make([]int64, n), make([]int64, n)
		for i := range before {
			before[i], after[i] = int64(i%39)-19, int64(i*i)*[]int64{1, -1}[i%2]
		}
		for _, tt := range []struct{ before, after []int64 }{{nil, nil}, {before, nil}, {nil, after}, {before, after}} {
			x := set(b, v)
			b.NTT(x)
			rns.NewDivider(q, p).Round(x, tt.before, tt.after, 2)
			got := x[:3]
			q.INTT(got)
			want := make([]*big.Int, n)
			for i := range want {
				y := new(big.Int).Set(v[i])
				if tt.before != nil {
					y.Add(y, big.NewInt(before[i]))
				}
				d := product(p)
				y.Lsh(y, 1).Add(y, d).Div(y, d.Lsh(d, 1)) // ⌊y/P⌉
				if tt.after != nil {
					y.Add(y, big.NewInt(after[i]))
				}
				want[i] = y
			}
			require.Equal(t, set(q, want), got, "%d primes", k)
		}
	}
}

// Residues of any width survive the codec, and none at or above its prime does.
func TestCodecForEveryWidth(t *testing.T) {
	for width := uint64(20); width <= 60; width++ {
		b := primes(t, n, width)
		p := b.New()
		require.NoError(t, b.Uniform(newStream(byte(width)), p))
		p[0][0], p[0][n-1] = b[0].Modulus-1, b[0].Modulus-1
		enc := b.Append([]byte("prefix"), p)
		require.Len(t, enc, len("prefix")+b.EncodedSize())
		got, err := b.Decode(enc[len("prefix"):])
		require.NoError(t, err)
		require.Equal(t, p, got)
		for _, at := range []int{0, 1, n / 2, n - 1} {
			bad := b.New()
			bad[0][at] = b[0].Modulus // fits the bits but for primes just below a power of two
			_, err := b.Decode(b.Append(nil, bad))
			if b[0].Modulus == 1<<width-1 {
				continue
			}
			require.ErrorIs(t, err, rns.ErrEncoding)
			require.ErrorContains(t, err, fmt.Sprintf("residue %d of limb 0", at))
		}
	}
}

// A panic inside Each is one of the caller, who can recover from it, on any number
// of goroutines.
func TestEachPanicsInTheCaller(t *testing.T) {
	for _, workers := range []int{1, 2, 8} {
		require.Panics(t, func() {
			rns.Each(workers, 20, func(i int) {
				if i == 7 {
					panic("broken")
				}
			})
		}, "%d workers", workers)
	}
}

// Borrowed polynomials have the size of their basis and are nobody else's.
func TestBorrow(t *testing.T) {
	b := basis(t)
	for range 3 {
		p, q := b.Borrow(), b.Borrow()
		require.Len(t, p, len(b))
		for i := range p {
			require.Len(t, p[i], n)
			p[i][0], q[i][0] = 1, 2
			require.EqualValues(t, 1, p[i][0])
		}
		rns.Return(p)
		rns.Return(q)
	}
	rns.ReturnLimb(make([]uint64, 8))
	require.Len(t, rns.BorrowLimb(16), 16, "of the size asked for")
}

// Centred is the integer of least absolute value with the given residues, up to
// the halves of the product.
func TestCentred(t *testing.T) {
	for k := 1; k <= 6; k++ {
		b := basis(t)[:k]
		half := new(big.Int).Rsh(product(b), 1)
		v := centred(uint64(k), n, half)
		v[0], v[1], v[2], v[3] = half, new(big.Int).Neg(half), new(big.Int), big.NewInt(-1)
		p := set(b, v)
		for i := range v {
			require.Zero(t, v[i].Cmp(b.Centred(p, i)), "%d primes, coefficient %d", k, i)
			require.Zero(t, v[i].Cmp(value(b, p, i)))
		}
	}
}
