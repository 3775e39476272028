package study

import (
	"math"
	"slices"
	"time"

	"github.com/nereid-mhe/nereid/nn"
)

// A NetworkReport is the outcome of a study of a network. Its JSON form is a
// contract.
type NetworkReport struct {
	Parties    int   `json:"parties"`
	Fanout     int   `json:"fanout"`
	Layers     []int `json:"layers"` // features, units of every layer
	Train      int   `json:"train"`
	Test       int   `json:"test"`
	Iterations int   `json:"iterations"`
	Batch      int   `json:"batch_party"`
	Refreshes  int   `json:"refreshes_iteration"` // of a party's own tensors; every one needs all parties
	Parts      int   `json:"update_parts_iteration"`

	Accuracy *Accuracy `json:"accuracy,omitempty"`
	RMSE     *Accuracy `json:"rmse,omitempty"`

	MaxWeightDiff     float64        `json:"max_weight_diff"`
	MaxWeightDiffStep []float64      `json:"max_weight_diff_step"` // by step
	Verification      NetVerify      `json:"verification"`
	Seconds           NetworkSeconds `json:"seconds"`
	Bytes             Bytes          `json:"bytes"`
	Crypto            NetworkCrypto  `json:"crypto"`
	Openings          []Opened       `json:"openings"`
	Prediction        *Prediction    `json:"prediction,omitempty"`
}

// NetVerify holds the comparison of opened weights with the clear twin.
type NetVerify struct {
	Note          string             `json:"note"`
	WeightErrPlan float64            `json:"weight_error_plan"`
	WeightErr     float64            `json:"weight_error"` // root mean square
	MaxPoint      map[string]float64 `json:"max_at_refresh"`
	MaxWeight     float64            `json:"max_weight"`
}

// NetworkCrypto are the parameters that matter for security, and the keys.
type NetworkCrypto struct {
	Crypto
	ProductKeys int   `json:"product_keys"`
	KeyBytes    int64 `json:"key_bytes"`
}

// NetworkSeconds are times of compute, and of the modelled network.
//
// A party of its own has a core of its own, and what it computes in a step takes
// the processor time that the simulation takes by step and party: arithmetic,
// codecs, hashing, the collector, everything. That is IterationParty, and the wall
// time of a step is that and the network's. Where the system does not tell
// processor time, it is the median over steps and parties of the timed phases.
type NetworkSeconds struct {
	Setup              float64            `json:"setup"`
	IterationParty     float64            `json:"iteration_party"`
	IterationPhase     map[string]float64 `json:"iteration_party_phase"` // medians of wall time on a core: includes what other programs take
	IterationNetwork   float64            `json:"iteration_network_model"`
	IterationWallModel float64            `json:"iteration_wall_model"`
	TrainingWallModel  float64            `json:"training_wall_model"`
	Total              float64            `json:"total"` // wall time in this process
}

// A netLap is one party's compute in one step, by phase.
type netLap struct{ local, refresh, combine, reduce time.Duration }

func (l netLap) total() time.Duration { return l.local + l.refresh + l.combine + l.reduce }

// report compares the encrypted run with the clear ones.
func (s *NetworkSimulation) report() (NetworkReport, error) {
	n := s.net.Net
	r := NetworkReport{
		Parties: n.Parties, Fanout: s.cfg.Fanout, Layers: []int{n.Features}, Test: s.testing.Rows(),
		Iterations: n.Steps, Batch: n.Batch, Parts: len(s.net.Parts), Openings: s.openings, Prediction: s.prediction,
		MaxWeightDiff: slices.Max(s.diffs), MaxWeightDiffStep: s.diffs,
	}
	for _, h := range n.Hidden {
		r.Layers = append(r.Layers, h.Units)
	}
	r.Layers = append(r.Layers, n.Outputs)
	for _, t := range s.tables {
		r.Train += t.Rows()
	}
	for _, p := range s.net.Points {
		if !p.Skipped {
			r.Refreshes += s.net.Passes
		}
	}
	keys := s.parties[0].keys
	r.Crypto = NetworkCrypto{cryptoOf(s.set, keys.GaloisKeys(), s.cfg.Flooding), keys.ProductKeys(), int64(keys.Bytes())}
	s.score(&r)
	s.verify(&r)
	s.times(&r)
	return r, nil
}

// score fills in accuracies on the test rows.
func (s *NetworkSimulation) score(r *NetworkReport) {
	n := s.net.Net
	last := s.twin[len(s.twin)-1]
	a := &Accuracy{Encrypted: s.accuracy(s.trained, false), ClearTwin: s.accuracy(last, false), Exact: s.accuracy(nn.TrainExact(n, true, s.local...), true)}
	for _, d := range s.local {
		a.LocalOnly += s.accuracy(bestAlone(n, d), true) / float64(len(s.local))
	}
	if r.Accuracy = a; s.config.Regression {
		r.Accuracy, r.RMSE = nil, a
	}
}

// bestAlone trains on one party's rows, at the study's learning rate and at a half
// and a quarter of it, and returns what fits those rows best: the study's rate is
// chosen for the rows of all.
func bestAlone(n nn.Network, d nn.NetworkData) []nn.Affine {
	var best []nn.Affine
	least := math.Inf(1)
	rate := n.Optimiser.Rate
	for _, f := range []float64{1, 0.5, 0.25} {
		n.Optimiser.Rate = rate * f
		w := nn.TrainExact(n, true, d)
		loss := 0.0
		for i, row := range d.X {
			for j, z := range n.Output(w, row, true) {
				loss += (z - d.Y[i][j]) * (z - d.Y[i][j])
			}
		}
		if best == nil || loss < least {
			best = w
		}
		if loss < least {
			least = loss
		}
	}
	return best
}

// accuracy returns the fraction of right classes of a model on the test rows, or
// the root mean squared error of a regression.
func (s *NetworkSimulation) accuracy(w []nn.Affine, exact bool) float64 {
	n := s.net.Net
	right, square := 0.0, 0.0
	for i, row := range s.query {
		z := n.Output(w, row, exact)
		if n.Class(z) == int(s.testing.Y[i]) {
			right++
		}
		square += (z[0] - s.testing.Y[i]) * (z[0] - s.testing.Y[i])
	}
	if s.config.Regression {
		return math.Sqrt(square / float64(len(s.query)))
	}
	return right / float64(len(s.query))
}

func (s *NetworkSimulation) verify(r *NetworkReport) {
	last := s.twin[len(s.twin)-1]
	var got, want []float64
	for l := range last {
		got, want = append(got, s.trained[l].B...), append(want, last[l].B...)
		for k := range last[l].W {
			got, want = append(got, s.trained[l].W[k]...), append(want, last[l].W[k]...)
		}
	}
	r.Verification = NetVerify{
		Note:          "a simulation holds all shares and opens the weights to check and score them; separate parties cannot",
		WeightErrPlan: s.net.WeightErr, WeightErr: rmse(got, want), MaxWeight: s.watch.MaxWeight, MaxPoint: map[string]float64{},
	}
	for i, p := range s.net.Points {
		r.Verification.MaxPoint[p.Name] = s.watch.Points[i]
	}
}

// times fills in seconds and bytes.
func (s *NetworkSimulation) times(r *NetworkReport) {
	var parties []time.Duration
	phase := map[string][]time.Duration{}
	for _, laps := range s.laps {
		for _, l := range laps {
			parties = append(parties, l.total())
			for k, d := range map[string]time.Duration{phaseMap: l.local, phaseRefresh: l.refresh, phaseCombine: l.combine, phaseReduce: l.reduce} {
				phase[k] = append(phase[k], d)
			}
		}
	}
	party := s.cpu.Seconds() / float64(len(s.laps)*len(s.parties))
	if party == 0 {
		party = median(parties).Seconds()
	}
	network := s.net.Network(nn.Link{Mbit: s.cfg.Link.Mbit, Latency: s.cfg.Link.Latency}, s.cfg.Fanout).Seconds()
	r.Seconds = NetworkSeconds{
		Setup: s.setup.Seconds(), IterationParty: party, IterationPhase: map[string]float64{},
		IterationNetwork: network, IterationWallModel: party + network,
		TrainingWallModel: (party + network) * float64(len(s.laps)), Total: time.Since(s.started).Seconds(),
	}
	for k, d := range phase {
		r.Seconds.IterationPhase[k] = median(d).Seconds()
	}
	r.Bytes = Bytes{PartyPhase: map[string]int64{}}
	for _, p := range s.parties {
		for k, b := range p.sent {
			r.Bytes.PartyPhase[k] = max(r.Bytes.PartyPhase[k], b)
		}
		r.Bytes.SetupParty = max(r.Bytes.SetupParty, p.sent[phaseSetup])
		r.Bytes.IterationParty = max(r.Bytes.IterationParty, (p.sent[phaseRefresh]+p.sent[phaseCombine]+p.sent[phaseReduce])/int64(len(s.laps)))
	}
}
