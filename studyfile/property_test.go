package studyfile_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"

	"github.com/nereid-mhe/nereid/dataset"
	"github.com/nereid-mhe/nereid/nn"
	"github.com/nereid-mhe/nereid/study"
	"github.com/nereid-mhe/nereid/studyfile"
)

// positive draws a number above 0.
func positive(t *rapid.T, name string) float64 {
	return rapid.Float64Range(1e-6, 1e6).Draw(t, name)
}

// atLeastZero draws a number that is often 0.
func atLeastZero(t *rapid.T, name string) float64 {
	return rapid.OneOf(rapid.Just(0.0), rapid.Float64Range(1e-6, 1e6)).Draw(t, name)
}

func word(t *rapid.T, name string, words ...string) string {
	return rapid.SampledFrom(words).Draw(t, name)
}

// drawn draws a study that can be run.
func drawn(t *rapid.T) studyfile.File {
	f := studyfile.New(rapid.SampledFrom([]studyfile.Kind{studyfile.Logistic, studyfile.Linear, studyfile.Network}).Draw(t, "kind"))
	f.Name = rapid.StringMatching(`[a-zA-Zäöü:#'"&*-][a-z :#'"-]{0,20}[a-z0-9]`).Draw(t, "name")
	network := f.Model.Kind == studyfile.Network
	text := rapid.StringMatching(`[a-z:#'" ~0-9.-]{0,8}[a-z0-9]`)

	d := &f.Data
	d.Label = text.Draw(t, "label")
	d.Missing = word(t, "missing", "error", "drop", "mean")
	d.Comma = word(t, "comma", "", "tab", ";", ":", "#", " ")
	if columns := rapid.SliceOfN(text, 1, 5).Draw(t, "columns"); rapid.Bool().Draw(t, "listed") {
		d.Features = columns
	} else {
		d.Drop, d.FeatureCount = columns, rapid.IntRange(0, 100).Draw(t, "count")
	}
	switch {
	case f.Model.Kind == studyfile.Linear || network && rapid.Bool().Draw(t, "number"):
		d.Target = "number"
		d.TargetBound = atLeastZero(t, "target bound")
	case network:
		d.ClassCount = rapid.IntRange(2, 5).Draw(t, "classes")
	default:
		d.Classes = rapid.SampledFrom([][]string{nil, {"no", "yes"}, {"2", "4"}, {"null", "true"}}).Draw(t, "classes")
	}

	f.Preprocessing.Clip = positive(t, "clip")
	f.Training.Batch = rapid.IntRange(0, 100).Draw(t, "batch")
	f.Training.Rate = positive(t, "rate")
	f.Training.L2 = atLeastZero(t, "l2")
	f.Training.Seed = rapid.Uint64().Draw(t, "seed")
	f.Training.Schedule.Decay = atLeastZero(t, "decay")
	if f.Training.Steps, f.Training.Epochs = rapid.IntRange(1, 1000).Draw(t, "steps"), 0; rapid.Bool().Draw(t, "epochs") {
		f.Training.Epochs, f.Training.Steps = f.Training.Steps, 0
	}
	f.Parties.Count, f.Parties.Fanout = rapid.IntRange(2, 9).Draw(t, "parties"), rapid.IntRange(1, 9).Draw(t, "fanout")
	if rapid.Bool().Draw(t, "roster") {
		for i := range f.Parties.Count {
			f.Parties.Roster = append(f.Parties.Roster, studyfile.Member{Name: fmt.Sprint(i), Rows: i})
		}
	}
	f.Hosts.Mbit, f.Hosts.Latency = positive(t, "mbit"), atLeastZero(t, "latency")
	f.Crypto.Attacker = word(t, "attacker", "classical", "quantum")
	f.Crypto.FloodingBits = rapid.IntRange(30, 80).Draw(t, "flooding")
	f.Crypto.MaxOutputNoise = atLeastZero(t, "output noise")
	if !network || rapid.Bool().Draw(t, "queriers") {
		f.Opening.Queriers = []studyfile.Querier{{Name: "q-1", Rows: rapid.IntRange(1, 1e9).Draw(t, "rows")}}
	}
	if rapid.Bool().Draw(t, "simulate") {
		f.Simulate = studyfile.NewSimulate()
		f.Simulate.Partition = word(t, "partition", "even", "skewed", "label", "column:a b")
		f.Simulate.TestFraction = rapid.Float64Range(0.01, 0.99).Draw(t, "test")
		f.Simulate.Insecure = rapid.Bool().Draw(t, "insecure")
		f.Simulate.Cores = rapid.IntRange(0, 8).Draw(t, "cores")
	}
	if network {
		drawNetwork(t, &f)
	} else {
		f.Model.Loss.Bound = rapid.Float64Range(1, 20).Draw(t, "loss bound")
	}
	return f.WithDefaults()
}

// drawNetwork draws what only networks have.
func drawNetwork(t *rapid.T, f *studyfile.File) {
	for range rapid.IntRange(0, 3).Draw(t, "layers") {
		l := studyfile.NewLayer(rapid.IntRange(1, 99).Draw(t, "units"))
		l.Activation = word(t, "activation", nn.ActivationNames()...)
		l.Bound = rapid.Float64Range(1, 8).Draw(t, "bound")
		l.Gain = atLeastZero(t, "gain")
		l.Fit = word(t, "fit", "least-squares", "minimax")
		f.Model.Hidden = append(f.Model.Hidden, l)
		f.Training.LayerRates = append(f.Training.LayerRates, positive(t, "layer rate"))
	}
	f.Training.LayerRates = append(f.Training.LayerRates, 1)
	if f.Data.Target == "class" {
		f.Model.Loss.Name = word(t, "loss", "squared", "logistic")
	}
	f.Model.OutputGain = positive(t, "output gain")
	switch word(t, "scale", "unit", "floor", "neither") {
	case "unit":
		f.Preprocessing.Unit = positive(t, "unit")
	case "floor":
		f.Preprocessing.Floor = positive(t, "floor")
	}
	if f.Training.Momentum = rapid.Float64Range(0, 0.99).Draw(t, "momentum"); f.Training.Momentum > 0 {
		f.Training.Nesterov = rapid.Bool().Draw(t, "nesterov")
	}
	f.Training.Schedule.Warmup = rapid.IntRange(0, 9).Draw(t, "warmup")
	f.Training.Schedule.Power = atLeastZero(t, "power")
	f.Hosts.Memory = float64(rapid.IntRange(0, 64).Draw(t, "memory"))
	f.Crypto.MaxWeightError = positive(t, "weight error")
}

// parsed reads a file that has no violation.
func parsed(t require.TestingT, b []byte) studyfile.File {
	f, err := studyfile.Parse("s.yaml", b)
	require.NoError(t, err, string(b))
	return f
}

func TestParseReadsWhatMarshalWrites(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := drawn(t)
		b, err := f.Marshal()
		require.NoError(t, err)
		require.Equal(t, f, parsed(t, b), string(b))
	})
}

// respell returns another spelling of a file: keys in another order, fields that have
// their default left out, comments, quotes and flow style.
func respell(n, plain *yaml.Node, rng *rand.Rand) {
	if rng.IntN(2) == 0 {
		n.HeadComment = "# " + strings.Repeat("rate: 3 ", rng.IntN(3)) + "\n"
	}
	if n.Kind == yaml.ScalarNode && n.Tag == "!!str" {
		n.Style = []yaml.Style{0, yaml.DoubleQuotedStyle, yaml.SingleQuotedStyle}[rng.IntN(3)]
	}
	var pairs [][2]*yaml.Node
	for i := 0; n.Kind == yaml.MappingNode && i < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		other := child(plain, key.Value)
		if other != nil && other.Kind != yaml.MappingNode && text(other) == text(value) && rng.IntN(2) == 0 {
			continue
		}
		respell(value, other, rng)
		pairs = append(pairs, [2]*yaml.Node{key, value})
	}
	if n.Kind == yaml.MappingNode {
		rng.Shuffle(len(pairs), func(i, j int) { pairs[i], pairs[j] = pairs[j], pairs[i] })
		n.Content = nil
		for _, p := range pairs {
			n.Content = append(n.Content, p[0], p[1])
		}
		if len(pairs) > 0 && rng.IntN(4) == 0 {
			n.Style = yaml.FlowStyle
		}
		return
	}
	for _, c := range n.Content {
		respell(c, nil, rng)
	}
}

func child(n *yaml.Node, key string) *yaml.Node {
	for i := 0; n != nil && n.Kind == yaml.MappingNode && i < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

func text(n *yaml.Node) string {
	b, _ := yaml.Marshal(n)
	return string(b)
}

// The order of keys, comments, quotes and explicit defaults change neither the study
// nor its canonical form; settings of simulations change the study, but not its hash;
// anything else changes both.
func TestSpellingsShareTheCanonicalForm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := drawn(t)
		b, err := f.Marshal()
		require.NoError(t, err)
		var doc, plain yaml.Node
		require.NoError(t, yaml.Unmarshal(b, &doc))
		defaults, err := studyfile.New(f.Model.Kind).Marshal()
		require.NoError(t, err)
		require.NoError(t, yaml.Unmarshal(defaults, &plain))
		for _, key := range []string{"steps", "epochs"} { // each replaces the default of the other
			child(child(plain.Content[0], "training"), key).Value = "-1"
		}
		for _, key := range []string{"version", "model"} { // no default
			child(plain.Content[0], key).Kind = 0
		}
		respell(doc.Content[0], plain.Content[0], rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "order"), 0)))
		var again bytes.Buffer
		require.NoError(t, yaml.NewEncoder(&again).Encode(&doc))
		g := parsed(t, again.Bytes())
		require.Equal(t, f, g, again.String())
		require.Equal(t, f.Canonical(), g.Canonical())
		require.Equal(t, f.Hash(), g.Hash())
		require.Empty(t, studyfile.Differences(f, g))

		g.Simulate = studyfile.NewSimulate()
		g.Simulate.Cores = 77
		require.Equal(t, f.Hash(), g.Hash())
		require.NotEmpty(t, studyfile.Differences(f, g))
		g.Training.Rate++
		require.NotEqual(t, f.Hash(), g.Hash())
	})
}

// A study goes to the packages that run it and back: what is lost is names, the number
// of features and what a simulation does not ask for.
func TestConversionsAreInverse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := drawn(t)
		var g studyfile.File
		if f.Model.Kind == studyfile.Network {
			c, err := f.Network()
			require.NoError(t, err)
			g, err = studyfile.FromNetwork(c, f.Columns())
			require.NoError(t, err)
			again, err := g.Network()
			require.NoError(t, err)
			c.Partition, again.Partition = "", ""
			require.Equal(t, fmt.Sprintf("%+v", c), fmt.Sprintf("%+v", again))
			for i, l := range f.Model.Hidden { // gains that suit the activation are numbers now
				if l.Gain == 0 {
					g.Model.Hidden[i].Gain = 0
				}
				if c.Hidden[i].Activation.Criterion() == nn.LeastSquares {
					f.Model.Hidden[i].Fit = "least-squares"
				}
			}
		} else {
			c, err := f.Regression()
			require.NoError(t, err)
			g, err = studyfile.FromRegression(c, f.Columns())
			require.NoError(t, err)
			again, err := g.Regression()
			require.NoError(t, err)
			require.Equal(t, c, again)
		}
		require.Equal(t, f.Columns(), g.Columns())
		f.Parties.Roster, f.Data.FeatureCount = nil, len(f.Data.Features)
		for i := range f.Opening.Queriers {
			f.Opening.Queriers[i].Name = "querier"
		}
		if f.Simulate == nil {
			f.Simulate = studyfile.NewSimulate()
		}
		require.Empty(t, studyfile.Differences(f.WithDefaults(), g))
		b, err := g.Marshal()
		require.NoError(t, err)
		require.Equal(t, g, parsed(t, b))
	})
}

// What no file says is refused rather than dropped.
func TestInexpressible(t *testing.T) {
	_, err := studyfile.FromRegression(study.Default(), dataset.Schema{Label: "y"})
	require.ErrorIs(t, err, studyfile.ErrInexpressible)
	require.ErrorContains(t, err, "set Predict")
	_, err = studyfile.FromNetwork(study.NetworkConfig{Layout: nn.Layout{InputBaby: 2}}, dataset.Schema{})
	require.ErrorIs(t, err, studyfile.ErrInexpressible)
	_, err = studyfile.FromNetwork(study.NetworkConfig{LogN: 10}, dataset.Schema{})
	require.ErrorIs(t, err, studyfile.ErrInexpressible)

	f := studyfile.New(studyfile.Network)
	_, err = f.Regression()
	require.ErrorIs(t, err, studyfile.ErrFile)
	f.Model.Kind = studyfile.Linear
	_, err = f.Network()
	require.ErrorIs(t, err, studyfile.ErrFile)
}

// Several queriers: a simulation plays the one who may have most.
func TestQueriers(t *testing.T) {
	f := parsed(t, []byte(layered+"opening: {queriers: [{name: a, rows: 3}, {name: b, rows: 7}, {name: c, rows: 5}]}\n"))
	c, err := f.Network()
	require.NoError(t, err)
	require.Equal(t, 7, c.Predict)
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{least, layered, string(studyfile.Example(studyfile.Logistic)), string(studyfile.Example(studyfile.Network)), "a: &a [*a]", "[[[", "? {}\n: -0"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := studyfile.Parse("s.yaml", b)
		if err != nil {
			require.ErrorIs(t, err, studyfile.ErrFile)
			require.Zero(t, s)
			return
		}
		if _, err = s.Regression(); s.Model.Kind == studyfile.Network {
			_, err = s.Network()
		}
		require.NoError(t, err)
		require.NoError(t, s.Columns().Check())
		out, err := s.Marshal()
		require.NoError(t, err)
		require.Equal(t, s, parsed(t, out))
		require.Equal(t, s.Canonical(), parsed(t, s.Canonical()).Canonical(), "the canonical form is a file")
	})
}
