package nn

import (
	"context"
	"fmt"
	"math"
	"math/big"

	"github.com/nereid-mhe/nereid/mhe"
)

// NetworkData is one party's rows in the clear, and the order in which training
// takes them.
type NetworkData struct {
	X, Y    [][]float64 // features without the bias; targets by output
	Sampler Sampler
}

// Batch returns the rows and targets of a step.
func (d NetworkData) Batch(step int) (x, y [][]float64) {
	for _, i := range d.Sampler.Rows(step) {
		x, y = append(x, d.X[i]), append(y, d.Y[i])
	}
	return x, y
}

// A Watch holds the largest values that a run met.
type Watch struct {
	Points     []float64 // entering each refresh point
	Parameters []float64 // summed gradients of each parameter
	MaxWeight  float64
}

// A NetworkTwin is the clear twin of a study's encrypted training: the same
// evaluator code, polynomials, batches and maps, on floats. It needs everybody's
// data, so that only simulations can run it on the data of a study; a party runs
// it on its own or on synthetic data to see whether a plan trains.
type NetworkTwin struct {
	p     *NetworkPlan
	data  []NetworkData
	ev    mhe.Evaluator
	state State
	step  int
	watch Watch
}

// NewNetworkTwin returns the twin before the first step.
func NewNetworkTwin(p *NetworkPlan, data []NetworkData) (*NetworkTwin, error) {
	if len(data) != p.Net.Parties {
		return nil, fmt.Errorf("%w: data of %d parties for a plan of %d", ErrModel, len(data), p.Net.Parties)
	}
	t := &NetworkTwin{p: p, data: data, ev: mhe.NewClear(p.Set), watch: Watch{
		Points: make([]float64, len(p.Points)), Parameters: make([]float64, len(p.Parameters)),
	}}
	var err error
	t.state, err = p.initial(func(v []float64, level int, scale *big.Float) (mhe.Tensor, error) {
		return mhe.ClearTensor(v, level, scale), nil
	})
	return t, err
}

// Step trains one step, up to workers parties at once. It returns an error
// wrapping [ErrModel] as soon as values leave what activations and masks are made
// for: the encrypted run would overflow without a sign.
func (t *NetworkTwin) Step(ctx context.Context, workers int) error {
	sums := make([][][]float64, len(t.p.Parameters))
	slots := make(chan struct{}, max(1, workers))
	results := make([]chan partial, len(t.data))
	for i := range results {
		results[i] = make(chan partial, 1)
	}
	go func() { // a party's slot is free when its part is added: few are in memory
		for i := range t.data {
			slots <- struct{}{}
			go func() {
				g, seen, err := t.gradient(i)
				results[i] <- partial{g, seen, err}
			}()
		}
	}()
	var failed error
	for i, c := range results { // in their order, so that rounding is the same every time
		r := <-c
		<-slots
		if r.err != nil && failed == nil {
			failed = fmt.Errorf("party %d: %w", i, r.err)
		}
		if failed != nil {
			continue
		}
		for k, v := range r.seen {
			t.watch.Points[k] = math.Max(t.watch.Points[k], v)
		}
		addAll(sums, r.g)
	}
	if failed != nil {
		return failed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := t.update(sums); err != nil {
		return err
	}
	t.step++
	return t.guard()
}

// A partial is what one party adds to a step of the twin.
type partial struct {
	g    [][]mhe.Tensor
	seen []float64
	err  error
}

// addAll adds the slots of g to sums.
func addAll(sums [][][]float64, g [][]mhe.Tensor) {
	for k := range g {
		if sums[k] == nil {
			sums[k] = make([][]float64, len(g[k]))
		}
		for c, x := range g[k] {
			if sums[k][c] == nil {
				sums[k][c] = make([]float64, len(x.Values()))
			}
			for s, v := range x.Values() {
				sums[k][c][s] += v
			}
		}
	}
}

// gradient returns a party's gradients and the largest values at its points.
func (t *NetworkTwin) gradient(party int) (g [][]mhe.Tensor, seen []float64, err error) {
	seen = make([]float64, len(t.p.Points))
	x, y := t.data[party].Batch(t.step)
	b, err := t.p.NetworkBatch(x, y)
	if err != nil {
		return nil, nil, err
	}
	g, err = t.p.gradients(t.ev, b, func(int) *pass {
		return &pass{
			p: t.p, ev: t.ev,
			refresh: func(point int, x mhe.Tensor) (mhe.Tensor, error) {
				r := t.p.Points[point]
				out := r.Map.Apply(x.Values())
				seen[point] = max(seen[point], maxAbs(x.Values()), maxAbs(out))
				return mhe.ClearTensor(out, r.Out, r.Scale), nil
			},
			weights: func(param, _ int, _ mhe.Tensor) []mhe.Tensor { return t.state.W[param] },
		}
	})
	return g, seen, err
}

func maxAbs(v []float64) float64 {
	m := 0.0
	for _, x := range v {
		m = math.Max(m, math.Abs(x))
	}
	return m
}

// update applies the summed gradients.
func (t *NetworkTwin) update(sums [][][]float64) error {
	p := t.p
	u := make([][]mhe.Tensor, len(sums))
	for i, cts := range sums {
		q := p.Parameters[i]
		part := Part{Parameter: i, Hi: q.Count}
		var g []mhe.Tensor
		for _, v := range cts {
			g = append(g, mhe.ClearTensor(v, q.GradLevel, q.GradScale))
		}
		g, err := p.combine(t.ev, t.state, t.step, part, g)
		if err != nil {
			return err
		}
		c := p.UpdateConfig(part, t.step)
		var in [][]float64
		for _, x := range g {
			t.watch.Parameters[i] = math.Max(t.watch.Parameters[i], maxAbs(x.Values()))
			in = append(in, x.Values())
		}
		for _, v := range c.Apply(in) {
			u[i] = append(u[i], mhe.ClearTensor(v, c.Out, c.ScaleOut))
		}
	}
	var err error
	t.state, err = p.apply(t.ev, t.state, u)
	for _, cts := range t.state.W {
		for _, w := range cts {
			t.watch.MaxWeight = math.Max(t.watch.MaxWeight, maxAbs(w.Values()))
		}
	}
	return err
}

// guard compares what the run met with what activations and masks are made for.
func (t *NetworkTwin) guard() error {
	p, n := t.p, t.p.Net
	rate := n.Optimiser.Rate
	for l := range n.layers() {
		bound, what := n.Loss.bound, "outputs"
		if l < len(n.Hidden) {
			bound, what = n.Hidden[l].Activation.Bound(), fmt.Sprintf("arguments of the activation of layer %d", l+1)
		}
		if got := t.watch.Points[n.forwardPoint(l)]; !(got <= activationSlack*bound) {
			return fmt.Errorf("%w: in step %d of the clear twin the %s reach %.3g, the interval is [-%g, %g] and %g times it is allowed: lower the learning rate (%g; %.2g may do), start with smaller weights, or widen the interval",
				ErrModel, t.step, what, got, bound, bound, activationSlack, rate, rate/2)
		}
	}
	for i, got := range t.watch.Points {
		if p.Points[i].Skipped {
			continue
		}
		if room := p.Room(p.Points[i].Scale); !(got <= room) {
			return fmt.Errorf("%w: in step %d of the clear twin a value of %.3g enters the refresh %q, the masks are made for %.3g: lower the learning rate (%g)", ErrModel, t.step, got, p.Points[i].Name, room, rate)
		}
	}
	for i, got := range t.watch.Parameters {
		if room := p.Room(p.Parameters[i].GradScale); !(got <= room) {
			return fmt.Errorf("%w: in step %d of the clear twin a summed gradient of %s is %.3g, the masks are made for %.3g: lower the learning rate (%g) or the batch (%d)", ErrModel, t.step, p.Parameters[i].Name, got, room, rate, n.Batch)
		}
	}
	if t.watch.MaxWeight > largeWeight {
		return fmt.Errorf("%w: in step %d a weight of the clear twin reaches %.3g, at most %d is planned for: lower the learning rate (%g) or raise L2 (%g)", ErrModel, t.step, t.watch.MaxWeight, largeWeight, rate, n.Optimiser.L2)
	}
	return nil
}

// activationSlack is how far beyond their interval arguments of activations may
// go, as a factor.
const activationSlack = 4.0

// Watch returns the largest values so far.
func (t *NetworkTwin) Watch() Watch { return t.watch }

// State returns the model in the plan's layout.
func (t *NetworkTwin) State() State { return t.state }

// Weights returns the model.
func (t *NetworkTwin) Weights() []Affine {
	slots := make([][][]float64, len(t.state.W))
	for i, cts := range t.state.W {
		for _, w := range cts {
			slots[i] = append(slots[i], w.Values())
		}
	}
	return t.p.Read(slots)
}
