package nn

import (
	"cmp"
	"fmt"
	"slices"
)

// result sorts the candidates and says why all but the best lose.
func (s *searcher) result() (*PlanSearch, error) {
	out := &PlanSearch{Request: s.r, Candidates: s.fitting()}
	for _, c := range s.all {
		if c.Rejected != "" {
			out.Rejected = append(out.Rejected, c)
		}
	}
	if len(out.Candidates) == 0 {
		return nil, s.nothing(out.Rejected)
	}
	s.choose(out.Candidates)
	best := out.Candidates[0]
	for i := 1; i < len(out.Candidates); i++ {
		c := &out.Candidates[i]
		c.Rejected, c.Reason = Slower, c.Price.loses(best.Price, s.r.Net.Batch == 0)
	}
	return out, nil
}

// loses says by how much a price is worse than the best, and where most.
func (p Price) loses(best Price, perRow bool) string {
	scale := 1.0
	if perRow { // at the best one's rows
		scale = (best.Iteration / best.Row) / (p.Iteration / p.Row)
	}
	where, most := "", 0.0
	for _, part := range []struct {
		name    string
		is, was float64
	}{{"local compute", p.Map, best.Map}, {"refresh", p.Refresh, best.Refresh}, {"update", p.Update, best.Update}, {"network", p.Network, best.Network}} {
		if d := float64(scale*part.is) - part.was; d > most {
			where, most = part.name, d
		}
	}
	total := float64(scale*p.Iteration) - best.Iteration
	switch {
	case total <= 0 && p.Bits < best.Bits:
		return fmt.Sprintf("%.2g s faster, which is within the model's error, and %.1f bits less precise", -total, best.Bits-p.Bits)
	case total < -5e-7:
		return fmt.Sprintf("%.2g s faster, which is within the model's error, and not as simple", -total)
	case where == "" || total < 5e-7:
		return "equally fast"
	}
	return fmt.Sprintf("%.2g s slower: %.2g s more %s", total, most, where)
}

// nothing is the error when nothing fits: which constraint bites those that came
// farthest, and what would fit.
func (s *searcher) nothing(rejected []Candidate) error {
	of := func(c Constraint) (out []Candidate) {
		for _, r := range rejected {
			if r.Rejected == c {
				out = append(out, r)
			}
		}
		return out
	}
	if cs := of(MemorySet); len(cs) > 0 {
		c := slices.MinFunc(cs, func(a, b Candidate) int { return int((a.Price.Memory.Total - b.Price.Memory.Total) >> 10) })
		return fmt.Errorf("%w: memory: %s: allow %s, which fits %s", ErrModel, c.Reason, gib(c.Price.Memory.Total+1<<24), c)
	}
	if cs := of(Precision); len(cs) > 0 {
		c := slices.MinFunc(cs, func(a, b Candidate) int {
			return cmp.Or(cmp.Compare(a.Noise, b.Noise), cmp.Compare(a.Plan.WeightErr, b.Plan.WeightErr))
		})
		return fmt.Errorf("%w: precision: %s at best: allow that, which fits %s, train fewer steps or open fewer rows", ErrModel, c.Reason, c)
	}
	if cs := of(Shape); len(cs) > 0 {
		c := cs[len(cs)-1]
		for _, r := range cs {
			if r.Plan != nil { // it came farthest
				c = r
			}
		}
		return fmt.Errorf("%w: shape: %s", ErrModel, c.Reason)
	}
	c := rejected[len(rejected)-1]
	for _, r := range rejected { // the placement of fewest levels on the largest ring
		if r.LogN == maxSearchRing && r.Special == 1 && !slices.Contains(r.Layout.NoRefresh, true) {
			c = r
		}
	}
	return fmt.Errorf("%w: security: %s: refresh at every point, lower the degree of the activations or of the loss", ErrModel, c.Reason)
}
