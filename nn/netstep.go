package nn

import (
	"context"
	"fmt"
	"math/big"

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

// A State is the model while it is trained: weights and momentum by parameter and
// ciphertext.
type State struct{ W, V [][]mhe.Tensor }

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
	// added to: the trace chooses the scale by it.
	weights func(param int, x mhe.Tensor) []mhe.Tensor

	// first replaces the first layer's product, for rows that are encrypted.
	first func() (mhe.Tensor, error)

	a, slope []mhe.Tensor     // by layer: activations and derivatives
	w        [][]*mhe.Operand // by layer
	in       []*mhe.Operand   // by layer: inputs of inner layers
	grads    [][]mhe.Tensor   // by parameter
}

// run returns the gradients of all parameters.
func (s *pass) run(b NetworkBatch) ([][]mhe.Tensor, error) {
	n := s.p.Net
	s.a, s.slope = make([]mhe.Tensor, n.layers()), make([]mhe.Tensor, n.layers())
	s.w, s.in = make([][]*mhe.Operand, n.layers()), make([]*mhe.Operand, n.layers())
	s.grads = make([][]mhe.Tensor, len(s.p.Parameters))
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
		s.w[0] = mhe.Operands(s.weights(y.weights, mhe.Tensor{})...)
		return first(s.ev.ProductData(y.input.Forward, s.w[0], b.x))
	}
	x, err := mhe.Drop(s.a[l-1], y.forward)
	if err != nil {
		return x, err
	}
	s.in[l] = mhe.NewOperand(x)
	s.w[l] = mhe.Operands(s.weights(y.weights, x)...)
	z, err := first(s.ev.Product(y.inner.Forward, s.w[l], s.in[l:l+1]))
	if err != nil {
		return z, err
	}
	return s.ev.Add(z, s.weights(y.bias, z)[0])
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
		s.grads[y.weights], err = s.ev.ProductData(y.input.Backward, es, b.x)
		return below, err
	}
	if s.grads[y.weights], err = s.ev.Product(y.inner.Gradient, es, s.in[l:l+1]); err != nil {
		return below, err
	}
	s.grads[y.bias] = []mhe.Tensor{e}
	p, err := first(s.ev.Product(y.inner.Backward, s.w[l], es))
	if err != nil {
		return below, err
	}
	s.w[l][0].Release()
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

// combine adds momentum and weight decay to the summed gradient of some
// ciphertexts of a parameter, from lo on. The update map multiplies what is
// replicated already by Copies.
func (p *NetworkPlan) combine(ev mhe.Evaluator, st State, step int, part Part, sum []mhe.Tensor) ([]mhe.Tensor, error) {
	q, o := p.Parameters[part.Parameter], p.Net.Optimiser
	f := p.updateFactor(part.Parameter, step)
	out := make([]mhe.Tensor, len(sum))
	for i, g := range sum {
		var err error
		if o.Momentum > 0 && st.V[part.Parameter] != nil {
			g, err = p.addScaled(ev, g, o.Momentum/(f*q.Copies), st.V[part.Parameter][part.Lo+i])
		}
		if err == nil && o.L2 > 0 && !q.Bias {
			c := o.L2 * o.rate(q.Layer, step, p.Net.Steps) / (f * q.Copies)
			g, err = p.addScaled(ev, g, c, st.W[part.Parameter][part.Lo+i])
		}
		if err != nil {
			return nil, fmt.Errorf("nn: momentum and decay of %s: %w", q.Name, err)
		}
		out[i] = g
	}
	return out, nil
}

// addScaled returns g + c·v.
func (p *NetworkPlan) addScaled(ev mhe.Evaluator, g mhe.Tensor, c float64, v mhe.Tensor) (mhe.Tensor, error) {
	constant := make([]float64, 8)
	for i := range constant {
		constant[i] = c
	}
	return ev.AddScaled(g, mhe.Plain(constant), v)
}

// apply returns the state after updates u.
func (p *NetworkPlan) apply(ev mhe.Evaluator, st State, u [][]mhe.Tensor) (State, error) {
	o := p.Net.Optimiser
	next := State{make([][]mhe.Tensor, len(u)), nil}
	if o.Momentum > 0 {
		next.V = u
	} else {
		next.V = make([][]mhe.Tensor, len(u))
	}
	for i := range u {
		next.W[i] = make([]mhe.Tensor, len(u[i]))
		for c, v := range u[i] {
			step := v
			var err error
			if o.Nesterov {
				before := mhe.Tensor{}
				if st.V[i] != nil {
					before = st.V[i][c]
				}
				if step, err = p.lookAhead(ev, v, before); err != nil {
					return next, err
				}
			}
			if next.W[i][c], err = ev.Sub(st.W[i][c], step); err != nil {
				return next, fmt.Errorf("nn: update of %s: %w", p.Parameters[i].Name, err)
			}
		}
	}
	return next, nil
}

// lookAhead returns V + μ·(V - before), at one level less.
func (p *NetworkPlan) lookAhead(ev mhe.Evaluator, v, before mhe.Tensor) (mhe.Tensor, error) {
	d := v
	if before.Scale() != nil {
		var err error
		if d, err = ev.Sub(v, before); err != nil {
			return d, err
		}
	}
	low, err := mhe.Drop(v, v.Level()-1)
	if err != nil {
		return d, err
	}
	return p.addScaled(ev, low, p.Net.Optimiser.Momentum, d)
}

// slots returns the slots of every ciphertext of every parameter of a model.
func (p *NetworkPlan) slots(w []Affine) [][][]float64 {
	out := make([][][]float64, len(p.Parameters))
	for l, y := range p.layers {
		if l == 0 {
			rows := make([][]float64, len(w[0].W))
			for k := range rows {
				rows[k] = append(append([]float64{}, w[0].W[k]...), w[0].B[k])
			}
			out[y.weights] = y.input.Weights(rows)
			continue
		}
		out[y.weights] = y.inner.Weights(w[l].W)
		parts := p.Parameters[y.bias].Parts
		out[y.bias] = [][]float64{y.face.Pack(p.Rows, func(j, _ int) float64 { return w[l].B[j] / parts })}
	}
	return out
}

// Read returns the model from the slots of every ciphertext of every parameter.
func (p *NetworkPlan) Read(slots [][][]float64) []Affine {
	out := make([]Affine, len(p.layers))
	for l, y := range p.layers {
		if l == 0 {
			for _, row := range y.input.Read(slots[y.weights]) {
				out[0].W = append(out[0].W, row[:len(row)-1])
				out[0].B = append(out[0].B, row[len(row)-1])
			}
			continue
		}
		out[l].W = y.inner.Read(slots[y.weights])
		for _, b := range y.face.Read(slots[y.bias][0], 0) {
			out[l].B = append(out[l].B, b*p.Parameters[y.bias].Parts)
		}
	}
	return out
}

// initial makes the state before the first step, each tensor by encode from slots,
// level and scale.
func (p *NetworkPlan) initial(encode func(v []float64, level int, scale *big.Float) (mhe.Tensor, error)) (State, error) {
	st := State{W: make([][]mhe.Tensor, len(p.Parameters)), V: make([][]mhe.Tensor, len(p.Parameters))}
	for i, cts := range p.slots(p.Net.InitialWeights()) {
		q := p.Parameters[i]
		for _, v := range cts {
			t, err := encode(v, p.weightLevel(q), q.Scale)
			if err != nil {
				return st, err
			}
			st.W[i] = append(st.W[i], t)
		}
	}
	return st, nil
}

// weightLevel returns the level of a parameter's weights: with Nesterov's method
// updates come a level higher.
func (p *NetworkPlan) weightLevel(q Parameter) int {
	if p.Net.Optimiser.Nesterov {
		return q.Level - 1
	}
	return q.Level
}

// Initial returns the public state before the first step, as ciphertexts without
// noise.
func (p *NetworkPlan) Initial(enc *mhe.Encoder) (State, error) {
	return p.initial(func(v []float64, level int, scale *big.Float) (mhe.Tensor, error) {
		b := mhe.Basis(p.Set, level)
		c0, err := enc.Encode(v, scale, b)
		if err != nil {
			return mhe.Tensor{}, err
		}
		return mhe.NewEncrypted(c0, b.New(), scale), nil
	})
}
