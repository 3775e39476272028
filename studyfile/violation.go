package studyfile

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"
)

// ErrFile is wrapped by every error about what a study file says.
var ErrFile = errors.New("study file")

// A Violation is something wrong in a study file.
type Violation struct {
	File  string // as given to [Parse]; empty if the study is from elsewhere
	Line  int    // from 1; 0 if it is not known
	Field string // path such as model.hidden[0].units; empty for the file as a whole
	Found string // what is there
	Want  string // what would fit
}

func (v *Violation) Error() string {
	at, want := printable(v.File), v.Want
	if v.Line > 0 {
		at += fmt.Sprintf(":%d", v.Line)
	}
	if v.Field != "" {
		at = strings.TrimPrefix(at+": "+v.Field, ": ")
	}
	if !strings.Contains(want, "did you mean") {
		want = "want " + want
	}
	return fmt.Sprintf("%s: found %s; %s", at, v.Found, want)
}

// Unwrap returns [ErrFile].
func (v *Violation) Unwrap() error { return ErrFile }

// maxViolations is how many violations are looked for.
const maxViolations = 100

// refuse records a violation at a node.
func (r *reader) refuse(n *yaml.Node, path, found, want string) {
	r.bad = append(r.bad, &Violation{File: r.name, Line: n.Line, Field: path, Found: found, Want: want})
}

// must records a violation of a field unless ok holds. Fields that have one already,
// or whose parts have, are passed over: it follows from that.
func (r *reader) must(ok bool, path, found, want string) {
	if ok || len(r.bad) >= maxViolations || slices.ContainsFunc(r.bad, func(v *Violation) bool { return within(v.Field, path) || within(path, v.Field) }) {
		return
	}
	line := 0
	for at := path; line == 0 && at != ""; at = at[:max(0, strings.LastIndexAny(at, ".["))] {
		line = r.lines[at]
	}
	r.bad = append(r.bad, &Violation{File: r.name, Line: line, Field: path, Found: found, Want: want})
}

// within reports whether a path is that of a field or of a part of it.
func within(path, of string) bool {
	rest, ok := strings.CutPrefix(path, of)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[' || of == "")
}

// err returns all violations in the order of their lines.
func (r *reader) err() error {
	slices.SortStableFunc(r.bad, func(a, b *Violation) int { return a.Line - b.Line })
	var errs []error
	for _, v := range r.bad {
		errs = append(errs, v)
	}
	return errors.Join(errs...)
}

// quote returns a text of a file in quotes, shortened and without control
// characters.
func quote(s string) string { return `"` + printable(s) + `"` }

// printable returns a text in one line, shortened and without control characters.
func printable(s string) string {
	const most = 60
	out := []rune{}
	for _, c := range s {
		if len(out) == most {
			return string(append(out, '…'))
		}
		if !unicode.IsPrint(c) {
			c = '\uFFFD'
		}
		out = append(out, c)
	}
	return string(out)
}
