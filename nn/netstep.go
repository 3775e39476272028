package nn

import (
	"context"
	"fmt"
	"math/big"
	"slices"

	"github.com/nereid-mhe/nereid/mhe"
)

// A LocalRefresher restores the levels of a tensor that is one party's own, at a
// point of the plan in one of the passes of a step. The tensor is a function of the party's rows: RefreshLocal must
// rerandomise it ([mhe.EncryptionKey.Rerandomise]) before any of it leaves.
type LocalRefresher interface {
	RefreshLocal(ctx context.Context, step, pass, point int, t mhe.Tensor) (mhe.Tensor, error)
}

// An Updater turns the parties' gradients into updates: phases COMBINE and REDUCE.
type Updater interface {
	// Update returns the updates of all parameters at every party, given the
	// party's own gradients. Gradients are functions of the party's data in the
	// clear: Update must rerandomise them before they leave. combine adds momentum
	// and weight decay to the sum of a part; the part's owner calls it.
	Update(ctx context.Context, step int, g [][]mhe.Tensor, combine Combine) ([][]mhe.Tensor, error)
}

// A Combine adds momentum and weight decay to the summed gradients of a part.
type Combine func(part Part, sum []mhe.Tensor) ([]mhe.Tensor, error)

// A NetworkBatch is a party's data of one pass, in the plan's layout.
type NetworkBatch struct {
	x *mhe.Data
	y mhe.Tensor
}

// NetworkBatch lays out a party's rows of one step and their targets, of which
// there must be as many as the plan says, by pass.
func (p *NetworkPlan) NetworkBatch(rows, targets [][]float64) ([]NetworkBatch, error) {
	n := p.Net
	if len(rows) != n.Batch || len(targets) != n.Batch {
		return nil, fmt.Errorf("%w: a batch of %d rows and %d targets, want %d", ErrModel, len(rows), len(targets), n.Batch)
	}
	x := make([][]float64, len(rows))
	for s, row := range rows {
		if err := n.checkRow(s, row, targets[s]); err != nil {
			return nil, err
		}
		x[s] = append(append(make([]float64, 0, len(row)+1), row...), 1)
	}
	out := make([]NetworkBatch, p.Passes)
	constant := n.Loss.coeffs[0]
	for i := range out {
		lo := i * p.Rows
		data, err := mhe.NewData(p.layers[0].input.Diagonals(x[lo:lo+p.Rows]), p.layers[0].xScale)
		if err != nil {
			return nil, err
		}
		y := p.last().face.Pack(p.Rows, func(j, s int) float64 { return targets[lo+s][j] - constant })
		out[i] = NetworkBatch{data, mhe.Plain(y)}
	}
	return out, nil
}

func (n Network) checkRow(s int, row, target []float64) error {
	if len(row) != n.Features || len(target) != n.Outputs {
		return fmt.Errorf("%w: row %d has %d features and %d targets, want %d and %d", ErrModel, s, len(row), len(target), n.Features, n.Outputs)
	}
	for j, x := range row {
		if !(x >= -n.MaxFeature && x <= n.MaxFeature) {
			return fmt.Errorf("%w: row %d, feature %d is %g, beyond the declared bound of %g", ErrModel, s, j, x, n.MaxFeature)
		}
	}
	for j, y := range target {
		if !(y >= -n.MaxTarget && y <= n.MaxTarget) {
			return fmt.Errorf("%w: row %d, target %d is %g, beyond the declared bound of %g", ErrModel, s, j, y, n.MaxTarget)
		}
	}
	return nil
}

func (p *NetworkPlan) last() layerPlan { return p.layers[len(p.layers)-1] }

// gradients returns the gradients of a party's batch: those of all passes, added.
func (p *NetworkPlan) gradients(ev mhe.Evaluator, batches []NetworkBatch, start func(pass int) *pass) ([][]mhe.Tensor, error) {
	var sum [][]mhe.Tensor
	for i, b := range batches {
		g, err := start(i).run(b)
		if err != nil {
			return nil, err
		}
		if sum == nil {
			sum = g
			continue
		}
		for k := range g {
			for c := range g[k] {
				if sum[k][c], err = ev.Add(sum[k][c], g[k][c]); err != nil {
					return nil, fmt.Errorf("nn: adding gradients: %w", err)
				}
			}
		}
	}
	return sum, nil
}

// A pass is one forward and backward pass of one party: phase MAP. It runs on any
// evaluator; what differs between a party, its twin and the trace is where weights
// and refreshes come from.
type pass struct {
	p       *NetworkPlan
	ev      mhe.Evaluator
	refresh func(point int, t mhe.Tensor) (mhe.Tensor, error)
	// weights returns a parameter. x is what it is going to be multiplied with, or
	// added to by layer l: the trace chooses the scale by it.
	weights func(param, l int, x mhe.Tensor) []mhe.Tensor

	// first replaces the first layer's product, for rows that are encrypted.
	first func() (mhe.Tensor, error)

	a, slope []mhe.Tensor     // by layer: activations and derivatives
	in       []*mhe.Operand   // by layer: inputs of inner layers
	held     []mhe.Range      // by layer: of the weights, on a trace
	scales   []*big.Float     // by layer: of the gradients of the weights
	w        [][]*mhe.Operand // by layer, see shelf
	grads    [][]mhe.Tensor   // by parameter
}

// begin makes room.
func (s *pass) begin() {
	n := s.p.Net.layers()
	s.a, s.slope, s.in = make([]mhe.Tensor, n), make([]mhe.Tensor, n), make([]*mhe.Operand, n)
	s.held, s.scales = make([]mhe.Range, n), make([]*big.Float, n)
	s.w, s.grads = make([][]*mhe.Operand, n), make([][]mhe.Tensor, len(s.p.Parameters))
}

// run returns the gradients of all parameters.
func (s *pass) run(b NetworkBatch) ([][]mhe.Tensor, error) {
	n := s.p.Net
	s.begin()
	defer s.release()
	for l := range n.layers() {
		if err := s.forward(l, b); err != nil {
			return nil, fmt.Errorf("nn: forward, layer %d: %w", l+1, err)
		}
	}
	e, err := s.ev.Sub(s.a[n.layers()-1], b.y)
	if err != nil {
		return nil, fmt.Errorf("nn: loss: %w", err)
	}
	for l := n.layers() - 1; l >= 0; l-- {
		if e, err = s.backward(l, b, e); err != nil {
			return nil, fmt.Errorf("nn: backward, layer %d: %w", l+1, err)
		}
	}
	return s.grads, nil
}

func (s *pass) release() {
	mhe.Release(s.w...)
	for _, o := range s.in {
		if o != nil {
			o.Release()
		}
	}
}

// forward computes z of layer l, refreshes it, and takes the activation, or what
// the loss makes of the outputs.
func (s *pass) forward(l int, b NetworkBatch) error {
	y, n := s.p.layers[l], s.p.Net
	z, err := s.product(l, b)
	if err != nil {
		return err
	}
	if z, err = s.restore(n.forwardPoint(l), z, y.activate); err != nil {
		return err
	}
	coeffs := n.Loss.coeffs
	polys := [][]float64{withoutConstant(coeffs)}
	if l < len(n.Hidden) {
		f := n.Hidden[l].Activation
		coeffs = f.Coeffs()
		polys = [][]float64{withoutConstant(coeffs)}
		if d := f.Derivative(); len(d) > 1 {
			polys = append(polys, d)
		}
	}
	out, err := s.ev.Polynomials(z, polys...)
	if err != nil {
		return err
	}
	s.a[l] = out[0]
	if len(out) > 1 {
		s.slope[l] = out[1]
	}
	// padding stays zero: the constant goes to units and samples in use only
	if c := coeffs[0]; c != 0 && l < len(n.Hidden) {
		at := y.face.Pack(s.p.Rows, func(int, int) float64 { return c })
		s.a[l], err = s.ev.Add(s.a[l], mhe.Plain(at))
	}
	return err
}

// product returns z of layer l before its refresh, with its biases.
func (s *pass) product(l int, b NetworkBatch) (mhe.Tensor, error) {
	y := s.p.layers[l]
	if l == 0 && s.first != nil {
		return s.first()
	}
	if l == 0 {
		w, err := s.load(0, mhe.Tensor{})
		if err != nil {
			return mhe.Tensor{}, err
		}
		defer mhe.Release(w) // nothing else needs their rotations
		return first(s.ev.ProductData(y.input.Forward, w, b.x))
	}
	x, err := mhe.Drop(s.a[l-1], y.forward)
	if err != nil {
		return x, err
	}
	s.in[l] = mhe.NewOperand(x)
	w, err := s.load(l, x)
	if err != nil {
		return x, err
	}
	z, err := first(s.ev.Product(y.inner.Forward, w, s.in[l:l+1]))
	if err == nil {
		z, err = s.own(l, z)
	}
	if err != nil {
		return z, err
	}
	return s.ev.Add(z, s.weights(y.bias, l, z)[0])
}

// load returns the weights of layer l for products, first with x.
func (s *pass) load(l int, x mhe.Tensor) (_ []*mhe.Operand, err error) {
	y := s.p.layers[l]
	ts := slices.Clone(s.weights(y.weights, l, x))
	for i := range ts {
		if l == 0 { // otherwise the level of x is that of the product
			if ts[i], err = mhe.Drop(ts[i], y.forward); err != nil {
				return nil, err
			}
		}
	}
	if s.held[l] = ts[0].Range(); s.w[s.shelf(l)] == nil {
		s.w[s.shelf(l)] = mhe.Operands(ts...)
	}
	return s.loaded(l), nil
}

// loaded returns what load has returned.
func (s *pass) loaded(l int) []*mhe.Operand {
	w := s.w[s.shelf(l)]
	for _, o := range w {
		o.Expect(s.held[l])
	}
	return w
}

// shelf returns where the operands of a layer are. Inner layers that share
// ciphertexts share them, with their decompositions; the first layer may want them
// at a lower level.
func (s *pass) shelf(l int) int {
	if s.p.Layout.Strips > 1 {
		return min(l, 1)
	}
	return l
}

// own returns the result of a product of weights of layer l at the scale that it has
// with weights in the layer's own unit.
func (s *pass) own(l int, t mhe.Tensor) (mhe.Tensor, error) {
	y := s.p.layers[l]
	q := s.p.Parameters[y.weights]
	if y.scale.Cmp(q.Scale) == 0 {
		return t, nil
	}
	unit := new(big.Float).Quo(y.scale, q.Scale)
	return mhe.Reinterpret(t, unit.Mul(unit, t.Scale()))
}

// note adds gradients of the weights of layer l to those of their parameter. Layers
// that share ciphertexts have one scale there.
func (s *pass) note(l int, g []mhe.Tensor, err error) error {
	if err != nil {
		return err
	}
	y := s.p.layers[l]
	q := s.p.Parameters[y.weights]
	sums := s.grads[y.weights]
	if sums == nil {
		sums = make([]mhe.Tensor, q.Count)
		s.grads[y.weights] = sums
	}
	s.scales[l] = g[0].Scale()
	at, _ := s.p.strips.Place(y.first)
	for i, t := range g {
		if s.p.shared(q) {
			if t, err = mhe.Drop(t, s.p.Set.MaskLevel()); err == nil {
				t, err = mhe.Reinterpret(t, mhe.Power(s.p.gradientScale()))
			}
		}
		if sum := sums[at+i]; err == nil && sum.Scale() != nil {
			t, err = s.ev.Add(sum, t)
		}
		if err != nil {
			return err
		}
		sums[at+i] = t
	}
	return nil
}

// restore refreshes t at a point, or where the plan does not, applies the point's
// sums, and returns it at a level.
func (s *pass) restore(point int, t mhe.Tensor, level int) (out mhe.Tensor, err error) {
	r := s.p.Points[point]
	if r.Skipped {
		out, err = s.ev.Map(r.Map, t)
	} else if out, err = mhe.Drop(t, s.p.Set.MaskLevel()); err == nil {
		out, err = s.refresh(point, out)
	}
	if err != nil {
		return out, fmt.Errorf("%s: %w", r.Name, err)
	}
	return mhe.Drop(out, level)
}

// backward takes E, the gradient with respect to z of layer l, notes the
// gradients of the layer's parameters, and returns E of the layer below.
func (s *pass) backward(l int, b NetworkBatch, e mhe.Tensor) (below mhe.Tensor, err error) {
	y, n := s.p.layers[l], s.p.Net
	if e, err = mhe.Drop(e, y.backward); err != nil {
		return below, err
	}
	op := mhe.NewOperand(e)
	defer op.Release()
	es := []*mhe.Operand{op}
	if l == 0 {
		g, err := s.ev.ProductData(y.input.Backward, es, b.x)
		return below, s.note(0, g, err)
	}
	g, err := s.ev.Product(y.inner.Gradient, es, s.in[l:l+1])
	if err = s.note(l, g, err); err != nil {
		return below, err
	}
	s.grads[y.bias] = []mhe.Tensor{e}
	p, err := first(s.ev.Product(y.inner.Backward, s.loaded(l), es))
	if err == nil {
		p, err = s.own(l, p)
	}
	if err != nil {
		return below, err
	}
	if l == 1 || s.p.Layout.Strips == 1 { // nothing needs their rotations any more
		mhe.Release(s.w[s.shelf(l)])
	}
	slope := s.slope[l-1].Encrypted() && s.slope[l-1].Scale() != nil
	level := s.p.layers[l-1].backward
	if slope {
		level++
	}
	if p, err = s.restore(n.backwardPoint(l), p, level); err != nil || !slope {
		return p, err
	}
	d, err := mhe.Drop(s.slope[l-1], level)
	if err != nil {
		return below, err
	}
	return s.ev.Mul(p, d)
}

func first(ts []mhe.Tensor, err error) (mhe.Tensor, error) {
	if err != nil {
		return mhe.Tensor{}, err
	}
	return ts[0], nil
}
