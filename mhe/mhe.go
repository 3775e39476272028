// Package mhe is multiparty homomorphic encryption: key shares, public keys,
// encrypted tensors and the evaluator that computes on them.
//
// The secret key s = Σ s_i exists nowhere: party i holds s_i, and every
// operation that needs s is a sum of shares. This package makes the shares and
// finishes their sums; who sends what to whom, and the rule that no party ever
// makes two shares for one label, are the business of package protocols.
// Randomness is always an argument, so that equal labels give equal shares.
//
// [Evaluator] has three implementations that run the same code over different
// numbers: [NewCKKS] on ciphertexts, [NewClear] on floats with the same
// polynomials and level rules, and [NewTrace] on bounds and error estimates,
// which tells what a computation needs before any key exists.
//
// # Notation
//
// As in package params. A ciphertext (c0, c1) at level ℓ decrypts to
// c0 + c1·s = Δ·m + e mod Q_ℓ. Polynomials are in NTT form.
//
// # Sources
//
// Mouchet et al., [Multiparty Homomorphic Encryption from Ring-Learning-with-Errors],
// for the key generation and key switching protocols; Kim et al.,
// [Approximate Homomorphic Encryption with Reduced Approximation Error], for
// key switching with special primes.
//
// [Multiparty Homomorphic Encryption from Ring-Learning-with-Errors]: https://eprint.iacr.org/2020/304
// [Approximate Homomorphic Encryption with Reduced Approximation Error]: https://eprint.iacr.org/2020/1118
package mhe

import (
	"errors"
	"io"
	"slices"

	"github.com/nereid-mhe/nereid/mhe/rns"
	"github.com/nereid-mhe/nereid/params"
)

// ErrShape is wrapped by errors about shares and tensors that do not fit the
// operation or the parameters.
var ErrShape = errors.New("mhe: shape")

// A Source opens independent streams of random bytes by name. The same name
// gives the same bytes: a Source made from a label makes the same share twice.
type Source func(name string) io.Reader

// Basis returns the primes of Q_level.
func Basis(set params.Set, level int) rns.Basis {
	return rns.Basis(set.CKKS().RingQ().SubRings[:level+1])
}

// ExtendedBasis returns the primes of Q_level followed by the special primes.
func ExtendedBasis(set params.Set, level int) rns.Basis {
	return slices.Concat(Basis(set, level), rns.Basis(set.CKKS().RingP().SubRings))
}

// EncodedSize returns the bytes of an encoded polynomial over the primes of
// Q_level.
func EncodedSize(set params.Set, level int) int {
	return rns.EncodedSize(set.N(), set.Primes(level))
}

// extendedSize is EncodedSize with the special primes.
func extendedSize(set params.Set, level int) int {
	return EncodedSize(set, level) + rns.EncodedSize(set.N(), set.SpecialPrimes())
}

// restrict returns the limbs of p, over the extended basis of some level, that
// belong to the extended basis of a level that is not higher. It shares them.
func restrict(p rns.Poly, set params.Set, level int) rns.Poly {
	return slices.Concat(p[:level+1], p[len(p)-set.Special():])
}

// gaussian is the error distribution of keys and fresh encryptions.
var gaussian = rns.NewGaussian(params.Sigma, params.Tail)

// addNoise adds a fresh error from src to p, which is in NTT form.
func addNoise(b rns.Basis, p rns.Poly, src io.Reader) error {
	e, err := gaussian.Sample(src, b.N())
	if err != nil {
		return err
	}
	limb := make([]uint64, b.N())
	for i, s := range b {
		clear(limb)
		rns.AddInts(s, limb, e)
		rns.NTT(s, limb, limb)
		s.Add(p[i], limb, p[i])
	}
	return nil
}

// ternary returns a polynomial with coefficients in {-1, 0, 1} from src, in NTT
// and Montgomery form.
func ternary(b rns.Basis, src io.Reader) (rns.Poly, error) {
	v, err := rns.Ternary(src, b.N())
	if err != nil {
		return nil, err
	}
	p := b.New()
	b.AddInts(p, v)
	b.NTT(p)
	montgomery(b, p)
	return p, nil
}

// montgomery brings p into Montgomery form.
func montgomery(b rns.Basis, p rns.Poly) {
	for i, s := range b {
		s.MForm(p[i], p[i])
	}
}
