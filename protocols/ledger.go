package protocols

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync"
)

// A Ledger counts what a party has helped to open, per querier, in a unit such as rows
// or ciphertexts, and refuses beyond the limits of the study's policy. Each party keeps its own, so
// that no coalition without it exceeds them. It is safe for concurrent use.
//
// A ledger of [NewLedger] lives in memory; that of a node comes from [RestoreLedger]
// and survives the process.
type Ledger struct {
	unit string

	mu       sync.Mutex
	accounts map[string]*Account  // by querier
	openings map[[32]byte]Opening // by the hash of the label
	all      []Opening            // in their order
	record   func([]Opening) error
}

// An Opening is an entry of a ledger: what was opened for a querier in the round of a
// label.
type Opening struct {
	Label   [32]byte // its hash
	Querier string
	Count   int // in the ledger's unit
}

// An Account says how much of its limit a querier has used, in the ledger's unit.
type Account struct {
	Querier      string
	Spent, Limit int
}

// A BudgetError reports an opening that the policy does not allow.
type BudgetError struct {
	Account      // of the querier before this opening
	Known   bool // whether the policy names the querier
	Asked   int
	Unit    string // what is counted, such as "rows"
}

func (e *BudgetError) Error() string {
	if !e.Known {
		return fmt.Sprintf("protocols: opening %d %s: the policy has no querier %q", e.Asked, e.Unit, e.Querier)
	}
	return fmt.Sprintf("protocols: opening %d %s for %q: %d of %d are spent", e.Asked, e.Unit, e.Querier, e.Spent, e.Limit)
}

// NewLedger returns a ledger in which nothing is spent. It counts in the unit that its
// errors name, such as "rows". The limits are by querier; one below 1 allows nothing.
func NewLedger(unit string, limits map[string]int) *Ledger {
	l := &Ledger{unit: unit, accounts: map[string]*Account{}, openings: map[[32]byte]Opening{}}
	for querier, limit := range limits {
		l.accounts[querier] = &Account{Querier: querier, Limit: max(limit, 0)}
	}
	return l
}

// RestoreLedger returns the ledger of a party that restarts: past is what record
// was last called with, none at first. record makes all openings durable, the new
// one last, before Spend allows it; when it fails nothing is counted. It is not
// called concurrently and keeps nothing of its argument.
//
// It returns an error if past has openings of a querier without a limit, or more
// than the limits allow: then the policy is not the one under which they were made.
func RestoreLedger(unit string, limits map[string]int, past []Opening, record func([]Opening) error) (*Ledger, error) {
	l := NewLedger(unit, limits)
	for _, o := range past {
		if _, twice := l.openings[o.Label]; twice || o.Count < 1 {
			return nil, fmt.Errorf("protocols: restoring the ledger: opening %x of %d for %q: %w", o.Label[:4], o.Count, o.Querier, ErrConflict)
		}
		if err := l.allow(o.Querier, o.Count); err != nil {
			return nil, fmt.Errorf("protocols: restoring the ledger: %w", err)
		}
		l.add(o)
	}
	l.record = record
	return l, nil
}

// Spend counts an opening of so much for querier in the round of label,
// before the party makes its share of it. The same opening again is not counted
// again, so that a retry is free.
//
// It returns a *[BudgetError] if the querier is unknown or has too little left,
// and an error wrapping [ErrConflict] if label was used to open something else.
// Then nothing is counted and the party makes no share.
func (l *Ledger) Spend(label Label, querier string, count int) error {
	if count < 1 {
		return fmt.Errorf("protocols: opening %d %s, want at least 1", count, l.unit)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	asked := Opening{label.Hash(), querier, count}
	if old, ok := l.openings[asked.Label]; ok {
		if old != asked {
			return fmt.Errorf("protocols: opening %d %s for %q in %v: %w (%d for %q)", count, l.unit, querier, label, ErrConflict, old.Count, old.Querier)
		}
		return nil
	}
	if err := l.allow(querier, count); err != nil {
		return err
	}
	if l.record != nil {
		if err := l.record(append(slices.Clip(l.all), asked)); err != nil {
			return fmt.Errorf("protocols: recording an opening for %q: %w", querier, err)
		}
	}
	l.add(asked)
	return nil
}

// Allows returns the error with which Spend would refuse a new opening, nil if it
// would not. It counts nothing.
func (l *Ledger) Allows(querier string, count int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.allow(querier, count)
}

func (l *Ledger) allow(querier string, count int) error {
	a, ok := l.accounts[querier]
	if !ok {
		return &BudgetError{Account: Account{Querier: querier}, Asked: count, Unit: l.unit}
	}
	if count > a.Limit-a.Spent {
		return &BudgetError{Account: *a, Known: true, Asked: count, Unit: l.unit}
	}
	return nil
}

func (l *Ledger) add(o Opening) {
	l.accounts[o.Querier].Spent += o.Count
	l.openings[o.Label] = o
	l.all = append(l.all, o)
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
