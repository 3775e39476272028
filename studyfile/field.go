package studyfile

import (
	"fmt"
	"math"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"github.com/nereid-mhe/nereid/nn"
)

// A field is a field of the format, as the tags of the types describe it.
type field struct {
	name, doc string
	want      string // what a value, or an item of a list, may be; see wanted
	need      bool   // has no default
	only      string // kind of model that has it; empty for all
	most      int    // items of a list; 0 for any number
	index     int    // in its struct
	typ       reflect.Type
}

// fieldsOf returns the fields of a struct of the format.
func fieldsOf(t reflect.Type) []field {
	var fields []field
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		most, _ := strconv.Atoi(f.Tag.Get("most")) // 0 without one
		fields = append(fields, field{
			name: name, doc: f.Tag.Get("doc"), want: f.Tag.Get("want"), need: f.Tag.Get("need") != "", only: f.Tag.Get("only"), most: most, index: i, typ: f.Type,
		})
	}
	return fields
}

// item returns the field that stands for the items of a list, or for what a pointer
// points to.
func (f field) item() field {
	f.typ, f.most = f.typ.Elem(), 0
	return f
}

// A format is a form of texts.
type format struct {
	pattern *regexp.Regexp
	say     string
}

// formats are the forms of texts that the tag want may name.
var formats = map[string]format{
	"title":     {regexp.MustCompile(`^[^\p{C}\s](?:[^\p{C}\n]{0,98}[^\p{C}\s])?$`), "a text of 1 to 100 printable characters"},
	"name":      {regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`), "a name of letters, digits, dots, dashes and underscores, 63 at most, that starts with a letter or digit"},
	"column":    {regexp.MustCompile(`^[^\p{C}]{0,1000}$`), "a text of printable characters"},
	"comma":     {regexp.MustCompile(`^(?:[^\p{C}"�]|tab)?$`), "one character, or the word tab"},
	"partition": {regexp.MustCompile(`^(?:even|skewed|label|column:[^\p{C}]{1,1000})$`), "even, skewed, label or column:NAME"},
}

// choices returns the words that the tag want lists, if it lists words.
func (f field) choices() []string {
	if f.want == "activation" {
		return nn.ActivationNames()
	}
	if strings.ContainsAny(f.want, "[(") || !strings.Contains(f.want, "|") {
		return nil
	}
	return strings.Split(f.want, "|")
}

// An interval is what a number may be: the tag want holds it as [0,1), say.
type interval struct {
	low, high         float64
	openLow, openHigh bool
}

// interval returns the interval of the tag want of a number.
func (f field) interval() interval {
	w := f.want
	low, high, _ := strings.Cut(w[1:len(w)-1], ",")
	r := interval{openLow: w[0] == '(', openHigh: w[len(w)-1] == ')'}
	r.low, _ = strconv.ParseFloat(low, 64) // a test reads all tags
	r.high, _ = strconv.ParseFloat(high, 64)
	return r
}

func (r interval) holds(x float64) bool {
	return (x > r.low || x == r.low && !r.openLow) && (x < r.high || x == r.high && !r.openHigh)
}

func (r interval) String() string {
	switch {
	case r.low == r.high:
		return fmt.Sprintf("%g", r.low)
	case math.IsInf(r.high, 1) && r.openLow:
		return fmt.Sprintf("above %g", r.low)
	case math.IsInf(r.high, 1):
		return fmt.Sprintf("%g or more", r.low)
	case r.openLow && r.openHigh:
		return fmt.Sprintf("between %g and %g", r.low, r.high)
	case r.openHigh:
		return fmt.Sprintf("%g or more and less than %g", r.low, r.high)
	}
	return fmt.Sprintf("from %.20g to %.20g", r.low, r.high)
}

// say words what the field may hold.
func (f field) say() string {
	switch f.typ.Kind() {
	case reflect.Pointer:
		return f.item().say()
	case reflect.Struct:
		return "the fields " + names(fieldsOf(f.typ))
	case reflect.Slice:
		item := f.item().say()
		if s := fmt.Sprintf("a list of at most %d", f.most); f.most > 0 {
			return s + ", each " + item
		}
		return "a list, each " + item
	case reflect.Bool:
		return "true or false"
	case reflect.Float64:
		return "a number " + f.interval().String()
	case reflect.Int:
		return "a whole number " + f.interval().String()
	case reflect.Uint64:
		return fmt.Sprintf("a whole number from 0 to %d", uint64(math.MaxUint64))
	}
	if words := f.choices(); words != nil {
		return "one of " + strings.Join(words, ", ")
	}
	return formats[f.want].say
}

// A leaf is a value of a file that is no struct, in JSON, with its path.
type leaf struct{ path, text string }

// leaves returns the values of a struct in the order of the format. Lists of structs
// have a leaf for each of their values, others are one leaf.
func leaves(v reflect.Value, path string) []leaf {
	var out []leaf
	switch {
	case v.Kind() == reflect.Pointer:
		if !v.IsNil() {
			out = leaves(v.Elem(), path)
		}
	case v.Kind() == reflect.Struct:
		for _, f := range fieldsOf(v.Type()) {
			out = append(out, leaves(v.Field(f.index), join(path, f.name))...)
		}
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct:
		for i := range v.Len() {
			out = append(out, leaves(v.Index(i), fmt.Sprintf("%s[%d]", path, i))...)
		}
	default:
		b, err := encode(v.Interface())
		if err != nil {
			b = fmt.Append(nil, v.Interface())
		}
		out = append(out, leaf{path, string(b)})
	}
	return out
}

// join returns the path of a field below another.
func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// nearest returns the word that is closest to a misspelt one, or "".
func nearest(word string, words []string) string {
	best, least := "", max(2, len(word)/3)+1
	for _, w := range words {
		if d := distance(strings.ToLower(word), w); d < least {
			best, least = w, d
		}
	}
	return best
}

// distance returns the number of characters to insert, delete, replace or swap with
// their neighbour between two words: the optimal string alignment.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	if len(x) > 64 {
		return len(x)
	}
	before, row := make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range row {
		row[j] = j
	}
	for i := range x {
		next := make([]int, len(y)+1)
		next[0] = i + 1
		for j := range y {
			cost := 1
			if x[i] == y[j] {
				cost = 0
			}
			next[j+1] = min(row[j+1]+1, next[j]+1, row[j]+cost)
			if i > 0 && j > 0 && x[i] == y[j-1] && x[i-1] == y[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row = row, next
	}
	return row[len(y)]
}

// where returns the paths of the fields of a name, anywhere below a struct.
func where(name string, t reflect.Type, path string) []string {
	var out []string
	for _, f := range fieldsOf(t) {
		at, inner := join(path, f.name), f.typ
		if f.name == name {
			out = append(out, at)
		}
		switch inner.Kind() {
		case reflect.Slice:
			at, inner = at+"[…]", inner.Elem()
		case reflect.Pointer:
			inner = inner.Elem()
		}
		if inner.Kind() == reflect.Struct {
			out = append(out, where(name, inner, at)...)
		}
	}
	return out
}
