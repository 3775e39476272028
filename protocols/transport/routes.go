package transport

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"

	"github.com/nereid-mhe/nereid/protocols"
)

// Routes says which parties connect to which and the way of every message. It
// follows from the tree and from who has an address, so that all parties agree
// on it without talking.
//
// Two parties are connected if one of them can be reached: the one without an
// address connects to the one with. If both have one, a child connects to its
// parent, and of others the one with the higher number connects to the lower.
// Messages between parties that are not connected go along the tree, and leave it
// where the rest of the way is one connection.
type Routes struct {
	tree   protocols.Tree
	roster []Peer // by number
}

// A Connection is one that is made in a study: Dialer connects to Listener at
// Address, and messages go in both directions.
type Connection struct {
	Dialer, Listener protocols.PartyID
	Address          string // of the listener
}

// NewRoutes returns the routes of a study. The error names every party of the
// tree that the roster lacks or has twice, and every edge of the tree of which
// neither end has an address.
func NewRoutes(tree protocols.Tree, roster []Peer) (Routes, error) {
	r := Routes{tree, make([]Peer, tree.Parties())}
	var errs []error
	listed, keys, names := map[protocols.PartyID]bool{}, map[string]protocols.PartyID{}, map[string]protocols.PartyID{}
	for _, p := range roster {
		other, keyTaken := keys[string(p.Key)]
		namesake, nameTaken := names[p.Name]
		switch {
		case !tree.Contains(p.ID):
			errs = append(errs, fmt.Errorf("party %d (%s) is not in the tree of %d parties", p.ID, p.Name, tree.Parties()))
			continue
		case listed[p.ID]:
			errs = append(errs, fmt.Errorf("party %d is in the roster twice", p.ID))
		case p.Name == "" || nameTaken:
			errs = append(errs, fmt.Errorf("party %d has the name %q, want one of its own (party %d)", p.ID, p.Name, namesake))
		case len(p.Key) != ed25519.PublicKeySize:
			errs = append(errs, fmt.Errorf("party %d (%s) has a key of %d bytes, want %d", p.ID, p.Name, len(p.Key), ed25519.PublicKeySize))
		case keyTaken:
			errs = append(errs, fmt.Errorf("parties %d and %d have the same key", other, p.ID))
		}
		listed[p.ID], keys[string(p.Key)], names[p.Name] = true, p.ID, p.ID
		r.roster[p.ID] = p
	}
	for _, id := range tree.Members() {
		if !listed[id] {
			errs = append(errs, fmt.Errorf("party %d is not in the roster", id))
		}
	}
	if len(errs) == 0 {
		errs = r.checkEdges()
	}
	if err := errors.Join(errs...); err != nil {
		return Routes{}, fmt.Errorf("transport: roster: %w", err)
	}
	return r, nil
}

func (r Routes) checkEdges() (errs []error) {
	for _, id := range r.tree.Members() {
		parent, ok := r.tree.Parent(id)
		if ok && !r.Direct(id, parent) {
			errs = append(errs, fmt.Errorf("party %d (%s) and its parent %d (%s) have no address: give the parent one",
				id, r.roster[id].Name, parent, r.roster[parent].Name))
		}
	}
	return errs
}

// Direct reports whether two parties are connected.
func (r Routes) Direct(a, b protocols.PartyID) bool {
	return a != b && (r.roster[a].Address != "" || r.roster[b].Address != "")
}

// dialer returns which of two connected parties makes the connection.
func (r Routes) dialer(a, b protocols.PartyID) protocols.PartyID {
	switch {
	case r.roster[a].Address == "":
		return a
	case r.roster[b].Address == "":
		return b
	}
	if p, ok := r.tree.Parent(a); ok && p == b {
		return a
	}
	if p, ok := r.tree.Parent(b); ok && p == a {
		return b
	}
	return max(a, b)
}

// Connections returns all connections of the study, by dialer.
func (r Routes) Connections() []Connection {
	var all []Connection
	for _, dialer := range r.tree.Members() {
		for _, listener := range r.Neighbours(dialer) {
			if r.dialer(dialer, listener) == dialer {
				all = append(all, Connection{dialer, listener, r.roster[listener].Address})
			}
		}
	}
	return all
}

// Neighbours returns the parties connected to p in increasing order.
func (r Routes) Neighbours(p protocols.PartyID) []protocols.PartyID {
	return slices.DeleteFunc(r.tree.Members(), func(q protocols.PartyID) bool { return !r.Direct(p, q) })
}

// Path returns the parties that a message passes, both ends included.
func (r Routes) Path(from, to protocols.PartyID) []protocols.PartyID {
	path := []protocols.PartyID{from}
	for from != to {
		from = r.next(from, to)
		path = append(path, from)
	}
	return path
}

// next returns the neighbour of at, not to, that gets what is meant for to.
func (r Routes) next(at, to protocols.PartyID) protocols.PartyID {
	if r.Direct(at, to) {
		return to
	}
	for p := to; ; {
		parent, ok := r.tree.Parent(p)
		switch {
		case !ok: // to is not below
			up, _ := r.tree.Parent(at)
			return up
		case parent == at:
			return p
		}
		p = parent
	}
}

// passes reports whether the way from one party to another goes from a to its
// neighbour b.
func (r Routes) passes(from, to, a, b protocols.PartyID) bool {
	path := r.Path(from, to)
	i := slices.Index(path, a)
	return i >= 0 && i+1 < len(path) && path[i+1] == b
}
