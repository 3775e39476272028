package mhe

import (
	"fmt"
	"math/big"

	"github.com/nereid-mhe/nereid/packing"
)

// Product implements [Evaluator].
func (e engine) Product(p packing.Product, x, y []*Operand) ([]Tensor, error) {
	if err := p.Check(len(x), len(y)); err != nil {
		return nil, fmt.Errorf("%w: Product: %w", ErrShape, err)
	}
	if err := groups("Product", p, maxTensors); err != nil {
		return nil, err
	}
	level, scale, err := e.operands("Product", x)
	if err != nil {
		return nil, err
	}
	other, scaleY, err := e.operands("Product", y)
	if err != nil {
		return nil, err
	}
	level = min(level, other)
	out, err := e.be.product(p, x, y, level)
	return e.products(out, level, scaleMul(scale, scaleY)), err
}

// ProductData implements [Evaluator].
func (e engine) ProductData(p packing.Product, x []*Operand, y *Data) ([]Tensor, error) {
	if err := p.Check(len(x), y.count); err != nil {
		return nil, fmt.Errorf("%w: ProductData: %w", ErrShape, err)
	}
	if err := groups("ProductData", p, maxTerms); err != nil {
		return nil, err
	}
	if err := e.period(y.period); err != nil {
		return nil, err
	}
	if log2(y.scale) < minPlainScale {
		return nil, fmt.Errorf("%w: ProductData: data at scale 2^%.1f is too coarse", ErrShape, log2(y.scale))
	}
	if err := y.check(e.set); err != nil {
		return nil, err
	}
	level, scale, err := e.operands("ProductData", x)
	if err != nil {
		return nil, err
	}
	out, err := e.be.productData(p, x, y, level)
	return e.products(out, level, scaleMul(scale, y.scale)), err
}

// maxTensors bounds the terms of a group of encrypted operands. Each adds two
// products of residues to a sum in 128 bits. A prime of 60 bits in package params
// is one of those nearest to 2^60, on either side, and far below 2^60·(1+2^-8):
// 2·maxTensors·2^120·(1+2^-8)² < 2^128. One more term could overflow. With data a
// term is one product, and as many as maxTerms have half of the room.
const maxTensors = 127

// groups refuses a product with a group of more than most terms.
func groups(op string, p packing.Product, most int) error {
	for i, gs := range p {
		for _, g := range gs {
			if len(g.Terms) > most {
				return fmt.Errorf("%w: %s: output %d has a group of %d terms, want at most %d", ErrShape, op, i, len(g.Terms), most)
			}
		}
	}
	return nil
}

// operands checks the operands of a product and returns their level and scale.
func (e engine) operands(op string, os []*Operand) (level int, scale *big.Float, err error) {
	for i, o := range os {
		if err := e.encrypted(op, 1, o.t); err != nil {
			return 0, nil, err
		}
		if i == 0 {
			level, scale = o.t.level, o.t.scale
		}
		if o.t.scale.Cmp(scale) != 0 {
			return 0, nil, fmt.Errorf("%w: %s of tensors of scales 2^%.9f and 2^%.9f", ErrShape, op, log2(scale), o.t.LogScale())
		}
		level = min(level, o.t.level)
	}
	return level, scale, nil
}

// products sets level and scale of the results of a product at level.
func (e engine) products(out []Tensor, level int, scale *big.Float) []Tensor {
	scale = scaleQuo(scale, primeScale(e.set, level))
	for i := range out {
		out[i] = e.like(out[i], out[i], level-1, scale)
	}
	return out
}
