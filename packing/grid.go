package packing

import "fmt"

// A Grid divides the slots into Units blocks of Block positions: slot =
// unit·Block + position. Units are the outer axis, so that rotations by multiples
// of Block are cyclic over the units and need no mask. A batch leaves the last
// positions of every block empty: rotations by less than that many positions do
// not mix units either.
type Grid struct{ Units, Block int }

// NewGrid divides slots into blocks for the given number of units, which is
// rounded up to a power of two. It returns an error wrapping [ErrShape] if a
// block would have fewer than eight positions.
func NewGrid(units, slots int) (Grid, error) {
	if units < 1 || !powerOfTwo(slots) {
		return Grid{}, fmt.Errorf("%w: %d units in %d slots", ErrShape, units, slots)
	}
	g := Grid{Units: ceilPower(units)}
	if g.Block = slots / g.Units; g.Block < minPeriod {
		return Grid{}, fmt.Errorf("%w: %d units leave %d of %d slots for the batch, want at least %d: take fewer units or a larger ring", ErrShape, units, g.Block, slots, minPeriod)
	}
	return g, nil
}

// Slots returns the number of slots.
func (g Grid) Slots() int { return g.Units * g.Block }

// A Face is where the activations of a layer sit in a grid: sample s at position
// s of a block, unit j of Len in block k with k ≡ j mod Size, or, skewed, with
// k + s ≡ j. Padding units and positions are zero. Layers on encrypted
// activations take one kind and leave the other: so nothing is ever rearranged.
type Face struct {
	Grid
	Len, Size int // units, and the power of two with which they repeat
	Skew      bool
}

// unit returns the unit at block k, position p. It may be padding.
func (f Face) unit(k, p int) int {
	if f.Skew {
		k += p
	}
	return k & (f.Size - 1)
}

// Pack returns the slots with v(unit, sample) for samples 0..batch-1 and zero
// elsewhere.
func (f Face) Pack(batch int, v func(unit, sample int) float64) []float64 {
	out := make([]float64, f.Slots())
	for k := range f.Units {
		for s := range min(batch, f.Block) {
			if j := f.unit(k, s); j < f.Len {
				out[k*f.Block+s] = v(j, s)
			}
		}
	}
	return out
}

// Read returns the values of sample s by unit.
func (f Face) Read(slots []float64, s int) []float64 {
	out := make([]float64, f.Len)
	for j := range out {
		k := j
		if f.Skew {
			k = Mod(j-s, f.Size)
		}
		out[j] = slots[k*f.Block+s]
	}
	return out
}

// Bias returns the map that sums the samples of every unit, multiplies by factor
// and puts the result at every sample of a batch of the given size: the update of
// a bias, in the layout in which it is added. It is made for a refresh.
func (f Face) Bias(batch int, factor float64) Map {
	b := f.Block
	var m Map
	// one position to the right is, skewed, one block up: both are the same unit
	step := 1
	if f.Skew {
		step = 1 - b
	}
	for k := 1; k < b; k *= 2 {
		m.Steps = append(m.Steps, Step{Rotations: []int{0, k * step}})
	}
	first := make([]float64, b)
	first[0] = factor
	m.Steps = append(m.Steps, Step{Mask: first})
	for k := 1; k < b; k *= 2 {
		m.Steps = append(m.Steps, Step{Rotations: []int{0, -k * step}})
	}
	used := make([]float64, b)
	for s := range min(batch, b) {
		used[s] = 1
	}
	m.Steps = append(m.Steps, Step{Mask: used})
	return m
}

// Batch returns the number of samples that fit a block beside windows of the
// given numbers of positions, which the rotations of layers reach across.
func (g Grid) Batch(windows ...int) int {
	most := 1
	for _, w := range windows {
		most = max(most, w)
	}
	return max(0, g.Block-most+1)
}

// An Update turns the sum of all parties' gradients into the update of weights,
// in their layout and replicated as they are: After(Mix(Before)). Copies is what
// it multiplies values by that are already replicated so, the factor aside.
type Update struct {
	Linear
	Copies float64
}

// doublings returns the steps x ← x + Rotate(x, k) for k = from, 2·from, … below
// to, with the given sign.
func doublings(from, to, sign int) Map {
	var m Map
	for k := from; k < to; k *= 2 {
		m.Steps = append(m.Steps, Step{Rotations: []int{0, sign * k}})
	}
	return m
}
