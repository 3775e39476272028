package dataset

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

const (
	windowBytes = 64 << 10 // how far sniff looks ahead
	sampleLines = 10       // how many lines it compares
)

// separators in the order in which they are preferred. The comma is last since
// it also serves as a decimal point.
var separators = []byte{'\t', ';', ','}

// sniff skips a byte order mark, rejects what is no text and returns the
// separator: comma itself if not zero, otherwise the first of tab, semicolon
// and comma that occurs equally often, but not never, in each of the first ten
// lines; failing that, the most frequent one in the first line.
func sniff(r io.Reader, name string, comma rune) (*bufio.Reader, rune, error) {
	br := bufio.NewReaderSize(r, windowBytes)
	window, err := br.Peek(windowBytes)
	whole := errors.Is(err, io.EOF)
	if err != nil && !whole {
		return nil, 0, fmt.Errorf("dataset: %s: %w", printable(name), err)
	}
	if bytes.HasPrefix(window, []byte("\ufeff")) {
		window = window[3:]
		_, _ = br.Discard(3) // buffered by Peek: cannot fail
	}
	if bytes.IndexByte(window, 0) >= 0 {
		return nil, 0, &Error{
			File:    name,
			Problem: "this is not a text file in UTF-8 but binary, such as a spreadsheet, or UTF-16",
			Remedy:  "export the table as CSV (UTF-8)",
		}
	}
	if !whole {
		window = bytes.TrimSuffix(window, []byte("\r")) // its LF may be just outside
	}
	if bytes.IndexByte(window, '\n') < 0 && bytes.IndexByte(window, '\r') >= 0 {
		return nil, 0, &Error{
			File:    name,
			Problem: "the lines end with a carriage return alone",
			Remedy:  "save the file with LF or CRLF line ends",
		}
	}
	if comma == 0 {
		comma = separator(window, whole)
	}
	return br, comma, nil
}

// separator guesses the separator from the start of a file; whole says that
// the window holds all of it.
func separator(window []byte, whole bool) rune {
	lines := countSeparators(window, whole)
	for k, sep := range separators {
		constant := len(lines) > 0
		for _, n := range lines {
			constant = constant && n[k] > 0 && n[k] == lines[0][k]
		}
		if constant {
			return rune(sep)
		}
	}
	best := len(separators) - 1
	if len(lines) > 0 {
		for k, n := range lines[0] {
			if n > lines[0][best] {
				best = k
			}
		}
	}
	return rune(separators[best])
}

// countSeparators counts each separator outside quotes in the first lines that
// are not blank. A last line cut by the window counts only if it is the first.
func countSeparators(window []byte, whole bool) (lines [][3]int) {
	var n [3]int
	quoted, blank := false, true
	for _, c := range window {
		switch {
		case c == '\n' && !quoted:
			if !blank {
				lines = append(lines, n)
			}
			if len(lines) == sampleLines {
				return lines
			}
			n, blank = [3]int{}, true
			continue
		case c == '"':
			quoted = !quoted
		case !quoted:
			if k := bytes.IndexByte(separators, c); k >= 0 {
				n[k]++
			}
		}
		blank = blank && c == '\r'
	}
	if !blank && (whole || len(lines) == 0) {
		lines = append(lines, n)
	}
	return lines
}
