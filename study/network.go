package study

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/nereid-mhe/nereid/protocols"
)

// A hub is the in-memory network of a study: a mailbox for every party, sorted by
// round, so that a fast peer's next round waits until the party gets there.
// Messages cross it encoded.
type hub struct {
	boxes   []*mailbox
	maxBody int
}

func newHub(parties, maxBody int) *hub {
	h := &hub{boxes: make([]*mailbox, parties), maxBody: maxBody}
	for i := range h.boxes {
		h.boxes[i] = &mailbox{rounds: map[[32]byte][]parcel{}, wake: make(chan struct{}, 1)}
	}
	return h
}

// A parcel is an encoded message and who sent it.
type parcel struct {
	from  protocols.PartyID
	bytes []byte
}

type mailbox struct {
	mu             sync.Mutex
	rounds         map[[32]byte][]parcel
	wake           chan struct{} // holds a token when something arrived
	sent, received int64         // bytes
}

// A line is one party's network in one round. It implements protocols.Network.
type line struct {
	hub  *hub
	self protocols.PartyID
	key  [32]byte // of the round's point
}

var _ protocols.Network = line{}

func (h *hub) line(self protocols.PartyID, p protocols.Point) line {
	return line{h, self, p.Hash()}
}

// Send implements [protocols.Network].
func (l line) Send(ctx context.Context, m protocols.Message) error {
	b, err := m.AppendBinary(nil)
	if err != nil {
		return err
	}
	if int(m.To) >= len(l.hub.boxes) {
		return fmt.Errorf("%w: a message to party %d of %d", ErrConfig, m.To, len(l.hub.boxes))
	}
	own, to := l.hub.boxes[l.self], l.hub.boxes[m.To]
	own.mu.Lock()
	own.sent += int64(len(b))
	own.mu.Unlock()
	to.mu.Lock()
	to.rounds[l.key] = append(to.rounds[l.key], parcel{l.self, b})
	to.received += int64(len(b))
	to.mu.Unlock()
	select {
	case to.wake <- struct{}{}:
	default:
	}
	return ctx.Err()
}

// Receive implements [protocols.Network].
func (l line) Receive(ctx context.Context) (protocols.Message, error) {
	box := l.hub.boxes[l.self]
	for {
		box.mu.Lock()
		queue := box.rounds[l.key]
		if len(queue) > 0 {
			first := queue[0]
			if box.rounds[l.key] = queue[1:]; len(queue) == 1 {
				delete(box.rounds, l.key)
			}
			box.mu.Unlock()
			m, err := protocols.DecodeMessage(first.bytes, l.hub.maxBody)
			if err != nil {
				return m, fmt.Errorf("from party %d: %w", first.from, err)
			}
			if m.From != first.from {
				return m, fmt.Errorf("%w: a message of party %d says it is from party %d", ErrConfig, first.from, m.From)
			}
			return m, nil
		}
		box.mu.Unlock()
		select {
		case <-box.wake:
		case <-ctx.Done():
			return protocols.Message{}, ctx.Err()
		}
	}
}

// sent returns the bytes that a party has sent so far.
func (h *hub) sent(party int) int64 {
	b := h.boxes[party]
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sent
}

// strict makes every refused message fatal. On a network that neither loses nor
// damages anything a refusal is a defect, and waiting for a better message would
// never end.
type strict struct{ protocols.Machine }

// Step implements [protocols.Machine].
func (s strict) Step(m protocols.Message) ([]protocols.Message, error) {
	out, err := s.Machine.Step(m)
	if refused := (*protocols.MessageError)(nil); errors.As(err, &refused) {
		return nil, fmt.Errorf("refused: %v", refused) // not wrapped: the driver would wait
	}
	return out, err
}
