package transport

import (
	"crypto/ed25519"
	"fmt"
	"slices"

	"google.golang.org/grpc/mem"

	"github.com/nereid-mhe/nereid/protocols/transport/internal/wire"
)

// handle acts on a frame from l. An error is what the peer is refused for.
func (e *Endpoint) handle(l *link, a *arrival) error {
	if err := checkFrame(a.frame, e.cfg.MaxBody); err != nil {
		return err
	}
	switch k := a.frame.Kind.(type) {
	case *wire.Frame_Offer:
		o, err := decodeOffer(k.Offer, e.cfg.MaxBody)
		if err == nil {
			err = e.admit(l.to, o)
		}
		if err != nil {
			return err
		}
		return e.locked(l, func() error { return e.onOffer(l.to, o) })
	case *wire.Frame_Chunk:
		if n := a.size(); n == 0 || n > maxChunk {
			return fmt.Errorf("%w: chunk of %d bytes, want 1 to %d", ErrMalformed, n, maxChunk)
		}
		return e.onChunk(l, k.Chunk, a.data)
	case *wire.Frame_Want:
		return e.locked(l, func() error { return e.onWant(l.to, k.Want) })
	case *wire.Frame_Have:
		return e.locked(l, func() error { e.onHave(l.to, [32]byte(k.Have.Id)); return nil })
	case *wire.Frame_Credit:
		return e.locked(l, func() error { return e.onCredit(l.to, k.Credit.GetBytes()) })
	case *wire.Frame_Reached:
		return e.onReached(l, k.Reached.GetStages())
	}
	return fmt.Errorf("%w: a second hello", ErrMalformed)
}

// locked calls f with the mutex held, if l is still the link to its neighbour.
func (e *Endpoint) locked(l *link, f func() error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if l.to.link != l {
		return errReplaced
	}
	l.to.record.progress()
	return f()
}

// admit checks that a neighbour may offer a message: that it is of this study, on
// its way, and from the party that it says it is from.
func (e *Endpoint) admit(from *neighbour, o offer) error {
	m := o.msg
	switch tree := e.cfg.Tree; {
	case m.Point.Study != e.cfg.Study:
		return fmt.Errorf("%w: a message of study %v", ErrStudy, m.Point.Study)
	case !tree.Contains(m.From) || !tree.Contains(m.To) || m.From == m.To || m.From == e.cfg.Self:
		return fmt.Errorf("%w: a message from party %d to party %d", ErrMalformed, m.From, m.To)
	case !e.routes.passes(m.From, m.To, from.ID, e.cfg.Self):
		return fmt.Errorf("%w: the way from party %d to party %d is not from here to there", ErrMalformed, m.From, m.To)
	}
	h, err := header(m)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if !ed25519.Verify(e.routes.roster[m.From].Key, signed(h, o.size), o.signature) {
		return fmt.Errorf("%w: not the signature of party %d", ErrForged, m.From)
	}
	if o.size == 0 && m.Checksum() != m.Sum {
		return fmt.Errorf("%w: an empty body with another checksum", ErrForged)
	}
	return nil
}

// onOffer makes a message known, or tells again what became of it.
func (e *Endpoint) onOffer(from *neighbour, o offer) error {
	id, round := o.msg.Sum, o.msg.Point.Hash()
	t := e.transfers[id]
	switch {
	case e.forgotten[round]:
		return from.link.sayForgotten(id)
	case t != nil && t.up != from:
		return fmt.Errorf("%w: a message that comes from elsewhere", ErrMalformed)
	case t == nil:
		// The first on the way has the lower limit, so that relays are not blamed.
		limit := maxOpen
		if o.msg.From != from.ID {
			limit *= 4
		}
		if n := e.offered[o.msg.From]; n >= limit {
			return fmt.Errorf("%w: %d messages of party %d in rounds that are not over", ErrFlood, n, o.msg.From)
		}
		e.know(&transfer{offer: o, id: id, round: round, up: from, whole: o.size == 0, push: true})
		return nil
	case t.mine() && (t.whole || t.taken), !t.mine() && t.have:
		from.tell(t, sayHave)
	case t.missing():
		from.tell(t, sayWant)
	}
	return nil
}

// know files a new transfer and sends it on its way.
func (e *Endpoint) know(t *transfer) {
	e.transfers[t.id] = t
	if !t.own() {
		t.up.in = append(t.up.in, t)
		e.offered[t.msg.From]++
	}
	if t.msg.To == e.cfg.Self {
		r := e.round(t.round)
		r.in = append(r.in, t)
		if t.whole {
			t.up.tell(t, sayHave)
		}
		r.promote()
		return
	}
	t.down = e.neighbours[e.routes.next(e.cfg.Self, t.msg.To)]
	t.down.out = append(t.down.out, t)
	if t.down.has[t.id] {
		delete(t.down.has, t.id)
		t.have = true
		return
	}
	t.down.tell(t, sayOffer)
	t.down.activate(t)
}

// onChunk adds a chunk to its body. The last one is verified without the mutex.
func (e *Endpoint) onChunk(l *link, c *wire.Chunk, data *mem.Reader) error {
	var t *transfer
	var body []byte
	err := e.locked(l, func() (err error) {
		t, err = e.place(l.to, c, data)
		if t != nil && len(t.data) == t.size {
			t.checking, body = true, t.data
		} else {
			t = nil
		}
		return err
	})
	if err != nil || t == nil {
		return err
	}
	m := t.msg
	m.Body = body
	m = m.Hashed()
	right := m.Checksum() == m.Sum
	e.mu.Lock()
	defer e.mu.Unlock()
	t.checking = false
	switch {
	case t.gone:
	case t.taken || t.attempt != c.Attempt: // let go or asked for again meanwhile
		if t.missing() {
			t.up.tell(t, sayWant)
		}
	case right:
		t.whole, t.verified = true, m
		e.landed(t)
	default:
		wanted := t.wanted
		t.up.settle(t)
		t.reset()
		if wanted {
			t.want()
		}
		return fmt.Errorf("%w: a body that is not what party %d sent", ErrForged, m.From)
	}
	return nil
}

// place puts a chunk where it belongs. It returns nil if it belongs nowhere,
// which happens when a message was forgotten or asked for again meanwhile.
func (e *Endpoint) place(from *neighbour, c *wire.Chunk, data *mem.Reader) (*transfer, error) {
	size := data.Remaining()
	if c.Early {
		if from.lent -= int64(size); from.lent < 0 {
			return nil, fmt.Errorf("%w: more than its credit before it was asked", ErrFlood)
		}
	}
	t := e.transfers[[32]byte(c.Id)]
	if t == nil || t.up != from || c.Attempt != t.attempt || t.whole || t.taken || t.checking {
		from.giveBack(c, size)
		return nil, nil
	}
	offset := int(c.Offset)
	switch have := len(t.data); {
	case !c.Early && !t.wanted:
		return nil, fmt.Errorf("%w: a chunk that nobody asked for", ErrMalformed)
	case offset > have:
		return nil, fmt.Errorf("%w: a chunk at %d, the next is at %d", ErrMalformed, offset, have)
	case offset+size > t.size:
		return nil, fmt.Errorf("%w: a chunk beyond the %d bytes of the body", ErrTooBig, t.size)
	case offset+size <= have:
		from.giveBack(c, size)
		return nil, nil
	default:
		_, _ = data.Discard(have - offset) // it has more
		t.append(data)
	}
	if c.Early {
		t.early += size
		if t.wanted {
			from.settle(t)
		}
	}
	return t, nil
}

// landed goes on with a transfer whose body is here.
func (e *Endpoint) landed(t *transfer) {
	if t.mine() {
		t.up.tell(t, sayHave)
		e.round(t.round).promote()
		return
	}
	t.down.activate(t)
}

// onWant sends a body, or asks for it on behalf of a neighbour.
func (e *Endpoint) onWant(by *neighbour, w *wire.Want) error {
	t := e.transfers[[32]byte(w.Id)]
	if t == nil { // forgotten, or lost in a restart and to be made and offered again
		delete(by.has, [32]byte(w.Id))
		return nil
	}
	if t.down != by {
		return nil
	}
	if w.Offset > uint64(t.size) {
		return fmt.Errorf("%w: wants byte %d of %d", ErrMalformed, w.Offset, t.size)
	}
	if w.Attempt != t.downAttempt {
		t.downAttempt, t.next = w.Attempt, int(w.Offset)
	}
	t.next = max(t.next, int(w.Offset))
	t.asked, t.have = true, false
	if t.taken {
		t.reset()
	}
	e.fetch(t)
	by.activate(t)
	return nil
}

// fetch asks for a body that is to be passed on, if there is room for it. One at
// a time there always is, so that every neighbour gets what it waits for.
func (e *Endpoint) fetch(t *transfer) {
	d := t.down
	if t.own() || t.whole || t.wanted || d.relayed > 0 && d.relayed+int64(t.size) > e.share {
		return
	}
	d.relayed += int64(t.size)
	t.custody = true
	t.want()
}

// onHave ends the care for a message that arrived.
func (e *Endpoint) onHave(by *neighbour, id [32]byte) {
	t := e.transfers[id]
	switch {
	case t == nil:
		if len(by.has) < maxOpen {
			by.has[id] = true
		}
		return
	case t.down != by || t.have:
		return
	}
	t.have, t.asked, t.push = true, false, false
	if t.own() {
		return
	}
	e.release(t)
	t.up.tell(t, sayHave)
}

// release lets go of a body that was passed on, and asks for another.
func (e *Endpoint) release(t *transfer) {
	t.up.settle(t)
	t.drop()
	t.taken = true
	if !t.custody {
		return
	}
	t.custody = false
	t.down.relayed -= int64(t.size)
	for _, other := range t.down.out {
		if other.asked && !other.gone {
			e.fetch(other)
		}
	}
}

// onCredit lets more be sent before it is wanted.
func (e *Endpoint) onCredit(by *neighbour, n uint64) error {
	if n > maxCredit || by.credit > maxCredit {
		return fmt.Errorf("%w: a credit of %d bytes", ErrMalformed, n)
	}
	by.credit += int64(n)
	by.link.wakeUp()
	return nil
}

// onReached passes on how far a neighbour says that the study is.
func (e *Endpoint) onReached(l *link, stages uint64) error {
	further := false
	err := e.locked(l, func() error {
		further = stages > l.to.reached
		l.to.reached = max(l.to.reached, stages)
		return nil
	})
	if further && e.cfg.Reached != nil {
		e.cfg.Reached(l.to.ID, stages)
	}
	return err
}

// forget drops a transfer.
func (e *Endpoint) forget(t *transfer) {
	t.gone = true
	delete(e.transfers, t.id)
	if t.up != nil {
		e.offered[t.msg.From]--
		t.up.settle(t)
		if t.custody {
			t.custody = false
			t.down.relayed -= int64(t.size)
		}
	}
	if t.down != nil {
		t.down.active = slices.DeleteFunc(t.down.active, func(o *transfer) bool { return o == t })
	}
	e.store.drop(t)
}
