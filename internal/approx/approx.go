// Package approx fits polynomials to functions. It is used when a model is
// compiled, never on data.
package approx

import (
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
)

// ErrFit is wrapped by every error of this package.
var ErrFit = errors.New("approx: no fit")

// samples is the number of points of a fit: far more than coefficients, so that
// the sum of squares is the integral to many digits.
const samples = 2001

// Odd returns the polynomial f(0) + Σ c_k·x^k over odd k ≤ degree that is
// closest to f on [-bound, bound] in least squares, lowest power first. f - f(0)
// should be odd, as the sigmoid's is: even powers stay zero.
func Odd(f func(float64) float64, degree int, bound float64) ([]float64, error) {
	if degree < 1 || degree%2 == 0 {
		return nil, fmt.Errorf("%w: degree %d, want an odd number from 1", ErrFit, degree)
	}
	if !(bound > 0) || math.IsInf(bound, 0) {
		return nil, fmt.Errorf("%w: interval [-%g, %g]", ErrFit, bound, bound)
	}
	n := (degree + 1) / 2
	a, b := mat.NewDense(samples, n, nil), mat.NewVecDense(samples, nil)
	for i := range samples {
		t := 2*float64(i)/(samples-1) - 1 // in [-1, 1], where powers are well scaled
		b.SetVec(i, f(bound*t)-f(0))
		for k := range n {
			a.Set(i, k, math.Pow(t, float64(2*k+1)))
		}
	}
	var x mat.VecDense
	if err := x.SolveVec(a, b); err != nil {
		return nil, fmt.Errorf("%w: degree %d on [-%g, %g]: %w", ErrFit, degree, bound, bound, err)
	}
	c := make([]float64, degree+1)
	c[0] = f(0)
	for k := range n {
		c[2*k+1] = x.AtVec(k) / math.Pow(bound, float64(2*k+1))
	}
	return c, nil
}

// Eval returns Σ c_k·x^k.
func Eval(c []float64, x float64) float64 {
	y := 0.0
	for k := len(c) - 1; k >= 0; k-- {
		y = y*x + c[k]
	}
	return y
}

// Max returns the largest |Σ c_k·x^k - shift| on [-bound, bound], on a fine grid.
func Max(c []float64, bound, shift float64) float64 {
	m := 0.0
	for i := range samples {
		x := bound * (2*float64(i)/(samples-1) - 1)
		m = math.Max(m, math.Abs(Eval(c, x)-shift))
	}
	return m
}
