package rns

import (
	"math"
	"math/bits"

	"github.com/tuneinsight/lattigo/v5/ring"
)

// A Lift converts centred integers from one basis to another: the polynomial
// with coefficients in (-Q/2, Q/2), Q the product of from, becomes the same
// polynomial modulo the primes of to. It is exact for |x| ≤ 0.49·Q and safe for
// concurrent use.
type Lift struct {
	from, to Basis
	inv      []uint64   // (Q/q_i)^-1 mod q_i, Montgomery form
	frac     []float64  // 1/q_i
	cof      [][]uint64 // [to][from] Q/q_i mod p_j, Montgomery form
	qMod     []uint64   // Q mod p_j
	vectors  *liftVectors
}

// NewLift prepares the conversion.
func NewLift(from, to Basis) *Lift {
	l := &Lift{from: from, to: to}
	for i, s := range from {
		l.inv = append(l.inv, mont(s, ring.ModExp(productExcept(from, i, s), s.Modulus-2, s.Modulus)))
		l.frac = append(l.frac, 1/float64(s.Modulus))
	}
	for _, t := range to {
		row := make([]uint64, len(from))
		for i := range from {
			row[i] = mont(t, productExcept(from, i, t))
		}
		l.cof = append(l.cof, row)
		l.qMod = append(l.qMod, productExcept(from, -1, t))
	}
	l.vectors = newLiftVectors(l)
	return l
}

// productExcept returns the product of the primes of b but the i-th, mod s.
func productExcept(b Basis, i int, s *ring.SubRing) uint64 {
	r := uint64(1)
	for k, t := range b {
		if k != i {
			r = ring.BRed(r, ring.BRedAdd(t.Modulus, s.Modulus, s.BRedConstant), s.Modulus, s.BRedConstant)
		}
	}
	return r
}

func mont(s *ring.SubRing, x uint64) uint64 { return ring.MForm(x, s.Modulus, s.BRedConstant) }

// maxLift bounds the primes of a source basis, so that scratch space stays on
// the stack and 128-bit sums of products do not overflow.
const maxLift = 8

// chunk is the number of coefficients converted at a time: their digits stay in
// the cache.
const chunk = 1024

// Do converts in, in coefficient form and unchanged, to out. Cost: for N
// coefficients, len(from)·(1+len(to))·N multiplications.
func (l *Lift) Do(in, out Poly, workers int) {
	n := l.from.N()
	Each(workers, (n+chunk-1)/chunk, func(c int) {
		lo, hi := c*chunk, min(n, (c+1)*chunk)
		if l.vectors.do(l, in, out, lo, hi) {
			return
		}
		if len(l.from) == 1 {
			l.centre(in, out, lo, hi)
			return
		}
		var d digits
		l.digits(&d, in, lo, hi)
		for j := range l.to {
			l.combine(&d, out[j][lo:hi], j)
		}
	})
}

// centre converts coefficients lo..hi of a single prime q: residues above q/2
// stand for negative numbers. It is what every digit of a key switch with one
// special prime needs.
func (l *Lift) centre(in, out Poly, lo, hi int) {
	from := l.from[0]
	half := from.Modulus / 2
	var y [chunk]uint64 // reduced: a lazy transform leaves more
	for x, r := range in[0][lo:hi] {
		y[x] = ring.BRedAdd(r, from.Modulus, from.BRedConstant)
	}
	for j, s := range l.to {
		p, brc := s.Modulus, s.BRedConstant
		negative := (p - l.qMod[j]) % p
		dst := out[j][lo:hi]
		for x, r := range y[:len(dst)] {
			upper := uint64(int64(half-r) >> 63) // all ones for the upper half
			dst[x] = ring.CRed(ring.BRedAdd(r, p, brc)+negative&upper, p)
		}
	}
}

// digits are x_i·(Q/q_i)^-1 mod q_i for a chunk of coefficients, and
// ⌊Σ digit_i/q_i⌉, the multiple of Q by which Σ digit_i·Q/q_i is too large.
type digits struct {
	y [maxLift][chunk]uint64
	v [chunk]uint64
}

func (l *Lift) digits(d *digits, in Poly, lo, hi int) {
	var f [chunk]float64
	for i, s := range l.from {
		q, mrc, inv, frac := s.Modulus, s.MRedConstant, l.inv[i], l.frac[i]
		y := d.y[i][:hi-lo]
		for x, r := range in[i][lo:hi] {
			t := ring.MRed(r, inv, q, mrc)
			y[x] = t
			f[x] += float64(float64(int64(t)) * frac) // a signed conversion is one instruction; not fused: all parties round alike
		}
	}
	for x := range hi - lo {
		d.v[x] = uint64(int64(f[x] + 0.5))
	}
}

// Largest returns the largest |x|/Q of the coefficients x of in, in coefficient
// form, as centred integers: at most 1/2, to about 15 digits.
func (l *Lift) Largest(in Poly) float64 {
	var d digits
	most := 0.0
	for lo := 0; lo < l.from.N(); lo += chunk {
		hi := min(l.from.N(), lo+chunk)
		l.digits(&d, in, lo, hi)
		for x := range hi - lo {
			f := 0.0
			for i, frac := range l.frac {
				f += float64(float64(int64(d.y[i][x])) * frac)
			}
			most = max(most, math.Abs(f-math.Round(f)))
		}
	}
	return most
}

func (l *Lift) combine(d *digits, dst []uint64, j int) {
	s := l.to[j]
	q, mrc, brc := s.Modulus, s.MRedConstant, s.BRedConstant
	var sub [maxLift + 1]uint64 // v·Q mod p_j
	for i := range l.from {
		sub[i+1] = ring.CRed(sub[i]+l.qMod[j], q)
	}
	v := d.v[:len(dst)]
	switch len(l.from) {
	case 2: // two special primes
		c0, c1 := l.cof[j][0], l.cof[j][1]
		y0, y1 := d.y[0][:len(dst)], d.y[1][:len(dst)]
		for x := range dst {
			h0, l0 := bits.Mul64(y0[x], c0)
			h1, l1 := bits.Mul64(y1[x], c1)
			lo, c := bits.Add64(l0, l1, 0)
			hi, _ := bits.Add64(h0, h1, c)
			h, _ := bits.Mul64(lo*mrc, q)
			r := hi - h + q // as below
			r += q - sub[v[x]]
			if r >= 2*q {
				r -= 2 * q
			}
			dst[x] = ring.CRed(r, q)
		}
	case 3: // the masks of a refresh: sums stay in registers
		c0, c1, c2 := l.cof[j][0], l.cof[j][1], l.cof[j][2]
		y0, y1, y2 := d.y[0][:len(dst)], d.y[1][:len(dst)], d.y[2][:len(dst)]
		for x := range dst {
			h0, l0 := bits.Mul64(y0[x], c0)
			h1, l1 := bits.Mul64(y1[x], c1)
			h2, l2 := bits.Mul64(y2[x], c2)
			lo, c := bits.Add64(l0, l1, 0)
			hi, _ := bits.Add64(h0, h1, c)
			lo, c = bits.Add64(lo, l2, 0)
			hi, _ = bits.Add64(hi, h2, c)
			// digits are below 2^61 and cofactors below q: hi is below q
			h, _ := bits.Mul64(lo*mrc, q)
			r := hi - h + q // in 1..2q-1
			r += q - sub[v[x]]
			if r >= 2*q {
				r -= 2 * q
			}
			dst[x] = ring.CRed(r, q)
		}
	default:
		var hi, lo [chunk]uint64
		for i := range l.from {
			c := l.cof[j][i]
			for x, t := range d.y[i][:len(dst)] {
				ph, pl := bits.Mul64(t, c)
				var carry uint64
				lo[x], carry = bits.Add64(lo[x], pl, 0)
				hi[x] += ph + carry
			}
		}
		for x := range dst {
			dst[x] = ring.CRed(reduce128(hi[x], lo[x], q, mrc, brc)+q-sub[v[x]], q)
		}
	}
}

// A Divider divides by the product of the last primes of a basis, rounding to
// the nearest integer: from modulus Q·P to Q. It is safe for concurrent use.
type Divider struct {
	q, p Basis
	lift *Lift
	pInv []uint64 // P^-1 mod q_i, Montgomery form
	pMod []uint64 // P mod q_i, Montgomery form
}

// NewDivider prepares division by the product of p of polynomials over q
// followed by p.
func NewDivider(q, p Basis) *Divider {
	d := &Divider{q: q, p: p, lift: NewLift(p, q)}
	for _, s := range q {
		r := productExcept(p, -1, s)
		d.pMod = append(d.pMod, mont(s, r))
		d.pInv = append(d.pInv, mont(s, ring.ModExp(r, s.Modulus-2, s.Modulus)))
	}
	return d
}

// Round replaces the first limbs of x, in NTT form over q followed by p, by
// ⌊x/P⌉ + after, and destroys the limbs of p. before is added to x first, after
// to the quotient; both are small integer polynomials in coefficient form, nil
// for none, and cost no transform of their own. Cost: len(p)+len(q) transforms.
func (d *Divider) Round(x Poly, before, after []int64, workers int) {
	k := len(d.q)
	tail := x[k:]
	for j, s := range d.p {
		if before == nil {
			INTTLazy(s, tail[j], tail[j]) // the lift takes any residues
			continue
		}
		INTT(s, tail[j], tail[j])
		AddInts(s, tail[j], before)
	}
	low := d.q.Borrow()
	defer Return(low)
	d.lift.Do(tail, low, workers)
	// (x + before - low)/P + after = (x - (low - before - P·after))/P
	Each(workers, k, func(i int) {
		s := d.q[i]
		if before != nil {
			subInts(s, low[i], before, mont(s, 1))
		}
		if after != nil {
			subInts(s, low[i], after, d.pMod[i])
		}
		NTTLazy(s, low[i], low[i])
		d.quotient(i, x[i], low[i])
	})
}

// quotient sets limb i, x, to (x - low)/P, for low below eight times the prime.
func (d *Divider) quotient(i int, x, low []uint64) {
	s := d.q[i]
	if vectorQuotient(s, x, low, d.pInv[i]) {
		return
	}
	q, mrc, inv, many := s.Modulus, s.MRedConstant, d.pInv[i], 8*s.Modulus
	low = low[:len(x)]
	for t, r := range x {
		x[t] = ring.MRed(r+many-low[t], inv, q, mrc)
	}
}

// subInts subtracts factor·v from residues, for a factor in Montgomery form.
func subInts(s *ring.SubRing, dst []uint64, v []int64, factor uint64) {
	q, mrc, brc := s.Modulus, s.MRedConstant, s.BRedConstant
	v = v[:len(dst)]
	for i, r := range dst {
		dst[i] = ring.CRed(r+q-ring.MRed(signedResidue(v[i], q, brc), factor, q, mrc), q)
	}
}
