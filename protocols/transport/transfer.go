package transport

import (
	"io"
	"slices"

	"google.golang.org/grpc/mem"

	"github.com/nereid-mhe/nereid/protocols"
	"github.com/nereid-mhe/nereid/protocols/transport/internal/wire"
)

// A transfer is a message from this party, to it, or through it. It comes from
// the neighbour up, unless this party made it, and goes to the neighbour down,
// unless it is for this party. All its fields are guarded by the endpoint's mutex.
//
// The body moves only when it can be taken care of:
//
//	up ── offer ──▶ │ the transfer is known here, and offered to down
//	   ── chunk ──▶ │ at once, as far as the credit goes
//	   ◀── want ─── │ when its line waits for it, or down wants it
//	   ── chunk ──▶ │ all of the rest
//	   ◀── have ─── │ when it arrived at the party that it is for
//
// Offers that nobody said to have are repeated on every new connection. That is
// all the recovery there is: whoever lost something does not say to have it.
type transfer struct {
	offer
	id       [32]byte // the checksum of the message
	round    [32]byte // hash of its point
	up, down *neighbour
	gone     bool // forgotten
	told     word // what waits in a link's talk

	data  []byte // of the body, what is here of it in memory
	file  string // where the body is instead, if it was spilled
	whole bool   // the body is here, complete and verified

	verified protocols.Message // with the body and its hash, when that was verified

	// On the way here:
	taken    bool   // the body was here and was passed on for good
	wanted   bool   // up is asked for it
	attempt  uint32 // how often it was asked for from the beginning
	checking bool   // complete, being verified
	early    int    // bytes of data that are here on credit
	queued   bool   // waits in its line
	custody  bool   // counted in down.relayed

	// On the way from here:
	asked       bool   // down wants it
	push        bool   // down may get chunks on credit before it wants them
	have        bool   // down has it
	next        int    // first byte that was not sent on this link
	downAttempt uint32 // of the last want
}

// own reports whether this party made the message.
func (t *transfer) own() bool { return t.up == nil }

// mine reports whether the message is for this party.
func (t *transfer) mine() bool { return t.down == nil }

// reset forgets the body, so that it can be asked for again from the beginning.
func (t *transfer) reset() {
	t.drop()
	t.taken, t.wanted, t.queued = false, false, false
	t.attempt++
	if t.size == 0 {
		t.whole = true
	}
}

// append adds what is left of a chunk to the body. Memory grows with what arrived, not
// with what was announced.
func (t *transfer) append(chunk *mem.Reader) {
	have, need := len(t.data), len(t.data)+chunk.Remaining()
	if need > cap(t.data) {
		grown := make([]byte, have, min(t.size, max(4*cap(t.data), need)))
		copy(grown, t.data)
		t.data = grown
	}
	t.data = t.data[:need]
	_, _ = io.ReadFull(chunk, t.data[have:]) // it has as much
}

// missing reports whether up has to send the body, or the rest of it.
func (t *transfer) missing() bool { return t.wanted && !t.whole && !t.taken && !t.checking }

// want asks for the body.
func (t *transfer) want() {
	if t.wanted {
		return
	}
	t.wanted = true
	t.up.settle(t)
	if t.missing() {
		t.up.tell(t, sayWant)
	}
}

// drop lets go of the body.
func (t *transfer) drop() { t.data, t.verified, t.whole = nil, protocols.Message{}, false }

// message returns the message with its body, which was verified.
func (t *transfer) message() protocols.Message {
	if t.size == 0 {
		return t.msg
	}
	return t.verified
}

// A word is something to say about a transfer.
type word uint8

const (
	sayOffer word = 1 << iota // to down
	sayWant                   // to up
	sayHave                   // to up
)

// An utterance is a word that waits to be said. Of a message that was forgotten
// there is only the id.
type utterance struct {
	word word
	id   [32]byte
	t    *transfer
}

// A neighbour is a party that this one is connected to.
type neighbour struct {
	Peer
	dials   bool // this party makes the connection
	traffic traffic

	// Guarded by the endpoint's mutex:
	link    *link             // nil if there is no connection
	boot    [bootSize]byte    // of the peer, when it was last connected
	met     bool              // whether it was ever connected
	in, out []*transfer       // from it and to it
	active  []*transfer       // of out, those that may have chunks to send
	has     map[[32]byte]bool // messages that it has and this party did not make yet
	credit  int64             // bytes of chunks that may be sent before they are wanted
	lent    int64             // credit that it has left here
	refund  int64             // credit to return to it
	relayed int64             // bytes on their way to it that were asked for on its behalf
	reached uint64            // stages, by what it said
	record  record
}

// held returns the bytes that are here on the neighbour's credit.
func (n *neighbour) held() (sum int64) {
	for _, t := range n.in {
		sum += int64(t.early)
	}
	return sum
}

// tell queues a word about t for the neighbour that it concerns.
func (n *neighbour) tell(t *transfer, w word) {
	if n.link == nil || t.told&w != 0 {
		return
	}
	t.told |= w
	n.link.say(utterance{w, t.id, t})
}

// activate makes the link look at t for chunks to send.
func (n *neighbour) activate(t *transfer) {
	if !slices.Contains(n.active, t) {
		n.active = append(n.active, t)
	}
	n.link.wakeUp()
}

// settle returns the credit that t holds.
func (n *neighbour) settle(t *transfer) {
	n.refund += int64(t.early)
	t.early = 0
	n.link.wakeUp()
}

// giveBack returns the credit of a chunk that was of no use.
func (n *neighbour) giveBack(c *wire.Chunk, size int) {
	if c.Early {
		n.refund += int64(size)
		n.link.wakeUp()
	}
}
