package transport

import (
	"errors"
	"time"

	"github.com/nereid-mhe/nereid/protocols"
)

// Stats is what an endpoint knows of its connections.
type Stats struct {
	Peers     []PeerStats // connected to this party or to be connected, by number
	Strangers Refusals    // connections of unknown keys, of readers, and without a handshake

	// Bytes of bodies that this party sent and keeps for peers that may need them
	// again, in memory and in files.
	InMemory, Spilled int64
}

// PeerStats is what an endpoint knows of its connection to a party.
type PeerStats struct {
	ID        protocols.PartyID
	Name      string
	Connected bool
	Connects  int   // connections so far: one more than reconnections
	BytesIn   int64 // on the wire, with TLS
	BytesOut  int64
	Progress  time.Time // when something last came, zero if never
	Pending   int       // messages on their way to it that did not arrive
	Reached   uint64    // how far it says that the study has come; see [Endpoint.Reach]
	Expires   time.Time // the end of its certificate, zero until it is known
	Problem   error     // why it is not connected, if a reason is known
	Refusals
}

// Refusals counts refusals of a peer. Last is a *[PeerError], nil if there is none.
type Refusals struct {
	Refused int
	Last    error
}

// A record is the part of the statistics that is guarded by the endpoint's mutex.
type record struct {
	connects int
	last     time.Time
	expires  time.Time
	problem  error
	logged   string // the last problem in the log
	Refusals
}

func (r *record) progress() { r.last = time.Now() }

func (r *record) connected() {
	r.connects++
	r.problem, r.logged = nil, ""
	r.progress()
}

// Stats returns the statistics so far.
func (e *Endpoint) Stats() Stats {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := Stats{Strangers: e.strangers.Refusals, InMemory: e.store.memory, Spilled: e.store.spilled}
	for _, id := range e.cfg.Tree.Members() {
		n := e.neighbours[id]
		if n == nil {
			continue
		}
		p := PeerStats{
			ID: id, Name: n.Name, Connected: n.link != nil, Connects: n.record.connects,
			BytesIn: n.traffic.in.Load(), BytesOut: n.traffic.out.Load(),
			Progress: n.record.last, Reached: n.reached, Expires: n.record.expires, Problem: n.record.problem, Refusals: n.record.Refusals,
		}
		for _, t := range n.out {
			if !t.have {
				p.Pending++
			}
		}
		s.Peers = append(s.Peers, p)
	}
	return s
}

// refused counts and logs a refusal, if err is one. The first of a kind is a
// warning.
func (e *Endpoint) refused(err error) {
	var pe *PeerError
	if !errors.As(err, &pe) {
		return
	}
	e.mu.Lock()
	r := &e.strangers
	if n := e.neighbours[pe.Peer]; pe.Known && n != nil {
		r = &n.record
	}
	r.Refused++
	r.Last = pe
	e.mu.Unlock()
	e.note(r, pe)
}

// note logs a problem as a warning when it is another than before.
func (e *Endpoint) note(r *record, err error) {
	e.mu.Lock()
	text := err.Error()
	again := r.logged == text
	r.logged, r.problem = text, err
	e.mu.Unlock()
	var pe *PeerError
	switch {
	case again:
		e.cfg.Log.Debug("peer again", "err", text)
	case errors.As(err, &pe):
		e.cfg.Log.Warn("peer refused", "peer", pe.Name, "err", pe.Err, "remedy", pe.Remedy())
	default:
		e.cfg.Log.Warn("peer not connected", "err", text)
	}
}
