package approx_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/integrate/quad"
	"gonum.org/v1/gonum/mat"

	"github.com/nereid-mhe/nereid/internal/approx"
)

func distance(f func(float64) float64, c []float64, bound float64) float64 {
	return approx.MaxAbs(func(x float64) float64 { return f(x) - approx.Eval(c, x) }, bound)
}

// Minimax polynomials that are known in closed form, and one known error.
func TestMinimaxKnown(t *testing.T) {
	power := func(k float64) func(float64) float64 { return func(x float64) float64 { return math.Pow(x, k) } }
	for _, tt := range []struct {
		name   string
		f      func(float64) float64
		degree int
		bound  float64
		parity approx.Parity
		want   []float64
	}{
		{"|x|", math.Abs, 2, 1, approx.AnyPowers, []float64{0.125, 0, 1}},
		{"|x|", math.Abs, 2, 1, approx.EvenPowers, []float64{0.125, 0, 1}},
		{"|x| on [-4, 4]", math.Abs, 2, 4, approx.EvenPowers, []float64{0.5, 0, 0.25}},
		{"|x| by a constant", math.Abs, 0, 1, approx.EvenPowers, []float64{0.5}},
		{"|x|, degree 1", math.Abs, 1, 1, approx.AnyPowers, []float64{0.5, 0}},
		{"e^x, degree 1", math.Exp, 1, 1, approx.AnyPowers, []float64{
			(math.E - math.Sinh(1)*math.Log(math.Sinh(1))) / 2, math.Sinh(1),
		}},
		// x^n less T_n/2^(n-1)
		{"x^2", power(2), 1, 1, approx.AnyPowers, []float64{0.5, 0}},
		{"x^3", power(3), 2, 1, approx.AnyPowers, []float64{0, 0.75, 0}},
		{"x^3", power(3), 1, 2, approx.OddPowers, []float64{0, 3}},
		{"x^5", power(5), 3, 1, approx.OddPowers, []float64{0, -5. / 16, 0, 20. / 16}},
		{"x^5", power(5), 4, 1, approx.AnyPowers, []float64{0, -5. / 16, 0, 20. / 16, 0}},
		{"x^10", power(10), 8, 1, approx.EvenPowers, []float64{1. / 512, 0, -50. / 512, 0, 400. / 512, 0, -1120. / 512, 0, 1280. / 512}},
		// in the span
		{"x^3 itself", power(3), 5, 2, approx.OddPowers, []float64{0, 0, 0, 1, 0, 0}},
		{"x^2 itself", power(2), 3, 2, approx.AnyPowers, []float64{0, 0, 1, 0}},
		{"0", func(float64) float64 { return 0 }, 3, 2, approx.AnyPowers, []float64{0, 0, 0, 0}},
		// the part of the parity wanted
		{"x^2+x^3+7, odd", func(x float64) float64 { return x*x*x + x*x + 7 }, 3, 2, approx.OddPowers, []float64{7, 0, 0, 1}},
		{"x^2+x^3+7, even", func(x float64) float64 { return x*x*x + x*x + 7 }, 2, 2, approx.EvenPowers, []float64{7, 0, 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := approx.Minimax(tt.f, tt.degree, tt.bound, tt.parity)
			require.NoError(t, err)
			require.InDeltaSlice(t, tt.want, c, 2e-6)
		})
	}
	c, err := approx.Minimax(math.Abs, 4, 1, approx.EvenPowers)
	require.NoError(t, err)
	require.InDelta(t, 0.0676210, distance(math.Abs, c, 1), 1e-6) // Varga and Carpenter 1985
}

// Chebyshev's theorem: a polynomial is the closest one if and only if its error
// reaches its largest size with alternating signs one time more than there are
// coefficients, two times with the zero ones of a parity.
func TestMinimaxEquioscillates(t *testing.T) {
	functions := []struct {
		f      func(float64) float64
		parity approx.Parity
		first  int
	}{
		{sigmoid, approx.OddPowers, 1},
		{math.Tanh, approx.OddPowers, 1},
		{math.Exp, approx.AnyPowers, 0},
		{func(x float64) float64 { return x * math.Tanh(x/2) }, approx.EvenPowers, 0},
		{math.Abs, approx.EvenPowers, 0},
	}
	for _, fn := range functions {
		for degree := fn.first; degree <= 9; degree++ {
			if fn.parity != approx.AnyPowers && degree%2 != fn.first {
				continue
			}
			for _, bound := range []float64{1, 3, 8} {
				c, err := approx.Minimax(fn.f, degree, bound, fn.parity)
				require.NoError(t, err)
				worst := distance(fn.f, c, bound)
				turns, last := 0, 0.0
				const n = 100_000
				for i := range n + 1 {
					x := bound * (2*float64(i)/n - 1)
					e := fn.f(x) - approx.Eval(c, x)
					if math.Abs(e) < worst*(1-1e-4)-1e-12 || e*last > 0 {
						continue
					}
					turns, last = turns+1, e
				}
				require.GreaterOrEqual(t, turns, degree+2, "%v powers, degree %d, bound %g, error %g", fn.parity, degree, bound, worst)

				l, err := approx.LeastSquares(fn.f, degree, bound, fn.parity)
				require.NoError(t, err)
				require.LessOrEqual(t, worst, distance(fn.f, l, bound)*(1+1e-5)+1e-12)
			}
		}
	}
}

// The normal equations of the powers on the same points, in a basis of their own.
func TestLeastSquaresSolvesTheNormalEquations(t *testing.T) {
	const n, bound = 2001, 3.0
	for _, tt := range []struct {
		parity approx.Parity
		powers []int
	}{
		{approx.AnyPowers, []int{0, 1, 2, 3, 4}},
		{approx.EvenPowers, []int{0, 2, 4}},
		{approx.OddPowers, []int{1, 3, 5}},
	} {
		k := len(tt.powers)
		gram, rhs := mat.NewSymDense(k, nil), mat.NewVecDense(k, nil)
		for i := range n {
			u := 2*float64(i)/(n-1) - 1
			y := math.Exp(bound * u)
			if tt.parity == approx.OddPowers {
				y--
			}
			for a, p := range tt.powers {
				rhs.SetVec(a, rhs.AtVec(a)+y*math.Pow(u, float64(p)))
				for b := a; b < k; b++ {
					gram.SetSym(a, b, gram.At(a, b)+math.Pow(u, float64(p+tt.powers[b])))
				}
			}
		}
		var chol mat.Cholesky
		require.True(t, chol.Factorize(gram))
		var x mat.VecDense
		require.NoError(t, chol.SolveVecTo(&x, rhs))
		want := make([]float64, tt.powers[k-1]+1)
		for a, p := range tt.powers {
			want[p] = x.AtVec(a) / math.Pow(bound, float64(p))
		}
		if tt.parity == approx.OddPowers {
			want[0] = 1
		}
		c, err := approx.LeastSquares(math.Exp, len(want)-1, bound, tt.parity)
		require.NoError(t, err)
		require.InDeltaSlice(t, want, c, 1e-9)
	}
}

// The integral's projections on Legendre polynomials, to what a grid can tell.
func TestLeastSquaresIsTheLegendreProjection(t *testing.T) {
	legendre := [][]float64{{1}, {0, 1}, {-0.5, 0, 1.5}, {0, -1.5, 0, 2.5}}
	c, err := approx.LeastSquares(math.Exp, 3, 1, approx.AnyPowers)
	require.NoError(t, err)
	for _, x := range []float64{-1, -0.3, 0, 0.5, 1} {
		want := 0.0
		for k, p := range legendre {
			dot := quad.Fixed(func(t float64) float64 { return math.Exp(t) * approx.Eval(p, t) }, -1, 1, 30, quad.Legendre{}, 0)
			want += dot * (2*float64(k) + 1) / 2 * approx.Eval(p, x)
		}
		require.InDelta(t, want, approx.Eval(c, x), 1e-4)
	}
}

func TestFitsKeepParity(t *testing.T) {
	for _, fit := range fits {
		for degree := 1; degree <= 9; degree++ {
			parity := approx.EvenPowers
			if degree%2 == 1 {
				parity = approx.OddPowers
			}
			c, err := fit(math.Exp, degree, 2, parity)
			require.NoError(t, err)
			require.Len(t, c, degree+1)
			for k := degree - 1; k > 0; k -= 2 {
				require.Zero(t, c[k])
			}
			if parity == approx.OddPowers {
				require.Equal(t, 1.0, c[0])
			}
		}
	}
}

var fits = map[string]func(func(float64) float64, int, float64, approx.Parity) ([]float64, error){
	"least squares": approx.LeastSquares,
	"minimax":       approx.Minimax,
}

func TestFitsRefuse(t *testing.T) {
	step := func(x float64) float64 { return math.Tanh(x / 1e-200) }
	hole := func(x float64) float64 { return 1 / x }
	for name, fit := range fits {
		for _, tt := range []struct {
			f      func(float64) float64
			degree int
			bound  float64
			parity approx.Parity
		}{
			{math.Exp, -1, 1, approx.AnyPowers},
			{math.Exp, -2, 1, approx.EvenPowers},
			{math.Exp, 0, 1, approx.OddPowers},
			{math.Exp, 2, 1, approx.OddPowers},
			{math.Exp, 3, 1, approx.EvenPowers},
			{math.Exp, 40, 1, approx.AnyPowers},
			{math.Exp, 3, 1, approx.Parity(3)},
			{math.Exp, 3, 1, approx.Parity(-1)},
			{math.Exp, 3, 0, approx.AnyPowers},
			{math.Exp, 3, -1, approx.AnyPowers},
			{math.Exp, 3, math.Inf(1), approx.AnyPowers},
			{math.Exp, 3, math.NaN(), approx.AnyPowers},
			{step, 3, 1e-200, approx.AnyPowers}, // no finite coefficient of x³
			{math.Exp, 3, 1000, approx.AnyPowers},
			{hole, 3, 1, approx.OddPowers},
			{hole, 2, 1, approx.EvenPowers},
			{math.Log, 2, 1, approx.AnyPowers},
		} {
			_, err := fit(tt.f, tt.degree, tt.bound, tt.parity)
			require.ErrorIs(t, err, approx.ErrFit, "%s %d %g %v", name, tt.degree, tt.bound, tt.parity)
		}
	}
	_, err := approx.Minimax(math.Exp, 10, 1, approx.AnyPowers)
	require.ErrorIs(t, err, approx.ErrFit)
}

func TestDerivative(t *testing.T) {
	require.Equal(t, []float64{2, 6, 12}, approx.Derivative([]float64{1, 2, 3, 4}))
	require.Equal(t, []float64{0}, approx.Derivative([]float64{5}))
	require.Equal(t, []float64{0}, approx.Derivative(nil))
}

func TestMaxAbs(t *testing.T) {
	require.Equal(t, 9.0, approx.MaxAbs(func(x float64) float64 { return -x * x }, 3))
	require.Equal(t, 5.0, approx.MaxAbs(func(x float64) float64 { return 5 - math.Abs(x) }, 3))
}
