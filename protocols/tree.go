package protocols

import (
	"fmt"
	"math"
)

// A Tree is the shape in which parties are connected: a heap with the root at
// party 0, where party p has the children k·p+1 to k·p+k. It is immutable; the
// zero Tree has no parties.
type Tree struct{ parties, fanout int }

// NewTree returns the tree of the given number of parties, in which a party has
// up to fanout children. Fan-out 1 is a chain, fan-out parties-1 a star. It
// returns an error for less than 2 or more than 65535 parties and for a fan-out
// below 1.
func NewTree(parties, fanout int) (Tree, error) {
	switch {
	case parties < 2:
		return Tree{}, fmt.Errorf("protocols: a study needs at least 2 parties, not %d", parties)
	case parties > math.MaxUint16:
		return Tree{}, fmt.Errorf("protocols: %d parties, want at most %d", parties, math.MaxUint16)
	case fanout < 1:
		return Tree{}, fmt.Errorf("protocols: tree with fan-out %d, want at least 1", fanout)
	}
	return Tree{parties, min(fanout, parties-1)}, nil
}

// Parties returns the number of parties.
func (t Tree) Parties() int { return t.parties }

// Root returns party 0.
func (t Tree) Root() PartyID { return 0 }

// Contains reports whether p is a party of the tree.
func (t Tree) Contains(p PartyID) bool { return int(p) < t.parties }

// Parent returns the party above p. It is false for the root and for parties
// not in the tree.
func (t Tree) Parent(p PartyID) (PartyID, bool) {
	if p == 0 || !t.Contains(p) {
		return 0, false
	}
	return PartyID((int(p) - 1) / t.fanout), true
}

// Children returns the parties below p in increasing order, none for a leaf.
func (t Tree) Children(p PartyID) []PartyID {
	if !t.Contains(p) {
		return nil
	}
	first := int(p)*t.fanout + 1
	var c []PartyID
	for i := first; i < min(first+t.fanout, t.parties); i++ {
		c = append(c, PartyID(i))
	}
	return c
}

// Depth returns the number of edges from the root to the farthest leaf.
func (t Tree) Depth() int {
	depth := 0
	for p := t.parties - 1; p > 0; p = (p - 1) / t.fanout {
		depth++
	}
	return depth
}

// Members returns all parties in increasing order.
func (t Tree) Members() []PartyID {
	m := make([]PartyID, t.parties)
	for i := range m {
		m[i] = PartyID(i)
	}
	return m
}
