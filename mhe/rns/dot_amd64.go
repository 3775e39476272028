package rns

import (
	"math/bits"

	"github.com/tuneinsight/lattigo/v5/ring"
	"golang.org/x/sys/cpu"
)

// vector says whether the processor has the instructions of the assembly. Tests
// switch it off.
var vector = cpu.X86.HasAVX512F && cpu.X86.HasAVX512DQ

// ifma is what the sums of products need besides.
var ifma = cpu.X86.HasAVX512IFMA

// maxTerms is the number of products whose sums in words of 52 bits overflow
// nothing.
const maxTerms = 1000

// lanes is the number of residues in a vector.
const lanes = 8

// vectorReduce128 does [Reduce128] of the first residues, and returns how many.
func vectorReduce128(s *ring.SubRing, dst, hi, lo []uint64) int {
	n := len(dst) &^ (lanes - 1)
	if !vector || n == 0 || bits.Len64(s.Modulus) > maxVector {
		return 0
	}
	hi, lo = hi[:n], lo[:n]
	reduce128AVX512(&dst[0], &hi[0], &lo[0], uint64(n), s.Modulus, s.MRedConstant, quotient64(1, s.Modulus))
	return n
}

// vectorDot2 does [Dot2] if it can.
func vectorDot2(s *ring.SubRing, x, y []uint64, d, b, a [][]uint64) bool {
	n := len(x)
	if !vector || !ifma || n == 0 || n%lanes != 0 || len(d) == 0 || len(d) > maxTerms || bits.Len64(s.Modulus) > maxVector {
		return false
	}
	y, b, a = y[:n], b[:len(d)], a[:len(d)]
	for i := range d {
		_, _, _ = d[i][:n], b[i][:n], a[i][:n]
	}
	dot2IFMA(&x[0], &y[0], &d[0], &b[0], &a[0], uint64(len(d)), uint64(n), s.Modulus, s.MRedConstant, quotient64(1, s.Modulus))
	return true
}

// vectorDot does [Dot] of the first residues, and returns how many.
func vectorDot(s *ring.SubRing, dst, part []uint64, at []int, w []uint64) int {
	n := len(dst) &^ (lanes - 1)
	if !vector || !ifma || n == 0 || len(at) == 0 || len(at) > maxTerms || bits.Len64(s.Modulus) > maxVector {
		return 0
	}
	for _, k := range at {
		_ = part[k : k+n]
	}
	w = w[:len(at)]
	dotIFMA(&dst[0], &part[0], &at[0], &w[0], uint64(len(at)), uint64(n), s.Modulus, s.MRedConstant, quotient64(1, s.Modulus))
	return n
}

//go:noescape
func reduce128AVX512(dst, hi, lo *uint64, n, q, mrc, inv uint64)

//go:noescape
func dot2IFMA(x, y *uint64, d, b, a *[]uint64, terms, n, q, mrc, inv uint64)

//go:noescape
func dotIFMA(dst, part *uint64, at *int, w *uint64, terms, n, q, mrc, inv uint64)
