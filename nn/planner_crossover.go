package nn

import (
	"cmp"
	"context"
	"fmt"
	"slices"
)

// A Winner is the placement of refreshes that is fastest for a number of parties
// on a link.
type Winner struct {
	Parties   int     `json:"parties"`
	Link      Link    `json:"link"`
	Placement string  `json:"placement"`
	LogN      int     `json:"log_n"`
	Special   int     `json:"special"`
	Skipped   int     `json:"skipped"` // points without refresh
	Seconds   float64 `json:"seconds"` // of an iteration
	// Reason says why nothing fits so many parties; then the above is empty.
	Reason string `json:"reason,omitempty"`
	// All is the time with a refresh at all points, None that with none; 0 if
	// nothing fits so.
	All  float64 `json:"all"`
	None float64 `json:"none"`
}

// CrossoverParties and CrossoverLinks are what [Crossover] is asked for by default.
var (
	CrossoverParties = []int{2, 3, 5, 10, 20, 50, 100, 128}
	CrossoverLinks   = []Link{{10000, 1}, {1000, 20}, {100, 50}}
)

// Crossover returns the winners for numbers of parties on links, by link and then
// by parties. Candidates are those that did well in a search: the best of every
// placement, compiled again for each number of parties; the batch of a party stays.
// Where none of them fits, all are searched.
func Crossover(ctx context.Context, s *PlanSearch, parties []int, links []Link) ([]Winner, error) {
	short := s.shortlist()
	by, levels := map[int][]Candidate{}, map[string]levelsOrError{}
	for _, n := range parties {
		r := s.Request
		r.Net.Parties, r.Net.Batch, r.Fanout = n, s.Best().Batch, min(r.Fanout, n-1)
		if s.Request.Net.Batch == 0 {
			r.Net.Batch = 0
		}
		sr := newSearcher(r)
		sr.levels = levels // which do not depend on the parties
		got, err := sr.try(ctx, short)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(got, func(c Candidate) bool { return c.Rejected == "" }) {
			if all, err := PlanNetwork(ctx, r); err == nil {
				got = all.Candidates
				for i := range got { // all of them fit
					got[i].Rejected = ""
				}
			}
		}
		by[n] = got
	}
	var out []Winner
	for _, link := range links {
		for _, n := range parties {
			out = append(out, winner(s, by[n], n, link))
		}
	}
	return out, nil
}

// winner prices candidates of a number of parties on a link, and chooses as
// [PlanNetwork] does.
func winner(s *PlanSearch, cs []Candidate, parties int, link Link) Winner {
	w := Winner{Parties: parties, Link: link}
	fanout := min(s.Request.Fanout, parties-1)
	rows := float64(s.Best().Batch)
	sr := searcher{r: s.Request}
	var fit []Candidate
	for _, c := range cs {
		if c.Rejected != "" {
			continue
		}
		p := &c.Price
		p.Iteration += c.Plan.Network(link, fanout).Seconds() - p.Network
		p.Row = p.Iteration / float64(c.Batch)
		fit = append(fit, c)
		t := p.Row * rows
		skipped := len(c.Skipped(c.Plan.Net))
		if skipped == 0 && (w.All == 0 || t < w.All) {
			w.All = t
		}
		if skipped == len(c.Plan.Points) && (w.None == 0 || t < w.None) {
			w.None = t
		}
	}
	if len(fit) == 0 {
		w.Reason = cs[0].Reason
		return w
	}
	slices.SortStableFunc(fit, func(a, b Candidate) int { return cmp.Compare(sr.value(a), sr.value(b)) })
	sr.choose(fit)
	c := fit[0]
	w.Placement, w.LogN, w.Special, w.Skipped, w.Seconds = c.Placement(c.Plan.Net), c.LogN, c.Special, len(c.Skipped(c.Plan.Net)), c.Price.Row*rows
	return w
}

// shortlist returns the candidates that could win somewhere: those that no other
// beats in compute, in what grows with the parties and in bytes without losing a bit
// of precision, and the best without any local refresh.
func (s *PlanSearch) shortlist() []Candidate {
	rows := func(c Candidate) [4]float64 {
		b := float64(c.Batch)
		return [4]float64{(c.Price.Map + c.Price.Update) / b, c.Price.Refresh / b, float64(c.Price.IterationBytes) / b, -c.Price.Bits}
	}
	best := s.Distinct()
	best = slices.DeleteFunc(best, func(c Candidate) bool { return c.Rejected != "" && c.Rejected != Slower })
	var out []Candidate
	none := false
	for i, c := range best {
		x := rows(c)
		beaten := slices.ContainsFunc(best, func(d Candidate) bool {
			y := rows(d)
			return [3]float64(y[:3]) != [3]float64(x[:3]) && y[0] <= x[0] && y[1] <= x[1] && y[2] <= x[2] && y[3] <= x[3]+1
		})
		lone := len(c.Skipped(c.Plan.Net)) == len(c.Plan.Points) && !none
		none = none || lone
		if !beaten || lone || i == 0 {
			out = append(out, c)
		}
	}
	return out
}

// CrossoverLine says in a sentence from how many parties on another placement wins
// on a link.
func CrossoverLine(ws []Winner, link Link) string {
	var of []Winner
	for _, w := range ws {
		if w.Link == link {
			of = append(of, w)
		}
	}
	slices.SortFunc(of, func(a, b Winner) int { return a.Parties - b.Parties })
	line := ""
	for i, w := range of {
		if i > 0 && w.Placement == of[i-1].Placement && w.LogN == of[i-1].LogN && w.Reason == of[i-1].Reason {
			continue
		}
		if line != "" {
			line += "; "
		}
		if w.Reason != "" {
			line += fmt.Sprintf("from %d parties nothing fits: %s", w.Parties, w.Reason)
			continue
		}
		line += fmt.Sprintf("from %d parties %s (N=2^%d)", w.Parties, w.Placement, w.LogN)
	}
	return line
}
