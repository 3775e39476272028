package nn

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"

	"github.com/nereid-mhe/nereid/mhe/rns"
	"github.com/nereid-mhe/nereid/params"
)

// A searcher tries candidates.
type searcher struct {
	r      PlanRequest
	levels map[string]levelsOrError // by points
	sets   map[setKey]setOrError
	all    []Candidate
	seen   map[string]int // index in all
}

type levelsOrError struct {
	levels int
	err    error
}

// A setKey is what parameters follow from.
type setKey struct {
	Chain
	levels int
}

type setOrError struct {
	set params.Set
	err error
}

func newSearcher(r PlanRequest) *searcher {
	return &searcher{r: r, levels: map[string]levelsOrError{}, sets: map[setKey]setOrError{}, seen: map[string]int{}}
}

const (
	minSearchRing, maxSearchRing = 14, 16
	maxSearchSpecial             = 3
	refined                      = 3 // candidates whose windows are varied
)

// try compiles and prices candidates that have not been tried, on all cores, and
// returns what became of all.
func (s *searcher) try(ctx context.Context, wanted []Candidate) ([]Candidate, error) {
	key := func(c Candidate) string {
		return fmt.Sprint(c.Chain, c.Layout.InputWindow, c.Layout.InputBaby, c.Layout.InnerWindow, c.Layout.Strips, pointMask(c.Layout.NoRefresh))
	}
	var fresh []int // in all
	index := make([]int, len(wanted))
	for i, c := range wanted {
		at, ok := s.seen[key(c)]
		if !ok {
			at = len(s.all)
			s.seen[key(c)] = at
			c = Candidate{Chain: c.Chain, Layout: c.Layout}
			s.all, fresh = append(s.all, c), append(fresh, at)
		}
		index[i] = at
	}
	s.makeSets(fresh)
	rns.Each(runtime.GOMAXPROCS(0), len(fresh), func(i int) {
		if ctx.Err() == nil {
			s.evaluate(&s.all[fresh[i]])
		}
	})
	out := make([]Candidate, len(wanted))
	for i, at := range index {
		out[i] = s.all[at]
	}
	return out, context.Cause(ctx)
}

// setKey returns what the parameters of a candidate follow from.
func (s *searcher) setKey(c Candidate) setKey {
	return setKey{c.Chain, s.levels[c.Points()].levels}
}

// makeSets makes the parameters of candidates that have none yet.
func (s *searcher) makeSets(fresh []int) {
	n := s.r.Net
	n.Batch = max(1, n.Batch)
	var keys []setKey
	for _, at := range fresh {
		c := s.all[at]
		if _, ok := s.levels[c.Points()]; !ok {
			levels, err := NetworkLevels(n, c.Layout)
			s.levels[c.Points()] = levelsOrError{levels, err}
		}
		key := s.setKey(c)
		if _, ok := s.sets[key]; !ok && s.levels[c.Points()].err == nil {
			s.sets[key] = setOrError{}
			keys = append(keys, key)
		}
	}
	made := make([]setOrError, len(keys))
	rns.Each(runtime.GOMAXPROCS(0), len(keys), func(i int) {
		k := keys[i]
		made[i].set, made[i].err = params.FitChain(n.Parties, k.levels, k.Masks, k.Special, k.LogN, s.r.Quantum)
	})
	for i, k := range keys {
		s.sets[k] = made[i]
	}
}

// evaluate fills in what becomes of a candidate.
func (s *searcher) evaluate(c *Candidate) {
	made := s.sets[s.setKey(*c)]
	if err := cmp.Or(s.levels[c.Points()].err, made.err); err != nil {
		c.Rejected, c.Reason = Security, plainReason(err)
		return
	}
	n, l := s.r.Net, c.Layout
	if n.Batch == 0 {
		most, err := MaxNetworkBatch(n, made.set.N(), l)
		if err != nil || most < 1 {
			c.Rejected, c.Reason = Shape, "no room for a row beside the windows"
			return
		}
		n.Batch = most
	}
	c.Batch = n.Batch
	p, err := CompileNetwork(made.set, n, l)
	if err != nil {
		c.Rejected, c.Reason = Shape, plainReason(err)
		return
	}
	c.Plan, c.Price = p, p.Price(s.r.Costs, s.r.Link, s.r.Fanout)
	if p.Query != nil {
		if c.Openings, err = s.r.Predict.Openings(p.Query.Rows); err != nil {
			c.Rejected, c.Reason = Shape, plainReason(err)
			return
		}
		if c.Noise, err = p.OutputNoise(c.Openings, s.r.Predict.Flooding); err != nil {
			c.Noise = math.Inf(1) // beyond what can be sampled
		}
	}
	switch {
	case p.WeightErr > s.r.MaxWeightErr:
		c.Rejected, c.Reason = Precision, fmt.Sprintf("weights within %.1e after training, want %.1e", p.WeightErr, s.r.MaxWeightErr)
	case c.Noise > s.r.Predict.MaxNoise:
		c.Rejected, c.Reason = Precision, fmt.Sprintf("outputs opened with a noise of %.2g, want %.2g", c.Noise, s.r.Predict.MaxNoise)
	case s.r.MaxMemory > 0 && c.Price.Memory.Total > s.r.MaxMemory:
		c.Rejected, c.Reason = MemorySet, fmt.Sprintf("%s needed, %s allowed", gib(c.Price.Memory.Total), gib(s.r.MaxMemory))
	}
}

// placements returns the choices of points without refresh: all subsets of few,
// else none, all, every single one, and those of one direction.
func (n Network) placements() [][]bool {
	points := 2*n.layers() - 1
	var out [][]bool
	if points <= 5 {
		for m := range 1 << points {
			skip := make([]bool, points)
			for i := range skip {
				skip[i] = m>>i&1 == 1
			}
			out = append(out, skip)
		}
		return out
	}
	all, forward, backward := make([]bool, points), make([]bool, points), make([]bool, points)
	for i := range points {
		all[i], forward[i], backward[i] = true, i < n.layers(), i >= n.layers()
	}
	out = append(out, make([]bool, points), all, forward, backward)
	for i := range points {
		one := make([]bool, points)
		one[i] = true
		out = append(out, one)
	}
	return out
}

// places tries all placements, each on the smallest ring that has a candidate
// which fits in one pass, and on the larger ones too if the batch is open.
func (s *searcher) places(ctx context.Context) error {
	placements := s.r.Net.placements()
	done := make([]bool, len(placements))
	for logN := minSearchRing; logN <= maxSearchRing; logN++ {
		var wanted []Candidate
		var of []int
		for i, skip := range placements {
			if done[i] && s.r.Net.Batch > 0 {
				continue
			}
			l := resolved(s.r.Net, 1<<logN, Layout{NoRefresh: skip, Predict: len(s.r.Predict.Queriers) > 0})
			for _, masks := range []params.Masks{params.Wide, params.Roomy} {
				for special := 1; special <= maxSearchSpecial; special++ {
					wanted = append(wanted, Candidate{Chain: Chain{logN, masks, special}, Layout: l})
					of = append(of, i)
				}
			}
		}
		got, err := s.try(ctx, wanted)
		if err != nil {
			return err
		}
		for k, c := range got {
			if c.Rejected == "" && c.Plan.Passes == 1 {
				done[of[k]] = true
			}
		}
	}
	return nil
}

// windows varies the windows and strips of the best candidates, or if none fits of
// those that need least memory too much: one of them at a time, the input's window once
// more at the end.
func (s *searcher) windows(ctx context.Context) error {
	best := s.fitting()
	if len(best) == 0 {
		best = s.tooLarge()
	}
	for _, c := range best[:min(refined, len(best))] {
		sizes := []int{8, 16, 32, 64, 128}
		for _, vary := range []func(l *Layout, v int){
			func(l *Layout, v int) { l.InputWindow, l.InputBaby = v, min(l.InputBaby, v) },
			func(l *Layout, v int) { l.InputBaby = v / 8 }, // 1 to 16
			func(l *Layout, v int) { l.InnerWindow = v },
			func(l *Layout, v int) { l.Strips = v / 4 }, // 2 to 32
			func(l *Layout, v int) { l.InputWindow, l.InputBaby = v, min(l.InputBaby, v) },
		} {
			var wanted []Candidate
			for _, v := range sizes {
				d := c
				vary(&d.Layout, v)
				width := c.Plan.Grid.Block / d.Layout.Strips // of a strip, for a batch in one pass
				fits := d.Layout.InputBaby <= d.Layout.InputWindow && d.Layout.InputWindow <= c.Plan.Grid.Block &&
					(d.Layout.Strips == 1 || max(1, s.r.Net.Batch) <= width)
				if d.Layout = resolved(s.r.Net, c.Plan.Set.N(), d.Layout); fits {
					wanted = append(wanted, d)
				}
			}
			got, err := s.try(ctx, wanted)
			if err != nil {
				return err
			}
			for _, d := range got {
				if s.better(d, c) {
					c = d
				}
			}
		}
	}
	return nil
}

// tooLarge returns the candidates that need too much memory, the smallest first.
func (s *searcher) tooLarge() []Candidate {
	var out []Candidate
	for _, c := range s.all {
		if c.Rejected == MemorySet {
			out = append(out, c)
		}
	}
	slices.SortStableFunc(out, func(a, b Candidate) int { return cmp.Compare(a.Price.Memory.Total, b.Price.Memory.Total) })
	return out
}

// better reports whether a is to be preferred to b, which may need too much memory.
func (s *searcher) better(a, b Candidate) bool {
	switch {
	case a.Rejected == MemorySet && b.Rejected == MemorySet:
		x, y := a.Price.Memory.Total, b.Price.Memory.Total
		return x < y || x == y && s.less(a, b)
	case a.Rejected != "":
		return false
	}
	return b.Rejected != "" || s.less(a, b)
}

// fitting returns the candidates that fit, the best first.
func (s *searcher) fitting() []Candidate {
	var out []Candidate
	for _, c := range s.all {
		if c.Rejected == "" {
			out = append(out, c)
		}
	}
	slices.SortStableFunc(out, func(a, b Candidate) int {
		switch {
		case s.less(a, b):
			return -1
		case s.less(b, a):
			return 1
		}
		return 0
	})
	return out
}

// value is what is to be small: microseconds of a step, or of a hundred rows.
func (s *searcher) value(c Candidate) float64 {
	x := c.Price.Iteration
	if s.r.Net.Batch == 0 {
		x = c.Price.Row * 100
	}
	return math.Round(x * 1e6)
}

// Factors of the least price. Within the first a simpler plan is chosen, within the
// second a more precise one: no model tells prices apart that are so close, and a choice
// that turned on their last digits would be another one on another processor.
const (
	sameAs  = 1.01
	closeTo = 1.02
)

// choose moves the chosen one of sorted candidates to the front: the simplest of those
// that are as fast as the first, or of those that are close to it one with at least a
// bit more of precision.
func (s *searcher) choose(sorted []Candidate) {
	best, least := 0, s.value(sorted[0])
	for i, c := range sorted {
		if s.value(c) <= sameAs*least && c.simpler(sorted[best]) {
			best = i
		}
	}
	for i, c := range sorted {
		if s.value(c) <= closeTo*least && c.Price.Bits >= sorted[best].Price.Bits+1 {
			best = i
		}
	}
	chosen := sorted[best]
	copy(sorted[1:], sorted[:best])
	sorted[0] = chosen
}

// less reports whether a is better: faster, or else with fewer bytes, or else the
// more precise one.
func (s *searcher) less(a, b Candidate) bool {
	if x, y := s.value(a), s.value(b); x != y {
		return x < y
	}
	if a.Price.IterationBytes != b.Price.IterationBytes {
		return a.Price.IterationBytes < b.Price.IterationBytes
	}
	return a.Price.Bits > b.Price.Bits
}

// resolved returns l with windows instead of defaults, cut to what has an effect
// and, those that were not asked for and all in strips, so that the batch fits. A network that fits no
// grid keeps l: it is refused when it is compiled.
func resolved(n Network, slots int, l Layout) Layout {
	g, err := n.grid(slots)
	if err != nil {
		return l
	}
	asked := l
	l = l.withDefaults(n, g)
	room := g.Block/l.Strips - max(1, n.Batch) + 1
	if room < 1 && l.Strips == 1 { // several passes
		room = g.Block
	}
	cut := func(asked int) bool { return asked == 0 || l.Strips > 1 }
	for cut(asked.InputWindow) && l.InputWindow > 1 && l.InputWindow > room {
		l.InputWindow /= 2
	}
	l.InputBaby = min(l.InputBaby, l.InputWindow)
	widest := 1 // of the windows of inner layers
	for i := 1; i < n.layers(); i++ {
		widest = max(widest, min(ceilPower(n.inputs(i)), ceilPower(n.units(i))))
	}
	for l.InnerWindow > 1 && (l.InnerWindow > widest || cut(asked.InnerWindow) && l.InnerWindow > room) {
		l.InnerWindow /= 2
	}
	return l
}
