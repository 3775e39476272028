package mhe

import (
	"fmt"
	"math/big"

	"github.com/nereid-mhe/nereid/mhe/rns"
	"github.com/nereid-mhe/nereid/packing"
)

// NewCKKS returns the evaluator on ciphertexts under keys. Each operation uses
// up to workers goroutines; with 1 it stays on the caller's, which is right when
// several parties or batches share the cores.
func NewCKKS(keys *PublicKeys, workers int) Evaluator {
	return engine{keys.set, ckks{
		NewEncoder(keys.set),
		&kernel{set: keys.set, keys: keys, workers: workers, rotations: map[int]rns.Automorphism{}},
	}}
}

// ckks is the backend on ciphertexts.
type ckks struct {
	enc *Encoder
	k   *kernel
}

// encode returns p at scale, over the primes of level.
func (c ckks) encode(p Tensor, scale *big.Float, level int) (rns.Poly, error) {
	if p.values == nil {
		return nil, fmt.Errorf("%w: data without values: it is for tracing only", ErrShape)
	}
	return c.enc.Encode(p.values, scale, Basis(c.k.set, level))
}

func (c ckks) valid(t Tensor) error {
	if t.ct == nil || t.ct.level() != t.level || len(t.ct.c[1]) != len(t.ct.c[0]) {
		return fmt.Errorf("%w: not a ciphertext at level %d", ErrShape, t.level)
	}
	return nil
}

func (c ckks) wrap(ct *ciphertext, err error) (Tensor, error) { return Tensor{ct: ct}, err }

func (c ckks) mul(x, y Tensor, _ int) (Tensor, error) {
	return c.wrap(c.k.multiply(x.ct, y.ct))
}

func (c ckks) mulPlain(x, p Tensor, scale *big.Float) (Tensor, error) {
	poly, err := c.encode(p, scale, x.level)
	if err != nil {
		return Tensor{}, err
	}
	montgomery(Basis(c.k.set, x.level), poly)
	return Tensor{ct: c.k.rescale(c.k.multiplyPlain(x.ct, poly))}, nil
}

func (c ckks) rotateSum(x Tensor, rotations []int) (Tensor, error) {
	return c.wrap(c.k.sum(x.ct, rotations))
}

func (c ckks) add(x, y Tensor, negative bool) (Tensor, error) {
	return Tensor{ct: c.k.add(x.ct, y.ct, negative)}, nil
}

func (c ckks) addPlain(x, p Tensor, negative bool) (Tensor, error) {
	poly, err := c.encode(p, x.scale, x.level)
	if err != nil {
		return Tensor{}, err
	}
	return Tensor{ct: c.k.addPlain(x.ct, poly, negative)}, nil
}

func (c ckks) negate(x Tensor) Tensor { return Tensor{ct: c.k.negate(x.ct)} }

func (c ckks) reinterpret(x Tensor, _ float64) Tensor { return x }

func (c ckks) product(p packing.Product, x, y []*Operand, level int) ([]Tensor, error) {
	return wrapAll(c.k.productOf(p, x, y, level))
}

func (c ckks) productData(p packing.Product, x []*Operand, y *Data, level int) ([]Tensor, error) {
	if err := y.encode(c.enc, c.k.set, level); err != nil {
		return nil, err
	}
	return wrapAll(c.k.productOfData(p, x, y, level))
}

func wrapAll(cts []*ciphertext, err error) ([]Tensor, error) {
	out := make([]Tensor, len(cts))
	for i, ct := range cts {
		out[i] = Tensor{ct: ct}
	}
	return out, err
}
