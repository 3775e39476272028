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

// A Linear is a linear map from several vectors to several: Before of each, then Mix
// of all, or nothing without a mix, then After of each that comes out. An output of
// the mix without pieces is zero.
type Linear struct {
	Before Map
	Mix    Mix
	After  Map
}

// Apply returns the outputs for one period of the values of every input.
func (l Linear) Apply(x [][]float64) [][]float64 {
	y := make([][]float64, len(x))
	for i, v := range x {
		y[i] = l.Before.Apply(v)
	}
	if len(l.Mix) > 0 {
		y = l.Mix.Apply(y)
	}
	for i, v := range y {
		y[i] = l.After.Apply(v)
	}
	return y
}

// Depth returns the masks on every path from an input to an output.
func (l Linear) Depth() int { return l.Before.Depth() + l.Mix.Depth() + l.After.Depth() }

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
		out[i] = make([]float64, len(x[0]))
		for _, p := range pieces {
			v := x[p.In]
			by, period := Mod(p.By, len(v)), len(p.Mask)
			for k, at := 0, 0; k < len(v); k++ {
				w := 1.0
				if period > 0 {
					w = p.Mask[at]
					if at++; at == period {
						at = 0
					}
					if w == 0 { // as in most slots of most masks
						continue
					}
					w = weight(w)
				}
				from := k + by
				if from >= len(v) {
					from -= len(v)
				}
				out[i][k] += float64(w * v[from])
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
	h := newHasher("nereid/mix/v1")
	h.number(len(m))
	for _, pieces := range m {
		h.number(len(pieces))
		for _, p := range pieces {
			h.number(p.In)
			h.number(p.By)
			h.floats(p.Mask) // none has length 0: a mask has a period
		}
	}
	return h.sum()
}

// A hasher hashes programs. Masks are megabytes: they go through in pieces.
type hasher struct {
	h *sha3.SHA3
	b []byte
}

func newHasher(domain string) *hasher {
	return &hasher{sha3.New256(), append(make([]byte, 0, 1<<12), domain...)}
}

func (h *hasher) number(n int) { h.word(uint64(n)) }

// floats hashes the length and the exact bits of v.
func (h *hasher) floats(v []float64) {
	h.number(len(v))
	for _, f := range v {
		h.word(math.Float64bits(f))
	}
}

func (h *hasher) word(w uint64) {
	if len(h.b)+8 > cap(h.b) {
		h.flush()
	}
	h.b = binary.BigEndian.AppendUint64(h.b, w)
}

func (h *hasher) flush() {
	_, _ = h.h.Write(h.b) // does not fail
	h.b = h.b[:0]
}

func (h *hasher) sum() (out [32]byte) {
	h.flush()
	h.h.Sum(out[:0])
	return out
}
