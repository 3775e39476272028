package dataset

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// columns says what each of the w columns of a file is for.
type columns struct {
	names    []string // length w
	label    int
	features []int // in file order
}

// isHeader applies the rule that [Read] documents to the first row. An error
// has no file and no row yet.
func (s Schema) isHeader(first []string) (bool, *Error) {
	if s.named(first) {
		return true, nil
	}
	names := defaultNames(len(first))
	label := findColumn(s.Label, names)
	dropped := make(map[int]bool, len(first))
	for i := range first {
		dropped[i] = len(s.Features) > 0 && i != label
	}
	for _, spec := range s.Features {
		dropped[findColumn(spec, names)] = false
	}
	for _, spec := range s.Drop {
		dropped[findColumn(spec, names)] = true
	}
	text, number := -1, false
	for i, cell := range first {
		switch cell = strings.TrimSpace(cell); {
		case dropped[i] || isMissing(cell):
		case isNumber(cell) || i == label && s.isClass(cell):
			number = true
		case text < 0:
			text = i
		}
	}
	switch {
	case text >= 0 && number:
		return false, &Error{
			Column:  names[text],
			Value:   strings.TrimSpace(first[text]),
			Problem: "the first row mixes text and numbers, so it is neither a header nor data",
			Remedy:  "correct the cell or drop the column; if the row is a header, give the label column by its name",
		}
	case isCount(first):
		return false, &Error{
			Problem: "the first row is 0, 1, 2, …, which may be column numbers or data",
			Remedy:  "put a header row with names first",
		}
	}
	return text >= 0, nil
}

// named reports whether the schema uses one of the cells as a column name.
// Whole numbers are left out: they are indices in a file without header.
func (s Schema) named(cells []string) bool {
	specs := slices.Concat([]string{s.Label}, s.Drop, s.Features)
	return slices.ContainsFunc(specs, func(spec string) bool {
		spec = strings.TrimSpace(spec)
		if _, err := strconv.Atoi(spec); err == nil || isMissing(spec) {
			return false
		}
		return slices.ContainsFunc(cells, func(c string) bool { return strings.TrimSpace(c) == spec })
	})
}

// isClass reports whether a label cell is one of the class texts.
func (s Schema) isClass(cell string) bool {
	return slices.ContainsFunc(s.Classes, func(c string) bool { return sameClass(c, cell) })
}

// isCount reports whether the cells are 0, 1, 2, … as in the header that
// data frames without column names get.
func isCount(cells []string) bool {
	for i, c := range cells {
		if strings.TrimSpace(c) != strconv.Itoa(i) {
			return false
		}
	}
	return len(cells) >= 3
}

func defaultNames(w int) []string {
	names := make([]string, w)
	for i := range names {
		names[i] = "c" + strconv.Itoa(i)
	}
	return names
}

// columns finds the purpose of every column. first is the first row of the
// file, a header or not. An error has no file yet.
func (s Schema) columns(first []string, header bool, line int) (columns, *Error) {
	c := columns{names: defaultNames(len(first))}
	if header {
		seen := make(map[string]int, len(first))
		for i, cell := range first {
			if cell = strings.TrimSpace(cell); cell != "" {
				c.names[i] = strings.Clone(cell)
			}
			if k, dup := seen[c.names[i]]; dup {
				return columns{}, &Error{
					Row:     line,
					Column:  c.names[i],
					Problem: fmt.Sprintf("columns %d and %d (counted from 0) have this name", k, i),
					Remedy:  "rename one of them",
				}
			}
			seen[c.names[i]] = i
		}
	}
	if c.label = findColumn(s.Label, c.names); c.label < 0 && !s.Unlabelled {
		e := noColumn(s.Label, "no such label column", c.names, header)
		if strings.TrimSpace(s.Label) == "" {
			e.Problem = "no label column is given"
		}
		return columns{}, e
	}
	choose, list := c.choose, s.Drop
	if len(s.Features) > 0 {
		choose, list = c.take, s.Features
	}
	e := choose(list, header) // not in the return: it changes c
	return c, e
}

// take sets the feature columns to those listed.
func (c *columns) take(features []string, header bool) *Error {
	for _, spec := range features {
		i := findColumn(spec, c.names)
		switch {
		case i < 0:
			return noColumn(spec, "no such feature column", c.names, header)
		case i == c.label:
			return &Error{Column: c.names[i], Problem: "the label column is also a feature", Remedy: "take it out of the features or choose another label"}
		case slices.Contains(c.features, i):
			return &Error{Column: c.names[i], Problem: "the column is listed as a feature twice", Remedy: "take it out once"}
		}
		c.features = append(c.features, i)
	}
	return nil
}

// choose sets the feature columns: all but the label and those in drop.
func (c *columns) choose(drop []string, header bool) *Error {
	out := make([]bool, len(c.names))
	for _, spec := range drop {
		i := findColumn(spec, c.names)
		if i < 0 {
			return noColumn(spec, "no such column to drop", c.names, header)
		}
		if i == c.label {
			return &Error{
				Column:  c.names[i],
				Problem: "the label column is also dropped",
				Remedy:  "take it out of drop or choose another label",
			}
		}
		out[i] = true
	}
	if c.label >= 0 {
		out[c.label] = true
	}
	for i := range c.names {
		if !out[i] {
			c.features = append(c.features, i)
		}
	}
	if len(c.features) == 0 {
		return &Error{
			Problem: "no feature column is left besides the label and the dropped ones",
			Remedy:  "drop fewer columns, or set the separator if the columns were not told apart; the columns are " + quoteList(c.names),
		}
	}
	return nil
}

// noColumn reports a column that the file does not have.
func noColumn(spec, problem string, names []string, header bool) *Error {
	e := &Error{Column: spec, Problem: problem, Remedy: "the columns are " + quoteList(names)}
	if !header {
		e.Remedy = fmt.Sprintf("the file has no header, so give an index from 0 to %d, or -1 for the last column", len(names)-1)
	}
	return e
}
