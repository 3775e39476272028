package nn

import (
	"context"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/nereid-mhe/nereid/mhe"
)

// A Summer adds up a tensor of every party: phase COMBINE.
type Summer interface {
	// Sum returns the sum of all parties' g at the root, and the zero Tensor
	// elsewhere. g is a function of the party's data in the clear: Sum must
	// rerandomise it ([mhe.EncryptionKey.Rerandomise]) before it leaves.
	Sum(ctx context.Context, step int, g mhe.Tensor) (mhe.Tensor, error)
}

// A Refresher restores the levels of a sum and applies the plan's update map to
// it: phase REDUCE.
type Refresher interface {
	// Refresh returns the refreshed tensor at every party. g is the sum at the
	// root and the zero Tensor elsewhere.
	Refresh(ctx context.Context, step int, g mhe.Tensor) (mhe.Tensor, error)
}

// A Batch is a party's data of one step, in the plan's layout.
type Batch struct {
	x, y  mhe.Tensor
	scale float64 // of the learning rate, relative to step 0
}

// Batch lays out a party's rows of one step and their targets. Each row has the
// model's features, the bias included. The learning rate's schedule is applied
// here, to data in the clear, where it costs nothing.
func (p *Plan) Batch(step int, rows [][]float64, targets []float64) (Batch, error) {
	if len(rows) != len(targets) || len(rows) > p.Dense.Dot.Layout.Axes[1].Len {
		return Batch{}, fmt.Errorf("%w: a batch of %d rows and %d targets, want equal numbers up to %d", ErrModel, len(rows), len(targets), p.Dense.Dot.Layout.Axes[1].Len)
	}
	if err := p.checkRows(rows); err != nil {
		return Batch{}, err
	}
	for s, y := range targets {
		if !(math.Abs(y) <= p.Model.MaxTarget) {
			return Batch{}, fmt.Errorf("%w: row %d has target %g, beyond the declared bound of %g", ErrModel, s, y, p.Model.MaxTarget)
		}
	}
	return Batch{mhe.Plain(p.Dense.Dot.Data(rows)), mhe.Plain(p.Dense.Dot.Targets(targets)), p.Model.SGD.factor(step)}, nil
}

// checkRows refuses rows of another width or beyond the declared bound.
func (p *Plan) checkRows(rows [][]float64) error {
	for s, row := range rows {
		if len(row) != p.Model.Features {
			return fmt.Errorf("%w: row %d has %d features, want %d", ErrModel, s, len(row), p.Model.Features)
		}
		for j, x := range row {
			if !(math.Abs(x) <= p.Model.MaxFeature) {
				return fmt.Errorf("%w: row %d, feature %d is %g, beyond the declared bound of %g", ErrModel, s, j, x, p.Model.MaxFeature)
			}
		}
	}
	return nil
}

// gradient is phase MAP: forward, loss, backward.
func (p *Plan) gradient(ev mhe.Evaluator, w mhe.Tensor, b Batch) (mhe.Tensor, error) {
	z, err := p.Dense.Forward(ev, w, b.x)
	if err != nil {
		return mhe.Tensor{}, fmt.Errorf("nn: forward: %w", err)
	}
	dz, err := p.Model.Loss.Gradient(ev, z, b.y)
	if err != nil {
		return mhe.Tensor{}, fmt.Errorf("nn: loss: %w", err)
	}
	x := b.x
	if b.scale != 1 && x.Values() != nil {
		x = mhe.Plain(scaled(x.Values(), b.scale))
	}
	g, err := p.Dense.Backward(ev, x, dz)
	if err != nil {
		return mhe.Tensor{}, fmt.Errorf("nn: backward: %w", err)
	}
	return g, nil
}

// regularise adds the weight decay to the sum of all parties' gradients.
func (p *Plan) regularise(ev mhe.Evaluator, g, w mhe.Tensor, step int) (mhe.Tensor, error) {
	if p.Model.SGD.L2 == 0 {
		return g, nil
	}
	g, err := ev.AddScaled(g, p.decay(p.Model.SGD.factor(step)), w)
	if err != nil {
		return mhe.Tensor{}, fmt.Errorf("nn: weight decay: %w", err)
	}
	return g, nil
}

// decay returns the factors of w in the summed gradient. The update map sums a
// block of samples and divides by the rows of the step.
func (p *Plan) decay(scale float64) mhe.Tensor {
	block := p.Dense.Dot.Layout.Axes[1].Size
	c := p.Model.SGD.L2 * float64(p.Model.rows()) / float64(block)
	w := slices.Repeat([]float64{c * scale}, p.Model.Features)
	w[len(w)-1] = 0 // the bias
	return mhe.Plain(p.Dense.Dot.Weights(w))
}

func scaled(v []float64, c float64) []float64 {
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = c * x
	}
	return out
}

// Initial returns the weights before the first step: zero, which is public, as a
// ciphertext without noise.
func (p *Plan) Initial() mhe.Tensor {
	b := mhe.Basis(p.Set, p.Set.MaxLevel())
	return mhe.NewEncrypted(b.New(), b.New(), mhe.Power(p.Set.LogScale()))
}

// A Trainer is one party's side of training. It is used by one goroutine.
type Trainer struct {
	Plan    *Plan
	Eval    mhe.Evaluator
	Sum     Summer
	Refresh Refresher
}

// Gradient returns the party's gradient at encrypted weights w: phase MAP.
func (t Trainer) Gradient(w mhe.Tensor, b Batch) (mhe.Tensor, error) {
	return t.Plan.gradient(t.Eval, w, b)
}

// Step returns the weights after one step.
func (t Trainer) Step(ctx context.Context, step int, w mhe.Tensor, b Batch) (mhe.Tensor, error) {
	g, err := t.Gradient(w, b)
	if err != nil {
		return mhe.Tensor{}, err
	}
	if g, err = t.Sum.Sum(ctx, step, g); err != nil { // COMBINE
		return mhe.Tensor{}, err
	}
	if g.Scale() != nil { // at the root, which has the sum
		if g, err = t.Plan.regularise(t.Eval, g, w, step); err != nil {
			return mhe.Tensor{}, err
		}
	}
	u, err := t.Refresh.Refresh(ctx, step, g) // REDUCE
	if err != nil {
		return mhe.Tensor{}, err
	}
	return t.Eval.Sub(w, u)
}

// A Step is what [Trainer.Steps] yields: the weights after step Number.
type Step struct {
	Number  int // from 1
	Weights mhe.Tensor
}

// Steps trains from w until the plan's last step or an error, and yields after
// every step. batch returns the data of a step.
func (t Trainer) Steps(ctx context.Context, w mhe.Tensor, batch func(step int) (Batch, error)) iter.Seq2[Step, error] {
	return func(yield func(Step, error) bool) {
		for k := range t.Plan.Model.Steps {
			b, err := batch(k)
			if err == nil {
				err = ctx.Err()
			}
			if err == nil {
				w, err = t.Step(ctx, k, w, b)
			}
			if err != nil {
				yield(Step{}, fmt.Errorf("nn: step %d: %w", k+1, err))
				return
			}
			if !yield(Step{k + 1, w}, nil) {
				return
			}
		}
	}
}

// A Sampler chooses the rows of every step: the party's rows in an order drawn
// from a public seed, batch after batch, around and around.
type Sampler struct {
	order []int
	batch int
}

// NewSampler returns the sampler of a party with the given rows and batch.
func NewSampler(rows, batch int, seed uint64, party int) (Sampler, error) {
	if batch < 1 || batch > rows {
		return Sampler{}, fmt.Errorf("%w: a batch of %d of %d rows", ErrModel, batch, rows)
	}
	return Sampler{rand.New(rand.NewPCG(seed, uint64(party))).Perm(rows), batch}, nil
}

// Rows returns the rows of a step.
func (s Sampler) Rows(step int) []int {
	rows := make([]int, s.batch)
	for i := range rows {
		rows[i] = s.order[(step*s.batch+i)%len(s.order)]
	}
	return rows
}
