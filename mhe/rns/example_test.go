package rns_test

import (
	"fmt"

	"github.com/tuneinsight/lattigo/v5/ring"

	"github.com/nereid-mhe/nereid/mhe/rns"
)

// Numbers modulo the product of two primes become the same numbers modulo a
// third, with their sign. The ring has 256 coefficients; all but two are zero.
func ExampleLift() {
	generator := ring.NewNTTFriendlyPrimesGenerator(40, 4*256)
	primes, err := generator.NextAlternatingPrimes(3)
	if err != nil {
		fmt.Println(err)
		return
	}
	r, err := ring.NewRingFromType(256, primes, ring.ConjugateInvariant)
	if err != nil {
		fmt.Println(err)
		return
	}
	all := rns.Basis(r.SubRings)
	low, high := all[:2], all[2:]

	x := low.New()
	low.AddInts(x, []int64{1 << 50, -7})
	y := high.New()
	rns.NewLift(low, high).Do(x, y, 1)
	fmt.Println(y[0][0] == (1<<50)%primes[2], int64(y[0][1])-int64(primes[2]))
	fmt.Println(low.Centred(x, 0), low.Centred(x, 1))
	// Output:
	// true -7
	// 1125899906842624 -7
}
