package study

import (
	"maps"
	"slices"
	"sync"

	"github.com/nereid-mhe/nereid/protocols"
)

// noted is a journal that notes the labels it is used for: what a node forgets later.
type noted struct {
	protocols.Journal
	mu   sync.Mutex
	used map[[32]byte]protocols.Label // by hash
}

// Share implements [protocols.Journal].
func (n *noted) Share(l protocols.Label, gen func() ([]byte, error)) ([]byte, error) {
	n.note(l)
	return n.Journal.Share(l, gen)
}

// Derive implements [protocols.Journal].
func (n *noted) Derive(l protocols.Label, gen func() (protocols.Payload, error)) (protocols.Payload, error) {
	n.note(l)
	return n.Journal.Derive(l, gen)
}

func (n *noted) note(l protocols.Label) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.used[l.Hash()] = l
}

// labels returns the labels so far.
func (n *noted) labels() []protocols.Label {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Collect(maps.Values(n.used))
}

// fleeting is the journal of a party that never restarts, on a network that loses
// nothing: it keeps bindings, and drops every share as soon as the party has it. In a
// process of many parties their shares of a step would take gigabytes.
type fleeting struct{ *protocols.MemoryJournal }

// Share implements [protocols.Journal], once for each label.
func (j fleeting) Share(l protocols.Label, gen func() ([]byte, error)) ([]byte, error) {
	share, err := j.MemoryJournal.Share(l, gen)
	if err != nil {
		return nil, err
	}
	return share, j.Forget(l)
}

// Derive implements [protocols.Journal].
func (j fleeting) Derive(l protocols.Label, gen func() (protocols.Payload, error)) (protocols.Payload, error) {
	share, err := j.MemoryJournal.Derive(l, gen)
	if err != nil {
		return share, err
	}
	return share, j.Forget(l)
}
