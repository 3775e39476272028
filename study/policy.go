package study

import (
	"fmt"
	"math"
	"slices"

	"github.com/nereid-mhe/nereid/nn"
)

// A Policy says who may have what opened: one allowance for each querier. Every party
// keeps to it by itself. Queriers may work together, so that the flooding of every
// answer is for the answers to all of them.
type Policy []Allowance

// An Allowance is what a querier may have opened.
type Allowance struct {
	Querier string   // its name, up to 255 bytes, unlike those of all others
	Key     [32]byte // hash of its public key; see [Querier.Pin]
	Rows    int      // for which outputs may be opened, at least 1

	// Requests bounds the requests that are answered, each with one ciphertext; more
	// of them need more flooding. 0 is for as few as Rows rows fit in. A querier that
	// asks for few rows at a time needs more.
	Requests int
}

func (p Policy) check(v *violations) {
	seen := map[string]bool{}
	for _, a := range p {
		v.must(len(a.Querier) <= math.MaxUint8, "a querier's name of %d bytes: at most %d", len(a.Querier), math.MaxUint8)
		v.must(a.Querier != "", "a policy of %d rows for nobody: name the querier", a.Rows)
		v.must(!seen[a.Querier], "a policy with two allowances for querier %q: give it one", a.Querier)
		v.must(a.Rows >= 1 && a.Requests >= 0, "querier %q may have %d rows in %d requests: want at least 1 row", a.Querier, a.Rows, a.Requests)
		seen[a.Querier] = true
	}
}

// fill returns the policy for requests that hold up to the given rows each, with the
// requests of every querier.
func (p Policy) fill(rows int) (Policy, error) {
	out := slices.Clone(p)
	for i := range out {
		a := &out[i]
		least := (a.Rows + rows - 1) / rows
		if a.Requests == 0 {
			a.Requests = least
		}
		if a.Requests < least {
			return nil, fmt.Errorf("%w: querier %q may have %d rows in %d requests, which hold %d rows each: allow %d requests, or fewer rows", ErrConfig, a.Querier, a.Rows, a.Requests, rows, least)
		}
	}
	return out, nil
}

// played returns the policy for the querier that a simulation plays.
func played(rows int) Policy {
	if rows == 0 {
		return nil
	}
	return Policy{{Querier: querierName, Rows: rows}}
}

// Allowances returns what is planned for: rows and requests of every querier.
func (p Policy) Allowances() (out []nn.Allowance) {
	for _, a := range p {
		out = append(out, nn.Allowance{Rows: a.Rows, Requests: a.Requests})
	}
	return out
}

// openings returns the answers that all queriers together may have opened.
func (p Policy) openings() (n int) {
	for _, a := range p {
		n += a.Requests
	}
	return n
}

// totalRows returns the rows that all queriers together may have opened.
func (p Policy) totalRows() (n int) {
	for _, a := range p {
		n += a.Rows
	}
	return n
}

// limits returns those of a ledger that counts what of an allowance.
func (p Policy) limits(what func(Allowance) int) map[string]int {
	limits := map[string]int{}
	for _, a := range p {
		limits[a.Querier] = what(a)
	}
	return limits
}

// Units of ledgers. A request of a node is one ciphertext.
const (
	unitCiphertexts = "ciphertexts"
	unitRows        = "rows"
)

func requestsOf(a Allowance) int { return a.Requests }
func rowsOf(a Allowance) int     { return a.Rows }

// named returns the allowance of a querier.
func (p Policy) named(querier string) (*Allowance, error) {
	for i := range p {
		if p[i].Querier == querier {
			return &p[i], nil
		}
	}
	return nil, fmt.Errorf("the policy has no querier %q", querier)
}

// admit refuses a query of somebody whom the policy does not know.
func (p Policy) admit(q query) error {
	a, err := p.named(q.name)
	if err != nil || a.Key != q.pin {
		return fmt.Errorf("%w: the policy does not know querier %q with this key", errQuery, q.name)
	}
	return nil
}
