package packing

import (
	"crypto/sha3"
	"encoding/binary"
	"fmt"
	"math"
)

// A Piece of an output of a [Mix] is Mask ⊙ Rotate(x[In], By).
type Piece struct {
	In, By int
	// Mask is one period of the factors of every slot of the rotated input; nil
	// means all ones.
	Mask []float64
}

// A Mix is a linear map from several vectors to several: output i is the sum of
// its pieces, Out[i] = Σ Mask ⊙ Rotate(x[In], By). Either every piece has a mask
// or none has, so that all outputs have one scale. It is made for the collective
// refresh of values that are spread over several ciphertexts, and like a [Map] it
// has an interpreter on floats. Without outputs it is no mix at all.
type Mix [][]Piece

// Depth returns 1 if the pieces have masks and 0 if not.
func (m Mix) Depth() int {
	for _, pieces := range m {
		for _, p := range pieces {
			if p.Mask != nil {
				return 1
			}
		}
	}
	return 0
}

// Apply returns the outputs for one period of the values of every input, all of
// one length, which must be that of a period of inputs and masks: rotations are
// taken modulo it.
func (m Mix) Apply(x [][]float64) [][]float64 {
	return m.propagate(x, func(mask float64) float64 { return mask })
}

// ApplyVariance returns the variance of every slot of m(x) when the slots of all
// inputs have independent errors of the given variances. An output that adds the
// same slot of an input twice would need its correlation.
func (m Mix) ApplyVariance(x [][]float64) [][]float64 {
	return m.propagate(x, func(mask float64) float64 { return mask * mask })
}

// ApplyBound returns a bound of every slot of |m(x)| from bounds of |x|.
func (m Mix) ApplyBound(x [][]float64) [][]float64 { return m.propagate(x, math.Abs) }

func (m Mix) propagate(x [][]float64, weight func(float64) float64) [][]float64 {
	out := make([][]float64, len(m))
	for i, pieces := range m {
		for _, p := range pieces {
			v := x[p.In]
			if out[i] == nil {
				out[i] = make([]float64, len(v))
			}
			w := []float64{1}
			if p.Mask != nil {
				w = make([]float64, len(p.Mask))
				for k, f := range p.Mask {
					w[k] = weight(f)
				}
			}
			by := Mod(p.By, len(v))
			for k := range v {
				out[i][k] += w[k%len(w)] * v[(k+by)%len(v)]
			}
		}
	}
	return out
}

// Check returns an error wrapping [ErrShape] unless every output has a piece,
// every piece one of the inputs, and every or no piece a mask, of a period that
// divides slots.
func (m Mix) Check(inputs, slots int) error {
	masked := m.Depth() > 0
	for i, pieces := range m {
		if len(pieces) == 0 {
			return fmt.Errorf("%w: output %d of a mix has no pieces", ErrShape, i)
		}
		for k, p := range pieces {
			switch {
			case p.In < 0 || p.In >= inputs:
				return fmt.Errorf("%w: piece %d of output %d is of input %d, want 0 to %d", ErrShape, k, i, p.In, inputs-1)
			case (p.Mask != nil) != masked:
				return fmt.Errorf("%w: piece %d of output %d has no mask and others have: all or none", ErrShape, k, i)
			case masked && (!powerOfTwo(len(p.Mask)) || len(p.Mask) > slots):
				return fmt.Errorf("%w: piece %d of output %d has a mask of period %d for %d slots", ErrShape, k, i, len(p.Mask), slots)
			}
		}
	}
	return nil
}

// Hash identifies the mix: inputs, rotations and the exact bits of the masks.
func (m Mix) Hash() [32]byte {
	b := []byte("nereid/mix/v1")
	number := func(n int) { b = binary.BigEndian.AppendUint64(b, uint64(n)) }
	number(len(m))
	for _, pieces := range m {
		number(len(pieces))
		for _, p := range pieces {
			number(p.In)
			number(p.By)
			number(len(p.Mask)) // 0 for none: a mask has a period
			for _, v := range p.Mask {
				b = binary.BigEndian.AppendUint64(b, math.Float64bits(v))
			}
		}
	}
	return sha3.Sum256(b)
}
