package study

import (
	"crypto/rand"
	"fmt"
	"math"
	"slices"

	"github.com/nereid-mhe/nereid/dataset"
	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/nn"
)

// prepare divides the data, plans, and runs the clear twin on data standardised
// as the parties are going to.
func prepare(cfg Config, data dataset.Table) (*simulation, error) {
	train, test, err := dataset.Split(data, cfg.TestFraction, cfg.Seed)
	if err != nil {
		return nil, err
	}
	if n := cfg.Predict; n > 0 && n < test.Rows() {
		test = dataset.Table{Features: test.Features, X: test.X[:n], Y: test.Y[:n]} // they are shuffled
	}
	tables, err := dataset.Divide(train, cfg.Parties, cfg.Partition, cfg.Seed)
	if err != nil {
		return nil, err
	}
	if cfg.Regression && cfg.MaxTarget == 0 {
		for _, t := range append(slices.Clone(tables), test) {
			for _, y := range t.Y {
				cfg.MaxTarget = math.Max(cfg.MaxTarget, math.Abs(y))
			}
		}
	}
	var beacon [32]byte
	_, _ = rand.Read(beacon[:])
	t, err := cfg.Terms(declare(tables), Policy{{Querier: querierName, Rows: test.Rows()}}, beacon)
	if err != nil {
		return nil, err
	}
	s := &simulation{terms: t.terms, glm: cfg, tables: tables, test: test}
	scaler, err := train.Moments().Scaler(cfg.Clip)
	if err != nil {
		return nil, err
	}
	if err := s.standardise(scaler); err != nil {
		return nil, err
	}
	s.twin, err = nn.Twin(s.plan, s.local)
	return s, err
}

// outputNoise returns the planned standard deviation of an opened output.
func (t *terms) outputNoise() (float64, error) {
	o, err := t.opening(1)
	if err != nil {
		return 0, err
	}
	return mhe.NewNoise(t.set).Opened(t.plan.OutputErr, o.Sigma, t.plan.OutputScale), nil
}

// checkPrecision refuses a study whose predictions would drown in flooding. A limit
// of 0 is that of [Config.MaxOutputNoise].
func (t *terms) checkPrecision(limit float64) error {
	if len(t.policy) == 0 {
		return nil
	}
	noise, err := t.outputNoise()
	if err != nil {
		return err
	}
	if limit == 0 {
		limit = nn.DefaultOutputNoise * t.plan.Model.MaxTarget
	}
	if noise > limit {
		return fmt.Errorf("%w: flooding of %d bits for %d openings leaves predictions with a noise of %.2g, more than %.2g: ask for fewer bits of flooding, fewer test rows, or a lower degree", ErrConfig, t.cfg.Flooding, t.policy.openings(), noise, limit)
	}
	return nil
}

// makePlan describes the model and compiles it.
func makePlan(cfg Config, d Declared) (*nn.Plan, error) {
	loss, err := cfg.loss()
	if err != nil {
		return nil, err
	}
	m := nn.Model{
		Features: d.Features + 1, Loss: loss, SGD: cfg.SGD,
		MaxFeature: math.Max(cfg.Clip, 1), MaxTarget: 1,
	}
	if cfg.Regression {
		m.MaxTarget = cfg.MaxTarget
	}
	fit := func(rows int) (nn.Plan, error) {
		steps := 1
		m.Batch = make([]int, len(d.Rows))
		for i, has := range d.Rows {
			m.Batch[i] = min(rows, has)
			steps = max(steps, (has+m.Batch[i]-1)/m.Batch[i])
		}
		if m.Steps = cfg.Steps; m.Steps == 0 {
			m.Steps = cfg.Epochs * steps
		}
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
		d, err := s.regressionData(scaler, t, i)
		if err != nil {
			return err
		}
		s.local = append(s.local, d)
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
