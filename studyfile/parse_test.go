package studyfile_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/nereid-mhe/nereid/studyfile"
)

// least is a study with nothing but what has no default.
const least = `version: 1
name: least
model: {kind: logistic}
data: {label: y}
parties: {count: 2}
opening: {queriers: [{name: q, rows: 1}]}
`

// layered is the same for a network.
const layered = `version: 1
name: layered
model:
  kind: network
  hidden:
    - units: 4
data: {label: y, feature_count: 3}
parties: {count: 3}
`

// violations returns the parts of the error of a file.
func violations(t *testing.T, text string) []*studyfile.Violation {
	t.Helper()
	_, err := studyfile.Parse("s.yaml", []byte(text))
	require.ErrorIs(t, err, studyfile.ErrFile, text)
	var out []*studyfile.Violation
	for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
		var v *studyfile.Violation
		require.ErrorAs(t, e, &v)
		out = append(out, v)
	}
	return out
}

func TestDefaults(t *testing.T) {
	f, err := studyfile.Parse("s.yaml", []byte(least))
	require.NoError(t, err)
	want := studyfile.New(studyfile.Logistic)
	want.Name, want.Data.Label, want.Parties.Count = "least", "y", 2
	want.Opening.Queriers = []studyfile.Querier{{Name: "q", Rows: 1}}
	require.Equal(t, want.WithDefaults(), f)
	require.Nil(t, f.Simulate)
	require.Equal(t, 1, f.Model.Outputs)
	require.Equal(t, 2, f.Data.ClassCount)
	require.Equal(t, 30, f.Training.Epochs)

	f, err = studyfile.Parse("s.yaml", []byte(layered))
	require.NoError(t, err)
	require.Equal(t, []studyfile.Layer{{Units: 4, Activation: "cubic", Degree: 3, Bound: 3, Fit: "least-squares"}}, f.Model.Hidden)
	require.Equal(t, studyfile.Loss{Name: "squared", Degree: 1, Bound: 3}, f.Model.Loss)
	require.Equal(t, 2, f.Parties.Fanout, "everybody under everybody's root")
	require.Equal(t, 20, f.Training.Steps)
}

// Zero has one form.
func TestNegativeZero(t *testing.T) {
	f, err := studyfile.Parse("s.yaml", []byte(least+"training: {l2: -0.0, batch: -0}\n"))
	require.NoError(t, err)
	g, err := studyfile.Parse("s.yaml", []byte(least+"training: {l2: 0}\n"))
	require.NoError(t, err)
	require.Equal(t, string(g.Canonical()), string(f.Canonical()))
}

// A study counts steps or epochs: what is given replaces the other's default.
func TestStepsReplaceEpochs(t *testing.T) {
	f, err := studyfile.Parse("s.yaml", []byte(least+"training: {steps: 7}\n"))
	require.NoError(t, err)
	require.Equal(t, [2]int{7, 0}, [2]int{f.Training.Steps, f.Training.Epochs})
	f, err = studyfile.Parse("s.yaml", []byte(layered+"training: {epochs: 7}\n"))
	require.NoError(t, err)
	require.Equal(t, [2]int{0, 7}, [2]int{f.Training.Steps, f.Training.Epochs})
}

// Every violation says where it is, what was found and what would fit.
func TestViolations(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"unknown field", least + "training: {learning_rate: 1}\n", `s.yaml:7: training.learning_rate: found an unknown field; want one of the fields steps, `},
		{"misspelt field", least + "training:\n  epocs: 3\n", `s.yaml:8: training.epocs: found an unknown field; did you mean training.epochs?`},
		{"swapped letters", least + "trianing: {}\n", `s.yaml:7: trianing: found an unknown field; did you mean training?`},
		{"field of another section", least + "rate: 1\n", `s.yaml:7: rate: found an unknown field; did you mean training.rate?`},
		{"field of two sections", least + "degree: 1\n", `did you mean model.hidden[…].degree or model.loss.degree?`},
		{"field again", least + "name: more\n", `s.yaml:7: name: found the field again, it is in line 2 already; want it once`},
		{"text for a number", least + "training:\n  rate: fast\n", `s.yaml:8: training.rate: found "fast"; want a number above 0`},
		{"quoted number", least + "training: {rate: \"1\"}\n", `training.rate: found the text "1"; want a number above 0`},
		{"misspelt and right", least + "modle: {}\nnam: x\n", `s.yaml:7: modle: found an unknown field; did you mean model?`},
		{"list for a number", least + "training: {rate: [1]}\n", `training.rate: found a list; want a number`},
		{"infinite", least + "training: {rate: .inf}\n", `training.rate: found ".inf"; want a number above 0`},
		{"beyond double precision", least + "training: {rate: 1e999}\n", `training.rate: found "1e999"; want a number above 0`},
		{"not a number", least + "training: {rate: .nan}\n", `found ".nan"; want a number above 0`},
		{"zero where it is not", least + "training: {rate: 0}\n", `found "0"; want a number above 0`},
		{"fraction for a whole number", least + "training: {epochs: 1.5}\n", `training.epochs: found "1.5"; want a whole number from 0 to 1000000`},
		{"octal", least + "training: {epochs: 010}\n", `training.epochs: found "010"; want a whole number`},
		{"hexadecimal", least + "training: {seed: 0x10}\n", `training.seed: found "0x10"; want a whole number from 0 to 18446744073709551615`},
		{"negative seed", least + "training: {seed: -1}\n", `training.seed: found "-1"`},
		{"yes for true", layered + "training: {nesterov: yes}\n", `training.nesterov: found "yes"; want true or false`},
		{"number for a list", layered + "training: {layer_rates: 1}\n", `training.layer_rates: found "1"; want a list, each a number above 0`},
		{"item of a list", layered + "training: {layer_rates: [1, -1]}\n", `training.layer_rates[1]: found "-1"; want a number above 0`},
		{"momentum of 1", layered + "training: {momentum: 1}\n", `training.momentum: found "1"; want a number 0 or more and less than 1`},
		{"test fraction", least + "simulate: {test_fraction: 1}\n", `simulate.test_fraction: found "1"; want a number between 0 and 1`},
		{"fields for a word", least + "crypto: {attacker: {a: 1}}\n", `crypto.attacker: found fields; want one of classical, quantum`},
		{"misspelt word", least + "crypto: {attacker: quantm}\n", `crypto.attacker: found "quantm"; did you mean quantum? It is one of classical, quantum`},
		{"security that is not 128", least + "crypto: {security_bits: 256}\n", `crypto.security_bits: found "256"; want a whole number 128`},
		{"too little flooding", least + "crypto: {flooding_bits: 29}\n", `want a whole number from 30 to 80`},
		{"nothing", least + "training:\n", `s.yaml:7: training: found no value; want the fields steps, epochs, batch, rate, layer_rates, momentum, nesterov, l2, schedule, seed, or no such line for the default`},
		{"no label text", strings.Replace(least, "label: y", "label: ~", 1), `data.label: found no value; want a text of printable characters`},
		{"partition", least + "simulate: {partition: odd}\n", `simulate.partition: found "odd"; want even, skewed, label or column:NAME`},
		{"unknown kind", strings.Replace(least, "logistic", "logisitc", 1), `s.yaml:3: model.kind: found "logisitc"; did you mean logistic? It is one of logistic, linear, network`},
		{"no kind", strings.Replace(least, "{kind: logistic}", "{}", 1), `s.yaml:3: model.kind: found nothing; want one of logistic, linear, network`},
		{"no version", strings.Replace(least, "version: 1\n", "", 1), `s.yaml:1: version: found nothing; want a whole number 1`},
		{"another version", strings.Replace(least, "version: 1", "version: 2", 1), `s.yaml:1: version: found "2"; want a whole number 1`},
		{"no parties", strings.Replace(least, "{count: 2}", "{}", 1), `s.yaml:5: parties: found neither a count nor a roster; want one of them, of 2 parties or more`},
		{"one party", strings.Replace(least, "count: 2", "count: 1", 1), `parties: found 1 party; want 2 or more`},
		{"another roster", strings.Replace(least, "count: 2", "count: 2, roster: [{name: a}]", 1), `parties.count: found 2; want 1 as the roster has, or no such line`},
		{"a party twice", strings.Replace(least, "count: 2", "roster: [{name: a}, {name: a}]", 1), `parties.roster[1].name: found "a" again; want a name of its own for every party`},
		{"a name that is none", strings.Replace(least, "count: 2", "roster: [{name: a}, {name: ../b}]", 1), `parties.roster[1].name: found "../b"; want a name of letters`},
		{"nobody to ask", strings.Replace(least, "[{name: q, rows: 1}]", "[]", 1), `opening.queriers: found nothing; want who may have predictions`},
		{"a querier without bound", strings.Replace(least, ", rows: 1", "", 1), `opening.queriers[0].rows: found nothing; want a whole number from 1 to`},
		{"no label", strings.Replace(least, "label: y", "comma: tab", 1), `data.label: found nothing; want the label column`},
		{"features and drop", strings.Replace(least, "label: y", "label: y, features: [a], drop: [b]", 1), `data.drop: found columns to drop and a list of features`},
		{"another count", strings.Replace(least, "label: y", "label: y, features: [a], feature_count: 2", 1), `data.feature_count: found 2; want 1 as the list has`},
		{"classes that are the same", strings.Replace(least, "label: y", "label: y, classes: [1, 1.0]", 1), `data: found classes 0 and 1 are the same`},
		{"three classes of two", strings.Replace(least, "label: y", "label: y, classes: [a, b, c]", 1), `data.class_count: found 3 classes; want 2 for logistic regression, or the kind network`},
		{"a number for logistic regression", strings.Replace(least, "label: y", "label: y, target: number", 1), `data.target: found number; want class for logistic regression, or the kind linear`},
		{"a bound of classes", strings.Replace(least, "label: y", "label: y, target_bound: 2", 1), `data.target_bound: found 2; want none for classes`},
		{"classes for linear regression", strings.Replace(strings.Replace(least, "logistic", "linear", 1), "label: y", "label: y, classes: [a, b]", 1), `data.classes: found classes; want none for a target that is a number`},
		{"hidden layers of a regression", strings.Replace(least, "kind: logistic", "kind: logistic, hidden: [{units: 3}]", 1), `model.hidden: found hidden layers; want none, or the kind network`},
		{"momentum of a regression", least + "training: {momentum: 0.5}\n", `training.momentum: found 0.5; want 0: the field is for networks, the kind is logistic`},
		{"another loss", strings.Replace(least, "kind: logistic", "kind: logistic, loss: {name: squared}", 1), `model.loss.name: found squared; want logistic for the kind logistic`},
		{"an even degree", strings.Replace(least, "kind: logistic", "kind: logistic, loss: {degree: 2}", 1), `model.loss.degree: found a logistic loss with degree 2; want 1, 3, 5 or 7`},
		{"no interval", strings.Replace(least, "kind: logistic", "kind: logistic, loss: {bound: 0}", 1), `model.loss.bound: found 0; want a number above 0`},
		{"both steps and epochs", least + "training: {steps: 1, epochs: 2}\n", `training.epochs: found 2 epochs and 1 steps; want one of them`},
		{"neither steps nor epochs", least + "training: {epochs: 0}\n", `training: found neither steps nor epochs; want one of them, 1 or more`},
		{"unknown activation", strings.Replace(layered, "units: 4", "{units: 4, activation: sine}", 1), `s.yaml:6: model.hidden[0].activation: found "sine"; did you mean silu? It is one of sigmoid, tanh, `},
		{"a degree that it has not", strings.Replace(layered, "units: 4", "{units: 4, degree: 2}", 1), `s.yaml:6: model.hidden[0]: found cubic of degree 2; want 3, or 0 for the same`},
		{"no units", strings.Replace(layered, "units: 4", "{}", 1), `model.hidden[0].units: found nothing; want a whole number from 1 to 65536`},
		{"outputs that do not fit", strings.Replace(layered, "kind: network", "kind: network\n  outputs: 3", 1), `model.outputs: found 3; want one for each of 2 classes, or 1 for two`},
		{"rates that do not fit", layered + "training: {layer_rates: [1]}\n", `training.layer_rates: found 1 factors; want 2, that of the outputs included`},
		{"Nesterov without momentum", layered + "training: {nesterov: true}\n", `training.nesterov: found true without momentum; want training.momentum above 0`},
		{"floor and unit", layered + "preprocessing: {unit: 1, floor: 1}\n", `preprocessing.floor: found a floor and a unit; want one of them`},
		{"columns of images", strings.Replace(layered, "label: y", "format: idx, label: y", 1), `data.label: found a setting of columns; want none: idx files have no columns`},
		{"too many layers", strings.Replace(layered, "    - units: 4", strings.Repeat("    - units: 4\n", 65), 1), `model.hidden: found a list of 65; want a list of at most 64`},
		{"anchor", strings.Replace(layered, "units: 4", "units: &a 4", 1), `s.yaml:6: model.hidden[0].units: found an anchor or alias; want the value itself`},
		{"alias", "x: &a 1\n" + strings.Replace(layered, "units: 4", "units: *a", 1), `model.hidden[0].units: found an anchor or alias`},
		{"merge", layered + "<<: {name: x}\n", `s.yaml:9: <<: found an unknown field`},
		{"tag", strings.Replace(least, "count: 2", "count: !!int \"2\"", 1), `parties.count: found the tag "!!int"; want the value without a tag`},
		{"a key that is a list", least + "? [a]\n: 1\n", `found a key that is no name; want one of the fields version, name, `},
		{"a list", "- a\n", `s.yaml:1: found a list; want the fields version, name, `},
		{"two documents", least + "---\n" + least, `s.yaml:7: found a second document; want one document in a file`},
		{"empty", "# nothing\n", `s.yaml: found an empty file; want a study; "nereid init" writes an example`},
		{"no YAML", "name: [", `s.yaml:1: found broken YAML: `},
		{"no text", "\xff\xfe\x00", `s.yaml: found broken YAML: `},
		{"too deep", strings.Repeat("[", 20000), `found broken YAML: `},
		{"too large", strings.Repeat("#", studyfile.MaxSize+1), `s.yaml: found a file of 1048577 bytes; want at most 1048576 bytes`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := violations(t, tt.text)
			var all []string
			for _, v := range v {
				all = append(all, v.Error())
			}
			require.Contains(t, strings.Join(all, "\n"), tt.want)
			if !strings.HasPrefix(tt.name, "no") && !strings.Contains(tt.name, "label") {
				require.LessOrEqual(t, len(v), 2, "what follows from a violation is left out: %q", all)
			}
		})
	}
}

// All violations come at once, in the order of the file.
func TestAllViolationsAtOnce(t *testing.T) {
	text := strings.Replace(layered, "units: 4", "units: 0", 1) + "training:\n  rate: -1\n  momentun: 0.9\ncrypto: {flooding_bits: 10}\n"
	var got []string
	for _, v := range violations(t, text) {
		got = append(got, fmt.Sprintf("%d %s", v.Line, v.Field))
	}
	require.Equal(t, []string{"6 model.hidden[0].units", "10 training.rate", "11 training.momentun", "12 crypto.flooding_bits"}, got)

	_, err := studyfile.Parse("many\n.yaml", []byte(least+strings.Repeat("x: 1\n", 1000)))
	require.Len(t, err.(interface{ Unwrap() []error }).Unwrap(), 100)
	require.NotContains(t, strings.Split(err.Error(), "\n")[0], "many\n", "control characters do not reach the terminal")
}

// What cannot be said by order of nesting is refused soon, without expanding anything.
func TestAliasBomb(t *testing.T) {
	var b strings.Builder
	b.WriteString("a0: &a0 [x, x, x, x, x, x, x, x, x]\n")
	for i := range 30 {
		fmt.Fprintf(&b, "a%d: &a%d [*a%d, *a%d, *a%d, *a%d]\n", i+1, i+1, i, i, i, i)
	}
	v := violations(t, b.String()+least)
	require.Len(t, v, 31)
	require.Contains(t, v[0].Error(), "a0: found an unknown field")
}

// The examples are files that can be used as they are.
func TestExamples(t *testing.T) {
	for kind, name := range map[studyfile.Kind]string{studyfile.Logistic: "logistic.yaml", studyfile.Network: "network.yaml"} {
		b, err := os.ReadFile(filepath.Join("examples", name))
		require.NoError(t, err)
		require.Equal(t, string(b), string(studyfile.Example(kind)))
		f, err := studyfile.Parse(name, b)
		require.NoError(t, err)
		require.Equal(t, kind, f.Model.Kind)
		for i, line := range strings.Split(string(b), "\n") {
			require.LessOrEqual(t, len([]rune(line)), 90, "line %d", i+1)
		}
	}
}

// A decoder of the library reads what Marshal writes as the same study, and knows all
// of its fields.
func TestLibraryAgrees(t *testing.T) {
	for _, kind := range []studyfile.Kind{studyfile.Logistic, studyfile.Network} {
		f, err := studyfile.Parse("s.yaml", studyfile.Example(kind))
		require.NoError(t, err)
		b, err := f.Marshal()
		require.NoError(t, err)
		var tree any
		require.NoError(t, yaml.Unmarshal(b, &tree))
		b, err = json.Marshal(tree)
		require.NoError(t, err)
		d := json.NewDecoder(bytes.NewReader(b))
		d.DisallowUnknownFields()
		var g studyfile.File
		require.NoError(t, d.Decode(&g))
		require.Equal(t, f, g)
	}
}

func TestNumbersMustBeFinite(t *testing.T) {
	f := studyfile.New(studyfile.Logistic)
	f.Training.Rate = math.NaN()
	require.Nil(t, f.Canonical())
	_, err := f.Marshal()
	require.ErrorIs(t, err, studyfile.ErrFile)
}
