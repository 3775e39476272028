package studyfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// MaxSize is the largest study file in bytes.
const MaxSize = 1 << 20

// Parse reads a study file. name is what errors call it. The file that it returns
// has all defaults filled in and can be converted.
//
// The error joins a [Violation] for each thing that is wrong, in the order of the
// file; all of them wrap [ErrFile]. A file with very
// many is not read to its end. Time and memory are linear in the size, which
// [MaxSize] bounds; nesting is bounded by the format, and aliases are refused.
func Parse(name string, b []byte) (File, error) {
	r := &reader{name: name, lines: map[string]int{}}
	root, err := r.document(b)
	if err != nil {
		return File{}, err
	}
	f := New(kindOf(root))
	r.read(root, "", field{typ: reflect.TypeFor[File]()}, reflect.ValueOf(&f).Elem())
	_, steps := r.lines["training.steps"]
	_, epochs := r.lines["training.epochs"]
	switch {
	case steps && !epochs:
		f.Training.Epochs = 0
	case epochs && !steps:
		f.Training.Steps = 0
	}
	f = f.WithDefaults()
	r.check(f)
	if err := r.err(); err != nil {
		return File{}, err
	}
	return f, nil
}

// A reader is the state of one Parse.
type reader struct {
	name  string
	lines map[string]int // of fields, by path
	bad   []*Violation
}

// document returns the root of the only document.
func (r *reader) document(b []byte) (*yaml.Node, error) {
	refuse := func(line int, found, want string) error {
		r.bad = append(r.bad, &Violation{File: r.name, Line: line, Found: found, Want: want})
		return r.err()
	}
	if len(b) > MaxSize {
		return nil, refuse(0, fmt.Sprintf("a file of %d bytes", len(b)), fmt.Sprintf("at most %d bytes", MaxSize))
	}
	d := yaml.NewDecoder(bytes.NewReader(b))
	var doc, next yaml.Node
	err := d.Decode(&doc)
	if err == nil {
		if err = d.Decode(&next); err == nil {
			return nil, refuse(next.Line, "a second document", "one document in a file")
		}
	} else if errors.Is(err, io.EOF) {
		return nil, refuse(0, "an empty file", `a study; "nereid init" writes an example`)
	}
	if !errors.Is(err, io.EOF) {
		line, problem := syntax(err)
		return nil, refuse(line, "broken YAML: "+problem, "fields as name: value, indented by spaces")
	}
	return doc.Content[0], nil
}

// syntaxLine finds the line in an error of the YAML library.
var syntaxLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(?s:(.*))$`)

// syntax returns line, 0 if it is not known, and problem of an error of the library.
func syntax(err error) (line int, problem string) {
	m := syntaxLine.FindStringSubmatch(err.Error())
	if m == nil {
		return 0, printable(err.Error())
	}
	line, _ = strconv.Atoi(m[1])
	return line, printable(m[2])
}

// kindOf returns the kind of model that a file names, on which defaults depend.
func kindOf(root *yaml.Node) Kind {
	if n := child(child(root, "model"), "kind"); n != nil && n.Kind == yaml.ScalarNode {
		return Kind(n.Value)
	}
	return ""
}

// child returns the value of a key of a mapping, or nil.
func child(n *yaml.Node, key string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

// read sets v, which f describes, to what a node says.
func (r *reader) read(n *yaml.Node, path string, f field, v reflect.Value) {
	if path != "" {
		r.lines[path] = n.Line
	}
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		r.refuse(n, path, "an anchor or alias", "the value itself")
	case n.Style&yaml.TaggedStyle != 0:
		r.refuse(n, path, "the tag "+quote(n.Tag), "the value without a tag")
	case n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" && f.typ.Kind() != reflect.String:
		r.refuse(n, path, "no value", f.say()+", or no such line for the default")
	case f.typ.Kind() == reflect.Pointer:
		v.Set(reflect.ValueOf(NewSimulate())) // the only one
		r.read(n, path, f.item(), v.Elem())
	case f.typ.Kind() == reflect.Struct:
		r.mapping(n, path, v)
	case f.typ.Kind() == reflect.Slice:
		r.list(n, path, f, v)
	default:
		r.scalar(n, path, f, v)
	}
}

// mapping sets the fields of a struct.
func (r *reader) mapping(n *yaml.Node, path string, v reflect.Value) {
	fields := fieldsOf(v.Type())
	if n.Kind != yaml.MappingNode {
		r.refuse(n, path, found(n), "the fields "+names(fields))
		return
	}
	seen, meant := map[string]int{}, map[string]bool{}
	for i := 0; i < len(n.Content) && len(r.bad) < maxViolations; i += 2 {
		key := n.Content[i]
		at := join(path, printable(key.Value))
		f, ok := lookup(fields, key.Value)
		line, twice := seen[key.Value]
		switch {
		case key.Kind != yaml.ScalarNode || key.Anchor != "" || key.Style&yaml.TaggedStyle != 0:
			r.refuse(key, path, "a key that is no name", "one of the fields "+names(fields))
		case !ok:
			want, near := suggest(key.Value, path, fields)
			r.refuse(key, at, "an unknown field", want)
			meant[near] = true
		case twice:
			r.refuse(key, at, fmt.Sprintf("the field again, it is in line %d already", line), "it once")
		default:
			seen[f.name] = key.Line
			r.read(n.Content[i+1], at, f, v.Field(f.index))
		}
	}
	for _, f := range fields {
		if _, ok := seen[f.name]; f.need && !ok && !meant[f.name] {
			r.refuse(n, join(path, f.name), "nothing", f.say())
		}
	}
}

// list sets a slice.
func (r *reader) list(n *yaml.Node, path string, f field, v reflect.Value) {
	if n.Kind != yaml.SequenceNode {
		r.refuse(n, path, found(n), f.say())
		return
	}
	if f.most > 0 && len(n.Content) > f.most {
		r.refuse(n, path, fmt.Sprintf("a list of %d", len(n.Content)), f.say())
		return
	}
	out := reflect.MakeSlice(f.typ, len(n.Content), len(n.Content))
	for i, item := range n.Content {
		if layer, ok := out.Index(i).Addr().Interface().(*Layer); ok {
			*layer = NewLayer(0)
		}
		if len(r.bad) >= maxViolations {
			return
		}
		r.read(item, fmt.Sprintf("%s[%d]", path, i), f.item(), out.Index(i))
	}
	v.Set(out)
}

// The numbers of study files are those of JSON: what YAML also knows as numbers,
// such as octal ones, is read differently by different people and programs.
var (
	wholeNumber = regexp.MustCompile(`^-?(?:0|[1-9][0-9]*)$`)
	number      = regexp.MustCompile(`^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?$`)
)

// scalar sets a value that is neither a list nor a struct.
func (r *reader) scalar(n *yaml.Node, path string, f field, v reflect.Value) {
	plain := n.Kind == yaml.ScalarNode && n.Style == 0
	ok := false
	switch f.typ.Kind() {
	case reflect.Bool:
		ok = plain && (n.Value == "true" || n.Value == "false")
		v.SetBool(ok && n.Value == "true")
	case reflect.Int:
		x, err := strconv.ParseInt(n.Value, 10, 64)
		if ok = plain && err == nil && wholeNumber.MatchString(n.Value) && f.interval().holds(float64(x)); ok {
			v.SetInt(x)
		}
	case reflect.Uint64:
		x, err := strconv.ParseUint(n.Value, 10, 64)
		if ok = plain && err == nil && wholeNumber.MatchString(n.Value); ok {
			v.SetUint(x)
		}
	case reflect.Float64:
		x, err := strconv.ParseFloat(n.Value, 64)
		if ok = plain && err == nil && number.MatchString(n.Value) && !math.IsInf(x, 0) && f.interval().holds(x); ok {
			v.SetFloat(x + 0) // -0 is 0
		}
	case reflect.String:
		if words := f.choices(); words != nil {
			r.choose(n, path, f, words, v)
			return
		}
		if ok = n.Kind == yaml.ScalarNode && n.ShortTag() != "!!null" && formats[f.want].pattern.MatchString(n.Value); ok {
			v.SetString(n.Value)
		}
	}
	if !ok {
		r.refuse(n, path, found(n), f.say())
	}
}

// choose sets a value that is one of a few words.
func (r *reader) choose(n *yaml.Node, path string, f field, words []string, v reflect.Value) {
	if n.Kind == yaml.ScalarNode {
		for _, w := range words {
			if n.Value == w {
				v.SetString(w)
				return
			}
		}
	}
	want := f.say()
	if near := nearest(n.Value, words); near != "" && n.Kind == yaml.ScalarNode {
		want = fmt.Sprintf("did you mean %s? It is %s", near, want)
	}
	r.refuse(n, path, found(n), want)
}

// found words what a node is.
func found(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "fields"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0:
		return "the text " + quote(n.Value)
	case n.ShortTag() == "!!null":
		return "no value"
	}
	return quote(n.Value)
}

// lookup returns the field of a name.
func lookup(fields []field, name string) (field, bool) {
	for _, f := range fields {
		if f.name == name {
			return f, true
		}
	}
	return field{}, false
}

// names lists fields.
func names(fields []field) string {
	var list []string
	for _, f := range fields {
		list = append(list, f.name)
	}
	return strings.Join(list, ", ")
}

// suggest says what may be meant by an unknown field, and which of those that are
// known here.
func suggest(key, path string, fields []field) (want, meant string) {
	if elsewhere := where(key, reflect.TypeFor[File](), ""); len(elsewhere) > 0 {
		return "did you mean " + strings.Join(elsewhere, " or ") + "?", ""
	}
	var known []string
	for _, f := range fields {
		known = append(known, f.name)
	}
	if near := nearest(key, known); near != "" {
		return "did you mean " + join(path, near) + "?", near
	}
	return "one of the fields " + names(fields), ""
}
