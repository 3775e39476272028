package studyfile

import (
	"bytes"
	"crypto/sha3"
	"encoding/json"
	"fmt"
	"reflect"

	"go.yaml.in/yaml/v3"
)

// Canonical returns the study in the form that its hash is of: JSON with all fields
// in the order of the format and no blanks. Spellings of a study that [Parse] reads
// as the same share it, on every machine. The settings under simulate are left out. Numbers of f must be finite, as those of files are: else it
// is nil.
func (f File) Canonical() []byte {
	f = f.WithDefaults()
	f.Simulate = nil
	b, err := encode(f)
	if err != nil {
		return nil
	}
	return b
}

// Hash returns what identifies the study.
func (f File) Hash() [32]byte {
	return sha3.Sum256(append([]byte("nereid/studyfile/v1\n"), f.Canonical()...))
}

// encode returns v as JSON in one line. It fails for numbers that are not finite, which
// no file has.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// Marshal returns the study as a file with a line for every field, without comments.
// [Parse] reads it as f with its defaults.
func (f File) Marshal() ([]byte, error) {
	j, err := encode(f.WithDefaults())
	var doc yaml.Node
	if err == nil {
		err = yaml.Unmarshal(j, &doc) // JSON is YAML
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFile, err)
	}
	plain(&doc)
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(&doc); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFile, err)
	}
	return b.Bytes(), nil
}

// plain gives a node of JSON the style of YAML; short lists stay in a line.
func plain(n *yaml.Node) {
	n.Style = 0
	if n.Kind == yaml.SequenceNode && (len(n.Content) == 0 || n.Content[0].Kind == yaml.ScalarNode) {
		n.Style = yaml.FlowStyle
	}
	for _, c := range n.Content {
		plain(c)
	}
}

// A Difference is a field that two files say differently.
type Difference struct {
	Field string // path
	A, B  string // values in JSON; empty if there is none
}

// Differences returns what two files say differently, those of a first.
func Differences(a, b File) []Difference {
	var out []Difference
	other := map[string]string{}
	of := leaves(reflect.ValueOf(b), "")
	for _, l := range of {
		other[l.path] = l.text
	}
	for _, l := range leaves(reflect.ValueOf(a), "") {
		if text := other[l.path]; text != l.text {
			out = append(out, Difference{l.path, l.text, text})
		}
		delete(other, l.path)
	}
	for _, l := range of {
		if _, left := other[l.path]; left {
			out = append(out, Difference{l.path, "", l.text})
		}
	}
	return out
}
