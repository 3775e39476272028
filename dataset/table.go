package dataset

import "fmt"

// A Table is a numeric design matrix with a target column. Rows are samples.
//
// Tables from this package are rectangular and finite. Split, Divide, Select
// and the tables they return share the row slices of X, so treat rows as
// read-only; [Scaler.Apply] makes new ones.
type Table struct {
	// Features holds the d column names; a column without one is called
	// c0, c1, … after its place in the file.
	Features []string
	// X is n×d.
	X [][]float64
	// Y holds the n targets: 0, 1, … by class for classification, any finite
	// number for regression.
	Y []float64
}

// Rows returns n, the number of samples.
func (t Table) Rows() int { return len(t.X) }

// Dim returns d, the number of features.
func (t Table) Dim() int {
	if len(t.X) > 0 {
		return len(t.X[0])
	}
	return len(t.Features)
}

// Select returns the table of the given rows in the given order; a row may be
// listed twice. Features and the row slices are shared with t. Like a slice
// expression, Select panics if an index is not in 0..n-1.
func (t Table) Select(rows []int) Table {
	s := Table{
		Features: t.Features,
		X:        make([][]float64, len(rows)),
		Y:        make([]float64, len(rows)),
	}
	for i, r := range rows {
		s.X[i], s.Y[i] = t.X[r], t.Y[r]
	}
	return s
}

// check reports a table put together by hand whose parts do not fit. Values
// are not looked at.
func (t Table) check() error {
	const remedy = "give every row the same columns and one target"
	if len(t.X) != len(t.Y) {
		return &Error{
			Problem: fmt.Sprintf("the table has %d rows but %d targets", len(t.X), len(t.Y)),
			Remedy:  remedy,
		}
	}
	d := t.Dim()
	if len(t.Features) != 0 && len(t.Features) != d {
		return &Error{
			Problem: fmt.Sprintf("the table has %d columns but %d names", d, len(t.Features)),
			Remedy:  remedy,
		}
	}
	for i, row := range t.X {
		if len(row) != d {
			return &Error{
				Problem: fmt.Sprintf("row %d of the table has %d columns, row 0 has %d", i, len(row), d),
				Remedy:  remedy,
			}
		}
	}
	return nil
}

// binary reports whether all targets are 0 or 1.
func (t Table) binary() bool {
	for _, y := range t.Y {
		if y != 0 && y != 1 {
			return false
		}
	}
	return true
}
