package study

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
)

// ErrStopped is returned to queriers when the node's run has ended.
var ErrStopped = errors.New("study: the node has stopped")

// ErrNotReady is wrapped by errors about something that is not known yet.
var ErrNotReady = errors.New("not known yet")

// An ask is a request with the querier that waits for its answer, if there is one.
type ask struct {
	querier string // who asks; empty for what an earlier process has begun with
	request []byte
	reply   chan<- reply // with room for one; nil for nobody
}

type reply struct {
	answer []byte
	err    error
}

func (a ask) tell(answer []byte, err error) {
	if a.reply != nil {
		a.reply <- reply{answer, err}
	}
}

// Publication returns what the querier needs to make requests. It returns an error
// wrapping [ErrNotReady] before the moments are known.
func (n *Node) Publication() (Publication, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.public == nil {
		return Publication{}, fmt.Errorf("study: keys and moments: %w", ErrNotReady)
	}
	return *n.public, nil
}

// Ask answers a request that [Querier.Requests] made, of the querier with a name: the
// caller knows who asks, and nobody spends what another may have opened. It is for the
// node at the root of the tree, and may be called at any time by any number of
// goroutines: requests are answered one after another, once the model is trained.
//
// The same bytes get the same answer, now and after a restart, and are charged
// once. A request that the policy does not allow is refused here, before any party
// hears of it, with an error wrapping [ErrConfig] or a *[protocols.BudgetError];
// every other party would refuse it too. The request is durable before anything is
// done with it: when ctx ends, the answer is there for whoever asks again.
func (n *Node) Ask(ctx context.Context, querier string, request []byte) ([]byte, error) {
	if !n.isRoot() {
		return nil, fmt.Errorf("%w: party %d answers no requests: ask party %d, at the root of the tree", ErrConfig, n.id, n.tree.Root())
	}
	if answer, err := n.known(request); answer != nil || err != nil {
		return answer, err
	}
	if err := n.allow(querier, request); err != nil {
		return nil, err
	}
	r := make(chan reply, 1)
	select {
	case n.asks <- ask{querier, request, r}:
	case <-n.ended:
		return nil, ErrStopped
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case got := <-r:
		return got.answer, got.err
	case <-n.ended:
		return nil, ErrStopped
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// known returns the answer of a request that was answered before, else nil.
func (n *Node) known(request []byte) ([]byte, error) {
	answer, err := n.cfg.Store.Get(answerName(sha256.Sum256(request)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return answer, err
}

// allow refuses a request that the policy does not allow.
func (n *Node) allow(querier string, request []byte) error {
	if len(n.policy) == 0 {
		return fmt.Errorf("%w: %w: the study has no predictions", ErrConfig, errQuery)
	}
	q, err := n.queryForm().decodeWhole(request)
	if err == nil {
		err = n.policy.admit(q)
	}
	if err == nil && len(q.rows) > 1 {
		err = fmt.Errorf("%w: %d batches, want 1", errQuery, len(q.rows))
	}
	if err == nil && q.name != querier {
		err = fmt.Errorf("%w: a request of querier %q from querier %q", errQuery, q.name, querier)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	n.mu.Lock()
	pending := n.pending
	n.mu.Unlock()
	if sha256.Sum256(request) == pending { // charged already, perhaps
		return nil
	}
	if err := n.rows.Allows(q.name, q.values()); err != nil {
		return err
	}
	return n.ledger.Allows(q.name, 1)
}

// findPending notes which request an earlier process was answering.
func (n *Node) findPending() error {
	done, err := n.done()
	if err != nil {
		return err
	}
	s, ok := n.at(done)
	if !ok || s.kind != queryStage || !n.isRoot() {
		return nil
	}
	request, err := n.cfg.Store.Get(requestName(s.index))
	if err == nil {
		n.pending = sha256.Sum256(request)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// nextAsk returns the request of a query: the one that an earlier process has begun
// with, or the next that comes. It is durable: the parties bind themselves to it.
func (n *Node) nextAsk(ctx context.Context, part int) (ask, error) {
	request, err := n.cfg.Store.Get(requestName(part))
	if err == nil {
		return ask{request: request}, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return ask{}, err
	}
	for {
		a, err := n.receive(ctx)
		if err != nil {
			return a, err
		}
		if err := n.allow(a.querier, a.request); err != nil {
			a.tell(nil, err)
			continue
		}
		if err := n.cfg.Store.Put(requestName(part), a.request); err != nil {
			a.tell(nil, ErrStopped)
			return a, err
		}
		n.mu.Lock()
		n.pending = sha256.Sum256(a.request)
		n.mu.Unlock()
		return a, nil
	}
}

// receive returns the next request that was not answered before.
func (n *Node) receive(ctx context.Context) (ask, error) {
	for {
		select {
		case <-ctx.Done():
			return ask{}, ctx.Err()
		case a := <-n.asks:
			answer, err := n.known(a.request)
			if answer == nil && err == nil {
				return a, nil
			}
			a.tell(answer, err)
		}
	}
}

// rest is what a node does after the last stage: it repeats answers.
func (n *Node) rest(ctx context.Context) error {
	for {
		a, err := n.receive(ctx)
		if err != nil {
			return err
		}
		a.tell(nil, n.allow(a.querier, a.request))
	}
}

// keepAnswer makes an answer durable.
func (n *Node) keepAnswer(part int, answer []byte) error {
	request, err := n.cfg.Store.Get(requestName(part))
	if err != nil {
		return err
	}
	return n.cfg.Store.Put(answerName(sha256.Sum256(request)), answer)
}
