package nn

import (
	"fmt"
	"math"
	"math/big"

	"github.com/nereid-mhe/nereid/bootstrap"
	"github.com/nereid-mhe/nereid/internal/portable"
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
	for l := range p.layers {
		p.layers[l].grad = s.scales[l]
	}
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
	q.Scale = mhe.Power(p.Set.LogScale())
	y.scale = q.Scale
	y.xScale = mhe.PlainScale(p.Set, mhe.TracedTensor(mhe.Range{}, y.forward, q.Scale), p.zScale(0))
	used := float64(p.Rows) / float64(p.Grid.Block)
	x := mhe.UnknownData(y.input.Ciphertexts()*y.input.Window, p.Grid.Block, y.xScale, mhe.Range{Max: n.MaxFeature, RMS: math.Sqrt(used)})
	return NetworkBatch{x, mhe.Unknown(mhe.Range{Max: n.MaxTarget, RMS: math.Sqrt(used) / 2})}, nil
}

// weights implements the pass: the weights of an inner layer have the scale at
// which its outputs come as they should, a bias that of what it is added to.
func (t *tracing) weights(param, l int, x mhe.Tensor) []mhe.Tensor {
	p := t.p
	q, y := &p.Parameters[param], &p.layers[l]
	r := p.weightRange(l)
	switch {
	case q.Bias:
		q.Scale, r.RMS = x.Scale(), 0.1
	case l > 0:
		y.scale = mhe.PlainScale(p.Set, x, p.zScale(l))
		if !p.shared(*q) {
			q.Scale = y.scale
		}
		r.RMS *= p.unit(l)
	}
	r.Err = mhe.NewNoise(p.Set).Rescale(q.Scale)
	out := make([]mhe.Tensor, q.Count)
	for i := range out {
		out[i] = mhe.TracedTensor(r, p.weightLevel(*q), q.Scale)
	}
	return out
}

// weightRange returns what the weights of a layer are taken to be.
func (p *NetworkPlan) weightRange(l int) mhe.Range {
	return mhe.Range{Max: largeWeight, RMS: math.Sqrt(p.Net.gain(l) / float64(p.Net.inputs(l)))}
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
	in.Err = portable.Hypot(in.Err, mhe.NewNoise(p.Set).Encrypt(r.Scale)) // a tensor of the party's own is rerandomised
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
	return portable.Exp2(float64(p.Set.LogMessage())) / f
}

// updates notes the gradients and estimates the errors of the weights.
func (t *tracing) updates(grads [][]mhe.Tensor) error {
	p := t.p
	o := p.Net.Optimiser
	p.WeightErr = 0
	for i, g := range grads {
		q := &p.Parameters[i]
		if err := t.sum(q, g); err != nil {
			return fmt.Errorf("nn: gradient of %s: %w", q.Name, err)
		}
		for _, l := range q.Layers {
			c, r := p.layerUpdate(i, l)
			update, err := c.Range(p.Set, r)
			if err != nil {
				return fmt.Errorf("nn: update of %s: %w", q.Name, err)
			}
			// errors of the updates add up, those of momentum again and again
			q.Err = max(q.Err, update.Err*math.Sqrt(float64(p.Net.Steps))/(1-o.Momentum))
		}
		p.WeightErr = max(p.WeightErr, q.Err)
		if o.Momentum > 0 { // the same code that adds it finds a level or scale that does not fit
			v := mhe.TracedTensor(mhe.Range{Max: 1, RMS: 0.01}, q.Level, q.Scale)
			sum := mhe.TracedTensor(q.Grad, q.GradLevel, q.GradScale)
			st := State{W: make([][]mhe.Tensor, len(grads)), V: make([][]mhe.Tensor, len(grads))}
			st.W[i], st.V[i] = []mhe.Tensor{v}, []mhe.Tensor{v}
			if _, err := p.combine(t.ev, st, 0, Part{Parameter: i, Hi: 1}, []mhe.Tensor{sum}); err != nil {
				return err
			}
		}
	}
	return nil
}

// sum notes the sum of the parties' gradients of a parameter, g being one's: the
// worst of its ciphertexts.
func (t *tracing) sum(q *Parameter, g []mhe.Tensor) error {
	p := t.p
	parties, passes := float64(p.Net.Parties), float64(p.Passes)
	q.Grad = mhe.Range{}
	for _, x := range g {
		low, err := mhe.Drop(x, p.Set.MaskLevel())
		if err != nil {
			return err
		}
		q.GradLevel, q.GradScale = low.Level(), low.Scale()
		// every party's gradient is rerandomised, and all are added
		r := low.Range()
		r.Err = math.Sqrt(parties) * portable.Hypot(r.Err*math.Sqrt(passes), mhe.NewNoise(p.Set).Encrypt(q.GradScale))
		r.RMS *= math.Sqrt(passes) * math.Sqrt(parties)
		r.Max = min(r.Max*passes*parties, p.Room(q.GradScale))
		q.Grad = mhe.Range{Max: max(q.Grad.Max, r.Max), RMS: max(q.Grad.RMS, r.RMS), Err: max(q.Grad.Err, r.Err)}
	}
	return nil
}

// layerUpdate returns the first refresh of the update of a layer as if it had its
// ciphertexts for itself, in its own units, and what enters it.
func (p *NetworkPlan) layerUpdate(param, l int) (bootstrap.Config, mhe.Range) {
	q, y := p.Parameters[param], p.layers[l]
	c, r := p.UpdateConfig(Part{Parameter: param, Hi: q.Count}, 0), q.Grad
	if p.shared(q) {
		f := ratio(q.GradScale, y.grad)
		u := y.update(p.strips.Width, p.factor(q, l, 0)/(p.unit(l)*f))
		c.Count, c.Map, c.Mix, c.After, c.Plus = y.strips, u.Before, u.Mix, u.After, nil
		c.ScaleIn, c.ScaleOut = y.grad, y.scale
		r = mhe.Range{Max: r.Max * f, RMS: r.RMS * f, Err: r.Err * f}
	}
	return c, r
}
