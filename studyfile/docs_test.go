package studyfile

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/mhe"
)

var update = flag.Bool("update", false, "write docs/study.md and docs/study.schema.json")

// published compares a file of the documentation with what the code says, or writes it.
func published(t *testing.T, name, want string) {
	t.Helper()
	path := filepath.Join("..", "docs", name)
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(want), 0o644))
	}
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, want, string(got), "go test ./studyfile -update writes it")
}

func TestPublishedSchema(t *testing.T) {
	require.True(t, json.Valid(JSONSchema()))
	published(t, "study.schema.json", string(JSONSchema()))
}

// The part of the reference below the mark follows from the code.
func TestPublishedReference(t *testing.T) {
	const mark = "<!-- Below: written by go test ./studyfile -update -->\n"
	b, err := os.ReadFile(filepath.Join("..", "docs", "study.md"))
	require.NoError(t, err)
	above, _, ok := strings.Cut(string(b), mark)
	require.True(t, ok)
	var out strings.Builder
	reference(&out, "", field{typ: reflect.TypeFor[File]()})
	for _, kind := range []Kind{Logistic, Network} {
		fmt.Fprintf(&out, "\n## Example: kind %s\n\n```yaml\n%s```\n", kind, Example(kind))
	}
	published(t, "study.md", above+mark+out.String())
}

// reference writes a table of the fields of a struct, and then those of its parts.
func reference(b *strings.Builder, path string, f field) {
	if title := path; title == "" {
		b.WriteString("\n## Sections\n\n")
	} else {
		doc := strings.ToUpper(f.doc[:1]) + f.doc[1:]
		fmt.Fprintf(b, "\n## %s\n\n%s.\n\n", title, doc)
	}
	b.WriteString("| field | value | default | meaning |\n|---|---|---|---|\n")
	fields := fieldsOf(f.typ)
	for _, g := range fields {
		value := g.say()
		if parts(g) != nil {
			value = "[section](#" + strings.NewReplacer(".", "", "[", "", "]", "").Replace(join(path, g.name)) + ")"
		}
		doc := g.doc
		if g.only != "" {
			doc += " (networks only)"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", g.name, value, defaultOf(join(path, g.name), g), doc)
	}
	for _, g := range fields {
		if inner := parts(g); inner != nil {
			inner.doc = g.doc
			at := join(path, g.name)
			if g.typ.Kind() == reflect.Slice {
				at += "[]"
			}
			reference(b, at, *inner)
		}
	}
}

// parts returns the struct that a field is, lists or points to, or nil.
func parts(f field) *field {
	if k := f.typ.Kind(); k == reflect.Slice || k == reflect.Pointer {
		f = f.item()
	}
	if f.typ.Kind() != reflect.Struct {
		return nil
	}
	return &f
}

// defaultOf words the default of a field.
func defaultOf(path string, f field) string {
	if f.need {
		return "needed"
	}
	if f.typ.Kind() == reflect.Struct || f.typ.Kind() == reflect.Pointer {
		return ""
	}
	if rest, ok := strings.CutPrefix(path, "model.hidden[]."); ok {
		return at(reflect.ValueOf(NewLayer(1)), rest)
	}
	if rest, ok := strings.CutPrefix(path, "simulate."); ok {
		return at(reflect.ValueOf(*NewSimulate()), rest)
	}
	if strings.Contains(path, "[]") {
		return at(reflect.Zero(reflect.TypeFor[Member]()), "rows")
	}
	var kinds []string
	for _, k := range []Kind{Logistic, Linear, Network} {
		kinds = append(kinds, at(reflect.ValueOf(New(k)), path))
	}
	switch all := slices.Compact(slices.Clone(kinds)); {
	case len(all) == 1:
		return all[0]
	case kinds[0] == kinds[1] && f.only == "":
		return fmt.Sprintf("%s; network: %s", kinds[0], kinds[2])
	}
	return fmt.Sprintf("logistic: %s; linear: %s; network: %s", kinds[0], kinds[1], kinds[2])
}

// at returns the value of a field in YAML.
func at(v reflect.Value, path string) string {
	for _, l := range leaves(v, "") {
		if l.path == path {
			return strings.ReplaceAll("`"+l.text+"`", "`null`", "`[]`")
		}
	}
	return "`[]`" // a list of structs
}

// Every field has a description and says what it may hold; defaults are within.
func TestTags(t *testing.T) {
	var walk func(typ reflect.Type)
	walk = func(typ reflect.Type) {
		for _, f := range fieldsOf(typ) {
			require.NotEmpty(t, f.doc, f.name)
			require.Equal(t, strings.ToLower(f.name), f.name)
			require.NotEqual(t, byte('.'), f.doc[len(f.doc)-1])
			if inner := parts(f); inner != nil {
				walk(inner.typ)
				continue
			}
			if f.typ.Kind() == reflect.Slice {
				f = f.item()
			}
			switch f.typ.Kind() {
			case reflect.Bool:
				require.Empty(t, f.want)
			case reflect.String:
				_, known := formats[f.want]
				require.True(t, known || len(f.choices()) > 1, f.name)
			default:
				require.Regexp(t, `^[\[(]\d+,(\d+|inf)[\])]$`, f.want, f.name)
				r := f.interval()
				require.LessOrEqual(t, r.low, r.high, f.name)
			}
		}
	}
	walk(reflect.TypeFor[File]())

	flooding, ok := lookup(fieldsOf(reflect.TypeFor[Crypto]()), "flooding_bits")
	require.True(t, ok)
	require.Equal(t, float64(mhe.MinFlooding), flooding.interval().low)
	require.Equal(t, mhe.MinFlooding, New(Logistic).Crypto.FloodingBits)
}

func TestDistance(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"rate", "rate", 0}, {"rate", "rte", 1}, {"epocs", "epochs", 1}, {"ab", "ba", 1}, {"kitten", "sitting", 3}, {"", "abc", 3}} {
		require.Equal(t, tt.want, distance(tt.a, tt.b), "%s %s", tt.a, tt.b)
		require.Equal(t, tt.want, distance(tt.b, tt.a))
	}
	require.Empty(t, nearest("entirely", []string{"different", "words"}))
	require.Empty(t, nearest(strings.Repeat("x", 1000), []string{"x"}))
}
