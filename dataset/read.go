package dataset

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"unicode"
)

// A Report says what the loader did with a file.
type Report struct {
	Rows    int  // rows in the table
	Dropped int  // rows left out because a feature was missing ("drop")
	Imputed int  // cells filled with the mean of their column ("mean")
	Header  bool // the first row was taken as a header
}

// ReadFile reads the table in a text file. See [Read]; errors name path.
func ReadFile(path string, s Schema) (Table, Report, error) {
	f, err := os.Open(path)
	if err != nil {
		return Table{}, Report{}, fmt.Errorf("dataset: %w", err)
	}
	defer f.Close() // opened for reading: nothing to lose
	return Read(f, path, s)
}

// Read reads a table in CSV form (RFC 4180; LF or CRLF; UTF-8 with or without
// byte order mark; blank lines skipped) as s says. name appears in errors. It
// reads r once, front to back, in time and memory linear in its size.
//
// Cells are trimmed. A cell is missing if it is empty, ?, NaN or NA in any
// case. Every other feature cell must be a finite decimal number; hexadecimal
// numbers, digit separators and decimal commas are refused.
//
// If s.Comma is 0, the separator is the first of tab, semicolon and comma that
// occurs equally often, but not never, in each of the first ten lines; failing
// that, the most frequent one in the first line. Quoted text does not count.
//
// The first row is a header if a cell of it is used as a column name in
// s.Label, s.Drop or s.Features (as a name, not as an index), or if every cell
// of it that is used and not missing is text, that is, neither a number nor, in
// the label column, one of s.Classes. If some of them are text and some are
// not, the row is refused rather than guessed at, and so is a first row of
// 0, 1, 2, …, w-1 with w ≥ 3.
//
// Read returns an [Error], or several joined, for rows of another length,
// cells that are no numbers or not finite, labels other than the classes,
// missing labels, missing features under MissingError, duplicate names,
// columns that do not exist or are listed twice, a label that is dropped, no feature column, no
// row, and, unless s.Partial, for labels of one class only and, unless s.Constant, for a column
// of one value only. The table is then empty.
func Read(r io.Reader, name string, s Schema) (Table, Report, error) {
	l, err := newLoader(r, name, s)
	if err != nil {
		return Table{}, Report{}, err
	}
	if err := l.readRows(); err != nil {
		return Table{}, Report{}, err
	}
	l.checkColumns()
	l.checkTarget()
	if err := l.bad.err(); err != nil {
		return Table{}, Report{}, err
	}
	t := Table{Features: make([]string, len(l.cols.features)), X: l.x, Y: l.y}
	for j, c := range l.cols.features {
		t.Features[j] = l.cols.names[c]
	}
	l.report.Rows = len(l.x)
	return t, l.report, nil
}

// loader is the state of one Read.
type loader struct {
	schema Schema
	csv    *csv.Reader
	cols   columns
	first  []string // first row if it is data
	line   int      // its line
	bad    problems
	x      [][]float64 // missing cells are NaN until checkColumns
	y      []float64
	report Report
}

// newLoader reads the first row and finds out what the columns are.
func newLoader(r io.Reader, name string, s Schema) (*loader, error) {
	l := &loader{schema: s, bad: problems{file: name}}
	if e := s.check(); e != nil {
		l.bad.add(e)
		return nil, l.bad.err()
	}
	br, comma, err := sniff(r, name, s.Comma)
	if err != nil {
		return nil, err
	}
	l.csv = csv.NewReader(br)
	l.csv.Comma = comma
	l.csv.FieldsPerRecord = -1 // row reports the length itself
	l.csv.ReuseRecord = true
	l.csv.TrimLeadingSpace = !unicode.IsSpace(comma)

	first, line, err := l.next()
	if errors.Is(err, io.EOF) {
		return nil, &Error{File: name, Problem: "the file is empty", Remedy: "check the path and the export"}
	}
	if err != nil {
		return nil, err
	}
	header, e := s.isHeader(first)
	if e == nil {
		l.cols, e = s.columns(first, header, line)
	} else {
		e.Row = line
	}
	if e != nil {
		l.bad.add(e)
		return nil, l.bad.err()
	}
	l.report.Header = header
	if !header {
		l.first, l.line = first, line
	}
	return l, nil
}

// next returns the next row, valid until the call after, and its line.
func (l *loader) next() ([]string, int, error) {
	rec, err := l.csv.Read()
	var syntax *csv.ParseError
	switch {
	case err == nil:
		line, _ := l.csv.FieldPos(0)
		return rec, line, nil
	case errors.Is(err, io.EOF):
		return nil, 0, io.EOF
	case errors.As(err, &syntax):
		return nil, 0, &Error{
			File:    l.bad.file,
			Row:     syntax.StartLine,
			Problem: fmt.Sprintf("a quote is out of place (line %d, byte %d)", syntax.Line, syntax.Column),
			Remedy:  `quote the whole cell and double the quotes within it, "like ""this"""`,
		}
	}
	return nil, 0, fmt.Errorf("dataset: %s: %w", printable(l.bad.file), err)
}

// readRows reads all rows, bad ones too, and reports up to five problems.
func (l *loader) readRows() error {
	if l.first != nil {
		l.row(l.first, l.line)
	}
	for {
		rec, line, err := l.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil { // nothing beyond it can be trusted
			return errors.Join(append(l.bad.kept, err)...)
		}
		l.row(rec, line)
	}
	if len(l.bad.kept) == 0 && len(l.x) == 0 {
		e := &Error{Problem: "there is a header but no data row", Remedy: "check the export"}
		if l.report.Dropped > 0 {
			e.Problem = fmt.Sprintf("all %d rows have a missing value and were dropped", l.report.Dropped)
			e.Remedy = `drop the columns that are mostly empty, or use "mean" for missing values`
		}
		l.bad.add(e)
	}
	return l.bad.err()
}

// row checks one row and keeps it unless it, or an earlier one, is bad.
func (l *loader) row(rec []string, line int) {
	if len(rec) != len(l.cols.names) {
		l.bad.add(&Error{
			Row:     line,
			Problem: fmt.Sprintf("the row has %d columns, the first row has %d", len(rec), len(l.cols.names)),
			Remedy:  "look for a missing or extra separator, or quote the cell that contains one",
		})
		return
	}
	x := make([]float64, len(l.cols.features))
	missing := 0
	for j, c := range l.cols.features {
		v, e := l.feature(strings.TrimSpace(rec[c]))
		if e != nil {
			e.Row, e.Column = line, l.cols.names[c]
			l.bad.add(e)
		}
		if x[j] = v; math.IsNaN(v) {
			missing++
		}
	}
	y := 0.0
	if l.cols.label >= 0 {
		var e *Error
		if y, e = l.target(strings.TrimSpace(rec[l.cols.label])); e != nil {
			e.Row, e.Column = line, l.cols.names[l.cols.label]
			l.bad.add(e)
		}
	}
	switch {
	case len(l.bad.kept) > 0: // the table is lost, only count problems
	case missing > 0 && l.schema.Missing == MissingDrop:
		l.report.Dropped++
	default:
		l.report.Imputed += missing
		l.x, l.y = append(l.x, x), append(l.y, y)
	}
}

// feature returns the value of a trimmed cell, NaN if it is missing and may be.
func (l *loader) feature(cell string) (float64, *Error) {
	if isMissing(cell) {
		if l.schema.Missing == MissingDrop || l.schema.Missing == MissingMean {
			return math.NaN(), nil
		}
		return 0, &Error{
			Value:   cell,
			Problem: "the value is missing",
			Remedy:  `fill it in, drop the column, or use "drop" or "mean" for missing values`,
		}
	}
	v, ok := parseNumber(cell)
	switch {
	case !ok:
		const remedy = "replace the text by numbers or list the column under drop"
		return 0, &Error{Value: cell, Problem: "not a number", Remedy: numberRemedy(cell, remedy)}
	case !finite(v):
		return 0, &Error{Value: cell, Problem: "not a finite number", Remedy: "correct the cell or leave it empty as missing"}
	}
	return v, nil
}

func (l *loader) target(cell string) (float64, *Error) {
	if isMissing(cell) {
		return 0, &Error{Value: cell, Problem: "the label is missing", Remedy: "fill it in or remove the row"}
	}
	y, problem, remedy := l.schema.target(cell)
	if problem != "" {
		return 0, &Error{Value: cell, Problem: problem, Remedy: remedy}
	}
	return y, nil
}

// checkColumns reports constant columns and fills missing cells with means.
func (l *loader) checkColumns() {
	for j, c := range l.cols.features {
		low, high, sum, n := math.Inf(1), math.Inf(-1), 0.0, 0
		for _, row := range l.x {
			if v := row[j]; !math.IsNaN(v) {
				low, high, sum, n = min(low, v), max(high, v), sum+v, n+1
			}
		}
		const remedy = "list the column under drop"
		name := l.cols.names[c]
		switch {
		case n == 0:
			l.bad.add(&Error{Column: name, Problem: "every value is missing", Remedy: remedy})
		case low == high && !l.schema.Partial && !l.schema.Constant:
			l.bad.add(&Error{Column: name, Value: number(low), Problem: "every row has this value", Remedy: remedy})
		case n < len(l.x) && !finite(sum):
			l.bad.add(&Error{Column: name, Problem: "the values are too large to average", Remedy: "divide the column by a constant"})
		case n < len(l.x):
			l.fill(j, min(max(sum/float64(n), low), high))
		}
	}
}

// fill replaces the missing cells of feature j.
func (l *loader) fill(j int, mean float64) {
	for _, row := range l.x {
		if math.IsNaN(row[j]) {
			row[j] = mean
		}
	}
}

// checkTarget reports a label that is the same in every row.
func (l *loader) checkTarget() {
	if l.schema.Partial || l.cols.label < 0 {
		return
	}
	for _, y := range l.y {
		if y != l.y[0] {
			return
		}
	}
	e := &Error{
		Column:  l.cols.names[l.cols.label],
		Value:   number(l.y[0]),
		Problem: "only one class is present: every row has this label",
		Remedy:  "check that this is the label column; training needs rows of both classes",
	}
	if l.schema.count() > 2 {
		e.Remedy = "check that this is the label column; training needs rows of several classes"
	}
	switch {
	case l.schema.Regression:
		e.Problem, e.Remedy = "every row has this label", "check that this is the label column"
	case len(l.schema.Classes) > 0:
		e.Value = strings.TrimSpace(l.schema.Classes[int(l.y[0])])
	}
	l.bad.add(e)
}

// number formats v as in a data file.
func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
