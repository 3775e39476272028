package study

import (
	"maps"
	"slices"
	"time"

	"github.com/nereid-mhe/nereid/nn"
	"github.com/nereid-mhe/nereid/params"
)

// A Report is the outcome of a study. Its JSON form is a contract.
type Report struct {
	Parties    int `json:"parties"`
	Fanout     int `json:"fanout"`
	Depth      int `json:"tree_depth"`
	Samples    int `json:"samples"`  // rows of training and test together
	Train      int `json:"train"`    // rows of all parties
	Test       int `json:"test"`     // rows of the querier
	Features   int `json:"features"` // without the bias
	Iterations int `json:"iterations"`
	Refreshes  int `json:"refreshes_iteration"`

	Accuracy *Accuracy `json:"accuracy,omitempty"` // of a classification, on the test rows
	RMSE     *Accuracy `json:"rmse,omitempty"`     // of a regression, on the test rows

	// Verification is what no real study can do: with all shares in one process
	// the weights are opened and held against the clear twin.
	MaxWeightDiff float64      `json:"max_weight_diff"`
	Verification  Verification `json:"verification"`

	Seconds  Seconds  `json:"seconds"`
	Bytes    Bytes    `json:"bytes"`
	Crypto   Crypto   `json:"crypto"`
	Openings []Opened `json:"openings"`
}

// Accuracy compares models on the test rows: the fraction of right classes, or
// the root mean squared error.
type Accuracy struct {
	Encrypted float64 `json:"encrypted"`  // from the predictions opened to the querier
	ClearTwin float64 `json:"clear_twin"` // the same training in the clear
	Exact     float64 `json:"exact"`      // pooled rows, exact sigmoid
	LocalOnly float64 `json:"local_only"` // mean over the parties' own models
}

// Verification holds the comparison of opened weights with the clear twin.
type Verification struct {
	Note            string  `json:"note"`
	MaxWeight       float64 `json:"max_weight"`      // largest weight met in training
	MaxOutput       float64 `json:"max_output"`      // largest |z| met in training
	MaxOutputDiff   float64 `json:"max_output_diff"` // of opened predictions against the clear twin's, with flooding
	WeightErr       float64 `json:"weight_error"`    // measured, root mean square
	WeightErrPlan   float64 `json:"weight_error_plan"`
	OutputNoise     float64 `json:"output_noise"` // standard deviation of an opened output, with flooding
	OutputNoisePlan float64 `json:"output_noise_plan"`
}

// Seconds are times of compute, and of the modelled network.
type Seconds struct {
	Setup              float64            `json:"setup"`                // wall time of keys and standardisation in this process
	IterationPartyP50  float64            `json:"iteration_party_p50"`  // median compute of a party in a step
	IterationWallModel float64            `json:"iteration_wall_model"` // modelled wall time of a step on separate hosts
	TrainingWallModel  float64            `json:"training_wall_model"`
	Prediction         float64            `json:"prediction"`  // wall time in this process
	Total              float64            `json:"total"`       // wall time in this process
	PartyPhase         map[string]float64 `json:"party_phase"` // mean compute of a party by phase, whole study
}

// Bytes are bytes sent by a party: the largest over the parties.
type Bytes struct {
	SetupParty     int64            `json:"setup_party"`
	IterationParty int64            `json:"iteration_party"`
	PartyPhase     map[string]int64 `json:"party_phase"` // whole study
}

// Crypto are the parameters that matter for security.
type Crypto struct {
	LogN         int     `json:"log_n"`
	LogQP        float64 `json:"log_qp"`
	SecurityBits int     `json:"security_bits"` // a floor; 0 for toy parameters
	MaskBits     int     `json:"mask_bits"`     // of a refresh mask
	Lambda       int     `json:"mask_security"` // bits by which masks exceed what they hide
	Flooding     int     `json:"flooding_bits"`
	LogScale     int     `json:"log_scale"`
	GaloisKeys   int     `json:"galois_keys"`
	Insecure     bool    `json:"insecure"`
}

// Opened is a value that left encryption.
type Opened struct {
	What     string `json:"what"`
	To       string `json:"to"`
	Values   int    `json:"values"`
	Flooding int    `json:"flooding_bits"`
}

// cryptoOf describes a parameter set.
func cryptoOf(set params.Set, galois, flooding int) Crypto {
	return Crypto{
		LogN: set.LogN(), LogQP: set.LogQP(), SecurityBits: set.SecurityBits(), MaskBits: set.MaskBits(),
		Lambda: set.Lambda(), Flooding: flooding, LogScale: set.LogScale(), GaloisKeys: galois, Insecure: !set.Secure(),
	}
}

// median returns the middle value, or the mean of the two middle ones.
func median(v []time.Duration) time.Duration {
	if len(v) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(v))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// phases sums up what the parties spent and sent.
func phases(parties []*party) (seconds map[string]float64, bytes map[string]int64) {
	seconds, bytes = map[string]float64{}, map[string]int64{}
	for _, p := range parties {
		for k, d := range p.spent {
			seconds[k] += d.Seconds() / float64(len(parties))
		}
		for k, n := range p.sent {
			bytes[k] = max(bytes[k], n)
		}
	}
	return seconds, bytes
}

// snapshot returns a copy of the times spent so far.
func (p *party) snapshot() map[string]time.Duration { return maps.Clone(p.spent) }

// A lap is one party's compute in one step.
type lap struct{ local, combine, reduce time.Duration }

func (l lap) total() time.Duration { return l.local + l.combine + l.reduce }

// wallModel returns the modelled wall time of a step: the slowest party of every
// phase, and the network's legs.
func (t *terms) wallModel(laps []lap, gradient, down, share, result int) time.Duration {
	var slowest lap
	for _, l := range laps {
		slowest.local = max(slowest.local, l.local)
		slowest.combine = max(slowest.combine, l.combine)
		slowest.reduce = max(slowest.reduce, l.reduce)
	}
	d := slowest.total()
	for _, bytes := range []int{gradient, down, share, result} {
		d += t.cfg.Link.leg(bytes, t.tree.Depth(), t.cfg.Fanout)
	}
	return d
}

// leg returns the time of a message of the given size to travel the depth of a
// tree, in either direction: on every level one latency, and the bytes of all
// children through the parent's link.
func (l Link) leg(bytes, depth, fanout int) time.Duration {
	perLevel := l.Latency/1e3 + 8*float64(bytes*fanout)/(l.Mbit*1e6)
	return time.Duration(float64(depth) * perLevel * float64(time.Second))
}

// outputs returns the model's outputs for rows in the clear.
func outputs(w []float64, rows [][]float64) []float64 {
	z := make([]float64, len(rows))
	for i, row := range rows {
		z[i] = nn.Output(w, row)
	}
	return z
}
