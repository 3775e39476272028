package rns

import (
	"math/bits"
	"sync"

	"github.com/tuneinsight/lattigo/v5/ring"
)

// The forward transform of a conjugate-invariant ring evaluates a polynomial
// that continues as a[N+j] = -a[N-j]. A fold with f, the root of order four,
// halves it to N coefficients; then log2(N) layers each halve blocks of
// coefficients by Cooley and Tukey's butterflies. The blocks are the nodes of a
// binary tree in heap order: node 1 has all N coefficients, node k has children 2k
// and 2k+1 with half of them, and one factor belongs to each node. Products with
// factors are Shoup's, sums stay unreduced as in Harvey, [Faster arithmetic for
// number-theoretic transforms]. The inverse goes backwards.
//
// A pass over memory does two layers, the last one six. Once a block fits the
// first-level cache all its passes are done before the next block's.
//
// [Faster arithmetic for number-theoretic transforms]: https://arxiv.org/abs/1205.2926
const (
	leaf   = 64      // coefficients of the nodes that the last pass takes
	cached = 1 << 12 // coefficients of nodes that stay in the first-level cache

	minVector = 256 // smallest ring
	maxVector = 61  // bits of the prime: eight times it is a word
)

// factors are numbers below the prime and their quotients ⌊w·2^64/q⌋.
type factors struct{ w, quo []uint64 }

func newFactors(n int) factors {
	return factors{make([]uint64, n+1), make([]uint64, n+1)} // upper halves are read as words
}

func (f factors) set(i int, w, q uint64) {
	f.w[i] = w
	f.quo[i], _ = bits.Div64(w, 0, q)
}

// A transform holds the factors of one prime, by node. The last two levels are
// permuted, as the assembly reads them: nodes 16k… and 32k… below a leaf k.
type transform struct {
	forward, inverse factors
	fold, unfold     uint64  // f and its inverse
	top              factors // the first four of inverse, times 1/2N where inverseTopAVX512 says so
}

// A transformKey identifies a ring: there are few, and they live on.
type transformKey struct {
	n                int
	q, nthRoot, root uint64
}

var transforms sync.Map // transformKey → *transform

// transformOf returns the transform of s, made at first use, or nil if the
// assembly does not take it.
func transformOf(s *ring.SubRing) *transform {
	if !vector || s.N < minVector || s.NTTTable == nil || s.NthRoot != 4*uint64(s.N) || bits.Len64(s.Modulus) > maxVector {
		return nil
	}
	key := transformKey{s.N, s.Modulus, s.NthRoot, s.PrimitiveRoot}
	if t, ok := transforms.Load(key); ok {
		return t.(*transform)
	}
	t, _ := transforms.LoadOrStore(key, newTransform(s))
	return t.(*transform)
}

func newTransform(s *ring.SubRing) *transform {
	n, q := s.N, s.Modulus
	plain := func(x uint64) uint64 { return ring.IMForm(x, q, s.MRedConstant) }
	t := &transform{
		forward: newFactors(n), inverse: newFactors(n), top: newFactors(4),
		fold: plain(s.RootsForward[1]), unfold: plain(s.RootsBackward[1]),
	}
	for level := 1; level < n; level *= 2 {
		for i := range level {
			at := level + position(i, n/level)
			t.forward.set(at, plain(s.RootsForward[2*level+i]), q)
			t.inverse.set(at, plain(s.RootsBackward[2*level+i]), q)
		}
	}
	t.top.set(0, plain(s.NInv), q)
	t.top.set(1, ring.MRed(t.inverse.w[1], s.NInv, q, s.MRedConstant), q)
	t.top.set(2, t.inverse.w[2], q)
	t.top.set(3, t.inverse.w[3], q)
	return t
}

// position returns where the factor of node i of a level is, for nodes of size
// coefficients. The eight nodes of eight coefficients in a leaf are the lanes of a
// vector: their children are kept as two vectors, and those as four.
func position(i, size int) int {
	switch size {
	case 2:
		return i&^31 | i&3<<3 | i>>2&7
	case 4:
		return i&^15 | i&1<<3 | i>>1&7
	}
	return i
}

func quotient64(w, q uint64) uint64 {
	quo, _ := bits.Div64(w, 0, q)
	return quo
}

func word(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// forward transforms in to out if it can. Residues are left below the prime with
// full, or below eight times it.
func forward(s *ring.SubRing, in, out []uint64, full bool) bool {
	t := transformOf(s)
	if t == nil {
		return false
	}
	in, out = in[:s.N], out[:s.N]
	foldAVX512(&out[0], &in[0], uint64(s.N), s.Modulus, t.fold, quotient64(t.fold, s.Modulus), 0)
	t.down(out, 1, s.Modulus, word(full))
	return true
}

// down does the layers from node k on, whose coefficients are x.
func (t *transform) down(x []uint64, k int, q, full uint64) {
	w, quo, size := &t.forward.w[0], &t.forward.quo[0], len(x)
	if size > cached {
		forward4AVX512(&x[0], w, quo, uint64(k), 1, uint64(size/4), q)
		for i := range 4 {
			t.down(x[i*size/4:(i+1)*size/4], 4*k+i, q, full)
		}
		return
	}
	count := uint64(1) // nodes of the level, from node k on
	node := uint64(k)
	if bits.Len(uint(size/leaf))%2 == 0 { // an odd number of layers
		forward2AVX512(&x[0], w, quo, node, count, uint64(size/2), q)
		size, count, node = size/2, count*2, node*2
	}
	for ; size > leaf; size, count, node = size/4, count*4, node*4 {
		forward4AVX512(&x[0], w, quo, node, count, uint64(size/4), q)
	}
	forward64AVX512(&x[0], w, quo, node, count, q, full)
}

// inverse transforms in to out if it can, with residues as forward.
func inverse(s *ring.SubRing, in, out []uint64, full bool) bool {
	t := transformOf(s)
	if t == nil {
		return false
	}
	in, out = in[:s.N], out[:s.N]
	q := s.Modulus
	for i := range 4 {
		lo, hi := i*s.N/4, (i+1)*s.N/4
		t.up(out[lo:hi], in[lo:hi], 4+i, q)
	}
	inverseTopAVX512(&out[0], &t.top.w[0], &t.top.quo[0], uint64(s.N/4), q)
	foldAVX512(&out[0], &out[0], uint64(s.N), q, t.unfold, quotient64(t.unfold, q), word(full))
	out[0] = ring.BRedAdd(2*ring.BRedAdd(out[0], q, s.BRedConstant), q, s.BRedConstant)
	return true
}

// up undoes the layers from node k on, from in to x.
func (t *transform) up(x, in []uint64, k int, q uint64) {
	w, quo, size := &t.inverse.w[0], &t.inverse.quo[0], len(x)
	if size > cached {
		for i := range 4 {
			lo, hi := i*size/4, (i+1)*size/4
			t.up(x[lo:hi], in[lo:hi], 4*k+i, q)
		}
		inverse4AVX512(&x[0], w, quo, uint64(k), 1, uint64(size/4), q)
		return
	}
	count := uint64(size / leaf)
	node := uint64(k) * count
	inverse64AVX512(&x[0], &in[0], w, quo, node, count, q)
	for at := uint64(leaf); count > 1; at *= 4 {
		if count == 2 {
			inverse2AVX512(&x[0], w, quo, node/2, 1, at, q)
			return
		}
		count, node = count/4, node/4
		inverse4AVX512(&x[0], w, quo, node, count, at, q)
	}
}

//go:noescape
func foldAVX512(dst, src *uint64, n, q, f, fq, full uint64)

//go:noescape
func forward2AVX512(x, w, wq *uint64, k, count, t, q uint64)

//go:noescape
func forward4AVX512(x, w, wq *uint64, k, count, t, q uint64)

//go:noescape
func forward64AVX512(x, w, wq *uint64, k, count, q, full uint64)

//go:noescape
func inverse2AVX512(x, w, wq *uint64, k, count, t, q uint64)

//go:noescape
func inverse4AVX512(x, w, wq *uint64, k, count, t, q uint64)

//go:noescape
func inverse64AVX512(dst, src, w, wq *uint64, k, count, q uint64)

//go:noescape
func inverseTopAVX512(x, w, wq *uint64, t, q uint64)
