package study

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/nereid-mhe/nereid/dataset"
	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/nn"
	"github.com/nereid-mhe/nereid/protocols"
)

// RunNetwork runs a study that trains a network on the rows of train, divided
// among the parties, and checks it against its clear twin on the rows of test. If
// test has no rows, a part of train is kept back for it. progress and log are as in
// [Run], and so are errors.
//
// The clear twin runs before any key is made: a network whose values leave what
// its activations and masks are made for is refused with the reason.
func RunNetwork(ctx context.Context, cfg NetworkConfig, train, test dataset.Table, log *slog.Logger, progress func(Progress)) (NetworkReport, error) {
	if progress == nil {
		progress = func(Progress) {}
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s, err := PrepareNetwork(ctx, cfg, train, test)
	if err != nil {
		return NetworkReport{}, err
	}
	s.progress, s.started = progress, time.Now()
	if err := s.runTwin(ctx); err != nil {
		return NetworkReport{}, s.suggestRate(ctx, err)
	}
	if err := s.makeParties(log); err != nil {
		return NetworkReport{}, err
	}
	if err := s.setUp(ctx); err != nil {
		return NetworkReport{}, err
	}
	if err := s.train(ctx); err != nil {
		return NetworkReport{}, err
	}
	if err := s.predict(ctx); err != nil {
		return NetworkReport{}, err
	}
	return s.report()
}

// A NetworkSimulation is a study of a network with all its parties.
type NetworkSimulation struct {
	*terms
	config   NetworkConfig
	parties  []*netParty
	tables   []dataset.Table // rows of each party, as they are in its file
	testing  dataset.Table
	local    []nn.NetworkData // rows of each party, scaled
	query    [][]float64      // rows of the test table, scaled
	progress func(Progress)
	started  time.Time

	scaler     dataset.Scaler
	twin       [][]nn.Affine // after each step
	watch      nn.Watch
	setup      time.Duration
	laps       [][]netLap // by step, by party
	cpu        time.Duration
	diffs      []float64 // largest difference of a weight from the twin, by step
	state      nn.State
	trained    []nn.Affine
	trainMap   time.Duration // mean local compute of a party in training
	openings   []Opened
	prediction *Prediction

	resumable
}

// PrepareNetwork divides the data and plans. It makes no keys.
func PrepareNetwork(ctx context.Context, cfg NetworkConfig, train, test dataset.Table) (*NetworkSimulation, error) {
	cfg = cfg.withDefaults()
	var v violations
	cfg.check(&v)
	cfg.checkSplit(&v)
	err := errors.Join(v...)
	if err != nil {
		return nil, err
	}
	if test.Rows() == 0 {
		if train, test, err = dataset.Split(train, cfg.TestFraction, cfg.Seed); err != nil {
			return nil, err
		}
	}
	if err := sameColumns(train, test); err != nil {
		return nil, err
	}
	tables, err := dataset.Divide(train, cfg.Parties, cfg.Partition, cfg.Seed)
	if err != nil {
		return nil, err
	}
	net, err := cfg.network(declare(tables))
	if err != nil {
		return nil, err
	}
	plan, err := cfg.plan(ctx, net, played(cfg.Predict))
	if err != nil {
		return nil, err
	}
	saved, beacon, err := openCheckpoint(cfg.Checkpoint)
	if err != nil {
		return nil, err
	}
	t, err := cfg.terms(plan, declare(tables), played(min(cfg.Predict, test.Rows())), beacon)
	if err != nil {
		return nil, err
	}
	s := &NetworkSimulation{terms: t, config: cfg, tables: tables, testing: test, progress: func(Progress) {}, resumable: resumable{saved: saved}}
	if err := s.checkNetPrecision(cfg.MaxOutputNoise); err != nil {
		return nil, err
	}
	scaler, err := s.prep.scaler(train.Moments())
	if err != nil {
		return nil, err
	}
	if err := s.scale(scaler); err != nil {
		return nil, err
	}
	return s, s.restore()
}

// sameColumns refuses a test table that is not like the training table.
func sameColumns(train, test dataset.Table) error {
	if len(test.Y) != len(test.X) {
		return fmt.Errorf("%w: %d test rows and %d labels of them: want one label for each row", ErrConfig, len(test.X), len(test.Y))
	}
	for i, row := range test.X {
		if len(row) != train.Dim() {
			return fmt.Errorf("%w: test row %d has %d columns, the training rows have %d", ErrConfig, i, len(row), train.Dim())
		}
	}
	return nil
}

// checkNetPrecision refuses a study whose predictions would drown in flooding.
func (t *terms) checkNetPrecision(limit float64) error {
	if len(t.policy) == 0 {
		return nil
	}
	noise, err := t.netOutputNoise(t.net)
	if err != nil {
		return err
	}
	if !(noise <= limit) {
		return fmt.Errorf("%w: flooding of %d bits for %d ciphertexts of predictions leaves outputs with a noise of %.2g, more than %.2g: predict fewer rows, train fewer steps, or declare that so much noise will do", ErrConfig, t.cfg.Flooding, t.policy.openings(), noise, limit)
	}
	return nil
}

// Plan returns the plan.
func (s *NetworkSimulation) Plan() *nn.NetworkPlan { return s.net }

// scale makes training data and queries of the tables.
func (s *NetworkSimulation) scale(scaler dataset.Scaler) error {
	s.scaler, s.local = scaler, nil
	for i, t := range s.tables {
		d, err := s.networkData(scaler, t, i)
		if err != nil {
			return err
		}
		s.local = append(s.local, d)
	}
	if _, err := targets(s.net.Net, s.regression, s.testing); err != nil {
		return fmt.Errorf("test rows: %w", err)
	}
	s.query = scaler.Apply(s.testing).X
	return nil
}

// makeParties gives every party its secrets and its place.
func (s *NetworkSimulation) makeParties(log *slog.Logger) error {
	tools, err := newTools(s.terms, s.cfg.Cores)
	if err != nil {
		return err
	}
	tools.pace = newPace(s.cfg.Cores)
	hub := newHub(s.cfg.Parties, s.maxMessage())
	for _, id := range s.tree.Members() {
		p, err := newParty(s.terms, tools, id, s.seedOf(int(id)))
		if err != nil {
			return err
		}
		p.journal = fleeting{protocols.NewMemoryJournal()}
		p.transport, p.watch, p.log = hub.seat(id), strictly, log.With("party", id)
		s.parties = append(s.parties, &netParty{p})
	}
	return nil
}

// all runs f for every party at once.
func (s *NetworkSimulation) all(ctx context.Context, f func(ctx context.Context, p *netParty) error) error {
	return together(ctx, len(s.parties), func(ctx context.Context, i int) error { return f(ctx, s.parties[i]) })
}

// setUp is phase PREPARE at all parties.
func (s *NetworkSimulation) setUp(ctx context.Context) error {
	start := time.Now()
	s.progress(Progress{Phase: "setup", Steps: 1})
	moments := make([]dataset.Moments, len(s.parties))
	err := s.all(ctx, func(ctx context.Context, p *netParty) (err error) {
		if err := p.generateKeys(ctx); err != nil {
			return err
		}
		moments[p.id], err = p.moments(ctx, s.tables[p.id], s.config.Unit == 0)
		return err
	})
	if err != nil {
		return err
	}
	ev := mhe.NewCKKS(s.parties[0].keys, 1) // safe for concurrent use; equal keys
	for _, p := range s.parties {
		p.ev = ev
	}
	what, values := "number of rows and means of the features over all parties", s.tables[0].Dim()+1
	if s.config.Unit == 0 {
		what, values = "number of rows, and means and squares of the features over all parties", 2*s.tables[0].Dim()+1
	}
	s.openings = append(s.openings, Opened{what, "all parties", values, s.cfg.Flooding})
	scaler, err := s.prep.scaler(moments[0])
	if err != nil {
		return err
	}
	same := closeTo(scaler, s.scaler)
	if err := s.scale(scaler); err != nil {
		return err
	}
	if !same { // the twin has seen other data
		if err := s.runTwin(ctx); err != nil {
			return err
		}
	}
	s.setup = time.Since(start)
	s.progress(Progress{"setup", 1, 1, s.setup})
	return nil
}

// closeTo reports whether two scalers differ by rounding only.
func closeTo(a, b dataset.Scaler) bool {
	for j := range a.Mean {
		if math.Abs(a.Mean[j]-b.Mean[j]) > 1e-10*b.Std[j] || math.Abs(a.Std[j]-b.Std[j]) > 1e-10*b.Std[j] {
			return false
		}
	}
	return true
}

// train runs all steps at all parties, step by step: parties wait for each other
// anyway.
func (s *NetworkSimulation) train(ctx context.Context) error {
	steps := s.net.Net.Steps
	states := make([]nn.State, len(s.parties))
	state, done, elapsed, err := s.resume()
	if err != nil {
		return err
	}
	for i := range states {
		states[i] = state // public, and tensors are immutable
	}
	s.progress(Progress{"train", done, steps, elapsed})
	start := time.Now().Add(-elapsed) // with that of the steps done
	for k := done; k < steps; k++ {
		cpu := processTime()
		s.laps = append(s.laps, make([]netLap, len(s.parties)))
		err := s.all(ctx, func(ctx context.Context, p *netParty) error {
			lap, err := s.step(ctx, p, k, &states[p.id])
			s.laps[k][p.id] = lap
			return err
		})
		if err != nil {
			return fmt.Errorf("study: step %d: %w", k+1, err)
		}
		s.cpu += processTime() - cpu
		if err := s.agree(k+1, states); err != nil {
			return err
		}
		if err := s.compareStep(k, states[0]); err != nil {
			return err
		}
		if err := s.save(k+1, states[0], time.Since(start), s.cpu); err != nil {
			return err
		}
		s.progress(Progress{"train", k + 1, steps, time.Since(start)})
	}
	s.trainMap = s.spent(phaseMap)
	s.state = states[0]
	return nil
}

// step is one step of one party.
func (s *NetworkSimulation) step(ctx context.Context, p *netParty, k int, st *nn.State) (netLap, error) {
	before := p.snapshot()
	next, err := p.train(ctx, k, *st, s.local[p.id])
	if err != nil {
		return netLap{}, err
	}
	*st = next
	now := p.snapshot()
	return netLap{
		local: now[phaseMap] - before[phaseMap], refresh: now[phaseRefresh] - before[phaseRefresh],
		combine: now[phaseCombine] - before[phaseCombine], reduce: now[phaseReduce] - before[phaseReduce],
	}, nil
}
