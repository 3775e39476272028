package study

import (
	"context"
	"crypto/sha256"
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

// A network needs hundreds of keys of megabytes each.
const (
	maxKeyPart  = 8 << 20  // bytes of a share of key generation
	maxKeyGroup = 64 << 20 // bytes of the shares that a party makes at once
)

// A keyGroup is rounds of key generation that run at once: while shares of one travel
// up the tree or their sum comes down, those of the next are made.
type keyGroup []mhe.KeyPart

// keyGroups returns the rounds of key generation in groups. Those that need the sum of
// others come in a later group.
func (t *terms) keyGroups() (groups []keyGroup) {
	size := 0
	for _, part := range t.keyPlan.Parts(t.set, maxKeyPart) {
		last := len(groups) - 1
		if last < 0 || size+part.Size() > maxKeyGroup || part.Second() != groups[last][0].Second() {
			groups, last, size = append(groups, nil), last+1, 0
		}
		groups[last] = append(groups[last], part)
		size += part.Size()
	}
	return groups
}

// size returns the bytes of a party's shares, and of their sums.
func (g keyGroup) size() (bytes int) {
	for _, part := range g {
		bytes += part.Size()
	}
	return bytes
}

// generateKeys runs the rounds of key generation one after another: phase PREPARE. Each
// ends with the sum going down the tree, from which every party makes the same keys.
func (p *party) generateKeys(ctx context.Context) error {
	sums, err := p.made.start(p.terms)
	if err != nil {
		return err
	}
	for _, part := range p.keyPlan.Parts(p.set, maxKeyPart) {
		err := p.generateKeyPart(ctx, part, sums, func(b []byte, decode func() (mhe.Share, error)) (err error) {
			sums, err = p.made.add(sums, part, p.common(p.keyPoint(part)), b, decode)
			return err
		})
		if err != nil {
			return err
		}
	}
	p.keys, err = p.made.finish(sums)
	return err
}

// generateKeyGroup runs the rounds of a group, after those of sums, and returns the
// encoded sums one after another.
func (p *party) generateKeyGroup(ctx context.Context, group keyGroup, sums *keySums) ([]byte, error) {
	encoded := make([][]byte, len(group))
	err := together(ctx, len(group), func(ctx context.Context, i int) error {
		return p.generateKeyPart(ctx, group[i], sums, func(b []byte, decode func() (mhe.Share, error)) error {
			sum, err := decode() // what is not one is refused while it is known who sent it
			for _, x := range sum {
				rns.Return(x)
			}
			encoded[i] = b
			return err
		})
	})
	return slices.Concat(encoded...), err
}

// keyPoint is the place of a round of key generation.
func (t *terms) keyPoint(part mhe.KeyPart) protocols.Point {
	protocol := "keys1"
	if part.Second() {
		protocol = "keys2"
	}
	return t.point(protocol, 0, part.Name())
}

// generateKeyPart is one round of key generation, after those of sums. take gets its
// sum encoded, and a function that decodes it.
func (p *party) generateKeyPart(ctx context.Context, part mhe.KeyPart, sums *keySums, take func(encoded []byte, decode func() (mhe.Share, error)) error) error {
	point := p.keyPoint(part)
	shape, common := part.Shape(), p.common(point)
	t := task{phase: phaseSetup, protocol: point.Protocol, place: point.Place, shape: shape, derived: true, result: true}
	if part.Second() {
		t.context = sums.relinDigest
	}
	ephemeral := p.ephemeralLabel()
	t.gen = func(l protocols.Label) (mhe.Share, error) {
		if part.Name() == ephemeral.Point.Place && l.Hash() != ephemeral.Hash() {
			return nil, errors.New("study: the first round of the product keys has another label than the second expects")
		}
		return part.Share(p.sk, common, p.private(l), ephemeral.Private(p.seed).Sub("ephemeral"), sums.relin)
	}
	t.finish = func(s mhe.Share) ([]byte, error) {
		b, err := shape.Encode(s)
		if err != nil {
			return nil, err
		}
		return b, take(b, func() (mhe.Share, error) { return s, nil })
	}
	t.accept = func(b []byte) error {
		return take(b, func() (mhe.Share, error) { return shape.Decode(b) })
	}
	return p.run(ctx, t)
}

// relinearisation is the place of the first round of the product keys.
const relinearisation = "relinearisation"

// ephemeralLabel is the label of the first round of the product keys, which names
// a party's ephemeral secret in both of their rounds. That round has no input: its
// label is known before it runs.
func (p *party) ephemeralLabel() protocols.Label {
	return protocols.Label{Point: p.point("keys1", 0, relinearisation), Digest: protocols.Digest(p.context, nil, false)}
}

// keySums is what the sums of some rounds of key generation have given. It is
// read-only.
type keySums struct {
	digest      [32]byte // of all sums in their order
	builder     *mhe.KeyBuilder
	relin       mhe.Share // sum of the first round of the product keys
	relinDigest []byte
}

// A keyCache lets the parties of one process share public keys that they compute
// from equal sums: keys are hundreds of megabytes. Parties with another sum get
// keys of their own from there on.
type keyCache struct {
	mu   sync.Mutex
	sums map[[32]byte]*keySums // by digest
	keys map[[32]byte]*mhe.PublicKeys
}

func newKeyCache() *keyCache {
	return &keyCache{sums: map[[32]byte]*keySums{}, keys: map[[32]byte]*mhe.PublicKeys{}}
}

// start returns what is there before any sum.
func (c *keyCache) start(t *terms) (*keySums, error) {
	return c.get([32]byte(t.context), func() (*keySums, error) {
		b, err := mhe.NewKeyBuilder(t.set, t.keyPlan)
		return &keySums{builder: b}, err
	})
}

// add returns sums with one more: of part, encoded. The sum is decoded, and the
// keys are made, by the first party that asks.
func (c *keyCache) add(sums *keySums, part mhe.KeyPart, common mhe.Source, encoded []byte, decode func() (mhe.Share, error)) (*keySums, error) {
	digest := sha256.Sum256(encoded)
	return c.get(sha256.Sum256(append(sums.digest[:], digest[:]...)), func() (*keySums, error) {
		sum, err := decode()
		if err != nil {
			return nil, err
		}
		next := *sums
		if part.Name() == relinearisation {
			next.relin, next.relinDigest = sum, digest[:]
		}
		next.builder, err = sums.builder.Add(part, common, sum)
		return &next, err
	})
}

func (c *keyCache) get(digest [32]byte, f func() (*keySums, error)) (*keySums, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s, ok := c.sums[digest]; ok {
		return s, nil
	}
	s, err := f()
	if err != nil {
		return nil, err
	}
	s.digest = digest
	c.sums[digest] = s
	return s, nil
}

// finish returns the keys of all sums.
func (c *keyCache) finish(sums *keySums) (*mhe.PublicKeys, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if k, ok := c.keys[sums.digest]; ok {
		return k, nil
	}
	k, err := sums.builder.Finish()
	if err == nil {
		c.keys[sums.digest] = k
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
// together: phase PREPARE.
func (p *party) standardise(ctx context.Context, t dataset.Table) (dataset.Scaler, error) {
	m, err := p.moments(ctx, t, true)
	if err != nil {
		return dataset.Scaler{}, err
	}
	return m.Scaler(p.cfg.Clip)
}

// moments adds up the moments of all parties' rows. Every party encrypts its sums,
// the ciphertexts are added up the tree, and all parties decrypt the total. It is
// an opening of 2d+1 numbers to every party, or of d+1 without the squares.
func (p *party) moments(ctx context.Context, t dataset.Table, squares bool) (dataset.Moments, error) {
	set := p.set
	level := set.MaskLevel()
	m := t.Moments()
	d := len(m.Sum)
	values := slices.Concat([]float64{m.N}, m.Sum)
	if squares {
		values = append(values, m.SumSq...)
	}
	var ints []int64
	for i, v := range values {
		c, ok := toChunks(v)
		if !ok {
			return dataset.Moments{}, fmt.Errorf("%w: column %q sums to %g: change its unit", ErrConfig, t.Features[(i+d-1)%d], v)
		}
		ints = append(ints, c...)
	}
	if len(ints) > set.N() {
		return dataset.Moments{}, fmt.Errorf("%w: the moments of %d features need %d slots, a ciphertext has %d: take a larger ring or fewer features", ErrConfig, d, len(ints), set.N())
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
		return dataset.Moments{}, err
	}
	opened, err := p.decrypt(ctx, "moments", mhe.NewEncrypted(total[0], total[1], mhe.Power(momentsShift)), shape, len(ints))
	if err != nil {
		return dataset.Moments{}, err
	}
	var v []float64
	for c := range slices.Chunk(opened, chunks) {
		v = append(v, fromChunks(c))
	}
	out := dataset.Moments{N: v[0], Sum: v[1 : 1+d]}
	if squares {
		out.SumSq = v[1+d:]
	}
	return out, nil
}

// decrypt opens the first n integers of a ciphertext that is the sum of fresh
// ones, and that every party holds, to all of them.
func (p *party) decrypt(ctx context.Context, place string, x mhe.Tensor, shape mhe.Shape, n int) ([]*big.Int, error) {
	noise := mhe.NewNoise(p.set)
	bound := noise.Encrypt(x.Scale()) * float64(p.cfg.Parties) // the parties' errors add up
	sigma, err := noise.Flooding(bound, x.Scale(), 1, p.cfg.Flooding)
	if err != nil {
		return nil, err
	}
	o := mhe.Opening{Set: p.set, Level: x.Level(), Count: 1, Sigma: sigma}
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
