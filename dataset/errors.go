package dataset

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxProblems is the number of bad cells listed before "and N more".
const maxProblems = 5

// maxQuoted is the number of characters of a value shown in a message.
const maxQuoted = 40

// An Error says what is wrong with the data and what to do about it. Find it
// with [errors.As]; when several cells are bad the returned error joins up to
// five of them, in file order, and errors.As finds the first.
//
// Value, and so the message, may be personal data: show it at the site that
// owns the file and do not send it to others.
//
// Failures of the operating system (file not found, read error) are not of
// this type; they wrap their cause.
type Error struct {
	File    string // as given to the reader; empty for tables in memory
	Row     int    // line in the file counted from 1 with the header; 0 if no row is to blame
	Column  string // name or index of the column; empty if no column is to blame
	Value   string // the offending text; empty if there is none
	Problem string // what is wrong
	Remedy  string // what to do
}

// Error returns one line such as
//
//	dataset: ward.csv, row 3, column "age", value "abc": not a number; correct the cell
func (e *Error) Error() string {
	var where []string
	if e.File != "" {
		where = append(where, printable(e.File))
	}
	if e.Row > 0 {
		where = append(where, fmt.Sprintf("row %d", e.Row))
	}
	if e.Column != "" {
		where = append(where, "column "+quote(e.Column))
	}
	if e.Value != "" {
		where = append(where, "value "+quote(e.Value))
	}
	msg := e.Problem
	if len(where) > 0 {
		msg = strings.Join(where, ", ") + ": " + msg
	}
	if e.Remedy != "" {
		msg += "; " + e.Remedy
	}
	return "dataset: " + msg
}

// printable returns s, quoted if it would break the line.
func printable(s string) string {
	if strings.ContainsFunc(s, unicode.IsControl) {
		return strconv.Quote(s)
	}
	return s
}

// quote returns s in quotes, cut after maxQuoted characters.
func quote(s string) string {
	if utf8.RuneCountInString(s) <= maxQuoted {
		return strconv.Quote(s)
	}
	return strconv.Quote(string([]rune(s)[:maxQuoted])) + "…"
}

// quoteList returns the quoted names separated by commas, the first 20 of them.
func quoteList(names []string) string {
	const most = 20
	var b strings.Builder
	for i, name := range names {
		if i == most {
			fmt.Fprintf(&b, " and %d more", len(names)-most)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(quote(name))
	}
	return b.String()
}

// problems collects the errors of one file.
type problems struct {
	file string
	kept []error
	more int
}

// add records e for the file.
func (p *problems) add(e *Error) {
	if len(p.kept) == maxProblems {
		p.more++
		return
	}
	e.File = p.file
	p.kept = append(p.kept, e)
}

// err returns nil, the only problem, or the join of those kept.
func (p *problems) err() error {
	switch {
	case len(p.kept) == 0:
		return nil
	case len(p.kept) == 1:
		return p.kept[0]
	case p.more > 0:
		more := fmt.Errorf("dataset: %s: and %d more", printable(p.file), p.more)
		return errors.Join(append(p.kept[:len(p.kept):len(p.kept)], more)...)
	}
	return errors.Join(p.kept...)
}
