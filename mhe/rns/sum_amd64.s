// Sums and automorphisms, eight residues at a time, with AVX-512F and DQ, and
// with IFMA where there are products.
//
// An automorphism takes eight aligned residues to eight aligned residues: a load
// and a permutation gather them.

#include "textflag.h"
#include "vector_amd64.h"

// func applyAVX512(dst, src *uint64, by *uint32, n, limit uint64) (done uint64)
//
// dst[i] = src[by[i]].
TEXT ·applyAVX512(SB), NOSPLIT, $0-48
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ by+16(FP), R8
	MOVQ n+24(FP), CX
	MOVQ limit+32(FP), R9
	EIGHTS
	XORQ BX, BX

applyLoop:
	GATHER(SI, R8, BX, R9, applyEnd, Z0)
	VMOVDQU64 Z0, (DI)(BX*8)
	ADDQ $8, BX
	CMPQ BX, CX
	JB applyLoop

applyEnd:
	MOVQ BX, done+40(FP)
	VZEROUPPER
	RET

// func addAtAVX512(dst, src *uint64, by *uint32, n, limit, q uint64) (done uint64)
//
// dst[i] = dst[i] + src[by[i]] mod q, for reduced residues.
TEXT ·addAtAVX512(SB), NOSPLIT, $0-56
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ by+16(FP), R8
	MOVQ n+24(FP), CX
	MOVQ limit+32(FP), R9
	EIGHTS
	CONSTANTS(q+40(FP))
	XORQ BX, BX

addAtLoop:
	GATHER(SI, R8, BX, R9, addAtEnd, Z0)
	VPADDQ (DI)(BX*8), Z0, Z0
	CUT(Q, Z0)
	VMOVDQU64 Z0, (DI)(BX*8)
	ADDQ $8, BX
	CMPQ BX, CX
	JB addAtLoop

addAtEnd:
	MOVQ BX, done+48(FP)
	VZEROUPPER
	RET

// func addAVX512(dst, x *uint64, n, q uint64)
//
// dst = dst + x mod q, for reduced residues.
TEXT ·addAVX512(SB), NOSPLIT, $0-32
	MOVQ dst+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ n+16(FP), CX
	CONSTANTS(q+24(FP))
	XORQ BX, BX

addLoop:
	VMOVDQU64 (DI)(BX*8), Z0
	VPADDQ (SI)(BX*8), Z0, Z0
	CUT(Q, Z0)
	VMOVDQU64 Z0, (DI)(BX*8)
	ADDQ $8, BX
	CMPQ BX, CX
	JB addLoop
	VZEROUPPER
	RET

// func subAVX512(dst, x *uint64, n, q uint64)
//
// dst = dst - x mod q, for reduced residues.
TEXT ·subAVX512(SB), NOSPLIT, $0-32
	MOVQ dst+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ n+16(FP), CX
	CONSTANTS(q+24(FP))
	XORQ BX, BX

subLoop:
	VPADDQ (DI)(BX*8), Q, Z0
	VPSUBQ (SI)(BX*8), Z0, Z0
	CUT(Q, Z0)
	VMOVDQU64 Z0, (DI)(BX*8)
	ADDQ $8, BX
	CMPQ BX, CX
	JB subLoop
	VZEROUPPER
	RET
