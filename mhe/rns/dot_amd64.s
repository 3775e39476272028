// Sums of products in 128 bits, eight at a time, with AVX-512F, DQ and, but for
// reduce128AVX512, IFMA.

#include "go_asm.h"
#include "textflag.h"
#include "vector_amd64.h"

#define MRC  Z22 // q^-1 mod 2^64
#define QH   Z21 // upper half of q
#define LOW  Z20 // 2^32 - 1
#define INV  Z19 // floor(2^64/q)
#define INVH Z18 // upper half of INV
#define ONE  Z17 // 1
#define T3   Z16

// MONTGOMERY prepares the registers of SHRINK128 from q, mrc and inv in memory.
#define MONTGOMERY(q, mrc, inv) \
	CONSTANTS(q); \
	VPBROADCASTQ mrc, MRC; \
	VPBROADCASTQ inv, INV; \
	VPSRLQ       $32, Q, QH; \
	VPSRLQ       $32, INV, INVH; \
	VPTERNLOGQ   $0xFF, LOW, LOW, LOW; \
	VPSRLQ       $63, LOW, ONE; \
	VPSRLQ       $32, LOW, LOW

// SHRINK128 sets hi to (hi*2^64 + lo)*2^-64 mod q, in 0..q-1. It is
// hi - floor(m*q/2^64) for m = lo*q^-1 mod 2^64, whose low words cancel, so that
// the high word must be exact; hi is brought to 0..4q-1 first. It destroys lo.
#define SHRINK128(hi, lo) \
	VPMULLQ  MRC, lo, lo; \
	VPSRLQ   $32, lo, T0; \
	VPMULUDQ Q, lo, T1; \
	VPMULUDQ QH, lo, T2; \
	VPMULUDQ Q, T0, T3; \
	VPMULUDQ QH, T0, T0; \
	VPSRLQ   $32, T1, T1; \
	VPADDQ   T3, T1, T1; \
	VPANDQ   LOW, T1, T3; \
	VPSRLQ   $32, T1, T1; \
	VPADDQ   T3, T2, T2; \
	VPADDQ   T1, T0, T0; \
	VPSRLQ   $32, T2, T2; \
	VPADDQ   T2, T0, T3; \
	MUL(hi, ONE, INV, INVH, T0); \
	VPADDQ   Q, T0, T0; \
	VPSUBQ   T3, T0, hi; \
	REDUCE(hi)

// PRODUCT adds x*y to a sum a + (b+d)*2^52 + (c+e)*2^104 of words, for upper parts
// xh = floor(x/2^52), yh = floor(y/2^52). IFMA takes the lower 52 bits of every
// factor. A word grows by less than 2^53. Five words instead of three make chains
// of additions shorter than their latency allows.
#define PRODUCT(x, xh, y, yh, a, b, c, d, e) \
	VPMADD52LUQ y, x, a; \
	VPMADD52HUQ y, x, b; \
	VPMADD52LUQ yh, x, d; \
	VPMADD52LUQ y, xh, d; \
	VPMADD52HUQ yh, x, c; \
	VPMADD52HUQ y, xh, e; \
	VPMADD52LUQ yh, xh, c

// WORDS makes two words of such a sum: a the lower, c the upper one. It destroys b
// and K1.
#define WORDS(a, b, c, d, e) \
	VPADDQ  d, b, b; \
	VPADDQ  e, c, c; \
	VPSLLQ  $40, c, c; \
	VPSRLQ  $12, b, T1; \
	VPSLLQ  $52, b, b; \
	VPADDQ  T1, c, c; \
	VPADDQ  b, a, a; \
	VPCMPUQ $1, b, a, K1; \
	VPADDQ  ONE, c, K1, c

// func reduce128AVX512(dst, hi, lo *uint64, n, q, mrc, inv uint64)
//
// dst = (hi*2^64 + lo)*2^-64 mod q.
TEXT ·reduce128AVX512(SB), NOSPLIT, $0-56
	MOVQ dst+0(FP), DI
	MOVQ hi+8(FP), SI
	MOVQ lo+16(FP), DX
	MOVQ n+24(FP), CX
	MONTGOMERY(q+32(FP), mrc+40(FP), inv+48(FP))

reduce128Loop:
	VMOVDQU64 (SI), Z0
	VMOVDQU64 (DX), Z1
	SHRINK128(Z0, Z1)
	VMOVDQU64 Z0, (DI)
	ADDQ $64, SI
	ADDQ $64, DX
	ADDQ $64, DI
	SUBQ $8, CX
	JNZ reduce128Loop
	VZEROUPPER
	RET

// func dot2IFMA(x, y *uint64, d, b, a *[]uint64, terms, n, q, mrc, inv uint64)
//
// x = sum of d[i]*b[i]*2^-64 mod q, y that of d[i]*a[i], over slices of n words.
TEXT ·dot2IFMA(SB), NOSPLIT, $0-80
	MOVQ x+0(FP), DI
	MOVQ y+8(FP), SI
	MONTGOMERY(q+56(FP), mrc+64(FP), inv+72(FP))
	XORQ BX, BX // index of the residue

dot2Block:
	MOVQ d+16(FP), R8
	MOVQ b+24(FP), R9
	MOVQ a+32(FP), R10
	MOVQ terms+40(FP), CX
	VPXORQ Z0, Z0, Z0
	VPXORQ Z1, Z1, Z1
	VPXORQ Z2, Z2, Z2
	VPXORQ Z12, Z12, Z12
	VPXORQ Z13, Z13, Z13
	VPXORQ Z3, Z3, Z3
	VPXORQ Z4, Z4, Z4
	VPXORQ Z5, Z5, Z5
	VPXORQ Z14, Z14, Z14
	VPXORQ Z15, Z15, Z15

dot2Term:
	MOVQ (R8), R11 // words of the slices
	MOVQ (R9), R12
	MOVQ (R10), R13
	VMOVDQU64 (R11)(BX*8), Z6
	VMOVDQU64 (R12)(BX*8), Z7
	VMOVDQU64 (R13)(BX*8), Z8
	VPSRLQ $52, Z6, Z9
	VPSRLQ $52, Z7, Z10
	VPSRLQ $52, Z8, Z11
	PRODUCT(Z6, Z9, Z7, Z10, Z0, Z1, Z2, Z12, Z13)
	PRODUCT(Z6, Z9, Z8, Z11, Z3, Z4, Z5, Z14, Z15)
	ADDQ $24, R8
	ADDQ $24, R9
	ADDQ $24, R10
	DECQ CX
	JNZ dot2Term
	WORDS(Z0, Z1, Z2, Z12, Z13)
	SHRINK128(Z2, Z0)
	VMOVDQU64 Z2, (DI)(BX*8)
	WORDS(Z3, Z4, Z5, Z14, Z15)
	SHRINK128(Z5, Z3)
	VMOVDQU64 Z5, (SI)(BX*8)
	ADDQ $8, BX
	CMPQ BX, n+48(FP)
	JB dot2Block
	VZEROUPPER
	RET

// func dotIFMA(dst, part *uint64, at *int, w *uint64, terms, n, q, mrc, inv uint64)
//
// dst[i] = sum of part[at[t]+i]*w[t]*2^-64 mod q.
TEXT ·dotIFMA(SB), NOSPLIT, $0-72
	MOVQ dst+0(FP), DI
	MOVQ part+8(FP), SI
	MOVQ at+16(FP), R8
	MOVQ w+24(FP), R9
	MOVQ n+40(FP), DX
	MONTGOMERY(q+48(FP), mrc+56(FP), inv+64(FP))

dotBlock:
	MOVQ terms+32(FP), CX
	XORQ BX, BX
	VPXORQ Z0, Z0, Z0
	VPXORQ Z1, Z1, Z1
	VPXORQ Z2, Z2, Z2
	VPXORQ Z12, Z12, Z12
	VPXORQ Z13, Z13, Z13

dotTerm:
	MOVQ (R8)(BX*8), R11
	VMOVDQU64 (SI)(R11*8), Z6
	VPBROADCASTQ (R9)(BX*8), Z7
	VPSRLQ $52, Z6, Z9
	VPSRLQ $52, Z7, Z10
	PRODUCT(Z6, Z9, Z7, Z10, Z0, Z1, Z2, Z12, Z13)
	INCQ BX
	CMPQ BX, CX
	JB dotTerm
	WORDS(Z0, Z1, Z2, Z12, Z13)
	SHRINK128(Z2, Z0)
	VMOVDQU64 Z2, (DI)
	ADDQ $64, DI
	ADDQ $64, SI
	SUBQ $8, DX
	JNZ dotBlock
	VZEROUPPER
	RET

// func sumIFMA(dst *uint64, terms *Term, count, n, limit, q, mrc, inv uint64) (done uint64)
//
// dst = sum of x*f*2^-64 mod q over the terms, where x is X, or X at By, and f is
// one of len(Mask) factors for each run of n/len(Mask) residues: 1 or no less than
// 8 of them. X has a last vector at limit.
TEXT ·sumIFMA(SB), NOSPLIT, $0-72
	MOVQ dst+0(FP), DI
	MONTGOMERY(q+40(FP), mrc+48(FP), inv+56(FP))
	EIGHTS
	XORQ BX, BX // index of the residue
	BSFQ n+24(FP), R13

sumBlock:
	MOVQ terms+8(FP), R8
	MOVQ count+16(FP), DX
	VPXORQ Z0, Z0, Z0
	VPXORQ Z1, Z1, Z1
	VPXORQ Z2, Z2, Z2
	VPXORQ Z12, Z12, Z12
	VPXORQ Z13, Z13, Z13

sumTerm:
	MOVQ Term_X(R8), SI
	MOVQ Term_By(R8), R9
	MOVQ Term_Mask(R8), R10
	MOVQ (Term_Mask+8)(R8), R11 // its length
	BSFQ R11, R12
	MOVQ R13, CX
	SUBQ R12, CX     // log2 of a run
	TESTQ R9, R9
	JZ sumPlain
	MOVQ limit+32(FP), R12
	GATHER(SI, R9, BX, R12, sumEnd, Z6)
	JMP sumMask

sumPlain:
	VMOVDQU64 (SI)(BX*8), Z6

sumMask:
	TESTQ CX, CX
	JZ sumFull
	MOVQ BX, R12
	SHRQ CX, R12
	VPBROADCASTQ (R10)(R12*8), Z7
	JMP sumProduct

sumFull:
	VMOVDQU64 (R10)(BX*8), Z7

sumProduct:
	VPSRLQ $52, Z6, Z9
	VPSRLQ $52, Z7, Z10
	PRODUCT(Z6, Z9, Z7, Z10, Z0, Z1, Z2, Z12, Z13)
	ADDQ $Term__size, R8
	DECQ DX
	JNZ sumTerm
	WORDS(Z0, Z1, Z2, Z12, Z13)
	SHRINK128(Z2, Z0)
	VMOVDQU64 Z2, (DI)(BX*8)
	ADDQ $8, BX
	CMPQ BX, n+24(FP)
	JB sumBlock

sumEnd:
	MOVQ BX, done+64(FP)
	VZEROUPPER
	RET
