// Package node runs one party of a locked study on its host: the party's machine
// (package study) on the network (package protocols/transport), with a journal and a
// store in a directory of its own. It also asks nodes for their status and, for the
// querier, for predictions.
//
// A node may be killed at any moment. Started again with the same lock, identity,
// rows and directory it goes on where it was; see [study.Node].
package node

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/nereid-mhe/nereid/dataset"
	"github.com/nereid-mhe/nereid/identity"
	"github.com/nereid-mhe/nereid/protocols"
	"github.com/nereid-mhe/nereid/protocols/transport"
	"github.com/nereid-mhe/nereid/roster"
	"github.com/nereid-mhe/nereid/study"
)

// Config is what a node is started with.
type Config struct {
	Identity *identity.Identity
	Lock     roster.Lock   // signed by all parties, this one too
	Terms    study.Terms   // of the lock, computed here; see [studyfile.Locked]
	Table    dataset.Table // the party's rows

	// Dir holds the journal and the store. It belongs to this party in this study
	// and must never be replaced by an older copy of itself.
	Dir string

	// Listen is the address of the port to open, as in [net.Listen]; empty for the
	// port of the party's address in the lock on all interfaces, or for none if it
	// has no address. Listener is an open one in its place.
	Listen   string
	Listener net.Listener

	Cores    int // that compute at the same time; 0 for all
	Log      *slog.Logger
	Progress func(study.Progress)

	// Dial makes connections, nil for TCP.
	Dial func(ctx context.Context, address string) (net.Conn, error)
}

// A Node is one party of a study, ready to run.
type Node struct {
	cfg     Config
	self    protocols.PartyID
	journal *protocols.FileJournal

	// nil until they are open, when peers may connect and ask already
	net   atomic.Pointer[transport.Endpoint]
	party atomic.Pointer[study.Node]
}

// Open checks that the lock is one that this identity has signed, opens journal and
// store, and opens the port. The error is an *[roster.Error] if the lock does not
// hold, and wraps what packages study, protocols and transport return.
func Open(cfg Config) (_ *Node, err error) {
	if err := cfg.Lock.Admit(cfg.Identity); err != nil {
		return nil, err
	}
	self, ok := cfg.Lock.Party(cfg.Identity.Key())
	if !ok {
		return nil, fmt.Errorf("node: %v is no party of the study: a querier asks with \"nereid predict\"", cfg.Identity)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	n := &Node{cfg: cfg, self: self}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.Close())
		}
	}()
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("node: its directory: %w", err)
	}
	if n.journal, err = protocols.OpenJournal(JournalFile(cfg.Dir)); err != nil {
		return nil, err
	}
	store, err := study.OpenStore(filepath.Join(cfg.Dir, storeDir))
	if err != nil {
		return nil, err
	}
	endpoint, err := n.connect()
	if err != nil {
		return nil, err
	}
	n.net.Store(endpoint)
	party, err := study.NewNode(study.NodeConfig{
		Terms: cfg.Terms, Self: self, Seed: cfg.Identity.Seed(cfg.Lock.ID()), Table: cfg.Table,
		Journal: n.journal, Store: store, Transport: wires{endpoint}, Cores: cfg.Cores, Log: cfg.Log, Progress: cfg.Progress,
	})
	if err != nil {
		return nil, err
	}
	n.party.Store(party)
	for _, p := range endpoint.Stats().Peers { // what they said before there was a party
		party.Reached(p.ID, p.Reached)
	}
	return n, nil
}

// reached passes on what a peer says.
func (n *Node) reached(by protocols.PartyID, stages uint64) {
	if party := n.party.Load(); party != nil {
		party.Reached(by, stages)
	}
}

// Names in a node's directory.
const (
	journalFile = "journal"
	storeDir    = "store"
	spillDir    = "spill"
)

// JournalFile returns the file of the journal of the node in a directory.
func JournalFile(dir string) string { return filepath.Join(dir, journalFile) }

// connect opens the endpoint. Connections are served from here on; questions are
// answered when the party is ready.
func (n *Node) connect() (*transport.Endpoint, error) {
	spill := filepath.Join(n.cfg.Dir, spillDir)
	if err := os.MkdirAll(spill, 0o700); err != nil {
		return nil, fmt.Errorf("node: its directory: %w", err)
	}
	listen, err := n.cfg.listen(n.self)
	if err != nil {
		return nil, err
	}
	c := transport.Config{
		Self: n.self, Roster: Peers(n.cfg.Lock), Tree: n.cfg.Lock.Tree(), Study: n.cfg.Terms.ID(),
		Certificate: n.cfg.Identity.Certificate, Listen: listen, Listener: n.cfg.Listener, Dial: n.cfg.Dial,
		MaxBody: n.cfg.Terms.MaxMessage(), SpillDir: spill, Log: n.cfg.Log,
		Status: n.report, Query: n.answer, Reached: n.reached,
	}
	for _, q := range n.cfg.Lock.Queriers() {
		c.Readers = append(c.Readers, ed25519.PublicKey(q.Key[:]))
	}
	return transport.Open(c)
}

// listen returns the address of the port to open, empty for none.
func (c Config) listen(self protocols.PartyID) (string, error) {
	address := c.Lock.Parties()[self].Address
	if c.Listen != "" || c.Listener != nil || address == "" {
		return c.Listen, nil
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", fmt.Errorf("node: address %q of the lock: %w", address, err)
	}
	return net.JoinHostPort("", port), nil
}

// Peers returns the parties of a lock as the transport knows them.
func Peers(l roster.Lock) []transport.Peer {
	var peers []transport.Peer
	for i, p := range l.Parties() {
		peers = append(peers, transport.Peer{ID: protocols.PartyID(i), Name: p.Name, Key: ed25519.PublicKey(p.Key[:]), Address: p.Address})
	}
	return peers
}

// wires is the endpoint as the party sees it.
type wires struct{ e *transport.Endpoint }

// Line implements [study.Transport].
func (w wires) Line(p protocols.Point) study.Line { return w.e.Line(p) }

// Forget implements [study.Transport].
func (w wires) Forget(closed func(protocols.Point) bool) { w.e.Forget(closed) }

// Reach implements [study.Transport].
func (w wires) Reach(stages uint64) { w.e.Reach(stages) }

// Run takes part in the study until ctx ends, which is no error; see
// [study.Node.Run]. It is called once.
func (n *Node) Run(ctx context.Context) error { return n.party.Load().Run(ctx) }

// Close closes port and journal after Run has ended.
func (n *Node) Close() error {
	var errs []error
	if e := n.net.Load(); e != nil {
		errs = append(errs, e.Close())
	}
	if n.journal != nil {
		errs = append(errs, n.journal.Close())
	}
	return errors.Join(errs...)
}

// Addr returns the address of the open port, nil if there is none.
func (n *Node) Addr() net.Addr { return n.net.Load().Addr() }
