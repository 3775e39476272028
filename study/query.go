package study

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"

	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/params"
	"github.com/nereid-mhe/nereid/protocols"
)

// A querier asks for predictions. It holds its own key pair, needs no share of
// the collective key, and sees the outputs of its rows and nothing else.
type querier struct {
	*terms
	name string
	enc  *mhe.Encoder
	sk   mhe.SecretKey
	key  *mhe.EncryptionKey
	pin  [32]byte // hash of the key
}

// newQuerier makes the key pair of a querier from its seed. The key depends on
// nothing else but the parameters: it must be the same before and after its hash
// becomes a part of the terms.
func newQuerier(t *terms, name string, enc *mhe.Encoder, seed protocols.Seed) (*querier, error) {
	l := protocols.Label{Point: protocols.Point{Study: t.set.Hash(), Protocol: "querier"}}
	q := &querier{terms: t, name: name, enc: enc}
	var err error
	if q.sk, q.key, err = mhe.NewQuerierKey(t.set, l.Private(seed).Open); err != nil {
		return nil, err
	}
	q.pin, err = q.key.Hash()
	return q, err
}

// A query is what a querier sends: its key and its encrypted rows, in batches of the
// same number of ciphertexts. It is public to the parties.
type query struct {
	name    string
	key     *mhe.EncryptionKey
	pin     [32]byte // hash of the key
	rows    []int    // of each batch
	tensors []mhe.Tensor
}

// values returns the rows that a query asks for.
func (q query) values() int {
	n := 0
	for _, r := range q.rows {
		n += r
	}
	return n
}

// A queryForm is what the queries of a study look like.
type queryForm struct {
	set     params.Set
	batches int // of a query, at most
	rows    int // of a batch, at most
	blocks  int // ciphertexts of a batch
	level   int
	scale   *big.Float
}

// maxCiphertexts bounds the ciphertexts of one query of a regression, and with them
// the size of a message. A node's query has one.
const maxCiphertexts = 8

// queryForm returns the form of queries, which a network without predictions has not.
func (t *terms) queryForm() queryForm {
	if t.net != nil {
		return queryForm{t.set, 1, t.net.Query.Rows, t.net.Query.Blocks, t.net.Query.Level, t.net.Query.Scale}
	}
	return queryForm{t.set, maxCiphertexts, t.plan.Queries(), 1, t.set.MaxLevel(), mhe.Power(t.set.LogScale())}
}

// size bounds the bytes of a query with so many batches.
func (f queryForm) size(batches int) int {
	return 1 + math.MaxUint8 + 4 + 4*batches + mhe.EncryptionKeySize(f.set) + batches*f.blocks*f.shape().Size()
}

func (f queryForm) shape() mhe.Shape { return mhe.CipherShape(f.set, f.level) }

// encrypt packs rows into as few batches under the collective key as hold them, for
// the given part of the querier's queries.
func (q *querier) encrypt(collective *mhe.EncryptionKey, rows [][]float64, seed protocols.Seed, part int) (query, error) {
	f := q.queryForm()
	out := query{name: q.name, key: q.key, pin: q.pin}
	label := protocols.Label{Point: q.point("query", part, q.name), Digest: sha256.Sum256(fmt.Append(nil, rows))}
	stream := label.Private(seed)
	for batch := range slices.Chunk(rows, f.rows) {
		blocks, err := q.encode(batch)
		if err != nil {
			return query{}, err
		}
		for _, v := range blocks {
			x, err := collective.Encrypt(q.enc, v, f.level, f.scale, stream.Sub(fmt.Sprint(len(out.tensors))).Open)
			if err != nil {
				return query{}, err
			}
			out.tensors = append(out.tensors, x)
		}
		out.rows = append(out.rows, len(batch))
	}
	return out, nil
}

// encode returns the slots of a batch.
func (q *querier) encode(batch [][]float64) ([][]float64, error) {
	if q.net != nil {
		return q.net.EncodeQuery(batch)
	}
	v, err := q.plan.Query(batch)
	return [][]float64{v}, err
}

// encode returns the bytes of a query: name, rows of each batch, the querier's key,
// the ciphertexts.
func (f queryForm) encode(q query) ([]byte, error) {
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
		e, err := f.shape().Encode(s)
		if err != nil {
			return nil, err
		}
		b = append(b, e...)
	}
	return b, nil
}

// errQuery is wrapped by errors about a query that does not decode or is not allowed.
var errQuery = errors.New("study: malformed query")

// decode reads a query, and returns what follows it.
func (f queryForm) decode(b []byte) (q query, rest []byte, err error) {
	bad := func(format string, args ...any) (query, []byte, error) {
		return query{}, nil, fmt.Errorf("%w: "+format, append([]any{errQuery}, args...)...)
	}
	c := cutter{b: b}
	if n := c.next(1); n != nil {
		q.name = string(c.next(int(n[0])))
	}
	batches := c.number()
	if batches < 1 || batches > f.batches {
		return bad("%d batches, want 1 to %d", batches, f.batches)
	}
	for range batches {
		q.rows = append(q.rows, c.number())
	}
	if slices.Min(q.rows) < 1 || slices.Max(q.rows) > f.rows {
		return bad("rows %v, want 1 to %d each", q.rows, f.rows)
	}
	key := c.next(mhe.EncryptionKeySize(f.set))
	shape := f.shape()
	if want := batches * f.blocks * shape.Size(); c.short || len(c.b) < want {
		return bad("%d bytes for key and ciphertexts, want %d", len(key)+len(c.b), mhe.EncryptionKeySize(f.set)+want)
	}
	if q.key, err = mhe.DecodeEncryptionKey(f.set, key); err != nil {
		return query{}, nil, err
	}
	if q.pin, err = q.key.Hash(); err != nil {
		return query{}, nil, err
	}
	for range batches * f.blocks {
		s, err := shape.Decode(c.next(shape.Size()))
		if err != nil {
			return query{}, nil, err
		}
		q.tensors = append(q.tensors, mhe.NewEncrypted(s[0], s[1], f.scale))
	}
	return q, c.b, nil
}

// decodeWhole reads exactly one query.
func (f queryForm) decodeWhole(b []byte) (query, error) {
	q, rest, err := f.decode(b)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%w: %d bytes after its end", errQuery, len(rest))
	}
	return q, err
}
