package transport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nereid-mhe/nereid/protocols/transport/internal/wire"
)

// errReplaced ends a link whose peer connected again.
var errReplaced = errors.New("transport: the peer connected again")

// frames is either end of a gRPC stream.
type frames interface {
	Send(*wire.Frame) error
	Recv() (*wire.Frame, error)
	RecvMsg(m any) error
}

// A link is one connection to a neighbour. What to send is not queued but picked
// when the stream can take it, so that a slow link costs no memory and the
// message that matters now goes first.
type link struct {
	e      *Endpoint
	to     *neighbour
	cancel context.CancelFunc

	talk []utterance   // guarded by the endpoint's mutex
	said uint64        // the stages last said to be reached; guarded by the endpoint's mutex
	wake chan struct{} // there may be something to send; of capacity 1
	dead chan struct{} // closed by end
	err  error         // why, set before dead is closed; guarded by the endpoint's mutex
}

func newLink(e *Endpoint, to *neighbour, cancel context.CancelFunc) *link {
	return &link{e: e, to: to, cancel: cancel, wake: make(chan struct{}, 1), dead: make(chan struct{})}
}

// wakeUp makes the link look for something to send. A nil link sleeps.
func (l *link) wakeUp() {
	if l == nil {
		return
	}
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *link) say(u utterance) {
	l.talk = append(l.talk, u)
	l.wakeUp()
}

// sayForgotten tells the peer not to offer a message of a round that is over.
func (l *link) sayForgotten(id [32]byte) error {
	if len(l.talk) > 4*maxOpen {
		return fmt.Errorf("%w: offers, while it does not listen", ErrFlood)
	}
	l.say(utterance{word: sayHave, id: id})
	return nil
}

// end ends the link for a reason. The first reason stays. The mutex is held.
func (l *link) end(err error) {
	if l == nil || l.err != nil {
		return
	}
	l.err = err
	if l.to.link == l {
		l.to.link = nil
	}
	close(l.dead)
	l.cancel()
}

// stop is end without the mutex held. It returns the reason that stays.
func (l *link) stop(err error) error {
	l.e.mu.Lock()
	defer l.e.mu.Unlock()
	l.end(err)
	return l.err
}

// run carries frames until the link ends and returns why. Receiving goes on in
// another goroutine until the stream ends, which the caller sees to.
func (l *link) run(s frames) (err error) {
	log := l.e.cfg.Log.With("peer", l.to.Name)
	log.Info("connected")
	defer func() { log.Info("disconnected", "err", err) }()
	l.e.wg.Go(func() {
		for {
			var a arrival
			err := s.RecvMsg(&a)
			if err == nil {
				err = l.e.handle(l, &a)
			}
			a.release()
			if err != nil {
				l.stop(err)
				return
			}
		}
	})
	for {
		f, err := l.next()
		if err == nil {
			err = s.Send(f)
		}
		if err != nil {
			return l.stop(err)
		}
	}
}

// next waits for the next frame to send.
func (l *link) next() (*wire.Frame, error) {
	for {
		l.e.mu.Lock()
		f, job := l.pick()
		err := l.err
		l.e.mu.Unlock()
		switch {
		case err != nil:
			return nil, err
		case f != nil:
			return f, nil
		case job != nil:
			if f, err := l.chunk(job); f != nil || err != nil {
				return f, err
			}
		default:
			select {
			case <-l.wake:
			case <-l.dead:
			}
		}
	}
}

// A job is a chunk that was picked to be sent.
type job struct {
	t     *transfer
	chunk *wire.Chunk // without data, if that is in a file
	file  string
	size  int
}

// pick returns a frame to send, or a chunk, or neither. The mutex is held.
func (l *link) pick() (*wire.Frame, *job) {
	for len(l.talk) > 0 {
		u := l.talk[0]
		l.talk = l.talk[1:]
		if f := u.frame(); f != nil {
			return f, nil
		}
	}
	if s := l.e.reached; s > l.said {
		l.said = s
		return &wire.Frame{Kind: &wire.Frame_Reached{Reached: &wire.Reached{Stages: s}}}, nil
	}
	n := l.to
	if back := n.refund; back > 0 {
		n.refund = 0
		n.lent += back
		return &wire.Frame{Kind: &wire.Frame_Credit{Credit: &wire.Credit{Bytes: uint64(back)}}}, nil
	}
	t := n.pickTransfer()
	if t == nil {
		return nil, nil
	}
	size := min(maxChunk, t.size-t.next)
	if !t.asked {
		size = int(min(int64(size), n.credit))
		n.credit -= int64(size)
	}
	c := &wire.Chunk{Id: t.id[:], Attempt: t.downAttempt, Offset: uint64(t.next), Early: !t.asked}
	if t.file == "" {
		c.Data = t.data[t.next : t.next+size]
	}
	t.next += size
	return nil, &job{t, c, t.file, size}
}

// pickTransfer returns the message that is to be sent on. Of those that are asked
// for it is the one with the least left, which makes the mean wait the shortest;
// otherwise the first that the credit is good for.
func (n *neighbour) pickTransfer() (best *transfer) {
	n.active = slices.DeleteFunc(n.active, func(t *transfer) bool {
		return t.have || !t.whole || t.next >= t.size || !t.asked && !t.push
	})
	for _, t := range n.active {
		switch {
		case !t.asked && (n.credit <= 0 || best != nil):
		case best == nil, t.asked && (!best.asked || t.size-t.next < best.size-best.next):
			best = t
		}
	}
	return best
}

// chunk completes a job. It returns nothing if the message was forgotten.
func (l *link) chunk(j *job) (*wire.Frame, error) {
	if j.chunk.Data == nil {
		b, err := readPart(j.file, int(j.chunk.Offset), j.size)
		if err != nil {
			l.e.mu.Lock()
			defer l.e.mu.Unlock()
			if j.t.gone {
				return nil, nil
			}
			return nil, err
		}
		j.chunk.Data = b
	}
	return &wire.Frame{Kind: &wire.Frame_Chunk{Chunk: j.chunk}}, nil
}

// frame returns what u says, if it still has a point. The mutex is held.
func (u utterance) frame() *wire.Frame {
	id := bytes.Clone(u.id[:])
	t := u.t
	if t != nil {
		t.told &^= u.word
		if t.gone {
			return nil
		}
	}
	switch u.word {
	case sayHave:
		return &wire.Frame{Kind: &wire.Frame_Have{Have: &wire.Have{Id: id}}}
	case sayWant:
		if !t.missing() {
			return nil
		}
		return &wire.Frame{Kind: &wire.Frame_Want{Want: &wire.Want{Id: id, Offset: uint64(len(t.data)), Attempt: t.attempt}}}
	}
	if t.have {
		return nil
	}
	h, err := header(t.msg)
	if err != nil { // it was encoded or decoded before
		return nil
	}
	return &wire.Frame{Kind: &wire.Frame_Offer{Offer: &wire.Offer{Header: h, Size: uint64(t.size), Signature: t.signature}}}
}
