package nn

import (
	"math"
	"math/big"

	"github.com/nereid-mhe/nereid/internal/portable"
	"github.com/nereid-mhe/nereid/packing"
	"github.com/nereid-mhe/nereid/params"
)

// working is the level of products between refreshes: one above the masks.
func working(set params.Set) int { return set.MaskLevel() + 1 }

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

// declare sets the levels of the parameters, those of the layer that needs most.
func (p *NetworkPlan) declare() {
	for i := range p.Parameters {
		q := &p.Parameters[i]
		q.Level = working(p.Set)
		for _, l := range q.Layers {
			if y := p.layers[l]; q.Bias {
				q.Level = max(q.Level, y.forward-1)
			} else {
				q.Level = max(q.Level, y.forward, y.backward)
			}
		}
		if p.Net.Optimiser.Nesterov { // one level for the product with μ
			q.Level++
		}
	}
}

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

// targetScale returns log2 of the scale at which a polynomial of x gives scale
// 2^want: its leading coefficient goes into the scale.
func (p *NetworkPlan) targetScale(coeffs []float64, want float64) float64 {
	d := len(coeffs) - 1
	lead := portable.Log2(math.Abs(coeffs[d]))
	return (want + float64(float64(d-1)*float64(p.Set.LogScale())) + lead) / float64(d)
}

// exact returns 2^log as a scale.
func exact(log float64) *big.Float {
	whole := math.Floor(log)
	f := new(big.Float).SetPrec(128).SetFloat64(portable.Exp2(log - whole))
	return f.SetMantExp(f, int(whole))
}

// gradientRoom is log2 of what the masks hold of gradients beyond 1 at most: summed
// over windows of samples and parties they are larger than activations. The clear
// twin watches that it is enough.
const gradientRoom = 7

// gradientScale returns log2 of the scale of the gradient of the last layer, and of
// gradients of several layers in one ciphertext.
func (p *NetworkPlan) gradientScale() int {
	return min(p.Set.LogScale(), p.Set.LogMessage()-p.gradientBits())
}

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
	return min(gradientRoom, int(math.Ceil(portable.Log2(worst))))
}

// zScale returns the scale of the outputs of layer l: where the activation gives
// the default scale, or where the loss gives that of gradients.
func (p *NetworkPlan) zScale(l int) *big.Float {
	if l < len(p.Net.Hidden) {
		f := p.Net.Hidden[l].Activation
		room := float64(p.Set.LogMessage()) - portable.Log2(outputSlack*f.Bound())
		return exact(min(p.targetScale(f.Coeffs(), float64(p.Set.LogScale())), room))
	}
	room := float64(p.Set.LogMessage()) - portable.Log2(outputSlack*p.Net.Loss.bound)
	return exact(min(p.targetScale(p.Net.Loss.coeffs, float64(p.gradientScale())), room))
}
