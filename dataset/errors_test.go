package dataset_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/nereid-mhe/nereid/dataset"
	"github.com/stretchr/testify/require"
)

// Every refusal names file, row, column and value as far as they exist, and a
// remedy; it is one line, and nothing half read comes with it.
func TestReadErrors(t *testing.T) {
	ill := dataset.Schema{Label: "ill"}
	last := dataset.Schema{Label: "-1"}
	const header = "age,bmi,ill\n"
	type schema = dataset.Schema
	for _, tt := range []struct {
		name    string
		text    string
		schema  schema
		row     int
		column  string
		value   string
		problem string // part of it
		remedy  string // part of it
	}{
		{"short row", small + "1,2\n", ill, 5, "", "", "2 columns, the first row has 3", "separator"},
		{"long row", small + "1,2,0,4\n", ill, 5, "", "", "4 columns, the first row has 3", "separator"},
		{"short row among semicolons", "a;b;c,d;ill\n1;2;3;1\n2;3\n", ill, 3, "", "", "2 columns, the first row has 4", "separator"},
		{"no separator", "a b ill\n1 2 1\n", schema{Label: "0"}, 0, "", "", "no feature column", "separator"},
		{"row after blank lines", header + "\n\n1,x,0\n", ill, 4, "bmi", "x", "not a number", "drop"},
		{"row after a cell of two lines", "id,bmi,ill\n\"a\nb\",1,0\nc,x,1\n", schema{Label: "ill", Drop: []string{"id"}}, 4, "bmi", "x", "not a number", "drop"},
		{"text", small + "40,abc,1\n", ill, 5, "bmi", "abc", "not a number", "drop"},
		{"decimal comma", strings.ReplaceAll(small, ",", ";") + "40;22,5;1\n", ill, 5, "bmi", "22,5", "not a number", "22.5"},
		{"thousands", small + "40,\"1,000,000\",1\n", ill, 5, "bmi", "1,000,000", "not a number", "drop"},
		{"hexadecimal", small + "40,0x1p4,1\n", ill, 5, "bmi", "0x1p4", "not a number", "drop"},
		{"digit separators", small + "40,0x_1p4,1\n", ill, 5, "bmi", "0x_1p4", "not a number", "drop"},
		{"infinity", small + "40,+Inf,1\n", ill, 5, "bmi", "+Inf", "not a finite number", "missing"},
		{"negative infinity", small + "40,-infinity,1\n", ill, 5, "bmi", "-infinity", "not a finite number", "missing"},
		{"overflow", small + "40,1e999,1\n", ill, 5, "bmi", "1e999", "not a finite number", "missing"},
		{"missing cell", small + "40,,1\n", ill, 5, "bmi", "", "the value is missing", "mean"},
		{"missing mark", small + "40, ? ,1\n", schema{Label: "ill", Missing: dataset.MissingError}, 5, "bmi", "?", "the value is missing", "mean"},
		{"missing label", small + "40,20,\n", ill, 5, "ill", "", "the label is missing", "remove the row"},
		{"missing label under drop", small + "40,20,NA\n", schema{Label: "ill", Missing: dataset.MissingDrop}, 5, "ill", "NA", "the label is missing", "remove the row"},
		{"third class", small + "40,20,2\n", ill, 5, "ill", "2", "the label is not 0 or 1", "classes"},
		{"half a label", small + "40,20,0.5\n", ill, 5, "ill", "0.5", "the label is not 0 or 1", "classes"},
		{"label -1", small + "40,20,-1\n", ill, 5, "ill", "-1", "the label is not 0 or 1", "classes"},
		{"text label", small + "40,20,yes\n", ill, 5, "ill", "yes", "the label is not 0 or 1", "classes"},
		{"class not listed", "1,M\n2,B\n3,b\n", schema{Label: "-1", Classes: []string{"B", "M"}}, 3, "c1", "b", `not one of the classes "B", "M"`, "spelled"},
		{"regression text", small + "40,20,ten\n", schema{Label: "ill", Regression: true}, 5, "ill", "ten", "the label is not a number", "label column"},
		{"regression infinity", small + "40,20,inf\n", schema{Label: "ill", Regression: true}, 5, "ill", "inf", "the label is not finite", "correct"},
		{"one class", header + "1,2,1\n2,3,1\n", ill, 0, "ill", "1", "only one class", "both classes"},
		{"one of the listed classes", "1,2,B\n2,3,B\n", schema{Label: "-1", Classes: []string{"B", "M"}}, 0, "c2", "B", "only one class", "both classes"},
		{"constant target", header + "1,2,7\n2,3,7\n", schema{Label: "ill", Regression: true}, 0, "ill", "7", "every row has this label", "label column"},
		{"constant column", header + "1,2,1\n2,2,0\n", ill, 0, "bmi", "2", "every row has this value", "drop"},
		{"constant after dropping rows", header + "1,2,1\n2,2,0\n?,3,0\n", schema{Label: "ill", Missing: dataset.MissingDrop}, 0, "bmi", "2", "every row has this value", "drop"},
		{"empty column", header + "1,,1\n2,?,0\n", schema{Label: "ill", Missing: dataset.MissingMean}, 0, "bmi", "", "every value is missing", "drop"},
		{"mean overflows", header + "1,1.7e308,1\n2,1.6e308,0\n3,,0\n", schema{Label: "ill", Missing: dataset.MissingMean}, 0, "bmi", "", "too large", "divide"},
		{"all rows dropped", header + "1,,1\n,2,0\n", schema{Label: "ill", Missing: dataset.MissingDrop}, 0, "", "", "all 2 rows", "mean"},
		{"no such label", small, schema{Label: "sick"}, 0, "sick", "", "no such label column", `"age", "bmi", "ill"`},
		{"label index too large", small, schema{Label: "3"}, 0, "3", "", "no such label column", `"age", "bmi", "ill"`},
		{"label index too small", small, schema{Label: "-4"}, 0, "-4", "", "no such label column", `"age", "bmi", "ill"`},
		{"label index overflows", small, schema{Label: "99999999999999999999"}, 0, "99999999999999999999", "", "no such label column", "columns are"},
		{"label name without header", "1,2,0\n", schema{Label: "ill"}, 0, "ill", "", "no such label column", "index from 0 to 2"},
		{"no label", small, schema{}, 0, "", "", "no label column is given", `"age", "bmi", "ill"`},
		{"no such column to drop", small, schema{Label: "ill", Drop: []string{"age", "id"}}, 0, "id", "", "no such column to drop", `"age", "bmi", "ill"`},
		{"no such feature", small, schema{Label: "ill", Features: []string{"age", "id"}}, 0, "id", "", "no such feature column", `"age", "bmi", "ill"`},
		{"a feature twice", small, schema{Label: "ill", Features: []string{"age", "0"}}, 0, "age", "", "a feature twice", "take it out once"},
		{"label as feature", small, schema{Label: "ill", Features: []string{"age", "ill"}}, 0, "ill", "", "also a feature", "another label"},
		{"features and drop", small, schema{Label: "ill", Features: []string{"age"}, Drop: []string{"bmi"}}, 0, "", "", "columns to drop too", "one of the two lists"},
		{"label dropped", small, schema{Label: "ill", Drop: []string{"-1"}}, 0, "ill", "", "also dropped", "another label"},
		{"duplicate names", "age,bmi,\"age\",ill\n1,2,3,0\n", ill, 1, "age", "", "columns 0 and 2", "rename"},
		{"nothing but the label", "ill\n0\n1\n", ill, 0, "", "", "no feature column", "separator"},
		{"all features dropped", small, schema{Label: "ill", Drop: []string{"age", "1"}}, 0, "", "", "no feature column", "drop fewer"},
		{"empty file", "", ill, 0, "", "", "the file is empty", "check"},
		{"blank file", "\n\r\n\n", ill, 0, "", "", "the file is empty", "check"},
		{"byte order mark only", "\ufeff", ill, 0, "", "", "the file is empty", "check"},
		{"header only", header, ill, 0, "", "", "no data row", "check"},
		{"mixed first row", "5,abc,1\n6,7,0\n", last, 1, "c1", "abc", "mixes text and numbers", "by its name"},
		{"mixed by the label", "5,6,yes\n6,7,no\n", last, 1, "c2", "yes", "mixes text and numbers", "by its name"},
		{"mixed with a listed class", "a,b,M\n6,7,B\n", schema{Label: "2", Classes: []string{"B", "M"}}, 1, "c0", "a", "mixes text and numbers", "by its name"},
		{"first row counts", "0,1,2\n6,7,0\n", last, 1, "", "", "column numbers or data", "header row"},
		{"stray quote", small + "4\"0,20,1\n", ill, 5, "", "", "quote", "double"},
		{"open quote", small + "\"40,20,1\n", ill, 5, "", "", "quote", "double"},
		{"quote in the first row", "a\"b,c\n", ill, 1, "", "", "quote", "double"},
		{"spreadsheet", "PK\x03\x04\x00\x00", ill, 0, "", "", "not a text file", "export"},
		{"UTF-16", "\xff\xfea\x00,\x00", ill, 0, "", "", "not a text file", "export"},
		{"carriage returns", "age,ill\r1,0\r2,1\r", ill, 0, "", "", "carriage return", "LF"},
		{"unknown policy", small, schema{Label: "ill", Missing: "zero"}, 0, "", "zero", "unknown policy", `"drop"`},
		{"bad separator", small, schema{Label: "ill", Comma: '\n'}, 0, "", "\n", "cannot separate", "detect"},
		{"invalid separator", small, schema{Label: "ill", Comma: -5}, 0, "", "\ufffd", "cannot separate", "detect"},
		{"fourth class", "1,a\n2,b\n3,c\n4,d\n", schema{Label: "-1", Classes: []string{"a", "b", "c"}}, 4, "c1", "d", `not one of the classes "a", "b", "c"`, "spelled"},
		{"class beyond the count", small + "40,20,3\n", schema{Label: "ill", ClassCount: 3}, 5, "ill", "3", "not a whole number from 0 to 2", "number"},
		{"half a class of three", small + "40,20,1.5\n", schema{Label: "ill", ClassCount: 3}, 5, "ill", "1.5", "not a whole number from 0 to 2", "classes"},
		{"negative class of three", small + "40,20,-1\n", schema{Label: "ill", ClassCount: 3}, 5, "ill", "-1", "not a whole number from 0 to 2", "classes"},
		{"one class of three", "1,2,c\n2,3,c\n", schema{Label: "-1", Classes: []string{"a", "b", "c"}}, 0, "c2", "c", "only one class", "several classes"},
		{"one class given", small, schema{Label: "ill", Classes: []string{"a"}}, 0, "", "", "1 classes", "order 0, 1"},
		{"count of one", small, schema{Label: "ill", ClassCount: 1}, 0, "", "", "1 classes", "how many"},
		{"count and texts", small, schema{Label: "ill", Classes: []string{"0", "1"}, ClassCount: 3}, 0, "", "", "2 classes are given for 3", "each class"},
		{"equal classes of three", small, schema{Label: "ill", Classes: []string{"1", "2", " 1.0"}}, 0, "", "1", "classes 0 and 2 are the same", "order 0, 1"},
		{"count of a regression", small, schema{Label: "ill", ClassCount: 2, Regression: true}, 0, "", "", "regression", "off"},
		{"equal classes", small, schema{Label: "ill", Classes: []string{"2", "2.0"}}, 0, "", "2", "the same", "order 0, 1"},
		{"missing class", small, schema{Label: "ill", Classes: []string{"?", "1"}}, 0, "", "", `class "?" counts as a missing value`, "order 0, 1"},
		{"classes of a regression", small, schema{Label: "ill", Classes: []string{"0", "1"}, Regression: true}, 0, "", "", "regression", "off"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			table, report, err := read(tt.text, tt.schema)
			require.Zero(t, table)
			require.Zero(t, report)
			var e *dataset.Error
			require.ErrorAs(t, err, &e)
			require.Len(t, joined(err), 1, "%v", err)
			require.Equal(t, "f.csv", e.File)
			require.Equal(t, tt.row, e.Row)
			require.Equal(t, tt.column, e.Column)
			require.Equal(t, tt.value, e.Value)
			require.Contains(t, e.Problem, tt.problem)
			require.Contains(t, e.Remedy, tt.remedy)
			require.NotContains(t, err.Error(), "\n")
		})
	}
}

func TestErrorMessage(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  dataset.Error
		want string
	}{
		{"all", dataset.Error{"a.csv", 3, "age", "x", "not a number", "correct it"}, `dataset: a.csv, row 3, column "age", value "x": not a number; correct it`},
		{"no place", dataset.Error{Problem: "no rows"}, "dataset: no rows"},
		{"line breaks", dataset.Error{File: "a\nb", Column: "c\nd", Value: "\n", Problem: "p"}, `dataset: "a\nb", column "c\nd", value "\n": p`},
		{"long value", dataset.Error{Value: strings.Repeat("é", 41), Problem: "p"}, `dataset: value "` + strings.Repeat("é", 40) + `"…: p`},
	} {
		t.Run(tt.name, func(t *testing.T) { require.EqualError(t, &tt.err, tt.want) })
	}
}

// A syntax error ends the file; what was found before is still reported.
func TestReadSyntaxErrorAfterProblem(t *testing.T) {
	_, _, err := read(small+"x,2,0\n1,\"2\"\",0\n", dataset.Schema{Label: "ill"})
	list := joined(err)
	require.Len(t, list, 2)
	require.ErrorContains(t, list[0], `value "x"`)
	require.ErrorContains(t, list[1], "quote")
}

// A list of columns in a remedy stays short.
func TestReadListsFewColumns(t *testing.T) {
	_, _, err := read("n,a,b,c,d,e,f,g,h,i,j,k,l,m,o,p,q,r,s,t,u,v,w\n", dataset.Schema{Label: "z"})
	var e *dataset.Error
	require.True(t, errors.As(err, &e))
	require.Contains(t, e.Remedy, `"t" and 3 more`)
}
