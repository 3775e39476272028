// Package nn trains models on encrypted weights.
//
// A [Model] is a value: layers, a loss, an optimiser. [Compile] runs one training
// step and one prediction of it on a [mhe.Trace] and so learns everything that
// must be known before keys exist: the [Plan]. A [Trainer] runs the same code on
// ciphertexts at one party; [Twin] runs it on floats for all parties at once and
// predicts the encrypted run.
//
// The package knows the network through two interfaces of one method each,
// [Summer] and [Refresher]. The phases are those of SPINDLE and POSEIDON:
//
//	PREPARE  Compile at every party; keys; standardisation
//	MAP      Trainer.Gradient: each party's gradient on its own rows
//	COMBINE  Summer.Sum: added up the tree
//	REDUCE   Refresher.Refresh, with the sum over samples and the learning rate in
//	         its map; Trainer.Update at every party
//	PREDICT  Plan.Predict on an encrypted query, then a key switch
//
// # Sources
//
// Froelicher et al., Scalable Privacy-Preserving Distributed Learning (SPINDLE,
// PoPETs 2021); Sav et al., POSEIDON (NDSS 2021).
package nn

import (
	"errors"
	"fmt"
	"math"

	"github.com/nereid-mhe/nereid/internal/approx"
	"github.com/nereid-mhe/nereid/internal/portable"
	"github.com/nereid-mhe/nereid/mhe"
)

// ErrModel is wrapped by every error about a model that cannot be trained as it
// is described.
var ErrModel = errors.New("nn: model")

// A Layer maps tensors to tensors. It holds shapes and constants only: weights
// are arguments and gradients are results, so that one value serves every party,
// step and backend at once.
type Layer interface {
	// Forward returns y = f(w, x).
	Forward(ev mhe.Evaluator, w, x mhe.Tensor) (y mhe.Tensor, err error)

	// Backward returns the gradient of the loss with respect to w, given the
	// layer's input x and the gradient dy with respect to y. The sum over the
	// samples is left to the refresh.
	Backward(ev mhe.Evaluator, x, dy mhe.Tensor) (dw mhe.Tensor, err error)
}

// A Loss compares the model's output with the targets.
type Loss interface {
	// Gradient returns dL/dz for outputs z and targets y in the clear.
	Gradient(ev mhe.Evaluator, z, y mhe.Tensor) (mhe.Tensor, error)

	// Link maps an output to a prediction: a probability or a value.
	Link(z float64) float64

	// Range returns the interval [-b, b] on which the loss expects outputs, and
	// a bound of |dL/dz| for outputs up to outputSlack·b and targets of absolute
	// value at most maxTarget.
	Range(maxTarget float64) (bound, gradient float64)

	// OutScale returns log2 of the scale that outputs should have for the
	// gradient to come at about 2^logScale, the size of the primes.
	OutScale(logScale int) int

	// hash returns what identifies the loss in a plan.
	hash() string
}

// Logistic is the cross-entropy of a sigmoid output, for targets 0 and 1. Its
// gradient is σ(z) - y with σ replaced by the least-squares polynomial on an
// interval. The zero value is not usable; see [NewLogistic].
type Logistic struct {
	coeffs []float64
	bound  float64
}

var _ Loss = Logistic{}

// NewLogistic fits the sigmoid on [-bound, bound] with an odd degree, which costs
// (degree+1)/2 levels. Outputs beyond the interval meet a polynomial that no
// longer resembles a sigmoid: choose the bound with room, see [Twin].
func NewLogistic(degree int, bound float64) (Logistic, error) {
	c, err := approx.Odd(Sigmoid, degree, bound)
	if err != nil {
		return Logistic{}, fmt.Errorf("%w: sigmoid: %w", ErrModel, err)
	}
	if lead := c[degree]; lead == 0 || math.IsNaN(lead) || math.IsInf(lead, 0) {
		return Logistic{}, fmt.Errorf("%w: no sigmoid of degree %d fits [-%g, %g]: the leading coefficient is %g", ErrModel, degree, bound, bound, lead)
	}
	return Logistic{c, bound}, nil
}

// Gradient implements [Loss]. The constant of the polynomial goes to the targets,
// where it costs nothing.
func (l Logistic) Gradient(ev mhe.Evaluator, z, y mhe.Tensor) (mhe.Tensor, error) {
	p, err := mhe.Polynomial(ev, l.coeffs, z)
	if err != nil {
		return mhe.Tensor{}, err
	}
	return ev.Sub(p, y)
}

// Link implements [Loss]. The querier applies the exact sigmoid in the clear.
func (Logistic) Link(z float64) float64 { return Sigmoid(z) }

// Range implements [Loss].
func (l Logistic) Range(maxTarget float64) (bound, gradient float64) {
	reach := outputSlack * l.bound
	return l.bound, max(approx.Max(l.coeffs, reach, 0), approx.Max(l.coeffs, reach, maxTarget))
}

// OutScale implements [Loss]. Evaluating c·z^d + … from scale 2^o gives about
// 2^(d·o - (d-1)·logScale)/|c|, the constant c being part of the scale.
func (l Logistic) OutScale(logScale int) int {
	d := len(l.coeffs) - 1
	return logScale + int(math.Round(portable.Log2(math.Abs(l.coeffs[d]))/float64(d)))
}

func (l Logistic) hash() string { return fmt.Sprintf("logistic %x %x", l.coeffs, l.bound) }

// Squared is half the squared error, for regression. Its gradient is z - y and
// costs no level.
type Squared struct {
	Bound float64 // outputs are expected in [-Bound, Bound]
}

var _ Loss = Squared{}

// Gradient implements [Loss].
func (Squared) Gradient(ev mhe.Evaluator, z, y mhe.Tensor) (mhe.Tensor, error) { return ev.Sub(z, y) }

// Link implements [Loss].
func (Squared) Link(z float64) float64 { return z }

// Range implements [Loss].
func (l Squared) Range(maxTarget float64) (bound, gradient float64) {
	return l.Bound, float64(outputSlack*l.Bound) + maxTarget
}

// OutScale implements [Loss].
func (Squared) OutScale(logScale int) int { return logScale }

func (l Squared) hash() string { return fmt.Sprintf("squared %x", l.Bound) }

// Sigmoid returns 1/(1+e^-x).
func Sigmoid(x float64) float64 { return 1 / (1 + portable.Exp(-x)) }

// SGD is stochastic gradient descent on the mean gradient over the parties'
// batches: w ← w - η_k·(g + L2·w) with η_k = Rate/(1 + Decay·k). The bias is not
// decayed.
type SGD struct {
	Rate  float64 // learning rate of step 0
	Decay float64 // of the rate, per step; 0 keeps it
	L2    float64 // weight decay
}

// factor returns η_k/η_0.
func (o SGD) factor(step int) float64 { return 1 / (1 + float64(o.Decay*float64(step))) }

// accumulated returns the sum of the squares by which independent errors of the
// updates enter the weights after all steps: smaller rates make smaller errors,
// and weight decay forgets. The curvature of the loss forgets more, by what only
// the data could tell.
func (o SGD) accumulated(steps int) float64 {
	sum := 0.0
	for k := range steps {
		f := o.factor(k)
		keep := 1 - min(1, float64(o.Rate*f*o.L2))
		sum = float64(sum*keep*keep) + float64(f*f)
	}
	return sum
}

func (o SGD) check() error {
	var errs []error
	if !(o.Rate > 0) || math.IsInf(o.Rate, 0) {
		errs = append(errs, fmt.Errorf("%w: learning rate %g, want a positive number", ErrModel, o.Rate))
	}
	if !(o.Decay >= 0) || math.IsInf(o.Decay, 0) {
		errs = append(errs, fmt.Errorf("%w: decay %g, want 0 or more", ErrModel, o.Decay))
	}
	if !(o.L2 >= 0) || math.IsInf(o.L2, 0) {
		errs = append(errs, fmt.Errorf("%w: L2 %g, want 0 or more", ErrModel, o.L2))
	}
	return errors.Join(errs...)
}
