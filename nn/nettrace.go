package nn

import (
	"fmt"
	"math"
	"math/big"

	"github.com/nereid-mhe/nereid/mhe"
)

// trace fills in what a run on estimates shows: scales, levels, keys, operations,
// errors. Weights are taken to be fresh: training corrects what errors of earlier
// steps do to a gradient.
func (p *NetworkPlan) trace() error {
	tr, ev := mhe.NewTrace(p.Set)
	t := &tracing{p: p, ev: ev}
	s := &pass{p: p, ev: ev, refresh: t.refresh, weights: t.weights}
	batch, err := t.batch()
	if err != nil {
		return err
	}
	grads, err := s.run(batch)
	if err != nil {
		return err
	}
	p.Count = tr.Count
	if err := t.updates(grads); err != nil {
		return err
	}
	p.Keys = tr.Keys()
	if p.Layout.Predict {
		return p.planQuery(tr, ev)
	}
	return nil
}

// A tracing is a run on estimates: it chooses scales and notes what it sees.
type tracing struct {
	p  *NetworkPlan
	ev mhe.Evaluator
}

// batch stands for standardised rows in their layout.
func (t *tracing) batch() (NetworkBatch, error) {
	p, n := t.p, t.p.Net
	y := &p.layers[0]
	q := &p.Parameters[y.weights]
	t.declare(y.weights, y.forward)
	q.Scale = mhe.Power(p.Set.LogScale())
	y.xScale = mhe.PlainScale(p.Set, mhe.TracedTensor(mhe.Range{}, y.forward, q.Scale), p.zScale(0))
	used := float64(p.Rows) / float64(p.Grid.Block)
	x := mhe.UnknownData(y.input.Ciphertexts()*y.input.Window, p.Grid.Block, y.xScale, mhe.Range{Max: n.MaxFeature, RMS: math.Sqrt(used)})
	return NetworkBatch{x, mhe.Unknown(mhe.Range{Max: n.MaxTarget, RMS: math.Sqrt(used) / 2})}, nil
}

// declare sets the level of a parameter.
func (t *tracing) declare(param, level int) {
	q := &t.p.Parameters[param]
	q.Level = max(level, working(t.p.Set))
	if t.p.Net.Optimiser.Nesterov { // one level for the product with μ
		q.Level++
	}
}

// weights implements the pass: the weights of an inner layer have the scale at
// which its outputs come as they should, a bias that of what it is added to.
func (t *tracing) weights(param int, x mhe.Tensor) []mhe.Tensor {
	p := t.p
	q := &p.Parameters[param]
	y := p.layers[q.Layer]
	gain := p.Net.gain(q.Layer)
	r := mhe.Range{Max: largeWeight, RMS: math.Sqrt(gain / float64(p.Net.inputs(q.Layer)))}
	switch {
	case q.Bias:
		t.declare(param, x.Level())
		q.Scale, r.RMS = x.Scale(), 0.1
	case q.Layer > 0:
		t.declare(param, max(y.forward, y.backward))
		q.Scale = mhe.PlainScale(p.Set, x, p.zScale(q.Layer))
	}
	r.Err = mhe.NewNoise(p.Set).Rescale(q.Scale)
	out := make([]mhe.Tensor, q.Count)
	for i := range out {
		out[i] = mhe.TracedTensor(r, p.weightLevel(*q), q.Scale)
	}
	return out
}

// refresh notes a point and returns what comes out of it. Values are taken to be
// within what the masks are made for: the clear twin guards that.
func (t *tracing) refresh(point int, x mhe.Tensor) (mhe.Tensor, error) {
	p := t.p
	r := &p.Points[point]
	r.In, r.Scale, r.Out = x.Level(), x.Scale(), p.outLevel(point)
	if point == p.Net.forwardPoint(0) {
		p.zTraced = x.Scale()
	}
	if point == p.Net.forwardPoint(len(p.layers)-1) {
		p.zLast = x.Scale()
	}
	in := x.Range()
	in.Max = min(in.Max, p.Room(r.Scale))
	in.Err = math.Hypot(in.Err, mhe.NewNoise(p.Set).Encrypt(r.Scale)) // a tensor of the party's own is rerandomised
	r.Range = in
	out, err := p.PointConfig(point).Range(p.Set, in)
	if err != nil {
		return x, err
	}
	if out.RMS > 1 { // activations and gradients of a network that trains
		out.RMS = 1
	}
	return mhe.TracedTensor(out, r.Out, r.Scale), nil
}

// outLevel returns the level at which a tensor leaves a point.
func (p *NetworkPlan) outLevel(point int) int {
	for l := range p.layers {
		if point == p.Net.forwardPoint(l) {
			return p.layers[l].activate
		}
		if l > 0 && point == p.Net.backwardPoint(l) {
			out := p.layers[l-1].backward
			if len(p.Net.Hidden[l-1].Activation.Coeffs()) > 2 {
				out++
			}
			return out
		}
	}
	return -1
}

// Room returns the largest value at a scale that the masks of a refresh are made
// for.
func (p *NetworkPlan) Room(scale *big.Float) float64 {
	f, _ := scale.Float64()
	return math.Exp2(float64(p.Set.LogMessage())) / f
}

// updates notes the gradients and estimates the errors of the weights.
func (t *tracing) updates(grads [][]mhe.Tensor) error {
	p := t.p
	noise, parties := mhe.NewNoise(p.Set), float64(p.Net.Parties)
	o := p.Net.Optimiser
	p.WeightErr = 0
	for i, g := range grads {
		q := &p.Parameters[i]
		low, err := mhe.Drop(g[0], p.Set.MaskLevel())
		if err != nil {
			return fmt.Errorf("nn: gradient of %s: %w", q.Name, err)
		}
		q.GradLevel, q.GradScale = low.Level(), low.Scale()
		// every party's gradient is rerandomised, and all are added
		r := low.Range()
		passes := float64(p.Passes)
		r.Err, r.RMS, r.Max = r.Err*math.Sqrt(passes), r.RMS*math.Sqrt(passes), r.Max*passes
		r.Err = math.Sqrt(parties) * math.Hypot(r.Err, noise.Encrypt(q.GradScale))
		r.RMS *= math.Sqrt(parties)
		r.Max = min(r.Max*parties, p.Room(q.GradScale))
		q.Grad = r
		update, err := p.UpdateConfig(Part{Parameter: i, Hi: q.Count}, 0).Range(p.Set, r)
		if err != nil {
			return fmt.Errorf("nn: update of %s: %w", q.Name, err)
		}
		// errors of the updates add up, those of momentum again and again
		q.Err = update.Err * math.Sqrt(float64(p.Net.Steps)) / (1 - o.Momentum)
		p.WeightErr = max(p.WeightErr, q.Err)
		if o.Momentum > 0 { // the same code that adds it finds a level or scale that does not fit
			v := mhe.TracedTensor(mhe.Range{Max: 1, RMS: 0.01}, q.Level, q.Scale)
			sum := mhe.TracedTensor(r, q.GradLevel, q.GradScale)
			st := State{W: make([][]mhe.Tensor, len(grads)), V: make([][]mhe.Tensor, len(grads))}
			st.W[i], st.V[i] = []mhe.Tensor{v}, []mhe.Tensor{v}
			if _, err := p.combine(t.ev, st, 0, Part{Parameter: i, Hi: 1}, []mhe.Tensor{sum}); err != nil {
				return err
			}
		}
	}
	return nil
}
