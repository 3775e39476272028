//go:build !amd64

package rns

import "github.com/tuneinsight/lattigo/v5/ring"

// vector is never true where there is no assembly.
var vector = false

// forward and inverse report that there is nothing faster than Lattigo.
func forward(*ring.SubRing, []uint64, []uint64, bool) bool { return false }

func inverse(*ring.SubRing, []uint64, []uint64, bool) bool { return false }

func vectorReduce128(*ring.SubRing, []uint64, []uint64, []uint64) int { return 0 }

func vectorDot2(*ring.SubRing, []uint64, []uint64, [][]uint64, [][]uint64, [][]uint64) bool {
	return false
}

func vectorDot(*ring.SubRing, []uint64, []uint64, []int, []uint64) int { return 0 }

// liftVectors are the factors of a lift for assembly.
type liftVectors struct{}

func newLiftVectors(*Lift) *liftVectors { return nil }

func (*liftVectors) do(*Lift, Poly, Poly, int, int) bool { return false }

func vectorQuotient(*ring.SubRing, []uint64, []uint64, uint64) bool { return false }

func (Automorphism) vectorApply([]uint64, []uint64) int { return 0 }

func (Automorphism) vectorAdd([]uint64, []uint64, uint64) int { return 0 }

func vectorAddTo(*ring.SubRing, []uint64, []uint64) bool { return false }

func vectorSubFrom(*ring.SubRing, []uint64, []uint64) bool { return false }

func vectorSum(*ring.SubRing, []uint64, []Term) bool { return false }

func vectorAddBlock([]uint64, []uint64, uint64) int { return 0 }
