package nn

import (
	"errors"
	"fmt"
	"math"

	"github.com/nereid-mhe/nereid/internal/portable"
)

// An Optimiser is stochastic gradient descent on the mean gradient g over the
// parties' batches, with momentum:
//
//	V ← μ·V + η_k·(g + L2·W)
//	W ← W - V                         heavy ball
//	W ← W - (V + μ·(V - V_before))    Nesterov
//
// All of it is linear and costs no level: η_k is in the slot map of the gradient's
// refresh, and μ·V and L2·W go through the same refresh. Biases are not decayed.
type Optimiser struct {
	Rate     float64   // learning rate
	Layers   []float64 // factors of the rate by layer; nil for 1
	Momentum float64   // μ in [0, 1)
	Nesterov bool
	L2       float64
	Schedule Schedule
}

// A Schedule changes the learning rate over the steps. The zero value keeps it.
type Schedule struct {
	Warmup int     // steps over which the rate rises linearly to its value
	Decay  float64 // of the rate, per step: divided by 1 + Decay·k
	Power  float64 // the rate falls as (1 - k/steps)^Power; 0 for not, 1 for linearly
}

// factor returns η_k/Rate for step k of n, the same bits at every party.
func (s Schedule) factor(k, n int) float64 {
	f := portable.Pow(1-float64(k)/float64(n), s.Power) / (1 + float64(s.Decay*float64(k)))
	if k < s.Warmup {
		f *= float64(k+1) / float64(s.Warmup+1)
	}
	return f
}

// rate returns η_k of a layer.
func (o Optimiser) rate(layer, step, steps int) float64 {
	r := o.Rate * o.Schedule.factor(step, steps)
	if len(o.Layers) > 0 {
		r *= o.Layers[layer]
	}
	return r
}

func (o Optimiser) check(layers int) error {
	var errs []error
	must := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("%w: "+format, append([]any{ErrModel}, args...)...))
		}
	}
	finite := func(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }
	must(o.Rate > 0 && finite(o.Rate), "learning rate %g, want a positive number", o.Rate)
	must(len(o.Layers) == 0 || len(o.Layers) == layers, "%d rates of layers for %d layers", len(o.Layers), layers)
	for i, r := range o.Layers {
		must(r > 0 && finite(r), "factor %g of the rate of layer %d, want a positive number", r, i+1)
	}
	must(o.Momentum >= 0 && o.Momentum < 1, "momentum %g, want 0 or more and less than 1", o.Momentum)
	must(!o.Nesterov || o.Momentum > 0, "Nesterov's method without momentum")
	must(o.L2 >= 0 && finite(o.L2), "L2 %g, want 0 or more", o.L2)
	s := o.Schedule
	must(s.Warmup >= 0, "a warm-up of %d steps", s.Warmup)
	must(s.Decay >= 0 && finite(s.Decay), "decay %g, want 0 or more", s.Decay)
	must(s.Power >= 0 && finite(s.Power), "a rate that falls with power %g, want 0 or more", s.Power)
	return errors.Join(errs...)
}
