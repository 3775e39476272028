package transport

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"

	"google.golang.org/grpc"

	"github.com/nereid-mhe/nereid/protocols"
)

// An Endpoint is a party's end of all its connections. It is safe for concurrent
// use.
type Endpoint struct {
	cfg      Config
	routes   Routes
	identity identity
	sign     func([]byte) ([]byte, error)
	boot     [bootSize]byte
	share    int64 // bytes of early messages of a neighbour, and of relayed ones to it

	ctx      context.Context // ends with the endpoint
	cancel   context.CancelFunc
	wg       sync.WaitGroup
	listener net.Listener
	server   *grpc.Server
	queries  querySlots

	mu         sync.Mutex
	closed     bool
	neighbours map[protocols.PartyID]*neighbour
	transfers  map[[32]byte]*transfer
	rounds     map[[32]byte]*round
	forgotten  map[[32]byte]bool
	offered    map[protocols.PartyID]int // messages here, by the party that made them
	store      *store
	reached    uint64 // stages, see Reach
	strangers  record
	outside    traffic // of strangers and readers
}

// Open opens the port, if there is to be one, and starts to connect. It fails if
// cfg is not sound, if peers would not accept the certificate, and if the port
// cannot be opened; peers that cannot be reached are tried until Close.
func Open(cfg Config) (*Endpoint, error) {
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("transport: %w", err)
	}
	routes, err := NewRoutes(cfg.Tree, cfg.Roster)
	if err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	e := &Endpoint{
		cfg: cfg, routes: routes,
		identity:   identity{cfg.Certificate, routes.roster[cfg.Self].Key, callers(cfg)},
		neighbours: map[protocols.PartyID]*neighbour{},
		transfers:  map[[32]byte]*transfer{},
		rounds:     map[[32]byte]*round{},
		forgotten:  map[[32]byte]bool{},
		offered:    map[protocols.PartyID]int{},
	}
	if e.sign, err = e.identity.signer(); err != nil {
		return nil, err
	}
	if _, err := rand.Read(e.boot[:]); err != nil {
		return nil, fmt.Errorf("transport: %w", err)
	}
	if e.store, err = newStore(cfg.SpillDir, cfg.MemoryLimit/2); err != nil {
		return nil, err
	}
	for _, id := range routes.Neighbours(cfg.Self) {
		dials := routes.dialer(cfg.Self, id) == cfg.Self
		e.neighbours[id] = &neighbour{Peer: routes.roster[id], dials: dials, has: map[[32]byte]bool{}}
	}
	e.share = cfg.MemoryLimit / 4 / int64(max(1, len(e.neighbours)))
	e.ctx, e.cancel = context.WithCancel(context.Background())
	if err := e.listen(); err != nil {
		e.cancel()
		return nil, err
	}
	for _, n := range e.neighbours {
		if n.dials {
			e.wg.Go(func() { e.connectForever(n) })
		}
	}
	return e, nil
}

// callers returns who may connect, by key.
func callers(cfg Config) map[string]caller {
	all := map[string]caller{}
	for _, k := range cfg.Readers {
		all[string(k)] = caller{Peer: Peer{Key: k}}
	}
	for _, p := range cfg.Roster {
		all[string(p.Key)] = caller{p, true}
	}
	return all
}

// Addr returns the address of the port, nil if there is none.
func (e *Endpoint) Addr() net.Addr {
	if e.listener == nil {
		return nil
	}
	return e.listener.Addr()
}

// Close closes the port and all connections and removes spilled files. Lines
// return [ErrClosed].
func (e *Endpoint) Close() error {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return nil
	}
	e.closed = true
	for _, n := range e.neighbours {
		n.link.end(ErrClosed)
	}
	for _, r := range e.rounds {
		r.closeLine()
	}
	e.mu.Unlock()
	e.cancel()
	if e.server != nil {
		e.server.Stop()
	}
	e.wg.Wait()
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, t := range e.transfers {
		e.store.drop(t)
	}
	return nil
}

// Reach tells all neighbours how far the study has come, now and on every new
// connection. The number never falls. What neighbours tell goes to [Config.Reached].
func (e *Endpoint) Reach(stages uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.reached = max(e.reached, stages)
	for _, n := range e.neighbours {
		n.link.wakeUp()
	}
}

// Forget drops everything about the points for which over returns true: messages
// sent, which no peer must need any more, and messages that came for this party.
// They are rounds that are checkpointed at every party. over is called with the
// endpoint locked.
func (e *Endpoint) Forget(over func(protocols.Point) bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for h, r := range e.rounds {
		if r.line != nil && over(r.line.point) || len(r.in) > 0 && over(r.in[0].msg.Point) {
			r.closeLine()
			e.forgotten[h] = true
			delete(e.rounds, h)
		}
	}
	for _, t := range e.transfers {
		if e.forgotten[t.round] || over(t.msg.Point) {
			e.forgotten[t.round] = true
			e.forget(t)
		}
	}
	gone := func(t *transfer) bool { return t.gone }
	for _, n := range e.neighbours {
		n.in, n.out = slices.DeleteFunc(n.in, gone), slices.DeleteFunc(n.out, gone)
	}
}

// send takes a message of this party.
func (e *Endpoint) send(m protocols.Message) error {
	switch {
	case m.From != e.cfg.Self || m.To == e.cfg.Self || !e.cfg.Tree.Contains(m.To):
		return fmt.Errorf("transport: a message from party %d to party %d cannot be sent by party %d", m.From, m.To, e.cfg.Self)
	case m.Point.Study != e.cfg.Study:
		return fmt.Errorf("transport: a message of %w %v", ErrStudy, m.Point.Study)
	case len(m.Body) > e.cfg.MaxBody:
		return fmt.Errorf("transport: a message %w: a body of %d bytes, want at most %d", ErrTooBig, len(m.Body), e.cfg.MaxBody)
	}
	h, err := header(m)
	if err != nil {
		return err
	}
	signature, err := e.sign(signed(h, len(m.Body)))
	if err != nil {
		return fmt.Errorf("transport: signing a message: %w", err)
	}
	bare := m
	bare.Body = nil
	t := &transfer{
		offer: offer{bare, len(m.Body), signature}, id: m.Sum, round: m.Point.Hash(),
		data: m.Body, whole: true, push: true,
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.closed:
		return ErrClosed
	case e.forgotten[t.round] || e.transfers[t.id] != nil:
		return nil
	}
	e.know(t)
	e.store.add(t)
	return e.spill()
}

// spill moves bodies to files until memory is below the limit. The mutex is held,
// but not while a file is written.
func (e *Endpoint) spill() error {
	for t := e.store.excess(); t != nil; t = e.store.excess() {
		data := t.data
		e.mu.Unlock()
		file, err := e.store.write(data)
		e.mu.Lock()
		if err != nil {
			e.store.order = append(e.store.order, t)
			return err
		}
		if t.gone { // forgotten meanwhile
			os.Remove(file)
			continue
		}
		e.store.moved(t, file)
	}
	return nil
}
