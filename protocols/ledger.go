package protocols

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync"
)

// A Ledger counts the ciphertexts that a party has helped to open, per querier, and
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

// An Account says how much of its limit a querier has used, in opened ciphertexts.
type Account struct {
	Querier      string
	Spent, Limit int
}

type opening struct {
	querier string
	count   int // ciphertexts
}

// A BudgetError reports an opening that the policy does not allow.
type BudgetError struct {
	Account      // of the querier before this opening
	Known   bool // whether the policy names the querier
	Asked   int  // ciphertexts
}

func (e *BudgetError) Error() string {
	if !e.Known {
		return fmt.Sprintf("protocols: opening %d ciphertexts: the policy has no querier %q", e.Asked, e.Querier)
	}
	return fmt.Sprintf("protocols: opening %d ciphertexts for %q: %d of %d are spent", e.Asked, e.Querier, e.Spent, e.Limit)
}

// NewLedger returns a ledger in which nothing is spent. The limits are numbers of
// ciphertexts by querier; a limit below 1 allows none.
func NewLedger(limits map[string]int) *Ledger {
	l := &Ledger{accounts: map[string]*Account{}, openings: map[[32]byte]opening{}}
	for querier, limit := range limits {
		l.accounts[querier] = &Account{Querier: querier, Limit: max(limit, 0)}
	}
	return l
}

// Spend counts an opening of so many ciphertexts for querier in the round of label,
// before the party makes its share of it. The same opening again is not counted
// again, so that a retry is free.
//
// It returns a *[BudgetError] if the querier is unknown or has too little left,
// and an error wrapping [ErrConflict] if label was used to open something else.
// Then nothing is counted and the party makes no share.
func (l *Ledger) Spend(label Label, querier string, count int) error {
	if count < 1 {
		return fmt.Errorf("protocols: opening %d ciphertexts, want at least 1", count)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	key, asked := label.Hash(), opening{querier, count}
	if old, ok := l.openings[key]; ok {
		if old != asked {
			return fmt.Errorf("protocols: opening %d ciphertexts for %q in %v: %w (%d ciphertexts for %q)", count, querier, label, ErrConflict, old.count, old.querier)
		}
		return nil
	}
	a, ok := l.accounts[querier]
	if !ok {
		return &BudgetError{Account: Account{Querier: querier}, Asked: count}
	}
	if count > a.Limit-a.Spent {
		return &BudgetError{Account: *a, Known: true, Asked: count}
	}
	a.Spent += count
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
