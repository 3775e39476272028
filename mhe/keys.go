package mhe

import (
	"fmt"
	"io"

	"github.com/tuneinsight/lattigo/v5/ring"

	"github.com/nereid-mhe/nereid/mhe/rns"
	"github.com/nereid-mhe/nereid/params"
)

// A KeyPlan names the public keys that a study needs, each at the level of its
// use. The zero plan is an encryption key and nothing else, which every plan has.
type KeyPlan struct {
	Rotations []Key // Galois keys; By in 1..N-1, increasing

	// Products are keys that relinearise and rotate in one key switch, from s² to
	// σ⁻¹(s) where σ rotates; By in 0..N-1, increasing. By 0 only relinearises.
	Products []Key
}

// A Key is a public key for a rotation of slots by By to the left, at Level or
// below. It has Level+1 digits of Level+2 limbs with one special prime; with k of
// them about a k-th of the digits, of Level+1+k limbs.
type Key struct{ By, Level int }

// Check returns an error wrapping [ErrShape] unless the plan fits set.
func (p KeyPlan) Check(set params.Set) error {
	if err := checkKeys(set, "rotation", 1, p.Rotations); err != nil {
		return err
	}
	return checkKeys(set, "product rotated by", 0, p.Products)
}

func checkKeys(set params.Set, what string, least int, keys []Key) error {
	for i, k := range keys {
		if k.By < least || k.By >= set.N() || i > 0 && k.By <= keys[i-1].By {
			return fmt.Errorf("%w: key of a %s %d at place %d, want increasing numbers in %d..%d", ErrShape, what, k.By, i, least, set.N()-1)
		}
		if k.Level < 0 || k.Level > set.MaxLevel() {
			return fmt.Errorf("%w: key of a %s %d at level %d, want 0 to %d", ErrShape, what, k.By, k.Level, set.MaxLevel())
		}
	}
	return nil
}

// Bytes returns the memory in bytes of the evaluation keys, when made, of a plan
// that fits set: both polynomials of every digit. See [PublicKeys.Bytes].
func (p KeyPlan) Bytes(set params.Set) int {
	total := 0
	for _, keys := range [][]Key{p.Rotations, p.Products} {
		for _, k := range keys {
			n, _ := digits(set, k.Level)
			total += 2 * n * (k.Level + 1 + set.Special()) * set.N() * limbBytes
		}
	}
	return total
}

// limbBytes is the memory of a residue.
const limbBytes = 8

// relinLevel returns the highest level of the products, -1 without any.
func (p KeyPlan) relinLevel() int {
	level := -1
	for _, k := range p.Products {
		level = max(level, k.Level)
	}
	return level
}

// digits returns the digits of a key at level, and the primes in each.
func digits(set params.Set, level int) (count, size int) {
	size = set.Special()
	return (level + size) / size, size
}

// An evalKey re-encrypts digit i of a polynomial under another secret:
// b_i + a_i·s = P·w_i·s' + e_i over the extended basis of its level, in NTT and
// Montgomery form.
type evalKey struct {
	level int
	b, a  []rns.Poly
}

// PublicKeys are the collective keys: made by all parties, held by everybody.
// They are read-only and safe for concurrent use. See [KeyBuilder].
type PublicKeys struct {
	set      params.Set
	enc      *EncryptionKey
	galois   map[int]*evalKey // by rotation
	products map[int]*evalKey // by rotation
}

// Set returns the parameters of the keys.
func (k *PublicKeys) Set() params.Set { return k.set }

// Encryption returns the collective encryption key.
func (k *PublicKeys) Encryption() *EncryptionKey { return k.enc }

// GaloisKeys returns the number of Galois keys.
func (k *PublicKeys) GaloisKeys() int { return len(k.galois) }

// ProductKeys returns the number of keys that relinearise, the one that does not
// rotate included.
func (k *PublicKeys) ProductKeys() int { return len(k.products) }

// Bytes returns the memory in bytes of all evaluation keys: Galois keys and
// product keys, not the encryption key.
func (k *PublicKeys) Bytes() int {
	total := 0
	for _, keys := range []map[int]*evalKey{k.galois, k.products} {
		for _, key := range keys {
			for i := range key.b {
				total += limbBytes * len(key.b[i][0]) * (len(key.b[i]) + len(key.a[i]))
			}
		}
	}
	return total
}

// galoisKey returns the key from s to σ⁻¹(s), where σ rotates by 1 to N-1, for a
// polynomial at level.
func (k *PublicKeys) galoisKey(by, level int) (*evalKey, error) {
	key := k.galois[by]
	if key == nil || level > key.level {
		return nil, fmt.Errorf("%w: no Galois key for a rotation by %d at level %d: it is not in the plan", ErrShape, by, level)
	}
	return key, nil
}

// productKey returns the key from s² to σ⁻¹(s), where σ rotates by 0 to N-1, for
// a polynomial at level.
func (k *PublicKeys) productKey(by, level int) (*evalKey, error) {
	key := k.products[by]
	if key != nil && level <= key.level {
		return key, nil
	}
	if by == 0 {
		return nil, fmt.Errorf("%w: no relinearisation key at level %d: it is not in the plan", ErrShape, level)
	}
	return nil, fmt.Errorf("%w: no relinearisation key for a rotation by %d at level %d: it is not in the plan", ErrShape, by, level)
}

// digitName names the randomness of one digit of a key.
func digitName(what string, digit int) string { return fmt.Sprintf("%s/%d", what, digit) }

// uniform returns a uniform polynomial from src. It is read as NTT form or as
// NTT and Montgomery form, whichever the formula wants: both are uniform.
func uniform(b rns.Basis, src io.Reader) (rns.Poly, error) {
	p := b.New()
	return p, b.Uniform(src, p)
}

// addDigit adds P·w_i·s to x: P·s on the primes of digit i and nothing
// elsewhere, in Montgomery form as s is.
func addDigit(set params.Set, level, digit int, x, s rns.Poly) {
	_, size := digits(set, level)
	basis := Basis(set, level)
	special := set.SpecialPrimes()
	for j := digit * size; j < min(len(basis), (digit+1)*size); j++ {
		r := basis[j]
		p := uint64(1)
		for _, q := range special {
			p = ring.BRed(p, ring.BRedAdd(q, r.Modulus, r.BRedConstant), r.Modulus, r.BRedConstant)
		}
		r.MulScalarMontgomeryThenAdd(s[j], ring.MForm(p, r.Modulus, r.BRedConstant), x[j])
	}
}

// demontgomery leaves Montgomery form.
func demontgomery(b rns.Basis, p rns.Poly) {
	for i, s := range b {
		s.IMForm(p[i], p[i])
	}
}

// newRotation returns the automorphism that rotates the slots by k to the left.
func newRotation(set params.Set, k int) (rns.Automorphism, error) {
	c := set.CKKS()
	return rns.NewAutomorphism(c.N(), c.RingQ().NthRoot(), c.GaloisElement(k))
}
