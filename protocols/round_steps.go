package protocols

import (
	"fmt"
	"slices"
)

// check returns a *MessageError unless msg is undamaged and from a peer that has
// something to say in this leg of this round. Whether it fits the input is
// checked later. The body comes back with its hash, which is computed here at most once.
func (r *Round[S]) check(msg Message) (Payload, error) {
	if len(msg.Body) > r.rules.MaxBody {
		return Payload{}, r.refuse(msg, "body", fmt.Errorf("%w: %d bytes, want at most %d", ErrMalformed, len(msg.Body), r.rules.MaxBody))
	}
	body := Payload{msg.Body, msg.bodyHash()}
	if msg.Sum != msg.checksum(body.hash) {
		return Payload{}, r.refuse(msg, "sum", fmt.Errorf("%w: checksum does not match", ErrMalformed))
	}
	return body, r.expected(msg)
}

// expected returns a *MessageError unless msg is for this party in this round, from
// a peer that has something to say in its leg.
func (r *Round[S]) expected(msg Message) error {
	if field := r.cfg.Point.differs(msg.Point); field != "" {
		return r.refuse(msg, field, fmt.Errorf("%w: not that of this round", ErrUnexpected))
	}
	if msg.To != r.cfg.Self {
		return r.refuse(msg, "to", fmt.Errorf("%w: for party %d", ErrUnexpected, msg.To))
	}
	downward := false
	switch {
	case msg.Leg == LegInput && r.cfg.HasInput, msg.Leg == LegResult && r.cfg.Result:
		downward = true
	case msg.Leg != LegShare:
		return r.refuse(msg, "leg", fmt.Errorf("%w: %v", ErrUnexpected, msg.Leg))
	}
	switch fromParent := !r.isRoot && msg.From == r.parent; {
	case downward && !fromParent:
		return r.refuse(msg, "from", fmt.Errorf("%w: not the parent", ErrUnexpected))
	case !downward && !slices.Contains(r.children, msg.From):
		return r.refuse(msg, "from", fmt.Errorf("%w: not a child", ErrUnexpected))
	}
	return nil
}

// checkDigest refuses shares and results before the input and for another one.
func (r *Round[S]) checkDigest(msg Message) error {
	switch {
	case !r.known:
		return r.refuse(msg, "leg", fmt.Errorf("%v: %w", msg.Leg, ErrEarly))
	case msg.Digest != r.label.Digest:
		return r.refuse(msg, "digest", fmt.Errorf("%w: for another input or context", ErrUnexpected))
	}
	return nil
}

// takeInput opens the input, which reveals the digest, and passes it on.
func (r *Round[S]) takeInput(msg Message, body Payload) ([]Message, error) {
	digest := r.cfg.digest(body)
	if digest != msg.Digest {
		return nil, r.refuse(msg, "digest", fmt.Errorf("%w: for another input or context", ErrUnexpected))
	}
	if err := guardErr(func() error { return r.rules.Open(msg.Body) }); err != nil {
		return nil, r.refuse(msg, "body", fmt.Errorf("%w: %w", ErrMalformed, err))
	}
	r.accepted[source{LegInput, msg.From}] = msg.Sum
	r.input = body
	r.know(digest)
	return r.stop(r.spread())
}

// know sets the label, from which everything else follows.
func (r *Round[S]) know(digest [32]byte) {
	r.label, r.known = Label{r.cfg.Point, digest}, true
}

// spread sends the input to the children, unless the journal has the point bound to
// another. Making the share may take long, so that is left to a reminder, after the
// input is on its way.
func (r *Round[S]) spread() ([]Message, error) {
	if len(r.children) == 0 {
		return r.contribute()
	}
	if err := r.cfg.Journal.Check(r.label); err != nil {
		return nil, err
	}
	return append(r.emit(LegInput, r.input, r.children...), r.reminder()...), nil
}

// reminder returns the message to itself that makes the party contribute, none
// if it did.
func (r *Round[S]) reminder() []Message {
	if !r.known || r.own {
		return nil
	}
	return []Message{r.message(LegShare, Payload{}, r.cfg.Self)}
}

// remind takes such a message back. Its content does not matter.
func (r *Round[S]) remind(msg Message) ([]Message, error) {
	if !r.known {
		return nil, r.refuse(msg, "from", fmt.Errorf("%w: from the party itself", ErrUnexpected))
	}
	return r.stop(r.contribute())
}

// contribute makes the party's share or takes it from the journal, once, and
// starts the sum with it.
func (r *Round[S]) contribute() ([]Message, error) {
	if r.own {
		return nil, nil
	}
	share, err := r.journal(r.generate)
	if err != nil {
		return nil, err
	}
	if len(r.children) == 0 {
		r.share = share
	} else if r.sum, err = guard(func() (S, error) { return r.rules.Decode(share.body) }); err != nil {
		return nil, fmt.Errorf("own share of %v from the journal: %w", r.label, err)
	}
	r.own = true
	return r.flush()
}

// journal returns the party's share: that on record, or what gen makes.
func (r *Round[S]) journal(gen func() ([]byte, error)) (Payload, error) {
	if r.rules.Derived {
		return r.cfg.Journal.Derive(r.label, payloads(gen))
	}
	return payloads(func() ([]byte, error) { return r.cfg.Journal.Share(r.label, gen) })()
}

// generate returns the bytes of a new share, for the journal.
func (r *Round[S]) generate() ([]byte, error) {
	s, err := guard(func() (S, error) { return r.rules.Gen(r.label) })
	if err != nil {
		return nil, fmt.Errorf("making the share of %v: %w", r.label, err)
	}
	return r.encode(s)
}

// encode returns the bytes of s, which peers would refuse if they were too many.
func (r *Round[S]) encode(s S) ([]byte, error) {
	b, err := guard(func() ([]byte, error) { return r.rules.Encode(s) })
	if err == nil && len(b) > r.rules.MaxBody {
		err = fmt.Errorf("%d bytes, want at most %d", len(b), r.rules.MaxBody)
	}
	if err != nil {
		return nil, fmt.Errorf("encoding a share of %v: %w", r.label, err)
	}
	return b, nil
}

// takeShare adds the sum of a child's subtree. The own share comes first, so
// that a share that does not fit is blamed on the child.
func (r *Round[S]) takeShare(msg Message) ([]Message, error) {
	if err := r.checkDigest(msg); err != nil {
		return nil, err
	}
	late := r.answer(msg) // the result, if it is known: then this party has restarted
	s, err := guard(func() (S, error) { return r.rules.Decode(msg.Body) })
	if err != nil {
		return nil, r.refuse(msg, "body", fmt.Errorf("%w: %w", ErrMalformed, err))
	}
	if _, err := r.contribute(); err != nil { // nothing to send: this child is missing
		return r.stop(nil, err)
	}
	// The new share is the operand that Add may spoil: the sum stays good if it fails.
	sum, err := guard(func() (S, error) { return r.rules.Add(s, r.sum) })
	if err != nil {
		return nil, r.refuse(msg, "body", fmt.Errorf("%w: %w", ErrMalformed, err))
	}
	r.sum = sum
	r.accepted[source{LegShare, msg.From}] = msg.Sum
	out, err := r.flush()
	return r.stop(append(out, late...), err)
}

// flush passes the sum on when it is complete.
func (r *Round[S]) flush() ([]Message, error) {
	for _, c := range r.children {
		if _, ok := r.accepted[source{LegShare, c}]; !ok {
			return nil, nil
		}
	}
	var none S
	sum := r.sum
	r.sum = none // whatever follows, it is used once
	if r.isRoot {
		return r.finish(sum)
	}
	p := r.share
	r.share = Payload{}
	if len(r.children) > 0 {
		body, err := r.encode(sum)
		if err != nil {
			return nil, err
		}
		p = NewPayload(body)
	}
	r.up = true
	return r.emit(LegShare, p, r.parent), nil
}

// finish turns the complete sum into the result, at the root.
func (r *Round[S]) finish(sum S) ([]Message, error) {
	result, err := guard(func() ([]byte, error) { return r.rules.Finish(sum) })
	if err == nil && len(result) > r.rules.MaxBody {
		err = fmt.Errorf("result of %d bytes, want at most %d", len(result), r.rules.MaxBody)
	}
	if err != nil {
		return nil, fmt.Errorf("finishing %v: %w", r.label, err)
	}
	r.up = true
	if !r.cfg.Result {
		return nil, nil
	}
	p := NewPayload(result)
	r.result = &p
	return r.emit(LegResult, p, r.children...), nil
}

// takeResult accepts the result and passes it on. After a restart it may come
// before the children's shares. They are still added when they come, for a parent
// that restarts later.
func (r *Round[S]) takeResult(msg Message, body Payload) ([]Message, error) {
	if err := r.checkDigest(msg); err != nil {
		return nil, err
	}
	if err := guardErr(func() error { return r.rules.Accept(msg.Body) }); err != nil {
		return nil, r.refuse(msg, "body", fmt.Errorf("%w: %w", ErrMalformed, err))
	}
	r.accepted[source{LegResult, msg.From}] = msg.Sum
	r.result = &body
	return r.emit(LegResult, body, r.children...), nil
}

// answer returns what the sender of a repeated message may have lost. It ends:
// a repeated result has no answer.
func (r *Round[S]) answer(msg Message) []Message {
	switch {
	case r.cfg.Lossless:
	case msg.Leg == LegInput && r.up:
		i := slices.IndexFunc(r.sent, func(m Message) bool { return m.Leg == LegShare })
		return []Message{r.sent[i]}
	case msg.Leg == LegShare && r.result != nil:
		return []Message{r.message(LegResult, *r.result, msg.From)}
	}
	return nil
}

// emit returns one message with p for each peer, and remembers it for Start where
// messages may be lost.
func (r *Round[S]) emit(leg Leg, p Payload, to ...PartyID) []Message {
	out := make([]Message, 0, len(to)+1)
	for _, peer := range to {
		out = append(out, r.message(leg, p, peer))
	}
	if !r.cfg.Lossless {
		r.sent = append(r.sent, out...)
	}
	return out
}

func (r *Round[S]) message(leg Leg, p Payload, to PartyID) Message {
	m := Message{From: r.cfg.Self, To: to, Point: r.cfg.Point, Leg: leg, Digest: r.label.Digest, Body: p.body}
	m.Sum = m.checksum(p.hash)
	return m
}

// stop passes out on if err is nil and keeps err for ever otherwise, unless it
// concerns one message only.
func (r *Round[S]) stop(out []Message, err error) ([]Message, error) {
	if err != nil {
		r.fatal = fmt.Errorf("protocols: party %d: %w", r.cfg.Self, err)
		return nil, r.fatal
	}
	return out, nil
}

func (r *Round[S]) refuse(msg Message, field string, err error) error {
	return &MessageError{Peer: msg.From, Point: r.cfg.Point, Field: field, Err: err}
}

// guardErr is guard for functions without a value.
func guardErr(f func() error) error {
	_, err := guard(func() (struct{}, error) { return struct{}{}, f() })
	return err
}
