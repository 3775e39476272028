package study

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"math"
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
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
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

// prepare divides the data, plans, and runs the clear twin on data standardised
// as the parties are going to.
func prepare(cfg Config, data dataset.Table) (*simulation, error) {
	train, test, err := dataset.Split(data, cfg.TestFraction, cfg.Seed)
	if err != nil {
		return nil, err
	}
	tables, err := dataset.Divide(train, cfg.Parties, cfg.Partition, cfg.Seed)
	if err != nil {
		return nil, err
	}
	plan, err := makePlan(cfg, tables, test)
	if err != nil {
		return nil, err
	}
	var beacon [32]byte
	_, _ = rand.Read(beacon[:])
	queries := (test.Rows() + plan.Queries() - 1) / plan.Queries()
	t, err := newTerms(cfg, plan, policy{querierName, queries, test.Rows()}, beacon)
	if err != nil {
		return nil, err
	}
	s := &simulation{terms: t, tables: tables, test: test}
	if err := s.checkPrecision(); err != nil {
		return nil, err
	}
	scaler, err := train.Moments().Scaler(cfg.Clip)
	if err != nil {
		return nil, err
	}
	if err := s.standardise(scaler); err != nil {
		return nil, err
	}
	s.twin, err = nn.Twin(plan, s.local)
	return s, err
}

// maxOutputNoise is the largest standard deviation of opened outputs, relative
// to the size of what they decide, with which a study starts.
const maxOutputNoise = 0.1

// outputNoise returns the planned standard deviation of an opened output.
func (s *simulation) outputNoise() (float64, error) {
	o, err := s.opening(1)
	if err != nil {
		return 0, err
	}
	return mhe.NewNoise(s.plan.Set).Opened(s.plan.OutputErr, o.Sigma, s.plan.OutputScale), nil
}

// checkPrecision refuses a study whose predictions would drown in flooding.
func (s *simulation) checkPrecision() error {
	noise, err := s.outputNoise()
	if err != nil {
		return err
	}
	if noise > maxOutputNoise*s.plan.Model.MaxTarget {
		return fmt.Errorf("%w: flooding of %d bits for %d openings leaves predictions with a noise of %.2g, more than %.2g: ask for fewer bits of flooding, fewer test rows, or a lower degree", ErrConfig, s.cfg.Flooding, s.policy.ciphertexts, noise, maxOutputNoise*s.plan.Model.MaxTarget)
	}
	return nil
}

// makePlan describes the model and compiles it.
func makePlan(cfg Config, tables []dataset.Table, test dataset.Table) (*nn.Plan, error) {
	loss, err := cfg.loss()
	if err != nil {
		return nil, err
	}
	m := nn.Model{
		Features: tables[0].Dim() + 1, Loss: loss, SGD: cfg.SGD,
		MaxFeature: math.Max(cfg.Clip, 1), MaxTarget: 1,
	}
	if cfg.Regression && cfg.MaxTarget > 0 {
		m.MaxTarget = cfg.MaxTarget
	} else if cfg.Regression {
		m.MaxTarget = 0
		for _, t := range append(slices.Clone(tables), test) {
			for _, y := range t.Y {
				m.MaxTarget = math.Max(m.MaxTarget, math.Abs(y))
			}
		}
	}
	fit := func(rows int) (nn.Plan, error) {
		steps := 1
		m.Batch = make([]int, len(tables))
		for i, t := range tables {
			m.Batch[i] = min(rows, t.Rows())
			steps = max(steps, (t.Rows()+m.Batch[i]-1)/m.Batch[i])
		}
		m.Steps = cfg.Epochs * steps
		if cfg.Insecure {
			return nn.FitInsecure(m)
		}
		return nn.Fit(m, cfg.Quantum)
	}
	rows := cfg.Batch
	if rows == 0 { // as many as fit beside the features in one ciphertext
		p, err := fit(1)
		if err != nil {
			return nil, err
		}
		rows = p.MaxBatch()
	}
	p, err := fit(rows)
	return &p, err
}

// standardise makes training data and queries of the tables.
func (s *simulation) standardise(scaler dataset.Scaler) error {
	s.local = nil
	for i, t := range s.tables {
		if err := scaler.Check(t); err != nil {
			return err
		}
		t = scaler.Apply(t)
		sampler, err := nn.NewSampler(t.Rows(), s.plan.Model.Batch[i], s.cfg.Seed, i)
		if err != nil {
			return err
		}
		s.local = append(s.local, nn.Data{X: withBias(t.X), Y: t.Y, Sampler: sampler})
	}
	s.query = withBias(scaler.Apply(s.test).X)
	return nil
}

// withBias appends a feature of ones.
func withBias(x [][]float64) [][]float64 {
	out := make([][]float64, len(x))
	for i, row := range x {
		out[i] = append(slices.Clone(row), 1)
	}
	return out
}

// makeParties gives every party its secrets and its place.
func (s *simulation) makeParties(log *slog.Logger) error {
	enc := mhe.NewEncoder(s.plan.Set)
	refresh, err := s.plan.Refresh(enc)
	if err != nil {
		return err
	}
	hub := newHub(s.cfg.Parties, s.plan.Keys.Shape1(s.plan.Set).Size()+1<<16)
	cores, made := make(chan struct{}, s.cfg.Cores), &keyCache{keys: map[[64]byte]*mhe.PublicKeys{}}
	for _, id := range s.tree.Members() {
		p := &party{
			terms: s.terms, id: id, seed: protocols.GenerateSeed(), journal: protocols.NewMemoryJournal(),
			ledger: protocols.NewLedger(map[string]int{s.policy.querier: s.policy.ciphertexts}),
			rows:   protocols.NewLedger(map[string]int{s.policy.querier: s.policy.rows}), log: log.With("party", id),
			enc: enc, refresh: refresh, hub: hub, cores: cores, made: made,
			spent: map[string]time.Duration{}, sent: map[string]int64{},
		}
		secret := protocols.Label{Point: s.point("secret", 0, "")}.Private(p.seed)
		if p.sk, err = mhe.NewSecretKey(s.plan.Set, secret); err != nil {
			return err
		}
		s.parties = append(s.parties, p)
	}
	return nil
}

// querierName is the querier of a simulated study.
const querierName = "querier"

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
	q, err := newQuerier(s.terms, root.enc, seed)
	if err != nil {
		return err
	}
	pin, err := q.key.Hash()
	if err != nil {
		return err
	}
	for _, p := range s.parties {
		p.querier = pin
	}
	part := 0
	for rows := range slices.Chunk(s.query, maxCiphertexts*s.plan.Queries()) {
		ask, err := q.encrypt(root.keys.Encryption(), rows, seed, part)
		if err != nil {
			return err
		}
		var answers []mhe.Tensor
		err = s.all(ctx, func(ctx context.Context, p *party) error {
			a, err := p.predict(ctx, p.weights, ask, part)
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

// maxCiphertexts bounds the ciphertexts of one query, and with them the size of
// a message.
const maxCiphertexts = 8

// verify opens the weights with all secrets, which only a simulation holds.
func (s *simulation) verify() ([]float64, error) {
	var secrets []mhe.SecretKey
	for _, p := range s.parties {
		secrets = append(secrets, p.sk)
	}
	slots, err := mhe.Reveal(s.parties[0].enc, s.parties[0].weights, secrets...)
	if err != nil {
		return nil, err
	}
	return s.plan.Dense.Dot.Read(slots), nil
}

// report compares the encrypted run with the clear ones.
func (s *simulation) report() (Report, error) {
	weights, err := s.verify()
	if err != nil {
		return Report{}, fmt.Errorf("study: verification: %w", err)
	}
	// The parties standardised with what they opened; the twin repeats that.
	if s.twin, err = nn.Twin(s.plan, s.local); err != nil {
		return Report{}, err
	}
	m := s.plan.Model
	r := Report{
		Parties: s.cfg.Parties, Fanout: s.cfg.Fanout, Depth: s.tree.Depth(),
		Test: s.test.Rows(), Features: m.Features - 1, Iterations: m.Steps, Refreshes: 1,
		Crypto:   cryptoOf(s.plan.Set, s.parties[0].keys.GaloisKeys(), s.cfg.Flooding),
		Openings: s.openings,
	}
	for _, t := range s.tables {
		r.Train += t.Rows()
	}
	r.Samples = r.Train + r.Test
	if err := s.compare(&r, weights); err != nil {
		return Report{}, err
	}
	s.times(&r)
	return r, nil
}

// compare fills in accuracies and differences.
func (s *simulation) compare(r *Report, weights []float64) error {
	score := func(z []float64) float64 { return nn.Accuracy(z, s.test.Y) }
	if s.cfg.Regression {
		score = func(z []float64) float64 { return rmse(z, s.test.Y) }
	}
	clear := outputs(s.twin.Weights, s.query)
	a := &Accuracy{
		Encrypted: score(s.opened), ClearTwin: score(clear),
		Exact: score(outputs(nn.Exact(s.plan.Model, s.local...), s.query)),
	}
	for _, d := range s.local {
		a.LocalOnly += score(outputs(nn.Exact(s.plan.Model, d), s.query)) / float64(len(s.local))
	}
	if r.Accuracy = a; s.cfg.Regression {
		r.Accuracy, r.RMSE = nil, a
	}
	r.MaxWeightDiff = maxDiff(weights, s.twin.Weights)
	plan, err := s.outputNoise()
	if err != nil {
		return err
	}
	r.Verification = Verification{
		Note:      "a simulation holds all shares and opens the weights to check them; separate parties cannot",
		MaxWeight: s.twin.MaxWeight, MaxOutput: s.twin.MaxOutput,
		MaxOutputDiff: maxDiff(s.opened, clear),
		WeightErr:     rmse(weights, s.twin.Weights), WeightErrPlan: s.plan.WeightErr,
		OutputNoise: rmse(s.opened, outputs(weights, s.query)), OutputNoisePlan: plan,
	}
	return nil
}

func rmse(x, y []float64) float64 {
	sum := 0.0
	for i := range x {
		sum += (x[i] - y[i]) * (x[i] - y[i])
	}
	return math.Sqrt(sum / float64(max(1, len(x))))
}

func maxDiff(x, y []float64) float64 {
	d := 0.0
	for i := range x {
		d = math.Max(d, math.Abs(x[i]-y[i]))
	}
	return d
}

// times fills in seconds and bytes.
func (s *simulation) times(r *Report) {
	var perParty, walls []time.Duration
	set := s.plan.Set
	in, top := s.parties[0].refresh.InputShape().Size(), mhe.Shape{mhe.Basis(set, set.MaxLevel())}.Size()
	gradient, share := mhe.CipherShape(set, s.plan.GradLevel).Size(), s.parties[0].refresh.Shape().Size()
	for _, laps := range s.laps {
		for _, l := range laps {
			perParty = append(perParty, l.total())
		}
		walls = append(walls, s.wallModel(laps, gradient, in, share, top))
	}
	seconds, bytes := phases(s.parties)
	r.Seconds = Seconds{
		Setup: s.setup.Seconds(), IterationPartyP50: median(perParty).Seconds(),
		IterationWallModel: median(walls).Seconds(), TrainingWallModel: median(walls).Seconds() * float64(len(walls)),
		Prediction: s.prediction.Seconds(), Total: time.Since(s.started).Seconds(), PartyPhase: seconds,
	}
	r.Bytes = Bytes{SetupParty: bytes[phaseSetup], PartyPhase: bytes}
	for _, p := range s.parties {
		r.Bytes.IterationParty = max(r.Bytes.IterationParty, (p.sent[phaseCombine]+p.sent[phaseReduce])/int64(len(s.laps)))
	}
}
