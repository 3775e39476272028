package study

import (
	"fmt"
	"slices"

	"github.com/nereid-mhe/nereid/dataset"
	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/protocols"
)

// A Querier asks for predictions. It holds its own key pair, needs no share of the
// collective key and no place in the tree, and keeps nothing but its seed: after a
// restart the same rows give the same requests, which are answered again for free.
// It is used by one goroutine.
type Querier struct {
	q    *querier
	seed protocols.Seed

	collective *mhe.EncryptionKey // nil before Learn
	scaler     dataset.Scaler
	queries    protocols.Seed // of encryptions under that key
}

// NewQuerier makes a querier of the terms, by its name in their policy, from its seed.
// Its key follows from the seed and [Terms.Parameters] alone, so that it can be made
// before there are terms with its hash, [Querier.Pin], in their policy. Requests need a
// querier of those.
func NewQuerier(t Terms, name string, seed protocols.Seed) (*Querier, error) {
	q, err := newQuerier(t.terms, name, mhe.NewEncoder(t.set), seed)
	if err != nil {
		return nil, err
	}
	return &Querier{q: q, seed: seed}, nil
}

// Pin returns the hash of the querier's public key, by which the parties know it.
func (q *Querier) Pin() [32]byte { return q.q.pin }

// Learn takes what a node publishes. People who do not trust that node compare what
// several of them publish. Errors wrap [ErrConfig].
func (q *Querier) Learn(p Publication) error {
	key, scaler, err := p.open(q.q.terms)
	if err != nil {
		return err
	}
	a, err := q.q.policy.named(q.q.name)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if a.Key != q.q.pin {
		return fmt.Errorf("%w: the terms know querier %q with key %x, this one has %x", ErrConfig, a.Querier, a.Key[:8], q.q.pin[:8])
	}
	// Encryptions of one row under two keys must not have the same randomness.
	hash, err := key.Hash()
	if err != nil {
		return err
	}
	l := protocols.Label{Point: q.q.point("queries", 0, q.q.name), Digest: hash}
	var b [32]byte
	_, _ = l.Private(q.seed).Read(b[:]) // never fails
	q.collective, q.scaler, q.queries = key, scaler, protocols.NewSeed(b)
	return nil
}

// A Request is what a querier sends to the root, whose answer it needs to open
// with it.
type Request struct {
	Bytes []byte
	Rows  int
}

// Requests encrypts rows, as they are in a file, in as few requests as hold them.
// Features beyond the clip are cut, as in training. Errors wrap [ErrConfig] or
// [ErrNotReady] before [Querier.Learn].
func (q *Querier) Requests(rows [][]float64) ([]Request, error) {
	if q.collective == nil {
		return nil, fmt.Errorf("study: the collective key: %w", ErrNotReady)
	}
	t := q.q.terms
	for i, row := range rows {
		if len(row) != t.declared.Features {
			return nil, fmt.Errorf("%w: row %d has %d features, the study has %d", ErrConfig, i, len(row), t.declared.Features)
		}
	}
	x := q.scaler.Apply(dataset.Table{X: rows}).X
	var out []Request
	for chunk := range slices.Chunk(x, t.queryForm().rows) {
		b, err := q.request(chunk)
		if err != nil {
			return nil, err
		}
		out = append(out, Request{b, len(chunk)})
	}
	return out, nil
}

func (q *Querier) request(rows [][]float64) ([]byte, error) {
	if q.q.net == nil {
		rows = withBias(rows)
	}
	x, err := q.q.encrypt(q.collective, rows, q.queries, 0)
	if err != nil {
		return nil, err
	}
	return q.q.queryForm().encode(x)
}

// Outputs opens the answer to a request: the model's outputs by row, with the noise
// of the flooding. Errors wrap [ErrDamaged] for bytes that are no answer.
func (q *Querier) Outputs(r Request, answer []byte) ([][]float64, error) {
	t := q.q.terms
	groups, rest, err := cutTensors(t.set, answer)
	if err != nil {
		return nil, err
	}
	level := 0
	if t.net != nil {
		level = t.net.Query.OutputLevel
	} else {
		level = t.plan.PredictLevel
	}
	if len(groups) != 1 || len(groups[0]) != 1 || len(rest) > 0 || groups[0][0].Level() != level {
		return nil, fmt.Errorf("study: %w: an answer of another form", ErrDamaged)
	}
	slots, err := q.q.sk.Decrypt(q.q.enc, groups[0][0])
	if err != nil {
		return nil, err
	}
	if t.net != nil {
		return t.net.DecodeOutputs(slots, r.Rows), nil
	}
	out := make([][]float64, r.Rows)
	for i, z := range t.plan.Outputs(slots, r.Rows) {
		out[i] = []float64{z}
	}
	return out, nil
}
