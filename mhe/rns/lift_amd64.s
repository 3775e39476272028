// Basis conversion and division, eight coefficients at a time, with AVX-512F and
// AVX-512DQ.

#include "go_asm.h"
#include "textflag.h"
#include "vector_amd64.h"

#define W1  Z22 // 1 for MUL, whose product then is a residue of x itself
#define INV Z21 // its quotient floor(2^64/q)
#define INVH Z20

// func centreAVX512(dst, src *uint64, n, q, inv, half, negative uint64)
//
// dst = src + (negative where src > half) mod q, in 0..q-1, for any src and
// negative below q.
TEXT ·centreAVX512(SB), NOSPLIT, $0-56
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ n+16(FP), CX
	CONSTANTS(q+24(FP))
	VPBROADCASTQ inv+32(FP), INV
	VPSRLQ $32, INV, INVH
	VPBROADCASTQ half+40(FP), Z10
	VPBROADCASTQ negative+48(FP), Z11
	VPTERNLOGQ $0xFF, W1, W1, W1
	VPSRLQ $63, W1, W1

centreLoop:
	VMOVDQU64 (SI), Z0
	VPCMPUQ $6, Z10, Z0, K1
	MUL(Z0, W1, INV, INVH, Z1)
	VPADDQ Z11, Z1, K1, Z1
	REDUCE(Z1)
	VMOVDQU64 Z1, (DI)
	ADDQ $64, SI
	ADDQ $64, DI
	SUBQ $8, CX
	JNZ centreLoop
	VZEROUPPER
	RET

// func digitsAVX512(y, v *uint64, stride uint64, in *[]uint64, at, n, terms uint64, c *digitFactors)
//
// Row i of y, stride words from the one before, is in[i]*w mod q for c[i], in
// 0..q-1; v is the sum of y*frac over the rows, plus 1/2, cut to an integer. The
// words of in from at on are read; n words are written.
TEXT ·digitsAVX512(SB), NOSPLIT, $0-64
	MOVQ y+0(FP), DI
	MOVQ v+8(FP), DX
	MOVQ stride+16(FP), R12
	SHLQ $3, R12
	MOVQ at+32(FP), BX
	MOVQ n+40(FP), CX
	MOVQ $0x3FE0000000000000, AX // 1/2
	VPBROADCASTQ AX, Z10

digitsBlock:
	MOVQ in+24(FP), R8
	MOVQ terms+48(FP), R9
	MOVQ c+56(FP), R10
	MOVQ DI, R13
	VPXORQ Z2, Z2, Z2

digitsTerm:
	MOVQ (R8), R11
	VMOVDQU64 (R11)(BX*8), Z0
	VPBROADCASTQ digitFactors_q(R10), Q
	VPBROADCASTQ digitFactors_w(R10), W
	VPBROADCASTQ digitFactors_quo(R10), WQ
	VPSRLQ $32, WQ, WQH
	VPADDQ Q, Q, Q2
	MUL(Z0, W, WQ, WQH, Z1)
	CUT(Q2, Z1)
	CUT(Q, Z1)
	VMOVDQU64 Z1, (R13)
	VCVTQQ2PD Z1, Z1
	VMULPD.BCST digitFactors_frac(R10), Z1, Z1
	VADDPD Z1, Z2, Z2
	ADDQ $24, R8
	ADDQ $digitFactors__size, R10
	ADDQ R12, R13
	DECQ R9
	JNZ digitsTerm
	VADDPD Z10, Z2, Z2
	VCVTTPD2QQ Z2, Z2
	VMOVDQU64 Z2, (DX)
	ADDQ $64, DX
	ADDQ $64, DI
	ADDQ $8, BX
	SUBQ $8, CX
	JNZ digitsBlock
	VZEROUPPER
	RET

// func combineAVX512(dst, y, v *uint64, stride, n, terms uint64, w, wq, neg *uint64, q uint64)
//
// dst = sum of y[i]*w[i] over the rows of y, plus neg[v], mod q, in 0..q-1, for
// eight words neg of 0..q and any y.
TEXT ·combineAVX512(SB), NOSPLIT, $0-80
	MOVQ dst+0(FP), DI
	MOVQ y+8(FP), SI
	MOVQ v+16(FP), DX
	MOVQ stride+24(FP), R12
	SHLQ $3, R12
	MOVQ n+32(FP), CX
	MOVQ terms+40(FP), BX
	MOVQ w+48(FP), R8
	MOVQ wq+56(FP), R9
	MOVQ neg+64(FP), AX
	VMOVDQU64 (AX), Z10
	CONSTANTS(q+72(FP))

combineBlock:
	VMOVDQU64 (DX), Z2
	VPERMQ Z10, Z2, Z2
	XORQ R10, R10
	MOVQ SI, R13

combineTerm:
	VMOVDQU64 (R13), Z0
	FACTOR(R8, R9, R10)
	MUL(Z0, W, WQ, WQH, Z1)
	CUT(Q4, Z2)
	VPADDQ Z1, Z2, Z2
	ADDQ R12, R13
	INCQ R10
	CMPQ R10, BX
	JB combineTerm
	REDUCE(Z2)
	VMOVDQU64 Z2, (DI)
	ADDQ $64, DX
	ADDQ $64, SI
	ADDQ $64, DI
	SUBQ $8, CX
	JNZ combineBlock
	VZEROUPPER
	RET

// func quotientAVX512(x, low *uint64, n, many, w, wq, q uint64)
//
// x = (x + many - low)*w mod q, in 0..q-1.
TEXT ·quotientAVX512(SB), NOSPLIT, $0-56
	MOVQ x+0(FP), DI
	MOVQ low+8(FP), SI
	MOVQ n+16(FP), CX
	VPBROADCASTQ many+24(FP), Z10
	VPBROADCASTQ w+32(FP), W
	VPBROADCASTQ wq+40(FP), WQ
	VPSRLQ $32, WQ, WQH
	CONSTANTS(q+48(FP))

quotientLoop:
	VPADDQ (DI), Z10, Z0
	VPSUBQ (SI), Z0, Z0
	MUL(Z0, W, WQ, WQH, Z1)
	CUT(Q2, Z1)
	CUT(Q, Z1)
	VMOVDQU64 Z1, (DI)
	ADDQ $64, DI
	ADDQ $64, SI
	SUBQ $8, CX
	JNZ quotientLoop
	VZEROUPPER
	RET
