package dataset

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Missing says what to do with missing feature cells. The zero value is
// MissingError. A missing label is an error under every policy: a row without
// a label is more often a failed join than a sample.
type Missing string

// The policies for missing feature cells.
const (
	MissingError Missing = "error" // refuse the file
	MissingDrop  Missing = "drop"  // leave out the row
	MissingMean  Missing = "mean"  // put the mean of the other values of the column in this file
)

// A Schema says what the columns of a file are for. Only Label is required.
//
// A column is given by its name in the header, or by its index counted from 0,
// negative from the end (-1 is the last column). A name is tried first, so in
// a file with a column called "3" that is what "3" means. Without a header the
// columns are called c0, c1, and so on.
type Schema struct {
	// Label is the target column.
	Label string
	// Drop lists columns to leave out, such as a patient number. They may hold
	// any text.
	Drop []string
	// Features lists the feature columns in the order of the table; other columns
	// are left out and may hold any text. Empty means all columns, in the order of
	// the file, but the label and those in Drop. Give one of the two lists.
	Features []string
	// Missing is the policy for missing feature cells.
	Missing Missing
	// Comma is the separator; 0 detects it among comma, semicolon and tab.
	Comma rune
	// Classes are the label texts that become 0, 1, 2 and so on, in this order,
	// such as {"benign", "malignant"} or {"2", "4"}. Empty means the labels are
	// whole numbers from 0 already, see ClassCount. Numbers match by value ("2.0"
	// is "2"), text letter by letter.
	Classes []string
	// ClassCount is the number of classes; 0 stands for as many as Classes has, or
	// for 2. Without Classes the labels are then 0, 1, …, ClassCount-1.
	ClassCount int
	// Regression says that the label is a number, not a class.
	Regression bool
	// Partial says that the file is one party's part of the data: a column may
	// be constant in it and a class absent.
	Partial bool
	// Constant allows feature columns of one value, such as the edges of images have:
	// for scaling that does not divide by a column's own deviation.
	Constant bool
	// Unlabelled allows a file without the label column, of rows to predict: their
	// labels are then 0.
	Unlabelled bool
}

// Check returns an [Error] for the first thing that is wrong with s itself, before
// any file is read.
func (s Schema) Check() error {
	if e := s.check(); e != nil {
		return e
	}
	return nil
}

// check reports the first thing wrong with s itself.
func (s Schema) check() *Error {
	switch s.Missing {
	case "", MissingError, MissingDrop, MissingMean:
	default:
		return &Error{
			Value:   string(s.Missing),
			Problem: "unknown policy for missing values",
			Remedy:  `use "error", "drop" or "mean"`,
		}
	}
	if s.Comma != 0 && (strings.ContainsRune("\"\r\n", s.Comma) || !utf8.ValidRune(s.Comma) || s.Comma == utf8.RuneError) {
		return &Error{
			Value:   string(s.Comma),
			Problem: "this character cannot separate columns",
			Remedy:  "leave the separator empty to detect it",
		}
	}
	if len(s.Features) > 0 && len(s.Drop) > 0 {
		return &Error{
			Problem: "feature columns are listed, and columns to drop too",
			Remedy:  "give one of the two lists: columns that are no features are left out",
		}
	}
	return s.checkClasses()
}

func (s Schema) checkClasses() *Error {
	given := len(s.Classes)
	const remedy = `give the label texts in the order 0, 1, …, such as "2", "4", or none when the labels are whole numbers from 0`
	switch {
	case s.Regression && (given > 0 || s.ClassCount != 0):
		return &Error{
			Problem: "classes are given for a regression",
			Remedy:  "leave the classes empty, or turn regression off",
		}
	case s.ClassCount < 0 || s.ClassCount == 1 || s.ClassCount > maxClasses:
		return &Error{
			Problem: fmt.Sprintf("%d classes, want 2 to %d", s.ClassCount, maxClasses),
			Remedy:  "say how many there are, or give their label texts",
		}
	case given == 0:
		return nil
	case given == 1 || given > maxClasses:
		return &Error{Problem: fmt.Sprintf("%d classes are given, want 2 to %d", given, maxClasses), Remedy: remedy}
	case s.ClassCount != 0 && s.ClassCount != given:
		return &Error{
			Problem: fmt.Sprintf("the texts of %d classes are given for %d classes", given, s.ClassCount),
			Remedy:  "give one text for each class, in the order 0, 1, …",
		}
	}
	seen := make(map[string]int, given) // by text, of numbers in one form
	for i, c := range s.Classes {
		if isMissing(strings.TrimSpace(c)) {
			return &Error{Problem: fmt.Sprintf("class %q counts as a missing value", c), Remedy: remedy}
		}
		text := strings.TrimSpace(c)
		if v, ok := parseNumber(text); ok {
			text = number(v + 0) // -0 is 0
		}
		if k, ok := seen[text]; ok {
			return &Error{Value: s.Classes[k], Problem: fmt.Sprintf("classes %d and %d are the same", k, i), Remedy: remedy}
		}
		seen[text] = i
	}
	return nil
}

// maxClasses bounds the number of classes: beyond it the label is a number.
const maxClasses = 1 << 16

// count returns the number of classes.
func (s Schema) count() int {
	switch {
	case len(s.Classes) > 0:
		return len(s.Classes)
	case s.ClassCount > 0:
		return s.ClassCount
	}
	return 2
}

// target returns the value of a label cell, which is trimmed and not missing.
func (s Schema) target(cell string) (y float64, problem, remedy string) {
	v, isNumber := parseNumber(cell)
	switch {
	case s.Regression && !isNumber:
		return 0, "the label is not a number", numberRemedy(cell, "check that this is the label column")
	case s.Regression && !finite(v):
		return 0, "the label is not finite", "correct the cell or remove the row"
	case s.Regression:
		return v, "", ""
	case len(s.Classes) == 0 && isNumber && v >= 0 && v < float64(s.count()) && v == math.Trunc(v):
		return math.Abs(v), "", "" // -0 is class 0
	case len(s.Classes) == 0 && s.count() == 2:
		return 0, "the label is not 0 or 1",
			"check that this is the label column, set the classes to the labels used, or choose regression"
	case len(s.Classes) == 0:
		return 0, fmt.Sprintf("the label is not a whole number from 0 to %d", s.count()-1),
			"check that this is the label column, set the classes to the labels used, or correct their number"
	}
	k := slices.IndexFunc(s.Classes, func(c string) bool { return sameClass(c, cell) })
	if k < 0 {
		return 0, "the label is not one of the classes " + quoteList(s.Classes),
			"check that this is the label column and that the classes are spelled as in the file"
	}
	return float64(k), "", ""
}

// sameClass reports whether two label texts mean the same class.
func sameClass(a, b string) bool {
	a, b = strings.TrimSpace(a), strings.TrimSpace(b)
	if a == b {
		return true
	}
	x, okX := parseNumber(a)
	y, okY := parseNumber(b)
	return okX && okY && x == y
}

// findColumn returns the index of the column that spec means, a name or an
// index, and -1 if there is none.
func findColumn(spec string, names []string) int {
	spec = strings.TrimSpace(spec)
	if i := slices.Index(names, spec); i >= 0 {
		return i
	}
	i, err := strconv.Atoi(spec)
	if err != nil {
		return -1
	}
	if i < 0 {
		i += len(names)
	}
	if i < 0 || i >= len(names) {
		return -1
	}
	return i
}
