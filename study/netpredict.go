package study

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/nereid-mhe/nereid/bootstrap"
	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/mhe/rns"
	"github.com/nereid-mhe/nereid/nn"
	"github.com/nereid-mhe/nereid/params"
	"github.com/nereid-mhe/nereid/protocols"
)

// A netQuery is what a querier sends: its key and one batch of encrypted rows. It
// is public to the parties.
type netQuery struct {
	name    string
	key     *mhe.EncryptionKey
	rows    int
	tensors []mhe.Tensor
}

// encode returns the bytes of a query: name, rows, key, ciphertexts.
func (q netQuery) encode(set params.Set) ([]byte, error) {
	b := append([]byte{byte(len(q.name))}, q.name...)
	b = binary.BigEndian.AppendUint32(b, uint32(q.rows))
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
		e, err := mhe.CipherShape(set, x.Level()).Encode(s)
		if err != nil {
			return nil, err
		}
		b = append(b, e...)
	}
	return b, nil
}

// netQuerySize bounds the bytes of a query.
func netQuerySize(set params.Set, p *nn.QueryPlan) int {
	return 1 + math.MaxUint8 + 4 + mhe.EncryptionKeySize(set) + p.Blocks*mhe.CipherShape(set, p.Level).Size()
}

// decodeNetQuery reads exactly one query in the form of the plan.
func decodeNetQuery(set params.Set, p *nn.QueryPlan, b []byte) (q netQuery, err error) {
	take := func(n int, what string) []byte {
		if err == nil && n > len(b) {
			err = fmt.Errorf("%w: %d bytes left for the %s, want %d", errQuery, len(b), what, n)
		}
		if err != nil {
			return nil
		}
		out := b[:n]
		b = b[n:]
		return out
	}
	if f := take(1, "length of the name"); f != nil {
		q.name = string(take(int(f[0]), "name"))
	}
	if f := take(4, "number of rows"); f != nil {
		q.rows = int(binary.BigEndian.Uint32(f))
	}
	if err == nil && (q.rows < 1 || q.rows > p.Rows) {
		err = fmt.Errorf("%w: %d rows, want 1 to %d", errQuery, q.rows, p.Rows)
	}
	if f := take(mhe.EncryptionKeySize(set), "key"); f != nil {
		q.key, err = mhe.DecodeEncryptionKey(set, f)
	}
	shape := mhe.CipherShape(set, p.Level)
	for range p.Blocks {
		f := take(shape.Size(), "ciphertext")
		if err != nil {
			return q, err
		}
		var s mhe.Share
		if s, err = shape.Decode(f); err != nil {
			return q, err
		}
		q.tensors = append(q.tensors, mhe.NewEncrypted(s[0], s[1], p.Scale))
	}
	if err == nil && len(b) != 0 {
		err = fmt.Errorf("%w: %d bytes after its end", errQuery, len(b))
	}
	return q, err
}

// encryptQuery encrypts rows, as many as one query holds, under the collective key.
func encryptQuery(net *nn.NetworkPlan, enc *mhe.Encoder, collective *mhe.EncryptionKey, q *querier, rows [][]float64, seed protocols.Seed, part int) (netQuery, error) {
	blocks, err := net.EncodeQuery(rows)
	if err != nil {
		return netQuery{}, err
	}
	out := netQuery{name: q.name, key: q.key, rows: len(rows)}
	label := protocols.Label{Point: q.point("query", part, q.name), Digest: sha256.Sum256(fmt.Append(nil, rows))}
	stream := label.Private(seed)
	for f, v := range blocks {
		x, err := collective.Encrypt(enc, v, net.Query.Level, net.Query.Scale, stream.Sub(fmt.Sprint(f)).Open)
		if err != nil {
			return netQuery{}, err
		}
		out.tensors = append(out.tensors, x)
	}
	return out, nil
}

// netOpening returns the key switch of one answer. Its flooding hides the error
// that the plan expects, over all answers that the policy allows.
func (t *terms) netOpening(net *nn.NetworkPlan) (mhe.Opening, error) {
	sigma, err := net.Flooding(t.policy.ciphertexts, t.cfg.Flooding)
	return mhe.Opening{Set: t.set, Level: net.Query.OutputLevel, Count: 1, Sigma: sigma}, err
}

// netOutputNoise returns the planned standard deviation of an opened output.
func (t *terms) netOutputNoise(net *nn.NetworkPlan) (float64, error) {
	return net.OutputNoise(t.policy.ciphertexts, t.cfg.Flooding)
}

// publicRefreshes are prepared once for all parties of a process. Masks take much
// memory: only those of the last places are kept, which all parties are at.
type publicRefreshes struct {
	mu     sync.Mutex
	made   map[string]func() (*bootstrap.Refresh, error)
	places []string // of made, the oldest first
}

const keptPlaces = 3 // a party may be a place ahead of another

func (c *publicRefreshes) get(place string, set params.Set, enc *mhe.Encoder, cfg bootstrap.Config) (*bootstrap.Refresh, error) {
	c.mu.Lock()
	f, ok := c.made[place]
	if !ok {
		f = sync.OnceValues(func() (*bootstrap.Refresh, error) { return bootstrap.New(set, enc, cfg) })
		c.made[place], c.places = f, append(c.places, place)
		if len(c.places) > keptPlaces {
			delete(c.made, c.places[0])
			c.places = c.places[1:]
		}
	}
	c.mu.Unlock()
	return f()
}

var _ nn.PublicRefresher = &netParty{}

// RefreshPublic implements [nn.PublicRefresher]. Every party holds the inputs and
// has computed them itself; nothing but shares and results travels. The label
// covers the inputs, so that parties that computed others refuse each other.
func (p *netParty) RefreshPublic(ctx context.Context, place string, c bootstrap.Config, in []mhe.Tensor) (out []mhe.Tensor, err error) {
	r, err := p.public.get(place, p.set, p.enc, c)
	if err != nil {
		return nil, err
	}
	digest, c0, c1, err := p.digestOf(in)
	if err != nil {
		return nil, err
	}
	hash, top := r.Hash(), r.OutputShape()
	t := task{
		phase: phasePredict, protocol: "refresh", place: place, context: slices.Concat(p.chain[:], hash[:], digest),
		shape: r.Shape(), result: true, maxIn: top.Size(),
	}
	a, err := r.Common(p.common(p.point(t.protocol, 0, place)))
	if err != nil {
		return nil, err
	}
	t.gen = func(l protocols.Label) (mhe.Share, error) { return r.Share(p.sk, c1, a, p.private(l)) }
	t.finish = func(sum mhe.Share) ([]byte, error) {
		if out, err = r.Finish(c0, a, sum); err != nil {
			return nil, err
		}
		var first mhe.Share
		for _, x := range out {
			first = append(first, x.Polys()[0])
		}
		return top.Encode(first)
	}
	t.accept = func(b []byte) error {
		first, err := top.Decode(b)
		if err != nil {
			return err
		}
		for i := range first {
			out = append(out, mhe.NewEncrypted(first[i], a[i], c.ScaleOut))
		}
		return nil
	}
	err = p.run(ctx, t)
	return out, err // not in one: the run sets out
}

// digestOf hashes ciphertexts and returns their polynomials.
func (p *netParty) digestOf(in []mhe.Tensor) (digest []byte, c0, c1 []rns.Poly, err error) {
	err = p.compute(phasePredict, func() error {
		h := sha256.New()
		for _, x := range in {
			s, err := x.Share()
			if err != nil {
				return err
			}
			b, err := mhe.CipherShape(p.set, x.Level()).Encode(s)
			if err != nil {
				return err
			}
			_, _ = h.Write(b)
			c0, c1 = append(c0, s[0]), append(c1, s[1])
		}
		digest = h.Sum(nil)
		return nil
	})
	return digest, c0, c1, err
}

// answer takes part in answering one query, given at the root: phase PREDICT. The
// query goes down the tree; every party checks who asks, computes the outputs with
// the others' help for every refresh, charges its ledgers, and only then makes its
// share of the key switch. The answer is returned at the root. part numbers the
// querier's queries.
func (p *netParty) answer(ctx context.Context, predictor *nn.Predictor, ask []byte, part int) (answer mhe.Tensor, rows int, err error) {
	q, err := p.receive(ctx, ask, part)
	if err != nil {
		return answer, 0, err
	}
	z, err := predictor.Predict(ctx, fmt.Sprintf("query %d", part), q.tensors, q.rows)
	if err != nil {
		return answer, 0, err
	}
	o, err := p.netOpening(p.net)
	if err != nil {
		return answer, 0, err
	}
	digest, _, c1, err := p.digestOf([]mhe.Tensor{z})
	if err != nil {
		return answer, 0, err
	}
	t := task{
		phase: phasePredict, protocol: "switch", step: part, place: q.name, shape: o.SwitchShape(),
		context: binary.BigEndian.AppendUint64(slices.Concat(p.chain[:], p.querier[:], digest), math.Float64bits(o.Sigma)),
		gen: func(l protocols.Label) (mhe.Share, error) {
			if err := p.rows.Spend(l, q.name, q.rows); err != nil {
				return nil, fmt.Errorf("rows: %w", err)
			}
			if err := p.ledger.Spend(l, q.name, 1); err != nil {
				return nil, err
			}
			return o.SwitchShare(p.sk, c1, q.key, p.private(l))
		},
		result: true, accept: answered,
		finish: func(sum mhe.Share) (_ []byte, err error) {
			out, err := o.Switch([]mhe.Tensor{z}, sum)
			if err == nil {
				answer = out[0]
			}
			return nil, err
		},
	}
	err = p.run(ctx, t)
	return answer, q.rows, err // not in one: the run sets answer
}

// receive takes a query down the tree and checks it against the policy.
func (p *netParty) receive(ctx context.Context, ask []byte, part int) (q netQuery, err error) {
	t := task{
		phase: phasePredict, protocol: "query", step: part, place: p.policy.querier, context: p.chain[:], hasInput: true, maxIn: netQuerySize(p.set, p.net.Query),
		gen:    func(protocols.Label) (mhe.Share, error) { return mhe.Share{}, nil },
		finish: func(mhe.Share) ([]byte, error) { return nil, nil },
	}
	if p.isRoot() {
		t.input = ask
	}
	t.open = func(b []byte) error {
		got, err := decodeNetQuery(p.set, p.net.Query, b)
		if err != nil {
			return err
		}
		pin, err := got.key.Hash()
		if err != nil {
			return err
		}
		if got.name != p.policy.querier || pin != p.party.querier {
			return fmt.Errorf("%w: the policy does not know querier %q with this key", errQuery, got.name)
		}
		q = got
		return nil
	}
	err = p.run(ctx, t)
	return q, err // not in one: the run sets q
}

// Prediction is how the prediction of test rows went.
type Prediction struct {
	Rows        int     `json:"rows"`
	Right       float64 `json:"right"`        // fraction of right classes among opened predictions
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
	q, err := newQuerier(s.terms, root.enc, seed)
	if err != nil {
		return err
	}
	pin, err := q.key.Hash()
	if err != nil {
		return err
	}
	predictors := make([]*nn.Predictor, len(s.parties))
	err = s.all(ctx, func(ctx context.Context, p *netParty) (err error) {
		p.party.querier = pin
		if predictors[p.id], err = nn.NewPredictor(ctx, s.net, timed{p.ev, p.party}, p, s.state); err != nil {
			return err
		}
		predictors[p.id].Frugal = true // there are many in this process
		return nil
	})
	if err != nil {
		return err
	}
	s.forget()
	layout := s.spent(phasePredict, phaseMap)
	s.progress(Progress{Phase: "predict", Steps: rows})
	start := time.Now()
	var outputs [][]float64
	part := 0
	for batch := range slices.Chunk(s.query[:rows], s.net.Query.Rows) {
		ask, err := encryptQuery(s.net, root.enc, root.keys.Encryption(), q, batch, seed, part)
		if err != nil {
			return err
		}
		b, err := ask.encode(s.set)
		if err != nil {
			return err
		}
		var answer mhe.Tensor
		err = s.all(ctx, func(ctx context.Context, p *netParty) error {
			a, _, err := p.answer(ctx, predictors[p.id], b, part)
			if p.isRoot() {
				answer = a
			}
			return err
		})
		if err != nil {
			return err
		}
		s.forget()
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
		class := n.Class(z)
		if class == int(s.testing.Y[i]) {
			r.Right += 1 / float64(len(outputs))
		}
		if class == n.Class(n.Output(twin, s.query[i], false)) {
			r.SameAsTwin += 1 / float64(len(outputs))
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
	d := leg(netQuerySize(s.set, s.net.Query)) // down
	for l := range len(s.net.Net.Hidden) + 1 {
		in, out := mhe.EncodedSize(s.set, s.set.MaskLevel()), mhe.EncodedSize(s.set, s.net.Points[l].Out)
		d += leg(in+out) + leg(out)
	}
	return d + leg(2*mhe.EncodedSize(s.set, s.net.Query.OutputLevel))
}
