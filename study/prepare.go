package study

import (
	"context"
	"fmt"
	"sync"

	"github.com/nereid-mhe/nereid/dataset"
	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/mhe/rns"
	"github.com/nereid-mhe/nereid/protocols"
)

// generateKeys runs both rounds of key generation: phase PREPARE. Each ends with
// the sum going down the tree, from which every party finishes the same keys.
func (p *party) generateKeys(ctx context.Context) error {
	set, plan := p.plan.Set, p.plan.Keys
	first := p.point("keys1", 0, "")
	common := p.common(first)
	ephemeral := func(l protocols.Label) *protocols.Stream { return l.Private(p.seed).Sub("ephemeral") }

	var sum1, sum2 mhe.Share
	var label protocols.Label // of the first round, which names the ephemeral secret
	t := p.sumForAll("keys1", plan.Shape1(set), nil, &sum1)
	t.gen = func(l protocols.Label) (mhe.Share, error) {
		return plan.Round1(p.sk, common, p.private(l), ephemeral(l))
	}
	// The first round has no input: its label is known before it runs.
	label = protocols.Label{Point: first, Digest: protocols.Digest(p.context, nil, false)}
	if err := p.run(ctx, t); err != nil {
		return err
	}

	digest, err := shareDigest(plan.Shape1(set), sum1)
	if err != nil {
		return err
	}
	t = p.sumForAll("keys2", plan.Shape2(set), digest, &sum2)
	t.gen = func(l protocols.Label) (mhe.Share, error) {
		return plan.Round2(p.sk, sum1, p.private(l), ephemeral(label))
	}
	if err := p.run(ctx, t); err != nil {
		return err
	}
	digest2, err := shareDigest(plan.Shape2(set), sum2)
	if err != nil {
		return err
	}
	return p.compute(phaseSetup, func() (err error) {
		p.keys, err = p.made.finish([64]byte(append(digest, digest2...)), func() (*mhe.PublicKeys, error) {
			return plan.Finish(set, common, sum1, sum2)
		})
		return err
	})
}

// A keyCache lets the parties of one process share public keys that they have
// computed from equal sums: keys are a hundred megabytes.
type keyCache struct {
	mu   sync.Mutex
	keys map[[64]byte]*mhe.PublicKeys
}

func (c *keyCache) finish(sums [64]byte, f func() (*mhe.PublicKeys, error)) (*mhe.PublicKeys, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if k, ok := c.keys[sums]; ok {
		return k, nil
	}
	k, err := f()
	if err == nil {
		c.keys[sums] = k
	}
	return k, err
}

// sumForAll is a task of the setup whose sum goes to every party.
func (p *party) sumForAll(protocol string, shape mhe.Shape, context []byte, sum *mhe.Share) task {
	return task{
		phase: phaseSetup, protocol: protocol, context: context, shape: shape, result: true,
		finish: func(s mhe.Share) ([]byte, error) {
			*sum = s
			return shape.Encode(s)
		},
		accept: func(b []byte) (err error) {
			*sum, err = shape.Decode(b)
			return err
		},
	}
}

// momentsLevel and momentsLogScale leave room for sums of squares up to 2^80 and
// resolve 2^-50: units of the features hardly matter.
const momentsLogScale = 90

// standardise computes the means and standard deviations of all parties' rows
// together: phase PREPARE. Every party encrypts its sums, the ciphertexts are
// added up the tree, and all parties decrypt the total. It is an opening of
// 2d+1 numbers to every party.
func (p *party) standardise(ctx context.Context, t dataset.Table) (dataset.Scaler, error) {
	set := p.plan.Set
	level, scale := set.MaskLevel(), mhe.Power(momentsLogScale)
	m := t.Moments()
	values := make([]float64, set.N())
	d := len(m.Sum)
	values[0] = m.N
	copy(values[1:], m.Sum)
	copy(values[1+d:], m.SumSq)
	for i, v := range values[:1+2*d] {
		if !(v < 1<<80 && v > -1<<80) {
			return dataset.Scaler{}, fmt.Errorf("%w: column %q sums to %g: change its unit", ErrConfig, t.Features[(i-1)%d], v)
		}
	}

	var total mhe.Share
	shape := mhe.CipherShape(set, level)
	sum := p.sumForAll("moments", shape, nil, &total)
	sum.gen = func(l protocols.Label) (mhe.Share, error) {
		x, err := p.keys.Encryption().Encrypt(p.enc, values, level, scale, p.private(l))
		if err != nil {
			return nil, err
		}
		return x.Share()
	}
	if err := p.run(ctx, sum); err != nil {
		return dataset.Scaler{}, err
	}
	slots, err := p.decrypt(ctx, "moments", mhe.NewEncrypted(total[0], total[1], scale), shape)
	if err != nil {
		return dataset.Scaler{}, err
	}
	return dataset.Moments{N: slots[0], Sum: slots[1 : 1+d], SumSq: slots[1+d : 1+2*d]}.Scaler(p.cfg.Clip)
}

// decrypt opens a ciphertext that is the sum of fresh ones, and that every party
// holds, to all of them.
func (p *party) decrypt(ctx context.Context, place string, x mhe.Tensor, shape mhe.Shape) ([]float64, error) {
	noise := mhe.NewNoise(p.plan.Set)
	err := noise.Encrypt(x.Scale()) * float64(p.cfg.Parties) // a bound: errors of the parties add up
	sigma, ferr := noise.Flooding(err, x.Scale(), 1, p.cfg.Flooding)
	if ferr != nil {
		return nil, ferr
	}
	o := mhe.Opening{Set: p.plan.Set, Level: x.Level(), Count: 1, Sigma: sigma}
	s, serr := x.Share()
	if serr != nil {
		return nil, serr
	}
	digest, derr := shareDigest(shape, s)
	if derr != nil {
		return nil, derr
	}
	var sum mhe.Share
	t := p.sumForAll("decrypt", o.DecryptShape(), digest, &sum)
	t.place = place
	t.gen = func(l protocols.Label) (mhe.Share, error) {
		return o.DecryptShare(p.sk, []rns.Poly{x.Polys()[1]}, p.private(l))
	}
	if err := p.run(ctx, t); err != nil {
		return nil, err
	}
	out, oerr := o.Decrypt(p.enc, []mhe.Tensor{x}, sum)
	if oerr != nil {
		return nil, oerr
	}
	return out[0], nil
}
