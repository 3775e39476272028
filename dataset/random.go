package dataset

import (
	"math/bits"
	"math/rand/v2"
)

// Each use of a seed has its own stream, so that equal seeds for different
// purposes give unrelated draws.
const (
	streamSplit uint64 = iota + 1
	streamDivide
	streamTruth
	streamRows
)

func newRand(seed, stream uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, stream)) }

// below returns a number in 0..n-1, n ≥ 1: the high word of n times a 64-bit
// draw. The order of rows rests on this formula and PCG alone, and so does not
// change with the version of Go. The bias is below n/2^64.
func below(rng *rand.Rand, n int) int {
	high, _ := bits.Mul64(rng.Uint64(), uint64(n))
	return int(high)
}

// shuffle permutes rows (Fisher and Yates).
func shuffle(rng *rand.Rand, rows []int) {
	for i := len(rows) - 1; i > 0; i-- {
		j := below(rng, i+1)
		rows[i], rows[j] = rows[j], rows[i]
	}
}

// count returns 0..n-1.
func count(n int) []int {
	rows := make([]int, n)
	for i := range rows {
		rows[i] = i
	}
	return rows
}
