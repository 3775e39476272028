// Package packing maps tensors to the slots of a ciphertext.
//
// It is pure integer and float64 code: no keys, no ciphertexts, no randomness.
// Everything above it asks two questions, where an element lives and which
// rotations a product needs, and both are answered here once, so that they can
// be tested without encrypting anything.
//
// # Notation
//
// A ciphertext has n slots, n a power of two. Rotate(v, k) moves slot k to slot
// 0: k > 0 rotates to the left, cyclically. A vector of period p ≤ n is given
// by its first p values and repeats n/p times.
//
// # Sources
//
// Unit-major, sample-inner packing makes the sum over units a sum over a
// subgroup of the rotations, which is cyclic and needs no mask. It is the
// packing of SPINDLE (PoPETs 2021, section 6) with the batch innermost.
package packing

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"
)

// ErrShape is wrapped by every error of this package.
var ErrShape = errors.New("packing: shape")

// An Axis is one dimension of a layout. Indices Len..Size-1 are padding.
type Axis struct {
	Name string
	Len  int // elements in use
	Size int // slots along the axis in units of its stride: a power of two, at least Len
}

// A Layout says where the elements of a tensor sit: the axes are nested,
// outermost first, and the whole pattern repeats until the slots are full. The
// zero value is not usable; see [NewLayout].
type Layout struct {
	Slots int
	Axes  []Axis
}

// NewLayout nests axes, outermost first, in slots slots. An axis with Size 0
// gets the smallest power of two that holds Len; the outermost axis may not fit,
// which is an error wrapping [ErrShape].
func NewLayout(slots int, axes ...Axis) (Layout, error) {
	if !powerOfTwo(slots) {
		return Layout{}, fmt.Errorf("%w: %d slots, want a power of two", ErrShape, slots)
	}
	if len(axes) == 0 {
		return Layout{}, fmt.Errorf("%w: a layout with no axes", ErrShape)
	}
	l, room := Layout{slots, slices.Clone(axes)}, slots
	for i := range l.Axes {
		a := &l.Axes[i]
		if a.Len < 1 {
			return Layout{}, fmt.Errorf("%w: axis %q has %d elements", ErrShape, a.Name, a.Len)
		}
		if a.Size == 0 {
			a.Size = ceilPower(a.Len)
		}
		if !powerOfTwo(a.Size) || a.Size < a.Len {
			return Layout{}, fmt.Errorf("%w: axis %q has size %d for %d elements, want a power of two that holds them", ErrShape, a.Name, a.Size, a.Len)
		}
		room /= a.Size // powers of two: 0 as soon as the axes do not fit
		if slices.ContainsFunc(l.Axes[:i], func(b Axis) bool { return b.Name == a.Name }) {
			return Layout{}, fmt.Errorf("%w: two axes are called %q", ErrShape, a.Name)
		}
	}
	if room == 0 {
		return Layout{}, fmt.Errorf("%w: %v needs more than the %d slots of a ciphertext", ErrShape, l.Axes, slots)
	}
	return l, nil
}

// Period returns the number of slots after which the pattern repeats.
func (l Layout) Period() int {
	p := 1
	for _, a := range l.Axes {
		p *= a.Size
	}
	return p
}

// Axis returns the named axis and its stride in slots. ok is false if the layout
// has no such axis.
func (l Layout) Axis(name string) (a Axis, stride int, ok bool) {
	stride = 1
	for i := len(l.Axes) - 1; i >= 0; i-- {
		if l.Axes[i].Name == name {
			return l.Axes[i], stride, true
		}
		stride *= l.Axes[i].Size
	}
	return Axis{}, 0, false
}

// Slot returns the slot, in the first repetition, of the element with the given
// index along each axis, outermost first.
func (l Layout) Slot(index ...int) int {
	s := 0
	for i, a := range l.Axes {
		s = s*a.Size + index[i]
	}
	return s
}

// Pack returns one period of slot values: f at every element in use, zero in the
// padding. The index passed to f is outermost first and reused between calls.
func (l Layout) Pack(f func(index []int) float64) []float64 {
	v := make([]float64, l.Period())
	index := make([]int, len(l.Axes))
	for s := range v {
		used := true
		for i, rest := len(l.Axes)-1, s; i >= 0; i-- {
			a := l.Axes[i]
			index[i] = rest % a.Size
			rest /= a.Size
			used = used && index[i] < a.Len
		}
		if used {
			v[s] = f(index)
		}
	}
	return v
}

func powerOfTwo(n int) bool { return n > 0 && n&(n-1) == 0 }

// ceilPower returns the smallest power of two that is at least n ≥ 1.
func ceilPower(n int) int { return 1 << bits.Len(uint(n-1)) }
