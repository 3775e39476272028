package studyfile

import (
	"encoding/json"
	"math"
	"reflect"
)

// schemaName is where the JSON schema of study files is published.
const schemaName = "https://github.com/nereid-mhe/nereid/raw/main/docs/study.schema.json"

// JSONSchema returns the JSON schema (draft 2020-12) of study files, for editors that
// complete and check them. It knows each field by itself; what fields have to do with
// each other only [Parse] checks.
func JSONSchema() []byte {
	s := field{typ: reflect.TypeFor[File]()}.schema()
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["$id"] = schemaName
	s["title"] = "Nereid study file"
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil // maps of texts and finite numbers
	}
	return append(b, '\n')
}

// schema returns the JSON schema of a field.
func (f field) schema() map[string]any {
	s := map[string]any{}
	if f.doc != "" {
		s["description"] = f.doc
	}
	switch f.typ.Kind() {
	case reflect.Pointer:
		return f.item().schema()
	case reflect.Struct:
		properties, need := map[string]any{}, []string{}
		for _, g := range fieldsOf(f.typ) {
			if properties[g.name] = g.schema(); g.need {
				need = append(need, g.name)
			}
		}
		s["type"], s["properties"], s["required"], s["additionalProperties"] = "object", properties, need, false
	case reflect.Slice:
		item := f.item()
		item.doc = ""
		s["type"], s["items"] = "array", item.schema()
		if f.most > 0 {
			s["maxItems"] = f.most
		}
	case reflect.Bool:
		s["type"] = "boolean"
	case reflect.String:
		if words := f.choices(); words != nil {
			s["enum"] = words
			break
		}
		s["type"] = []string{"string", "number", "boolean"} // labels and names such as 8 need no quotes
		s["pattern"] = formats[f.want].pattern.String()
	case reflect.Float64:
		s["type"] = "number"
		f.interval().schema(s)
	default:
		s["type"] = "integer"
		f.interval().schema(s)
	}
	return s
}

// schema adds the bounds to a JSON schema.
func (r interval) schema(s map[string]any) {
	low, high := "minimum", "maximum"
	if r.openLow {
		low = "exclusiveMinimum"
	}
	if r.openHigh {
		high = "exclusiveMaximum"
	}
	if s[low] = r.low; !math.IsInf(r.high, 1) {
		s[high] = r.high
	}
}
