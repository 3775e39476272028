package packing

import (
	"fmt"
	"math"
	"slices"
)

// A Step of a [Map] replaces x by mask ⊙ Σ_k Rotate(x, k).
type Step struct {
	// Rotations are the k of the sum. A step without rotations keeps x, as does
	// the single rotation 0.
	Rotations []int
	// Mask is one period of the factors of every slot; nil means all ones.
	Mask []float64
}

// A Map is a linear map on slots, written as a program of rotations, sums and
// masks. It is one value with three interpreters: [Map.Apply] on floats, the
// evaluator's on ciphertexts, where every rotation needs a Galois key and every
// mask a level, and the collective refresh's, where both are nearly free. The
// zero value is the identity.
type Map struct {
	Steps []Step
}

// Identity reports whether m leaves every slot as it is.
func (m Map) Identity() bool {
	return !slices.ContainsFunc(m.Steps, func(s Step) bool {
		return s.Mask != nil || slices.ContainsFunc(s.Rotations, func(k int) bool { return k != 0 }) || len(s.Rotations) > 1
	})
}

// Depth returns the number of masks, each of which costs a ciphertext a level.
func (m Map) Depth() int {
	d := 0
	for _, s := range m.Steps {
		if s.Mask != nil {
			d++
		}
	}
	return d
}

// Rotations returns the distinct rotations by other than 0 modulo slots, in
// increasing order, each in 1..slots-1.
func (m Map) Rotations(slots int) []int {
	var ks []int
	for _, s := range m.Steps {
		for _, k := range s.Rotations {
			if k = Mod(k, slots); k != 0 {
				ks = append(ks, k)
			}
		}
	}
	slices.Sort(ks)
	return slices.Compact(ks)
}

// Then returns the map that applies m first and o to its result.
func (m Map) Then(o Map) Map { return Map{slices.Concat(m.Steps, o.Steps)} }

// Apply returns m applied to one period of values. The rotations are taken
// modulo len(v), so v must have the length of a period of input and masks.
func (m Map) Apply(v []float64) []float64 {
	return m.propagate(v, func(mask float64) float64 { return mask })
}

// ApplyVariance returns the variance of every slot of m(x) when the slots of x
// have independent errors of the given variances. A map that adds the same slot
// twice would need its correlation; none of this package's maps does.
func (m Map) ApplyVariance(v []float64) []float64 {
	return m.propagate(v, func(mask float64) float64 { return mask * mask })
}

// ApplyBound returns a bound of every slot of |m(x)| from bounds of |x|.
func (m Map) ApplyBound(v []float64) []float64 { return m.propagate(v, math.Abs) }

func (m Map) propagate(v []float64, weight func(float64) float64) []float64 {
	x := slices.Clone(v)
	for _, s := range m.Steps {
		if len(s.Rotations) > 0 {
			sum := make([]float64, len(x))
			for _, k := range s.Rotations {
				k = Mod(k, len(x))
				for i := range sum {
					sum[i] += x[(i+k)%len(x)]
				}
			}
			x = sum
		}
		if s.Mask != nil {
			for i := range x {
				x[i] *= weight(s.Mask[i%len(s.Mask)])
			}
		}
	}
	return x
}

// Check returns an error wrapping [ErrShape] unless every mask has a period that
// divides slots.
func (m Map) Check(slots int) error {
	for i, s := range m.Steps {
		if s.Mask != nil && (!powerOfTwo(len(s.Mask)) || len(s.Mask) > slots) {
			return fmt.Errorf("%w: step %d has a mask of period %d for %d slots", ErrShape, i, len(s.Mask), slots)
		}
	}
	return nil
}

// Hash identifies the program: rotations and the exact bits of the masks.
func (m Map) Hash() [32]byte {
	h := newHasher("nereid/slotmap/v1")
	for _, s := range m.Steps {
		h.number(len(s.Rotations))
		for _, k := range s.Rotations {
			h.number(k)
		}
		h.floats(s.Mask)
	}
	return h.sum()
}

// CyclicSum returns the map that replaces every slot by the sum along the
// outermost axis. Because the axis repeats with the period of the layout the
// sum is cyclic: no mask, and the result is replicated along the axis. radix is
// the number of rotations added per step, a power of two: 2 needs the fewest
// Galois keys, 4 shares one decomposition among three rotations.
func (l Layout) CyclicSum(radix int) (Map, error) {
	if !powerOfTwo(radix) || radix < 2 {
		return Map{}, fmt.Errorf("%w: radix %d, want a power of two from 2", ErrShape, radix)
	}
	a := l.Axes[0]
	_, stride, _ := l.Axis(a.Name)
	var m Map
	for done := 1; done < a.Size; {
		r := min(radix, a.Size/done)
		m.Steps = append(m.Steps, Step{Rotations: multiples(r, stride*done)})
		done *= r
	}
	return m, nil
}

// BlockSum returns the map that replaces every slot by factor times the sum
// along the innermost axis, padding included: doubling sums, a mask that keeps
// the first element of each block, and doubling copies. It is made for a
// refresh, where its 2·log2(Size) rotations and one mask are nearly free.
func (l Layout) BlockSum(factor float64) Map {
	b := l.Axes[len(l.Axes)-1].Size
	var m Map
	for k := 1; k < b; k *= 2 {
		m.Steps = append(m.Steps, Step{Rotations: []int{0, k}})
	}
	mask := make([]float64, b)
	mask[0] = factor
	m.Steps = append(m.Steps, Step{Mask: mask})
	for k := 1; k < b; k *= 2 {
		m.Steps = append(m.Steps, Step{Rotations: []int{0, -k}})
	}
	return m
}

// multiples returns 0, stride, …, (n-1)·stride.
func multiples(n, stride int) []int {
	ks := make([]int, n)
	for i := range ks {
		ks[i] = i * stride
	}
	return ks
}

// Mod returns k modulo n in 0..n-1.
func Mod(k, n int) int { return ((k % n) + n) % n }
