package nn

import (
	"fmt"
	"math"

	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/packing"
)

// Data is one party's rows in the clear: features with the bias last, targets,
// and the order in which training takes them.
type Data struct {
	X       [][]float64
	Y       []float64
	Sampler Sampler
}

// batch returns the rows and targets of a step.
func (d Data) batch(step int) (x [][]float64, y []float64) {
	for _, i := range d.Sampler.Rows(step) {
		x, y = append(x, d.X[i]), append(y, d.Y[i])
	}
	return x, y
}

// Batch returns the party's batch of a step.
func (d Data) Batch(p *Plan, step int) (Batch, error) {
	x, y := d.batch(step)
	return p.Batch(step, x, y)
}

// A TwinResult is what the clear twin predicts of an encrypted run.
type TwinResult struct {
	Weights   []float64
	MaxOutput float64 // largest |z| met in training
	MaxWeight float64 // largest |w| met in training
}

// Twin trains in the clear what the parties train encrypted: the same
// evaluator code, polynomials, batches and update map, on floats. Its weights are
// those of the encrypted run but for its noise. It needs everybody's data, so
// that only simulations can run it on the data of a study; a party runs it on its
// own or on synthetic data to see whether a plan trains.
//
// It returns an error wrapping [ErrModel] as soon as an output leaves twice the
// interval of the loss, where the polynomial pushes weights away from the
// solution.
func Twin(p *Plan, parties []Data) (TwinResult, error) {
	if len(parties) != len(p.Model.Batch) {
		return TwinResult{}, fmt.Errorf("%w: data of %d parties for a plan of %d", ErrModel, len(parties), len(p.Model.Batch))
	}
	dot := p.Dense.Dot
	top, scale := p.Set.MaxLevel(), mhe.Power(p.Set.LogScale())
	bound, _ := p.Model.Loss.Range(p.Model.MaxTarget)
	watch := &outputs{Evaluator: mhe.NewClear(p.Set)}
	w := dot.Weights(make([]float64, p.Model.Features))
	res := TwinResult{}
	for k := range p.Model.Steps {
		sum := make([]float64, dot.Layout.Period())
		for i, d := range parties {
			b, err := d.Batch(p, k)
			if err != nil {
				return res, fmt.Errorf("party %d: %w", i, err)
			}
			g, err := p.gradient(watch, mhe.ClearTensor(w, top, scale), b)
			if err != nil {
				return res, fmt.Errorf("party %d: %w", i, err)
			}
			for s, v := range g.Values() {
				sum[s] += v
			}
		}
		g, err := p.regularise(watch, mhe.ClearTensor(sum, p.GradLevel, mhe.Power(p.Dense.LogScale)), mhe.ClearTensor(w, top, scale), k)
		if err != nil {
			return res, err
		}
		if res.MaxOutput = watch.max; !(watch.max <= outputSlack*bound) {
			return res, fmt.Errorf("%w: an output of the clear twin reaches %.3g in step %d, beyond twice the interval [-%g, %g] of the loss: lower the learning rate (%g), widen the interval, or clip the features", ErrModel, watch.max, k+1, bound, bound, p.Model.SGD.Rate)
		}
		for s, u := range p.Update.Apply(g.Values()) {
			w[s] -= u
			res.MaxWeight = math.Max(res.MaxWeight, math.Abs(w[s]))
		}
	}
	if res.MaxWeight > largeWeight {
		return res, fmt.Errorf("%w: a weight of the clear twin reaches %.3g, the masks are made for %d: lower the learning rate (%g) or raise the weight decay (%g)", ErrModel, res.MaxWeight, largeWeight, p.Model.SGD.Rate, p.Model.SGD.L2)
	}
	res.Weights = dot.Read(w)
	return res, nil
}

// outputs notes the largest output that an evaluator computes.
type outputs struct {
	mhe.Evaluator
	max float64
}

// Dot computes the model's outputs.
func (o *outputs) Dot(d packing.Dot, w, x mhe.Tensor, logScale int) (mhe.Tensor, error) {
	z, err := o.Evaluator.Dot(d, w, x, logScale)
	for _, v := range z.Values() {
		o.max = math.Max(o.max, math.Abs(v))
	}
	return z, err
}

// Exact trains the model in the clear with the loss's exact link on all rows of
// data at once: what a study would reach if its rows could be pooled, or, given
// one party's rows, what that party reaches alone.
func Exact(m Model, data ...Data) []float64 {
	w := make([]float64, m.Features)
	for k := range m.Steps {
		grad, rows := make([]float64, len(w)), 0
		for _, d := range data {
			xs, ys := d.batch(k)
			rows += len(xs)
			for s, x := range xs {
				e := m.Loss.Link(dot(w, x)) - ys[s]
				for j := range grad {
					grad[j] += e * x[j]
				}
			}
		}
		rate := m.SGD.Rate * m.SGD.factor(k)
		for j := range w {
			g := grad[j] / float64(rows)
			if j < len(w)-1 {
				g += m.SGD.L2 * w[j]
			}
			w[j] -= rate * g
		}
	}
	return w
}

func dot(w, x []float64) float64 {
	sum := 0.0
	for j := range w {
		sum += w[j] * x[j]
	}
	return sum
}

// Output returns the model's output for a row in the clear.
func Output(w, row []float64) float64 { return dot(w, row) }

// Accuracy returns the fraction of outputs on the right side of zero for targets
// 0 and 1.
func Accuracy(outputs, targets []float64) float64 {
	right := 0
	for i, z := range outputs {
		if (z > 0) == (targets[i] > 0.5) {
			right++
		}
	}
	return float64(right) / float64(max(1, len(outputs)))
}
