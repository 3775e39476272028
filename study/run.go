package study

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/nereid-mhe/nereid/dataset"
	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/nn"
	"github.com/nereid-mhe/nereid/protocols"
)

// Progress is what [Run] reports while it works.
type Progress struct {
	Phase   string        // "setup", "train", "predict"
	Step    int           // steps done, from 0
	Steps   int           // of the phase
	Elapsed time.Duration // of the phase
}

// Run runs the whole study on the rows of data, divided among the parties, and
// checks it against its clear twin. progress, if not nil, is called from one
// goroutine at a time. log may be nil.
//
// The clear twin runs before any key is made: a study that does not train is
// refused with the reason. Errors wrap [ErrConfig], [nn.ErrModel] or those of
// package dataset.
func Run(ctx context.Context, cfg Config, data dataset.Table, log *slog.Logger, progress func(Progress)) (Report, error) {
	cfg.Common = cfg.withDefaults()
	var v violations
	cfg.check(&v)
	cfg.checkSplit(&v)
	if err := errors.Join(v...); err != nil {
		return Report{}, err
	}
	if progress == nil {
		progress = func(Progress) {}
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s, err := prepare(cfg, data)
	if err != nil {
		return Report{}, err
	}
	s.progress, s.started = progress, time.Now()
	if err := s.makeParties(log); err != nil {
		return Report{}, err
	}
	if cfg.Regression && cfg.MaxTarget == 0 {
		s.openings = append(s.openings, Opened{"largest absolute target, as a bound in the public plan", "all parties", 1, 0})
	}
	if err := s.run(ctx); err != nil {
		return Report{}, err
	}
	return s.report()
}

// A simulation is a study with all its parties.
type simulation struct {
	*terms
	glm      Config
	parties  []*party
	tables   []dataset.Table // rows of each party, as they are in its file
	test     dataset.Table   // rows of the querier
	local    []nn.Data       // rows of each party, standardised and with a bias
	query    [][]float64     // rows of the querier, standardised and with a bias
	progress func(Progress)
	started  time.Time

	twin  nn.TwinResult
	setup time.Duration
	laps  [][]lap // by step, by party

	opened     []float64 // outputs that the querier was given
	prediction time.Duration
	openings   []Opened
}

// makeParties gives every party its secrets and its place.
func (s *simulation) makeParties(log *slog.Logger) error {
	tools, err := newTools(s.terms, s.cfg.Cores)
	if err != nil {
		return err
	}
	hub := newHub(s.cfg.Parties, s.maxMessage())
	for _, id := range s.tree.Members() {
		p, err := newParty(s.terms, tools, id, protocols.GenerateSeed())
		if err != nil {
			return err
		}
		p.transport, p.watch, p.log = hub.seat(id), strictly, log.With("party", id)
		s.parties = append(s.parties, p)
	}
	return nil
}

// maxMessage bounds the bytes of a message: a part of key generation, or a full
// query with its answers.
func (t *terms) maxMessage() int {
	set := t.set
	size := 2 * maxCiphertexts * mhe.CipherShape(set, set.MaxLevel()).Size()
	for _, part := range t.keyPlan.Parts(set, maxKeyPart) {
		size = max(size, part.Size())
	}
	if t.net != nil && t.net.Query != nil {
		size = max(size, t.queryForm().size(1))
	}
	return size + 1<<16
}

// querierName is the querier of a simulated study.
const querierName = "querier"

// admitted makes the querier of a simulated study and admits its key: the terms are
// sealed before there is one.
func (t *terms) admitted(enc *mhe.Encoder, seed protocols.Seed) (*querier, error) {
	q, err := newQuerier(t, querierName, enc, seed)
	if err != nil {
		return nil, err
	}
	a, err := t.policy.named(querierName)
	if err != nil {
		return nil, err
	}
	a.Key = q.pin
	return q, nil
}

// all runs f for every party at once. The first error ends the others.
func (s *simulation) all(ctx context.Context, f func(ctx context.Context, p *party) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for _, p := range s.parties {
		wg.Go(func() {
			if err := f(ctx, p); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// run is the study: PREPARE, training, PREDICT.
func (s *simulation) run(ctx context.Context) error {
	s.progress(Progress{Phase: "setup", Steps: 1})
	if err := s.prepareAll(ctx); err != nil {
		return err
	}
	s.setup = time.Since(s.started)
	s.progress(Progress{"setup", 1, 1, s.setup})
	if err := s.train(ctx); err != nil {
		return err
	}
	start := time.Now()
	s.progress(Progress{Phase: "predict", Steps: 1})
	if err := s.predict(ctx); err != nil {
		return err
	}
	s.prediction = time.Since(start)
	s.progress(Progress{"predict", 1, 1, s.prediction})
	return nil
}

// prepareAll is phase PREPARE at all parties.
func (s *simulation) prepareAll(ctx context.Context) error {
	scalers := make([]dataset.Scaler, len(s.parties))
	err := s.all(ctx, func(ctx context.Context, p *party) (err error) {
		if err := p.generateKeys(ctx); err != nil {
			return err
		}
		p.ev = mhe.NewCKKS(p.keys, 1)
		scalers[p.id], err = p.standardise(ctx, s.tables[p.id])
		return err
	})
	if err != nil {
		return err
	}
	s.openings = append(s.openings, Opened{"number of rows, and means and squares of the features over all parties", "all parties", 2*s.tables[0].Dim() + 1, s.cfg.Flooding})
	return s.standardise(scalers[0])
}

// trainer returns a party's side of training.
func trainer(p *party) nn.Trainer {
	return nn.Trainer{Plan: p.plan, Eval: timed{p.ev, p}, Sum: p, Refresh: p}
}

// train runs all steps at all parties.
func (s *simulation) train(ctx context.Context) error {
	steps := s.plan.Model.Steps
	s.laps = make([][]lap, steps)
	for k := range s.laps {
		s.laps[k] = make([]lap, len(s.parties))
	}
	start := time.Now()
	s.progress(Progress{Phase: "train", Steps: steps})
	return s.all(ctx, func(ctx context.Context, p *party) error {
		t := trainer(p)
		last := p.snapshot()
		batch := func(step int) (nn.Batch, error) { return s.local[p.id].Batch(s.plan, step) }
		for step, err := range t.Steps(ctx, s.plan.Initial(), batch) {
			if err != nil {
				return err
			}
			now := p.snapshot()
			s.laps[step.Number-1][p.id] = lap{now[phaseMap] - last[phaseMap], now[phaseCombine] - last[phaseCombine], now[phaseReduce] - last[phaseReduce]}
			last = now
			p.weights = step.Weights
			if p.isRoot() {
				s.progress(Progress{"train", step.Number, steps, time.Since(start)})
			}
		}
		return nil
	})
}

// predict is phase PREDICT: the querier's test rows.
func (s *simulation) predict(ctx context.Context) error {
	root := s.parties[s.tree.Root()]
	seed := protocols.GenerateSeed()
	q, err := s.admitted(root.enc, seed)
	if err != nil {
		return err
	}
	part := 0
	for rows := range slices.Chunk(s.query, maxCiphertexts*s.plan.Queries()) {
		ask, err := q.encrypt(root.keys.Encryption(), rows, seed, part)
		if err != nil {
			return err
		}
		var answers []mhe.Tensor
		err = s.all(ctx, func(ctx context.Context, p *party) error {
			a, err := p.predict(ctx, p.weights, ask, len(ask.rows), part)
			if p.isRoot() {
				answers = a
			}
			return err
		})
		if err != nil {
			return err
		}
		z, err := q.outputs(answers, ask.rows)
		if err != nil {
			return err
		}
		s.opened = append(s.opened, z...)
		part++
	}
	s.openings = append(s.openings, Opened{"predictions of the test rows", querierName, len(s.query), s.cfg.Flooding})
	return nil
}
