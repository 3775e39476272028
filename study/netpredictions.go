package study

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/nn"
)

// Prediction is how the prediction of test rows went.
type Prediction struct {
	Rows        int     `json:"rows"`
	Right       float64 `json:"right"`        // fraction of right classes among opened predictions
	RightTwin   float64 `json:"right_twin"`   // of the clear twin, on the same rows
	SameAsTwin  float64 `json:"same_as_twin"` // fraction of classes that the clear twin gives too
	Noise       float64 `json:"noise"`        // of opened outputs, measured, root mean square
	NoisePlan   float64 `json:"noise_plan"`   // standard deviation
	LayoutParty float64 `json:"layout_party"` // seconds of compute of a party, once for a model
	BatchParty  float64 `json:"batch_party"`  // seconds of compute of a party for one batch
	SampleParty float64 `json:"sample_party"` // the same by row
	BatchWall   float64 `json:"batch_wall"`   // modelled, with the network
	BatchRows   int     `json:"batch_rows"`   // that one query holds
	BytesParty  int64   `json:"bytes_party"`  // of the busiest party, all rows
}

// predict is phase PREDICT: the querier's test rows.
func (s *NetworkSimulation) predict(ctx context.Context) error {
	rows := min(s.config.Predict, len(s.query))
	if rows == 0 {
		return nil
	}
	root := s.parties[s.tree.Root()]
	seed := s.seedOf(len(s.parties)) // after a restart the same query, and so the same answers
	q, err := s.admitted(root.enc, seed)
	if err != nil {
		return err
	}
	predictors := make([]*nn.Predictor, len(s.parties))
	err = s.all(ctx, func(ctx context.Context, p *netParty) (err error) {
		if predictors[p.id], err = nn.NewPredictor(ctx, s.net, timed{p.ev, p.party}, p, s.state); err != nil {
			return err
		}
		predictors[p.id].Frugal = true // there are many in this process
		return nil
	})
	if err != nil {
		return err
	}
	layout := s.spent(phasePredict, phaseMap)
	s.progress(Progress{Phase: "predict", Steps: rows})
	start := time.Now()
	var outputs [][]float64
	part := 0
	for batch := range slices.Chunk(s.query[:rows], s.net.Query.Rows) {
		ask, err := q.encrypt(root.keys.Encryption(), batch, seed, part)
		if err != nil {
			return err
		}
		b, err := q.queryForm().encode(ask)
		if err != nil {
			return err
		}
		var answer mhe.Tensor
		err = s.all(ctx, func(ctx context.Context, p *netParty) error {
			a, err := p.answer(ctx, predictors[p.id], b, part)
			if p.isRoot() {
				answer = a
			}
			return err
		})
		if err != nil {
			return err
		}
		slots, err := q.sk.Decrypt(q.enc, answer)
		if err != nil {
			return err
		}
		outputs = append(outputs, s.net.DecodeOutputs(slots, len(batch))...)
		part++
		s.progress(Progress{"predict", len(outputs), rows, time.Since(start)})
	}
	s.openings = append(s.openings, Opened{"outputs for test rows", querierName, rows * s.net.Net.Outputs, s.cfg.Flooding})
	return s.scorePredictions(outputs, layout, s.spent(phasePredict, phaseMap)-layout, part)
}

// spent returns the mean compute of a party in some phases.
func (s *NetworkSimulation) spent(phases ...string) time.Duration {
	var d time.Duration
	for _, p := range s.parties {
		for _, phase := range phases {
			d += p.snapshot()[phase]
		}
	}
	return d / time.Duration(len(s.parties))
}

func (s *NetworkSimulation) scorePredictions(outputs [][]float64, layout, compute time.Duration, batches int) error {
	noise, err := s.netOutputNoise(s.net)
	if err != nil {
		return err
	}
	n, twin := s.net.Net, s.twin[len(s.twin)-1]
	r := &Prediction{Rows: len(outputs), NoisePlan: noise, BatchRows: s.net.Query.Rows, LayoutParty: (layout - s.trainMap).Seconds()}
	square, count := 0.0, 0
	for i, z := range outputs {
		opened, clear, truth := n.Class(z), n.Class(n.Output(twin, s.query[i], false)), int(s.testing.Y[i])
		for _, count := range []struct {
			of *float64
			ok bool
		}{{&r.Right, opened == truth}, {&r.RightTwin, clear == truth}, {&r.SameAsTwin, opened == clear}} {
			if count.ok {
				*count.of += 1 / float64(len(outputs))
			}
		}
		for j, want := range n.Output(s.trained, s.query[i], false) {
			square += (z[j] - want) * (z[j] - want)
			count++
		}
	}
	r.Noise = math.Sqrt(square / float64(count))
	r.BatchParty = compute.Seconds() / float64(batches)
	r.SampleParty = compute.Seconds() / float64(len(outputs))
	r.BatchWall = r.BatchParty + s.predictionNetwork().Seconds()
	for _, p := range s.parties {
		r.BytesParty = max(r.BytesParty, p.sent[phasePredict])
	}
	s.prediction = r
	return nil
}

// predictionNetwork returns the modelled time in the network of one query: on
// every level of the tree a latency for each leg, and the bytes of all children.
func (s *NetworkSimulation) predictionNetwork() time.Duration {
	leg := func(bytes int) time.Duration { return s.cfg.Link.leg(bytes, s.tree.Depth(), s.cfg.Fanout) }
	d := leg(s.queryForm().size(1)) // down
	for l := range len(s.net.Net.Hidden) + 1 {
		in, out := mhe.EncodedSize(s.set, s.set.MaskLevel()), mhe.EncodedSize(s.set, s.net.Points[l].Out)
		d += leg(in+out) + leg(out)
	}
	return d + leg(2*mhe.EncodedSize(s.set, s.net.Query.OutputLevel))
}
