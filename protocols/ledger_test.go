package protocols_test

import (
	"errors"
	"math"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/nereid-mhe/nereid/protocols"
)

func TestLedgerRefuses(t *testing.T) {
	l := protocols.NewLedger("rows", map[string]int{"clinic": 10, "none": 0, "debt": math.MinInt})
	require.NoError(t, l.Spend(testLabel(1, 1), "clinic", 4))
	for _, tt := range []struct {
		name    string
		label   protocols.Label
		querier string
		values  int
		want    protocols.BudgetError
	}{
		{"beyond", testLabel(2, 1), "clinic", 7, protocols.BudgetError{Account: protocols.Account{Querier: "clinic", Spent: 4, Limit: 10}, Known: true, Asked: 7, Unit: "rows"}},
		{"overflow", testLabel(2, 1), "clinic", math.MaxInt, protocols.BudgetError{Account: protocols.Account{Querier: "clinic", Spent: 4, Limit: 10}, Known: true, Asked: math.MaxInt, Unit: "rows"}},
		{"unknown", testLabel(2, 1), "press", 1, protocols.BudgetError{Account: protocols.Account{Querier: "press"}, Asked: 1, Unit: "rows"}},
		{"no budget", testLabel(2, 1), "none", 1, protocols.BudgetError{Account: protocols.Account{Querier: "none"}, Known: true, Asked: 1, Unit: "rows"}},
		{"negative limit", testLabel(2, 1), "debt", 1, protocols.BudgetError{Account: protocols.Account{Querier: "debt", Limit: 0}, Known: true, Asked: 1, Unit: "rows"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var budget *protocols.BudgetError
			require.ErrorAs(t, l.Spend(tt.label, tt.querier, tt.values), &budget)
			require.Equal(t, tt.want, *budget)
		})
	}
	for _, values := range []int{0, -1, math.MinInt} {
		require.ErrorContains(t, l.Spend(testLabel(2, 1), "clinic", values), "want at least 1")
	}
	require.ErrorIs(t, l.Spend(testLabel(1, 1), "clinic", 3), protocols.ErrConflict)
	require.ErrorIs(t, l.Spend(testLabel(1, 1), "none", 4), protocols.ErrConflict)
	require.NoError(t, l.Spend(testLabel(1, 1), "clinic", 4), "the same again")
	require.NoError(t, l.Spend(testLabel(1, 2), "clinic", 6), "up to the limit")
	require.Equal(t, []protocols.Account{{"clinic", 10, 10}, {"debt", 0, 0}, {"none", 0, 0}}, l.Spent())
}

// The limit holds, and a label counts once, in any order of openings.
func TestLedgerNeverExceeds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(0, 20).Draw(t, "limit")
		l := protocols.NewLedger("rows", map[string]int{"q": limit})
		opened := map[uint64]int{}
		for range 20 {
			step, values := rapid.Uint64Range(0, 8).Draw(t, "step"), rapid.IntRange(1, 6).Draw(t, "values")
			if l.Spend(testLabel(step, 0), "q", values) == nil {
				if old, ok := opened[step]; ok {
					require.Equal(t, old, values)
				}
				opened[step] = values
			}
			sum := 0
			for _, v := range opened {
				sum += v
			}
			require.LessOrEqual(t, sum, limit)
			require.Equal(t, sum, l.Spent()[0].Spent)
		}
	})
}

func TestLedgerConcurrently(t *testing.T) {
	l := protocols.NewLedger("rows", map[string]int{"q": 50})
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() { _ = l.Spend(testLabel(uint64(i/2), 0), "q", 1) })
	}
	wg.Wait()
	require.Equal(t, 50, l.Spent()[0].Spent)
}

// A party that restarts has spent what it had spent, and an opening that could not
// be recorded was not made.
func TestLedgerSurvivesRestarts(t *testing.T) {
	limits := map[string]int{"lab": 3}
	var disk []protocols.Opening
	var fault error
	record := func(all []protocols.Opening) error {
		if fault == nil {
			disk = slices.Clone(all)
		}
		return fault
	}
	label := func(step uint64) protocols.Label {
		return protocols.Label{Point: protocols.Point{Protocol: "switch", Step: step}}
	}
	l, err := protocols.RestoreLedger("rows", limits, nil, record)
	require.NoError(t, err)
	require.NoError(t, l.Spend(label(0), "lab", 2))
	require.NoError(t, l.Spend(label(0), "lab", 2))

	l, err = protocols.RestoreLedger("rows", limits, disk, record)
	require.NoError(t, err)
	require.Equal(t, []protocols.Account{{Querier: "lab", Spent: 2, Limit: 3}}, l.Spent())
	require.NoError(t, l.Spend(label(0), "lab", 2), "the same opening is free")
	var budget *protocols.BudgetError
	require.ErrorAs(t, l.Spend(label(1), "lab", 2), &budget)
	require.ErrorAs(t, l.Allows("lab", 2), &budget)
	require.ErrorAs(t, l.Allows("stranger", 1), &budget)

	fault = errors.New("disk full")
	require.ErrorIs(t, l.Spend(label(1), "lab", 1), fault)
	fault = nil
	require.NoError(t, l.Allows("lab", 1), "what was not recorded is not spent")
	require.NoError(t, l.Spend(label(2), "lab", 1))
	require.Len(t, disk, 2)

	_, err = protocols.RestoreLedger("rows", map[string]int{"lab": 2}, disk, record)
	require.ErrorAs(t, err, &budget, "another policy")
	_, err = protocols.RestoreLedger("rows", limits, append(disk, disk[0]), record)
	require.ErrorIs(t, err, protocols.ErrConflict)
}
