package nn

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/nereid-mhe/nereid/params"
)

// A Constraint is what rejects a candidate.
type Constraint string

// The constraints, from the first that is checked.
const (
	Security  Constraint = "security"  // no primes within the security table, or too few bits for each
	Shape     Constraint = "shape"     // layers or batch do not fit the layout, or levels the chain
	Precision Constraint = "precision" // weights, or opened outputs, would be too coarse
	MemorySet Constraint = "memory"
	Slower    Constraint = "slower" // than another candidate, or less precise
)

// A Chain is what primes a candidate has beside those of its levels.
type Chain struct {
	LogN    int
	Masks   params.Masks
	Special int
}

func (c Chain) String() string {
	s := fmt.Sprintf("N=2^%d, %d special", c.LogN, c.Special)
	if c.Masks != params.Wide {
		s += fmt.Sprintf(", %d for masks", c.Masks)
	}
	return s
}

// A Candidate is a choice of parameters, layout and refresh points, and what
// became of it.
type Candidate struct {
	Chain
	Layout Layout
	Batch  int
	Plan   *NetworkPlan // nil if none could be compiled
	Price  Price

	// Noise is the planned standard deviation of an opened output, and Openings the
	// answers that are opened; 0 without predictions.
	Noise    float64
	Openings int

	Rejected Constraint // empty for the one that was chosen
	Reason   string     // why, in a line
}

// simpler reports whether c is to be preferred to d if both are as fast: it has fewer
// layers' weights in a ciphertext, or else sends less, or takes less memory. These are
// integers.
func (c Candidate) simpler(d Candidate) bool {
	return cmp.Or(
		cmp.Compare(c.Layout.Strips, d.Layout.Strips),
		cmp.Compare(c.Price.IterationBytes*int64(d.Batch), d.Price.IterationBytes*int64(c.Batch)),
		cmp.Compare(c.Price.Memory.Total, d.Price.Memory.Total),
	) < 0
}

// Skipped returns the names of the points at which nothing is refreshed.
func (c Candidate) Skipped(n Network) []string {
	var names []string
	for i, skip := range c.Layout.NoRefresh {
		if skip {
			names = append(names, n.pointName(i))
		}
	}
	return names
}

// pointName names a point of refresh as plans do.
func (n Network) pointName(i int) string {
	if i < n.layers() {
		return fmt.Sprintf("forward %d", i+1)
	}
	return fmt.Sprintf("backward %d", 2*n.layers()-i)
}

// Placement describes the points of refresh of a candidate.
func (c Candidate) Placement(n Network) string {
	skipped := c.Skipped(n)
	switch {
	case len(skipped) == 0:
		return "refresh at all points"
	case len(skipped) == len(c.Layout.NoRefresh):
		return "no local refresh"
	}
	return "no refresh at " + strings.Join(skipped, ", ")
}

// String describes the choice: ring, special primes, windows, points.
func (c Candidate) String() string {
	if c.Plan == nil {
		return fmt.Sprintf("%v, points %s", c.Chain, pointMask(c.Layout.NoRefresh))
	}
	l, shared := c.Layout, ""
	if l.Strips > 1 {
		shared = c.Packing() + ", "
	}
	return fmt.Sprintf("%v, windows %d/%d/%d, %s%s", c.Chain, l.InputWindow, l.InputBaby, l.InnerWindow, shared, c.Placement(c.Plan.Net))
}

// Packing says how the weights of layers are spread over ciphertexts.
func (c Candidate) Packing() string {
	if c.Layout.Strips == 1 {
		return "layers in ciphertexts of their own"
	}
	n := c.Plan.Parameters[0].Count
	return fmt.Sprintf("all layers' weights in strips of %d positions, %d to a ciphertext, %d in all", c.Plan.strips.Width, c.Layout.Strips, n)
}

// pointMask writes refreshed points as + and skipped ones as -.
func pointMask(skip []bool) string {
	b := make([]byte, len(skip))
	for i, s := range skip {
		b[i] = '+'
		if s {
			b[i] = '-'
		}
	}
	return string(b)
}
