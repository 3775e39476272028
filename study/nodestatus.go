package study

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nereid-mhe/nereid/dataset"
	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/protocols"
)

// Status is how far a node has come, for people who watch it. Nothing in it is
// secret.
type Status struct {
	Progress                          // of the phase
	Stage    string                   // what it does, such as "step 3"; empty if nothing is left to do
	Waiting  []protocols.PartyID      // peers from which it needs a message to go on
	Sent     map[string]int64         // bytes by phase, since the process began
	Compute  map[string]time.Duration // the same of compute
	Openings []protocols.Account      // ciphertexts by querier
	Rows     []protocols.Account      // the same in rows
	Trained  bool
	Model    [32]byte // digest of the weights so far, the same at all parties after the same step
}

// Status returns how far the node has come. It may be called at any time.
func (n *Node) Status() Status {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.status
	s.Sent, s.Compute = maps.Clone(s.Sent), maps.Clone(s.Compute)
	if !n.since.IsZero() {
		s.Elapsed = time.Since(n.since)
	}
	for _, peers := range n.waits {
		s.Waiting = append(s.Waiting, peers...)
	}
	slices.Sort(s.Waiting)
	s.Waiting = slices.Compact(s.Waiting)
	s.Openings, s.Rows = n.ledger.Spent(), n.rows.Spent()
	return s
}

// reached notes that so many stages are done and what is known then.
func (n *Node) reached(done int, k knowledge) error {
	at := n.progress(done)
	n.mu.Lock()
	if at.Phase != n.status.Phase {
		n.since = time.Now()
	}
	at.Elapsed = time.Since(n.since)
	n.status.Progress = at
	n.status.Trained, n.status.Model = done >= n.trained(), k.chain
	if n.public == nil && done > len(n.keys) {
		public, err := publication(n.terms, k)
		if err != nil {
			n.mu.Unlock()
			return err
		}
		n.public = &public
	}
	n.stages = uint64(done)
	n.highest = max(n.highest, n.stages)
	highest := n.highest
	n.mu.Unlock()
	n.cfg.Transport.Reach(highest)
	n.cfg.Log.Info("reached", "phase", at.Phase, "step", at.Step, "steps", at.Steps)
	if n.cfg.Progress != nil {
		n.cfg.Progress(at)
	}
	return nil
}

// progress returns the phase after so many stages.
func (n *Node) progress(done int) Progress {
	setup, train := len(n.keys)+1, n.trained()
	switch {
	case done < setup:
		return Progress{Phase: "setup", Step: done, Steps: setup}
	case done < train || n.queries == 0:
		return Progress{Phase: "train", Step: done - setup, Steps: n.training}
	}
	return Progress{Phase: "predict", Step: max(0, done-train-n.layout), Steps: n.queries}
}

// enter notes that a stage begins.
func (n *Node) enter(s stage) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.status.Stage = s.String()
	clear(n.waits)
}

// leave adds what a party spent and sent in a stage.
func (n *Node) leave(p *party) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.status.Stage = ""
	for phase, d := range p.spent {
		n.status.Compute[phase] += d
	}
	for phase, b := range p.sent {
		n.status.Sent[phase] += b
	}
	clear(n.waits)
}

// A watched round tells the node for whom it waits.
type watched struct {
	*round
	n *Node
}

// Start implements [protocols.Machine].
func (w *watched) Start() ([]protocols.Message, error) {
	defer w.note()
	return w.round.Start()
}

// Step implements [protocols.Machine].
func (w *watched) Step(m protocols.Message) ([]protocols.Message, error) {
	defer w.note()
	return w.round.Step(m)
}

func (w *watched) note() {
	peers := w.Waiting()
	w.n.mu.Lock()
	defer w.n.mu.Unlock()
	if len(peers) == 0 {
		delete(w.n.waits, w)
		return
	}
	w.n.waits[w] = peers
}

// A Publication is what a querier needs to know of a study: any node gives it once
// the moments are known. The parties have opened it to each other; the querier learns
// the means and deviations of the features with it.
type Publication struct {
	Study     protocols.StudyID
	Key       []byte    // the collective key under which queries are encrypted
	Mean, Std []float64 // by which features are centred and scaled
}

func publication(t *terms, k knowledge) (p Publication, err error) {
	p = Publication{Study: t.study, Mean: k.scaler.Mean, Std: k.scaler.Std}
	p.Key, err = k.keys.Encryption().Encode()
	return p, err
}

// open checks a publication and returns what is in it.
func (p Publication) open(t *terms) (*mhe.EncryptionKey, dataset.Scaler, error) {
	var v violations
	v.must(p.Study == t.study, "a publication of study %v, want %v", p.Study, t.study)
	v.must(len(p.Mean) == t.declared.Features && len(p.Std) == t.declared.Features, "means of %d and deviations of %d features, want %d", len(p.Mean), len(p.Std), t.declared.Features)
	for i := range min(len(p.Mean), len(p.Std)) {
		v.must(finite(p.Mean[i]) && finite(p.Std[i]) && p.Std[i] > 0, "feature %d with mean %g and deviation %g", i, p.Mean[i], p.Std[i])
	}
	if len(v) > 0 {
		return nil, dataset.Scaler{}, v[0]
	}
	if len(p.Key) != mhe.EncryptionKeySize(t.set) {
		return nil, dataset.Scaler{}, fmt.Errorf("%w: a collective key of %d bytes, want %d", ErrConfig, len(p.Key), mhe.EncryptionKeySize(t.set))
	}
	key, err := mhe.DecodeEncryptionKey(t.set, p.Key)
	return key, dataset.Scaler{Mean: p.Mean, Std: p.Std, Clip: t.prep.clip}, err
}
