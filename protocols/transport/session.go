package transport

import (
	"bytes"
	"context"
	"fmt"

	"github.com/nereid-mhe/nereid/protocols"
	"github.com/nereid-mhe/nereid/protocols/transport/internal/wire"
)

// greet ends the link that there was to a neighbour and returns what to say first
// on a new connection.
func (e *Endpoint) greet(n *neighbour) *wire.Frame {
	e.mu.Lock()
	defer e.mu.Unlock()
	n.link.end(errReplaced)
	n.refund = 0
	n.lent = max(0, e.share-n.held())
	return &wire.Frame{Kind: &wire.Frame_Hello{Hello: &wire.Hello{
		Study: e.cfg.Study[:], From: uint32(e.cfg.Self), To: uint32(n.ID), Boot: e.boot[:], Credit: uint64(n.lent),
	}}}
}

// checkHello returns what a neighbour said first, if it is who its key says, in
// this study, and means this party.
func (e *Endpoint) checkHello(n *neighbour, f *wire.Frame) (*wire.Hello, error) {
	if err := checkFrame(f, e.cfg.MaxBody); err != nil {
		return nil, err
	}
	h := f.GetHello()
	switch {
	case h == nil:
		return nil, fmt.Errorf("%w: no hello", ErrMalformed)
	case !bytes.Equal(h.Study, e.cfg.Study[:]):
		return nil, fmt.Errorf("%w: %v, not %v", ErrStudy, protocols.StudyID(h.Study), e.cfg.Study)
	case h.From != uint32(n.ID):
		return nil, fmt.Errorf("%w: its key is that of party %d (%s), it says it is party %d", ErrIdentity, n.ID, n.Name, h.From)
	case h.To != uint32(e.cfg.Self):
		return nil, fmt.Errorf("%w: it takes party %d (%s) for party %d", ErrIdentity, e.cfg.Self, e.routes.roster[e.cfg.Self].Name, h.To)
	case h.Credit > maxCredit:
		return nil, fmt.Errorf("%w: a credit of %d bytes", ErrMalformed, h.Credit)
	}
	return h, nil
}

// join starts the link on which greetings were exchanged. Each side says what the
// other may have missed. A peer with another boot than before lost its state.
func (e *Endpoint) join(n *neighbour, h *wire.Hello, cancel context.CancelFunc) (*link, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, ErrClosed
	}
	l := newLink(e, n, cancel)
	n.link.end(errReplaced)
	boot := [bootSize]byte(h.Boot)
	lost := n.met && boot != n.boot
	if lost || !n.met {
		n.has = map[[32]byte]bool{}
	}
	n.link, n.boot, n.met, n.credit = l, boot, true, int64(h.Credit)
	n.record.connected()
	for _, t := range n.in {
		t.told &^= sayWant | sayHave
		switch {
		case lost && (t.mine() && (t.whole || t.taken) || !t.mine() && t.have):
			n.tell(t, sayHave)
		case t.missing():
			n.tell(t, sayWant)
		}
	}
	n.active = nil
	for _, t := range n.out {
		t.restart(lost)
		if !t.have {
			n.tell(t, sayOffer)
		}
		if t.push {
			n.activate(t)
		}
	}
	if lost { // it asks again, perhaps for others first
		for _, t := range n.out {
			if t.custody {
				e.release(t)
			}
		}
	}
	l.wakeUp()
	return l, nil
}

// restart prepares t for a new link to down, which may have lost its state.
func (t *transfer) restart(lost bool) {
	t.told &^= sayOffer
	t.push = t.push && t.next == 0 // once is enough: what arrived of it is not known
	t.asked, t.next = false, 0
	if lost {
		t.have = false
	}
}
