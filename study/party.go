package study

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/nereid-mhe/nereid/bootstrap"
	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/mhe/rns"
	"github.com/nereid-mhe/nereid/nn"
	"github.com/nereid-mhe/nereid/protocols"
)

// Phases of a study, as in the papers. They are the keys of times and bytes.
const (
	phaseSetup   = "setup"   // keys and standardisation
	phaseMap     = "map"     // local gradients
	phaseCombine = "combine" // their sum
	phaseReduce  = "reduce"  // refresh and update
	phasePredict = "predict"
)

// A party is one data owner: what it knows, and its side of every round. It is
// used by one goroutine.
type party struct {
	*terms
	id      protocols.PartyID
	seed    protocols.Seed
	sk      mhe.SecretKey
	journal protocols.Journal
	ledger  *protocols.Ledger // of opened ciphertexts
	rows    *protocols.Ledger // of opened rows
	log     *slog.Logger

	*tools
	transport Transport
	watch     func(phase string, m *round) protocols.Machine // what drives a round sees of it

	keys    *mhe.PublicKeys
	ev      mhe.Evaluator
	weights mhe.Tensor // encrypted
	chain   [32]byte   // digest of all weights so far

	refreshes int // rounds taken part in

	mu    sync.Mutex               // of what follows: rounds of one party may run at once
	spent map[string]time.Duration // compute by phase
	sent  map[string]int64         // bytes by phase
}

// tools are what the parties of a process share: prepared once, and read-only.
type tools struct {
	enc     *mhe.Encoder
	refresh *bootstrap.Refresh // of a step of a regression
	points  *refreshCache      // of a network
	public  *publicRefreshes   // of a network
	made    *keyCache
	cores   *turns
	pace    pace
}

func newTools(t *terms, cores int) (*tools, error) {
	s := &tools{enc: mhe.NewEncoder(t.set), made: newKeyCache(), cores: newTurns(cores)}
	if t.net != nil {
		s.points = newRefreshCache(s.enc, t.net)
		s.public = &publicRefreshes{made: map[string]func() (*bootstrap.Refresh, error){}}
		return s, nil
	}
	var err error
	s.refresh, err = t.plan.Refresh(s.enc)
	return s, err
}

// newParty returns a party before it has done anything, with journal and ledgers in
// memory. It has no transport, watch and log yet.
func newParty(t *terms, s *tools, id protocols.PartyID, seed protocols.Seed) (*party, error) {
	p := &party{
		terms: t, tools: s, id: id, seed: seed,
		journal: protocols.NewMemoryJournal(),
		ledger:  protocols.NewLedger(unitCiphertexts, t.policy.limits(requestsOf)),
		rows:    protocols.NewLedger(unitRows, t.policy.limits(rowsOf)),
		spent:   map[string]time.Duration{}, sent: map[string]int64{},
	}
	var err error
	p.sk, err = mhe.NewSecretKey(t.set, protocols.Label{Point: t.point("secret", 0, "")}.Private(seed))
	return p, err
}

// isRoot reports whether the party is the root of the tree.
func (p *party) isRoot() bool { return p.id == p.tree.Root() }

// compute runs f on a core and counts its time for phase.
func (p *party) compute(phase string, f func() error) error { return p.on(phase, begins, f) }

// on is compute for work of some urgency.
func (p *party) on(phase string, u urgency, f func() error) error {
	p.cores.take(p.id, u)
	defer p.cores.give()
	start := time.Now()
	err := f()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.spent[phase] += time.Since(start)
	return err
}

// A task is what differs between the rounds of a study: legs, input, and the
// functions of the protocol. Gen, Finish and the checks run on a core.
type task struct {
	phase, protocol, place string
	step                   int
	tree                   *protocols.Tree // nil for that of the study
	context                []byte          // public data besides the plan that the share depends on

	shape   mhe.Shape
	gen     func(l protocols.Label) (mhe.Share, error)
	derived bool // gen gives the same bytes whenever it is called, and has no other effect

	hasInput bool
	input    []byte // at the root
	open     func(input []byte) error

	result bool
	finish func(sum mhe.Share) ([]byte, error) // at the root
	accept func(result []byte) error           // elsewhere
	maxIn  int                                 // bound of input and result in bytes
}

// A round is the party's machine in any round.
type round = protocols.Round[mhe.Share]

// machine returns the party's side of a round.
func (p *party) machine(t task) (*round, error) {
	tree := p.tree
	if t.tree != nil {
		tree = *t.tree
	}
	return protocols.NewRound(protocols.Config{
		Self: p.id, Tree: tree, Point: p.point(t.protocol, t.step, t.place), Journal: p.journal,
		Context:  slices.Concat(p.context, t.context),
		HasInput: t.hasInput, Input: t.input, Result: t.result, Lossless: p.pace.simulated,
	}, p.rules(t))
}

// run takes part in a round until this party is done with it.
func (p *party) run(ctx context.Context, t task) error {
	m, err := p.machine(t)
	if err != nil {
		return err
	}
	line := p.transport.Line(p.point(t.protocol, t.step, t.place))
	if t.phase == phaseSetup && len(p.tree.Children(p.id)) == 0 {
		var done func()
		if line, done, err = p.pace.leaf(ctx, line); err != nil {
			return err
		}
		defer done()
	}
	err = protocols.Drive(ctx, p.log, p.watch(t.phase, m), line)
	p.mu.Lock()
	p.sent[t.phase] += line.Sent()
	p.mu.Unlock()
	if err != nil {
		return fmt.Errorf("party %d, %s: %w", p.id, t.protocol, err)
	}
	return nil
}

// rules turns a task into the functions of a round, each on a core.
func (p *party) rules(t task) protocols.Rules[mhe.Share] {
	starts := func(f func() error) error { return p.on(t.phase, begins, f) }
	on := func(f func() error) error { return p.on(t.phase, ends, f) }
	r := protocols.Rules[mhe.Share]{
		Gen: func(l protocols.Label) (s mhe.Share, err error) {
			err = starts(func() error { s, err = t.gen(l); return err })
			return s, err
		},
		Add: func(acc, s mhe.Share) (sum mhe.Share, err error) {
			err = on(func() error { sum, err = t.shape.Add(acc, s); return err })
			if err == nil { // s was decoded for this round, and nobody needs it any more
				for _, p := range s {
					rns.Return(p)
				}
			}
			return sum, err
		},
		Encode: func(s mhe.Share) (b []byte, err error) {
			err = on(func() error { b, err = t.shape.Encode(s); return err })
			return b, err
		},
		Decode: func(b []byte) (s mhe.Share, err error) {
			err = on(func() error { s, err = t.shape.Decode(b); return err })
			return s, err
		},
		Derived: t.derived,
		MaxBody: max(t.shape.Size(), t.maxIn, len(t.input), 1),
	}
	if t.open != nil {
		r.Open = func(b []byte) error { return starts(func() error { return t.open(b) }) }
	}
	if t.finish != nil {
		r.Finish = func(sum mhe.Share) (b []byte, err error) {
			err = on(func() error { b, err = t.finish(sum); return err })
			return b, err
		}
	}
	if t.accept != nil {
		r.Accept = func(b []byte) error { return on(func() error { return t.accept(b) }) }
	}
	return r
}

// common opens the public randomness of a round.
func (t *terms) common(p protocols.Point) mhe.Source { return p.Common(t.seed).Open }

// private opens the party's secret randomness for a label.
func (p *party) private(l protocols.Label) mhe.Source { return l.Private(p.seed).Open }

// privateFor opens the party's secret randomness for a label and data of the
// party's own that the share is made of. The data is not in the label, which is
// public; if it ever changed under one label, its randomness would too.
func (p *party) privateFor(l protocols.Label, data []byte) mhe.Source {
	sum := sha256.Sum256(data)
	return l.Private(p.seed).Sub(fmt.Sprintf("data %x", sum)).Open
}

// weightsChanged moves the digest of the weights on by the bytes of an update.
func (p *party) weightsChanged(update []byte) {
	sum := sha256.Sum256(update)
	p.chain = sha256.Sum256(append(p.chain[:], sum[:]...))
}

var (
	_ nn.Summer    = &party{}
	_ nn.Refresher = &party{}
)

// Sum implements [nn.Summer]: phase COMBINE. The gradient is rerandomised before
// it leaves, because the ciphertext is a function of this party's data in the
// clear. The label names the weights, so that no randomness serves twice.
func (p *party) Sum(ctx context.Context, step int, g mhe.Tensor) (total mhe.Tensor, err error) {
	shape := mhe.CipherShape(p.set, g.Level())
	t := task{
		phase: phaseCombine, protocol: "gradient", step: step, context: p.chain[:], shape: shape, derived: true,
		gen: func(l protocols.Label) (mhe.Share, error) {
			own, err := g.Share()
			if err != nil {
				return nil, err
			}
			data, err := shape.Encode(own)
			if err != nil {
				return nil, err
			}
			r, err := p.keys.Encryption().Rerandomise(g, p.privateFor(l, data))
			if err != nil {
				return nil, err
			}
			return r.Share()
		},
		finish: func(sum mhe.Share) ([]byte, error) {
			total = mhe.NewEncrypted(sum[0], sum[1], g.Scale())
			return nil, nil
		},
	}
	err = p.run(ctx, t)
	return total, err // not in one: the run sets total
}

// Refresh implements [nn.Refresher]: phase REDUCE.
func (p *party) Refresh(ctx context.Context, step int, g mhe.Tensor) (out mhe.Tensor, err error) {
	t, err := p.refreshTask(step, g, &out)
	if err != nil {
		return out, err
	}
	p.refreshes++
	err = p.run(ctx, t)
	return out, err // not in one: the run sets out
}

// refreshTask is the round of a refresh, which sets out. Down go the second
// polynomials of the sum, up the shares, down the first polynomials of the
// result: the second are common randomness.
func (p *party) refreshTask(step int, g mhe.Tensor, out *mhe.Tensor) (task, error) {
	hash := p.refresh.Hash()
	in, top := p.refresh.InputShape(), mhe.Shape{mhe.Basis(p.set, p.set.MaxLevel())}
	t := task{phase: phaseReduce, protocol: "refresh", step: step, context: hash[:], shape: p.refresh.Shape(), derived: true, hasInput: true, result: true, maxIn: max(in.Size(), top.Size())}
	var c1, a mhe.Share
	t.open = func(b []byte) (err error) {
		if c1, err = in.Decode(b); err == nil {
			a, err = p.refresh.Common(p.common(p.point(t.protocol, step, "")))
		}
		return err
	}
	t.gen = func(l protocols.Label) (mhe.Share, error) {
		return p.refresh.Share(p.sk, c1, a, p.private(l))
	}
	t.finish = func(sum mhe.Share) ([]byte, error) {
		ts, err := p.refresh.Finish([]rns.Poly{g.Polys()[0]}, a, sum)
		if err != nil {
			return nil, err
		}
		*out = ts[0]
		b, err := top.Encode(mhe.Share{out.Polys()[0]})
		if err == nil {
			p.weightsChanged(b)
		}
		return b, err
	}
	t.accept = func(b []byte) error {
		c0, err := top.Decode(b)
		if err != nil {
			return err
		}
		*out = mhe.NewEncrypted(c0[0], a[0], mhe.Power(p.set.LogScale()))
		p.weightsChanged(b)
		return nil
	}
	var err error
	if p.isRoot() {
		t.input, err = in.Encode(mhe.Share{g.Polys()[1]})
	}
	return t, err
}
