package rns

import (
	"math/bits"

	"github.com/tuneinsight/lattigo/v5/ring"
)

// Dot2 sets x to Σ d_i·b_i·2^-64 and y to Σ d_i·a_i·2^-64 modulo the prime of s,
// for one term or more. Sums are kept in 128 bits, which they must fit: residues
// may be unreduced. x and y overlap nothing.
func Dot2(s *ring.SubRing, x, y []uint64, d, b, a [][]uint64) {
	if vectorDot2(s, x, y, d, b, a) {
		return
	}
	var acc [4][block]uint64
	for lo := 0; lo < len(x); lo += block {
		hi := min(len(x), lo+block)
		acc = [4][block]uint64{}
		for i := range d {
			di, bi, ai := d[i][lo:hi], b[i][lo:hi], a[i][lo:hi]
			for t, v := range di {
				var c uint64
				ph, pl := bits.Mul64(v, bi[t])
				acc[1][t&(block-1)], c = bits.Add64(acc[1][t&(block-1)], pl, 0)
				acc[0][t&(block-1)] += ph + c
				ph, pl = bits.Mul64(v, ai[t])
				acc[3][t&(block-1)], c = bits.Add64(acc[3][t&(block-1)], pl, 0)
				acc[2][t&(block-1)] += ph + c
			}
		}
		Reduce128(s, x[lo:hi], acc[0][:], acc[1][:])
		Reduce128(s, y[lo:hi], acc[2][:], acc[3][:])
	}
}

// Dot sets dst[i] to Σ_t part[at[t]+i]·w[t]·2^-64 modulo the prime of s. Sums are
// kept in 128 bits, which they must fit, those of four residues in registers. dst
// does not overlap part.
func Dot(s *ring.SubRing, dst, part []uint64, at []int, w []uint64) {
	w = w[:len(at)]
	i := vectorDot(s, dst, part, at, w)
	for ; i+4 <= len(dst); i += 4 {
		var h0, l0, h1, l1, h2, l2, h3, l3, c uint64
		for t, f := range w {
			v := (*[4]uint64)(part[at[t]+i:])
			h, m := bits.Mul64(v[0], f)
			l0, c = bits.Add64(l0, m, 0)
			h0 += h + c
			h, m = bits.Mul64(v[1], f)
			l1, c = bits.Add64(l1, m, 0)
			h1 += h + c
			h, m = bits.Mul64(v[2], f)
			l2, c = bits.Add64(l2, m, 0)
			h2 += h + c
			h, m = bits.Mul64(v[3], f)
			l3, c = bits.Add64(l3, m, 0)
			h3 += h + c
		}
		Reduce128(s, dst[i:i+4], []uint64{h0, h1, h2, h3}, []uint64{l0, l1, l2, l3})
	}
	for ; i < len(dst); i++ {
		var hi, lo, c uint64
		for t, f := range w {
			h, m := bits.Mul64(part[at[t]+i], f)
			lo, c = bits.Add64(lo, m, 0)
			hi += h + c
		}
		Reduce128(s, dst[i:i+1], []uint64{hi}, []uint64{lo})
	}
}
