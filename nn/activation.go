package nn

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/nereid-mhe/nereid/internal/approx"
	"github.com/nereid-mhe/nereid/internal/portable"
	"github.com/nereid-mhe/nereid/mhe"
)

// A Criterion is what the polynomial of an activation makes smallest.
type Criterion int

const (
	// LeastSquares is the mean squared distance on the interval.
	LeastSquares Criterion = iota
	// Minimax is the largest distance on the interval.
	Minimax
)

func (c Criterion) String() string {
	switch c {
	case LeastSquares:
		return "least squares"
	case Minimax:
		return "minimax"
	}
	return fmt.Sprintf("Criterion(%d)", int(c))
}

// maxActivationDegree is the largest degree of an activation: the levels of more
// cost a refresh, and double precision loses the leading coefficient.
const maxActivationDegree = 9

// An Activation is a polynomial in place of an activation function, on an interval
// [-Bound, Bound] in which its arguments must stay: beyond, the polynomial grows
// with its highest power and no longer resembles the function. Make one with
// [NewActivation]; the zero value is no activation and has neither coefficients nor
// a name. It never changes and is safe for concurrent use.
type Activation struct {
	function *function // a row of functions
	coeffs   []float64 // lowest power first
	slope    []float64 // of the derivative
	bound    float64
	fit      string // criterion, or "exact"
}

// A function is a row of the table of functions.
type function struct {
	name         string
	value, slope func(z, bound float64) float64

	// The polynomial: given, or the fit to a function (value, if target is nil)
	// of the powers of a parity, with z/2 added when its odd part is that.
	given  func(bound float64) []float64
	target func(z float64) float64
	parity approx.Parity
}

func softplus(z float64) float64 { return max(z, 0) + portable.Log(1+portable.Exp(-math.Abs(z))) }

func tanh(z float64) float64 {
	e := portable.Exp(-2 * math.Abs(z))
	return math.Copysign((1-e)/(1+e), z)
}

// functions are the known activation functions, in the order in which they are
// listed. Nothing changes them. Polynomials are fitted to them: they give the same bits
// on every processor.
var functions = []function{
	{
		name:   "sigmoid",
		value:  func(z, _ float64) float64 { return Sigmoid(z) },
		slope:  func(z, _ float64) float64 { return Sigmoid(z) * Sigmoid(-z) },
		parity: approx.OddPowers,
	},
	{
		name:   "tanh",
		value:  func(z, _ float64) float64 { return tanh(z) },
		slope:  func(z, _ float64) float64 { t := tanh(z); return 1 - float64(t*t) },
		parity: approx.OddPowers,
	},
	{
		name:   "softplus",
		value:  func(z, _ float64) float64 { return softplus(z) },
		slope:  func(z, _ float64) float64 { return Sigmoid(z) },
		parity: approx.EvenPowers,
	},
	{
		name:   "relu",
		value:  func(z, _ float64) float64 { return max(z, 0) },
		slope:  func(z, _ float64) float64 { return kink(z) },
		target: softplus,
		parity: approx.EvenPowers,
	},
	{
		name:   "silu",
		value:  func(z, _ float64) float64 { return z * Sigmoid(z) },
		slope:  func(z, _ float64) float64 { return Sigmoid(z) * (1 + float64(z*Sigmoid(-z))) },
		parity: approx.EvenPowers,
	},
	{
		name:  "square",
		value: func(z, _ float64) float64 { return z * z },
		slope: func(z, _ float64) float64 { return 2 * z },
		given: func(float64) []float64 { return []float64{0, 0, 1} },
	},
	{
		name:  "identity",
		value: func(z, _ float64) float64 { return z },
		slope: func(float64, float64) float64 { return 1 },
		given: func(float64) []float64 { return []float64{0, 1} },
	},
	{
		name:  "cubic",
		value: func(z, b float64) float64 { return z - z*z*z/(3*b*b) },
		slope: func(z, b float64) float64 { return 1 - z*z/(b*b) },
		given: func(b float64) []float64 { return []float64{0, 1, 0, -1 / (3 * b * b)} },
	},
}

// kink is the slope of the ReLU, 0 at its kink.
func kink(z float64) float64 {
	if z > 0 {
		return 1
	}
	return 0
}

// ActivationNames returns the names that [NewActivation] knows.
func ActivationNames() []string {
	var names []string
	for _, f := range functions {
		names = append(names, f.name)
	}
	return names
}

// NewActivation returns the polynomial of a degree for a named function on
// [-bound, bound].
//
//	name      function           powers                    degree
//	sigmoid   1/(1+e^-z)         1/2 and odd ones          1, 3, 5, 7, 9
//	tanh      tanh z             odd                       1, 3, 5, 7, 9
//	softplus  log(1+e^z)         z/2 and even ones         1, 2, 4, 6, 8
//	relu      max(0, z)          those of softplus         1, 2, 4, 6, 8
//	silu      z/(1+e^-z)         z/2 and even ones         1, 2, 4, 6, 8
//	square    z²                 itself                    2, or 0 for this
//	identity  z                  itself                    1, or 0 for this
//	cubic     z - z³/(3·bound²)  itself                    3, or 0 for this
//
// Powers that the function does not have are exactly zero: an odd fit of an odd
// function maps zero to zero, so that padding stays zero. Softplus is the smooth
// ReLU, and relu is fitted to softplus, as in POSEIDON: the fit is the same, and
// only the exact baseline and MaxError are those of the ReLU itself, whose kink a
// polynomial would follow with waves. The cubic rises from -bound to bound, where
// its slope vanishes and its value is 2·bound/3, and falls beyond; it is close to
// bound·tanh(z/bound) and needs no other multiplication than z·(1 - z²/(3·bound²)).
//
// Errors wrap [ErrModel]: an unknown name or criterion, a bound that is not
// positive and finite, a degree that the function does not have, and an interval
// so short or long for the degree that the leading coefficient is lost in
// rounding. The criterion of square, identity and cubic is checked and ignored.
func NewActivation(name string, degree int, bound float64, by Criterion) (Activation, error) {
	at := slices.IndexFunc(functions, func(f function) bool { return f.name == name })
	var errs []error
	if at < 0 {
		errs = append(errs, fmt.Errorf("%w: no activation %q, want one of %s", ErrModel, name, strings.Join(ActivationNames(), ", ")))
	} else if err := functions[at].checkDegree(degree); err != nil {
		errs = append(errs, err)
	}
	if !(bound > 0) || math.IsInf(bound, 0) {
		errs = append(errs, fmt.Errorf("%w: activation on [-%g, %g], want a positive finite bound, such as three standard deviations of the arguments", ErrModel, bound, bound))
	}
	if by != LeastSquares && by != Minimax {
		errs = append(errs, fmt.Errorf("%w: activation fitted by %v, want LeastSquares or Minimax", ErrModel, by))
	}
	if err := errors.Join(errs...); err != nil {
		return Activation{}, err
	}

	f := &functions[at]
	a := Activation{function: f, bound: bound, fit: "exact"}
	if f.given != nil {
		a.coeffs = f.given(bound)
	} else {
		c, err := f.polynomial(degree, bound, by)
		if err != nil {
			return Activation{}, fmt.Errorf("%w: %s of degree %d: %w: want a lower degree or an interval of the size of the arguments", ErrModel, name, degree, err)
		}
		a.coeffs, a.fit = c, by.String()
	}
	a.slope = approx.Derivative(a.coeffs)
	if err := a.checkLeading(); err != nil {
		return Activation{}, err
	}
	return a, nil
}

// checkDegree refuses degrees for which the function has no polynomial, and says
// which would do.
func (f *function) checkDegree(degree int) error {
	if f.given != nil {
		if fixed := len(f.given(1)) - 1; degree != 0 && degree != fixed {
			return fmt.Errorf("%w: %s of degree %d, want %d, or 0 for the same", ErrModel, f.name, degree, fixed)
		}
		return nil
	}
	if degree < 1 || degree > maxActivationDegree {
		return fmt.Errorf("%w: %s of degree %d, want 1 to %d", ErrModel, f.name, degree, maxActivationDegree)
	}
	powers, lacking := "even powers beside z/2", degree%2 == 1 && degree > 1
	if f.parity == approx.OddPowers {
		powers, lacking = "odd powers only", degree%2 == 0
	}
	if !lacking {
		return nil
	}
	want := fmt.Sprintf("%d", degree-1)
	if degree < maxActivationDegree {
		want += fmt.Sprintf(" or %d", degree+1)
	}
	return fmt.Errorf("%w: %s of degree %d, but it has %s: want degree %s", ErrModel, f.name, degree, powers, want)
}

// polynomial fits the function. Even fits leave out the odd part, which is z/2.
func (f *function) polynomial(degree int, bound float64, by Criterion) ([]float64, error) {
	target := f.target
	if target == nil {
		target = func(z float64) float64 { return f.value(z, bound) }
	}
	fitted := degree
	if f.parity == approx.EvenPowers && degree == 1 {
		fitted = 0 // a constant beside z/2
	}
	fit := approx.LeastSquares
	if by == Minimax {
		fit = approx.Minimax
	}
	c, err := fit(target, fitted, bound, f.parity)
	if err != nil {
		return nil, err
	}
	if f.parity == approx.EvenPowers {
		if fitted == 0 {
			c = append(c, 0)
		}
		c[1] = 0.5
	}
	return c, nil
}

// checkLeading refuses a leading term that is nothing but the rounding of a fit,
// or none at all: scales are taken from it.
func (a Activation) checkLeading() error {
	const noise = 1e-12 // double precision times what conversion to powers loses
	d := a.Degree()
	lead := a.coeffs[d]
	term := math.Abs(lead) * portable.Pow(a.bound, float64(d))
	if size := approx.MaxAbs(a.Exact, a.bound); term > noise*size && !math.IsInf(term, 0) {
		return nil
	}
	bound := "smaller"
	if a.bound < 1 {
		bound = "larger"
	}
	return fmt.Errorf("%w: %s of degree %d on [-%g, %g] has the leading coefficient %g, which is lost in rounding: want a lower degree or a %s bound",
		ErrModel, a.function.name, d, a.bound, a.bound, lead, bound)
}

// Name returns the name of the function, as [NewActivation] takes it.
func (a Activation) Name() string {
	if a.function == nil {
		return ""
	}
	return a.function.name
}

// Bound returns b of the interval [-b, b].
func (a Activation) Bound() float64 { return a.bound }

// Criterion returns what the polynomial was fitted by: [LeastSquares] for those that
// are given rather than fitted.
func (a Activation) Criterion() Criterion {
	if a.fit == Minimax.String() {
		return Minimax
	}
	return LeastSquares
}

// Degree returns the degree of the polynomial.
func (a Activation) Degree() int { return len(a.coeffs) - 1 }

// Coeffs returns the coefficients of the polynomial, lowest power first.
func (a Activation) Coeffs() []float64 { return slices.Clone(a.coeffs) }

// Derivative returns the coefficients of the derivative of the polynomial, lowest
// power first. Training with another derivative, that of the function say, would
// not descend the loss that is computed.
func (a Activation) Derivative() []float64 { return slices.Clone(a.slope) }

// Apply returns the polynomial at z.
func (a Activation) Apply(z float64) float64 { return approx.Eval(a.coeffs, z) }

// Slope returns the derivative of the polynomial at z.
func (a Activation) Slope(z float64) float64 { return approx.Eval(a.slope, z) }

// Exact returns the function itself at z: for relu the ReLU, not the softplus that
// the polynomial is fitted to.
func (a Activation) Exact(z float64) float64 { return a.function.value(z, a.bound) }

// ExactSlope returns the derivative of the function itself at z; that of the ReLU
// at 0 is 0.
func (a Activation) ExactSlope(z float64) float64 { return a.function.slope(z, a.bound) }

// MaxError returns the largest distance of the polynomial from the function on the
// interval, on a fine grid. For relu it is about log 2 = 0.69, the value of softplus
// at the kink.
func (a Activation) MaxError() float64 {
	return approx.MaxAbs(func(z float64) float64 { return a.Apply(z) - a.Exact(z) }, a.bound)
}

// Odd reports whether the polynomial has neither a constant nor even powers, so
// that -z gives the negative and 0 gives 0.
func (a Activation) Odd() bool {
	for k := 0; k < len(a.coeffs); k += 2 {
		if a.coeffs[k] != 0 {
			return false
		}
	}
	return true
}

// Depth returns the levels that an evaluator takes for the polynomial, [mhe.Depth]
// of its degree.
func (a Activation) Depth() int { return mhe.Depth(a.Degree()) }

// Gain returns g for initial weights of mean 0 and variance g/fanIn with which
// arguments stay in the interval: their standard deviation is at most 1 and at
// most a third of the bound, or a quarter for degrees above 3. Beyond the interval
// a fit departs from its function like the Chebyshev polynomial of its degree; at
// 4/3 of the bound, which one argument in 16 000 would pass with a third, that is a
// factor of 5 for degree 3, but of 600 for degree 9.
//
// With independent weights, arguments are near normal, of variance g times the
// mean square of the inputs. Let v be the variance allowed and m the mean square
// of the polynomial of a normal argument of variance v. Then g = v/max(1, m) allows
// both inputs of unit variance and the outputs of a layer before with this
// activation, in a network of any number of layers. A cubic tanh with a bound of 3
// or more has g = 1, the square of the same has 1/3.
func (a Activation) Gain() float64 {
	room := a.bound / 3
	if a.Degree() > 3 {
		room = a.bound / 4
	}
	v := min(1, room*room)
	m := 0.0
	for i, ci := range a.coeffs {
		for j, cj := range a.coeffs {
			m += float64(ci * cj * normalMoment(i+j, v))
		}
	}
	return v / max(1, m)
}

// normalMoment returns the mean of the k-th power of a normal number of mean 0 and
// variance v: (k-1)!!·v^(k/2) for even k.
func normalMoment(k int, v float64) float64 {
	if k%2 == 1 {
		return 0
	}
	m := 1.0
	for i := 1; i < k; i += 2 {
		m *= float64(i) * v
	}
	return m
}

// hash returns what identifies the activation in a plan: the exact bits of the
// polynomial.
func (a Activation) hash() string {
	return fmt.Sprintf("activation %s %s %x %x", a.Name(), a.fit, a.coeffs, a.bound)
}
