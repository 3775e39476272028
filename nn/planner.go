package nn

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/nereid-mhe/nereid/mhe"
)

// A PlanRequest is what a plan is wanted for. Fields with a stated default may be
// zero.
type PlanRequest struct {
	Net     Network // with Batch 0, the largest that each layout holds
	Link    Link
	Fanout  int  // most children of a party in a tree; 0 for all others
	Quantum bool // 128 bits against quantum attackers
	Predict Predictions

	MaxMemory    int64     // bytes of a party; 0 for no limit
	MaxWeightErr float64   // standard deviation of a weight's error after training; 0 for 1e-3
	Costs        mhe.Costs // of the machines; the zero value for [DefaultCosts]
}

// Predictions say what is to be opened of a trained network. Without queriers nothing
// is, and nothing is planned for it.
type Predictions struct {
	Queriers []Allowance
	Flooding int     // statistical security of all the openings, in bits; 0 for [mhe.MinFlooding]
	MaxNoise float64 // largest planned standard deviation of an opened output; 0 for a tenth of MaxTarget
}

// An Allowance is what a querier may have opened.
type Allowance struct {
	Rows     int // whose outputs are opened, all together
	Requests int // that are answered, each an opening; 0 for as few as the rows fit in
}

// Openings returns the requests of all queriers that are answered, each for up to so
// many rows: the more, the more flooding hides each answer. The error, which wraps
// [ErrModel], is of a querier who may ask too seldom for the rows that it may have.
func (p Predictions) Openings(rows int) (n int, err error) {
	for _, a := range p.Queriers {
		least := (a.Rows + rows - 1) / rows
		if a.Requests > 0 && a.Requests < least {
			return 0, fmt.Errorf("%w: a querier may have %d rows in %d requests, which hold %d rows each: allow %d requests, or fewer rows", ErrModel, a.Rows, a.Requests, rows, least)
		}
		n += max(a.Requests, least)
	}
	return n, nil
}

// Rows returns the rows of all queriers.
func (p Predictions) Rows() (n int) {
	for _, a := range p.Queriers {
		n += a.Rows
	}
	return n
}

func (r PlanRequest) withDefaults() PlanRequest {
	if r.Predict.Flooding == 0 {
		r.Predict.Flooding = mhe.MinFlooding
	}
	if r.Predict.MaxNoise == 0 {
		r.Predict.MaxNoise = DefaultOutputNoise * r.Net.MaxTarget
	}
	if r.MaxWeightErr == 0 {
		r.MaxWeightErr = 1e-3
	}
	if r.Costs.Version == 0 {
		r.Costs = DefaultCosts()
	}
	return r
}

func (r PlanRequest) check() error {
	n := r.Net
	n.Batch = max(n.Batch, 1)
	errs := []error{n.check(), r.Costs.Check()}
	must := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("%w: "+format, append([]any{ErrModel}, args...)...))
		}
	}
	must(r.Net.Batch >= 0, "a batch of %d rows", r.Net.Batch)
	must(r.Link.Mbit > 0 && !math.IsInf(r.Link.Mbit, 0) && r.Link.Latency >= 0 && !math.IsInf(r.Link.Latency, 0),
		"a link of %g Mbit/s and %g ms", r.Link.Mbit, r.Link.Latency)
	must(r.Fanout >= 0, "a fan-out of %d, want 1 or more, or 0 for all", r.Fanout)
	must(r.MaxMemory >= 0, "a memory limit of %d bytes", r.MaxMemory)
	for _, a := range r.Predict.Queriers {
		must(a.Rows >= 1 && a.Requests >= 0, "predictions of %d rows in %d requests, want at least 1 row", a.Rows, a.Requests)
	}
	must(r.Predict.Flooding >= mhe.MinFlooding, "flooding of %d bits, want %d or more", r.Predict.Flooding, mhe.MinFlooding)
	must(r.Predict.MaxNoise > 0, "opened outputs within %g, want a positive number", r.Predict.MaxNoise)
	must(r.MaxWeightErr > 0, "weights within %g, want a positive number", r.MaxWeightErr)
	return errors.Join(errs...)
}

// A PlanSearch is the outcome of a search.
type PlanSearch struct {
	Request    PlanRequest
	Candidates []Candidate // that fit: the chosen one, then the others, the fastest first
	Rejected   []Candidate // that do not fit
}

// Best returns the chosen candidate.
func (s *PlanSearch) Best() Candidate { return s.Candidates[0] }

// PlanNetwork searches parameters, layouts and points of refresh for the plan that
// trains fastest: least seconds of an iteration, or of an iteration per row if the
// batch is open. What is less than a model can tell does not count: of plans within one
// percent of that the simplest is chosen, and of those within two percent one with at
// least a bit more of precision. The outcome follows from the request alone, to the last
// bit and on every processor.
//
// All placements of refreshes are tried on the smallest rings that hold their
// levels, with layouts that suit few parties; the windows of the best of them are
// then varied one after the other. Errors wrap [ErrModel] or [mhe.ErrCosts]; if
// nothing fits, the error says what would.
func PlanNetwork(ctx context.Context, r PlanRequest) (*PlanSearch, error) {
	r = r.withDefaults()
	if err := r.check(); err != nil {
		return nil, err
	}
	s := newSearcher(r)
	if err := s.places(ctx); err != nil {
		return nil, err
	}
	if err := s.windows(ctx); err != nil {
		return nil, err
	}
	return s.result()
}

// Distinct returns the best candidate of every ring, number of special primes and
// placement of refreshes, with and without shared ciphertexts, the best first, and then the best of those that were
// compiled but do not fit.
func (s *PlanSearch) Distinct() []Candidate {
	refused := slices.DeleteFunc(slices.Clone(s.Rejected), func(c Candidate) bool { return c.Plan == nil })
	slices.SortStableFunc(refused, func(a, b Candidate) int { return cmp.Compare(a.Price.Row, b.Price.Row) })
	seen := map[string]bool{}
	var out []Candidate
	for _, c := range slices.Concat(s.Candidates, refused) {
		key := fmt.Sprint(c.Chain, c.Layout.Strips > 1, pointMask(c.Layout.NoRefresh))
		if !seen[key] {
			seen[key] = true
			out = append(out, c)
		}
	}
	return out
}

// Points writes the points of refresh of a candidate in their order, forward from
// the first layer and backward from the last: + for a refresh and - for none.
func (c Candidate) Points() string { return pointMask(c.Layout.NoRefresh) }

// plainReason returns an error in a line, without the names of packages.
func plainReason(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	for _, p := range []string{"nn: model: ", "params: refused: "} {
		line = strings.TrimPrefix(line, p)
	}
	return line
}

func gib(b int64) string { return fmt.Sprintf("%.2f GiB", float64(b)/(1<<30)) }
