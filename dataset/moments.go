package dataset

import (
	"fmt"
	"math"
	"slices"
	"strconv"
)

// minSpread is the smallest ratio of variance to mean square that [Moments.Scaler]
// accepts, that is, a standard deviation of a millionth of the mean. Sums in
// float64 carry about 52 bits; beyond 40 bits of cancellation the variance has
// fewer than 12 bits left.
const minSpread = 0x1p-40

// Moments are sums over rows that add up across parties: the number of rows n,
// and for each column j of d the sums Σ x_j and Σ x_j². The zero value stands
// for no rows.
type Moments struct {
	N     float64
	Sum   []float64 // length d
	SumSq []float64 // length d
}

// Moments returns the sums over the rows of t. The sums are compensated, so
// the result is within a few units in the last place for any number of rows.
// t must be rectangular, as the tables of this package are.
func (t Table) Moments() Moments {
	d := t.Dim()
	sum, sumSq := make([]compensated, d), make([]compensated, d)
	for _, row := range t.X {
		for j, v := range row {
			sum[j].add(v)
			sumSq[j].add(v * v)
		}
	}
	m := Moments{N: float64(t.Rows()), Sum: make([]float64, d), SumSq: make([]float64, d)}
	for j := range d {
		m.Sum[j], m.SumSq[j] = sum[j].value(), sumSq[j].value()
	}
	return m
}

// Add returns the moments of the rows of m and o together. The zero Moments
// adds nothing. If the numbers of columns differ, N of the result is NaN, which
// Scaler reports.
func (m Moments) Add(o Moments) Moments {
	if m.isZero() {
		return o.clone()
	}
	if o.isZero() {
		return m.clone()
	}
	if len(m.Sum) != len(o.Sum) || len(m.SumSq) != len(o.SumSq) {
		return Moments{N: math.NaN()}
	}
	s := m.clone()
	s.N += o.N
	for j, v := range o.Sum {
		s.Sum[j] += v
	}
	for j, v := range o.SumSq {
		s.SumSq[j] += v
	}
	return s
}

func (m Moments) isZero() bool { return m.N == 0 && len(m.Sum) == 0 && len(m.SumSq) == 0 }

func (m Moments) clone() Moments {
	return Moments{N: m.N, Sum: slices.Clone(m.Sum), SumSq: slices.Clone(m.SumSq)}
}

// Scaler returns the standardisation
//
//	mean_j = Σx_j / n,  std_j = sqrt(Σx_j²/n - mean_j²),  z_j = (x_j - mean_j)/std_j
//
// with |z_j| cut at clip if clip > 0 and no cut if clip is 0.
//
// It returns an [Error] if clip is negative or not finite, if n is not a
// positive number, and if a variance is not finite, not positive, or lost to
// cancellation (standard deviation below a millionth of the mean). Column is
// then the index of the column among the features.
func (m Moments) Scaler(clip float64) (Scaler, error) {
	switch {
	case !finite(clip) || clip < 0:
		return Scaler{}, &Error{
			Value:   number(clip),
			Problem: "the clip bound is neither positive nor 0",
			Remedy:  "use a bound such as 5, or 0 for none",
		}
	case math.IsNaN(m.N) || len(m.Sum) != len(m.SumSq):
		return Scaler{}, &Error{
			Problem: "the moments are not of the same columns",
			Remedy:  "check that all parties have the same columns",
		}
	case math.IsInf(m.N, 0) || m.N <= 0:
		return Scaler{}, &Error{
			Problem: fmt.Sprintf("the moments are of %g rows", m.N),
			Remedy:  "check that the parties have rows",
		}
	}
	s := Scaler{Mean: make([]float64, len(m.Sum)), Std: make([]float64, len(m.Sum)), Clip: clip}
	for j := range m.Sum {
		mean, square := m.Sum[j]/m.N, m.SumSq[j]/m.N
		variance := math.FMA(-mean, mean, square) // mean² is not rounded
		if !finite(variance) || !(variance > minSpread*square) {
			return Scaler{}, spreadError(j, mean, variance)
		}
		s.Mean[j], s.Std[j] = mean, math.Sqrt(variance)
	}
	return s, nil
}

func spreadError(j int, mean, variance float64) *Error {
	e := &Error{
		Column:  strconv.Itoa(j),
		Problem: fmt.Sprintf("the column has mean %.4g and variance %.4g and cannot be standardised", mean, variance),
		Remedy:  "drop the column if it is constant, otherwise subtract a constant from it at every party",
	}
	if !finite(variance) {
		e.Remedy = "divide the column by a constant at every party"
	}
	return e
}

// A Scaler standardises columns: z = (x - Mean)/Std, with |z| ≤ Clip if Clip
// is positive. Mean and Std have length d.
type Scaler struct {
	Mean, Std []float64
	Clip      float64
}

// Check returns an [Error] if s does not fit the columns of t. A scaler that
// came from elsewhere, such as a stored model, must be checked before Apply.
func (s Scaler) Check(t Table) error {
	if err := t.check(); err != nil {
		return err
	}
	if len(s.Mean) != t.Dim() || len(s.Std) != t.Dim() {
		return &Error{
			Problem: fmt.Sprintf("the scaler is for %d columns, the table has %d", len(s.Mean), t.Dim()),
			Remedy:  "use the columns that the scaler was made from",
		}
	}
	for j, std := range s.Std {
		if !finite(s.Mean[j]) || !finite(std) || std <= 0 {
			return &Error{
				Column:  strconv.Itoa(j),
				Problem: fmt.Sprintf("the scaler has mean %g and standard deviation %g for the column", s.Mean[j], std),
				Remedy:  "make the scaler from moments",
			}
		}
	}
	return nil
}

// Apply returns a new table of standardised rows; it shares nothing with t. It
// panics if a row of t has not the length of Mean, see [Scaler.Check].
func (s Scaler) Apply(t Table) Table {
	z := Table{Features: slices.Clone(t.Features), X: make([][]float64, len(t.X)), Y: slices.Clone(t.Y)}
	for i, row := range t.X {
		z.X[i] = make([]float64, len(row))
		for j, v := range row {
			v = (v - s.Mean[j]) / s.Std[j]
			if s.Clip > 0 {
				v = min(max(v, -s.Clip), s.Clip)
			}
			z.X[i][j] = v
		}
	}
	return z
}

// compensated is a sum with a correction for rounding (Neumaier).
type compensated struct{ sum, low float64 }

func (c *compensated) add(v float64) {
	s := c.sum + v
	if math.Abs(c.sum) >= math.Abs(v) {
		c.low += (c.sum - s) + v
	} else {
		c.low += (v - s) + c.sum
	}
	c.sum = s
}

func (c *compensated) value() float64 { return c.sum + c.low }

// Centre returns the scaler that subtracts the means and divides by unit, with
// |z_j| cut at clip if clip > 0: for features of one kind, which may be constant.
//
// It returns an [Error] as [Moments.Scaler] does, and if unit is not positive.
func (m Moments) Centre(unit, clip float64) (Scaler, error) {
	switch {
	case !finite(clip) || clip < 0:
		return Scaler{}, &Error{Value: number(clip), Problem: "the clip bound is neither positive nor 0", Remedy: "use a bound such as 5, or 0 for none"}
	case !finite(unit) || unit <= 0:
		return Scaler{}, &Error{Value: number(unit), Problem: "the unit of features is not positive", Remedy: "use their typical size, such as 255 for pixels"}
	case math.IsNaN(m.N) || math.IsInf(m.N, 0) || m.N <= 0:
		return Scaler{}, &Error{Problem: fmt.Sprintf("the moments are of %g rows", m.N), Remedy: "check that the parties have rows"}
	}
	s := Scaler{Mean: make([]float64, len(m.Sum)), Std: make([]float64, len(m.Sum)), Clip: clip}
	for j, sum := range m.Sum {
		if s.Mean[j], s.Std[j] = sum/m.N, unit; !finite(s.Mean[j]) {
			return Scaler{}, spreadError(j, s.Mean[j], math.Inf(1))
		}
	}
	return s, nil
}

// Softened returns the scaler of [Moments.Scaler] with floor added to every
// standard deviation, so that columns that hardly vary, or are constant, stay
// small.
//
// It returns an [Error] as [Moments.Scaler] does but for constant columns, and if
// floor is not positive.
func (m Moments) Softened(floor, clip float64) (Scaler, error) {
	s, err := m.Centre(1, clip)
	if err != nil {
		return s, err
	}
	if !finite(floor) || floor <= 0 {
		return Scaler{}, &Error{Value: number(floor), Problem: "what is added to standard deviations is not positive", Remedy: "use a small part of the features' size"}
	}
	if len(m.SumSq) != len(m.Sum) {
		return Scaler{}, &Error{Problem: "the moments have no squares", Remedy: "check that all parties have the same columns"}
	}
	for j, square := range m.SumSq {
		variance := math.FMA(-s.Mean[j], s.Mean[j], square/m.N)
		if !finite(variance) {
			return Scaler{}, spreadError(j, s.Mean[j], variance)
		}
		s.Std[j] = floor + math.Sqrt(math.Max(0, variance))
	}
	return s, nil
}
