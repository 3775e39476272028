package mhe

import (
	"fmt"
	"math/big"

	"github.com/nereid-mhe/nereid/packing"
	"github.com/nereid-mhe/nereid/params"
)

// NewClear returns the evaluator on floats: the clear twin. It computes what an
// encrypted run computes without its noise, under the same level rules, and has
// no security.
func NewClear(set params.Set) Evaluator { return engine{set, clearBackend{}} }

// clearBackend is the backend on one period of slots in float64.
type clearBackend struct{}

func (clearBackend) valid(t Tensor) error {
	if len(t.values) == 0 || t.ct != nil {
		return fmt.Errorf("%w: a tensor without values in the clear backend", ErrShape)
	}
	return nil
}

// zip applies f to the slots of both vectors, the shorter one repeated.
func zip(x, y Tensor, f func(a, b float64) float64) (Tensor, error) {
	a, b := x.values, y.values
	if len(b) == 0 {
		return Tensor{}, fmt.Errorf("%w: data without values: it is for tracing only", ErrShape)
	}
	out := make([]float64, max(len(a), len(b)))
	for i := range out {
		out[i] = f(a[i%len(a)], b[i%len(b)])
	}
	return Tensor{values: out}, nil
}

func (clearBackend) mul(x, y Tensor, _ int) (Tensor, error) {
	return zip(x, y, func(a, b float64) float64 { return a * b })
}

func (clearBackend) mulPlain(x, p Tensor, _ *big.Float) (Tensor, error) {
	return zip(x, p, func(a, b float64) float64 { return a * b })
}

func (clearBackend) rotateSum(x Tensor, rotations []int) (Tensor, error) {
	m := packing.Map{Steps: []packing.Step{{Rotations: rotations}}}
	return Tensor{values: m.Apply(x.values)}, nil
}

func (clearBackend) add(x, y Tensor, negative bool) (Tensor, error) {
	if negative {
		return zip(x, y, func(a, b float64) float64 { return a - b })
	}
	return zip(x, y, func(a, b float64) float64 { return a + b })
}

func (c clearBackend) addPlain(x, p Tensor, negative bool) (Tensor, error) {
	return c.add(x, p, negative)
}

func (clearBackend) negate(x Tensor) Tensor {
	return clearBackend{}.reinterpret(x, -1)
}

func (clearBackend) reinterpret(x Tensor, factor float64) Tensor {
	out := make([]float64, len(x.values))
	for i, v := range x.values {
		out[i] = factor * v
	}
	return Tensor{values: out}
}

func (clearBackend) product(p packing.Product, x, y []*Operand, _ int) ([]Tensor, error) {
	return clearProduct(p, operandValues(x), operandValues(y)), nil
}

func (clearBackend) productData(p packing.Product, x []*Operand, y *Data, _ int) ([]Tensor, error) {
	if y.values == nil {
		return nil, fmt.Errorf("%w: data without values: it is for tracing only", ErrShape)
	}
	return clearProduct(p, operandValues(x), y.values), nil
}

func clearProduct(p packing.Product, x, y [][]float64) []Tensor {
	var out []Tensor
	for _, v := range p.Apply(x, y) {
		out = append(out, Tensor{values: v})
	}
	return out
}

func operandValues(os []*Operand) [][]float64 {
	var out [][]float64
	for _, o := range os {
		out = append(out, o.t.values)
	}
	return out
}
