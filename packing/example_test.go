package packing_test

import (
	"fmt"

	"github.com/nereid-mhe/nereid/packing"
)

// Two samples of three features, in slots feature·2 + sample: multiply by the
// weights, sum along the features, and read the products of both samples.
func ExampleDot() {
	dot, err := packing.NewDot(3, 2, 16)
	if err != nil {
		fmt.Println(err)
		return
	}
	w := dot.Weights([]float64{1, 10, 100})
	x := dot.Data([][]float64{
		{1, 2, 3},
		{4, 5, 6},
	})
	for i := range x {
		x[i] *= w[i]
	}
	fmt.Println("w ⊙ x:", x)
	fmt.Println("sum:  ", dot.Sum.Apply(x))
	fmt.Println("keys: ", dot.Sum.Rotations(16))
	// Output:
	// w ⊙ x: [1 4 20 50 300 600 0 0]
	// sum:   [321 654 321 654 321 654 321 654]
	// keys:  [2 4 6]
}

// Sum blocks of two slots and halve: two rotations, one mask.
func ExampleMap_Apply() {
	layout, err := packing.NewLayout(8, packing.Axis{Name: "unit", Len: 4}, packing.Axis{Name: "sample", Len: 2})
	if err != nil {
		fmt.Println(err)
		return
	}
	mean := layout.BlockSum(0.5)
	fmt.Println("mean:     ", mean.Apply([]float64{1, 3, 10, 20, 0, 0, 5, 5}))
	fmt.Println("rotations:", mean.Rotations(8), "levels:", mean.Depth())
	// Output:
	// mean:      [2 2 15 15 0 0 5 5]
	// rotations: [1 7] levels: 1
}
