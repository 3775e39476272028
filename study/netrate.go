package study

import (
	"context"
	"fmt"

	"github.com/nereid-mhe/nereid/nn"
)

// A RateError reports that the clear twin left what the plan is made for, and
// that it stays inside with a lower learning rate. No key was made.
type RateError struct {
	Err  error   // of the twin
	Rate float64 // that works
}

func (e *RateError) Error() string {
	return fmt.Sprintf("%v: a learning rate of %g works", e.Err, e.Rate)
}

func (e *RateError) Unwrap() error { return e.Err }

// rateHalvings is how often the learning rate is halved in search of one that
// works.
const rateHalvings = 6

// suggestRate looks for a lower learning rate after an error of the clear twin. It
// returns a [RateError], or err if no rate works.
func (s *NetworkSimulation) suggestRate(ctx context.Context, err error) error {
	rate := s.net.Net.Optimiser.Rate
	for k := range rateHalvings {
		rate /= 2
		s.progress(Progress{Phase: "learning rate", Step: k, Steps: rateHalvings})
		if s.trains(ctx, rate) {
			return &RateError{err, rate}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return err
}

// trains reports whether the clear twin gets through all steps at a learning rate.
func (s *NetworkSimulation) trains(ctx context.Context, rate float64) bool {
	n := s.net.Net
	n.Optimiser.Rate = rate
	plan, err := nn.CompileNetwork(s.set, n, s.net.Layout)
	if err != nil {
		return false
	}
	twin, err := nn.NewNetworkTwin(plan, s.local)
	for k := 0; err == nil && k < n.Steps; k++ {
		err = twin.Step(ctx, s.cfg.Cores)
	}
	return err == nil
}
