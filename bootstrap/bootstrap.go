// Package bootstrap is the collective refresh: all parties together restore the
// levels of ciphertexts and apply a linear map of their slots on the way.
//
// Inputs (c0, c1) at a low level ℓ, modulus Q_ℓ; outputs at a high level, modulus
// Q. Party i, with masks M_i of integers uniform in [-2^(B-1), 2^(B-1)), one for
// each input:
//
//	h_i  = c1·s_i + e_i - M_i                 mod Q_ℓ    masked decryption share
//	h'_i = -a·s_i + e'_i + ⌊T(M_i)/P⌉         mod Q      re-encryption share
//	M    = c0 + Σ h_i as centred integers = m - Σ M_i    nothing wraps
//	out  = (⌊T(M)/P⌉ + Σ h'_i, a)                        an encryption of T(m)
//
// with h_i for every input and the rest for every output: T is an integer-linear
// map of all inputs of a round to all its outputs, in the simplest case the same
// slot map on each. It acts on polynomials that are known, so that a rotation is a
// permutation of residues: no key switch, no Galois key, no growth of noise. A
// mask inside T carries a plaintext scale; T is therefore computed modulo Q·P and
// divided by the special primes P, which key switching needs anyway. No level is
// paid for it and the scale lands exactly on the one asked for. The identity has
// no mask: then nothing is divided, and noise is added to the mask before the
// one transform that both need.
//
// The masks hide every input of which scale·|slot value| ≤ 2^LogMessage with
// B - LogMessage bits of statistical security. e_i keeps the share a sample of
// ring learning with errors whatever is known of M_i.
//
// Everything is done in residues: masks are sampled as 192-bit words and reduced
// per prime, and M is lifted from Q_ℓ to Q·P by an exact basis conversion.
//
// # Inputs that are sums
//
// Where an input is a sum over the parties, of gradients for example, its first
// polynomial need not travel before the refresh: with c0 = Σ c0_i, party i sends
//
//	h_i = c0_i + c1·s_i + e_i - M_i
//
// and the root begins at 0: see [Refresh.ShareOwn]. That h_i is the sum of two
// messages of the protocol in which c0_i travels on its own, so that nobody who
// sees all messages learns more than before. Alone it hides c0_i too: c1 is public
// and uniform, c1·s_i + e_i a sample of ring learning with errors. The sum over
// all parties is m - ΣM_i as before.
//
// # Sources
//
// The protocol is Col-Bootstrap of Mouchet et al., [ePrint 2020/304], with the
// map of POSEIDON's DBootstrapALT (NDSS 2021, Protocol 3), which computes it in
// floating point.
//
// [ePrint 2020/304]: https://eprint.iacr.org/2020/304
package bootstrap

import (
	"crypto/sha3"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"slices"

	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/mhe/rns"
	"github.com/nereid-mhe/nereid/packing"
	"github.com/nereid-mhe/nereid/params"
)

// A Config says what a refresh does to its inputs: Map to each of them, then Mix
// to all of them together, then After to each of what comes out.
type Config struct {
	In, Out int         // levels of inputs and outputs
	Count   int         // inputs of one round
	Map     packing.Map // of every input; zero for none
	Mix     packing.Mix // of all inputs; without outputs for none: then every input is an output
	After   packing.Map // of every output; zero for none

	// ScaleIn is the scale of the inputs and ScaleOut that of the outputs, to
	// the last bit. A map without a mask cannot change the scale.
	ScaleIn, ScaleOut *big.Float

	Workers int // goroutines inside one call; 0 means 1
}

// depth returns the masks on every path from an input to an output.
func (c *Config) depth() int { return c.Map.Depth() + c.Mix.Depth() + c.After.Depth() }

// outputs returns the number of outputs.
func (c *Config) outputs() int {
	if len(c.Mix) > 0 {
		return len(c.Mix)
	}
	return c.Count
}

// A Refresh holds what is computed once for all rounds of one plan point. It has
// no scratch space and is safe for concurrent use.
type Refresh struct {
	set   params.Set
	cfg   Config
	gauss rns.Gaussian

	in, out       rns.Basis // Q_ℓ and Q
	work          rns.Basis // Q, followed by the special primes if the map has masks
	low           rns.Basis // the mask primes, which hold the masked message
	lift          *rns.Lift // from low to what work has above in
	div           *rns.Divider
	before, after []step
	mix           [][]piece // by output
	hash          [32]byte
}

// New prepares a refresh. Errors wrap [mhe.ErrShape].
func New(set params.Set, enc *mhe.Encoder, cfg Config) (*Refresh, error) {
	if err := check(set, &cfg); err != nil {
		return nil, err
	}
	r := &Refresh{
		set: set, cfg: cfg, gauss: rns.NewGaussian(params.Sigma, params.Tail),
		in: mhe.Basis(set, cfg.In), out: mhe.Basis(set, cfg.Out),
	}
	r.work = r.out
	if cfg.depth() > 0 {
		r.work = mhe.ExtendedBasis(set, cfg.Out)
		r.div = rns.NewDivider(r.out, r.work[len(r.out):])
	}
	r.low = mhe.Basis(set, set.MaskLevel())
	r.lift = rns.NewLift(r.low, r.work[len(r.in):])
	if err := r.prepare(enc); err != nil {
		return nil, err
	}
	r.hash = r.digest()
	return r, nil
}

// check also brings a config into its simplest form: without a mix there is
// nothing between Map and After.
func check(set params.Set, cfg *Config) error {
	cfg.Workers = max(1, cfg.Workers)
	switch {
	case cfg.In < set.MaskLevel():
		return fmt.Errorf("%w: refreshing at level %d, the masks need level %d", mhe.ErrShape, cfg.In, set.MaskLevel())
	case cfg.Out <= cfg.In || cfg.Out > set.MaxLevel():
		return fmt.Errorf("%w: refreshing from level %d to %d of %d", mhe.ErrShape, cfg.In, cfg.Out, set.MaxLevel())
	case cfg.Count < 1:
		return fmt.Errorf("%w: refreshing %d ciphertexts", mhe.ErrShape, cfg.Count)
	case cfg.ScaleIn == nil || cfg.ScaleOut == nil || cfg.ScaleIn.Sign() <= 0 || cfg.ScaleOut.Sign() <= 0:
		return fmt.Errorf("%w: refreshing without scales", mhe.ErrShape)
	case cfg.depth() == 0 && cfg.ScaleIn.Cmp(cfg.ScaleOut) != 0:
		return fmt.Errorf("%w: a map without a mask cannot change the scale", mhe.ErrShape)
	}
	for _, err := range []error{cfg.Map.Check(set.N()), cfg.Mix.Check(cfg.Count, set.N()), cfg.After.Check(set.N())} {
		if err != nil {
			return fmt.Errorf("%w: %w", mhe.ErrShape, err)
		}
	}
	if len(cfg.Mix) == 0 {
		cfg.Mix, cfg.Map, cfg.After = nil, cfg.Map.Then(cfg.After), packing.Map{}
	}
	return nil
}

// Shape is the shape of a share: for every input, in their order, h over Q_ℓ, and
// then for every output h' over Q.
func (r *Refresh) Shape() mhe.Shape { return slices.Concat(r.InputShape(), r.OutputShape()) }

// InputShape is the shape of the second polynomials of the inputs, which a round
// carries to the parties, and of the first.
func (r *Refresh) InputShape() mhe.Shape {
	return slices.Repeat(mhe.Shape{r.in}, r.cfg.Count)
}

// OutputShape is the shape of the first polynomials of the outputs, which a round
// carries back: the second are those of [Refresh.Common].
func (r *Refresh) OutputShape() mhe.Shape {
	return slices.Repeat(mhe.Shape{r.out}, r.cfg.outputs())
}

// Hash identifies everything but the inputs that a share depends on. It belongs
// into the label's digest. It covers the masks of the map as they were encoded, to
// the last bit: a party whose floating point rounds differently computes another
// map, and must be refused rather than add masks that do not cancel.
func (r *Refresh) Hash() [32]byte { return r.hash }

func (r *Refresh) digest() [32]byte {
	b := []byte("nereid/refresh/v4")
	for _, h := range [][32]byte{r.set.Hash(), r.cfg.Map.Hash(), r.cfg.Mix.Hash(), r.cfg.After.Hash()} {
		b = append(b, h[:]...)
	}
	encoded := func(m *mask) {
		if m != nil {
			b = append(b, m.sum[:]...)
		}
	}
	for _, st := range r.before {
		encoded(st.mask)
	}
	for _, pieces := range r.mix {
		for _, p := range pieces {
			encoded(p.mask)
		}
	}
	for _, st := range r.after {
		encoded(st.mask)
	}
	for _, v := range []int{r.cfg.In, r.cfg.Out, r.cfg.Count} {
		b = binary.BigEndian.AppendUint64(b, uint64(v))
	}
	for _, s := range []*big.Float{r.cfg.ScaleIn, r.cfg.ScaleOut} {
		t := s.Text('p', 0)
		b = append(binary.BigEndian.AppendUint64(b, uint64(len(t))), t...)
	}
	return sha3.Sum256(b)
}

// Common expands the public polynomials a of all outputs. common must open the
// same streams at every party.
func (r *Refresh) Common(common mhe.Source) ([]rns.Poly, error) {
	a := make([]rns.Poly, r.cfg.outputs())
	for i := range a {
		a[i] = r.out.New()
		if err := r.out.Uniform(common(fmt.Sprintf("a%d", i)), a[i]); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// Share makes a party's share for the inputs with second polynomials c1. All
// randomness comes from private, which must belong to a label that names these
// inputs: a mask used for two inputs gives the secret away. It opens "mask i" and
// "e i" for input i and "e' i" for output i.
func (r *Refresh) Share(sk mhe.SecretKey, c1, a []rns.Poly, private mhe.Source) (mhe.Share, error) {
	return r.ShareOwn(sk, nil, c1, a, private)
}

// ShareOwn makes a party's share for inputs that are sums over the parties: own
// are the first polynomials of its own summands, c1 the second ones of the sums.
// They join the share, so that [Refresh.Finish] needs no first polynomials. own is
// nil, or nil at an input, for none.
//
// The label that private belongs to must determine own as well as c1: two shares
// under one label differ by the difference of the summands. If own is made of
// data that the label does not name, derive private from that data too, and send
// no second share.
func (r *Refresh) ShareOwn(sk mhe.SecretKey, own, c1, a []rns.Poly, private mhe.Source) (mhe.Share, error) {
	if err := r.checkInputs(c1, a); err != nil {
		return nil, err
	}
	if err := r.checkFirst(own); err != nil {
		return nil, err
	}
	share := r.Shape().New()
	h, reenc := share[:r.cfg.Count], share[r.cfg.Count:]
	for _, b := range r.batches() {
		d, err := r.draw(b, private)
		if err != nil {
			return nil, err
		}
		r.cover(d, h[b.in:b.inEnd], reenc[b.out:b.outEnd])
		d.release()
	}
	for i := range h {
		sk.MulAdd(r.cfg.In, h[i], c1[i])
		if own != nil && own[i] != nil {
			r.in.Add(h[i], own[i])
		}
	}
	for i := range reenc {
		sk.MulSub(r.cfg.Out, reenc[i], a[i])
	}
	return share, nil
}

// checkInputs checks second polynomials of inputs and the common ones.
func (r *Refresh) checkInputs(c1, a []rns.Poly) error {
	if len(c1) != r.cfg.Count {
		return fmt.Errorf("%w: refreshing %d ciphertexts, want %d", mhe.ErrShape, len(c1), r.cfg.Count)
	}
	for i := range c1 {
		if len(c1[i]) != len(r.in) {
			return fmt.Errorf("%w: ciphertext %d is at level %d, want %d", mhe.ErrShape, i, len(c1[i])-1, r.cfg.In)
		}
	}
	return r.checkCommon(a)
}

func (r *Refresh) checkCommon(a []rns.Poly) error {
	if len(a) != r.cfg.outputs() {
		return fmt.Errorf("%w: refreshing with %d common polynomials, want %d", mhe.ErrShape, len(a), r.cfg.outputs())
	}
	for i := range a {
		if len(a[i]) != len(r.out) {
			return fmt.Errorf("%w: common polynomial %d is at level %d, want %d", mhe.ErrShape, i, len(a[i])-1, r.cfg.Out)
		}
	}
	return nil
}

// checkFirst checks first polynomials, which may be missing.
func (r *Refresh) checkFirst(c0 []rns.Poly) error {
	if c0 != nil && len(c0) != r.cfg.Count {
		return fmt.Errorf("%w: refreshing with %d first polynomials, want %d or none", mhe.ErrShape, len(c0), r.cfg.Count)
	}
	for i := range c0 {
		if c0[i] != nil && len(c0[i]) != len(r.in) {
			return fmt.Errorf("%w: first polynomial %d is at level %d, want %d", mhe.ErrShape, i, len(c0[i])-1, r.cfg.In)
		}
	}
	return nil
}

// A batch is what is computed together: inputs in..inEnd-1 and outputs
// out..outEnd-1.
type batch struct{ in, inEnd, out, outEnd int }

// batches returns one batch of everything if there is a mix, and otherwise, to
// save memory, one for each ciphertext.
func (r *Refresh) batches() []batch {
	if r.mix != nil {
		return []batch{{0, r.cfg.Count, 0, len(r.mix)}}
	}
	b := make([]batch, r.cfg.Count)
	for i := range b {
		b[i] = batch{i, i + 1, i, i + 1}
	}
	return b
}

// randomness of one share for one batch.
type randomness struct {
	mask []rns.Mask // by input
	e    [][]int64  // by input
	ePr  [][]int64  // by output
}

func (r *Refresh) draw(b batch, private mhe.Source) (randomness, error) {
	var d randomness
	open := func(name string, i int) io.Reader { return private(fmt.Sprintf("%s %d", name, i)) }
	errors := func(name string, i int) ([]int64, error) {
		e := rns.BorrowInts(r.set.N())
		return e, r.gauss.Fill(open(name, i), e)
	}
	for i := b.in; i < b.inEnd; i++ {
		mask, err := rns.NewMask(open("mask", i), r.set.N(), r.set.MaskBits())
		if err != nil {
			return d, err
		}
		e, err := errors("e", i)
		if err != nil {
			return d, err
		}
		d.mask, d.e = append(d.mask, mask), append(d.e, e)
	}
	for i := b.out; i < b.outEnd; i++ {
		e, err := errors("e'", i)
		if err != nil {
			return d, err
		}
		d.ePr = append(d.ePr, e)
	}
	return d, nil
}

// release gives the memory back.
func (d randomness) release() {
	for _, m := range d.mask {
		m.Release()
	}
	for _, e := range slices.Concat(d.e, d.ePr) {
		rns.ReturnInts(e)
	}
}

// plain reports whether every output is an input as it was.
func (r *Refresh) plain() bool { return r.mix == nil && len(r.before) == 0 }

// extend returns p, over Q, with borrowed limbs for the rest of work.
func (r *Refresh) extend(p []rns.Poly) []rns.Poly {
	out := make([]rns.Poly, len(p))
	for i := range out {
		out[i] = slices.Concat(p[i], r.work[len(r.out):].Borrow())
	}
	return out
}

// giveBack returns the limbs that extend borrowed.
func (r *Refresh) giveBack(p []rns.Poly) {
	for i := range p {
		rns.Return(p[i][len(r.out):])
	}
}

// limbs returns limb j of every polynomial.
func limbs(p []rns.Poly, j int) [][]uint64 {
	out := make([][]uint64, len(p))
	for i := range out {
		out[i] = p[i][j]
	}
	return out
}

// cover writes e - M over Q_ℓ to h and e' + ⌊T(M)/P⌉ over Q to reenc, in NTT
// form.
func (r *Refresh) cover(d randomness, h, reenc []rns.Poly) {
	out := r.extend(reenc)
	defer r.giveBack(out)
	rns.Each(r.cfg.Workers, len(r.work), func(j int) {
		s := r.work[j]
		if r.plain() { // e' shares the transform of M
			r.split(d.mask[0], out[0][j], h[0], d.ePr[0], d.e[0], j)
			rns.NTT(s, out[0][j], out[0][j])
			return
		}
		x := make([][]uint64, len(d.mask))
		for i := range x {
			x[i] = rns.BorrowLimb(s.N)
			r.split(d.mask[i], x[i], h[i], nil, d.e[i], j)
			rns.NTT(s, x[i], x[i])
		}
		r.apply(j, x, limbs(out, j))
		if r.div == nil {
			for i := range out {
				clear(x[0])
				rns.AddInts(s, x[0], d.ePr[i])
				rns.NTT(s, x[0], x[0])
				s.Add(out[i][j], x[0], out[i][j])
			}
		}
		rns.Return(x)
	})
	for i := range out {
		if r.div != nil { // e' shares the transforms of the division
			r.div.Round(out[i], nil, d.ePr[i], r.cfg.Workers)
		}
	}
}

// split writes limb j of M + p to m, in coefficient form, and that of e - M, if h
// has it, to h, in NTT form.
func (r *Refresh) split(mask rns.Mask, m []uint64, h rns.Poly, p, e []int64, j int) {
	s := r.work[j]
	if j >= len(h) {
		mask.Split(s, m, nil, p, nil)
		return
	}
	mask.Split(s, m, h[j], p, e)
	rns.NTT(s, h[j], h[j])
}

// Finish returns the refreshed tensors from the first polynomials of the inputs
// and the sum of all parties' shares: c0 at the root is all that the other
// parties' shares do not hold. It is nil, or nil at an input, where
// [Refresh.ShareOwn] has put the first polynomials into the shares.
func (r *Refresh) Finish(c0, a []rns.Poly, sum mhe.Share) ([]mhe.Tensor, error) {
	if err := r.checkFirst(c0); err != nil {
		return nil, err
	}
	if err := r.checkCommon(a); err != nil {
		return nil, err
	}
	if want := r.cfg.Count + r.cfg.outputs(); len(sum) != want {
		return nil, fmt.Errorf("%w: finishing a refresh with %d polynomials, want %d", mhe.ErrShape, len(sum), want)
	}
	if c0 == nil {
		c0 = make([]rns.Poly, r.cfg.Count)
	}
	first := r.OutputShape().New()
	h, reenc := sum[:r.cfg.Count], sum[r.cfg.Count:]
	for _, b := range r.batches() {
		if err := r.uncover(c0[b.in:b.inEnd], h[b.in:b.inEnd], first[b.out:b.outEnd]); err != nil {
			return nil, err
		}
	}
	out := make([]mhe.Tensor, len(first))
	for i, m := range first {
		r.add(m, reenc[i])
		out[i] = mhe.NewEncrypted(m, a[i], r.cfg.ScaleOut)
	}
	return out, nil
}

// uncover writes ⌊T(c0 + h)/P⌉ to first.
func (r *Refresh) uncover(c0, h []rns.Poly, first []rns.Poly) error {
	if r.plain() {
		return r.masked(c0[0], h[0], first[0])
	}
	m, out := make([]rns.Poly, len(h)), r.extend(first)
	defer r.giveBack(out)
	for i := range m {
		m[i] = r.work.Borrow()
		if err := r.masked(c0[i], h[i], m[i]); err != nil {
			for _, p := range m[:i+1] {
				rns.Return(p)
			}
			return err
		}
	}
	rns.Each(r.cfg.Workers, len(r.work), func(j int) {
		x := limbs(m, j)
		r.apply(j, x, limbs(out, j))
		rns.Return(x)
	})
	for i := range out {
		if r.div != nil {
			r.div.Round(out[i], nil, nil, r.cfg.Workers)
		}
	}
	return nil
}

// ErrOverflow is wrapped by errors about a value that did not fit its modulus.
var ErrOverflow = errors.New("bootstrap: overflow")

// canary looks at m - ΣM, which the protocol shows to whoever finishes it: with
// arithmetic in order its coefficients are within the range of the masks' sum, a
// quarter of the modulus at most. A value that has wrapped around leaves them
// uniform modulo Q_ℓ, and then one of thousands is beyond with certainty. The
// check opens nothing.
func (r *Refresh) canary(low rns.Poly) error {
	masks := float64(r.set.Parties()) * math.Exp2(float64(r.set.MaskBits()-1)-r.set.LogModulus(r.set.MaskLevel()))
	message := math.Exp2(float64(r.set.LogMessage()) - r.set.LogModulus(r.set.MaskLevel()))
	if got, most := r.lift.Largest(low), (masks+message)*(1+1e-9); got > most {
		return fmt.Errorf("%w: a masked value is %.3g of the modulus, at most %.3g can be: a value beyond the masks' range entered the refresh, or a share is damaged; lower the learning rate or widen the intervals, and see what the clear twin says", ErrOverflow, got, most)
	}
	return nil
}

// masked writes c0 + h, lifted from Q_ℓ to all primes of work, to m, in NTT form.
// The low limbs are in NTT form already and need no transform back. Where no map is
// applied it leaves residues unreduced: the sum that follows reduces them.
func (r *Refresh) masked(c0, h, m rns.Poly) error {
	low := r.low.Borrow()
	defer rns.Return(low)
	k := len(r.in)
	rns.Each(r.cfg.Workers, k, func(j int) {
		if c0 == nil {
			copy(m[j], h[j])
		} else {
			r.in[j].Add(c0[j], h[j], m[j])
		}
		if j < len(low) {
			rns.INTTLazy(r.in[j], m[j], low[j]) // the lift takes any residues
		}
	})
	if err := r.canary(low); err != nil {
		return err
	}
	r.lift.Do(low, m[k:], r.cfg.Workers)
	rns.Each(r.cfg.Workers, len(m)-k, func(j int) {
		if s := r.work[k+j]; r.plain() {
			rns.NTTLazy(s, m[k+j], m[k+j])
		} else {
			rns.NTT(s, m[k+j], m[k+j])
		}
	})
	return nil
}

// add adds the re-encryption share to the result.
func (r *Refresh) add(m, share rns.Poly) {
	rns.Each(r.cfg.Workers, len(m), func(j int) {
		if r.plain() {
			rns.AddLazy(r.out[j], m[j], share[j])
		} else {
			r.out[j].Add(m[j], share[j], m[j])
		}
	})
}
