package study

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/dataset"
	"github.com/nereid-mhe/nereid/protocols"
)

// A fullStore is a store whose disk is full when an output comes. The node is being
// shut down by then.
type fullStore struct {
	MemoryStore
	name string
	stop func()
}

var errFull = errors.New("no space left")

func (s *fullStore) Put(name string, value ...[]byte) error {
	if name == s.name {
		s.stop()
		return errFull
	}
	return s.MemoryStore.Put(name, value...)
}

// What the end of a stage meets is not lost because the node is shut down meanwhile.
func TestNodeTellsHowAStageEnded(t *testing.T) {
	terms := logisticTerms(t, 2, 1, 3)
	table, err := dataset.Synthetic(dataset.SyntheticConfig{Rows: 20, Features: 3, Seed: 3})
	require.NoError(t, err)
	wires := NewMemoryNetwork(terms)
	ctx, stopAll := context.WithCancel(t.Context())
	defer stopAll()
	last, stopLast := context.WithCancel(ctx)
	defer stopLast()
	stores := []Store{&MemoryStore{}, &fullStore{name: outputName(newCourse(terms.terms).trained() - 2), stop: stopLast}}
	ended := make([]error, len(stores))
	var wg sync.WaitGroup
	for i, store := range stores {
		id := protocols.PartyID(i)
		n, err := NewNode(NodeConfig{
			Terms: terms, Self: id, Seed: protocols.NewSeed([32]byte{byte(i + 1)}),
			Table:   dataset.Table{Features: table.Features, X: table.X[10*i : 10*i+10], Y: table.Y[10*i : 10*i+10]},
			Journal: protocols.NewMemoryJournal(), Store: store, Transport: wires.Transport(id),
		})
		require.NoError(t, err)
		wg.Go(func() {
			run := ctx
			if i == 1 {
				run = last
				defer stopAll()
			}
			ended[i] = n.Run(run)
		})
	}
	wg.Wait()
	require.NoError(t, ended[0])
	require.ErrorIs(t, ended[1], errFull)
}
