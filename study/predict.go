package study

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
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

// A querier asks for predictions. It holds its own key pair, needs no share of
// the collective key, and sees the outputs of its rows and nothing else.
type querier struct {
	*terms
	name string
	enc  *mhe.Encoder
	sk   mhe.SecretKey
	key  *mhe.EncryptionKey
	rows []int // of each query
}

// newQuerier makes a querier's key pair from its seed.
func newQuerier(t *terms, enc *mhe.Encoder, name string, seed protocols.Seed) (*querier, error) {
	l := protocols.Label{Point: t.point("querier", 0, name)}
	s := l.Private(seed)
	q := &querier{terms: t, name: name, enc: enc}
	var err error
	q.sk, q.key, err = mhe.NewQuerierKey(t.plan.Set, func(name string) io.Reader { return s.Sub(name) })
	return q, err
}

// A query is what a querier sends: its key and its encrypted rows. It is public
// to the parties.
type query struct {
	name    string
	key     *mhe.EncryptionKey
	tensors []mhe.Tensor
	rows    []int // of each tensor
}

// values returns the outputs that a query asks for.
func (q query) values() int {
	n := 0
	for _, r := range q.rows {
		n += r
	}
	return n
}

// encrypt packs rows into as few ciphertexts under the collective key as hold
// them.
func (q *querier) encrypt(collective *mhe.EncryptionKey, rows [][]float64, seed protocols.Seed) (query, error) {
	set := q.plan.Set
	out := query{name: q.name, key: q.key}
	stream := protocols.Label{Point: q.point("query", 0, q.name)}.Private(seed)
	for part := range slices.Chunk(rows, q.plan.Queries()) {
		v, err := q.plan.Query(part)
		if err != nil {
			return query{}, err
		}
		sub := stream.Sub(fmt.Sprint(len(out.tensors)))
		x, err := collective.Encrypt(q.enc, v, set.MaxLevel(), mhe.Power(set.LogScale()), func(name string) io.Reader { return sub.Sub(name) })
		if err != nil {
			return query{}, err
		}
		out.tensors, out.rows = append(out.tensors, x), append(out.rows, len(part))
	}
	return out, nil
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

// opening returns the key switch of a query's answers. Its flooding hides the
// error that the plan expects in an output, over all openings the querier is
// allowed.
func (t *terms) opening(queries int) (mhe.Opening, error) {
	scale := t.plan.OutputScale
	sigma, err := mhe.NewNoise(t.plan.Set).Flooding(t.plan.OutputErr, scale, queries, t.cfg.Flooding)
	return mhe.Opening{Set: t.plan.Set, Level: t.plan.PredictLevel, Count: queries, Sigma: sigma}, err
}

// predict answers a query: phase PREDICT. The root computes the outputs and sends
// their second polynomials down; every party checks its ledger before it makes
// its share of the key switch. The answers are returned at the root.
func (p *party) predict(ctx context.Context, w mhe.Tensor, q query) (answers []mhe.Tensor, err error) {
	o, err := p.opening(len(q.tensors))
	if err != nil {
		return nil, err
	}
	key, err := q.key.Encode()
	if err != nil {
		return nil, err
	}
	in := o.DecryptShape()
	hash := sha256.Sum256(append(key, fmt.Sprintf("%q %v", q.name, q.rows)...))
	t := task{phase: phasePredict, protocol: "switch", place: q.name, context: hash[:], shape: o.SwitchShape(), hasInput: true, maxIn: in.Size()}
	var c1 mhe.Share
	t.open = func(b []byte) (err error) {
		c1, err = in.Decode(b)
		return err
	}
	t.gen = func(l protocols.Label) (mhe.Share, error) {
		if err := p.ledger.Spend(l, q.name, q.values()); err != nil {
			return nil, err
		}
		return o.SwitchShare(p.sk, c1, q.key, p.private(l))
	}
	var outputs []mhe.Tensor
	t.finish = func(sum mhe.Share) (_ []byte, err error) {
		answers, err = o.Switch(outputs, sum)
		return nil, err
	}
	if p.isRoot() {
		err := p.compute(phasePredict, func() (err error) {
			var c []rns.Poly
			for i, x := range q.tensors {
				z, err := p.plan.Predict(p.ev, w, x, q.rows[i])
				if err != nil {
					return err
				}
				outputs, c = append(outputs, z), append(c, z.Polys()[1])
			}
			t.input, err = in.Encode(c)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return answers, p.run(ctx, t)
}
