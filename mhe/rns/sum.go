package rns

import (
	"math/bits"

	"github.com/tuneinsight/lattigo/v5/ring"
)

// MulPeriod sets dst to x ⊙ m modulo the prime of s. m is a plaintext in NTT and
// Montgomery form that repeats in every sense but that of memory: a polynomial in
// X^(N/p) takes p values in NTT form, each of them at N/p neighbours, and m holds
// them once. dst may be x.
func MulPeriod(s *ring.SubRing, dst, x, m []uint64) {
	q, mrc, run := s.Modulus, s.MRedConstant, len(x)/len(m)
	if run == 1 {
		s.MulCoeffsMontgomery(x, m, dst)
		return
	}
	for i, c := range m {
		in, out := x[i*run:(i+1)*run], dst[i*run:(i+1)*run]
		for t, r := range in {
			out[t] = ring.MRed(r, c, q, mrc)
		}
	}
}

// A Term is one summand of [Sum]: Mask ⊙ By(X).
type Term struct {
	X    []uint64     // a limb in NTT form, reduced
	By   Automorphism // nil for the identity
	Mask []uint64     // as in [MulPeriod]; nil for none
}

// block is the number of residues that are summed at a time: their 128-bit sums
// stay in the cache. An automorphism maps aligned blocks to aligned blocks, so
// that no more is read of every term.
const block = 256

// flush is the number of products of residues below 2^61 that a 128-bit sum takes
// on top of a high word below 2^61.
const flush = 32

// Sum sets dst to the sum of one term or more modulo the prime of s. Either all
// have a mask or none has, and dst overlaps none of them. Cost: for every residue
// of a term a multiplication, if there are masks, and one reduction for all.
func Sum(s *ring.SubRing, dst []uint64, terms []Term) {
	if terms[0].Mask != nil && vectorSum(s, dst, terms) {
		return
	}
	var acc sums
	for lo := 0; lo < len(dst); lo += block {
		hi := min(len(dst), lo+block)
		if terms[0].Mask == nil {
			add(s.Modulus, dst, terms, lo, hi)
			continue
		}
		acc = sums{}
		for i := range terms {
			if i > 0 && i%flush == 0 {
				for t, x := range acc.hi {
					acc.hi[t] = ring.BRedAdd(x, s.Modulus, s.BRedConstant)
				}
			}
			terms[i].addTo(&acc, lo, hi, len(dst))
		}
		Reduce128(s, dst[lo:hi], acc.hi[:], acc.lo[:])
	}
}

// add sets residues lo..hi of dst to a sum of terms without masks.
func add(q uint64, dst []uint64, terms []Term, lo, hi int) {
	out := dst[lo:hi]
	if !vector && len(terms) == 2 && terms[0].By == nil && terms[1].By != nil { // a doubling
		x, y := terms[0].X[lo:hi], terms[1].X
		for i, k := range terms[1].By[lo:hi] {
			out[i] = ring.CRed(x[i]+y[k], q)
		}
		return
	}
	if first := terms[0]; first.By == nil {
		copy(out, first.X[lo:hi])
	} else {
		first.By[lo:hi].Apply(out, first.X)
	}
	for _, t := range terms[1:] {
		if t.By != nil {
			t.By[lo:hi].Add(out, t.X, q)
			continue
		}
		x := t.X[lo:hi]
		for i := vectorAddBlock(out, x, q); i < len(out); i++ {
			out[i] = ring.CRed(out[i]+x[i], q)
		}
	}
}

// sums are 128-bit sums of products.
type sums struct{ hi, lo [block]uint64 }

// addTo adds the products of residues lo..hi, of n. An aligned block of them has
// one factor, or whole runs of them.
func (t *Term) addTo(acc *sums, lo, hi, n int) {
	shift := bits.Len(uint(n/len(t.Mask))) - 1
	if run := 1 << shift; run < 8 { // too short for a loop of their own
		for at := lo; at < hi; at++ {
			k := at
			if t.By != nil {
				k = int(t.By[at])
			}
			acc.add(at-lo, t.X[k], t.Mask[at>>shift])
		}
		return
	}
	for at := lo; at < hi; {
		end := min(hi, at+1<<shift)
		c, h, l := t.Mask[at>>shift], acc.hi[at-lo:end-lo], acc.lo[at-lo:end-lo]
		if t.By == nil {
			mulAdd(h, l, t.X[at:end], c)
		} else {
			mulAddAt(h, l, t.X, t.By[at:end], c)
		}
		at = end
	}
}

func (a *sums) add(i int, x, y uint64) {
	ph, pl := bits.Mul64(x, y)
	var c uint64
	a.lo[i], c = bits.Add64(a.lo[i], pl, 0)
	a.hi[i] += ph + c
}

// mulAdd adds x·y to the sums.
func mulAdd(hi, lo, x []uint64, y uint64) {
	hi, lo = hi[:len(x)], lo[:len(x)]
	for i, r := range x {
		ph, pl := bits.Mul64(r, y)
		var c uint64
		lo[i], c = bits.Add64(lo[i], pl, 0)
		hi[i] += ph + c
	}
}

// mulAddAt adds the residues of x at the indices by, times y, to the sums.
func mulAddAt(hi, lo, x []uint64, by Automorphism, y uint64) {
	hi, lo = hi[:len(by)], lo[:len(by)]
	for i, k := range by {
		ph, pl := bits.Mul64(x[k], y)
		var c uint64
		lo[i], c = bits.Add64(lo[i], pl, 0)
		hi[i] += ph + c
	}
}
