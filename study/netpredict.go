package study

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/nereid-mhe/nereid/bootstrap"
	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/mhe/rns"
	"github.com/nereid-mhe/nereid/nn"
	"github.com/nereid-mhe/nereid/params"
	"github.com/nereid-mhe/nereid/protocols"
)

// netOpening returns the key switch of one answer. Its flooding hides the error
// that the plan expects, over all answers that the policy allows.
func (t *terms) netOpening(net *nn.NetworkPlan) (mhe.Opening, error) {
	sigma, err := net.Flooding(t.policy.openings(), t.cfg.Flooding)
	return mhe.Opening{Set: t.set, Level: net.Query.OutputLevel, Count: 1, Sigma: sigma}, err
}

// netOutputNoise returns the planned standard deviation of an opened output.
func (t *terms) netOutputNoise(net *nn.NetworkPlan) (float64, error) {
	return net.OutputNoise(t.policy.openings(), t.cfg.Flooding)
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
		shape: r.Shape(), derived: true, result: true, maxIn: top.Size(),
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
// queries.
func (p *netParty) answer(ctx context.Context, predictor *nn.Predictor, ask []byte, part int) (answer mhe.Tensor, err error) {
	q, err := p.receive(ctx, ask, part)
	if err != nil {
		return answer, err
	}
	z, err := predictor.Predict(ctx, fmt.Sprintf("query %d", part), q.tensors, q.values())
	if err != nil {
		return answer, err
	}
	o, err := p.netOpening(p.net)
	if err != nil {
		return answer, err
	}
	digest, _, c1, err := p.digestOf([]mhe.Tensor{z})
	if err != nil {
		return answer, err
	}
	t := task{
		phase: phasePredict, protocol: "switch", step: part, place: q.name, shape: o.SwitchShape(),
		context: binary.BigEndian.AppendUint64(slices.Concat(p.chain[:], q.pin[:], digest), math.Float64bits(o.Sigma)),
		gen: func(l protocols.Label) (mhe.Share, error) {
			if err := p.rows.Spend(l, q.name, q.values()); err != nil {
				return nil, err
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
	return answer, err // not in one: the run sets answer
}

// receive takes a query down the tree and checks it against the policy.
func (p *netParty) receive(ctx context.Context, ask []byte, part int) (q query, err error) {
	f := p.queryForm()
	t := task{
		phase: phasePredict, protocol: "query", step: part, context: p.chain[:], hasInput: true, maxIn: f.size(f.batches),
		gen:    func(protocols.Label) (mhe.Share, error) { return mhe.Share{}, nil },
		finish: func(mhe.Share) ([]byte, error) { return nil, nil },
	}
	if p.isRoot() {
		t.input = ask
	}
	t.open = func(b []byte) error {
		got, err := f.decodeWhole(b)
		if err == nil {
			err = p.policy.admit(got)
		}
		if err == nil {
			q = got
		}
		return err
	}
	err = p.run(ctx, t)
	return q, err // not in one: the run sets q
}
