package mhe

import (
	"github.com/nereid-mhe/nereid/mhe/rns"
	"github.com/nereid-mhe/nereid/params"
)

// MultiplyRotated returns x·y rotated by, rescaled, as the text books have it: the
// product key for the last polynomial of three, a Galois key for the second.
func MultiplyRotated(keys *PublicKeys, x, y Tensor, by int) (Tensor, error) {
	k := &kernel{set: keys.set, keys: keys, workers: 1, rotations: map[int]rns.Automorphism{}}
	level := min(x.level, y.level)
	base, ext := Basis(k.set, level), ExtendedBasis(k.set, level)
	d := [3]rns.Poly{base.New(), base.New(), base.New()}
	for i, a := range x.ct.c {
		m := base.New()
		copyLimbs(m, a)
		montgomery(base, m)
		for j, b := range y.ct.c {
			base.MulAdd(d[i+j], b, m)
		}
	}
	sum, out := [2]rns.Poly{ext.New(), ext.New()}, [2]rns.Poly{ext.New(), ext.New()}
	k.addScaled(sum[0], d[0], level)
	add := func(c rns.Poly, key *evalKey) {
		for i, u := range k.product(k.decompose(c, level), key, level) {
			ext.Add(sum[i], u)
		}
	}
	key, err := keys.productKey(by, level)
	if err != nil {
		return Tensor{}, err
	}
	add(d[2], key)
	if by == 0 {
		k.addScaled(sum[1], d[1], level)
	} else {
		if key, err = keys.galoisKey(by, level); err != nil {
			return Tensor{}, err
		}
		add(d[1], key)
	}
	table, err := k.rotation(by)
	if err != nil {
		return Tensor{}, err
	}
	for i := range sum {
		for j := range ext {
			table.Apply(out[i][j], sum[i][j])
		}
	}
	ct := k.divide(out, level, true)
	return NewEncrypted(ct.c[0], ct.c[1], scaleQuo(scaleMul(x.scale, y.scale), primeScale(k.set, level))), nil
}

// MaxTensors is the largest number of terms in a group of encrypted operands.
const MaxTensors = maxTensors

// TensorSum returns Σ x_t ⊗ y_t of ciphertexts at the highest level.
func TensorSum(set params.Set, x, y []Tensor) [3]rns.Poly {
	k := &kernel{set: set, workers: 1}
	xs, ys := make([]*ciphertext, len(x)), make([]*ciphertext, len(y))
	for i := range x {
		xs[i], ys[i] = x[i].ct, y[i].ct
	}
	return k.tensorSum(xs, ys, set.MaxLevel())
}
