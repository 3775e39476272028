// Package approx fits polynomials to functions. It is used when a model is
// compiled, never on data. All processors get the same bits for functions of which they
// have the same bits.
package approx

import (
	"errors"
	"math"
)

// ErrFit is wrapped by every error of this package.
var ErrFit = errors.New("approx: no fit")

// samples is the number of points of a uniform grid on an interval: far more than
// coefficients, so that a mean of squares is the integral to three digits and a
// largest value is found.
const samples = 2001

// grid returns point i of the uniform grid on [-1, 1], which contains -1, 0 and 1
// and is symmetric.
func grid(i int) float64 { return 2*float64(i)/(samples-1) - 1 }

// Odd returns the polynomial f(0) + Σ c_k·x^k over odd k ≤ degree that is
// closest to f on [-bound, bound] in least squares, lowest power first. f - f(0)
// should be odd, as the sigmoid's is: even powers stay zero.
func Odd(f func(float64) float64, degree int, bound float64) ([]float64, error) {
	return LeastSquares(f, degree, bound, OddPowers)
}

// Eval returns Σ c_k·x^k.
func Eval(c []float64, x float64) float64 {
	y := 0.0
	for k := len(c) - 1; k >= 0; k-- {
		y = float64(y*x) + c[k]
	}
	return y
}

// Derivative returns the coefficients of the derivative of Σ c_k·x^k, lowest power
// first; those of a constant are {0}.
func Derivative(c []float64) []float64 {
	d := make([]float64, max(1, len(c)-1))
	for k := 1; k < len(c); k++ {
		d[k-1] = float64(k) * c[k]
	}
	return d
}

// Max returns the largest |Σ c_k·x^k - shift| on [-bound, bound], on a fine grid.
func Max(c []float64, bound, shift float64) float64 {
	return MaxAbs(func(x float64) float64 { return Eval(c, x) - shift }, bound)
}

// MaxAbs returns the largest |f(x)| on [-bound, bound], on a fine grid that
// contains both ends and 0.
func MaxAbs(f func(float64) float64, bound float64) float64 {
	m := 0.0
	for i := range samples {
		m = math.Max(m, math.Abs(f(bound*grid(i))))
	}
	return m
}
