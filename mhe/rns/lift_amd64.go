package rns

import (
	"math/bits"

	"github.com/tuneinsight/lattigo/v5/ring"
)

// digitFactors are what the assembly needs of a source prime: the prime,
// (Q/q_i)^-1 with its quotient, and 1/q_i.
type digitFactors struct {
	q, w, quo uint64
	frac      float64
}

// liftVectors are the factors of a lift for the assembly; nil if it has none.
type liftVectors struct {
	digits []digitFactors
	cof    []factors       // for each target prime, Q/q_i
	neg    [][lanes]uint64 // and p - v·Q for v = 0, 1, …
	centre []centring      // for a single source prime
}

// centring is what a target prime p needs for a single source prime: ⌊2^64/p⌋ and
// -Q mod p.
type centring struct{ inv, negative uint64 }

func vectorSized(b Basis) bool {
	for _, s := range b {
		if bits.Len64(s.Modulus) > maxVector {
			return false
		}
	}
	return b.N()%lanes == 0
}

func newLiftVectors(l *Lift) *liftVectors {
	if !vector || len(l.from) >= lanes || !vectorSized(l.from) || !vectorSized(append(l.to[:len(l.to):len(l.to)], l.from[0])) {
		return nil
	}
	v := &liftVectors{}
	for i, s := range l.from {
		w := ring.IMForm(l.inv[i], s.Modulus, s.MRedConstant)
		v.digits = append(v.digits, digitFactors{s.Modulus, w, quotient64(w, s.Modulus), l.frac[i]})
	}
	for j, s := range l.to {
		q := s.Modulus
		f := newFactors(len(l.from))
		for i, c := range l.cof[j] {
			f.set(i, ring.IMForm(c, q, s.MRedConstant), q)
		}
		var neg [lanes]uint64
		sub := uint64(0) // v·Q
		for k := range neg {
			neg[k] = q - sub
			sub = ring.CRed(sub+l.qMod[j], q)
		}
		v.cof, v.neg = append(v.cof, f), append(v.neg, neg)
		v.centre = append(v.centre, centring{quotient64(1, q), (q - l.qMod[j]) % q})
	}
	return v
}

// do converts coefficients lo..hi, whose number is a multiple of the lanes, if it
// can.
func (v *liftVectors) do(l *Lift, in, out Poly, lo, hi int) bool {
	if v == nil || !vector {
		return false
	}
	n := uint64(hi - lo)
	if len(l.from) == 1 {
		q := l.from[0].Modulus
		var y [chunk]uint64 // reduced: a lazy transform leaves more
		centreAVX512(&y[0], &in[0][lo:hi][0], n, q, quotient64(1, q), 0, 0)
		for j, c := range v.centre {
			centreAVX512(&out[j][lo:hi][0], &y[0], n, l.to[j].Modulus, c.inv, q/2, c.negative)
		}
		return true
	}
	d := BorrowLimb((maxLift + 1) * chunk) // rows of digits, then multiples of Q
	defer ReturnLimb(d)
	y, u := &d[0], &d[maxLift*chunk]
	for i := range l.from {
		_ = in[i][lo:hi]
	}
	digitsAVX512(y, u, chunk, &in[0], uint64(lo), n, uint64(len(l.from)), &v.digits[0])
	for j, s := range l.to {
		combineAVX512(&out[j][lo:hi][0], y, u, chunk, n, uint64(len(l.from)), &v.cof[j].w[0], &v.cof[j].quo[0], &v.neg[j][0], s.Modulus)
	}
	return true
}

// vectorQuotient sets x to (x - low)/P as [Divider.quotient] if it can; inv is
// P^-1 in Montgomery form.
func vectorQuotient(s *ring.SubRing, x, low []uint64, inv uint64) bool {
	if !vector || len(x) == 0 || len(x)%lanes != 0 || bits.Len64(s.Modulus) > maxVector {
		return false
	}
	q := s.Modulus
	w := ring.IMForm(inv, q, s.MRedConstant)
	low = low[:len(x)]
	quotientAVX512(&x[0], &low[0], uint64(len(x)), 8*q, w, quotient64(w, q), q)
	return true
}

//go:noescape
func centreAVX512(dst, src *uint64, n, q, inv, half, negative uint64)

//go:noescape
func digitsAVX512(y, v *uint64, stride uint64, in *[]uint64, at, n, terms uint64, c *digitFactors)

//go:noescape
func combineAVX512(dst, y, v *uint64, stride, n, terms uint64, w, wq, neg *uint64, q uint64)

//go:noescape
func quotientAVX512(x, low *uint64, n, many, w, wq, q uint64)
