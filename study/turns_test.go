package study

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/protocols"
)

// What ends something goes before what begins something, then the lowest party, then
// who asked first. Nobody who has a turn is interrupted.
func TestTurnsAreInOrder(t *testing.T) {
	asks := []struct {
		id protocols.PartyID
		u  urgency
	}{{2, begins}, {1, begins}, {3, ends}, {1, begins}, {0, begins}, {3, ends}, {2, ends}}
	want := []int{6, 2, 5, 4, 1, 3, 0}
	turns := newTurns(2)
	turns.take(9, begins)
	turns.take(9, begins)
	got := make(chan int)
	var wg sync.WaitGroup
	for i, a := range asks {
		wg.Go(func() {
			turns.take(a.id, a.u)
			got <- i
			turns.give()
		})
		for queued := false; !queued; { // in this order
			turns.mu.Lock()
			queued = len(turns.waiting) == i+1
			turns.mu.Unlock()
		}
	}
	turns.give()
	var order []int
	for range asks {
		order = append(order, <-got)
	}
	require.Equal(t, want, order)
	wg.Wait()
	require.Empty(t, turns.waiting)
	require.Equal(t, 1, turns.free)
}
