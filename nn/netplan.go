package nn

import (
	"fmt"
	"math/big"

	"github.com/nereid-mhe/nereid/bootstrap"
	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/packing"
	"github.com/nereid-mhe/nereid/params"
)

// A Layout is what may be chosen freely about how a network is computed. It
// changes costs and nothing else. The zero value lets [CompileNetwork] choose.
type Layout struct {
	InputWindow int // offsets of the first layer's diagonals; a power of two
	InputBaby   int // of which so many rotate weights before the product
	InnerWindow int // positions over which later layers' gradients are summed locally

	// Strips is how many strips a block is divided into, a power of two. With more
	// than one the weights of all layers share ciphertexts, see [packing.Strips], if
	// rows and windows fit a strip; with 0 or 1 every layer has its own.
	Strips int

	// NoRefresh names the points at which nothing is refreshed: the tensor keeps
	// what levels it has, and the chain of primes is longer.
	NoRefresh []bool

	// Predict plans predictions for encrypted rows too. They need more keys.
	Predict bool
}

// A RefreshPoint is a place in a training step at which every party has a tensor
// of its own refreshed.
type RefreshPoint struct {
	Name    string
	Skipped bool        // nothing is refreshed here
	In, Out int         // levels
	Scale   *big.Float  // of input and output
	Map     packing.Map // applied on the way; without masks
	Range   mhe.Range   // expected
}

// A Parameter is one tensor of the model: the weights or the biases of a layer, or
// the weights of all layers in strips.
type Parameter struct {
	Name   string
	Layers []int
	Bias   bool
	Count  int        // ciphertexts
	Level  int        // of the ciphertexts
	Scale  *big.Float // of the ciphertexts

	GradLevel int        // of the summed gradient
	GradScale *big.Float //
	Err       float64    // expected standard deviation of an element's error after all steps
	Grad      mhe.Range  // of the summed gradient
}

// A Part is a round's worth of the aggregated refresh: some ciphertexts of a
// parameter, with a party that adds them up and finishes them.
type Part struct {
	Parameter int
	Lo, Hi    int // ciphertexts
	Owner     int // party
}

// A NetworkPlan is everything known before keys exist. It follows from set,
// network and layout alone and is the same at every party. See [CompileNetwork].
type NetworkPlan struct {
	Set    params.Set
	Net    Network
	Layout Layout
	Grid   packing.Grid

	// A batch that is larger than a ciphertext holds takes several passes of Rows
	// rows each, whose gradients are added.
	Rows, Passes int

	Points     []RefreshPoint
	Parameters []Parameter
	Parts      []Part
	Keys       mhe.KeyPlan
	Count      mhe.Counts // operations of one party in one step
	WeightErr  float64    // expected error of a weight after all steps, the largest of the parameters

	Query *QueryPlan // nil without predictions

	strips  packing.Strips
	layers  []layerPlan
	zTraced *big.Float // scale of the first layer's outputs
	zLast   *big.Float // scale of the network's outputs
}

// A layerPlan is a layer's layout and levels.
type layerPlan struct {
	input    packing.Input // of the first layer
	inner    packing.Inner // of the others
	face     packing.Face  // of the outputs
	weights  int           // index of the parameter
	first    int           // strip of it from which on the weights are
	strips   int           // of the weights
	copies   float64       // by which an update multiplies weights that are replicated already
	scale    *big.Float    // at which products take the weights
	grad     *big.Float    // scale of their gradient
	bias     int           // parameter; -1 for none: the first layer's bias is a feature of ones
	parts    float64       // a bias is stored divided by this: what follows adds so many copies
	xScale   *big.Float    // of the data of the first layer
	forward  int           // level of the forward product's operands
	backward int           // level of E, the gradient with respect to z
	activate int           // level at which the activation, or the loss, starts
}

// MaxNetworkBatch returns how many rows a party can use in a step on a ring of
// slots slots.
func MaxNetworkBatch(n Network, slots int, l Layout) (int, error) {
	g, err := n.grid(slots)
	if err != nil {
		return 0, err
	}
	s, window, err := n.strips(g, l.withDefaults(n, g))
	return s.Batch(window), err
}

// strips returns the strips of a layout, and the largest window.
func (n Network) strips(g packing.Grid, l Layout) (s packing.Strips, window int, err error) {
	window = l.InputWindow
	for i := 1; i < n.layers(); i++ {
		window = max(window, min(l.InnerWindow, ceilPower(min(n.inputs(i), n.units(i)))))
	}
	if s, err = packing.NewStrips(g, l.Strips, min(window, g.Block)); err != nil {
		err = fmt.Errorf("%w: %w: take fewer strips or smaller windows", ErrModel, err)
	}
	return s, window, err
}

func ceilPower(n int) int {
	p := 1
	for p < n {
		p *= 2
	}
	return p
}

// grid returns the grid that holds the widest layer.
func (n Network) grid(slots int) (packing.Grid, error) {
	widest := 1
	for l := range n.layers() {
		widest = max(widest, n.units(l))
	}
	g, err := packing.NewGrid(widest, slots)
	if err != nil {
		return g, fmt.Errorf("%w: the widest layer: %w", ErrModel, err)
	}
	return g, nil
}

// withDefaults fills in a layout that is good for a few parties: windows of about
// an eighth of a block, babies where there are few ciphertexts to rotate.
func (l Layout) withDefaults(n Network, g packing.Grid) Layout {
	if l.InputWindow == 0 {
		l.InputWindow = min(max(1, g.Block/8), ceilPower(n.Features+1))
	}
	if l.InputBaby == 0 {
		cts := (n.Features + l.InputWindow) / l.InputWindow
		l.InputBaby = 1
		for l.InputBaby*l.InputBaby*cts*4 <= l.InputWindow*2 {
			l.InputBaby *= 2
		}
		l.InputBaby = min(l.InputBaby, l.InputWindow)
	}
	if l.InnerWindow == 0 {
		l.InnerWindow = max(1, g.Block/8)
	}
	if l.Strips == 0 {
		l.Strips = 1
	}
	if l.NoRefresh == nil {
		l.NoRefresh = make([]bool, 2*n.layers()-1)
	}
	return l
}

func (l Layout) check(n Network) error {
	if want := 2*n.layers() - 1; len(l.NoRefresh) != want {
		return fmt.Errorf("%w: a layout for %d points of refresh, the network has %d", ErrModel, len(l.NoRefresh), want)
	}
	return nil
}

// forwardPoint and backwardPoint return the indices of the refreshes of z and of
// the gradient with respect to the layer's input.
func (n Network) forwardPoint(l int) int  { return l }
func (n Network) backwardPoint(l int) int { return 2*n.layers() - 1 - l }

// CompileNetwork plans n on set by running one step on a [mhe.Trace]. Errors wrap
// [ErrModel], [packing.ErrShape] or [mhe.ErrLevel].
func CompileNetwork(set params.Set, n Network, l Layout) (*NetworkPlan, error) {
	if err := n.check(); err != nil {
		return nil, err
	}
	if set.Parties() != n.Parties {
		return nil, fmt.Errorf("%w: a network of %d parties on parameters of %d", ErrModel, n.Parties, set.Parties())
	}
	g, err := n.grid(set.N())
	if err != nil {
		return nil, err
	}
	l = l.withDefaults(n, g)
	if err := l.check(n); err != nil {
		return nil, err
	}
	if l.Predict && (l.NoRefresh[n.forwardPoint(0)] || l.NoRefresh[n.forwardPoint(n.layers()-1)]) {
		return nil, fmt.Errorf("%w: predictions need refreshes after the first and the last layer", ErrModel)
	}
	p := &NetworkPlan{Set: set, Net: n, Layout: l, Grid: g}
	if err := p.divideRows(); err != nil {
		return nil, err
	}
	if err := p.lay(); err != nil {
		return nil, err
	}
	if top := p.levels(); top > set.MaxLevel() {
		return nil, fmt.Errorf("%w: the network needs %d primes above the masks, the parameters have %d: refresh at more points or lower the degree of the activations", ErrModel, top-set.MaskLevel(), set.MaxLevel()-set.MaskLevel())
	}
	p.declare()
	if err := p.trace(); err != nil {
		return nil, err
	}
	p.divide()
	return p, nil
}

// divideRows divides blocks into strips, and a batch into passes.
func (p *NetworkPlan) divideRows() error {
	n, l, g := p.Net, p.Layout, p.Grid
	s, window, err := n.strips(g, l)
	if err != nil {
		return err
	}
	most := s.Batch(window)
	switch {
	case l.Strips > 1 && n.Batch > most:
		return fmt.Errorf("%w: a batch of %d rows does not fit beside a window of %d positions into one of %d strips of %d, which hold %d rows: take fewer strips", ErrModel, n.Batch, window, l.Strips, s.Width, most)
	case most < 1:
		return fmt.Errorf("%w: windows of %d and %d positions leave no room for rows in blocks of %d", ErrModel, l.InputWindow, l.InnerWindow, g.Block)
	}
	p.strips, p.Passes = s, (n.Batch+most-1)/most
	if p.Rows = n.Batch / p.Passes; p.Rows*p.Passes != n.Batch {
		return fmt.Errorf("%w: a batch of %d rows, a ciphertext of %d slots holds %d beside %d units: %d passes need a multiple of %d rows, such as %d", ErrModel, n.Batch, g.Slots(), most, g.Units, p.Passes, p.Passes, p.Rows*p.Passes)
	}
	return nil
}

// lay makes the layouts and names of layers, points and parameters.
func (p *NetworkPlan) lay() error {
	n := p.Net
	p.Points = make([]RefreshPoint, 2*n.layers()-1)
	for l := range n.layers() {
		y := layerPlan{bias: -1}
		point := RefreshPoint{Name: fmt.Sprintf("forward %d", l+1)}
		if l == 0 {
			in, err := packing.NewInput(p.Grid, n.Features+1, n.units(0), p.Layout.InputWindow, p.Layout.InputBaby)
			if err != nil {
				return fmt.Errorf("%w: layer 1: %w", ErrModel, err)
			}
			y.input, y.face = in, in.Face()
			p.place(&y, l, in.Ciphertexts(), in.Update(p.strips.Width, 1).Copies)
			y.input.Forward, y.input.Backward = p.strips.Read(in.Forward, y.first), p.strips.Write(in.Backward, y.first)
		} else {
			in, err := packing.NewInner(p.Grid, n.inputs(l), n.units(l), min(p.Layout.InnerWindow, p.Grid.Block), l%2 == 0)
			if err != nil {
				return fmt.Errorf("%w: layer %d: %w", ErrModel, l+1, err)
			}
			y.inner, y.face = in, in.Output()
			p.place(&y, l, in.Ciphertexts(), in.Update(p.strips.Width, 1).Copies)
			y.inner.Forward, y.inner.Backward = p.strips.Read(in.Forward, y.first), p.strips.Read(in.Backward, y.first)
			y.inner.Gradient = p.strips.Write(in.Gradient, y.first)
			y.bias, y.parts = len(p.Parameters), float64(max(1, in.InSize/in.OutSize))
			p.Parameters = append(p.Parameters, Parameter{Name: fmt.Sprintf("biases %d", l+1), Layers: []int{l}, Bias: true, Count: 1})
			point.Map = in.Sum
			p.Points[n.backwardPoint(l)] = RefreshPoint{Name: fmt.Sprintf("backward %d", l+1), Map: in.BackSum}
		}
		p.Points[n.forwardPoint(l)] = point
		p.layers = append(p.layers, y)
	}
	for i := range p.Points {
		p.Points[i].Skipped = p.Layout.NoRefresh[i]
	}
	return nil
}

// place gives the weights of layer l, so many strips, a place: in ciphertexts of
// their own, or after those of the layer before.
func (p *NetworkPlan) place(y *layerPlan, l, strips int, copies float64) {
	y.strips, y.copies = strips, copies
	switch {
	case p.Layout.Strips == 1:
		y.weights = len(p.Parameters)
		p.Parameters = append(p.Parameters, Parameter{Name: fmt.Sprintf("weights %d", l+1)})
	case l == 0:
		p.Parameters = append(p.Parameters, Parameter{Name: "weights"})
	default:
		y.first = p.layers[l-1].first + p.layers[l-1].strips
	}
	q := &p.Parameters[y.weights]
	q.Layers, q.Count = append(q.Layers, l), p.strips.Ciphertexts(y.first+strips)
}

// PointConfig returns the refresh of a point.
func (p *NetworkPlan) PointConfig(point int) bootstrap.Config {
	r := p.Points[point]
	return bootstrap.Config{In: r.In, Out: r.Out, Count: 1, Map: r.Map, ScaleIn: r.Scale, ScaleOut: r.Scale}
}
