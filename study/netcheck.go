package study

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/nereid-mhe/nereid/dataset"
	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/nn"
)

// What follows checks a simulation, which has all rows and all secrets.

// runTwin trains the clear twin and keeps its weights after every step.
func (s *NetworkSimulation) runTwin(ctx context.Context) error {
	twin, err := nn.NewNetworkTwin(s.net, s.local)
	if err != nil {
		return err
	}
	s.twin = nil
	start := time.Now()
	for k := range s.net.Net.Steps {
		if err := twin.Step(ctx, s.cfg.Cores); err != nil {
			return err
		}
		s.twin = append(s.twin, twin.Weights())
		s.progress(Progress{"clear twin", k + 1, s.net.Net.Steps, time.Since(start)})
	}
	s.watch = twin.Watch()
	return nil
}

// agree checks that all parties have the same weights after so many steps, and lets
// them have them in the same memory.
func (s *NetworkSimulation) agree(steps int, states []nn.State) error {
	for i, p := range s.parties {
		if p.chain != s.parties[0].chain {
			return fmt.Errorf("study: after step %d party %d has other weights than party 0", steps, p.id)
		}
		states[i] = states[0]
	}
	return nil
}

// compareStep opens the weights with all secrets, which only a simulation holds,
// and holds them against the twin.
func (s *NetworkSimulation) compareStep(k int, st nn.State) error {
	w, err := s.reveal(st)
	if err != nil {
		return err
	}
	s.trained = w
	s.diffs = append(s.diffs, maxModelDiff(w, s.twin[k]))
	return nil
}

func (s *NetworkSimulation) reveal(st nn.State) ([]nn.Affine, error) {
	var secrets []mhe.SecretKey
	for _, p := range s.parties {
		secrets = append(secrets, p.sk)
	}
	slots := make([][][]float64, len(st.W))
	for i, cts := range st.W {
		for _, c := range cts {
			v, err := mhe.Reveal(s.parties[0].enc, c, secrets...)
			if err != nil {
				return nil, fmt.Errorf("study: verification: %w", err)
			}
			slots[i] = append(slots[i], v)
		}
	}
	return s.net.Read(slots), nil
}

func maxModelDiff(a, b []nn.Affine) float64 {
	d := 0.0
	for l := range a {
		d = math.Max(d, maxDiff(a[l].B, b[l].B))
		for k := range a[l].W {
			d = math.Max(d, maxDiff(a[l].W[k], b[l].W[k]))
		}
	}
	return d
}

// ClearAccuracy trains the network of a study in the clear, with its polynomials,
// and returns the fraction of right classes on the test rows: what a study with
// this seed would reach.
func ClearAccuracy(cfg NetworkConfig, train, test dataset.Table) (float64, error) {
	cfg.Predict, cfg.Checkpoint = 0, ""
	cfg.Layout = nn.Layout{NoRefresh: make([]bool, 2*len(cfg.Hidden)+1)} // any will do
	s, err := PrepareNetwork(context.Background(), cfg, train, test)
	if err != nil {
		return 0, err
	}
	return s.accuracy(nn.TrainExact(s.net.Net, false, s.local...), false), nil
}
