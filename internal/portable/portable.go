// Package portable has elementary functions that give the same bits on every
// processor. Those of the standard library use what instructions a processor has, and
// Go fuses products and sums where it can. Here all is sums, products, quotients and
// square roots, which IEEE 754 defines to the last bit, and every product is rounded on
// its own: a conversion to float64 forbids the fusion. What parties of a study must
// agree on is computed with these.
//
// Results are within three units of the last place, but for [Pow], which loses as many
// more as the logarithm of the result has before the point, and where they are near
// zero and arguments are not, as of [Log2] near 1: there within 4e-16.
package portable

import "math"

// The logarithm of 2 in two parts, the first of 32 bits.
const (
	ln2Hi = 0x1.62e42feep-1
	ln2Lo = 0x1.a39ef35793c76p-33
)

// inverseFactorials are 1/k!: the rest of the series is below 2^-57 for arguments up to
// half of the logarithm of 2.
var inverseFactorials = [...]float64{
	1, 1, 1. / 2, 1. / 6, 1. / 24, 1. / 120, 1. / 720, 1. / 5040, 1. / 40320, 1. / 362880,
	1. / 3628800, 1. / 39916800, 1. / 479001600, 1. / 6227020800,
}

// inverseOdds are 2/(2i+1): the rest of the series of the logarithm is below 2^-60.
var inverseOdds = [...]float64{2, 2. / 3, 2. / 5, 2. / 7, 2. / 9, 2. / 11, 2. / 13, 2. / 15, 2. / 17, 2. / 19, 2. / 21, 2. / 23}

// Exp returns e^x.
func Exp(x float64) float64 {
	switch {
	case math.IsNaN(x):
		return x
	case x > 710:
		return math.Inf(1)
	case x < -746:
		return 0
	}
	k := math.Floor(float64(x/math.Ln2) + 0.5)
	r := x - float64(k*ln2Hi) - float64(k*ln2Lo)
	y := 0.0
	for i := len(inverseFactorials) - 1; i >= 0; i-- {
		y = float64(y*r) + inverseFactorials[i]
	}
	return math.Ldexp(y, int(k))
}

// Exp2 returns 2^x, exactly for integers.
func Exp2(x float64) float64 {
	whole := math.Floor(x)
	if !(math.Abs(whole) < 1<<12) { // infinite, zero, or no number
		return Exp(x)
	}
	return math.Ldexp(Exp((x-whole)*math.Ln2), int(whole))
}

// Log returns the natural logarithm of x.
func Log(x float64) float64 {
	switch {
	case math.IsNaN(x) || x < 0:
		return math.NaN()
	case x == 0:
		return math.Inf(-1)
	case math.IsInf(x, 1):
		return x
	}
	f, exp := math.Frexp(x)
	if f < math.Sqrt2/2 {
		f, exp = float64(2*f), exp-1
	}
	f--
	// log(1+f) = log((1+s)/(1-s)) = 2·(s + s³/3 + s⁵/5 + …), and 2s = f - s·f
	s := f / (2 + f)
	z := float64(s * s)
	r := 0.0
	for i := len(inverseOdds) - 1; i >= 1; i-- {
		r = float64((r + inverseOdds[i]) * z)
	}
	k, half := float64(exp), float64(float64(f*f)/2)
	return float64(k*ln2Hi) - ((half - (float64(s*(half+r)) + float64(k*ln2Lo))) - f)
}

// Log2 returns the logarithm of x to the base of 2, exactly for powers of 2.
func Log2(x float64) float64 {
	f, exp := math.Frexp(x)
	if f == 0.5 {
		return float64(exp - 1)
	}
	return float64(Log(f)*(1/math.Ln2)) + float64(exp)
}

// Pow returns x^y for x and y that are not negative.
func Pow(x, y float64) float64 {
	switch {
	case y == 0 || x == 1:
		return 1
	case y == 1 || x == 0:
		return x
	}
	return Exp(y * Log(x))
}

// Circle returns sine and cosine of 2π·x, of a turn that is not far from one: of a few
// thousand the fraction would be lost.
func Circle(x float64) (sin, cos float64) {
	quarter := math.Floor(float64(4*x) + 0.5)
	a := float64((float64(4*x) - quarter) * (math.Pi / 2)) // within ±π/4
	z := float64(a * a)
	for i := 8; i >= 1; i-- { // 1 - z/2·(1 - z/12·(1 - …)): the rest is below 2^-60
		sin = float64(z/float64(2*i*(2*i+1))) * (1 - sin)
		cos = float64(z/float64(2*i*(2*i-1))) * (1 - cos)
	}
	sin, cos = a-float64(a*sin), 1-cos
	switch int(quarter) & 3 {
	case 1:
		return cos, -sin
	case 2:
		return -sin, -cos
	case 3:
		return -cos, sin
	}
	return sin, cos
}

// Hypot returns √(x²+y²) for numbers whose squares are in range.
func Hypot(x, y float64) float64 { return math.Sqrt(float64(x*x) + float64(y*y)) }
