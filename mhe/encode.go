package mhe

import (
	"fmt"
	"math"
	"math/big"
	"sync"

	"github.com/tuneinsight/lattigo/v5/core/rlwe"
	"github.com/tuneinsight/lattigo/v5/he/hefloat"
	"github.com/tuneinsight/lattigo/v5/ring"
	"github.com/tuneinsight/lattigo/v5/utils/structs"

	"github.com/nereid-mhe/nereid/mhe/rns"
	"github.com/nereid-mhe/nereid/params"
)

// An Encoder turns slot values into polynomials and back. It is safe for
// concurrent use.
type Encoder struct {
	set     params.Set
	fourier *fourier

	mu      sync.Mutex // of the decoder, which has scratch space
	decoder *hefloat.Encoder
}

// NewEncoder prepares the Fourier transforms of the set's ring.
func NewEncoder(set params.Set) *Encoder {
	return &Encoder{set: set, fourier: newFourier(set.N()), decoder: hefloat.NewEncoder(set.CKKS())}
}

// minPeriod is the shortest vector that is encoded: Lattigo's transforms work on
// eight coefficients at a time.
const minPeriod = 8

// Encode returns scale·values rounded to an integer polynomial over basis, in
// NTT form, the same on every processor. The values repeat with their length, a power of two from 8 to the
// number of slots: a vector of period p is a polynomial in X^(N/p), so that the
// Fourier transform and the NTT of every limb are of size p only.
//
// It returns an error wrapping [ErrShape] for a length that does not fit and for
// values that are not finite, or not at the scale.
func (e *Encoder) Encode(values []float64, scale *big.Float, basis rns.Basis) (rns.Poly, error) {
	small, err := e.EncodePeriod(values, scale, basis)
	if err != nil {
		return nil, err
	}
	out := basis.New()
	for j, s := range basis {
		run := s.N / len(values) // equal neighbours in bit-reversed order
		for i, x := range small[j] {
			for t := range run {
				out[j][i*run+t] = x
			}
		}
	}
	return out, nil
}

// EncodePeriod returns what [Encoder.Encode] does without its repetitions:
// limbs of len(values) residues, each of which stands for N/len(values)
// neighbours of the polynomial in NTT form. See [rns.MulPeriod].
func (e *Encoder) EncodePeriod(values []float64, scale *big.Float, basis rns.Basis) (rns.Poly, error) {
	p := len(values)
	if p < minPeriod || p > e.set.N() || p&(p-1) != 0 {
		return nil, fmt.Errorf("%w: encoding %d values, want a power of two from %d to %d", ErrShape, p, minPeriod, e.set.N())
	}
	coeff := make([]complex128, p)
	for i, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, fmt.Errorf("%w: slot %d is %v", ErrShape, i, v)
		}
		coeff[i] = complex(v, 0)
	}
	e.fourier.inverse(coeff)
	f, _ := scale.Float64()
	for _, c := range coeff {
		if x := real(c) * f; math.IsNaN(x) || math.IsInf(x, 0) {
			return nil, fmt.Errorf("%w: values too large to encode at scale 2^%.0f", ErrShape, log2(scale))
		}
	}
	out := make(rns.Poly, len(basis))
	for j, s := range basis {
		out[j] = make([]uint64, p)
		r := residues{s: s}
		for i, c := range coeff {
			out[j][i] = r.of(real(c) * f)
		}
		if p == s.N {
			rns.NTT(s, out[j], out[j])
			continue
		}
		ring.NTTConjugateInvariant(out[j], out[j], p, s.Modulus, s.MRedConstant, s.BRedConstant, s.RootsForward)
	}
	return out, nil
}

// residues turns floats into residues modulo the prime of s. It keeps the powers
// of two that it has met: coefficients are of few sizes.
type residues struct {
	s      *ring.SubRing
	powers [1024]uint64 // by exponent, 0 for unknown
}

// of returns x rounded to an integer, modulo the prime. Beyond 2^62 the integer is
// the one that the float is.
func (r *residues) of(x float64) uint64 {
	q, u := r.s.Modulus, r.s.BRedConstant
	var v uint64
	if a := math.Abs(x); a < 1<<62 {
		v = ring.BRedAdd(uint64(math.Round(a)), q, u)
	} else {
		frac, exp := math.Frexp(a) // a = frac·2^exp, frac·2^53 an integer
		exp -= 53
		if r.powers[exp] == 0 {
			r.powers[exp] = rns.PowMod(r.s, exp)
		}
		v = ring.BRed(uint64(frac*(1<<53)), r.powers[exp], q, u)
	}
	if x < 0 && v != 0 {
		v = q - v
	}
	return v
}

// Decode returns the slot values of p, in NTT form over the primes of its level.
func (e *Encoder) Decode(p rns.Poly, scale *big.Float) ([]float64, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	pt := hefloat.NewPlaintext(e.set.CKKS(), len(p)-1)
	pt.Value = ring.Poly{Coeffs: structs.Matrix[uint64](p)}
	pt.Scale = rlwe.NewScale(scale)
	out := make([]float64, e.set.N())
	if err := e.decoder.Decode(pt, out); err != nil {
		return nil, fmt.Errorf("mhe: decoding: %w", err)
	}
	return out, nil
}
