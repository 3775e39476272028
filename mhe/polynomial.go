package mhe

import (
	"fmt"
	"math"
	"math/big"
	"slices"
	"sync"
)

// Polynomials implements [Evaluator]. An odd polynomial is x·h(x²), any other is
// a polynomial in x² with coefficients a + b·x; both are evaluated by Horner's rule
// in x², with the leading coefficient in the scale: constants cost neither levels
// nor multiplications, a term b·x below the first costs a product with data.
func (e engine) Polynomials(x Tensor, coeffs ...[]float64) ([]Tensor, error) {
	out := make([]Tensor, len(coeffs))
	square := sync.OnceValues(func() (Tensor, error) { return e.mul("Polynomials", x, x) })
	for i, c := range coeffs {
		c = trim(c)
		if slices.ContainsFunc(c, func(x float64) bool { return math.IsNaN(x) || math.IsInf(x, 0) }) {
			return nil, fmt.Errorf("%w: Polynomials with coefficients %g", ErrShape, c)
		}
		if len(c) < 2 {
			return nil, fmt.Errorf("%w: Polynomials of degree %d, want at least 1", ErrShape, len(c)-1)
		}
		if err := e.encrypted("Polynomials", Depth(len(c)-1), x); err != nil {
			return nil, err
		}
		var err error
		if odd(c) {
			out[i], err = e.oddPolynomial(x, square, c)
		} else {
			out[i], err = e.anyPolynomial(x, square, c)
		}
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Polynomial returns Σ_k coeffs[k]·x^k in every slot, see [Evaluator].
func Polynomial(ev Evaluator, coeffs []float64, x Tensor) (Tensor, error) {
	out, err := ev.Polynomials(x, coeffs)
	if err != nil {
		return Tensor{}, err
	}
	return out[0], nil
}

// odd reports whether c has odd powers only, but for the constant.
func odd(c []float64) bool {
	for k := 2; k < len(c); k += 2 {
		if c[k] != 0 {
			return false
		}
	}
	return true
}

func (e engine) oddPolynomial(x Tensor, square func() (Tensor, error), c []float64) (Tensor, error) {
	d := len(c) - 1
	if d == 1 {
		return e.addConst(e.scaled(x, c[1]), c[0])
	}
	t, err := square()
	if err != nil {
		return Tensor{}, err
	}
	acc := e.scaled(t, c[d])
	for k := d - 2; k >= 1; k -= 2 {
		if acc, err = e.addConst(acc, c[k]); err != nil {
			return Tensor{}, err
		}
		next := t
		if k == 1 {
			next = x
		}
		if acc, err = e.mul("Polynomials", acc, next); err != nil {
			return Tensor{}, err
		}
	}
	return e.addConst(acc, c[0])
}

func (e engine) anyPolynomial(x Tensor, square func() (Tensor, error), c []float64) (Tensor, error) {
	t, err := square()
	if err != nil {
		return Tensor{}, err
	}
	d := len(c) - 1
	var acc Tensor
	k := d - d%2 // even power of the first pair
	if d%2 == 1 {
		if acc, err = e.addConst(e.scaled(x, c[d]), c[k]); err != nil {
			return Tensor{}, err
		}
		if acc, err = e.mul("Polynomials", acc, t); err != nil {
			return Tensor{}, err
		}
	} else {
		acc = e.scaled(t, c[d])
	}
	for k -= 2; ; k -= 2 {
		if c[k+1] != 0 {
			if acc, err = e.AddScaled(acc, Plain(slices.Repeat([]float64{c[k+1]}, minPeriod)), x); err != nil {
				return Tensor{}, err
			}
		}
		if acc, err = e.addConst(acc, c[k]); err != nil || k == 0 {
			return acc, err
		}
		if acc, err = e.mul("Polynomials", acc, t); err != nil {
			return Tensor{}, err
		}
	}
}

// Depth returns the levels that a polynomial of the given degree costs.
func Depth(degree int) int {
	if degree < 2 {
		return 0
	}
	return (degree + 1) / 2
}

func trim(c []float64) []float64 {
	for len(c) > 0 && c[len(c)-1] == 0 {
		c = c[:len(c)-1]
	}
	return c
}

// scaled returns c·x by changing the scale: |c| goes into the scale, the sign
// into the ciphertext.
func (e engine) scaled(x Tensor, c float64) Tensor {
	z := x
	if c < 0 {
		z = e.be.negate(x)
	}
	a := math.Abs(c)
	scale := scaleQuo(x.scale, new(big.Float).SetPrec(scalePrec).SetFloat64(a))
	return e.like(e.be.reinterpret(z, a), x, x.level, scale)
}

func (e engine) addConst(x Tensor, c float64) (Tensor, error) {
	if c == 0 {
		return x, nil
	}
	z, err := e.be.addPlain(x, Plain(slices.Repeat([]float64{c}, 8)), false)
	return e.like(z, x, x.level, x.scale), err
}
