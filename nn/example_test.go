package nn_test

import (
	"fmt"

	"github.com/nereid-mhe/nereid/nn"
)

// Describe a model, see what it needs before any key exists, and train its clear
// twin. Toy parameters, NOT SECURE: a study calls [nn.Fit].
func Example() {
	loss, err := nn.NewLogistic(3, 6) // a cubic on [-6, 6] for the sigmoid
	if err != nil {
		fmt.Println(err)
		return
	}
	model := nn.Model{
		Features:   3, // two columns and a bias
		Loss:       loss,
		SGD:        nn.SGD{Rate: 0.5, L2: 0.01},
		Steps:      50,
		Batch:      []int{4, 4}, // two parties, four rows each
		MaxFeature: 2, MaxTarget: 1,
	}
	plan, err := nn.FitInsecure(model)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("rotation keys:", len(plan.Keys.Rotations), "refresh at level", plan.GradLevel, "of", plan.Set.MaxLevel())

	// Targets are 1 where the first column is larger than the second by a half.
	var parties []nn.Data
	for i, rows := range [][][]float64{
		{{2, 0, 1}, {0, 2, 1}, {1, -1, 1}, {0.2, 0, 1}},
		{{1, 0, 1}, {0, 1, 1}, {-1, -2, 1}, {1.3, 1, 1}},
	} {
		sampler, err := nn.NewSampler(4, 4, 1, i)
		if err != nil {
			fmt.Println(err)
			return
		}
		parties = append(parties, nn.Data{X: rows, Y: []float64{1, 0, 1, 0}, Sampler: sampler})
	}
	twin, err := nn.Twin(&plan, parties)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("weights: %.2f\n", twin.Weights)
	fmt.Printf("P(1 | 1, 0): %.2f\n", loss.Link(nn.Output(twin.Weights, []float64{1, 0, 1})))
	// Output:
	// rotation keys: 3 refresh at level 2 of 6
	// weights: [1.20 -2.42 -0.47]
	// P(1 | 1, 0): 0.68
}

// A model that is described wrongly says everything that is wrong with it.
func ExampleCompile() {
	_, err := nn.FitInsecure(nn.Model{Features: 3, Loss: nn.Squared{Bound: 4}, SGD: nn.SGD{Rate: 1}, Batch: []int{5}, MaxFeature: 1})
	fmt.Println(err)
	// Output:
	// nn: model: 0 training steps, want at least 1
	// nn: model: 1 parties, want at least 2
}
