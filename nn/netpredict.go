package nn

import (
	"context"
	"fmt"
	"math/big"

	"github.com/nereid-mhe/nereid/bootstrap"
	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/packing"
)

// A QueryPlan is what a [NetworkPlan] knows of predictions for encrypted rows:
// phase PREDICT. The first layer's weights are taken to another layout once, see
// [packing.Query]; everything else is the forward pass of training.
type QueryPlan struct {
	Rows    int            // of one query
	Blocks  int            // ciphertexts of one query
	Level   int            // of a query
	Scale   *big.Float     // of a query
	Weights int            // ciphertexts of the first layer's weights in their new layout
	Points  []RefreshPoint // after every layer; the last one, of the outputs, has a mask for the rows asked for

	// OutputErr is the expected standard deviation of an output's error before
	// flooding, with a margin, of 20 binary digits.
	OutputErr float64
	// OutputLevel is the level at which outputs are opened: the lowest, where
	// shares are smallest.
	OutputLevel int

	// Memory is the bytes of the first layer's weights in their new layout and of
	// their rotations, which a party keeps from query to query.
	Memory int

	Work mhe.Work // of the forward pass for a query, without refreshes

	layer  packing.Query
	wScale *big.Float
	wLevel int
}

// DefaultOutputNoise is the largest noise of an opened output, in units of the
// targets' bound, that is taken to be worth an opening.
const DefaultOutputNoise = 0.1

// Flooding returns the standard deviation, in coefficients, of the noise with which
// every party floods its share of an opening of outputs, when so many are allowed.
func (p *NetworkPlan) Flooding(openings, security int) (float64, error) {
	return mhe.NewNoise(p.Set).Flooding(p.Query.OutputErr, p.OutputScale(), openings, security)
}

// OutputNoise returns the standard deviation of an opened output with that flooding.
func (p *NetworkPlan) OutputNoise(openings, security int) (float64, error) {
	sigma, err := p.Flooding(openings, security)
	return mhe.NewNoise(p.Set).Opened(p.Query.OutputErr, sigma, p.OutputScale()), err
}

// A PublicRefresher restores the levels of tensors that all parties hold, and
// applies the refresh's map: phase PREDICT.
type PublicRefresher interface {
	// RefreshPublic returns what comes out at every party. place names the refresh
	// within a query.
	RefreshPublic(ctx context.Context, place string, c bootstrap.Config, in []mhe.Tensor) ([]mhe.Tensor, error)
}

// planQuery adds predictions to the plan: to its keys, and as p.Query.
func (p *NetworkPlan) planQuery(tr *mhe.Trace, ev mhe.Evaluator) error {
	y := p.layers[0]
	layer, err := packing.NewQuery(y.input, p.strips, y.first, p.queryWindow())
	if err != nil {
		return fmt.Errorf("%w: %w", ErrModel, err)
	}
	q := &QueryPlan{
		Rows: min(p.Rows, p.strips.Batch(layer.Window())), Blocks: layer.Blocks, Level: y.forward, Scale: mhe.Power(p.Set.LogScale()),
		Weights: layer.Weights, layer: layer, wLevel: max(y.forward, working(p.Set)),
	}
	x := mhe.TracedTensor(mhe.Range{Max: p.Net.MaxFeature, RMS: 1, Err: mhe.NewNoise(p.Set).Encrypt(q.Scale)}, q.Level, q.Scale)
	q.wScale = mhe.PlainScale(p.Set, x, p.zTraced)
	p.Query = q
	c, _ := p.RelayoutConfig(0, 1)
	first, err := c.Range(p.Set, p.trained(y.weights, 0))
	if err != nil {
		return fmt.Errorf("nn: layout of the first layer for queries: %w", err)
	}
	w := mhe.TracedTensor(first, q.wLevel, q.wScale)
	s := p.queryPass(ev)
	ws, xs := make([]mhe.Tensor, q.Weights), make([]mhe.Tensor, q.Blocks)
	for i := range ws {
		ws[i] = w
	}
	for i := range xs {
		xs[i] = x
	}
	before := tr.Count.Work
	tr.Count.Operands = 0 // those of training are released
	z, err := s.outputs(mhe.Operands(ws...), xs)
	if err != nil {
		return err
	}
	q.Work = tr.Count.Work.Then(before, -1)
	q.Memory = tr.Count.Operands + q.Weights*ciphertextBytes(p.Set, q.wLevel)
	// what is opened has been through the refresh of the outputs, with its sums
	last, err := p.OutputConfig(q.Rows).Range(p.Set, z.Range())
	if err != nil {
		return fmt.Errorf("nn: refresh of the outputs: %w", err)
	}
	q.OutputErr = mhe.RoundUp(outputMargin * last.Err)
	p.Keys = tr.Keys()
	return nil
}

// queryWindow returns the positions over which the first layer's weights for queries
// are compact: at least the root of their diagonals where the rows leave room, so that
// few ciphertexts are to be made, for as few keys.
func (p *NetworkPlan) queryWindow() int {
	diagonals := min(p.Grid.Units, ceilPower(p.Net.Features+1), ceilPower(p.Net.units(0)))
	w := p.Layout.InnerWindow
	for w*w < diagonals && p.strips.Batch(2*w) >= p.Rows {
		w *= 2
	}
	return w
}

// trained returns what trained weights or biases of a layer are, as they are held.
func (p *NetworkPlan) trained(param, l int) mhe.Range {
	r, q := p.weightRange(l), p.Parameters[param]
	if r.Err = q.Err; !q.Bias {
		r.RMS, r.Err = r.RMS*p.unit(l), r.Err*p.unit(l)
	}
	return r
}

// queryPass returns the forward pass of a query on estimates.
func (p *NetworkPlan) queryPass(ev mhe.Evaluator) *pass {
	return &pass{
		p: p, ev: ev,
		refresh: func(point int, t mhe.Tensor) (mhe.Tensor, error) {
			r := p.Points[point]
			if t.Scale().Cmp(r.Scale) != 0 {
				return t, fmt.Errorf("%w: a query comes to %q at another scale than in training", ErrModel, r.Name)
			}
			in := t.Range()
			in.Max = min(in.Max, p.Room(r.Scale))
			out, err := p.queryPoint(point).Range(p.Set, in)
			if err != nil {
				return t, err
			}
			out.RMS = min(out.RMS, 1)
			return mhe.TracedTensor(out, r.Out, r.Scale), nil
		},
		weights: func(param, l int, _ mhe.Tensor) []mhe.Tensor {
			q := p.Parameters[param]
			out := make([]mhe.Tensor, q.Count)
			for i := range out {
				out[i] = mhe.TracedTensor(p.trained(param, l), p.weightLevel(q), q.Scale)
			}
			return out
		},
	}
}

// outputMargin is what the estimate of an output's error is raised by: errors of
// weights that were trained together, and of rows that are alike, are not quite
// independent.
const outputMargin = 2

// queryPoint returns the refresh of a point for rows that are encrypted: it
// completes the first layer's product, which may cover its features in parts.
func (p *NetworkPlan) queryPoint(point int) bootstrap.Config {
	c := p.PointConfig(point)
	if point == p.Net.forwardPoint(0) {
		c.Map = p.Query.layer.Sum.Then(c.Map)
	}
	return c
}

// QueryConfigs returns the refreshes that a full query passes, in their order.
func (p *NetworkPlan) QueryConfigs() (all []bootstrap.Config) {
	for l := range p.Net.Hidden {
		if point := p.Net.forwardPoint(l); !p.Points[point].Skipped {
			all = append(all, p.queryPoint(point))
		}
	}
	return append(all, p.OutputConfig(p.Query.Rows))
}

// RelayoutConfig returns the refresh that makes ciphertexts lo to hi-1 of the
// first layer's weights in the layout for encrypted rows, and which of the weights
// as they are trained it takes.
func (p *NetworkPlan) RelayoutConfig(lo, hi int) (c bootstrap.Config, inputs []int) {
	q := p.Query
	w := p.Parameters[p.layers[0].weights]
	place := map[int]int{}
	var mix packing.Mix
	for _, pieces := range q.layer.Relayout(lo, hi) {
		var out []packing.Piece
		for _, piece := range pieces {
			i, ok := place[piece.In]
			if !ok {
				i = len(inputs)
				place[piece.In], inputs = i, append(inputs, piece.In)
			}
			piece.In = i
			out = append(out, piece)
		}
		mix = append(mix, out)
	}
	return bootstrap.Config{
		In: p.Set.MaskLevel(), Out: q.wLevel, Count: len(inputs), Mix: mix, ScaleIn: w.Scale, ScaleOut: q.wScale,
	}, inputs
}

// OutputConfig returns the refresh of the outputs, which zeroes every slot but the
// outputs of the first rows.
func (p *NetworkPlan) OutputConfig(rows int) bootstrap.Config {
	sums := p.Points[p.Net.forwardPoint(len(p.layers)-1)].Map
	if len(p.layers) == 1 { // the first layer's product is the last one
		sums = p.Query.layer.Sum
	}
	f := p.last().face
	mask := f.Pack(rows, func(int, int) float64 { return 1 })
	clear(mask[f.Size*f.Block:]) // one of the repetitions
	return bootstrap.Config{
		In: p.Set.MaskLevel(), Out: p.Set.MaskLevel() + 1, Count: 1,
		Map:     sums.Then(packing.Map{Steps: []packing.Step{{Mask: mask}}}),
		ScaleIn: p.OutputScale(), ScaleOut: p.OutputScale(),
	}
}

// OutputScale returns the scale of the outputs before the loss.
func (p *NetworkPlan) OutputScale() *big.Float { return p.zLast }

// EncodeQuery lays out rows for encryption by a querier, at most Query.Rows of
// them, as the slots of each ciphertext. The features must be within the
// network's bound: flooding is made for such rows.
func (p *NetworkPlan) EncodeQuery(rows [][]float64) ([][]float64, error) {
	if len(rows) < 1 || len(rows) > p.Query.Rows {
		return nil, fmt.Errorf("%w: a query of %d rows, want 1 to %d", ErrModel, len(rows), p.Query.Rows)
	}
	x := make([][]float64, len(rows))
	for s, row := range rows {
		if err := p.Net.checkRow(s, row, make([]float64, p.Net.Outputs)); err != nil {
			return nil, err
		}
		x[s] = append(append(make([]float64, 0, len(row)+1), row...), 1)
	}
	return p.Query.layer.Rows(x), nil
}

// DecodeOutputs returns the outputs by row from the slots of an opened answer.
func (p *NetworkPlan) DecodeOutputs(slots []float64, rows int) [][]float64 {
	out := make([][]float64, rows)
	for s := range out {
		out[s] = p.last().face.Read(slots, s)
	}
	return out
}

// A Predictor is one party's side of predictions with a trained model: it holds
// the first layer's weights in the layout for queries. It is used by one goroutine.
type Predictor struct {
	Plan    *NetworkPlan
	Eval    mhe.Evaluator
	Refresh PublicRefresher

	// Frugal makes the rotations of the first layer's weights anew for every query:
	// more than half of its cost, and gigabytes less for a wide layer.
	Frugal bool

	state State
	first []*mhe.Operand
}

// relayoutAtOnce is the ciphertexts of one round of the new layout: the masks of
// each take hundreds of megabytes.
const relayoutAtOnce = 1

// NewPredictor takes the first layer's weights to their new layout: one refresh,
// in parts.
func NewPredictor(ctx context.Context, p *NetworkPlan, ev mhe.Evaluator, refresh PublicRefresher, st State) (*Predictor, error) {
	if p.Query == nil {
		return nil, fmt.Errorf("%w: the plan has no predictions", ErrModel)
	}
	t := &Predictor{Plan: p, Eval: ev, Refresh: refresh, state: st}
	var in []mhe.Tensor
	for _, w := range st.W[p.layers[0].weights] {
		low, err := mhe.Drop(w, p.Set.MaskLevel())
		if err != nil {
			return nil, err
		}
		in = append(in, low)
	}
	for lo := 0; lo < p.Query.Weights; lo += relayoutAtOnce {
		c, inputs := p.RelayoutConfig(lo, min(lo+relayoutAtOnce, p.Query.Weights))
		var used []mhe.Tensor
		for _, i := range inputs {
			used = append(used, in[i])
		}
		out, err := refresh.RefreshPublic(ctx, fmt.Sprintf("layout %d", lo), c, used)
		if err != nil {
			return nil, fmt.Errorf("nn: layout of the first layer for queries: %w", err)
		}
		t.first = append(t.first, mhe.Operands(out...)...)
	}
	return t, nil
}

// Predict returns the network's outputs for an encrypted query of the given
// number of rows, and zero in every other slot, at Query.OutputLevel. query names
// it.
func (t *Predictor) Predict(ctx context.Context, query string, x []mhe.Tensor, rows int) (mhe.Tensor, error) {
	p := t.Plan
	if rows < 1 || rows > p.Query.Rows || len(x) != p.Query.Blocks {
		return mhe.Tensor{}, fmt.Errorf("%w: a query of %d rows in %d ciphertexts, want 1 to %d in %d", ErrModel, rows, len(x), p.Query.Rows, p.Query.Blocks)
	}
	public := func(name string, c bootstrap.Config, in mhe.Tensor) (mhe.Tensor, error) {
		out, err := t.Refresh.RefreshPublic(ctx, query+" "+name, c, []mhe.Tensor{in})
		return first(out, err)
	}
	s := &pass{
		p: p, ev: t.Eval,
		refresh: func(point int, in mhe.Tensor) (mhe.Tensor, error) {
			return public(p.Points[point].Name, p.queryPoint(point), in)
		},
		weights: func(param, _ int, _ mhe.Tensor) []mhe.Tensor { return t.state.W[param] },
	}
	w := t.first
	if t.Frugal {
		w = nil
		for _, o := range t.first {
			w = append(w, mhe.Passing(o.Tensor())...)
		}
		defer mhe.Release(w)
	}
	z, err := s.outputs(w, x)
	if err != nil {
		return z, err
	}
	if z, err = public("outputs", p.OutputConfig(rows), z); err != nil {
		return z, err
	}
	return mhe.Drop(z, p.Query.OutputLevel)
}

// outputs runs the forward pass up to the outputs of the last layer, ready for
// their refresh, on rows that are encrypted.
func (s *pass) outputs(w []*mhe.Operand, x []mhe.Tensor) (z mhe.Tensor, err error) {
	n, q := s.p.Net, s.p.Query
	s.begin()
	defer s.release()
	xs := mhe.Operands(x...)
	defer mhe.Release(xs)
	s.first = func() (mhe.Tensor, error) {
		z, err := first(s.ev.Product(q.layer.Forward, w, xs))
		if err != nil {
			return z, err
		}
		return mhe.At(z, s.p.zTraced) // the scale of training, to which the other layers' biases are made
	}
	for l := range n.Hidden {
		if err := s.forward(l, NetworkBatch{}); err != nil {
			return z, fmt.Errorf("nn: predict, layer %d: %w", l+1, err)
		}
	}
	if z, err = s.product(len(n.Hidden), NetworkBatch{}); err != nil {
		return z, fmt.Errorf("nn: predict, layer %d: %w", n.layers(), err)
	}
	return mhe.Drop(z, s.p.Set.MaskLevel())
}
