package dataset

import (
	"fmt"
	"math"
	"strconv"
)

const (
	// neighbourCorrelation is the correlation of columns j and j+1.
	neighbourCorrelation = 0.3
	// logitSpread is the standard deviation of w·z over the population.
	logitSpread = 2.0
	// maxCells bounds a synthetic table to 0.8 GB.
	maxCells = 100_000_000
)

// units are the column scales that synthetic tables choose from.
var units = [...]float64{0.1, 1, 5, 20, 100}

// A SyntheticConfig describes a table made by [Synthetic].
type SyntheticConfig struct {
	Rows     int    // n ≥ 2
	Features int    // d ≥ 1; Rows·Features ≤ 10^8
	Seed     uint64 // public
	// Noise is the probability, 0 ≤ Noise < 0.5, that a label is inverted
	// after it was drawn. No model is right more often than 1 - Noise on
	// average.
	Noise float64
}

func (c SyntheticConfig) check() error {
	problem := ""
	switch {
	case c.Rows < 2:
		problem = fmt.Sprintf("%d synthetic rows, want 2 or more", c.Rows)
	case c.Features < 1:
		problem = fmt.Sprintf("%d synthetic features, want 1 or more", c.Features)
	case c.Rows > maxCells/c.Features:
		problem = fmt.Sprintf("%d×%d synthetic cells, want %d or fewer", c.Rows, c.Features, maxCells)
	case !(c.Noise >= 0 && c.Noise < 0.5):
		problem = fmt.Sprintf("label noise %g, want 0 or more and less than 0.5", c.Noise)
	default:
		return nil
	}
	return &Error{Problem: problem, Remedy: "change the synthetic data settings"}
}

// Synthetic makes a table for two-class problems of which the true model is
// known. For each row, with ε and all draws independent,
//
//	z_0 = ε_0,  z_j = 0.3 z_{j-1} + sqrt(1 - 0.3²) ε_j,   ε_j ~ N(0, 1)
//	x_j = shift_j + scale_j z_j
//	y   ~ Bernoulli(1/(1 + exp(-(w·z + b)))), then inverted with probability Noise
//
// so that z ~ N(0, Σ) with Σ_jk = 0.3^|j-k|. The scales are drawn from 0.1, 1,
// 5, 20 and 100, and shift_j is scale_j times a whole number from 0 to 6, like
// columns in different units. [SyntheticConfig.Truth] gives w and b. Should all
// labels come out equal, the last one is inverted, so that both classes are
// present.
//
// w, b, scales and shifts depend on Seed and Features only, and the rows of a
// smaller table (but for that last label) and the x of a table with other
// noise are the same. Columns are named x0, x1, … The draws rest on PCG and the
// normal generator of math/rand/v2; a test holds them to recorded values.
//
// It returns an [Error] if c is out of the ranges given there.
func Synthetic(c SyntheticConfig) (Table, error) {
	if err := c.check(); err != nil {
		return Table{}, err
	}
	truth := c.draw()
	rng := newRand(c.Seed, streamRows)
	t := Table{Features: make([]string, c.Features), X: make([][]float64, c.Rows), Y: make([]float64, c.Rows)}
	for j := range t.Features {
		t.Features[j] = "x" + strconv.Itoa(j)
	}
	positive := 0.0
	fresh := math.Sqrt(1 - neighbourCorrelation*neighbourCorrelation)
	for i := range t.X {
		row, z, logit := make([]float64, c.Features), 0.0, truth.b
		for j := range row {
			// The conversions forbid fused multiply-add, which would make the
			// last bits depend on the processor.
			if e := rng.NormFloat64(); j == 0 {
				z = e
			} else {
				z = float64(neighbourCorrelation*z) + float64(fresh*e)
			}
			row[j] = truth.shift[j] + float64(truth.scale[j]*z)
			logit += float64(truth.w[j] * z)
		}
		y, inverted := rng.Float64() < 1/(1+math.Exp(-logit)), rng.Float64() < c.Noise
		if y != inverted {
			t.Y[i] = 1
		}
		t.X[i] = row
		positive += t.Y[i]
	}
	if positive == 0 || positive == float64(c.Rows) {
		t.Y[c.Rows-1] = 1 - t.Y[c.Rows-1]
	}
	return t, nil
}

// Truth returns the d weights w and the intercept b from which the labels are
// drawn. They apply to the standardised columns z. w is Gaussian, scaled so
// that w·z has standard deviation 2, and b ~ N(0, 0.5²). Errors are those of
// [Synthetic].
func (c SyntheticConfig) Truth() (w []float64, b float64, err error) {
	if err := c.check(); err != nil {
		return nil, 0, err
	}
	truth := c.draw()
	return truth.w, truth.b, nil
}

// truth holds the parameters of a synthetic population.
type truth struct {
	w, shift, scale []float64
	b               float64
}

func (c SyntheticConfig) draw() truth {
	rng := newRand(c.Seed, streamTruth)
	p := truth{
		w:     make([]float64, c.Features),
		shift: make([]float64, c.Features),
		scale: make([]float64, c.Features),
		b:     rng.NormFloat64() / 2,
	}
	variance, partial := 0.0, 0.0 // wᵀΣw and Σ_{k≤j} 0.3^{j-k} w_k
	for j := range p.w {
		p.w[j] = rng.NormFloat64()
		p.scale[j] = units[below(rng, len(units))]
		p.shift[j] = p.scale[j] * float64(below(rng, 7))
		partial = float64(neighbourCorrelation*partial) + p.w[j]
		variance += float64(p.w[j] * (float64(2*partial) - p.w[j]))
	}
	for j := range p.w {
		p.w[j] *= logitSpread / math.Sqrt(variance)
	}
	return p
}
