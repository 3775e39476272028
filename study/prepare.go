package study

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
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
	// The first round has no input: its label is known before it runs.
	label = protocols.Label{Point: first, Digest: protocols.Digest(p.context, nil, false)}
	t.gen = func(l protocols.Label) (mhe.Share, error) {
		if l.Hash() != label.Hash() {
			return nil, errors.New("study: the first round of key generation has another label than the second expects")
		}
		return plan.Round1(p.sk, common, p.private(l), ephemeral(l))
	}
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

// Moments travel as integers: values are rounded to multiples of 2^-momentsGrid,
// and their chunks of chunkBits bits take a coefficient each, shifted by
// momentsShift bits, far above errors and flooding. Sums are exact: a party's part
// leaves no trace of floating point in the total.
const (
	momentsGrid  = 60
	chunkBits    = 40
	chunks       = 5 // values up to 2^(chunks·chunkBits - momentsGrid - 1) = 2^139
	momentsShift = 64
)

// toChunks splits v into signed chunks, the lowest first.
func toChunks(v float64) ([]int64, bool) {
	if math.IsNaN(v) || math.Abs(v) >= math.Exp2(chunks*chunkBits-momentsGrid-1) {
		return nil, false
	}
	x, _ := new(big.Float).SetMantExp(big.NewFloat(v), momentsGrid).Int(nil)
	out := make([]int64, chunks)
	for i := range out {
		var low big.Int
		x.QuoRem(x, new(big.Int).Lsh(big.NewInt(1), chunkBits), &low) // truncated: low has the sign of x
		out[i] = low.Int64()
	}
	return out, true
}

// fromChunks is the inverse of toChunks, for sums of chunks.
func fromChunks(c []*big.Int) float64 {
	x := new(big.Int)
	for i := len(c) - 1; i >= 0; i-- {
		x.Add(x.Lsh(x, chunkBits), c[i])
	}
	f, _ := new(big.Float).SetMantExp(new(big.Float).SetInt(x), -momentsGrid).Float64()
	return f
}

// standardise computes the means and standard deviations of all parties' rows
// together: phase PREPARE. Every party encrypts its sums, the ciphertexts are
// added up the tree, and all parties decrypt the total. It is an opening of
// 2d+1 numbers to every party.
func (p *party) standardise(ctx context.Context, t dataset.Table) (dataset.Scaler, error) {
	set := p.plan.Set
	level := set.MaskLevel()
	m := t.Moments()
	d := len(m.Sum)
	var ints []int64
	for i, v := range slices.Concat([]float64{m.N}, m.Sum, m.SumSq) {
		c, ok := toChunks(v)
		if !ok {
			return dataset.Scaler{}, fmt.Errorf("%w: column %q sums to %g: change its unit", ErrConfig, t.Features[(i+d-1)%d], v)
		}
		ints = append(ints, c...)
	}

	var total mhe.Share
	shape := mhe.CipherShape(set, level)
	sum := p.sumForAll("moments", shape, nil, &total)
	sum.gen = func(l protocols.Label) (mhe.Share, error) {
		x, err := p.keys.Encryption().EncryptIntegers(ints, momentsShift, level, p.privateFor(l, fmt.Append(nil, ints)))
		if err != nil {
			return nil, err
		}
		return x.Share()
	}
	if err := p.run(ctx, sum); err != nil {
		return dataset.Scaler{}, err
	}
	opened, err := p.decrypt(ctx, "moments", mhe.NewEncrypted(total[0], total[1], mhe.Power(momentsShift)), shape, len(ints))
	if err != nil {
		return dataset.Scaler{}, err
	}
	var v []float64
	for c := range slices.Chunk(opened, chunks) {
		v = append(v, fromChunks(c))
	}
	return dataset.Moments{N: v[0], Sum: v[1 : 1+d], SumSq: v[1+d:]}.Scaler(p.cfg.Clip)
}

// decrypt opens the first n integers of a ciphertext that is the sum of fresh
// ones, and that every party holds, to all of them.
func (p *party) decrypt(ctx context.Context, place string, x mhe.Tensor, shape mhe.Shape, n int) ([]*big.Int, error) {
	noise := mhe.NewNoise(p.plan.Set)
	bound := noise.Encrypt(x.Scale()) * float64(p.cfg.Parties) // the parties' errors add up
	sigma, err := noise.Flooding(bound, x.Scale(), 1, p.cfg.Flooding)
	if err != nil {
		return nil, err
	}
	o := mhe.Opening{Set: p.plan.Set, Level: x.Level(), Count: 1, Sigma: sigma}
	s, err := x.Share()
	if err != nil {
		return nil, err
	}
	digest, err := shareDigest(shape, s)
	if err != nil {
		return nil, err
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
	out, err := o.DecryptIntegers([]mhe.Tensor{x}, sum, n)
	if err != nil {
		return nil, err
	}
	return out[0], nil
}
