package nn

import (
	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/packing"
)

// A Dense layer of one output: z[s] = Σ_j w[j]·x[j,s]. A bias is a feature of
// ones. Shapes: w, x and z share the layout of Dot, w replicated along the
// samples and z along the features. Forward costs one level and one cyclic sum,
// Backward one level.
type Dense struct {
	Dot packing.Dot
	// LogScale is log2 of the scale at which gradients leave, low enough for
	// the masks of their refresh.
	LogScale int
	// OutScale is log2 of the scale of outputs for data in the clear: where the
	// loss, whose leading coefficient goes into the scale, ends near the default.
	OutScale int
}

var _ Layer = Dense{}

// Forward implements [Layer], for x in the clear or encrypted.
func (d Dense) Forward(ev mhe.Evaluator, w, x mhe.Tensor) (mhe.Tensor, error) {
	if x.Encrypted() {
		return ev.Dot(d.Dot, w, x, 0)
	}
	return ev.Dot(d.Dot, w, x, d.OutScale)
}

// Backward implements [Layer], for x in the clear: dw[j,s] = dy[s]·x[j,s].
func (d Dense) Backward(ev mhe.Evaluator, x, dy mhe.Tensor) (mhe.Tensor, error) {
	return ev.Outer(d.Dot, dy, x, d.LogScale)
}
