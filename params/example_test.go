package params_test

import (
	"fmt"

	"github.com/nereid-mhe/nereid/params"
)

// Find a set for ten parties that compute four levels between two refreshes, and
// see what happens to one that asks for too much.
func ExampleFit() {
	set, err := params.Fit(10, 4, false)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(set.N(), "slots,", set.SecurityBits(), "bits of security")
	fmt.Println(set)

	c := set.Config()
	c.LogQ = append(c.LogQ, 45)
	_, err = params.New(c)
	fmt.Println(err)
	// Output:
	// 16384 slots, 128 bits of security
	// N=2^14 logQ=[60 60 60 45 45 45 45] logP=[60] logQP=420.0 scale=2^45 masks=175 bits, 128-bit
	// params: refused: log2(QP) is 465.00, 128-bit security at N = 2^14 allows 430 (ePrint 2024/463, Table 5.2): drop a prime, shrink the scale or take LogN 15
}
