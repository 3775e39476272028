// Package rns does arithmetic on polynomials in residue form: what the
// collective protocols need and Lattigo's rings do not have, or have only with
// randomness of their own choosing.
//
// It knows nothing of keys or ciphertexts. Every sampler reads from a stream
// that the caller names, so that a share can be made twice with equal bits.
//
// # Notation
//
// A [Basis] is a list of NTT primes, a [Poly] has one limb of N residues for
// each. A polynomial is in coefficient form or in NTT form; functions say which
// they take. ⌊x⌉ is rounding to the nearest integer.
//
// # Sources
//
// Exact basis conversion: Halevi, Polyakov, Shoup, [An Improved RNS Variant of
// the BFV Scheme], section 2.2.
//
// [An Improved RNS Variant of the BFV Scheme]: https://eprint.iacr.org/2018/117
package rns

import (
	"math/big"
	"math/bits"
	"sync"
	"sync/atomic"

	"github.com/tuneinsight/lattigo/v5/ring"
)

// A Basis is a list of NTT primes with their tables. It is read-only.
type Basis []*ring.SubRing

// A Poly holds one limb for each prime of a basis.
type Poly [][]uint64

// N returns the number of coefficients.
func (b Basis) N() int { return b[0].N }

// New returns a zero polynomial.
func (b Basis) New() Poly {
	n := b.N()
	all := make([]uint64, n*len(b))
	p := make(Poly, len(b))
	for i := range p {
		p[i] = all[i*n : (i+1)*n : (i+1)*n]
	}
	return p
}

// A pool holds free slices by length. Shares and key switches need megabytes of
// scratch space that is dead a few milliseconds later: the collector would spend
// more time on it than the arithmetic does.
type pool[T any] struct{ free sync.Map } // int → *sync.Pool of *[]T

// borrow returns a slice of n with undefined contents.
func (p *pool[T]) borrow(n int) []T {
	if f, ok := p.free.Load(n); ok {
		if l, ok := f.(*sync.Pool).Get().(*[]T); ok {
			return *l
		}
	}
	return make([]T, n)
}

func (p *pool[T]) giveBack(l []T) {
	f, ok := p.free.Load(len(l))
	if !ok {
		f, _ = p.free.LoadOrStore(len(l), &sync.Pool{})
	}
	f.(*sync.Pool).Put(&l)
}

var (
	freeLimbs pool[uint64]
	freeInts  pool[int64]
	freeBytes pool[byte]
)

// BorrowLimb returns a limb of n residues with undefined contents.
func BorrowLimb(n int) []uint64 { return freeLimbs.borrow(n) }

// ReturnLimb gives a limb back. Nobody may hold it any more.
func ReturnLimb(l []uint64) { freeLimbs.giveBack(l) }

// BorrowInts returns n integers with undefined contents.
func BorrowInts(n int) []int64 { return freeInts.borrow(n) }

// ReturnInts gives integers back. Nobody may hold them any more.
func ReturnInts(v []int64) { freeInts.giveBack(v) }

// Borrow returns a polynomial with undefined contents, for scratch space.
func (b Basis) Borrow() Poly {
	p := make(Poly, len(b))
	for i := range p {
		p[i] = BorrowLimb(b.N())
	}
	return p
}

// Return gives a polynomial back that came from Borrow.
func Return(p Poly) {
	for _, l := range p {
		ReturnLimb(l)
	}
}

// Each calls f(0), …, f(n-1) on up to workers goroutines and waits for them.
// With one worker it is a plain loop. A panic in f is one in the caller, who can
// recover from it.
func Each(workers, n int, f func(i int)) {
	if workers = min(workers, n); workers <= 1 {
		for i := range n {
			f(i)
		}
		return
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	var failed atomic.Pointer[any]
	for range workers {
		wg.Go(func() {
			defer func() {
				if r := recover(); r != nil {
					failed.Store(&r)
				}
			}()
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				f(i)
			}
		})
	}
	wg.Wait()
	if r := failed.Load(); r != nil {
		panic(*r)
	}
}

// NTT transforms p in place.
func (b Basis) NTT(p Poly) {
	for i, s := range b {
		NTT(s, p[i], p[i])
	}
}

// INTT transforms p back in place.
func (b Basis) INTT(p Poly) {
	for i, s := range b {
		INTT(s, p[i], p[i])
	}
}

// Add adds x to dst; both in the same form.
func (b Basis) Add(dst, x Poly) {
	for i, s := range b {
		if !vectorAddTo(s, dst[i], x[i]) {
			s.Add(dst[i], x[i], dst[i])
		}
	}
}

// AddLazy sets limb dst to dst + x for residues of x below the prime and of dst
// below eight times it. That is what Lattigo's lazy transform of a
// conjugate-invariant ring leaves, though it promises twice.
func AddLazy(s *ring.SubRing, dst, x []uint64) {
	q, brc := s.Modulus, s.BRedConstant
	x = x[:len(dst)]
	for i, r := range dst {
		dst[i] = ring.BRedAdd(r+x[i], q, brc)
	}
}

// Sub subtracts x from dst; both in the same form.
func (b Basis) Sub(dst, x Poly) {
	for i, s := range b {
		if !vectorSubFrom(s, dst[i], x[i]) {
			s.Sub(dst[i], x[i], dst[i])
		}
	}
}

// MulAdd adds x·y to dst, all in NTT form and one of x, y in Montgomery form.
func (b Basis) MulAdd(dst, x, y Poly) {
	for i, s := range b {
		s.MulCoeffsMontgomeryThenAdd(x[i], y[i], dst[i])
	}
}

// MulSub subtracts x·y from dst, all in NTT form and one of x, y in Montgomery
// form.
func (b Basis) MulSub(dst, x, y Poly) {
	for i, s := range b {
		s.MulCoeffsMontgomeryThenSub(x[i], y[i], dst[i])
	}
}

// AddInts adds the integers v to one limb, in coefficient form.
func AddInts(s *ring.SubRing, dst []uint64, v []int64) {
	q := s.Modulus
	u := s.BRedConstant
	for i, x := range v {
		r := signedResidue(x, q, u) + dst[i]
		if r >= q {
			r -= q
		}
		if r >= q {
			r -= q
		}
		dst[i] = r
	}
}

// signedResidue returns x modulo q, in 0..q, in constant time.
func signedResidue(x int64, q uint64, brc []uint64) uint64 {
	sign := uint64(x >> 63)
	r := ring.BRedAdd((uint64(x)^sign)-sign, q, brc) // |x| mod q
	return (r ^ sign) - sign + q&sign
}

// AddInts adds the integers v to every limb of dst, in coefficient form.
func (b Basis) AddInts(dst Poly, v []int64) {
	for i, s := range b {
		AddInts(s, dst[i], v)
	}
}

// PowMod returns 2^e mod the prime of s.
func PowMod(s *ring.SubRing, e int) uint64 {
	x, r := uint64(2), uint64(1)
	for ; e > 0; e >>= 1 { // with the prime's own constants, which Lattigo's ModExp makes anew
		if e&1 == 1 {
			r = ring.BRed(r, x, s.Modulus, s.BRedConstant)
		}
		x = ring.BRed(x, x, s.Modulus, s.BRedConstant)
	}
	return r
}

// Centred returns coefficient i of p, in coefficient form, as the integer of
// least absolute value that has its residues.
func (b Basis) Centred(p Poly, i int) *big.Int {
	q, x := big.NewInt(1), new(big.Int)
	for k, s := range b { // Garner: x has the residues of the primes so far, q is their product
		m := new(big.Int).SetUint64(s.Modulus)
		d := new(big.Int).SetUint64(p[k][i])
		d.Sub(d, x).Mul(d, new(big.Int).ModInverse(q, m)).Mod(d, m)
		x.Add(x, d.Mul(d, q))
		q.Mul(q, m)
	}
	if x.Cmp(new(big.Int).Rsh(q, 1)) > 0 {
		x.Sub(x, q)
	}
	return x
}

// reduce128 returns (hi·2^64 + lo)·2^-64 mod q.
func reduce128(hi, lo, q, mrc uint64, brc []uint64) uint64 {
	hi = ring.BRedAdd(hi, q, brc)
	h, _ := bits.Mul64(lo*mrc, q)
	r := hi - h + q
	if r >= q {
		r -= q
	}
	return r
}

// Reduce128 sets dst to (hi·2^64 + lo)·2^-64 modulo the prime of s.
func Reduce128(s *ring.SubRing, dst, hi, lo []uint64) {
	q, mrc, brc := s.Modulus, s.MRedConstant, s.BRedConstant
	hi, lo = hi[:len(dst)], lo[:len(dst)]
	for i := vectorReduce128(s, dst, hi, lo); i < len(dst); i++ {
		dst[i] = reduce128(hi[i], lo[i], q, mrc, brc)
	}
}
