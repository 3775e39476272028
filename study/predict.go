package study

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/mhe/rns"
	"github.com/nereid-mhe/nereid/protocols"
)

// shareDigest returns the SHA-256 of an encoded share, for a round's context.
func shareDigest(shape mhe.Shape, s mhe.Share) ([]byte, error) {
	b, err := shape.Encode(s)
	if err != nil {
		return nil, err
	}
	h := sha256.Sum256(b)
	return h[:], nil
}

// outputs decrypts the answers to a query.
func (q *querier) outputs(answers []mhe.Tensor, rows []int) ([]float64, error) {
	var z []float64
	for i, a := range answers {
		slots, err := q.sk.Decrypt(q.enc, a)
		if err != nil {
			return nil, err
		}
		z = append(z, q.plan.Outputs(slots, rows[i])...)
	}
	return z, nil
}

// opening returns the key switch of count ciphertexts of answers. Its flooding
// hides the error that the plan expects in them, over all the ciphertexts that
// the policy lets the querier have opened.
func (t *terms) opening(count int) (mhe.Opening, error) {
	sigma, err := mhe.NewNoise(t.set).Flooding(t.plan.OpenedErr, t.plan.OutputScale, t.policy.openings(), t.cfg.Flooding)
	return mhe.Opening{Set: t.set, Level: t.plan.PredictLevel, Count: count, Sigma: sigma}, err
}

// A switching is one party's part in answering one query.
type switching struct {
	*party
	w       mhe.Tensor
	o       mhe.Opening
	q       query // accepted
	outputs []mhe.Tensor
}

// predict answers a query, given at the root: phase PREDICT. The query and the
// second polynomials of its answers go down the tree. Every party checks who
// asks, computes the outputs itself from its own copy of the encrypted weights and
// refuses others, charges its ledgers, and only then makes its share of the key
// switch. The answers are returned at the root. part numbers the queries, each of
// which has as many batches as all parties expect.
func (p *party) predict(ctx context.Context, w mhe.Tensor, q query, batches, part int) (answers []mhe.Tensor, err error) {
	o, err := p.opening(batches)
	if err != nil {
		return nil, err
	}
	s := &switching{party: p, w: w, o: o}
	t := task{
		phase: phasePredict, protocol: "switch", step: part, context: s.context(),
		shape: o.SwitchShape(), hasInput: true, maxIn: p.queryForm().size(batches) + o.DecryptShape().Size(),
		open: s.open, gen: s.share, result: true, accept: answered,
		finish: func(sum mhe.Share) (_ []byte, err error) {
			answers, err = o.Switch(s.outputs, sum)
			return nil, err
		},
	}
	if p.isRoot() {
		if err := p.compute(phasePredict, func() (err error) { t.input, err = s.ask(q); return err }); err != nil {
			return nil, err
		}
	}
	err = p.run(ctx, t)
	return answers, err // not in one: the run sets answers
}

// answered takes the result of an opening, which is empty: that it comes at all tells
// a party that all others have taken part.
func answered([]byte) error { return nil }

// context returns what the answers and the noise depend on besides the query, which
// holds the querier's key: the weights, the flooding.
func (s *switching) context() []byte {
	return binary.BigEndian.AppendUint64(slices.Clone(s.chain[:]), math.Float64bits(s.o.Sigma))
}

// answer returns the answers to a query and their second polynomials.
func (s *switching) answer(q query) (outputs []mhe.Tensor, c1 mhe.Share, err error) {
	for i, x := range q.tensors {
		z, err := s.plan.Predict(s.ev, s.w, x, q.rows[i])
		if err != nil {
			return nil, nil, err
		}
		outputs, c1 = append(outputs, z), append(c1, z.Polys()[1])
	}
	return outputs, c1, nil
}

// ask returns the input of the round, at the root.
func (s *switching) ask(q query) ([]byte, error) {
	_, c1, err := s.answer(q)
	if err != nil {
		return nil, err
	}
	b, err := s.queryForm().encode(q)
	if err != nil {
		return nil, err
	}
	e, err := s.o.DecryptShape().Encode(c1)
	return append(b, e...), err
}

// open checks a query and that its answers are the model's.
func (s *switching) open(b []byte) error {
	q, rest, err := s.queryForm().decode(b)
	if err != nil {
		return err
	}
	if err := s.policy.admit(q); err != nil {
		return err
	}
	if len(q.rows) != s.o.Count {
		return fmt.Errorf("%w: %d batches, want %d", errQuery, len(q.rows), s.o.Count)
	}
	outputs, c1, err := s.answer(q)
	if err != nil {
		return err
	}
	own, err := s.o.DecryptShape().Encode(c1)
	if err != nil {
		return err
	}
	if !bytes.Equal(own, rest) {
		return fmt.Errorf("%w: the answers are not this model's outputs for the query", errQuery)
	}
	s.q, s.outputs = q, outputs
	return nil
}

// share makes the party's share of the key switch, if its ledgers allow it.
func (s *switching) share(l protocols.Label) (mhe.Share, error) {
	if err := s.rows.Spend(l, s.q.name, s.q.values()); err != nil {
		return nil, err
	}
	if err := s.ledger.Spend(l, s.q.name, len(s.q.rows)); err != nil {
		return nil, err
	}
	var c1 []rns.Poly
	for _, z := range s.outputs {
		c1 = append(c1, z.Polys()[1])
	}
	return s.o.SwitchShare(s.sk, c1, s.q.key, s.private(l))
}
