package nn

import (
	"context"
	"slices"

	"github.com/nereid-mhe/nereid/mhe"
)

// CalibrateToy measures on rings that take a moment.
func CalibrateToy(ctx context.Context) (mhe.Costs, error) {
	return calibrate(ctx, mhe.Machine{}, []costRing{{10, 2, []int{2, 3}, true}, {10, 1, []int{3}, false}}, mhe.Stopwatch{Rounds: 1})
}

// Chosen returns which of candidates, sorted by price, is chosen.
func Chosen(sorted []Candidate) int {
	s := searcher{r: PlanRequest{Net: Network{Batch: 1}}}
	moved := slices.Clone(sorted)
	s.choose(moved)
	return slices.IndexFunc(sorted, func(c Candidate) bool { return c.Price == moved[0].Price })
}
