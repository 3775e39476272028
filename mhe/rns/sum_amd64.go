package rns

import (
	"math/bits"

	"github.com/tuneinsight/lattigo/v5/ring"
)

// vectorApply does [Automorphism.Apply] of the first residues, and returns how
// many.
func (a Automorphism) vectorApply(dst, src []uint64) int {
	n := len(a) &^ (lanes - 1)
	if !vector || n == 0 || len(src) < lanes {
		return 0
	}
	dst = dst[:n]
	return int(applyAVX512(&dst[0], &src[0], &a[0], uint64(n), uint64(len(src)-lanes)))
}

// vectorAdd does [Automorphism.Add] of the first residues, and returns how many.
func (a Automorphism) vectorAdd(dst, src []uint64, q uint64) int {
	n := len(a) &^ (lanes - 1)
	if !vector || n == 0 || len(src) < lanes {
		return 0
	}
	dst = dst[:n]
	return int(addAtAVX512(&dst[0], &src[0], &a[0], uint64(n), uint64(len(src)-lanes), q))
}

// vectorAddTo and vectorSubFrom add x to dst and subtract it if they can.
func vectorAddTo(s *ring.SubRing, dst, x []uint64) bool {
	if !vector || s.N%lanes != 0 {
		return false
	}
	dst, x = dst[:s.N], x[:s.N]
	addAVX512(&dst[0], &x[0], uint64(s.N), s.Modulus)
	return true
}

func vectorSubFrom(s *ring.SubRing, dst, x []uint64) bool {
	if !vector || s.N%lanes != 0 {
		return false
	}
	dst, x = dst[:s.N], x[:s.N]
	subAVX512(&dst[0], &x[0], uint64(s.N), s.Modulus)
	return true
}

// maxSum is the number of products of residues below 2^61 that 128 bits hold.
const maxSum = 64

// vectorSum does [Sum] of terms with masks if it can: none may repeat its factors
// two or four times.
func vectorSum(s *ring.SubRing, dst []uint64, terms []Term) bool {
	n := len(dst)
	if !vector || !ifma || n < lanes || n&(n-1) != 0 || bits.Len64(s.Modulus) > maxVector {
		return false
	}
	for _, t := range terms {
		m := len(t.Mask)
		if len(t.X) != n || t.By != nil && len(t.By) != n || m == 0 || m&(m-1) != 0 || m != n && m > n/lanes {
			return false
		}
	}
	part := dst
	for first := 0; first < len(terms); first += maxSum {
		if first == maxSum {
			part = BorrowLimb(n)
			defer ReturnLimb(part)
		}
		some := terms[first:min(len(terms), first+maxSum)]
		done := sumIFMA(&part[0], &some[0], uint64(len(some)), uint64(n), uint64(n-lanes), s.Modulus, s.MRedConstant, quotient64(1, s.Modulus))
		if done < uint64(n) {
			return false
		}
		if first > 0 {
			addAVX512(&dst[0], &part[0], uint64(n), s.Modulus)
		}
	}
	return true
}

// vectorAddBlock adds x to dst modulo q in the first residues, and returns how many.
func vectorAddBlock(dst, x []uint64, q uint64) int {
	n := len(dst) &^ (lanes - 1)
	if !vector || n == 0 {
		return 0
	}
	x = x[:n]
	addAVX512(&dst[0], &x[0], uint64(n), q)
	return n
}

//go:noescape
func sumIFMA(dst *uint64, terms *Term, count, n, limit, q, mrc, inv uint64) (done uint64)

//go:noescape
func applyAVX512(dst, src *uint64, by *uint32, n, limit uint64) (done uint64)

//go:noescape
func addAtAVX512(dst, src *uint64, by *uint32, n, limit, q uint64) (done uint64)

//go:noescape
func addAVX512(dst, x *uint64, n, q uint64)

//go:noescape
func subAVX512(dst, x *uint64, n, q uint64)
