package rns

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/tuneinsight/lattigo/v5/ring"
)

// An Automorphism is a permutation of residues in NTT form: the ring
// automorphism X → X^g on a polynomial that is known, which costs a copy. Eight
// aligned residues, 8i to 8i+7, stay neighbours and aligned: a vector that is
// permuted. Whatever does not, at the ends of a part of a table, is slower.
type Automorphism []uint32

// tables holds automorphisms made so far: they are asked for again with every slot
// map, and are read-only. It starts anew when it is full, so that a search over many
// rings does not fill the memory.
var (
	tables   sync.Map // automorphismKey → Automorphism
	tableLen atomic.Int64
)

// maxTables bounds the tables: 64 KiB each for 2^14 coefficients.
const maxTables = 512

type automorphismKey struct {
	n          int
	nthRoot, g uint64
}

// NewAutomorphism returns the automorphism with Galois element g of the ring
// with n coefficients and the given order of roots of unity. It is made once; the
// caller must not change it.
func NewAutomorphism(n int, nthRoot, g uint64) (Automorphism, error) {
	key := automorphismKey{n, nthRoot, g}
	if a, ok := tables.Load(key); ok {
		return a.(Automorphism), nil
	}
	a, err := newAutomorphism(n, nthRoot, g)
	if err == nil {
		if tableLen.Add(1) > maxTables {
			tables.Clear()
			tableLen.Store(1)
		}
		tables.Store(key, a)
	}
	return a, err
}

func newAutomorphism(n int, nthRoot, g uint64) (Automorphism, error) {
	index, err := ring.AutomorphismNTTIndex(n, nthRoot, g)
	if err != nil {
		return nil, fmt.Errorf("rns: Galois element %d: %w", g, err)
	}
	a := make(Automorphism, n)
	for i, x := range index {
		if x >= uint64(n) {
			return nil, fmt.Errorf("rns: Galois element %d of order %d does not permute %d residues", g, nthRoot, n)
		}
		a[i] = uint32(x)
	}
	return a, nil
}

// Apply writes the image of src to dst, which must not overlap. A part of a
// table, a[lo:hi], writes that part of the image.
func (a Automorphism) Apply(dst, src []uint64) {
	dst = dst[:len(a)]
	for i := a.vectorApply(dst, src); i < len(a); i++ {
		dst[i] = src[a[i]]
	}
}

// Add adds the image of src to dst modulo q; the limbs must not overlap.
func (a Automorphism) Add(dst, src []uint64, q uint64) {
	dst = dst[:len(a)]
	for i := a.vectorAdd(dst, src, q); i < len(a); i++ {
		x := dst[i] + src[a[i]]
		if x >= q {
			x -= q
		}
		dst[i] = x
	}
}
