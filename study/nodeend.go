package study

import (
	"context"
	"fmt"

	"github.com/nereid-mhe/nereid/protocols"
)

// A conclusion is what is left to do when a party is through with a stage.
type conclusion struct {
	out          []byte            // of the stage
	used, before []protocols.Label // of its shares, and of those of the stage before
	k            knowledge         // after the stage
	ask          ask               // that it answers
	stop         func()            // ends the second run of the stage before
}

// An ending is the end of a stage, which takes place while the party computes for the
// next one: to wait for the disk would leave processors idle, in all parties at once.
type ending struct {
	durable chan struct{} // closed when the output is durable, or failed is set
	failed  error
	over    chan struct{} // closed when all is done, or err is set
	err     error
}

// noEnding is the end of what an earlier process did.
func noEnding() *ending {
	e := &ending{durable: make(chan struct{}), over: make(chan struct{})}
	close(e.durable)
	close(e.over)
	return e
}

// wait waits for all of it.
func (e *ending) wait() error {
	<-e.over
	return e.err
}

// end begins the end of stage i, after that of the stage before. An error ends the node.
func (n *Node) end(i int, c conclusion, cancel context.CancelCauseFunc) *ending {
	e := &ending{durable: make(chan struct{}), over: make(chan struct{})}
	go func() {
		defer close(e.over)
		err := n.finish(i, c.out, c.used)
		if err == nil {
			err = n.reached(i+1, c.k) // before anybody can be further because of it
		}
		e.failed = err
		close(e.durable)
		if err == nil {
			c.ask.tell(c.out, nil)
			c.stop()
			err = n.forget(i, c.before)
		}
		if err != nil {
			s, _ := n.at(i)
			e.err = fmt.Errorf("study: party %d, end of %v: %w", n.id, s, err)
			cancel(e.err)
		}
	}()
	return e
}

// held is a transport that sends nothing before the end of a stage is durable.
type held struct {
	Transport
	last *ending
}

// Line implements [Transport].
func (h held) Line(p protocols.Point) Line { return heldLine{h.Transport.Line(p), h.last} }

type heldLine struct {
	Line
	last *ending
}

// Send implements [protocols.Network].
func (l heldLine) Send(ctx context.Context, m protocols.Message) error {
	select {
	case <-l.last.durable:
	case <-ctx.Done():
		return ctx.Err()
	}
	if l.last.failed != nil {
		return l.last.failed
	}
	return l.Line.Send(ctx, m)
}

// finish makes the output of stage i durable, and then that it is the last one.
func (n *Node) finish(i int, out []byte, used []protocols.Label) error {
	s, _ := n.at(i)
	head, err := n.encodeLabels(used)
	if err != nil {
		return err
	}
	if s.kind == queryStage && n.isRoot() {
		if err := n.keepAnswer(s.index, out); err != nil {
			return err
		}
	}
	if err := n.cfg.Store.Put(outputName(i), head, out); err != nil {
		return err
	}
	return n.putDone(i + 1)
}

// forget drops what nobody needs when stage i is done: the shares and messages of the
// stage before, and the output before that.
func (n *Node) forget(i int, labels []protocols.Label) error {
	if err := n.cfg.Journal.Forget(labels...); err != nil {
		return err
	}
	closed := map[[32]byte]bool{}
	for _, l := range labels {
		closed[l.Point.Hash()] = true
	}
	n.cfg.Transport.Forget(func(p protocols.Point) bool { return closed[p.Hash()] })
	return n.prune(i - 2)
}

// prune deletes an output that later ones stand for: of a step but the last, or of a
// query.
func (n *Node) prune(i int) error {
	if i < 0 {
		return nil
	}
	s, ok := n.at(i)
	if !ok || s.kind != queryStage && (s.kind != stepStage || i == n.trained()-1) {
		return nil
	}
	if s.kind == queryStage {
		if err := n.cfg.Store.Delete(requestName(s.index)); err != nil {
			return err
		}
	}
	return n.cfg.Store.Delete(outputName(i))
}

// tidy does what a process that was killed may not have got to after its last
// output, and returns the labels of that.
func (n *Node) tidy(done int) ([]protocols.Label, error) {
	_, labels, err := n.output(done - 1)
	if err != nil || done < 2 {
		return labels, err
	}
	_, before, err := n.output(done - 2)
	if err != nil {
		return nil, err
	}
	return labels, n.forget(done-1, before)
}
