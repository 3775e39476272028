package study

import (
	"fmt"
	"math"
	"time"

	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/nn"
)

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
		Test: s.test.Rows(), Features: m.Features - 1, Iterations: m.Steps, Refreshes: s.parties[0].refreshes / m.Steps,
		Crypto:   cryptoOf(s.set, s.parties[0].keys.GaloisKeys(), s.cfg.Flooding),
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
	if s.glm.Regression {
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
	if r.Accuracy = a; s.glm.Regression {
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
	set := s.set
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
