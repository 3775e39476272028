// Transforms of conjugate-invariant rings on eight residues at a time, with
// AVX-512F and AVX-512DQ. ntt_amd64.go says how the passes make a transform.
//
// Everywhere q is the prime, below 2^61, and a residue is any integer that is
// congruent modulo q: its range is given where it matters.

#include "textflag.h"
#include "vector_amd64.h"

// BUTTERFLY sets x, y to x + w*y, x - w*y; all in 0..8q-1.
#define BUTTERFLY(x, y, w, wq, wqh) \
	MUL(y, w, wq, wqh, T0); \
	CUT(Q4, x); \
	VPADDQ Q4, x, T1; \
	VPADDQ T0, x, x; \
	VPSUBQ T0, T1, y

// INVERSE sets x, y to x + y, (x - y)*w; all in 0..4q-1.
#define INVERSE(x, y, w, wq, wqh) \
	VPADDQ Q4, x, T0; \
	VPSUBQ y, T0, T0; \
	VPADDQ y, x, x; \
	CUT(Q4, x); \
	MUL(T0, w, wq, wqh, y)

// TRANSPOSE writes the columns of the matrix with rows a0..a7 to b0..b7, and
// destroys the rows.
#define TRANSPOSE(a0, a1, a2, a3, a4, a5, a6, a7, b0, b1, b2, b3, b4, b5, b6, b7) \
	VPUNPCKLQDQ a1, a0, b0; \
	VPUNPCKHQDQ a1, a0, b1; \
	VPUNPCKLQDQ a3, a2, b2; \
	VPUNPCKHQDQ a3, a2, b3; \
	VPUNPCKLQDQ a5, a4, b4; \
	VPUNPCKHQDQ a5, a4, b5; \
	VPUNPCKLQDQ a7, a6, b6; \
	VPUNPCKHQDQ a7, a6, b7; \
	VSHUFI64X2  $0x88, b2, b0, a0; \
	VSHUFI64X2  $0xDD, b2, b0, a1; \
	VSHUFI64X2  $0x88, b6, b4, a2; \
	VSHUFI64X2  $0xDD, b6, b4, a3; \
	VSHUFI64X2  $0x88, b3, b1, a4; \
	VSHUFI64X2  $0xDD, b3, b1, a5; \
	VSHUFI64X2  $0x88, b7, b5, a6; \
	VSHUFI64X2  $0xDD, b7, b5, a7; \
	VSHUFI64X2  $0x88, a2, a0, b0; \
	VSHUFI64X2  $0xDD, a2, a0, b4; \
	VSHUFI64X2  $0x88, a3, a1, b2; \
	VSHUFI64X2  $0xDD, a3, a1, b6; \
	VSHUFI64X2  $0x88, a6, a4, b1; \
	VSHUFI64X2  $0xDD, a6, a4, b5; \
	VSHUFI64X2  $0x88, a7, a5, b3; \
	VSHUFI64X2  $0xDD, a7, a5, b7

// Lanes of VPERMT2Q: lane 0 of the second operand, then 7..1 of the first.
DATA mirror<>+0(SB)/8, $8
DATA mirror<>+8(SB)/8, $7
DATA mirror<>+16(SB)/8, $6
DATA mirror<>+24(SB)/8, $5
DATA mirror<>+32(SB)/8, $4
DATA mirror<>+40(SB)/8, $3
DATA mirror<>+48(SB)/8, $2
DATA mirror<>+56(SB)/8, $1
GLOBL mirror<>(SB), RODATA|NOPTR, $64

// func foldAVX512(dst, src *uint64, n, q, f, fq, full uint64)
//
// dst[j] = src[j] - f*src[n-j], with src[n] = 0. From 0..4q-1 to 0..8q-1, or to
// 0..q-1 if full. Vectors of both ends are taken in turn; dst may be src.
TEXT ·foldAVX512(SB), NOSPLIT, $0-56
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ n+16(FP), CX
	MOVQ full+48(FP), AX
	CONSTANTS(q+24(FP))
	VPBROADCASTQ f+32(FP), W
	VPBROADCASTQ fq+40(FP), WQ
	VPSRLQ $32, WQ, WQH
	VMOVDQU64 mirror<>(SB), Z20
	LEAQ -64(SI)(CX*8), R8   // upper end of src
	LEAQ -64(DI)(CX*8), R9   // upper end of dst
	SHRQ $4, CX
	VPXORQ Z2, Z2, Z2        // the vector above the upper one; src[n] = 0

foldLoop:
	VMOVDQU64 (SI), Z0
	VMOVDQU64 (R8), Z1
	VMOVDQA64 Z1, Z3
	VPERMT2Q  Z2, Z20, Z3     // partners of the lower vector
	VMOVDQA64 Z0, Z4
	VPERMT2Q  64(SI), Z20, Z4 // and of the upper one
	VMOVDQA64 Z1, Z2
	MUL(Z3, W, WQ, WQH, Z5)
	VPADDQ Q4, Z0, Z0
	VPSUBQ Z5, Z0, Z0
	MUL(Z4, W, WQ, WQH, Z6)
	VPADDQ Q4, Z1, Z1
	VPSUBQ Z6, Z1, Z1
	TESTQ AX, AX
	JZ foldStore
	REDUCE(Z0)
	REDUCE(Z1)

foldStore:
	VMOVDQU64 Z0, (DI)
	VMOVDQU64 Z1, (R9)
	ADDQ $64, SI
	ADDQ $64, DI
	SUBQ $64, R8
	SUBQ $64, R9
	DECQ CX
	JNZ foldLoop
	VZEROUPPER
	RET

// func forward2AVX512(x, w, wq *uint64, k, count, t, q uint64)
//
// One layer: count nodes from node k on, of 2t residues each.
TEXT ·forward2AVX512(SB), NOSPLIT, $0-56
	MOVQ x+0(FP), DI
	MOVQ w+8(FP), R8
	MOVQ wq+16(FP), R9
	MOVQ k+24(FP), R10
	MOVQ count+32(FP), R11
	MOVQ t+40(FP), R12
	CONSTANTS(q+48(FP))

forward2Node:
	FACTOR(R8, R9, R10)
	LEAQ (DI)(R12*8), SI
	MOVQ R12, CX

forward2Loop:
	VMOVDQU64 (DI), Z0
	VMOVDQU64 (SI), Z1
	BUTTERFLY(Z0, Z1, W, WQ, WQH)
	VMOVDQU64 Z0, (DI)
	VMOVDQU64 Z1, (SI)
	ADDQ $64, DI
	ADDQ $64, SI
	SUBQ $8, CX
	JNZ forward2Loop
	MOVQ SI, DI
	INCQ R10
	DECQ R11
	JNZ forward2Node
	VZEROUPPER
	RET

// FACTORS4 reads the factors of node R10 to W, WQ, WQH and those of its children
// to Z10..Z12 and Z13..Z15. It uses AX.
#define FACTORS4 \
	FACTOR(R8, R9, R10); \
	LEAQ         (R10)(R10*1), AX; \
	VPBROADCASTQ (R8)(AX*8), Z10; \
	VPBROADCASTQ (R9)(AX*8), Z11; \
	VPBROADCASTQ 4(R9)(AX*8), Z12; \
	VPBROADCASTQ 8(R8)(AX*8), Z13; \
	VPBROADCASTQ 8(R9)(AX*8), Z14; \
	VPBROADCASTQ 12(R9)(AX*8), Z15

// LOAD4, STORE4 move vectors of the quarters of a node, t words apart; R13 is
// 24*t, three quarters in bytes.
#define LOAD4 \
	VMOVDQU64 (DI), Z0; \
	VMOVDQU64 (DI)(R12*8), Z1; \
	VMOVDQU64 (SI), Z2; \
	VMOVDQU64 (SI)(R12*8), Z3

#define STORE4 \
	VMOVDQU64 Z0, (DI); \
	VMOVDQU64 Z1, (DI)(R12*8); \
	VMOVDQU64 Z2, (SI); \
	VMOVDQU64 Z3, (SI)(R12*8)

// func forward4AVX512(x, w, wq *uint64, k, count, t, q uint64)
//
// Two layers: count nodes from node k on, of 4t residues each.
TEXT ·forward4AVX512(SB), NOSPLIT, $0-56
	MOVQ x+0(FP), DI
	MOVQ w+8(FP), R8
	MOVQ wq+16(FP), R9
	MOVQ k+24(FP), R10
	MOVQ count+32(FP), R11
	MOVQ t+40(FP), R12
	LEAQ (R12)(R12*2), R13
	SHLQ $3, R13
	CONSTANTS(q+48(FP))

forward4Node:
	FACTORS4
	MOVQ R12, CX
	SHLQ $4, CX
	LEAQ (DI)(CX*1), SI
	MOVQ R12, CX

forward4Loop:
	LOAD4
	BUTTERFLY(Z0, Z2, W, WQ, WQH)
	BUTTERFLY(Z1, Z3, W, WQ, WQH)
	BUTTERFLY(Z0, Z1, Z10, Z11, Z12)
	BUTTERFLY(Z2, Z3, Z13, Z14, Z15)
	STORE4
	ADDQ $64, DI
	ADDQ $64, SI
	SUBQ $8, CX
	JNZ forward4Loop
	ADDQ R13, DI
	INCQ R10
	DECQ R11
	JNZ forward4Node
	VZEROUPPER
	RET

// func inverse2AVX512(x, w, wq *uint64, k, count, t, q uint64)
//
// One layer of the inverse: count nodes from node k on, of 2t residues each.
TEXT ·inverse2AVX512(SB), NOSPLIT, $0-56
	MOVQ x+0(FP), DI
	MOVQ w+8(FP), R8
	MOVQ wq+16(FP), R9
	MOVQ k+24(FP), R10
	MOVQ count+32(FP), R11
	MOVQ t+40(FP), R12
	CONSTANTS(q+48(FP))

inverse2Node:
	FACTOR(R8, R9, R10)
	LEAQ (DI)(R12*8), SI
	MOVQ R12, CX

inverse2Loop:
	VMOVDQU64 (DI), Z0
	VMOVDQU64 (SI), Z1
	INVERSE(Z0, Z1, W, WQ, WQH)
	VMOVDQU64 Z0, (DI)
	VMOVDQU64 Z1, (SI)
	ADDQ $64, DI
	ADDQ $64, SI
	SUBQ $8, CX
	JNZ inverse2Loop
	MOVQ SI, DI
	INCQ R10
	DECQ R11
	JNZ inverse2Node
	VZEROUPPER
	RET

// func inverse4AVX512(x, w, wq *uint64, k, count, t, q uint64)
//
// Two layers of the inverse: count nodes from node k on, of 4t residues each.
TEXT ·inverse4AVX512(SB), NOSPLIT, $0-56
	MOVQ x+0(FP), DI
	MOVQ w+8(FP), R8
	MOVQ wq+16(FP), R9
	MOVQ k+24(FP), R10
	MOVQ count+32(FP), R11
	MOVQ t+40(FP), R12
	LEAQ (R12)(R12*2), R13
	SHLQ $3, R13
	CONSTANTS(q+48(FP))

inverse4Node:
	FACTORS4
	MOVQ R12, CX
	SHLQ $4, CX
	LEAQ (DI)(CX*1), SI
	MOVQ R12, CX

inverse4Loop:
	LOAD4
	INVERSE(Z0, Z1, Z10, Z11, Z12)
	INVERSE(Z2, Z3, Z13, Z14, Z15)
	INVERSE(Z0, Z2, W, WQ, WQH)
	INVERSE(Z1, Z3, W, WQ, WQH)
	STORE4
	ADDQ $64, DI
	ADDQ $64, SI
	SUBQ $8, CX
	JNZ inverse4Loop
	ADDQ R13, DI
	INCQ R10
	DECQ R11
	JNZ inverse4Node
	VZEROUPPER
	RET

// SCALED sets x, y to (x + y)*s, (x - y)*w for the factor s in Z16..Z18.
#define SCALED(x, y) \
	VPADDQ Q4, x, T0; \
	VPSUBQ y, T0, T0; \
	VPADDQ y, x, Z4; \
	MUL(T0, W, WQ, WQH, y); \
	MUL(Z4, Z16, Z17, Z18, x)

// func inverseTopAVX512(x, w, wq *uint64, t, q uint64)
//
// The last two layers of the inverse, on 4t residues, which also multiply by a
// constant s: w, wq hold s, then the factor of node 1 times s, then those of nodes
// 2 and 3.
TEXT ·inverseTopAVX512(SB), NOSPLIT, $0-40
	MOVQ x+0(FP), DI
	MOVQ w+8(FP), R8
	MOVQ wq+16(FP), R9
	MOVQ t+24(FP), R12
	CONSTANTS(q+32(FP))
	MOVQ $1, R10
	FACTORS4
	VPBROADCASTQ (R8), Z16
	VPBROADCASTQ (R9), Z17
	VPSRLQ $32, Z17, Z18
	MOVQ R12, CX
	SHLQ $4, CX
	LEAQ (DI)(CX*1), SI
	MOVQ R12, CX

inverseTopLoop:
	LOAD4
	INVERSE(Z0, Z1, Z10, Z11, Z12)
	INVERSE(Z2, Z3, Z13, Z14, Z15)
	SCALED(Z0, Z2)
	SCALED(Z1, Z3)
	STORE4
	ADDQ $64, DI
	ADDQ $64, SI
	SUBQ $8, CX
	JNZ inverseTopLoop
	VZEROUPPER
	RET

// LOAD8, STORE8 move the rows of a matrix of 64 residues.
#define LOAD8(p) \
	VMOVDQU64 (p), Z0; \
	VMOVDQU64 64(p), Z1; \
	VMOVDQU64 128(p), Z2; \
	VMOVDQU64 192(p), Z3; \
	VMOVDQU64 256(p), Z4; \
	VMOVDQU64 320(p), Z5; \
	VMOVDQU64 384(p), Z6; \
	VMOVDQU64 448(p), Z7

#define STORE8(p) \
	VMOVDQU64 Z0, (p); \
	VMOVDQU64 Z1, 64(p); \
	VMOVDQU64 Z2, 128(p); \
	VMOVDQU64 Z3, 192(p); \
	VMOVDQU64 Z4, 256(p); \
	VMOVDQU64 Z5, 320(p); \
	VMOVDQU64 Z6, 384(p); \
	VMOVDQU64 Z7, 448(p)

// func forward64AVX512(x, w, wq *uint64, k, count, q, full uint64)
//
// The last six layers: count nodes from node k on, of 64 residues each. Three
// layers combine rows of eight, each of its factors in all lanes. After a
// transposition the other three combine columns; lane r then belongs to row r and
// has a factor of its own. From 0..8q-1 to the same, or to 0..q-1 if full.
TEXT ·forward64AVX512(SB), NOSPLIT, $0-56
	MOVQ x+0(FP), DI
	MOVQ w+8(FP), R8
	MOVQ wq+16(FP), R9
	MOVQ k+24(FP), R10
	MOVQ count+32(FP), CX
	MOVQ full+48(FP), BX
	CONSTANTS(q+40(FP))

forward64Node:
	LOAD8(DI)
	MOVQ R10, AX
	FACTOR(R8, R9, AX)
	BUTTERFLY(Z0, Z4, W, WQ, WQH)
	BUTTERFLY(Z1, Z5, W, WQ, WQH)
	BUTTERFLY(Z2, Z6, W, WQ, WQH)
	BUTTERFLY(Z3, Z7, W, WQ, WQH)
	SHLQ $1, AX
	FACTOR(R8, R9, AX)
	BUTTERFLY(Z0, Z2, W, WQ, WQH)
	BUTTERFLY(Z1, Z3, W, WQ, WQH)
	INCQ AX
	FACTOR(R8, R9, AX)
	BUTTERFLY(Z4, Z6, W, WQ, WQH)
	BUTTERFLY(Z5, Z7, W, WQ, WQH)
	MOVQ R10, AX
	SHLQ $2, AX
	FACTOR(R8, R9, AX)
	BUTTERFLY(Z0, Z1, W, WQ, WQH)
	INCQ AX
	FACTOR(R8, R9, AX)
	BUTTERFLY(Z2, Z3, W, WQ, WQH)
	INCQ AX
	FACTOR(R8, R9, AX)
	BUTTERFLY(Z4, Z5, W, WQ, WQH)
	INCQ AX
	FACTOR(R8, R9, AX)
	BUTTERFLY(Z6, Z7, W, WQ, WQH)
	TRANSPOSE(Z0, Z1, Z2, Z3, Z4, Z5, Z6, Z7, Z10, Z11, Z12, Z13, Z14, Z15, Z16, Z17)
	MOVQ R10, AX
	SHLQ $3, AX
	FACTORS(R8, R9, 0, AX)
	BUTTERFLY(Z10, Z14, W, WQ, WQH)
	BUTTERFLY(Z11, Z15, W, WQ, WQH)
	BUTTERFLY(Z12, Z16, W, WQ, WQH)
	BUTTERFLY(Z13, Z17, W, WQ, WQH)
	SHLQ $1, AX
	FACTORS(R8, R9, 0, AX)
	BUTTERFLY(Z10, Z12, W, WQ, WQH)
	BUTTERFLY(Z11, Z13, W, WQ, WQH)
	FACTORS(R8, R9, 64, AX)
	BUTTERFLY(Z14, Z16, W, WQ, WQH)
	BUTTERFLY(Z15, Z17, W, WQ, WQH)
	SHLQ $1, AX
	FACTORS(R8, R9, 0, AX)
	BUTTERFLY(Z10, Z11, W, WQ, WQH)
	FACTORS(R8, R9, 64, AX)
	BUTTERFLY(Z12, Z13, W, WQ, WQH)
	FACTORS(R8, R9, 128, AX)
	BUTTERFLY(Z14, Z15, W, WQ, WQH)
	FACTORS(R8, R9, 192, AX)
	BUTTERFLY(Z16, Z17, W, WQ, WQH)
	TESTQ BX, BX
	JZ forward64Store
	REDUCE(Z10)
	REDUCE(Z11)
	REDUCE(Z12)
	REDUCE(Z13)
	REDUCE(Z14)
	REDUCE(Z15)
	REDUCE(Z16)
	REDUCE(Z17)

forward64Store:
	TRANSPOSE(Z10, Z11, Z12, Z13, Z14, Z15, Z16, Z17, Z0, Z1, Z2, Z3, Z4, Z5, Z6, Z7)
	STORE8(DI)
	ADDQ $512, DI
	INCQ R10
	DECQ CX
	JNZ forward64Node
	VZEROUPPER
	RET

// func inverse64AVX512(dst, src, w, wq *uint64, k, count, q uint64)
//
// The first six layers of the inverse: count nodes from node k on, of 64 residues
// each, in 0..4q-1. It is forward64AVX512 backwards.
TEXT ·inverse64AVX512(SB), NOSPLIT, $0-56
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ w+16(FP), R8
	MOVQ wq+24(FP), R9
	MOVQ k+32(FP), R10
	MOVQ count+40(FP), CX
	CONSTANTS(q+48(FP))

inverse64Node:
	LOAD8(SI)
	TRANSPOSE(Z0, Z1, Z2, Z3, Z4, Z5, Z6, Z7, Z10, Z11, Z12, Z13, Z14, Z15, Z16, Z17)
	MOVQ R10, AX
	SHLQ $5, AX
	FACTORS(R8, R9, 0, AX)
	INVERSE(Z10, Z11, W, WQ, WQH)
	FACTORS(R8, R9, 64, AX)
	INVERSE(Z12, Z13, W, WQ, WQH)
	FACTORS(R8, R9, 128, AX)
	INVERSE(Z14, Z15, W, WQ, WQH)
	FACTORS(R8, R9, 192, AX)
	INVERSE(Z16, Z17, W, WQ, WQH)
	SHRQ $1, AX
	FACTORS(R8, R9, 0, AX)
	INVERSE(Z10, Z12, W, WQ, WQH)
	INVERSE(Z11, Z13, W, WQ, WQH)
	FACTORS(R8, R9, 64, AX)
	INVERSE(Z14, Z16, W, WQ, WQH)
	INVERSE(Z15, Z17, W, WQ, WQH)
	SHRQ $1, AX
	FACTORS(R8, R9, 0, AX)
	INVERSE(Z10, Z14, W, WQ, WQH)
	INVERSE(Z11, Z15, W, WQ, WQH)
	INVERSE(Z12, Z16, W, WQ, WQH)
	INVERSE(Z13, Z17, W, WQ, WQH)
	TRANSPOSE(Z10, Z11, Z12, Z13, Z14, Z15, Z16, Z17, Z0, Z1, Z2, Z3, Z4, Z5, Z6, Z7)
	SHRQ $1, AX
	FACTOR(R8, R9, AX)
	INVERSE(Z0, Z1, W, WQ, WQH)
	INCQ AX
	FACTOR(R8, R9, AX)
	INVERSE(Z2, Z3, W, WQ, WQH)
	INCQ AX
	FACTOR(R8, R9, AX)
	INVERSE(Z4, Z5, W, WQ, WQH)
	INCQ AX
	FACTOR(R8, R9, AX)
	INVERSE(Z6, Z7, W, WQ, WQH)
	SHRQ $1, AX
	FACTOR(R8, R9, AX)
	INVERSE(Z4, Z6, W, WQ, WQH)
	INVERSE(Z5, Z7, W, WQ, WQH)
	DECQ AX
	FACTOR(R8, R9, AX)
	INVERSE(Z0, Z2, W, WQ, WQH)
	INVERSE(Z1, Z3, W, WQ, WQH)
	FACTOR(R8, R9, R10)
	INVERSE(Z0, Z4, W, WQ, WQH)
	INVERSE(Z1, Z5, W, WQ, WQH)
	INVERSE(Z2, Z6, W, WQ, WQH)
	INVERSE(Z3, Z7, W, WQ, WQH)
	STORE8(DI)
	ADDQ $512, DI
	ADDQ $512, SI
	INCQ R10
	DECQ CX
	JNZ inverse64Node
	VZEROUPPER
	RET
