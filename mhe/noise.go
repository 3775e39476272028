package mhe

import (
	"fmt"
	"math"
	"math/big"

	"github.com/nereid-mhe/nereid/internal/portable"
	"github.com/nereid-mhe/nereid/mhe/rns"
	"github.com/nereid-mhe/nereid/params"
)

// Noise estimates errors by their standard deviations. An integer polynomial
// with independent coefficients of standard deviation σ has slots of standard
// deviation √(2N)·σ, and the slots of a product are products of slots; every
// formula here follows from that. Estimates are of independent errors: they are
// tested against measurements on both sides.
type Noise struct {
	set params.Set
	e   float64 // √(2N)
	s   float64 // slots of the collective secret
}

// NewNoise returns the formulas for the set and its number of parties.
func NewNoise(set params.Set) Noise {
	e := math.Sqrt(2 * float64(set.N()))
	return Noise{set, e, e * math.Sqrt(2.0/3*float64(set.Parties()))}
}

// Slots returns the standard deviation of slots, at scale, of a polynomial with
// independent coefficients of standard deviation sigma.
func (n Noise) Slots(sigma float64, scale *big.Float) float64 {
	f, _ := scale.Float64()
	return n.e * sigma / f
}

// Coefficients is the inverse of [Noise.Slots].
func (n Noise) Coefficients(err float64, scale *big.Float) float64 {
	f, _ := scale.Float64()
	return err * f / n.e
}

// roundingSigma is the standard deviation of rounding to an integer.
var roundingSigma = 1 / math.Sqrt(12)

// Rescale returns the error of slots at the scale after a division with
// rounding of both polynomials.
func (n Noise) Rescale(scale *big.Float) float64 {
	return n.Slots(roundingSigma, scale) * math.Sqrt(1+float64(n.s*n.s))
}

// Encode returns the error of slots of data encoded with the given period.
func (n Noise) Encode(period int, scale *big.Float) float64 {
	return n.Slots(roundingSigma, scale) * math.Sqrt(float64(period)/float64(n.set.N()))
}

// Encrypt returns the error of slots of a fresh encryption under the collective
// key: u·e_pk + e0 + e1·s, divided by the special primes, and their rounding.
func (n Noise) Encrypt(scale *big.Float) float64 {
	u := n.e * math.Sqrt(2.0/3)
	e := n.e * params.Sigma
	fresh := e * math.Sqrt(float64(u*u*float64(n.set.Parties()))+1+float64(n.s*n.s))
	f, _ := scale.Float64()
	return portable.Hypot(fresh/n.special()/f, n.Rescale(scale))
}

// special returns the product of the special primes.
func (n Noise) special() float64 {
	p := 1.0
	for _, q := range n.set.SpecialPrimes() {
		p *= float64(q)
	}
	return p
}

// KeySwitch returns the error that a Galois key, or with relin a key that
// relinearises, adds at level before the division by the special primes rounds.
// Rotation does not change it. All keys that relinearise have s·e0 + u·e1 in
// common, but errors of key switches are products of it with the digits, which
// differ.
func (n Noise) KeySwitch(level int, relin bool, scale *big.Float) float64 {
	parties := float64(n.set.Parties())
	key := n.e * params.Sigma * math.Sqrt(parties) // slots of the key's error
	if relin {
		key *= math.Sqrt(2 * (float64(n.s*n.s) + 1)) // s·e0 + u·e1 + e2 + e3
	}
	count, size := digits(n.set, level)
	var sum float64
	for d := range count {
		q := 1.0
		for j := d * size; j < min(level+1, (d+1)*size); j++ {
			q *= float64(n.set.Prime(j))
		}
		sum += float64(q * q / 12)
	}
	f, _ := scale.Float64()
	return n.e * math.Sqrt(sum) * key / n.special() / f
}

// Flooding returns the standard deviation, in coefficients, of the noise that
// every party adds to a share of an opening, so that openings values openings of
// ciphertexts with slot error err at scale hide that error with the given
// statistical security: σ ≥ √(12·τ)·2^(s/2)·σ_ct, the rule of Li, Micciancio,
// Schultz and Sorrell (CRYPTO 2022, Theorem 2) that OpenFHE follows. Each party
// adds all of it, because the others may collude.
func (n Noise) Flooding(err float64, scale *big.Float, openings int, security int) (float64, error) {
	if openings < 1 || security < MinFlooding {
		return 0, fmt.Errorf("%w: flooding for %d openings at %d bits, want at least 1 and %d", ErrShape, openings, security, MinFlooding)
	}
	if !(err > 0) || math.IsInf(err, 0) {
		return 0, fmt.Errorf("%w: flooding an error of %g: the noise of the ciphertext must be known", ErrShape, err)
	}
	sigma := math.Sqrt(12*float64(openings)) * portable.Exp2(float64(security)/2) * n.Coefficients(err, scale)
	if sigma > rns.MaxFlood {
		return 0, fmt.Errorf("%w: flooding of %d bits needs noise of standard deviation 2^%.0f, at most 2^50 is possible: ask for fewer bits", ErrShape, security, portable.Log2(sigma))
	}
	return RoundUp(max(sigma, params.Sigma)), nil
}

// RoundUp returns x with 20 binary digits, rounded away from zero. Estimates that all
// parties must agree on go through it: who computes them with another library, which
// differs in the last bits, then differs about once in 2^30 times.
func RoundUp(x float64) float64 {
	const digits = 20
	frac, exp := math.Frexp(x)
	return math.Ldexp(math.Copysign(math.Ceil(math.Abs(frac)*(1<<digits)), x), exp-digits)
}

// MinFlooding is the least statistical security of an opening in bits.
const MinFlooding = 30

// Opened returns the error of slots after an opening in which every party added
// flooding noise of standard deviation sigma.
func (n Noise) Opened(err, sigma float64, scale *big.Float) float64 {
	return portable.Hypot(err, n.Slots(sigma, scale)*math.Sqrt(float64(n.set.Parties())))
}
