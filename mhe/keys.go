package mhe

import (
	"fmt"
	"io"
	"slices"

	"github.com/tuneinsight/lattigo/v5/ring"

	"github.com/nereid-mhe/nereid/mhe/rns"
	"github.com/nereid-mhe/nereid/params"
)

// A KeyPlan names the public keys that a study needs. Keys are made for the
// level at which they are used, not for the highest: a key at level ℓ has ℓ+1
// digits of ℓ+2 limbs with one special prime.
type KeyPlan struct {
	Rotations []int // in slots, each in 1..N-1, increasing; one Galois key each
	Level     int   // highest level of a rotation or relinearisation
}

// An evalKey re-encrypts digit i of a polynomial under another secret:
// b_i + a_i·s = P·w_i·s' + e_i over the extended basis of its level, in NTT and
// Montgomery form.
type evalKey struct {
	b, a []rns.Poly
}

// PublicKeys are the collective keys: made by all parties, held by everybody.
// They are read-only and safe for concurrent use.
type PublicKeys struct {
	set    params.Set
	level  int // of relin and galois
	enc    *EncryptionKey
	relin  *evalKey
	galois map[int]*evalKey // by rotation
}

// Check returns an error wrapping [ErrShape] unless the plan fits set.
func (p KeyPlan) Check(set params.Set) error {
	if p.Level < 0 || p.Level > set.MaxLevel() {
		return fmt.Errorf("%w: evaluation keys at level %d, want 0 to %d", ErrShape, p.Level, set.MaxLevel())
	}
	for i, k := range p.Rotations {
		if k < 1 || k >= set.N() || i > 0 && k <= p.Rotations[i-1] {
			return fmt.Errorf("%w: rotation %d at place %d, want increasing numbers in 1..%d", ErrShape, k, i, set.N()-1)
		}
	}
	return nil
}

// digits returns the digits of a key at level, and the primes in each.
func digits(set params.Set, level int) (count, size int) {
	size = set.CKKS().RingP().ModuliChainLength()
	return (level + size) / size, size
}

// Shape1 is the shape of the shares of the first round: the encryption key, the
// two halves of the relinearisation key, and every Galois key.
func (p KeyPlan) Shape1(set params.Set) Shape {
	n, _ := digits(set, p.Level)
	sh := Shape{ExtendedBasis(set, set.MaxLevel())}
	return append(sh, slices.Repeat(Shape{ExtendedBasis(set, p.Level)}, n*(2+len(p.Rotations)))...)
}

// Shape2 is the shape of the shares of the second round.
func (p KeyPlan) Shape2(set params.Set) Shape {
	n, _ := digits(set, p.Level)
	return slices.Repeat(Shape{ExtendedBasis(set, p.Level)}, n)
}

// Round1 makes a party's share of the encryption key -a·s+e, of the first round
// of the relinearisation key (-u·a + P·w·s + e0, s·a + e1), and of every Galois
// key. common is shared by all parties; private is this party's; ephemeral opens
// the stream that the secret u is drawn from, again in Round2.
func (p KeyPlan) Round1(sk SecretKey, common, private Source, ephemeral io.Reader) (Share, error) {
	set := sk.open().set
	if err := p.Check(set); err != nil {
		return nil, err
	}
	full := ExtendedBasis(set, set.MaxLevel())
	a, err := uniform(full, common("encryption"))
	if err != nil {
		return nil, err
	}
	b := full.New()
	full.MulSub(b, a, sk.open().p)
	if err := addNoise(full, b, private("encryption")); err != nil {
		return nil, err
	}
	h0, h1, err := p.relin1(sk, common, private, ephemeral)
	if err != nil {
		return nil, err
	}
	share := slices.Concat(Share{b}, h0, h1)
	for _, k := range p.Rotations {
		g, err := p.galoisShare(sk, k, common, private)
		if err != nil {
			return nil, err
		}
		share = append(share, g...)
	}
	return share, nil
}

// relin1 returns h0_i = -u·a_i + P·w_i·s + e_i and h1_i = s·a_i + e'_i.
func (p KeyPlan) relin1(sk SecretKey, common, private Source, ephemeral io.Reader) (h0, h1 []rns.Poly, err error) {
	set := sk.open().set
	basis := ExtendedBasis(set, p.Level)
	s := sk.at(p.Level)
	u, err := ternary(basis, ephemeral)
	if err != nil {
		return nil, nil, err
	}
	n, _ := digits(set, p.Level)
	for i := range n {
		a, err := uniform(basis, common(digitName("relinearisation", i)))
		if err != nil {
			return nil, nil, err
		}
		x, y := basis.New(), basis.New()
		addDigit(set, p.Level, i, x, s)
		demontgomery(basis, x)
		basis.MulSub(x, a, u)
		basis.MulAdd(y, a, s)
		if err := addNoise(basis, x, private(digitName("relinearisation0", i))); err != nil {
			return nil, nil, err
		}
		if err := addNoise(basis, y, private(digitName("relinearisation1", i))); err != nil {
			return nil, nil, err
		}
		h0, h1 = append(h0, x), append(h1, y)
	}
	return h0, h1, nil
}

// galoisShare returns h_i = P·w_i·s + e_i - a_i·σ⁻¹(s), in Montgomery form, for
// the automorphism σ that rotates by k.
func (p KeyPlan) galoisShare(sk SecretKey, k int, common, private Source) ([]rns.Poly, error) {
	set := sk.open().set
	basis := ExtendedBasis(set, p.Level)
	s := sk.at(p.Level)
	inverse, err := newRotation(set, -k)
	if err != nil {
		return nil, err
	}
	target := basis.New()
	for j := range basis {
		inverse.Apply(target[j], s[j])
	}
	n, _ := digits(set, p.Level)
	share := make([]rns.Poly, n)
	for i := range share {
		name := digitName(fmt.Sprintf("rotation %d", k), i)
		a, err := uniform(basis, common(name))
		if err != nil {
			return nil, err
		}
		x := basis.New()
		if err := addNoise(basis, x, private(name)); err != nil {
			return nil, err
		}
		montgomery(basis, x)
		addDigit(set, p.Level, i, x, s)
		basis.MulSub(x, a, target)
		share[i] = x
	}
	return share, nil
}

// Round2 makes a party's share of the second round of the relinearisation key,
// s·H0 + (u-s)·H1 + e2 + e3, from the sum of the first round's shares. ephemeral
// must be the same stream as in Round1.
func (p KeyPlan) Round2(sk SecretKey, sum1 Share, private Source, ephemeral io.Reader) (Share, error) {
	set := sk.open().set
	if err := p.Check(set); err != nil {
		return nil, err
	}
	if want := len(p.Shape1(set)); len(sum1) != want {
		return nil, fmt.Errorf("%w: %d polynomials from the first round of key generation, want %d", ErrShape, len(sum1), want)
	}
	basis := ExtendedBasis(set, p.Level)
	s := sk.at(p.Level)
	u, err := ternary(basis, ephemeral)
	if err != nil {
		return nil, err
	}
	basis.Sub(u, s)
	n, _ := digits(set, p.Level)
	share := make(Share, n)
	for i := range share {
		x := basis.New()
		basis.MulAdd(x, sum1[1+i], s)
		basis.MulAdd(x, sum1[1+n+i], u)
		for _, name := range []string{"relinearisation2", "relinearisation3"} {
			if err := addNoise(basis, x, private(digitName(name, i))); err != nil {
				return nil, err
			}
		}
		share[i] = x
	}
	return share, nil
}

// Finish makes the public keys from the sums of both rounds. The keys share the
// memory of sum1.
func (p KeyPlan) Finish(set params.Set, common Source, sum1, sum2 Share) (*PublicKeys, error) {
	if err := p.Check(set); err != nil {
		return nil, err
	}
	if a, b := len(p.Shape1(set)), len(p.Shape2(set)); len(sum1) != a || len(sum2) != b {
		return nil, fmt.Errorf("%w: key generation gave %d and %d polynomials, want %d and %d", ErrShape, len(sum1), len(sum2), a, b)
	}
	full, basis := ExtendedBasis(set, set.MaxLevel()), ExtendedBasis(set, p.Level)
	a, err := uniform(full, common("encryption"))
	if err != nil {
		return nil, err
	}
	keys := &PublicKeys{set: set, level: p.Level, enc: &EncryptionKey{set, sum1[0], a}, galois: map[int]*evalKey{}}
	n, _ := digits(set, p.Level)
	keys.relin = &evalKey{}
	for i := range n {
		b, a := basis.New(), basis.New() // the sums stay as they are
		copyLimbs(b, sum2[i])
		copyLimbs(a, sum1[1+n+i])
		montgomery(basis, b)
		montgomery(basis, a)
		keys.relin.b, keys.relin.a = append(keys.relin.b, b), append(keys.relin.a, a)
	}
	for r, k := range p.Rotations {
		key := &evalKey{b: sum1[1+(2+r)*n : 1+(3+r)*n]}
		for i := range n {
			a, err := uniform(basis, common(digitName(fmt.Sprintf("rotation %d", k), i)))
			if err != nil {
				return nil, err
			}
			key.a = append(key.a, a)
		}
		keys.galois[k] = key
	}
	return keys, nil
}

// Set returns the parameters of the keys.
func (k *PublicKeys) Set() params.Set { return k.set }

// Encryption returns the collective encryption key.
func (k *PublicKeys) Encryption() *EncryptionKey { return k.enc }

// GaloisKeys returns the number of Galois keys.
func (k *PublicKeys) GaloisKeys() int { return len(k.galois) }

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
	special := set.CKKS().P()
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
