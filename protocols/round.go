package protocols

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
)

// Config says which round a [Round] is part of, and as whom.
type Config struct {
	Self    PartyID
	Tree    Tree
	Point   Point   // Active is all members of Tree: every round is N of N
	Journal Journal // the party's own, the same in every round
	Context []byte  // public data that the digest covers besides the input, such as the plan's hash

	// HasInput says, at every party, that the round starts with a public input.
	// Input is that input at the root and ignored elsewhere. It is not copied.
	HasInput bool
	Input    []byte

	// Result says, at every party, that the root's result goes down the tree.
	Result bool

	// Lossless says that the network loses nothing and nobody restarts, as in a
	// simulation: then the round keeps no message that it has returned. Start is
	// called once, and a repeated message has no answer.
	Lossless bool
}

func (c Config) check() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.Tree.Parties() >= 2, "tree of %d parties, want at least 2", c.Tree.Parties())
	check(c.Tree.Contains(c.Self), "party %d of a tree of %d", c.Self, c.Tree.Parties())
	check(slices.Equal(c.Point.Active, c.Tree.Members()), "active set of %d parties is not the %d members of the tree", len(c.Point.Active), c.Tree.Parties())
	check(c.Journal != nil, "no journal")
	check(c.HasInput || len(c.Input) == 0, "input of %d bytes in a round without an input leg", len(c.Input))
	return errors.Join(append(errs, c.Point.check())...)
}

// digest returns the digest to which the round's point is bound.
func (c Config) digest(input Payload) [32]byte { return digest(c.Context, input.hash, c.HasInput) }

// Digest returns the digest of a round's public data: context, and input if the
// round has an input leg. It is what the label of the round's shares holds. The
// input, which may be megabytes, enters by its SHA-256, which its checksum needs
// too.
func Digest(context, input []byte, hasInput bool) [32]byte {
	return digest(context, sha256.Sum256(input), hasInput)
}

func digest(context []byte, input [32]byte, hasInput bool) [32]byte {
	leg := []byte{0}
	if hasInput {
		leg[0] = 1
	}
	return hashFields("nereid/input/v2", context, leg, input[:])
}

// A Round is one party's side of a sum over the tree. It implements [Machine].
//
//	root                 inner party           leaf
//	 │ ── input ────────────▶ │ ── input ────────▶ │    if HasInput: digest known,
//	 │                        │                    │    point bound, share made
//	 │ ◀──── own + children ─ │ ◀──────────── own ─ │
//	 │ ── Finish(sum) ──────▶ │ ── result ───────▶ │    if Result
//
// A party makes its share when it knows the digest of context and input, and it
// sends the bytes that its [Journal] returns. A share or result that arrives
// before the input is refused with [ErrEarly]: from a peer that follows the protocol
// this only happens after a restart, and [Drive] brings it again.
//
// Loss heals when every party's Start is called again. A repeated message has no
// effect but an answer for a peer that seems to have lost something: an input is
// answered with the share, a share with the result.
type Round[S any] struct {
	cfg      Config
	rules    Rules[S]
	isRoot   bool
	parent   PartyID
	children []PartyID

	started  bool
	fatal    error               // returned by every call once it is set
	known    bool                // whether label is set, which needs the input
	label    Label               //
	input    Payload             //
	own      bool                // whether the own share is in sum
	share    Payload             // the own share, at a leaf
	sum      S                   // of the shares so far, at other parties
	up       bool                // whether the sum was sent, or finished at the root
	result   *Payload            // nil until it is known
	accepted map[source][32]byte // checksum of the message taken from each source
	sent     []Message           // none if Lossless
}

var _ Machine = &Round[int]{}

// A source is a peer and a leg: each sends at most one message in a round.
type source struct {
	leg  Leg
	peer PartyID
}

// NewRound returns the machine of party cfg.Self. The error joins everything
// that is wrong with cfg and rules.
func NewRound[S any](cfg Config, rules Rules[S]) (*Round[S], error) {
	if err := errors.Join(cfg.check(), rules.check(cfg)); err != nil {
		return nil, fmt.Errorf("protocols: new round: %w", err)
	}
	cfg.Point.Active = slices.Clone(cfg.Point.Active)
	cfg.Context = slices.Clone(cfg.Context)
	if rules.Open == nil {
		rules.Open = func([]byte) error { return nil }
	}
	parent, inner := cfg.Tree.Parent(cfg.Self)
	return &Round[S]{
		cfg:      cfg,
		rules:    rules,
		isRoot:   !inner,
		parent:   parent,
		children: cfg.Tree.Children(cfg.Self),
		accepted: map[source][32]byte{},
	}, nil
}

// Start implements [Machine].
func (r *Round[S]) Start() ([]Message, error) {
	switch {
	case r.fatal != nil:
		return nil, r.fatal
	case r.started:
		return append(slices.Clone(r.sent), r.reminder()...), nil
	}
	r.started = true
	switch {
	case !r.cfg.HasInput:
		r.know(r.cfg.digest(NewPayload(nil)))
		return r.stop(r.contribute())
	case r.isRoot:
		if err := guardErr(func() error { return r.rules.Open(r.cfg.Input) }); err != nil {
			return r.stop(nil, fmt.Errorf("own input: %w", err))
		}
		r.input = NewPayload(r.cfg.Input)
		r.know(r.cfg.digest(r.input))
		return r.stop(r.spread())
	}
	return nil, nil
}

// Step implements [Machine].
func (r *Round[S]) Step(msg Message) ([]Message, error) {
	switch {
	case r.fatal != nil:
		return nil, r.fatal
	case !r.started:
		return nil, errors.New("protocols: Step before Start")
	case msg.From == r.cfg.Self && msg.To == r.cfg.Self:
		return r.remind(msg)
	}
	body, err := r.check(msg)
	if err != nil {
		return nil, err
	}
	if old, ok := r.accepted[source{msg.Leg, msg.From}]; ok {
		if old != msg.Sum {
			return nil, r.refuse(msg, "body", ErrConflict)
		}
		return r.answer(msg), nil
	}
	switch msg.Leg {
	case LegInput:
		return r.takeInput(msg, body)
	case LegShare:
		return r.takeShare(msg)
	default:
		return r.takeResult(msg, body)
	}
}

// Done implements [Machine]. A party is done when it has sent all that it ever
// sends in the round: after a restart the result may come before the children's
// shares, and a parent that restarts too still needs their sum.
func (r *Round[S]) Done() bool {
	return r.fatal == nil && r.up && (!r.cfg.Result || r.isRoot || r.result != nil)
}

// Waiting returns the peers from which the round needs a message, none when it
// is done.
func (r *Round[S]) Waiting() []PartyID {
	switch {
	case r.Done():
		return nil
	case r.up, !r.known:
		if r.isRoot {
			return nil
		}
		return []PartyID{r.parent}
	}
	var peers []PartyID
	for _, c := range r.children {
		if _, ok := r.accepted[source{LegShare, c}]; !ok {
			peers = append(peers, c)
		}
	}
	return peers
}
