package study

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/nereid-mhe/nereid/dataset"
	"github.com/nereid-mhe/nereid/protocols"
)

// NodeConfig is what a party brings to a study.
type NodeConfig struct {
	Terms Terms
	Self  protocols.PartyID
	Seed  protocols.Seed // the party's own, the same after every restart
	Table dataset.Table  // its rows, as they are in its file, the same after every restart

	// Journal and Store survive the process; see [protocols.FileJournal] and
	// [FileStore]. Neither may ever be replaced by an older copy of itself.
	Journal NodeJournal
	Store   Store

	Transport Transport
	Cores     int            // that compute at the same time; 0 for all
	Log       *slog.Logger   // nil is silent
	Progress  func(Progress) // called from one goroutine at a time; may be nil
}

// A NodeJournal is a journal that drops shares that nobody needs any more; see
// [protocols.FileJournal.Forget].
type NodeJournal interface {
	protocols.Journal
	Forget(...protocols.Label) error
	Len() (int, error) // points that are bound, which never become fewer
}

// A Node is one party of a study in a process of its own: PREPARE, training, and
// predictions for the querier, by the same code as in a simulation. It may be
// killed at any moment; a new Node with the same arguments goes on, and the study
// ends with the same model.
//
// # How it resumes
//
// A study is a sequence of stages: the groups of rounds of key generation, the moments,
// the steps of training, queries. When a node is done with a stage it puts the output
// into its store, and only when that is durable it sends anything of the next stage,
// for which it computes meanwhile. A restarted node takes part in two stages at once:
// in the one after its last output, and, beside it, once more in the one that gave that
// output, because others may still be in it. That it takes part again is harmless: all
// that it sends is a function of its seed, its rows and what it knew before the stage,
// and shares come from the journal, or are made again and held against the checksum
// there, so that the bytes are the same.
//
// Nobody agrees on where to resume, because the stages do. Let every party's last
// output be that of stage L_i, and m the smallest of these.
//
//   - No L_i is above m+1. Every stage ends with rounds whose results come to all
//     parties and whose sums have a share of each. A party sends shares of stage n
//     only when its output of stage n-1 is durable, in its first run of n as in a
//     second, and puts outputs one after another. So the output of n at anyone proves
//     outputs of n-1 at all.
//   - A party with L_i = n forgets messages and journalled shares of stages before n,
//     not those of n itself. By the same proof nobody needs the former.
//   - Parties with L_i = m run stage m+1, and nothing of it is forgotten, since
//     nobody has an output of m+2. Those with L_i = m+1 have either not restarted
//     since, and their transports keep all that they sent in m+1 (a round is done
//     when a party has sent everything that it ever sends), or they have, and go
//     through m+1 again. Either way everyone in m+1 gets all messages of all others,
//     and ends it. Hence m grows.
//
// A second run of a stage that all others are past never ends; it is stopped when
// the next stage has ended.
//
// # What is on disk
//
// The store has sums of key generation, moments, encrypted models of the last two
// steps, the ledgers, and digests; the journal has shares, which are public once
// they are sent, or their checksums. A change of the rows or the seed is noticed, by a digest that only
// the seed can make, and so is the loss of the journal: the node refuses to go on.
//
// # Older copies
//
// Since no L_i is above m+1, no party is more than one stage ahead of another. Nodes
// tell each other how many stages they have done, and pass on the highest number that
// they know of. A node that hears of more than one stage beyond its own last output was
// started on an older copy of its state, and ends with [ErrRolledBack]. One that does
// not hear so lacks nothing: whatever it takes part in again gives the same bytes,
// because shares derive from the seed and the full label, and nobody has forgotten the
// messages that it needs. docs/security.md has the argument.
type Node struct {
	member
	cfg    NodeConfig
	ledger *protocols.Ledger
	rows   *protocols.Ledger
	asks   chan ask
	ended  chan struct{} // closed when Run has ended

	mu      sync.Mutex // of what follows
	status  Status
	waits   map[*watched][]protocols.PartyID // of the rounds under way
	since   time.Time                        // when the phase began, in this process
	public  *Publication                     // nil until it is known
	pending [32]byte                         // hash of the request that is being answered
	stages  uint64                           // done
	highest uint64                           // stages that anybody is known to have done
	older   error                            // why the state is an older copy, nil if it is not known to be
	cancel  context.CancelCauseFunc          // of Run, nil before
}

// NewNode returns a node that has done nothing yet. It reads what an earlier process
// left in the store and returns an error if that is of another study, of other rows
// or of another seed, or if the journal is not the one with which the study began or lost
// entries: errors wrap [ErrConfig], [ErrResume], [ErrRolledBack] or [ErrDamaged].
func NewNode(cfg NodeConfig) (*Node, error) {
	var v violations
	v.must(cfg.Terms.terms != nil, "no terms")
	v.must(cfg.Journal != nil && cfg.Store != nil && cfg.Transport != nil, "a node needs a journal, a store and a transport")
	v.must(cfg.Seed != (protocols.Seed{}), "a node needs the party's seed")
	if err := errors.Join(v...); err != nil {
		return nil, err
	}
	if !cfg.Terms.tree.Contains(cfg.Self) {
		return nil, fmt.Errorf("%w: party %d of a study of %d", ErrConfig, cfg.Self, cfg.Terms.cfg.Parties)
	}
	if err := cfg.Terms.table(cfg.Table, cfg.Self); err != nil {
		return nil, err
	}
	if cfg.Cores == 0 {
		cfg.Cores = runtime.GOMAXPROCS(0)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.Log = cfg.Log.With("party", cfg.Self)
	tools, err := newTools(cfg.Terms.terms, cfg.Cores)
	if err != nil {
		return nil, err
	}
	n := &Node{
		member: member{terms: cfg.Terms.terms, course: newCourse(cfg.Terms.terms), id: cfg.Self, table: cfg.Table, tools: tools},
		cfg:    cfg, asks: make(chan ask), ended: make(chan struct{}), waits: map[*watched][]protocols.PartyID{},
		status: Status{Sent: map[string]int64{}, Compute: map[string]time.Duration{}},
	}
	if err := n.open(); err != nil {
		return nil, err
	}
	if err := n.findPending(); err != nil {
		return nil, err
	}
	if n.ledger, err = n.openLedger(unitCiphertexts, n.policy.limits(requestsOf)); err != nil {
		return nil, err
	}
	n.rows, err = n.openLedger(unitRows, n.policy.limits(rowsOf))
	return n, err
}

// Run takes part in the study until ctx ends, which is no error: peers may need the
// node after its last stage. Any other end is one: of the store, the journal, a
// *[protocols.BoundError] or [ErrRolledBack], after which people must find out what
// happened. Run is called once.
func (n *Node) Run(ctx context.Context) error {
	defer close(n.ended)
	inner, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	n.mu.Lock()
	n.cancel = cancel
	older := n.older
	n.mu.Unlock()
	if older != nil {
		return older
	}
	err := n.run(inner, cancel)
	cause := context.Cause(inner)
	switch own := cause != nil && !errors.Is(cause, context.Cause(ctx)); {
	case own: // whatever ctx did later
		return cause
	case ctx.Err() != nil && (err == nil || errors.Is(err, ctx.Err()) || errors.Is(err, cause)):
		return nil
	}
	return err
}

func (n *Node) run(ctx context.Context, cancel context.CancelCauseFunc) (err error) {
	done, err := n.done()
	if err != nil {
		return err
	}
	labels, stop, err := n.resume(ctx, cancel, done)
	if err != nil {
		return err
	}
	defer func() { stop() }()
	k, err := n.load(done)
	if err != nil {
		return err
	}
	if err := n.reached(done, k); err != nil {
		return err
	}
	last := noEnding()
	defer func() { // an error there comes before what it, or a shutdown, ended
		err = cmp.Or(last.wait(), err)
	}()
	for ; ; done++ {
		s, ok := n.at(done)
		if !ok || s.kind == queryStage { // what is asked next is taken up when all before is durable
			if err := last.wait(); err != nil {
				return err
			}
		}
		if !ok {
			return n.rest(ctx)
		}
		var a ask
		if s.kind == queryStage && n.isRoot() {
			if a, err = n.nextAsk(ctx, s.index); err != nil {
				return err
			}
		}
		out, used, err := n.through(ctx, s, k, a.request, last)
		if err == nil {
			err = last.wait()
		}
		if err == nil {
			k, err = n.learn(s, k, out)
		}
		if err != nil {
			return fmt.Errorf("study: party %d, %v: %w", n.id, s, err)
		}
		last = n.end(done, conclusion{out: out, used: used, before: labels, k: k, ask: a, stop: stop}, cancel)
		labels = used
	}
}

// resume does what a restarted node owes to its last stage: it begins the second run of
// it. It returns the labels of its shares, and what stops that run.
func (n *Node) resume(ctx context.Context, cancel context.CancelCauseFunc, done int) (labels []protocols.Label, stop func(), err error) {
	if done == 0 {
		return nil, func() {}, nil
	}
	if labels, err = n.tidy(done); err != nil {
		return nil, nil, err
	}
	stop, err = n.again(ctx, cancel, done-1)
	return labels, stop, err
}

func (n *Node) isRoot() bool { return n.id == n.tree.Root() }

// through goes through a stage and returns its output and the labels of its shares.
// Nothing of it is sent before the end of the stage before is durable; last is nil in a
// second run.
func (n *Node) through(ctx context.Context, s stage, k knowledge, request []byte, last *ending) ([]byte, []protocols.Label, error) {
	p, err := newParty(n.terms, n.tools, n.id, n.cfg.Seed)
	if err != nil {
		return nil, nil, err
	}
	journal := &noted{Journal: n.cfg.Journal, used: map[[32]byte]protocols.Label{}}
	p.journal, p.ledger, p.rows, p.transport, p.log = journal, n.ledger, n.rows, n.cfg.Transport, n.cfg.Log
	p.keys, p.ev, p.chain = k.keys, k.ev, k.chain
	p.watch = func(_ string, m *round) protocols.Machine { return m }
	if last != nil {
		p.transport = held{n.cfg.Transport, last}
		p.watch = func(_ string, m *round) protocols.Machine { return &watched{round: m, n: n} }
		n.enter(s)
		defer n.leave(p)
	}
	out, err := n.act(ctx, p, s, k, request)
	return out, journal.labels(), err
}

// again starts the second run of stage i, and returns what stops it. Should it come
// to an end with another output than the first, cancel ends the node.
func (n *Node) again(ctx context.Context, cancel context.CancelCauseFunc, i int) (stop func(), err error) {
	s, _ := n.at(i)
	k, err := n.load(i) // of its own: the main run may be using the other
	if err != nil {
		return nil, err
	}
	want, _, err := n.output(i)
	if err != nil {
		return nil, err
	}
	var request []byte
	if s.kind == queryStage && n.isRoot() {
		if request, err = n.cfg.Store.Get(requestName(s.index)); err != nil {
			return nil, err
		}
	}
	ctx, end := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		out, _, err := n.through(ctx, s, k, request, nil)
		if err == nil && !slices.Equal(out, want) {
			err = errors.New("the output is another one than before")
		}
		if err != nil && ctx.Err() == nil {
			cancel(fmt.Errorf("study: party %d, %v again after a restart: %w", n.id, s, err))
		}
	})
	return func() { end(); wg.Wait() }, nil
}

// load returns what is known after so many stages.
func (n *Node) load(stages int) (knowledge, error) {
	k, err := n.start()
	if err != nil {
		return k, err
	}
	for i := range stages {
		s, ok := n.at(i)
		if !ok || s.kind == queryStage {
			break
		}
		if s.kind == stepStage && i < stages-1 && i < n.trained()-1 {
			continue // the last step has it all
		}
		out, _, err := n.output(i)
		if err != nil {
			return k, err
		}
		if k, err = n.learn(s, k, out); err != nil {
			return k, fmt.Errorf("study: party %d, stored output of %v: %w", n.id, s, err)
		}
	}
	return k, nil
}
