package study

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/nereid-mhe/nereid/protocols"
)

// A Transport carries the messages of one party in all rounds of its studies. It is
// safe for concurrent use.
//
// A peer may restart at any moment and have forgotten every message. Therefore a
// transport keeps what it was given to send until it is told to forget, and gives a
// peer that comes back all of it again that belongs to rounds the peer has open. It
// may deliver messages twice and in any order, and keeps those of rounds that this
// party has not opened yet until it does.
type Transport interface {
	// Line returns the party's network in the round of p, which it opens.
	Line(p protocols.Point) Line

	// Forget closes rounds that no party needs any more: nothing is sent, kept or
	// delivered in them. closed is a pure function.
	Forget(closed func(protocols.Point) bool)

	// Reach tells neighbours how many stages of the study somebody has done, now and
	// whenever they come back. What they tell goes to [Node.Reached].
	Reach(stages uint64)
}

// A Line is one party's network in one round. It is used by one goroutine.
type Line interface {
	protocols.Network
	Sent() int64 // bytes so far
}

// A hub is the in-memory network of a study: a mailbox for every party, sorted by
// round, so that a fast peer's next round waits until the party gets there.
// Messages cross it encoded but for their bodies, which are bytes already: what goes
// to all parties is in memory once. A share is taken before its sender goes on, so that
// no party's shares pile up at a slower one.
type hub struct {
	boxes   []*mailbox
	maxBody int
}

func newHub(parties, maxBody int) *hub {
	h := &hub{boxes: make([]*mailbox, parties), maxBody: maxBody}
	for i := range h.boxes {
		b := &mailbox{rounds: map[[32]byte][]parcel{}}
		b.wake = sync.NewCond(&b.mu)
		h.boxes[i] = b
	}
	return h
}

// A parcel is a message and who sent it.
type parcel struct {
	from protocols.PartyID
	head []byte // encoded, without its body
	body []byte

	taken chan struct{} // closed by who takes it
}

type mailbox struct {
	mu     sync.Mutex
	rounds map[[32]byte][]parcel
	wake   *sync.Cond // something arrived, or a context ended
}

// A seat is one party's place at a hub, on which nothing is lost and nobody
// restarts: it keeps no messages.
type seat struct {
	hub  *hub
	self protocols.PartyID
}

var _ Transport = seat{}

func (h *hub) seat(self protocols.PartyID) Transport { return seat{h, self} }

// Line implements [Transport].
func (s seat) Line(p protocols.Point) Line { return &line{hub: s.hub, self: s.self, key: p.Hash()} }

// Forget implements [Transport].
func (seat) Forget(func(protocols.Point) bool) {}

// Reach implements [Transport].
func (seat) Reach(uint64) {}

type line struct {
	hub  *hub
	self protocols.PartyID
	key  [32]byte // of the round's point
	sent int64    // bytes
}

// Sent implements [Line].
func (l *line) Sent() int64 { return l.sent }

// Send implements [protocols.Network].
func (l *line) Send(ctx context.Context, m protocols.Message) error {
	size, body := m.Size(), m.Body
	m.Body = nil
	head, err := m.AppendBinary(nil)
	if err != nil {
		return err
	}
	if int(m.To) >= len(l.hub.boxes) {
		return fmt.Errorf("%w: a message to party %d of %d", ErrConfig, m.To, len(l.hub.boxes))
	}
	l.sent += int64(size)
	p := parcel{l.self, head, body, make(chan struct{})}
	to := l.hub.boxes[m.To]
	to.mu.Lock()
	to.rounds[l.key] = append(to.rounds[l.key], p)
	to.wake.Broadcast()
	to.mu.Unlock()
	if m.Leg == protocols.LegShare {
		select {
		case <-p.taken:
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}

// Receive implements [protocols.Network].
func (l *line) Receive(ctx context.Context) (protocols.Message, error) {
	box := l.hub.boxes[l.self]
	stop := context.AfterFunc(ctx, func() {
		box.mu.Lock()
		defer box.mu.Unlock()
		box.wake.Broadcast()
	})
	defer stop()
	first, err := box.take(ctx, l.key)
	if err != nil {
		return protocols.Message{}, err
	}
	m, err := protocols.DecodeMessage(first.head, 0)
	if err != nil {
		return m, fmt.Errorf("from party %d: %w", first.from, err)
	}
	if m.Body = first.body; len(m.Body) > l.hub.maxBody {
		return m, fmt.Errorf("%w: a message of %d bytes from party %d, want at most %d", ErrConfig, len(m.Body), first.from, l.hub.maxBody)
	}
	if m.From != first.from {
		return m, fmt.Errorf("%w: a message of party %d says it is from party %d", ErrConfig, first.from, m.From)
	}
	return m, nil
}

// take waits for a parcel of a round.
func (b *mailbox) take(ctx context.Context, round [32]byte) (parcel, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		if queue := b.rounds[round]; len(queue) > 0 {
			if b.rounds[round] = queue[1:]; len(queue) == 1 {
				delete(b.rounds, round)
			}
			close(queue[0].taken)
			return queue[0], nil
		}
		if err := ctx.Err(); err != nil {
			return parcel{}, err
		}
		b.wake.Wait()
	}
}

// strict makes every refused message fatal. On a network that neither loses nor
// damages anything a refusal is a defect, and waiting for a better message would
// never end.
type strict struct{ protocols.Machine }

// strictly is the watch of a simulated party.
func strictly(_ string, m *round) protocols.Machine { return strict{m} }

// Step implements [protocols.Machine].
func (s strict) Step(m protocols.Message) ([]protocols.Message, error) {
	out, err := s.Machine.Step(m)
	if refused := (*protocols.MessageError)(nil); errors.As(err, &refused) {
		return nil, fmt.Errorf("refused: %v", refused) // not wrapped: the driver would wait
	}
	return out, err
}
