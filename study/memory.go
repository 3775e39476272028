package study

import (
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"github.com/nereid-mhe/nereid/protocols"
)

// A MemoryNetwork joins the nodes of a study that are all in this process. Messages
// cross it encoded but for their bodies, nothing is lost, and no node can restart. It
// is for tests, trials and benchmarks. It is safe for concurrent use.
type MemoryNetwork struct{ hub *hub }

// NewMemoryNetwork returns the network of a study.
func NewMemoryNetwork(t Terms) MemoryNetwork {
	return MemoryNetwork{newHub(t.cfg.Parties, t.maxMessage())}
}

// Transport returns a party's end.
func (n MemoryNetwork) Transport(self protocols.PartyID) Transport { return n.hub.seat(self) }

// A MemoryStore is a [Store] of a process. Nothing in it survives: a node that restarts
// needs a [FileStore]. The zero value is empty.
type MemoryStore struct {
	mu     sync.Mutex
	values map[string][]byte
}

var _ Store = &MemoryStore{}

// Put implements [Store].
func (s *MemoryStore) Put(name string, value ...[]byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.values == nil {
		s.values = map[string][]byte{}
	}
	s.values[name] = slices.Concat(value...)
	return nil
}

// Get implements [Store].
func (s *MemoryStore) Get(name string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.values[name]
	if !ok {
		return nil, fmt.Errorf("study: %s: %w", name, fs.ErrNotExist)
	}
	return slices.Clone(v), nil
}

// Delete implements [Store].
func (s *MemoryStore) Delete(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.values, name)
	return nil
}
