package protocols

import (
	"fmt"
	"math"
	"slices"
)

// A Tree is the shape in which parties are connected: a heap in which the party at
// place p has those at places k·p+1 to k·p+k as children. Party 0 is at place 0,
// the root, unless [Tree.RootedAt] says otherwise. It is immutable; the zero Tree
// has no parties.
type Tree struct {
	parties, fanout int
	root            PartyID // the party at place 0; the others follow in order, around
}

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
	return Tree{parties: parties, fanout: min(fanout, parties-1)}, nil
}

// RootedAt returns the tree of the same shape with another party at its root.
// Rounds of a party's own have that party as root; when there is one for every
// party, all of them send and receive alike.
func (t Tree) RootedAt(p PartyID) (Tree, error) {
	if !t.Contains(p) {
		return Tree{}, fmt.Errorf("protocols: party %d at the root of a tree of %d", p, t.parties)
	}
	t.root = p
	return t, nil
}

// place returns where p is in the heap, and at is its inverse.
func (t Tree) place(p PartyID) int  { return (int(p) - int(t.root) + t.parties) % t.parties }
func (t Tree) at(place int) PartyID { return PartyID((place + int(t.root)) % t.parties) }

// Parties returns the number of parties.
func (t Tree) Parties() int { return t.parties }

// Root returns the party at the root.
func (t Tree) Root() PartyID { return t.root }

// Contains reports whether p is a party of the tree.
func (t Tree) Contains(p PartyID) bool { return int(p) < t.parties }

// Parent returns the party above p. It is false for the root and for parties
// not in the tree.
func (t Tree) Parent(p PartyID) (PartyID, bool) {
	if p == t.root || !t.Contains(p) {
		return 0, false
	}
	return t.at((t.place(p) - 1) / t.fanout), true
}

// Children returns the parties below p in increasing order, none for a leaf.
func (t Tree) Children(p PartyID) []PartyID {
	if !t.Contains(p) {
		return nil
	}
	first := t.place(p)*t.fanout + 1
	var c []PartyID
	for i := first; i < min(first+t.fanout, t.parties); i++ {
		c = append(c, t.at(i))
	}
	slices.Sort(c)
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
