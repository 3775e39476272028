// Package studyfile reads and writes study files: one YAML file that says what a
// study is, for simulations, processes on one machine and nodes on separate hosts
// alike.
//
// [Parse] is strict: unknown and repeated fields, values of another type or out of
// range, anchors, aliases, tags and further documents are refused, all violations
// at once, each a [Violation] with line and field. What it returns has every default
// filled in, so that two spellings of a study are equal values with one
// [File.Canonical] form and one [File.Hash].
//
// [File.Regression], [File.Network] and [File.Columns] convert to the packages
// that run a study; [FromRegression] and [FromNetwork] convert back. Nothing else
// translates between the two.
//
// [Invite], [Join], [Lock] and [Locked] are how separate parties come to the terms of a
// file, on documents of package roster: what follows from the study is computed by
// everybody, and never taken from the founder.
//
// The types below are the format. Their tags are the only place that says what a
// field is called, what it may hold and what it means: the parser, the JSON schema
// ([JSONSchema], docs/study.schema.json) and the reference (docs/study.md) read them.
package studyfile

// Version is the version of the format that this package reads and writes.
const Version = 1

// A Kind is a kind of model.
type Kind string

// The kinds of models.
const (
	Logistic Kind = "logistic" // logistic regression: two classes
	Linear   Kind = "linear"   // linear regression: least squares
	Network  Kind = "network"  // multilayer perceptron
)

// A File is what a study file says. Make one with [Parse] or [New].
type File struct {
	Version       int           `json:"version" want:"[1,1]" need:"true" doc:"version of the format"`
	Name          string        `json:"name" want:"title" need:"true" doc:"what the study is called; part of its identity"`
	Model         Model         `json:"model" need:"true" doc:"what is trained"`
	Data          Data          `json:"data" doc:"what the columns of the parties' files are for"`
	Preprocessing Preprocessing `json:"preprocessing" doc:"how features are scaled, with moments of all parties' rows that are computed under encryption"`
	Training      Training      `json:"training" doc:"how it is trained"`
	Parties       Parties       `json:"parties" need:"true" doc:"the data owners"`
	Hosts         Hosts         `json:"hosts" doc:"what every party's host is expected to have; the plan is chosen for it"`
	Crypto        Crypto        `json:"crypto" doc:"wishes for security and precision; the planner finds parameters that meet them"`
	Opening       Opening       `json:"opening" doc:"the opening policy: who may have what decrypted"`
	Simulate      *Simulate     `json:"simulate,omitempty" doc:"settings of simulations only; no part of the study's hash"`
}

// A Model says what is trained.
type Model struct {
	Kind       Kind    `json:"kind" want:"logistic|linear|network" need:"true" doc:"logistic regression of two classes, linear regression of a number, or a network of several layers for either"`
	Hidden     []Layer `json:"hidden" only:"network" most:"64" doc:"hidden layers, the first one first; none makes a linear model"`
	Outputs    int     `json:"outputs" want:"[0,65536]" doc:"1 for two classes or a number, else one for each class; 0 for what the classes say"`
	OutputGain float64 `json:"output_gain" only:"network" want:"(0,inf)" doc:"initial weights of the outputs have the variance gain/inputs"`
	Loss       Loss    `json:"loss" doc:"what training makes small"`
}

// A Layer is a hidden layer.
type Layer struct {
	Units      int     `json:"units" want:"[1,65536]" need:"true" doc:"units of the layer"`
	Activation string  `json:"activation" want:"activation" doc:"activation function, computed as a polynomial"`
	Degree     int     `json:"degree" want:"[0,9]" doc:"degree of the polynomial; 0 for 2 or 3, as suits the function"`
	Bound      float64 `json:"bound" want:"(0,inf)" doc:"arguments are expected in [-bound, bound], on which the polynomial is fitted"`
	Fit        string  `json:"fit" want:"least-squares|minimax" doc:"what the polynomial makes smallest on the interval: the mean squared distance or the largest"`
	Gain       float64 `json:"gain" want:"[0,inf)" doc:"initial weights have the variance gain/inputs; 0 for what suits the activation"`
}

// A Loss is what training makes small.
type Loss struct {
	Name   string  `json:"name" want:"squared|logistic" doc:"squared error, or cross-entropy of a sigmoid at every output; the kinds logistic and linear have their own"`
	Degree int     `json:"degree" want:"[0,7]" doc:"degree of the polynomial in place of the sigmoid: 1, 3, 5 or 7; 0 for 3; 1 for the squared error, which needs none"`
	Bound  float64 `json:"bound" want:"[0,inf)" doc:"outputs are expected in [-bound, bound]; of a network, 0 stands for 3 with the squared loss and 8 with the logistic one"`
}

// Data says what the columns of the parties' files are for.
type Data struct {
	Format       string   `json:"format" want:"csv|idx" doc:"text files with a row per sample and separated columns, or images and labels in idx files"`
	Label        string   `json:"label" want:"column" doc:"the label column, by name or by index from 0 (-1 is the last); csv only, and needed there"`
	Features     []string `json:"features" want:"column" doc:"feature columns, by name or index, in the order that all parties use; none for all others, in the order of the file"`
	Drop         []string `json:"drop" want:"column" doc:"columns to leave out, in place of a list of features"`
	FeatureCount int      `json:"feature_count" want:"[0,1048576]" doc:"number of features, which a plan without data needs; the length of the list of features where there is one; 0 for not said"`
	Target       string   `json:"target" want:"class|number" doc:"what the label is; linear regression predicts a number, logistic regression a class"`
	Classes      []string `json:"classes" want:"column" doc:"texts of the label that mean 0, 1, 2, …; none for whole numbers from 0"`
	ClassCount   int      `json:"class_count" want:"[0,65536]" doc:"number of classes; 0 for that of the list, or 2"`
	TargetBound  float64  `json:"target_bound" want:"[0,inf)" doc:"public bound of the absolute value of a number; 0 lets a simulation take the largest and list it as opened"`
	Missing      string   `json:"missing" want:"error|drop|mean" doc:"missing feature values: refuse the file, leave out the row, or take the mean of the party's column"`
	Comma        string   `json:"comma" want:"comma" doc:"separator of columns: one character or the word tab; empty to detect it"`
}

// Preprocessing says how features are scaled.
type Preprocessing struct {
	Clip  float64 `json:"clip" want:"(0,inf)" doc:"scaled features are cut at ±clip"`
	Unit  float64 `json:"unit" only:"network" want:"[0,inf)" doc:"number that centred features are divided by; 0 for the standard deviation of each (for idx without a floor: 0.5)"`
	Floor float64 `json:"floor" only:"network" want:"[0,inf)" doc:"number added to standard deviations, so that columns that hardly vary, or are constant, stay small"`
}

// Training says how the model is trained.
type Training struct {
	Steps      int       `json:"steps" want:"[0,1000000]" doc:"training steps; give steps or epochs"`
	Epochs     int       `json:"epochs" want:"[0,1000000]" doc:"passes over the rows, of the party with most of them"`
	Batch      int       `json:"batch" want:"[0,16777216]" doc:"rows of every party in a step; 0 for as many as fit, or as the smallest party has"`
	Rate       float64   `json:"rate" want:"(0,inf)" doc:"learning rate"`
	LayerRates []float64 `json:"layer_rates" only:"network" want:"(0,inf)" doc:"factors of the rate by layer, that of the outputs included; none for 1"`
	Momentum   float64   `json:"momentum" only:"network" want:"[0,1)" doc:"momentum"`
	Nesterov   bool      `json:"nesterov" only:"network" doc:"Nesterov's method; costs a level"`
	L2         float64   `json:"l2" want:"[0,inf)" doc:"weight decay of all but biases: the ridge penalty"`
	Schedule   Schedule  `json:"schedule" doc:"change of the learning rate over the steps"`
	Seed       uint64    `json:"seed" want:"[0,inf)" doc:"public number that fixes initial weights and the order of rows, and in simulations split, partition and synthetic data; never the cryptography"`
}

// A Schedule changes the learning rate over the steps.
type Schedule struct {
	Warmup int     `json:"warmup" only:"network" want:"[0,1000000]" doc:"steps over which the rate rises to its value"`
	Power  float64 `json:"power" only:"network" want:"[0,inf)" doc:"the rate falls as (1 - step/steps)^power; 1 for linearly, 0 for not"`
	Decay  float64 `json:"decay" want:"[0,inf)" doc:"step k, counted from 0, learns at rate/(1 + decay·k)"`
}

// Parties are the data owners.
type Parties struct {
	Count  int      `json:"count" want:"[0,65535]" doc:"number of parties, 2 or more; 0 for the length of the roster"`
	Roster []Member `json:"roster" doc:"the parties by name, in the order of their places in the tree, the root first; may wait until they are known"`
	Fanout int      `json:"fanout" want:"[0,65535]" doc:"children per inner node of the trees that join the parties; of a network, 0 puts every party under every other's root"`
}

// A Member is a party of the roster.
type Member struct {
	Name string `json:"name" want:"name" need:"true" doc:"name of the party, as in its identity"`
	Rows int    `json:"rows" want:"[0,1099511627776]" doc:"number of its rows, if it is public; 0 keeps it secret"`
}

// Hosts says what every party's host is expected to have.
type Hosts struct {
	Mbit    float64 `json:"mbit_per_second" want:"(0,inf)" doc:"bandwidth in Mbit/s"`
	Latency float64 `json:"latency_ms" want:"[0,inf)" doc:"latency to its neighbours, one way, in milliseconds"`
	Memory  float64 `json:"memory_gib" only:"network" want:"[0,1048576]" doc:"memory for the study in GiB; 0 for no limit"`
}

// Crypto is wishes for security and precision.
type Crypto struct {
	SecurityBits   int     `json:"security_bits" want:"[128,128]" doc:"computational security in bits"`
	Attacker       string  `json:"attacker" want:"classical|quantum" doc:"what the computational security is against; quantum is slower"`
	FloodingBits   int     `json:"flooding_bits" want:"[30,80]" doc:"statistical security of opened values in bits"`
	MaxOutputNoise float64 `json:"max_output_noise" want:"[0,inf)" doc:"largest standard deviation of an opened output with which the study starts; 0 for a tenth of the bound of targets, which is 1 for classes"`
	MaxWeightError float64 `json:"max_weight_error" only:"network" want:"(0,inf)" doc:"largest standard deviation of a weight's error after training"`
}

// Opening is the opening policy.
type Opening struct {
	Queriers []Querier `json:"queriers" doc:"who may have predictions: needed for logistic and linear regression; a network without any stays encrypted"`
}

// A Querier may have predictions.
type Querier struct {
	Name string `json:"name" want:"name" need:"true" doc:"name of the querier, who need not be a party"`
	Rows int    `json:"rows" want:"[1,1099511627776]" need:"true" doc:"rows that it may have predicted, in all"`
	// Requests is 0 for as few as hold the rows.
	Requests int `json:"requests" want:"[0,1048576]" doc:"requests in which it may ask for them: one that asks for few rows at a time needs more of them, and every one adds to the noise of all outputs; 0 for as few as hold the rows"`
}

// Simulate is settings of simulations only: a study of separate parties has no use
// for them.
type Simulate struct {
	Partition    string  `json:"partition" want:"partition" doc:"how rows are dealt to parties: even, skewed (party i gets a share like 1/i), label (sorted by label), column:NAME (sorted by a feature)"`
	TestFraction float64 `json:"test_fraction" want:"(0,1)" doc:"share of the rows kept back for the test"`
	Insecure     bool    `json:"insecure" doc:"NO SECURITY AT ALL: a toy ring that runs in seconds"`
	Cores        int     `json:"cores" want:"[0,65536]" doc:"parties that compute at the same time; 0 for all cores of the machine"`
}

// New returns a study of a kind with the defaults of every field that has one of its
// own; [File.WithDefaults] adds those that follow from other fields. It has no name,
// no label, no parties and no queriers.
func New(kind Kind) File {
	f := File{
		Version:       Version,
		Model:         Model{Kind: kind, OutputGain: 1},
		Data:          Data{Format: "csv", Target: "class", Missing: "error"},
		Preprocessing: Preprocessing{Clip: 8},
		Training:      Training{Epochs: 30, Rate: 1, L2: 0.03, Seed: 2},
		Parties:       Parties{Fanout: 3},
		Hosts:         Hosts{Mbit: 1000, Latency: 20},
		Crypto:        Crypto{SecurityBits: 128, Attacker: "classical", FloodingBits: 30, MaxWeightError: 1e-3},
	}
	switch kind {
	case Logistic:
		f.Model.Loss = Loss{Name: "logistic", Degree: 3, Bound: 12}
	case Linear:
		f.Model.Loss = Loss{Name: "squared", Degree: 1, Bound: 12}
		f.Data.Target = "number"
	case Network:
		f.Model.Loss.Name = "squared"
		f.Preprocessing.Clip = 4
		f.Training = Training{Steps: 20, Rate: 0.2, Seed: 2}
		f.Parties.Fanout = 0
	}
	return f
}

// NewLayer returns a hidden layer with the defaults of every field that has one.
func NewLayer(units int) Layer {
	return Layer{Units: units, Activation: "cubic", Bound: 3, Fit: "least-squares"}
}

// NewSimulate returns the settings of simulations that hold where a file has none.
func NewSimulate() *Simulate { return &Simulate{Partition: "even", TestFraction: 0.2} }

// degrees are the degrees that suit the activations: those of fitted functions cost
// two levels at most.
var degrees = map[string]int{
	"sigmoid": 3, "tanh": 3, "softplus": 2, "relu": 2, "silu": 2,
	"square": 2, "identity": 1, "cubic": 3,
}

// WithDefaults returns f with the defaults that follow from other fields in place of
// zeros that stand for them. A file that [Parse] returns has them already.
func (f File) WithDefaults() File {
	m, d, t, p := &f.Model, &f.Data, &f.Training, &f.Parties
	or := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	m.Hidden = append([]Layer{}, m.Hidden...)
	for i := range m.Hidden {
		or(&m.Hidden[i].Degree, degrees[m.Hidden[i].Activation])
	}
	if d.Target == "class" {
		or(&d.ClassCount, max(2, len(d.Classes)))
	}
	if d.Target == "class" && d.ClassCount > 2 {
		or(&m.Outputs, d.ClassCount)
	}
	or(&m.Outputs, 1)
	if m.Kind == Network {
		degree, bound := 1, 3.0
		if m.Loss.Name == "logistic" {
			degree, bound = 3, 8
		}
		if or(&m.Loss.Degree, degree); m.Loss.Bound == 0 {
			m.Loss.Bound = bound
		}
	}
	or(&d.FeatureCount, len(d.Features))
	if d.Format == "idx" && f.Preprocessing.Unit == 0 && f.Preprocessing.Floor == 0 {
		f.Preprocessing.Unit = imageUnit
	}
	if or(&p.Count, len(p.Roster)); m.Kind == Network && p.Count > 0 {
		or(&p.Fanout, max(1, p.Count-1))
	}
	d.Features, d.Drop, d.Classes = filled(d.Features), filled(d.Drop), filled(d.Classes)
	t.LayerRates, p.Roster, f.Opening.Queriers = filled(t.LayerRates), filled(p.Roster), filled(f.Opening.Queriers)
	if f.Simulate != nil {
		s := *f.Simulate
		f.Simulate = &s
	}
	return f
}

// filled returns a copy that is not nil: an empty list has one form.
func filled[T any](list []T) []T { return append(make([]T, 0, len(list)), list...) }

// imageUnit is what centred grey levels between 0 and 1 are divided by: those of
// handwritten digits have a standard deviation of 0.31.
const imageUnit = 0.5

// Rows returns the rows that the most demanding querier may have predicted.
func (o Opening) Rows() int {
	most := 0
	for _, q := range o.Queriers {
		most = max(most, q.Rows)
	}
	return most
}
