package dataset

import (
	"fmt"
	"math"
	"strconv"
)

// Split deals the n rows of t into a training and a test table, both shuffled.
// The same t, fraction and seed give the same tables on every machine.
//
// If every target is 0 or 1 the split is stratified: of each class, the test
// table gets testFraction of the rows rounded to the nearest, but at least one
// row and at most all but one (none if the class has a single row). So both
// classes are in the training table, and in the test table too when each has
// two rows. Other targets are a regression and the rule applies to all rows
// at once.
//
// It returns an [Error] if testFraction is not strictly between 0 and 1, if
// only one class is present or if there are too few rows for two parts.
func Split(t Table, testFraction float64, seed uint64) (train, test Table, err error) {
	if err := t.check(); err != nil {
		return Table{}, Table{}, err
	}
	if !(testFraction > 0 && testFraction < 1) { // NaN as well
		return Table{}, Table{}, &Error{
			Value:   number(testFraction),
			Problem: "the test fraction is not between 0 and 1",
			Remedy:  "use a fraction such as 0.2",
		}
	}
	groups, err := strata(t)
	if err != nil {
		return Table{}, Table{}, err
	}
	rng := newRand(seed, streamSplit)
	var trainRows, testRows []int
	for _, g := range groups {
		shuffle(rng, g)
		k := int(math.Round(testFraction * float64(len(g))))
		k = min(max(k, 1), len(g)-1)
		testRows = append(testRows, g[:k]...)
		trainRows = append(trainRows, g[k:]...)
	}
	if len(testRows) == 0 {
		return Table{}, Table{}, &Error{
			Problem: fmt.Sprintf("%d rows are too few to train on each class and test", t.Rows()),
			Remedy:  "add rows",
		}
	}
	shuffle(rng, trainRows) // mix the classes
	shuffle(rng, testRows)
	return t.Select(trainRows), t.Select(testRows), nil
}

// strata returns the rows of class 0 and of class 1, or all rows in one group
// if the targets are no classes. No group is empty.
func strata(t Table) ([][]int, error) {
	if t.Rows() == 0 {
		return nil, &Error{Problem: "the table has no rows to split", Remedy: "add rows"}
	}
	if !t.binary() {
		return [][]int{count(t.Rows())}, nil
	}
	groups := make([][]int, 2)
	for i, y := range t.Y {
		groups[int(y)] = append(groups[int(y)], i)
	}
	for class, g := range groups {
		if len(g) == 0 {
			return nil, &Error{
				Value:   strconv.Itoa(1 - class),
				Problem: "only one class is present: every row has this label",
				Remedy:  "add rows of the other class",
			}
		}
	}
	return groups, nil
}
