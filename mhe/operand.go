package mhe

import (
	"fmt"
	"math/big"

	"github.com/tuneinsight/lattigo/v5/ring"

	"github.com/nereid-mhe/nereid/mhe/rns"
	"github.com/nereid-mhe/nereid/params"
)

// An Operand is an encrypted tensor with what products have made of it so far:
// its decomposition and its rotations. Products that share an operand share that.
// It is used by one goroutine at a time.
type Operand struct {
	t       Tensor
	digits  []rns.Poly
	rotated map[int]Tensor // by rotation in 1..N-1
	passing bool           // rotations go when the group that asked for them is done
}

// NewOperand returns t as an operand, with nothing computed yet.
func NewOperand(t Tensor) *Operand { return &Operand{t: t, rotated: map[int]Tensor{}} }

// Operands returns an operand for each tensor.
func Operands(ts ...Tensor) []*Operand {
	out := make([]*Operand, len(ts))
	for i, t := range ts {
		out[i] = NewOperand(t)
	}
	return out
}

// Passing returns operands that keep no rotation beyond the group of a product that
// asks for it: for products of so many rotations, each in one group, that all of
// them at once would take gigabytes.
func Passing(ts ...Tensor) []*Operand {
	out := Operands(ts...)
	for _, o := range out {
		o.passing = true
	}
	return out
}

// Tensor returns the tensor itself.
func (o *Operand) Tensor() Tensor { return o.t }

// Expect tells a trace what is known of those values that the next products need,
// where the tensor holds values of several kinds.
func (o *Operand) Expect(r Range) { o.t.rng = r }

// Release gives the memory of rotations back, megabytes for each. The operand is
// as new.
func (o *Operand) Release() {
	o.dropRotations()
	o.dropDigits()
}

func (o *Operand) dropRotations() {
	for _, r := range o.rotated {
		if r.ct != nil {
			rns.Return(r.ct.c[0])
			rns.Return(r.ct.c[1])
		}
	}
	clear(o.rotated)
}

func (o *Operand) dropDigits() {
	for _, d := range o.digits {
		rns.Return(d)
	}
	o.digits = nil
}

// Release releases all operands.
func Release(os ...[]*Operand) {
	for _, list := range os {
		for _, o := range list {
			o.Release()
		}
	}
}

// Data are vectors in the clear for products: diagonals of a batch, all of one
// period and scale. They are encoded at first use and used by one goroutine at a
// time.
type Data struct {
	values  [][]float64 // one period of each; nil if only their range is known
	count   int
	scale   *big.Float
	rng     Range
	period  int
	level   int
	encoded [][]uint64 // by limb: run·count + vector, in Montgomery form
}

// NewData returns vectors to be encoded at scale. All have the length of one
// period, a power of two from 8 to the number of slots.
func NewData(values [][]float64, scale *big.Float) (*Data, error) {
	if len(values) == 0 || scale == nil || scale.Sign() <= 0 {
		return nil, fmt.Errorf("%w: data of %d vectors, want at least one and a scale", ErrShape, len(values))
	}
	d := &Data{values: values, count: len(values), scale: scale, period: len(values[0])}
	for i, v := range values {
		if len(v) != d.period {
			return nil, fmt.Errorf("%w: vector %d has %d values, want %d as the first", ErrShape, i, len(v), d.period)
		}
		r := Plain(v).rng
		d.rng.Max, d.rng.RMS = max(d.rng.Max, r.Max), max(d.rng.RMS, r.RMS)
	}
	return d, nil
}

// UnknownData returns count vectors of which only period and range are known, for
// tracing.
func UnknownData(count, period int, scale *big.Float, r Range) *Data {
	return &Data{count: count, scale: scale, rng: r, period: period}
}

// PlainScale returns the scale of data that brings the product with x, rescaled,
// to scale want.
func PlainScale(set params.Set, x Tensor, want *big.Float) *big.Float {
	return scaleQuo(scaleMul(want, primeScale(set, x.level)), x.scale)
}

// encode fills in the residues at level: the value of a plaintext of period p is
// constant on runs of N/p residues in NTT form, so that a vector takes p words of
// each limb.
func (d *Data) encode(enc *Encoder, set params.Set, level int) error {
	if d.encoded != nil && d.level == level {
		return nil
	}
	if d.values == nil {
		return fmt.Errorf("%w: data without values: it is for tracing only", ErrShape)
	}
	p := d.period
	if p < minPeriod || p > set.N() || p&(p-1) != 0 {
		return fmt.Errorf("%w: encoding %d values, want a power of two from %d to %d", ErrShape, p, minPeriod, set.N())
	}
	basis := Basis(set, level)
	out := make([][]uint64, len(basis))
	for j := range out {
		out[j] = make([]uint64, p*d.count)
	}
	f, _ := d.scale.Float64()
	res := make([]residues, len(basis))
	for j, s := range basis {
		res[j].s = s
	}
	coeff, small := make([]complex128, p), make([]uint64, p)
	for v, values := range d.values {
		for i, x := range values {
			coeff[i] = complex(x, 0)
		}
		enc.fourier.inverse(coeff)
		for j, s := range basis {
			for i, c := range coeff {
				small[i] = res[j].of(real(c) * f)
			}
			ring.NTTConjugateInvariant(small, small, p, s.Modulus, s.MRedConstant, s.BRedConstant, s.RootsForward)
			for i, x := range small {
				out[j][i*d.count+v] = ring.MForm(x, s.Modulus, s.BRedConstant)
			}
		}
	}
	d.encoded, d.level = out, level
	return nil
}

// check refuses vectors that the encoder would.
func (d *Data) check(set params.Set) error {
	for i, v := range d.values {
		if err := (engine{set: set}).data(Plain(v)); err != nil {
			return fmt.Errorf("vector %d: %w", i, err)
		}
	}
	return nil
}
