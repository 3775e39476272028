// Arithmetic on eight residues at a time, with AVX-512F and AVX-512DQ.
//
// Everywhere q is the prime, below 2^61, and a residue is any integer that is
// congruent modulo q: its range is given where it matters.

// Registers that keep their meaning in every function.
#define Q   Z31 // q in every lane
#define Q2  Z30 // 2q
#define Q4  Z29 // 4q
#define W   Z28 // a factor w below q: of one node in every lane, or one for each lane
#define WQ  Z27 // its quotient floor(w*2^64/q)
#define WQH Z26 // the upper half of the quotient, in the lower half of each lane
#define T0  Z25
#define T1  Z24
#define T2  Z23

#define EIGHT Z15 // for GATHER

// CONSTANTS sets Q, Q2 and Q4 from q in memory.
#define CONSTANTS(q) \
	VPBROADCASTQ q, Q; \
	VPADDQ       Q, Q, Q2; \
	VPADDQ       Q2, Q2, Q4

// FACTOR reads one factor and its quotient for all lanes. The upper half of the
// quotient is read on its own: multiplications ignore what follows it.
#define FACTOR(w, wq, index) \
	VPBROADCASTQ (w)(index*8), W; \
	VPBROADCASTQ (wq)(index*8), WQ; \
	VPBROADCASTQ 4(wq)(index*8), WQH

// FACTORS reads eight factors and their quotients.
#define FACTORS(w, wq, offset, index) \
	VMOVDQU64 offset(w)(index*8), W; \
	VMOVDQU64 offset(wq)(index*8), WQ; \
	VPSRLQ    $32, WQ, WQH

// MUL sets r to x*w - h*q, in 0..4q-1, for any x. h = floor(x*wq/2^64) - 0, 1 or 2:
// of the four products of halves, that of the lower ones is left out, and so are
// the carries of the middle ones; the exact h would give 0..2q-1. r is not x.
#define MUL(x, w, wq, wqh, r) \
	VPSRLQ   $32, x, T1; \
	VPMULUDQ wqh, x, T2; \
	VPMULUDQ wq, T1, r; \
	VPMULUDQ wqh, T1, T1; \
	VPSRLQ   $32, T2, T2; \
	VPSRLQ   $32, r, r; \
	VPADDQ   T2, T1, T1; \
	VPADDQ   r, T1, T1; \
	VPMULLQ  w, x, r; \
	VPMULLQ  Q, T1, T1; \
	VPSUBQ   T1, r, r

// CUT subtracts m from residues of x that are not below it.
#define CUT(m, x) \
	VPSUBQ  m, x, T1; \
	VPMINUQ T1, x, x

// REDUCE takes x from 0..8q-1 to 0..q-1.
#define REDUCE(x) \
	CUT(Q4, x); \
	CUT(Q2, x); \
	CUT(Q, x)

// GATHER sets z to the eight words of (src) at indices index of (by). It jumps to
// none if they are not an aligned vector, or not in front of limit, the last place
// of one. It uses AX and K1.
#define GATHER(src, by, index, limit, none, z) \
	MOVL         (by)(index*4), AX; \
	ANDQ         $~7, AX; \
	CMPQ         AX, limit; \
	JA           none; \
	VPMOVZXDQ    (by)(index*4), z; \
	VPBROADCASTQ AX, T1; \
	VPXORQ       T1, z, T1; \
	VPCMPUQ      $5, EIGHT, T1, K1; \
	KORTESTW     K1, K1; \
	JNZ          none; \
	VPERMQ       (src)(AX*8), z, z

// EIGHTS sets EIGHT to 8 in every lane. It uses AX.
#define EIGHTS \
	MOVL         $8, AX; \
	VPBROADCASTQ AX, EIGHT
