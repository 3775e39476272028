package mhe

import (
	"fmt"
	"io"
	"slices"

	"github.com/nereid-mhe/nereid/mhe/rns"
	"github.com/nereid-mhe/nereid/params"
)

// A KeyPart is one round of key generation: a sum over all parties of shares of
// some keys. It comes from [KeyPlan.Parts].
//
// The product keys are those of the protocol RKG of ePrint 2020/304, figure 4,
// with another target. The part called "relinearisation" sums
//
//	H0_i = Σ (-u·a_i + P·w_i·s + e0)   H1_i = Σ (s·a_i + e1)
//
// for every digit i, once for all product keys, and their own parts sum
//
//	b_i = Σ (s·H0_i + u·H1_i - σ⁻¹(s)·a_σi + e2 + e3)
//
// with a fresh common a_σi, so that b_i + a_σi·σ⁻¹(s) = P·w_i·s² + e with
// e = s·e0 + u·e1 + e2 + e3 in the parties' sums of all letters. Keys at a lower
// level take the first digits and the limbs of their level.
type KeyPart struct {
	set   params.Set
	kind  partKind
	index int   // among the parts of its kind
	keys  []Key // of rotations and products
	relin int   // level of H0 and H1
}

// A partKind says what a part makes. The zero value makes nothing.
type partKind int

const (
	encryptionPart partKind = iota + 1
	relinearisationPart
	rotationsPart
	productsPart
)

// Parts splits key generation into rounds whose encoded shares take maxBytes or
// less where that is possible: a part has at least one key, and the first round
// of all product keys is one part. First come the encryption key, the part called
// "relinearisation" if there are products, and the Galois keys, in this order; the
// parts that are [KeyPart.Second] come last. A plan that does not fit set has no
// parts.
func (p KeyPlan) Parts(set params.Set, maxBytes int) []KeyPart {
	if p.Check(set) != nil {
		return nil
	}
	parts := []KeyPart{{set: set, kind: encryptionPart}}
	relin := p.relinLevel()
	if relin >= 0 {
		parts = append(parts, KeyPart{set: set, kind: relinearisationPart, relin: relin})
	}
	parts = append(parts, KeyPart{set: set, kind: rotationsPart}.split(p.Rotations, maxBytes)...)
	return append(parts, KeyPart{set: set, kind: productsPart, relin: relin}.split(p.Products, maxBytes)...)
}

// split returns parts like k that make keys.
func (k KeyPart) split(keys []Key, maxBytes int) (parts []KeyPart) {
	start, bytes := 0, shareHeader
	cut := func(end int) {
		k.index, k.keys = len(parts), keys[start:end]
		parts = append(parts, k)
		start, bytes = end, shareHeader
	}
	for i, key := range keys {
		size := 0
		for _, level := range keyLevels(k.set, key.Level) {
			size += extendedSize(k.set, level)
		}
		if i > start && bytes+size > maxBytes {
			cut(i)
		}
		bytes += size
	}
	if start < len(keys) {
		cut(len(keys))
	}
	return parts
}

// Name is the part's place in a study's plan, such as "rotations 0". No other
// part of the plan has it.
func (k KeyPart) Name() string {
	switch k.kind {
	case encryptionPart:
		return "encryption"
	case relinearisationPart:
		return "relinearisation"
	case rotationsPart:
		return fmt.Sprintf("rotations %d", k.index)
	case productsPart:
		return fmt.Sprintf("products %d", k.index)
	}
	return "nothing"
}

// Second reports whether a share needs the sum of the part called
// "relinearisation": the product keys do.
func (k KeyPart) Second() bool { return k.kind == productsPart }

// Work returns what one share of the part costs.
func (k KeyPart) Work() (w Work) {
	switch k.kind {
	case encryptionPart: // as one digit of a key
		n, _ := digits(k.set, k.set.MaxLevel())
		return w.Add(OpKeyShare, k.set.MaxLevel(), 1/float64(n))
	case relinearisationPart:
		return w.Add(OpKeyShare, k.relin, 2)
	}
	op := OpKeyShare
	if k.Second() {
		op = OpProductShare
	}
	for _, key := range k.keys {
		w = w.Add(op, key.Level, 1)
	}
	return w
}

// Shape is the shape of the part's shares and of their sum.
func (k KeyPart) Shape() (sh Shape) {
	for _, level := range k.Levels() {
		sh = append(sh, ExtendedBasis(k.set, level))
	}
	return sh
}

// Levels returns the level of every polynomial of the part's shares, which are
// over the extended basis.
func (k KeyPart) Levels() (levels []int) {
	switch k.kind {
	case encryptionPart:
		return []int{k.set.MaxLevel()}
	case relinearisationPart:
		return slices.Repeat(keyLevels(k.set, k.relin), 2)
	}
	for _, key := range k.keys {
		levels = append(levels, keyLevels(k.set, key.Level)...)
	}
	return levels
}

// Size returns the bytes of an encoded share, as [Shape.Size] of its shape does.
func (k KeyPart) Size() int {
	n := shareHeader
	for _, level := range k.Levels() {
		n += extendedSize(k.set, level)
	}
	return n
}

// keyLevels returns the level of one polynomial for each digit of a key.
func keyLevels(set params.Set, level int) []int {
	n, _ := digits(set, level)
	return slices.Repeat([]int{level}, n)
}

// fits returns an error unless s has the polynomials of sh.
func (sh Shape) fits(what string, s Share) error {
	if len(s) != len(sh) {
		return fmt.Errorf("%w: %s has %d polynomials, want %d", ErrShape, what, len(s), len(sh))
	}
	for i, b := range sh {
		if len(s[i]) != len(b) || slices.ContainsFunc(s[i], func(l []uint64) bool { return len(l) != b.N() }) {
			return fmt.Errorf("%w: polynomial %d of %s is not over the %d primes of its level", ErrShape, i, what, len(b))
		}
	}
	return nil
}

// Share makes a party's share of the part. common is the part's randomness that
// all parties share, private is this party's; what they name is distinct for every
// key and digit, so that parts may have sources in common. ephemeral opens the
// stream that the party's secret u is drawn from: the same bytes for the part
// called "relinearisation" and for all [KeyPart.Second] ones, and for nothing
// else. relin is the sum of the former, for the latter. Other parts ignore both.
//
// The cost is one product of polynomials for each digit of a Galois key, three
// for a product key. Errors wrap [ErrShape] or are those of the randomness.
func (k KeyPart) Share(sk SecretKey, common, private Source, ephemeral io.Reader, relin Share) (Share, error) {
	if k.kind == 0 || sk.open().set.Hash() != k.set.Hash() {
		return nil, fmt.Errorf("%w: a share of %s for a secret key of other parameters", ErrShape, k.Name())
	}
	if k.kind == encryptionPart {
		return k.encryptionShare(sk, common, private)
	}
	var u rns.Poly
	if k.kind != rotationsPart {
		if ephemeral == nil {
			return nil, fmt.Errorf("%w: a share of %s without an ephemeral secret", ErrShape, k.Name())
		}
		var err error
		if u, err = ternary(ExtendedBasis(k.set, k.relin), ephemeral); err != nil {
			return nil, err
		}
	}
	if k.kind == relinearisationPart {
		return k.relinearisationShare(sk, common, private, u)
	}
	if k.Second() {
		first := KeyPart{set: k.set, kind: relinearisationPart, relin: k.relin}
		if err := first.Shape().fits("the sum of the first round of the product keys", relin); err != nil {
			return nil, err
		}
	}
	var share Share
	for _, key := range k.keys {
		b, err := k.keyShare(key, sk, common, private, u, relin)
		if err != nil {
			return nil, err
		}
		share = append(share, b...)
	}
	return share, nil
}

// encryptionShare returns -a·s + e.
func (k KeyPart) encryptionShare(sk SecretKey, common, private Source) (Share, error) {
	full := ExtendedBasis(k.set, k.set.MaxLevel())
	a, err := uniform(full, common("encryption"))
	if err != nil {
		return nil, err
	}
	b := full.New()
	full.MulSub(b, a, sk.open().p)
	if err := addNoise(full, b, private("encryption")); err != nil {
		return nil, err
	}
	return Share{b}, nil
}

// relinearisationShare returns -u·a_i + P·w_i·s + e0_i for all digits and then
// s·a_i + e1_i for all.
func (k KeyPart) relinearisationShare(sk SecretKey, common, private Source, u rns.Poly) (Share, error) {
	basis, s := ExtendedBasis(k.set, k.relin), sk.at(k.relin)
	n, _ := digits(k.set, k.relin)
	share := make(Share, 2*n)
	for i := range n {
		a, err := uniform(basis, common(digitName("relinearisation", i)))
		if err != nil {
			return nil, err
		}
		x, y := basis.New(), basis.New()
		addDigit(k.set, k.relin, i, x, s)
		demontgomery(basis, x)
		basis.MulSub(x, a, u)
		basis.MulAdd(y, a, s)
		if err := addNoise(basis, x, private(digitName("relinearisation0", i))); err != nil {
			return nil, err
		}
		if err := addNoise(basis, y, private(digitName("relinearisation1", i))); err != nil {
			return nil, err
		}
		share[i], share[n+i] = x, y
	}
	return share, nil
}

// keyShare returns, in Montgomery form, what becomes b of the key that switches
// to σ⁻¹(s): P·w_i·s + e_i - a_i·σ⁻¹(s) for all digits of a Galois key, and
// s·H0_i + u·H1_i + e2_i + e3_i - a_i·σ⁻¹(s) for those of a product key.
func (k KeyPart) keyShare(key Key, sk SecretKey, common, private Source, u rns.Poly, relin Share) ([]rns.Poly, error) {
	basis, s := ExtendedBasis(k.set, key.Level), sk.at(key.Level)
	inverse, err := newRotation(k.set, -key.By)
	if err != nil {
		return nil, err
	}
	target := basis.New()
	for j := range basis {
		inverse.Apply(target[j], s[j])
	}
	noises := []string{k.keyName(key)}
	if k.Second() {
		noises = []string{k.keyName(key) + ", e2", k.keyName(key) + ", e3"}
	}
	n, _ := digits(k.set, key.Level)
	share := make([]rns.Poly, n)
	for i := range share {
		a, err := uniform(basis, common(digitName(k.keyName(key), i)))
		if err != nil {
			return nil, err
		}
		x := basis.New()
		if k.Second() {
			basis.MulAdd(x, restrict(relin[i], k.set, key.Level), s)
			basis.MulAdd(x, restrict(relin[len(relin)/2+i], k.set, key.Level), restrict(u, k.set, key.Level))
		}
		for _, name := range noises {
			if err := addNoise(basis, x, private(digitName(name, i))); err != nil {
				return nil, err
			}
		}
		montgomery(basis, x)
		if !k.Second() {
			addDigit(k.set, key.Level, i, x, s)
		}
		basis.MulSub(x, a, target)
		share[i] = x
	}
	return share, nil
}

// keyName names the randomness of a key of the part.
func (k KeyPart) keyName(key Key) string {
	if k.Second() {
		return fmt.Sprintf("product %d", key.By)
	}
	return fmt.Sprintf("rotation %d", key.By)
}
