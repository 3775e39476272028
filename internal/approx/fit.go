package approx

import (
	"fmt"
	"math"
)

// A Parity says which powers a fit may use.
type Parity int

const (
	// AnyPowers uses every power.
	AnyPowers Parity = iota
	// EvenPowers uses even powers, the constant among them, and fits the even part
	// (f(x) + f(-x))/2, which is f itself when f is even. Other powers stay zero.
	EvenPowers
	// OddPowers uses odd powers beside the constant f(0), and fits the odd part
	// (f(x) - f(-x))/2, which is f - f(0) when that is odd. Other powers stay zero.
	OddPowers
)

func (p Parity) String() string {
	switch p {
	case AnyPowers:
		return "any"
	case EvenPowers:
		return "even"
	case OddPowers:
		return "odd"
	}
	return fmt.Sprintf("Parity(%d)", int(p))
}

// Largest degrees. Fits are computed in Chebyshev polynomials and converted to
// powers, which multiplies rounding errors by up to 2^(degree-1).
const (
	maxLeastSquares = 31
	maxMinimax      = 9
)

// LeastSquares returns the polynomial of a degree, lowest power first, whose sum of
// squared distances from f on a uniform grid of [-bound, bound] is smallest.
func LeastSquares(f func(float64) float64, degree int, bound float64, parity Parity) ([]float64, error) {
	q, err := pose(f, degree, bound, parity, maxLeastSquares)
	if err != nil {
		return nil, err
	}
	rows, values := make([][]float64, samples), make([]float64, samples)
	for i := range samples {
		if values[i], err = q.value(grid(i)); err != nil {
			return nil, err
		}
		rows[i] = q.row(grid(i))
	}
	return q.powers(solve(rows, values))
}

// Minimax returns the polynomial of a degree, at most 9, lowest power first, whose
// largest distance from f on [-bound, bound] is smallest: to within 10^-5 of the
// smallest distance, by Remez's exchange of one point at a time on a grid
// that is dense at the ends. f must be continuous.
func Minimax(f func(float64) float64, degree int, bound float64, parity Parity) ([]float64, error) {
	q, err := pose(f, degree, bound, parity, maxMinimax)
	if err != nil {
		return nil, err
	}
	r, err := q.remez()
	if err != nil {
		return nil, err
	}
	for range 1000 { // a dozen in practice
		x, level := r.solve()
		worst, at := r.worst(x)
		if math.Abs(worst) <= float64(math.Abs(level)*(1+1e-9))+float64(1e-14*r.scale) {
			return q.powers(x)
		}
		r.exchange(at, math.Signbit(worst) != math.Signbit(level))
	}
	return nil, fmt.Errorf("%w: no minimax polynomial of degree %d on [-%g, %g] after 1000 exchanges", ErrFit, degree, bound, bound)
}

// A problem is a fit on [-1, 1], where Chebyshev polynomials are well scaled.
type problem struct {
	f        func(float64) float64
	degree   int
	bound    float64
	parity   Parity
	constant float64 // what is not fitted
	basis    []int   // degrees of the Chebyshev polynomials
}

func pose(f func(float64) float64, degree int, bound float64, parity Parity, most int) (problem, error) {
	first, step := 0, 2
	switch parity {
	case AnyPowers:
		step = 1
	case EvenPowers:
	case OddPowers:
		first = 1
	default:
		return problem{}, fmt.Errorf("%w: %v, want AnyPowers, EvenPowers or OddPowers", ErrFit, parity)
	}
	if degree < first || degree > most || (degree-first)%step != 0 {
		return problem{}, fmt.Errorf("%w: degree %d with %v powers, want %d to %d in steps of %d", ErrFit, degree, parity, first, most, step)
	}
	if !(bound > 0) || math.IsInf(bound, 0) {
		return problem{}, fmt.Errorf("%w: interval [-%g, %g]", ErrFit, bound, bound)
	}
	q := problem{f: f, degree: degree, bound: bound, parity: parity}
	if parity == OddPowers {
		if q.constant = f(0); !finite(q.constant) {
			return problem{}, fmt.Errorf("%w: f(0) = %g", ErrFit, q.constant)
		}
	}
	for k := first; k <= degree; k += step {
		q.basis = append(q.basis, k)
	}
	return q, nil
}

// value returns what the basis is to fit at t in [-1, 1].
func (q problem) value(t float64) (float64, error) {
	x := q.bound * t
	y := q.f(x)
	switch q.parity {
	case EvenPowers:
		y = (y + q.f(-x)) / 2
	case OddPowers:
		y = (y - q.f(-x)) / 2
	}
	if !finite(y) {
		return 0, fmt.Errorf("%w: the function at ±%g is %g", ErrFit, x, y)
	}
	return y, nil
}

// row returns the basis at t: T_k(t) by the three-term recurrence.
func (q problem) row(t float64) []float64 {
	all := make([]float64, max(2, q.degree+1))
	all[0], all[1] = 1, t
	for k := 2; k < len(all); k++ {
		all[k] = float64(2*t*all[k-1]) - all[k-2]
	}
	row := make([]float64, len(q.basis))
	for i, k := range q.basis {
		row[i] = all[k]
	}
	return row
}

// powers converts Σ x_i·T_basis[i](t), t = x/bound, to powers of x.
func (q problem) powers(x []float64) ([]float64, error) {
	c := make([]float64, q.degree+1)
	last, t := make([]float64, q.degree+2), make([]float64, q.degree+2) // T_(k-1), T_k
	t[0] = 1
	for k, i := 0, 0; k <= q.degree; k++ {
		if q.basis[i] == k {
			for j := range c {
				c[j] += float64(x[i] * t[j])
			}
			i++
		}
		next := make([]float64, len(t))
		for j := range t {
			next[j] = -last[j]
			if j > 0 {
				next[j] += 2 * t[j-1]
			}
		}
		if k == 0 { // T_1 = t, not 2t
			next[1] = 1
		}
		last, t = t, next
	}
	c[0] += q.constant
	for k, power := 0, 1.0; k < len(c); k, power = k+1, power*q.bound {
		if c[k] != 0 {
			c[k] /= power
		}
		if !finite(c[k]) {
			return nil, fmt.Errorf("%w: degree %d on [-%g, %g]: the coefficient of x^%d is %g", ErrFit, q.degree, q.bound, q.bound, k, c[k])
		}
	}
	return c, nil
}

// A remez is the state of an exchange: a reference of one point more than there
// are coefficients, on which errors of one size and alternating signs are asked.
type remez struct {
	rows   [][]float64 // basis on the grid
	values []float64   // function on the grid
	scale  float64     // largest absolute value
	ref    []int       // ascending places in the grid
}

// half is the number of grid steps from 0 to 1.
const half = 2000

// remez samples the problem and starts from the extremes of the Chebyshev
// polynomial that follows the basis. With a parity, half the interval is the
// whole problem, and there the basis has the Haar property; 0, where odd powers
// vanish, is then left out.
func (q problem) remez() (remez, error) {
	first := -half
	switch q.parity {
	case EvenPowers:
		first = 0
	case OddPowers:
		first = 1
	}
	var r remez
	for i := first; i <= half; i++ {
		u := float64(i) / half
		t := float64(float64(u*(3-float64(u*u))) / 2) // dense at the ends, as the extremes are
		y, err := q.value(t)
		if err != nil {
			return remez{}, err
		}
		r.rows, r.values = append(r.rows, q.row(t)), append(r.values, y)
		r.scale = max(r.scale, math.Abs(y))
	}
	n := len(q.basis)
	r.ref = make([]int, n+1)
	for i := range r.ref {
		r.ref[i] = i * (len(r.rows) - 1) / n
	}
	return r, nil
}

// solve returns the coefficients whose error on the reference is level, -level, …
func (r remez) solve() (x []float64, level float64) {
	m := len(r.ref)
	rows, values := make([][]float64, m), make([]float64, m)
	for i, at := range r.ref {
		rows[i] = append(append([]float64{}, r.rows[at]...), float64(1-2*(i%2)))
		values[i] = r.values[at]
	}
	x = solve(rows, values)
	return x[:m-1], x[m-1]
}

// worst returns the error of largest size, function minus polynomial, and where.
func (r remez) worst(x []float64) (worst float64, at int) {
	for i, row := range r.rows {
		e := r.values[i]
		for k := range row {
			e -= float64(row[k] * x[k])
		}
		if math.Abs(e) > math.Abs(worst) {
			worst, at = e, i
		}
	}
	return worst, at
}

// exchange takes a point into the reference for the neighbour whose error has the
// same sign, so that signs still alternate. The error there has the sign of the
// even places of the reference, or, if odd is set, of the odd places.
func (r remez) exchange(at int, odd bool) {
	parity := 0
	if odd {
		parity = 1
	}
	m := len(r.ref)
	next := 0 // first place beyond the point
	for next < m && r.ref[next] < at {
		next++
	}
	switch {
	case next < m && next%2 == parity:
		r.ref[next] = at
	case next > 0 && (next-1)%2 == parity:
		r.ref[next-1] = at
	case next == 0: // the signs shift by one place
		copy(r.ref[1:], r.ref[:m-1])
		r.ref[0] = at
	default:
		copy(r.ref, r.ref[1:])
		r.ref[m-1] = at
	}
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }
