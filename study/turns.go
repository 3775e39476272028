package study

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/nereid-mhe/nereid/protocols"
)

// turns are the cores of a process, which its parties compute on in turns. Work that
// ends something goes first: shares that have come are added up before others are
// made. Then the party with the lowest number does, so that parties that share a few
// cores go one after another from a round to the next, instead of all of them being in
// the middle with the rotations and sums that this takes.
type turns struct {
	mu      sync.Mutex
	free    int
	waiting []waiter // in the order of asking
}

// An urgency says what is computed in a turn.
type urgency int

const (
	begins urgency = iota // something new, such as a share
	ends                  // something that is in memory, and makes it smaller
)

func newTurns(cores int) *turns { return &turns{free: cores} }

// take waits for a core.
func (t *turns) take(id protocols.PartyID, u urgency) {
	t.mu.Lock()
	if t.free > 0 {
		t.free--
		t.mu.Unlock()
		return
	}
	w := waiter{id, u, make(chan struct{})}
	t.waiting = append(t.waiting, w)
	t.mu.Unlock()
	<-w.turn
}

// give gives the core to whoever is first in line.
func (t *turns) give() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.waiting) == 0 {
		t.free++
		return
	}
	first := slices.MinFunc(t.waiting, waiter.compare) // of equal ones the one before
	t.waiting = slices.DeleteFunc(t.waiting, func(w waiter) bool { return w == first })
	close(first.turn)
}

// A waiter waits for a turn.
type waiter struct {
	id      protocols.PartyID
	urgency urgency
	turn    chan struct{}
}

// compare is negative if w goes before o, whoever asked first.
func (w waiter) compare(o waiter) int {
	return cmp.Or(cmp.Compare(o.urgency, w.urgency), cmp.Compare(w.id, o.id))
}

// A pace is what keeps the many parties of a simulation from all being in the middle of
// large things at once. The zero pace is that of a node, which is one party.
type pace struct {
	simulated bool          // all parties are in this process: nothing is lost, nobody restarts
	owners    int           // whose tensors are refreshed at the same time; 0 for all
	leaves    chan struct{} // a place for each that makes a share in the setup
}

// newPace returns the pace of a simulation: enough at once to keep the cores busy.
func newPace(cores int) pace { return pace{true, 2 * cores, make(chan struct{}, cores)} }

// leaf waits until a party without children may make its share in a round without
// input. When line has sent that, or when done is called, another one may.
func (p pace) leaf(ctx context.Context, line Line) (_ Line, done func(), err error) {
	if !p.simulated {
		return line, func() {}, nil
	}
	select {
	case p.leaves <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	done = sync.OnceFunc(func() { <-p.leaves })
	return paced{line, done}, done, nil
}

// A paced line tells when it has sent something.
type paced struct {
	Line
	sent func()
}

// Send implements [protocols.Network].
func (l paced) Send(ctx context.Context, m protocols.Message) error {
	defer l.sent()
	return l.Line.Send(ctx, m)
}
