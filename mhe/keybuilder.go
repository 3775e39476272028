package mhe

import (
	"fmt"
	"maps"
	"slices"

	"github.com/nereid-mhe/nereid/mhe/rns"
	"github.com/nereid-mhe/nereid/params"
)

// A KeyBuilder makes public keys from the sums of all parts of a plan. It is
// immutable and safe for concurrent use: parties of one process that agree on the
// sums so far can share one.
type KeyBuilder struct {
	plan  KeyPlan
	keys  PublicKeys // so far
	relin bool       // the sum of that part was added
}

// NewKeyBuilder returns a builder without keys. Errors wrap [ErrShape].
func NewKeyBuilder(set params.Set, plan KeyPlan) (*KeyBuilder, error) {
	if err := plan.Check(set); err != nil {
		return nil, err
	}
	return &KeyBuilder{plan: plan, keys: PublicKeys{set: set}}, nil
}

// Add returns a builder that has the keys of part too. common is the source that
// the shares were made with. The keys take over the memory of sum, except that of
// the part called "relinearisation", which has no keys of its own. Errors wrap
// [ErrShape] or are those of the randomness.
func (b *KeyBuilder) Add(part KeyPart, common Source, sum Share) (*KeyBuilder, error) {
	if err := b.check(part); err != nil {
		return nil, err
	}
	if err := part.Shape().fits("the sum of the keys' part "+part.Name(), sum); err != nil {
		return nil, err
	}
	next := *b
	next.keys.galois, next.keys.products = maps.Clone(b.keys.galois), maps.Clone(b.keys.products)
	var err error
	switch part.kind {
	case encryptionPart:
		full := ExtendedBasis(part.set, part.set.MaxLevel())
		var a rns.Poly
		a, err = uniform(full, common("encryption"))
		next.keys.enc = &EncryptionKey{part.set, sum[0], a}
	case relinearisationPart:
		next.relin = true
	case rotationsPart:
		next.keys.galois, err = part.add(next.keys.galois, common, sum)
	case productsPart:
		next.keys.products, err = part.add(next.keys.products, common, sum)
	}
	if err != nil {
		return nil, err
	}
	return &next, nil
}

// check returns an error unless part is one of the plan's and has not been added.
func (b *KeyBuilder) check(part KeyPart) error {
	if part.kind == 0 || part.set.Hash() != b.keys.set.Hash() {
		return fmt.Errorf("%w: the keys' part %s has other parameters", ErrShape, part.Name())
	}
	planned, twice := true, false
	switch part.kind {
	case encryptionPart:
		twice = b.keys.enc != nil
	case relinearisationPart:
		planned, twice = part.relin == b.plan.relinLevel(), b.relin
	case rotationsPart:
		planned, twice = has(b.plan.Rotations, b.keys.galois, part.keys)
	case productsPart:
		planned, twice = has(b.plan.Products, b.keys.products, part.keys)
	}
	switch {
	case !planned:
		return fmt.Errorf("%w: the keys' part %s is not of this plan", ErrShape, part.Name())
	case twice:
		return fmt.Errorf("%w: the keys' part %s was added before", ErrShape, part.Name())
	}
	return nil
}

// has reports whether all keys are in the plan, and whether some are made.
func has(plan []Key, made map[int]*evalKey, keys []Key) (planned, some bool) {
	planned = true
	for _, k := range keys {
		planned = planned && slices.Contains(plan, k)
		some = some || made[k.By] != nil
	}
	return planned, some
}

// add puts the part's keys into to.
func (k KeyPart) add(to map[int]*evalKey, common Source, sum Share) (map[int]*evalKey, error) {
	if to == nil {
		to = map[int]*evalKey{}
	}
	for _, key := range k.keys {
		n, _ := digits(k.set, key.Level)
		made := &evalKey{level: key.Level, b: sum[:n:n]}
		sum = sum[n:]
		for i := range n {
			a, err := uniform(ExtendedBasis(k.set, key.Level), common(digitName(k.keyName(key), i)))
			if err != nil {
				return nil, err
			}
			made.a = append(made.a, a)
		}
		to[key.By] = made
	}
	return to, nil
}

// Finish returns the keys. It returns an error wrapping [ErrShape] if the sum of
// a part is missing.
func (b *KeyBuilder) Finish() (*PublicKeys, error) {
	missing := func(what string, have, want int) error {
		return fmt.Errorf("%w: key generation has the sums of %d %s, want %d", ErrShape, have, what, want)
	}
	switch {
	case b.keys.enc == nil:
		return nil, missing("encryption keys", 0, 1)
	case !b.relin && len(b.plan.Products) > 0:
		return nil, missing("first rounds of product keys", 0, 1)
	case len(b.keys.galois) < len(b.plan.Rotations):
		return nil, missing("Galois keys", len(b.keys.galois), len(b.plan.Rotations))
	case len(b.keys.products) < len(b.plan.Products):
		return nil, missing("product keys", len(b.keys.products), len(b.plan.Products))
	}
	keys := b.keys
	return &keys, nil
}
