package packing

import "fmt"

// Axis names of [Dot].
const (
	Feature = "feature"
	Sample  = "sample"
)

// A Dot describes the products of one weight vector with a batch of samples:
// forward z[s] = Σ_j w[j]·x[j,s], backward g[j] = Σ_s e[s]·x[j,s]. Weights,
// data and results share one layout, slot = j·b + s with b the padded batch:
// weights are replicated along the samples, z and e along the features.
type Dot struct {
	Layout Layout
	// Sum adds along the features and replicates: the forward product is
	// Sum(w ⊙ x).
	Sum Map
}

// minPeriod is the shortest pattern that can be encoded at its own size.
const minPeriod = 8

// NewDot lays out features × batch elements in slots slots. The batch gets the
// smallest power of two that holds it, and that makes 8 slots with the features. It returns an error wrapping [ErrShape]
// if they do not fit; the remedy is a smaller batch.
func NewDot(features, batch, slots int) (Dot, error) {
	l, err := NewLayout(slots, Axis{Name: Feature, Len: features}, Axis{Name: Sample, Len: batch, Size: max(ceilPower(max(batch, 1)), minPeriod/ceilPower(max(features, 1)))})
	if err != nil {
		return Dot{}, fmt.Errorf("%d features × %d samples: %w", features, batch, err)
	}
	sum, err := l.CyclicSum(4)
	return Dot{l, sum}, err
}

// Update returns the map from the products e[s]·x[j,s] to factor·g, replicated
// as weights are: the sum over the batch and the mean over the repetitions of the
// layout. The repetitions hold the same values with independent errors, which
// their mean makes smaller.
func (d Dot) Update(factor float64) Map {
	var m Map
	copies := d.Layout.Slots / d.Layout.Period()
	for k := 1; k < copies; k *= 2 {
		m.Steps = append(m.Steps, Step{Rotations: []int{0, k * d.Layout.Period()}})
	}
	return m.Then(d.Layout.BlockSum(factor / float64(copies)))
}

// MaxBatch returns the largest batch that fits beside features features, and 0
// if none does.
func MaxBatch(features, slots int) int {
	if features < 1 || features > slots {
		return 0
	}
	return slots / ceilPower(features)
}

// Weights returns one period of w replicated along the samples. The padding
// samples carry the weights too: the data there is zero.
func (d Dot) Weights(w []float64) []float64 {
	b := d.Layout.Axes[1].Size
	v := make([]float64, d.Layout.Period())
	for j, x := range w {
		for s := range b {
			v[j*b+s] = x
		}
	}
	return v
}

// Read returns the weights from one or more periods of slot values.
func (d Dot) Read(v []float64) []float64 {
	w := make([]float64, d.Layout.Axes[0].Len)
	for j := range w {
		w[j] = v[d.Layout.Slot(j, 0)]
	}
	return w
}

// Data returns one period of the samples in rows, x[s][j] at feature j and
// sample s, zero in the padding.
func (d Dot) Data(rows [][]float64) []float64 {
	v := make([]float64, d.Layout.Period())
	for s, row := range rows {
		for j, x := range row {
			v[d.Layout.Slot(j, s)] = x
		}
	}
	return v
}

// Targets returns one period of y replicated along the features, zero in the
// padding samples.
func (d Dot) Targets(y []float64) []float64 {
	v := make([]float64, d.Layout.Period())
	for j := range d.Layout.Axes[0].Size {
		for s, t := range y {
			v[d.Layout.Slot(j, s)] = t
		}
	}
	return v
}

// Select returns the map that keeps feature 0, samples 0..rows-1 of the first
// repetition and zeroes every other slot: what a querier may see of z.
func (d Dot) Select(rows int) Map {
	mask := make([]float64, d.Layout.Slots)
	for s := range rows {
		mask[d.Layout.Slot(0, s)] = 1
	}
	return Map{[]Step{{Mask: mask}}}
}
