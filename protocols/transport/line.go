package transport

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/nereid-mhe/nereid/protocols"
)

// A round is what came for this party under one point, and the line that reads
// it, if there is one. It is guarded by the endpoint's mutex.
type round struct {
	line *Line
	in   []*transfer
}

// round returns the round with the given hash.
func (e *Endpoint) round(hash [32]byte) *round {
	r := e.rounds[hash]
	if r == nil {
		r = &round{}
		e.rounds[hash] = r
	}
	return r
}

// promote asks for what the line waits for: one message at a time of each party,
// so that no party fills the memory. Messages that are here go to the line.
func (r *round) promote() {
	l := r.line
	if l == nil {
		return
	}
	for _, t := range r.in {
		from := t.msg.From
		if t.taken || t.queued || l.busy[from] != nil && l.busy[from] != t {
			continue
		}
		l.busy[from] = t
		t.want()
		if t.whole {
			t.queued = true
			l.ready = append(l.ready, t)
			l.wakeUp()
		}
	}
}

// closeLine ends the line, if there is one. What it did not read stays.
func (r *round) closeLine() {
	if r.line == nil {
		return
	}
	close(r.line.done)
	r.line = nil
	for _, t := range r.in {
		t.queued = false
	}
}

// A Line is a party's network in one round. It implements [protocols.Network]:
// it loses nothing, repeats nothing, and never reports [protocols.ErrIdle]. Send
// may be called from many goroutines, Receive from one.
type Line struct {
	e     *Endpoint
	point protocols.Point
	hash  [32]byte
	sent  atomic.Int64
	wake  chan struct{} // there is something in ready; of capacity 1
	done  chan struct{} // closed with the line

	// Guarded by the endpoint's mutex:
	ready []*transfer
	busy  map[protocols.PartyID]*transfer // the message that is awaited or not read yet
}

var _ protocols.Network = &Line{}

// Line opens the line of a round: what came for it so far and will come can be
// received. It replaces an earlier line of the same point, which is closed, and
// everything is received again, for a machine that was built again. Until a line
// is opened the senders keep their messages, but for a bounded part.
func (e *Endpoint) Line(p protocols.Point) *Line {
	p.Active = slices.Clone(p.Active)
	l := &Line{
		e: e, point: p, hash: p.Hash(), busy: map[protocols.PartyID]*transfer{},
		wake: make(chan struct{}, 1), done: make(chan struct{}),
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		close(l.done)
		return l
	}
	delete(e.forgotten, l.hash)
	r := e.round(l.hash)
	r.closeLine()
	r.line = l
	for _, t := range r.in {
		if t.taken {
			t.reset()
		}
	}
	r.promote()
	return l
}

func (l *Line) wakeUp() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Send implements [protocols.Network]. It does not wait for the peer: the message
// is kept until [Endpoint.Forget] and sent when the peer takes it.
func (l *Line) Send(ctx context.Context, m protocols.Message) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if h := m.Point.Hash(); h != l.hash {
		return fmt.Errorf("transport: a message of %v on the line of %v", m.Point, l.point)
	}
	if err := l.e.send(m); err != nil {
		return err
	}
	l.sent.Add(int64(m.Size()))
	return nil
}

// Sent returns the bytes of the messages passed to Send.
func (l *Line) Sent() int64 { return l.sent.Load() }

// Receive implements [protocols.Network].
func (l *Line) Receive(ctx context.Context) (protocols.Message, error) {
	for {
		if m, ok := l.take(); ok {
			return m, nil
		}
		select {
		case <-l.wake:
		case <-l.done:
			return protocols.Message{}, ErrClosed
		case <-ctx.Done():
			return protocols.Message{}, ctx.Err()
		}
	}
}

// take returns a message that is here and asks its sender for the next.
func (l *Line) take() (protocols.Message, bool) {
	l.e.mu.Lock()
	defer l.e.mu.Unlock()
	r := l.e.rounds[l.hash]
	if len(l.ready) == 0 || r == nil || r.line != l {
		return protocols.Message{}, false
	}
	t := l.ready[0]
	l.ready = l.ready[1:]
	m := t.message()
	t.drop()
	t.taken, t.queued = true, false
	delete(l.busy, t.msg.From)
	r.promote()
	if len(l.ready) > 0 {
		l.wakeUp()
	}
	return m, true
}

// Close closes the line. Messages that it did not read stay for another line of
// the same point; later ones are held back by their senders.
func (l *Line) Close() {
	l.e.mu.Lock()
	defer l.e.mu.Unlock()
	if r := l.e.rounds[l.hash]; r != nil && r.line == l {
		r.closeLine()
		if len(r.in) == 0 {
			delete(l.e.rounds, l.hash)
		}
	}
}
