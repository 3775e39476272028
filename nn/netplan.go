package nn

import (
	"fmt"
	"math"
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

// A Parameter is one tensor of the model: the weights or the biases of a layer.
type Parameter struct {
	Name   string
	Layer  int
	Bias   bool
	Count  int        // ciphertexts
	Level  int        // of the ciphertexts
	Scale  *big.Float // of the ciphertexts
	Copies float64    // by which an update map multiplies a value that is replicated already
	Parts  float64    // a bias is stored divided by this: what follows adds so many copies

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
	bias     int           // -1 for none: the first layer's bias is a feature of ones
	xScale   *big.Float    // of the data of the first layer
	forward  int           // level of the forward product's operands
	backward int           // level of E, the gradient with respect to z
	activate int           // level at which the activation, or the loss, starts
}

// working is the level of products between refreshes: one above the masks.
func working(set params.Set) int { return set.MaskLevel() + 1 }

// MaxNetworkBatch returns how many rows a party can use in a step on a ring of
// slots slots.
func MaxNetworkBatch(n Network, slots int, l Layout) (int, error) {
	g, err := n.grid(slots)
	if err != nil {
		return 0, err
	}
	l = l.withDefaults(n, g)
	windows := []int{l.InputWindow}
	for i := 1; i < n.layers(); i++ {
		windows = append(windows, min(l.InnerWindow, ceilPower(min(n.inputs(i), n.units(i)))))
	}
	return g.Batch(windows...), nil
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

// levels sets the levels of every layer from the last to the first: a product
// takes one, an activation its depth, and a refresh makes them anew. It returns
// the highest level.
func (p *NetworkPlan) levels() int {
	n, work := p.Net, working(p.Set)
	skip := p.Layout.NoRefresh
	// from E of the first layer, which only its gradient needs, upwards
	for l := range p.layers {
		p.layers[l].backward = work
		if l > 0 && skip[n.backwardPoint(l)] {
			p.layers[l].backward = p.layers[l-1].backward + 1
			if len(n.Hidden[l-1].Activation.Coeffs()) > 2 {
				p.layers[l].backward++
			}
		}
	}
	top := 0
	for l := n.layers() - 1; l >= 0; l-- {
		y := &p.layers[l]
		if l == n.layers()-1 {
			y.activate = y.backward + polynomialDepth(n.Loss.coeffs)
		} else {
			f := n.Hidden[l].Activation
			y.activate = max(p.layers[l+1].forward+polynomialDepth(f.Coeffs()), y.backward+1+slopeDepth(f))
		}
		y.forward = work
		if skip[n.forwardPoint(l)] {
			y.forward = y.activate + 1
		}
		top = max(top, y.forward, y.activate, y.backward)
	}
	for l := range n.Hidden { // a refresh of the gradient comes out above E
		if !skip[n.backwardPoint(l+1)] {
			top = max(top, p.layers[l].backward+1)
		}
	}
	if n.Optimiser.Nesterov { // updates come a level above the weights
		for _, y := range p.layers {
			top = max(top, y.forward+1, y.backward+1)
		}
	}
	return top
}

// slopeDepth returns the levels of the derivative, with 0 for a constant.
func slopeDepth(f Activation) int { return polynomialDepth(f.Derivative()) }

// NetworkLevels returns how many primes above the masks a network needs.
func NetworkLevels(n Network, l Layout) (int, error) {
	if err := n.check(); err != nil {
		return 0, err
	}
	set, err := params.InsecureToy(n.Parties, 1)
	if err != nil {
		return 0, err
	}
	p := NetworkPlan{Set: set, Net: n, Layout: l.withDefaults(n, packing.Grid{Units: 1, Block: 64}), layers: make([]layerPlan, n.layers())}
	if err := p.Layout.check(n); err != nil {
		return 0, err
	}
	return p.levels() - set.MaskLevel(), nil
}

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
	most, err := MaxNetworkBatch(n, set.N(), l)
	if err != nil {
		return nil, err
	}
	if most < 1 {
		return nil, fmt.Errorf("%w: windows of %d and %d positions leave no room for rows in blocks of %d", ErrModel, l.InputWindow, l.InnerWindow, g.Block)
	}
	p.Passes = (n.Batch + most - 1) / most
	if p.Rows = n.Batch / p.Passes; p.Rows*p.Passes != n.Batch {
		return nil, fmt.Errorf("%w: a batch of %d rows, a ciphertext of %d slots holds %d beside %d units: %d passes need a multiple of %d rows, such as %d", ErrModel, n.Batch, set.N(), most, g.Units, p.Passes, p.Passes, p.Rows*p.Passes)
	}
	if err := p.lay(); err != nil {
		return nil, err
	}
	if top := p.levels(); top > set.MaxLevel() {
		return nil, fmt.Errorf("%w: the network needs %d primes above the masks, the parameters have %d: refresh at more points or lower the degree of the activations", ErrModel, top-set.MaskLevel(), set.MaxLevel()-set.MaskLevel())
	}
	if err := p.trace(); err != nil {
		return nil, err
	}
	p.divide()
	return p, nil
}

// lay makes the layouts and names of layers, points and parameters.
func (p *NetworkPlan) lay() error {
	n := p.Net
	p.Points = make([]RefreshPoint, 2*n.layers()-1)
	for l := range n.layers() {
		y := layerPlan{bias: -1, weights: len(p.Parameters)}
		param := Parameter{Name: fmt.Sprintf("weights %d", l+1), Layer: l}
		point := RefreshPoint{Name: fmt.Sprintf("forward %d", l+1)}
		if l == 0 {
			in, err := packing.NewInput(p.Grid, n.Features+1, n.units(0), p.Layout.InputWindow, p.Layout.InputBaby)
			if err != nil {
				return fmt.Errorf("%w: layer 1: %w", ErrModel, err)
			}
			y.input, y.face = in, in.Face()
			param.Count, param.Copies = in.Ciphertexts(), in.Update(1).Copies
			p.Parameters = append(p.Parameters, param)
		} else {
			in, err := packing.NewInner(p.Grid, n.inputs(l), n.units(l), min(p.Layout.InnerWindow, p.Grid.Block), l%2 == 0)
			if err != nil {
				return fmt.Errorf("%w: layer %d: %w", ErrModel, l+1, err)
			}
			y.inner, y.face = in, in.Output()
			param.Count, param.Copies = in.Ciphertexts(), in.Update(1).Copies
			y.bias = len(p.Parameters) + 1
			p.Parameters = append(p.Parameters, param, Parameter{
				Name: fmt.Sprintf("biases %d", l+1), Layer: l, Bias: true, Count: 1, Copies: float64(p.Rows),
				Parts: float64(max(1, in.InSize/in.OutSize)),
			})
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

// targetScale returns log2 of the scale at which a polynomial of x gives scale
// 2^want: its leading coefficient goes into the scale.
func (p *NetworkPlan) targetScale(coeffs []float64, want float64) float64 {
	d := len(coeffs) - 1
	lead := math.Log2(math.Abs(coeffs[d]))
	return (want + float64(d-1)*float64(p.Set.LogScale()) + lead) / float64(d)
}

// exact returns 2^log as a scale.
func exact(log float64) *big.Float {
	whole := math.Floor(log)
	f := new(big.Float).SetPrec(128).SetFloat64(math.Exp2(log - whole))
	return f.SetMantExp(f, int(whole))
}

// gradientRoom is log2 of what the masks hold of gradients beyond 1 at most: summed
// over windows of samples and parties they are larger than activations. The clear
// twin watches that it is enough.
const gradientRoom = 7

// gradientBits returns the room for the gradient of the last layer: every party's
// windows at their worst, up to gradientRoom. What is not needed makes gradients,
// and with them the weights, more precise.
func (p *NetworkPlan) gradientBits() int {
	y := p.last()
	window := y.inner.Window
	if len(p.layers) == 1 {
		window = y.input.Window
	}
	worst := float64(p.Net.Parties*window*p.Passes) * outputSlack
	return min(gradientRoom, int(math.Ceil(math.Log2(worst))))
}

// zScale returns the scale of the outputs of layer l: where the activation gives
// the default scale, or where the loss gives that of gradients.
func (p *NetworkPlan) zScale(l int) *big.Float {
	if l < len(p.Net.Hidden) {
		f := p.Net.Hidden[l].Activation
		room := float64(p.Set.LogMessage()) - math.Log2(outputSlack*f.Bound())
		return exact(min(p.targetScale(f.Coeffs(), float64(p.Set.LogScale())), room))
	}
	grad := float64(min(p.Set.LogScale(), p.Set.LogMessage()-p.gradientBits()))
	room := float64(p.Set.LogMessage()) - math.Log2(outputSlack*p.Net.Loss.bound)
	return exact(min(p.targetScale(p.Net.Loss.coeffs, grad), room))
}

// PointConfig returns the refresh of a point.
func (p *NetworkPlan) PointConfig(point int) bootstrap.Config {
	r := p.Points[point]
	return bootstrap.Config{In: r.In, Out: r.Out, Count: 1, Map: r.Map, ScaleIn: r.Scale, ScaleOut: r.Scale}
}
