package mhe

import (
	"math/big"
	"math/bits"
	"sync"
)

// A fourier is the Fourier transform behind encoding, from slots to coefficients. It
// gives the same bits on every processor: parties encode the same public values, and
// polynomials that differ in one coefficient do not cancel. Lattigo's does not, since Go
// fuses products and sums where the processor can, and since libraries compute sines as
// the processor suits. Here roots come from exact integer arithmetic, and every product is rounded on its
// own: a conversion to float64 forbids the fusion.
type fourier struct {
	// roots has exp(-2πi·5^j/4m) for the stage that joins transforms of size m/2 to one
	// of m, for j < m/2, at m/2 + j.
	roots []complex128
}

// fouriers are the transforms that were prepared, by the largest size: tables of roots,
// which never change.
var fouriers = struct {
	sync.Mutex
	made map[int]*fourier
}{made: map[int]*fourier{}}

// newFourier prepares transforms of sizes up to n, a power of two.
func newFourier(n int) *fourier {
	fouriers.Lock()
	defer fouriers.Unlock()
	f := fouriers.made[n]
	if f == nil {
		f = &fourier{stageRoots(n)}
		fouriers.made[n] = f
	}
	return f
}

// inverse replaces values, as many as a power of two up to the largest size, by the
// coefficients of the polynomial that has them in its slots.
func (f *fourier) inverse(values []complex128) {
	n := len(values)
	for m := n; m > 1; m /= 2 {
		h := m / 2
		roots := f.roots[h:m]
		for at := 0; at < n; at += m {
			lo, hi := values[at:at+h:at+h], values[at+h:at+m:at+m]
			for j, r := range roots {
				x, y := lo[j], hi[j]
				lo[j], hi[j] = x+y, times(x-y, r)
			}
		}
	}
	scale, shift := 1/float64(n), 64-bits.Len(uint(n-1)) // exact
	for i, v := range values {
		values[i] = complex(real(v)*scale, imag(v)*scale)
	}
	for i := range values {
		if j := int(bits.Reverse64(uint64(i)) >> shift); n > 1 && i < j {
			values[i], values[j] = values[j], values[i]
		}
	}
}

// times returns x·y, every operation rounded.
func times(x, y complex128) complex128 {
	return complex(
		float64(real(x)*real(y))-float64(imag(x)*imag(y)),
		float64(real(x)*imag(y))+float64(imag(x)*real(y)),
	)
}

// stageRoots returns the roots of all stages up to size n.
func stageRoots(n int) []complex128 {
	order := 4 * n
	eighth := rootsOfUnity(order)
	roots := make([]complex128, n)
	for m := 2; m <= n; m *= 2 {
		power := 1 // of 5, modulo 4m
		for j := range m / 2 {
			roots[m/2+j] = root(eighth, order, (4*m-power)*(order/(4*m)))
			power = power * 5 % (4 * m)
		}
	}
	return roots
}

// root returns exp(2πi·k/order), by symmetry from the first eighth of the circle.
func root(eighth []complex128, order, k int) complex128 {
	switch {
	case k > order/2:
		z := root(eighth, order, order-k)
		return complex(real(z), -imag(z))
	case k > order/4:
		z := root(eighth, order, order/2-k)
		return complex(-real(z), imag(z))
	case k > order/8:
		z := eighth[order/4-k]
		return complex(imag(z), real(z))
	}
	return eighth[k]
}

// rootPrecision is that of roots in bits before they are rounded: products of some 20
// lose a few.
const rootPrecision = 96

// rootsOfUnity returns exp(2πi·k/order) for k up to an eighth of the order, a power of
// two from 8. Square roots and products of big floats are the same everywhere.
func rootsOfUnity(order int) []complex128 {
	big1 := func(x float64) *big.Float { return new(big.Float).SetPrec(rootPrecision).SetFloat64(x) }
	type point struct{ x, y *big.Float }
	// halves[l] is exp(2πi/2^l)
	half := big1(0.5)
	diagonal := new(big.Float).Sqrt(half)
	halves := map[int]point{3: {diagonal, diagonal}}
	last := bits.Len(uint(order)) - 1
	for l := 4; l <= last; l++ { // cos(t/2) = √((1+cos t)/2), sin(t/2) = sin t / (2 cos(t/2))
		p := halves[l-1]
		x := new(big.Float).Add(big1(1), p.x)
		x.Sqrt(x.Mul(x, half))
		y := new(big.Float).Quo(p.y, x)
		halves[l] = point{x, y.Mul(y, half)}
	}
	all := make([]point, order/8+1)
	all[0] = point{big1(1), big1(0)}
	a, b := new(big.Float), new(big.Float)
	for k := 1; k < len(all); k++ {
		low := k & -k
		p, q := all[k-low], halves[last-bits.TrailingZeros(uint(low))]
		x, y := new(big.Float), new(big.Float)
		x.Sub(a.Mul(p.x, q.x), b.Mul(p.y, q.y))
		y.Add(a.Mul(p.x, q.y), b.Mul(p.y, q.x))
		all[k] = point{x, y}
	}
	out := make([]complex128, len(all))
	for k, p := range all {
		x, _ := p.x.Float64()
		y, _ := p.y.Float64()
		out[k] = complex(x, y)
	}
	return out
}
