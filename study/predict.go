package study

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/mhe/rns"
	"github.com/nereid-mhe/nereid/params"
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
}

// newQuerier makes the key pair of the policy's querier from its seed. The key
// depends on nothing else but the parameters: it must be the same before and after
// its hash becomes a part of the terms.
func newQuerier(t *terms, enc *mhe.Encoder, seed protocols.Seed) (*querier, error) {
	l := protocols.Label{Point: protocols.Point{Study: t.set.Hash(), Protocol: "querier"}}
	q := &querier{terms: t, name: t.policy.querier, enc: enc}
	var err error
	q.sk, q.key, err = mhe.NewQuerierKey(t.set, l.Private(seed).Open)
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

// encrypt packs rows into as few ciphertexts under the collective key as hold
// them, for the given part of the querier's queries.
func (q *querier) encrypt(collective *mhe.EncryptionKey, rows [][]float64, seed protocols.Seed, part int) (query, error) {
	set := q.set
	out := query{name: q.name, key: q.key}
	label := protocols.Label{Point: q.point("query", part, q.name), Digest: sha256.Sum256(fmt.Append(nil, rows))}
	stream := label.Private(seed)
	for chunk := range slices.Chunk(rows, q.plan.Queries()) {
		v, err := q.plan.Query(chunk)
		if err != nil {
			return query{}, err
		}
		x, err := collective.Encrypt(q.enc, v, set.MaxLevel(), mhe.Power(set.LogScale()), stream.Sub(fmt.Sprint(len(out.tensors))).Open)
		if err != nil {
			return query{}, err
		}
		out.tensors, out.rows = append(out.tensors, x), append(out.rows, len(chunk))
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

// opening returns the key switch of count ciphertexts of answers. Its flooding
// hides the error that the plan expects in them, over all the ciphertexts that
// the policy lets the querier have opened.
func (t *terms) opening(count int) (mhe.Opening, error) {
	sigma, err := mhe.NewNoise(t.set).Flooding(t.plan.OpenedErr, t.plan.OutputScale, t.policy.ciphertexts, t.cfg.Flooding)
	return mhe.Opening{Set: t.set, Level: t.plan.PredictLevel, Count: count, Sigma: sigma}, err
}

// encode returns the bytes of a query: name, rows of each ciphertext, the
// querier's key, the ciphertexts.
func (q query) encode(set params.Set) ([]byte, error) {
	b := append([]byte{byte(len(q.name))}, q.name...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(q.rows)))
	for _, r := range q.rows {
		b = binary.BigEndian.AppendUint32(b, uint32(r))
	}
	key, err := q.key.Encode()
	if err != nil {
		return nil, err
	}
	b = append(b, key...)
	for _, x := range q.tensors {
		s, err := x.Share()
		if err != nil {
			return nil, err
		}
		e, err := mhe.CipherShape(set, set.MaxLevel()).Encode(s)
		if err != nil {
			return nil, err
		}
		b = append(b, e...)
	}
	return b, nil
}

// errQuery is wrapped by errors about a query that does not decode.
var errQuery = errors.New("study: malformed query")

// decodeQuery reads a query of at most limit ciphertexts of at most rows rows, and
// what follows it.
func decodeQuery(set params.Set, b []byte, limit, rows int) (q query, rest []byte, err error) {
	take := func(n int, what string) []byte {
		if err == nil && (n < 0 || n > len(b)) {
			err = fmt.Errorf("%w: %d bytes left for the %s, want %d", errQuery, len(b), what, n)
		}
		if err != nil {
			return nil
		}
		out := b[:n]
		b = b[n:]
		return out
	}
	number := func(what string) int {
		if f := take(4, what); f != nil {
			return int(binary.BigEndian.Uint32(f))
		}
		return 0
	}
	if f := take(1, "length of the name"); f != nil {
		q.name = string(take(int(f[0]), "name"))
	}
	count := number("number of ciphertexts")
	if err == nil && (count < 1 || count > limit) {
		err = fmt.Errorf("%w: %d ciphertexts, want 1 to %d", errQuery, count, limit)
	}
	if err != nil {
		return q, nil, err
	}
	for range count {
		q.rows = append(q.rows, number("rows of a ciphertext"))
	}
	if err == nil && (slices.Min(q.rows) < 1 || slices.Max(q.rows) > rows) {
		err = fmt.Errorf("%w: rows %v, want 1 to %d each", errQuery, q.rows, rows)
	}
	if f := take(mhe.EncryptionKeySize(set), "key"); f != nil {
		q.key, err = mhe.DecodeEncryptionKey(set, f)
	}
	shape := mhe.CipherShape(set, set.MaxLevel())
	for range count {
		f := take(shape.Size(), "ciphertext")
		if err != nil {
			return q, nil, err
		}
		var s mhe.Share
		if s, err = shape.Decode(f); err != nil {
			return q, nil, err
		}
		q.tensors = append(q.tensors, mhe.NewEncrypted(s[0], s[1], mhe.Power(set.LogScale())))
	}
	return q, b, err
}

// size returns the bytes of an encoded query and the answers' polynomials.
func (q query) size(set params.Set, answers mhe.Shape) int {
	return 1 + len(q.name) + 4 + 4*len(q.rows) + mhe.EncryptionKeySize(set) +
		len(q.rows)*mhe.CipherShape(set, set.MaxLevel()).Size() + answers.Size()
}

// values returns the outputs that a query asks for.
func (q query) values() int {
	n := 0
	for _, r := range q.rows {
		n += r
	}
	return n
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
// switch. The answers are returned at the root. part numbers the querier's
// queries.
func (p *party) predict(ctx context.Context, w mhe.Tensor, q query, part int) (answers []mhe.Tensor, err error) {
	o, err := p.opening(len(q.rows))
	if err != nil {
		return nil, err
	}
	s := &switching{party: p, w: w, o: o}
	t := task{
		phase: phasePredict, protocol: "switch", step: part, place: p.policy.querier, context: s.context(),
		shape: o.SwitchShape(), hasInput: true, maxIn: q.size(p.set, o.DecryptShape()),
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

// context returns what the answers and the noise depend on besides the query: the
// weights, the querier's key, the flooding.
func (s *switching) context() []byte {
	b := slices.Concat(s.chain[:], s.querier[:])
	return binary.BigEndian.AppendUint64(b, math.Float64bits(s.o.Sigma))
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
	b, err := q.encode(s.set)
	if err != nil {
		return nil, err
	}
	e, err := s.o.DecryptShape().Encode(c1)
	return append(b, e...), err
}

// open checks a query and that its answers are the model's.
func (s *switching) open(b []byte) error {
	q, rest, err := decodeQuery(s.set, b, s.policy.ciphertexts, s.plan.Queries())
	if err != nil {
		return err
	}
	pin, err := q.key.Hash()
	if err != nil {
		return err
	}
	if q.name != s.policy.querier || pin != s.querier {
		return fmt.Errorf("%w: the policy does not know querier %q with this key", errQuery, q.name)
	}
	if len(q.tensors) != s.o.Count {
		return fmt.Errorf("%w: %d ciphertexts, want %d", errQuery, len(q.tensors), s.o.Count)
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
		return nil, fmt.Errorf("rows: %w", err)
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
