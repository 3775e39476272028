package nn_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/nn"
)

func fittedActivation(t testing.TB, name string, degree int, bound float64, by nn.Criterion) nn.Activation {
	t.Helper()
	a, err := nn.NewActivation(name, degree, bound, by)
	require.NoError(t, err)
	return a
}

// activationDegrees lists the degrees of every name.
var activationDegrees = map[string][]int{
	"sigmoid": {1, 3, 5, 7, 9}, "tanh": {1, 3, 5, 7, 9},
	"softplus": {1, 2, 4, 6, 8}, "relu": {1, 2, 4, 6, 8}, "silu": {1, 2, 4, 6, 8},
	"square": {2}, "identity": {1}, "cubic": {3},
}

// eachActivation runs a test for every name, degree and criterion and some bounds.
func eachActivation(t *testing.T, test func(t *testing.T, a nn.Activation)) {
	require.Len(t, activationDegrees, len(nn.ActivationNames()))
	for _, name := range nn.ActivationNames() {
		for _, degree := range activationDegrees[name] {
			for _, by := range []nn.Criterion{nn.LeastSquares, nn.Minimax} {
				for _, bound := range []float64{1, 2.5, 6, 12} {
					t.Run(fmt.Sprintf("%s/%d/%g/%v", name, degree, bound, by), func(t *testing.T) {
						a := fittedActivation(t, name, degree, bound, by)
						require.Equal(t, name, a.Name())
						require.Equal(t, degree, a.Degree())
						require.Equal(t, bound, a.Bound())
						test(t, a)
					})
				}
			}
		}
	}
}

func TestActivationSlopes(t *testing.T) {
	eachActivation(t, func(t *testing.T, a nn.Activation) {
		for _, u := range []float64{-1.2, -1, -0.6, -0.1, 0.05, 0.4, 0.9, 1, 1.3} {
			z, h := u*a.Bound(), 1e-4
			difference := func(f func(float64) float64) float64 { return (f(z+h) - f(z-h)) / (2 * h) }
			require.InEpsilon(t, 1+difference(a.Apply), 1+a.Slope(z), 1e-5)
			require.InDelta(t, difference(a.Exact), a.ExactSlope(z), 1e-6)

			y, s := 0.0, 0.0 // the coefficients are those of Apply and Slope
			for k, c := range a.Coeffs() {
				y += c * math.Pow(z, float64(k))
			}
			for k, c := range a.Derivative() {
				s += c * math.Pow(z, float64(k))
			}
			require.InDelta(t, y, a.Apply(z), 1e-9*(1+math.Abs(y)))
			require.InDelta(t, s, a.Slope(z), 1e-9*(1+math.Abs(s)))
		}
	})
}

// Powers that the function lacks are zero, not small.
func TestActivationParity(t *testing.T) {
	eachActivation(t, func(t *testing.T, a nn.Activation) {
		c := a.Coeffs()
		switch a.Name() {
		case "sigmoid", "tanh", "identity", "cubic":
			for k := 2; k < len(c); k += 2 {
				require.Zero(t, c[k])
			}
			require.Equal(t, a.Exact(0), c[0])
			require.Equal(t, a.Name() != "sigmoid", a.Odd())
		case "softplus", "relu", "silu":
			require.Equal(t, 0.5, c[1])
			for k := 3; k < len(c); k += 2 {
				require.Zero(t, c[k])
			}
			require.False(t, a.Odd())
		case "square":
			require.False(t, a.Odd())
		}
		if a.Odd() {
			require.Zero(t, a.Apply(0))
			require.Equal(t, -a.Apply(a.Bound()/3), a.Apply(-a.Bound()/3))
		}
	})
}

// MaxError falls with the degree, and minimax is never worse than least squares.
func TestActivationFitQuality(t *testing.T) {
	for name, degrees := range activationDegrees {
		if name == "relu" || len(degrees) == 1 {
			continue
		}
		for _, bound := range []float64{1, 3, 6, 12} {
			last := [2]float64{math.Inf(1), math.Inf(1)}
			for _, degree := range degrees {
				var now [2]float64
				for i, by := range []nn.Criterion{nn.LeastSquares, nn.Minimax} {
					a := fittedActivation(t, name, degree, bound, by)
					now[i] = a.MaxError()
					require.Less(t, now[i], last[i], "%s, degree %d on ±%g by %v", name, degree, bound, by)
				}
				require.LessOrEqual(t, now[1], now[0]*(1+1e-5), "%s, degree %d on ±%g", name, degree, bound)
				last = now
			}
		}
	}
	for _, tt := range []struct {
		name     string
		degree   int
		bound    float64
		by       nn.Criterion
		maxError float64
	}{
		{"sigmoid", 3, 6, nn.LeastSquares, 0.0814},
		{"sigmoid", 3, 6, nn.Minimax, 0.0561},
		{"sigmoid", 7, 6, nn.Minimax, 0.00743},
		{"tanh", 3, 2, nn.Minimax, 0.0455},
		{"softplus", 2, 4, nn.Minimax, 0.0593},
		{"silu", 4, 4, nn.Minimax, 0.0348},
	} {
		require.InEpsilon(t, tt.maxError, fittedActivation(t, tt.name, tt.degree, tt.bound, tt.by).MaxError(), 0.005, "%+v", tt)
	}
	for _, name := range []string{"square", "identity", "cubic"} {
		require.InDelta(t, 0, fittedActivation(t, name, 0, 2, nn.Minimax).MaxError(), 1e-15)
	}
}

// The ReLU has the polynomial of its smooth twin and a baseline of its own.
func TestActivationReLU(t *testing.T) {
	relu, smooth := fittedActivation(t, "relu", 4, 5, nn.Minimax), fittedActivation(t, "softplus", 4, 5, nn.Minimax)
	require.Equal(t, smooth.Coeffs(), relu.Coeffs())
	require.InDelta(t, math.Ln2, relu.MaxError(), smooth.MaxError()+1e-9)
	for z, want := range map[float64]float64{-2: 0, 0: 0, 3: 3} {
		require.Equal(t, want, relu.Exact(z))
	}
	require.Equal(t, 0.0, relu.ExactSlope(-1))
	require.Equal(t, 0.0, relu.ExactSlope(0))
	require.Equal(t, 1.0, relu.ExactSlope(1))
}

func TestActivationCubic(t *testing.T) {
	a := fittedActivation(t, "cubic", 0, 1.2, nn.LeastSquares)
	require.InDeltaSlice(t, []float64{0, 1, 0, -0.2315}, a.Coeffs(), 1e-4)
	require.InDelta(t, 0, a.Slope(1.2), 1e-15)
	require.InDelta(t, 0.8, a.Apply(1.2), 1e-15)
	require.Equal(t, a, fittedActivation(t, "cubic", 3, 1.2, nn.LeastSquares), "0 is the degree of the cubic")
}

func TestActivationDepth(t *testing.T) {
	for _, tt := range []struct {
		name          string
		degree, depth int
	}{
		{"identity", 0, 0},
		{"tanh", 1, 0},
		{"softplus", 1, 0},
		{"square", 0, 1},
		{"silu", 2, 1},
		{"cubic", 0, 2},
		{"tanh", 3, 2},
		{"silu", 4, 2},
		{"tanh", 5, 3},
		{"silu", 6, 3},
		{"tanh", 7, 4},
		{"silu", 8, 4},
		{"tanh", 9, 5},
	} {
		require.Equal(t, tt.depth, fittedActivation(t, tt.name, tt.degree, 4, nn.Minimax).Depth(), "%+v", tt)
	}
}

// Arguments of a deep network with initial weights of the gain have at most the
// deviation promised in every layer.
func TestActivationGain(t *testing.T) {
	const width, layers, rows = 64, 5, 40
	for name, degrees := range activationDegrees {
		for _, bound := range []float64{1, 2, 3, 8} {
			a := fittedActivation(t, name, degrees[len(degrees)-1], bound, nn.LeastSquares)
			g := a.Gain()
			require.Greater(t, g, 0.0)
			require.LessOrEqual(t, g, 1.0)
			r := rand.New(rand.NewPCG(1, uint64(bound)))
			x := make([][]float64, rows)
			for i := range x {
				x[i] = make([]float64, width)
				for j := range x[i] {
					x[i][j] = r.NormFloat64()
				}
			}
			for layer := range layers {
				sum := 0.0
				y := make([][]float64, rows)
				for i := range y {
					y[i] = make([]float64, width)
				}
				for k := range width {
					w := make([]float64, width)
					for j := range w {
						w[j] = r.NormFloat64() * math.Sqrt(g/width)
					}
					for i := range x {
						z := 0.0
						for j := range w {
							z += w[j] * x[i][j]
						}
						sum += z * z
						y[i][k] = a.Apply(z)
					}
				}
				deviation := math.Sqrt(sum / (rows * width))
				require.Less(t, deviation, 1.25*min(1, bound/3), "%s on ±%g, layer %d", name, bound, layer)
				x = y
			}
		}
	}
	require.Equal(t, 1.0, fittedActivation(t, "tanh", 3, 3, nn.Minimax).Gain())
	require.InDelta(t, 1.0/3, fittedActivation(t, "square", 0, 3, nn.Minimax).Gain(), 1e-15)
	require.InDelta(t, 0.16, fittedActivation(t, "cubic", 0, 1.2, nn.Minimax).Gain(), 1e-15)
}

func TestActivationZeroValue(t *testing.T) {
	var a nn.Activation
	require.Empty(t, a.Coeffs())
	require.Empty(t, a.Name())
}

func TestActivationIsImmutable(t *testing.T) {
	a := fittedActivation(t, "tanh", 3, 2, nn.Minimax)
	y, s := a.Apply(1), a.Slope(1)
	a.Coeffs()[1], a.Derivative()[0] = 9, 9
	require.Equal(t, y, a.Apply(1))
	require.Equal(t, s, a.Slope(1))
}

func TestActivationRefuses(t *testing.T) {
	for _, tt := range []struct {
		name   string
		degree int
		bound  float64
		by     nn.Criterion
		want   string
	}{
		{"gelu", 3, 4, nn.Minimax, `no activation "gelu", want one of sigmoid, tanh, softplus, relu, silu, square, identity, cubic`},
		{"", 3, 4, nn.Minimax, "want one of sigmoid"},
		{"Tanh", 3, 4, nn.Minimax, "want one of sigmoid"},
		{"tanh", 0, 4, nn.Minimax, "degree 0, want 1 to 9"},
		{"tanh", -1, 4, nn.Minimax, "degree -1, want 1 to 9"},
		{"softplus", 10, 4, nn.Minimax, "degree 10, want 1 to 9"},
		{"tanh", 4, 4, nn.Minimax, "want degree 3 or 5"},
		{"sigmoid", 8, 4, nn.LeastSquares, "want degree 7 or 9"},
		{"softplus", 3, 4, nn.Minimax, "want degree 2 or 4"},
		{"silu", 9, 4, nn.Minimax, "want degree 8"},
		{"square", 3, 4, nn.Minimax, "square of degree 3, want 2"},
		{"identity", 2, 4, nn.Minimax, "identity of degree 2, want 1"},
		{"cubic", 5, 4, nn.Minimax, "cubic of degree 5, want 3"},
		{"tanh", 3, 0, nn.Minimax, "positive finite bound"},
		{"tanh", 3, -2, nn.Minimax, "positive finite bound"},
		{"tanh", 3, math.NaN(), nn.Minimax, "positive finite bound"},
		{"square", 0, math.Inf(1), nn.Minimax, "positive finite bound"},
		{"tanh", 3, 2, nn.Criterion(2), "Criterion(2), want LeastSquares or Minimax"},
		{"cubic", 3, 2, nn.Criterion(-1), "want LeastSquares or Minimax"},
		{"tanh", 9, 0.01, nn.Minimax, "lower degree or a larger bound"},
		{"tanh", 9, 0.01, nn.LeastSquares, "lower degree or a larger bound"},
		{"tanh", 3, 1e-200, nn.LeastSquares, "want a lower degree"},
		{"tanh", 9, 1e60, nn.Minimax, "want a lower degree or a smaller bound"},
		{"silu", 8, 1e60, nn.Minimax, "want a lower degree or a smaller bound"},
		{"square", 0, 1e200, nn.Minimax, "smaller bound"},
		{"cubic", 0, 1e-200, nn.Minimax, "larger bound"},
		{"cubic", 0, 1e200, nn.Minimax, "smaller bound"},
	} {
		_, err := nn.NewActivation(tt.name, tt.degree, tt.bound, tt.by)
		require.ErrorIs(t, err, nn.ErrModel, "%+v", tt)
		require.ErrorContains(t, err, tt.want)
	}
	_, err := nn.NewActivation("gelu", 3, -1, 7)
	for _, want := range []string{"gelu", "[--1, -1]", "Criterion(7)"} {
		require.ErrorContains(t, err, want, "every violation is reported")
	}
}

// A degree-3 tanh for arguments within ±2.
func ExampleNewActivation() {
	a, err := nn.NewActivation("tanh", 3, 2, nn.Minimax)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.4f, error at most %.3f, %d levels\n", a.Coeffs(), a.MaxError(), a.Depth())
	fmt.Printf("odd: %v, weights of variance %.2f/fanIn\n", a.Odd(), a.Gain())

	_, err = nn.NewActivation("tanh", 4, 2, nn.Minimax)
	fmt.Println(err)
	// Output:
	// [0.0000 0.8581 0.0000 -0.0997], error at most 0.046, 2 levels
	// odd: true, weights of variance 0.44/fanIn
	// nn: model: tanh of degree 4, but it has odd powers only: want degree 3 or 5
}
