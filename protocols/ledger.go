package protocols

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync"
)

// A Ledger counts the values that a party has helped to open, per querier, and
// refuses beyond the limits of the study's policy. Each party keeps its own, so
// that no coalition without it exceeds them. It is safe for concurrent use.
//
// It lives in memory: a node that restarts spends the labels of its openings
// again before it takes part in new ones.
type Ledger struct {
	mu       sync.Mutex
	accounts map[string]*Account  // by querier
	openings map[[32]byte]opening // by the hash of the label
}

// An Account says how much of its limit a querier has used, in opened values.
type Account struct {
	Querier      string
	Spent, Limit int
}

type opening struct {
	querier string
	values  int
}

// A BudgetError reports an opening that the policy does not allow.
type BudgetError struct {
	Account      // of the querier before this opening
	Known   bool // whether the policy names the querier
	Asked   int  // values
}

func (e *BudgetError) Error() string {
	if !e.Known {
		return fmt.Sprintf("protocols: opening %d values: the policy has no querier %q", e.Asked, e.Querier)
	}
	return fmt.Sprintf("protocols: opening %d values for %q: %d of %d are spent", e.Asked, e.Querier, e.Spent, e.Limit)
}

// NewLedger returns a ledger in which nothing is spent. The limits are numbers of
// values by querier; a limit below 1 allows none.
func NewLedger(limits map[string]int) *Ledger {
	l := &Ledger{accounts: map[string]*Account{}, openings: map[[32]byte]opening{}}
	for querier, limit := range limits {
		l.accounts[querier] = &Account{Querier: querier, Limit: limit}
	}
	return l
}

// Spend counts an opening of so many values for querier in the round of label,
// before the party makes its share of it. The same opening again is not counted
// again, so that a retry is free.
//
// It returns a *[BudgetError] if the querier is unknown or has too little left,
// and an error wrapping [ErrConflict] if label was used to open something else.
// Then nothing is counted and the party makes no share.
func (l *Ledger) Spend(label Label, querier string, values int) error {
	if values < 1 {
		return fmt.Errorf("protocols: opening %d values, want at least 1", values)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	key, asked := label.Hash(), opening{querier, values}
	if old, ok := l.openings[key]; ok {
		if old != asked {
			return fmt.Errorf("protocols: opening %d values for %q in %v: %w (%d values for %q)", values, querier, label, ErrConflict, old.values, old.querier)
		}
		return nil
	}
	a, ok := l.accounts[querier]
	if !ok {
		return &BudgetError{Account: Account{Querier: querier}, Asked: values}
	}
	if values > a.Limit-a.Spent {
		return &BudgetError{Account: *a, Known: true, Asked: values}
	}
	a.Spent += values
	l.openings[key] = asked
	return nil
}

// Spent returns all accounts in the order of the queriers' names.
func (l *Ledger) Spent() []Account {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []Account
	for a := range maps.Values(l.accounts) {
		all = append(all, *a)
	}
	slices.SortFunc(all, func(a, b Account) int { return cmp.Compare(a.Querier, b.Querier) })
	return all
}
