package nn

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/nereid-mhe/nereid/internal/portable"
	"github.com/nereid-mhe/nereid/mhe"
)

// A Network is a multilayer perceptron and how to train it: Features → Hidden… →
// Outputs, every layer with biases. All parties use the same value; it is public.
type Network struct {
	Features int // columns, without the bias
	Hidden   []Hidden
	Outputs  int // 1 for two classes or a regression, else one for each class
	Loss     NetworkLoss

	Optimiser Optimiser
	Steps     int     // training steps
	Parties   int     // data owners
	Batch     int     // rows that each party uses in a step
	Seed      uint64  // of the initial weights; public
	Gain      float64 // initial weights have variance Gain/inputs; 0 means 1

	// MaxFeature bounds the data: |x| ≤ MaxFeature. MaxTarget bounds |y|.
	MaxFeature, MaxTarget float64
}

// A Hidden is a hidden layer.
type Hidden struct {
	Units      int
	Activation Activation
	Gain       float64 // of the weights into the layer; 0 means that of the network
}

// A NetworkLoss gives the gradient of the loss with respect to the outputs:
// a polynomial of the output minus the target. See [SquaredLoss] and
// [LogisticLoss].
type NetworkLoss struct {
	name   string
	coeffs []float64 // the polynomial in place of the link
	bound  float64   // outputs are expected in [-bound, bound]
}

// SquaredLoss is half the squared error of linear outputs, of a regression or of
// classes coded 0 and 1, one output for each of several. It costs no level.
func SquaredLoss(bound float64) NetworkLoss {
	return NetworkLoss{"squared", []float64{0, 1}, bound}
}

// LogisticLoss is the cross-entropy of a sigmoid at every output: for two classes,
// or one against the others. Its gradient is σ(z) - y with σ replaced by the
// least-squares polynomial on [-bound, bound], which costs [mhe.Depth] levels.
func LogisticLoss(degree int, bound float64) (NetworkLoss, error) {
	l, err := NewLogistic(degree, bound)
	return NetworkLoss{"logistic", l.coeffs, bound}, err
}

// Name returns "squared" or "logistic".
func (l NetworkLoss) Name() string { return l.name }

// Bound returns the b of the interval [-b, b] in which outputs are expected.
func (l NetworkLoss) Bound() float64 { return l.bound }

// Degree returns the degree of the polynomial of the gradient: 1 for the squared
// loss.
func (l NetworkLoss) Degree() int { return len(l.coeffs) - 1 }

// link returns what the loss compares with the target, exactly.
func (l NetworkLoss) link(z float64) float64 {
	if l.name == "logistic" {
		return Sigmoid(z)
	}
	return z
}

// threshold is the output between the two classes of a single output.
func (l NetworkLoss) threshold() float64 {
	if l.name == "logistic" {
		return 0
	}
	return 0.5
}

func (l NetworkLoss) hash() string { return fmt.Sprintf("%s %x %x", l.name, l.coeffs, l.bound) }

// layers returns the number of layers with weights.
func (n Network) layers() int { return len(n.Hidden) + 1 }

// units returns the outputs of layer l, and inputs its inputs without the bias.
func (n Network) units(l int) int {
	if l < len(n.Hidden) {
		return n.Hidden[l].Units
	}
	return n.Outputs
}

func (n Network) inputs(l int) int {
	if l == 0 {
		return n.Features
	}
	return n.Hidden[l-1].Units
}

// rows returns the rows of all parties in a step.
func (n Network) rows() int { return n.Parties * n.Batch }

func (n Network) check() error {
	errs := []error{n.Optimiser.check(n.layers())}
	must := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("%w: "+format, append([]any{ErrModel}, args...)...))
		}
	}
	must(n.Features >= 1, "%d features", n.Features)
	for i, h := range n.Hidden {
		must(h.Units >= 1, "hidden layer %d has %d units", i+1, h.Units)
		must(len(h.Activation.Coeffs()) >= 2, "hidden layer %d has no activation", i+1)
		must(h.Gain >= 0 && !math.IsInf(h.Gain, 0), "hidden layer %d starts with a gain of %g", i+1, h.Gain)
	}
	must(n.Outputs >= 1, "%d outputs", n.Outputs)
	must(len(n.Loss.coeffs) >= 2, "no loss")
	must(n.Loss.bound > 0 && !math.IsInf(n.Loss.bound, 0), "a loss on the interval [-%g, %g]", n.Loss.bound, n.Loss.bound)
	must(n.Steps >= 1, "%d training steps, want at least 1", n.Steps)
	must(n.Parties >= 2, "%d parties, want at least 2", n.Parties)
	must(n.Batch >= 1, "a batch of %d rows", n.Batch)
	must(n.MaxFeature > 0 && !math.IsInf(n.MaxFeature, 0), "features bounded by %g", n.MaxFeature)
	must(n.MaxTarget >= 0 && !math.IsInf(n.MaxTarget, 0), "targets bounded by %g", n.MaxTarget)
	must(n.Gain >= 0 && !math.IsInf(n.Gain, 0), "a gain of %g", n.Gain)
	return errors.Join(errs...)
}

// gain returns the variance of the initial weights of layer l times its inputs.
func (n Network) gain(l int) float64 {
	if l < len(n.Hidden) && n.Hidden[l].Gain > 0 {
		return n.Hidden[l].Gain
	}
	if n.Gain > 0 {
		return n.Gain
	}
	return 1
}

// An Affine is a layer in the clear: W[k][j] by unit and input, and B[k].
type Affine struct {
	W [][]float64
	B []float64
}

// InitialWeights returns the public weights before the first step: normal numbers
// of variance Gain/inputs from the seed, and zero biases. Every party encodes them: they
// are the same bits everywhere.
func (n Network) InitialWeights() []Affine {
	normal := normals(n.Seed)
	out := make([]Affine, n.layers())
	for l := range out {
		sigma := math.Sqrt(n.gain(l) / float64(n.inputs(l)))
		a := Affine{W: make([][]float64, n.units(l)), B: make([]float64, n.units(l))}
		for k := range a.W {
			a.W[k] = make([]float64, n.inputs(l))
			for j := range a.W[k] {
				a.W[k][j] = sigma * normal()
			}
		}
		out[l] = a
	}
	return out
}

// normals returns a source of normal numbers of mean 0 and variance 1, by Marsaglia's
// polar method. That of the standard library decides by rounded products whether to
// reject a number, so that whole sequences depend on the processor.
func normals(seed uint64) func() float64 {
	rng := rand.New(rand.NewPCG(seed, 0x6e6574))
	var second float64 // of a pair
	left := false
	return func() float64 {
		if left = !left; !left {
			return second
		}
		for {
			u, v := float64(2*float64(rng.Float64()))-1, float64(2*float64(rng.Float64()))-1
			if s := float64(u*u) + float64(v*v); s > 0 && s < 1 {
				f := math.Sqrt(-2 * portable.Log(s) / s)
				second = v * f
				return u * f
			}
		}
	}
}

// Outputs returns the network's outputs for a row in the clear, with the same
// polynomials as under encryption, or with the exact functions.
func (n Network) Output(w []Affine, row []float64, exact bool) []float64 {
	x := row
	for l, a := range w {
		z := make([]float64, len(a.W))
		for k := range z {
			z[k] = a.B[k] + dot(a.W[k], x)
			if l < len(n.Hidden) {
				if f := n.Hidden[l].Activation; exact {
					z[k] = f.Exact(z[k])
				} else {
					z[k] = f.Apply(z[k])
				}
			}
		}
		x = z
	}
	return x
}

// Class returns the class that outputs stand for: the largest of several, or the
// side of the threshold of one.
func (n Network) Class(z []float64) int {
	if len(z) == 1 {
		if z[0] > n.Loss.threshold() {
			return 1
		}
		return 0
	}
	best := 0
	for c := range z {
		if z[c] > z[best] {
			best = c
		}
	}
	return best
}

// Targets returns the targets of a class: one output is the class itself, several
// are 1 at the class and 0 elsewhere. It returns an error wrapping [ErrModel] for
// a class that the network has no output for.
func (n Network) Targets(class int) ([]float64, error) {
	if classes := max(2, n.Outputs); class < 0 || class >= classes {
		return nil, fmt.Errorf("%w: class %d, the network has %d", ErrModel, class, classes)
	}
	y := make([]float64, n.Outputs)
	if n.Outputs == 1 {
		y[0] = float64(class)
	} else {
		y[class] = 1
	}
	return y, nil
}

// withoutConstant returns a polynomial with its constant term set to zero.
func withoutConstant(c []float64) []float64 {
	out := append([]float64{0}, c[1:]...)
	return out
}

// polynomialDepth returns the levels of a polynomial.
func polynomialDepth(c []float64) int { return mhe.Depth(len(c) - 1) }
