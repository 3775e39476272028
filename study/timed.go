package study

import (
	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/packing"
)

// timed counts an evaluator's operations as compute of the party, in phase MAP
// but for the update, which ends the step.
type timed struct {
	ev mhe.Evaluator
	p  *party
}

var _ mhe.Evaluator = timed{}

func (t timed) run(f func() (mhe.Tensor, error)) (out mhe.Tensor, err error) {
	err = t.p.compute(phaseMap, func() error { out, err = f(); return err })
	return out, err
}

func (t timed) Dot(d packing.Dot, w, x mhe.Tensor, logScale int) (mhe.Tensor, error) {
	return t.run(func() (mhe.Tensor, error) { return t.ev.Dot(d, w, x, logScale) })
}

func (t timed) Outer(d packing.Dot, e, x mhe.Tensor, logScale int) (mhe.Tensor, error) {
	return t.run(func() (mhe.Tensor, error) { return t.ev.Outer(d, e, x, logScale) })
}

func (t timed) Product(p packing.Product, x, y []*mhe.Operand) (out []mhe.Tensor, err error) {
	err = t.p.compute(phaseMap, func() error { out, err = t.ev.Product(p, x, y); return err })
	return out, err
}

func (t timed) ProductData(p packing.Product, x []*mhe.Operand, y *mhe.Data) (out []mhe.Tensor, err error) {
	err = t.p.compute(phaseMap, func() error { out, err = t.ev.ProductData(p, x, y); return err })
	return out, err
}

func (t timed) Mul(x, y mhe.Tensor) (mhe.Tensor, error) {
	return t.run(func() (mhe.Tensor, error) { return t.ev.Mul(x, y) })
}

func (t timed) Polynomials(x mhe.Tensor, coeffs ...[]float64) (out []mhe.Tensor, err error) {
	err = t.p.compute(phaseMap, func() error { out, err = t.ev.Polynomials(x, coeffs...); return err })
	return out, err
}

func (t timed) Add(x, y mhe.Tensor) (mhe.Tensor, error) {
	return t.run(func() (mhe.Tensor, error) { return t.ev.Add(x, y) })
}

func (t timed) Sub(x, y mhe.Tensor) (mhe.Tensor, error) {
	return t.run(func() (mhe.Tensor, error) { return t.ev.Sub(x, y) })
}

func (t timed) AddScaled(x, c, y mhe.Tensor) (mhe.Tensor, error) {
	return t.run(func() (mhe.Tensor, error) { return t.ev.AddScaled(x, c, y) })
}

func (t timed) Map(m packing.Map, x mhe.Tensor) (mhe.Tensor, error) {
	return t.run(func() (mhe.Tensor, error) { return t.ev.Map(m, x) })
}
