// Package bootstrap is the collective refresh: all parties together restore the
// levels of a ciphertext and apply a slot map on the way.
//
// Input (c0, c1) at a low level ℓ, modulus Q_ℓ; output at a high level, modulus
// Q. Party i, with a mask M_i of integers uniform in [-2^(B-1), 2^(B-1)):
//
//	h_i  = c1·s_i + e_i - M_i                 mod Q_ℓ    masked decryption share
//	h'_i = -a·s_i + e'_i + ⌊T(M_i)/P⌉         mod Q      re-encryption share
//	M    = c0 + Σ h_i as centred integers = m - Σ M_i    nothing wraps
//	out  = (⌊T(M)/P⌉ + Σ h'_i, a)                        an encryption of T(m)
//
// T is the slot map on polynomials that are known, so that a rotation is a
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
	"fmt"
	"io"
	"math/big"

	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/mhe/rns"
	"github.com/nereid-mhe/nereid/packing"
	"github.com/nereid-mhe/nereid/params"
)

// A Config says what a refresh does to each of its inputs.
type Config struct {
	In, Out int         // levels of input and output
	Count   int         // ciphertexts refreshed in one round
	Map     packing.Map // applied to every ciphertext; zero for none

	// ScaleIn is the scale of the inputs and ScaleOut that of the outputs, to
	// the last bit. A map without a mask cannot change the scale.
	ScaleIn, ScaleOut *big.Float

	Workers int // goroutines inside one call; 0 means 1
}

// A Refresh holds what is computed once for all rounds of one plan point. It has
// no scratch space and is safe for concurrent use.
type Refresh struct {
	set   params.Set
	cfg   Config
	gauss rns.Gaussian

	in, out rns.Basis // Q_ℓ and Q
	work    rns.Basis // Q, followed by the special primes if the map has masks
	low     rns.Basis // the mask primes, which hold the masked message
	lift    *rns.Lift // from low to what work has above in
	div     *rns.Divider
	steps   []step
	hash    [32]byte
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
	if cfg.Map.Depth() > 0 {
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
	case cfg.Map.Depth() == 0 && cfg.ScaleIn.Cmp(cfg.ScaleOut) != 0:
		return fmt.Errorf("%w: a map without a mask cannot change the scale", mhe.ErrShape)
	}
	if err := cfg.Map.Check(set.N()); err != nil {
		return fmt.Errorf("%w: %w", mhe.ErrShape, err)
	}
	return nil
}

// Shape is the shape of a share: for every ciphertext h over Q_ℓ and h' over Q.
func (r *Refresh) Shape() mhe.Shape {
	var sh mhe.Shape
	for range r.cfg.Count {
		sh = append(sh, r.in, r.out)
	}
	return sh
}

// Hash identifies everything but the inputs that a share depends on. It belongs
// into the label's digest. It covers the masks of the map as they were encoded, to
// the last bit: a party whose floating point rounds differently computes another
// map, and must be refused rather than add masks that do not cancel.
func (r *Refresh) Hash() [32]byte { return r.hash }

func (r *Refresh) digest() [32]byte {
	b := []byte("nereid/refresh/v2")
	h, m := r.set.Hash(), r.cfg.Map.Hash()
	b = append(append(b, h[:]...), m[:]...)
	for _, st := range r.steps {
		if st.mask != nil {
			sum := sha3.Sum256(r.work.Append(nil, st.mask))
			b = append(b, sum[:]...)
		}
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
	a := make([]rns.Poly, r.cfg.Count)
	for i := range a {
		a[i] = r.out.New()
		if err := r.out.Uniform(common(fmt.Sprintf("a%d", i)), a[i]); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// Share makes a party's share for the ciphertexts with second polynomials c1.
// All randomness comes from private, which must belong to a label that names
// these inputs: a mask used for two inputs gives the secret away.
func (r *Refresh) Share(sk mhe.SecretKey, c1, a []rns.Poly, private mhe.Source) (mhe.Share, error) {
	if err := r.checkInputs(c1, a); err != nil {
		return nil, err
	}
	share := make(mhe.Share, 0, 2*r.cfg.Count)
	for i := range c1 {
		d, err := r.draw(func(name string) io.Reader { return private(fmt.Sprintf("%s %d", name, i)) })
		if err != nil {
			return nil, err
		}
		h, reenc := r.share(d)
		sk.MulAdd(r.cfg.In, h, c1[i])
		sk.MulSub(r.cfg.Out, reenc, a[i])
		share = append(share, h, reenc)
	}
	return share, nil
}

func (r *Refresh) checkInputs(c1, a []rns.Poly) error {
	if len(c1) != r.cfg.Count || len(a) != r.cfg.Count {
		return fmt.Errorf("%w: refreshing %d ciphertexts with %d common polynomials, want %d", mhe.ErrShape, len(c1), len(a), r.cfg.Count)
	}
	for i := range c1 {
		if len(c1[i]) != len(r.in) || len(a[i]) != len(r.out) {
			return fmt.Errorf("%w: ciphertext %d is at level %d, want %d", mhe.ErrShape, i, len(c1[i])-1, r.cfg.In)
		}
	}
	return nil
}

// randomness of one share for one ciphertext.
type randomness struct {
	mask   rns.Mask
	e, ePr []int64
}

func (r *Refresh) draw(src mhe.Source) (d randomness, err error) {
	n := r.set.N()
	if d.mask, err = rns.NewMask(src("mask"), n, r.set.MaskBits()); err != nil {
		return d, err
	}
	if d.e, err = r.gauss.Sample(src("e"), n); err != nil {
		return d, err
	}
	d.ePr, err = r.gauss.Sample(src("e'"), n)
	return d, err
}

// share returns e - M over Q_ℓ and e' + ⌊T(M)/P⌉ over Q, in NTT form.
func (r *Refresh) share(d randomness) (h, reenc rns.Poly) {
	h, reenc = r.in.New(), r.work.New()
	rns.Each(r.cfg.Workers, len(r.work), func(j int) {
		s := r.work[j]
		d.mask.Limb(s, reenc[j])
		if j < len(r.in) {
			s.Neg(reenc[j], h[j])
			rns.AddInts(s, h[j], d.e)
			s.NTT(h[j], h[j])
		}
		if r.div == nil && len(r.steps) == 0 { // e' shares the transform of M
			rns.AddInts(s, reenc[j], d.ePr)
		}
		s.NTT(reenc[j], reenc[j])
	})
	switch {
	case len(r.steps) == 0:
	case r.div == nil:
		reenc = r.apply(reenc)
		rns.Each(r.cfg.Workers, len(r.work), func(j int) {
			s, limb := r.work[j], rns.BorrowLimb(r.set.N())
			defer rns.ReturnLimb(limb)
			clear(limb)
			rns.AddInts(s, limb, d.ePr)
			s.NTT(limb, limb)
			s.Add(reenc[j], limb, reenc[j])
		})
	default: // e' shares the transforms of the division
		reenc = r.apply(reenc)
		r.div.Round(reenc, nil, d.ePr, r.cfg.Workers)
	}
	return h, reenc[:len(r.out)]
}

// Finish returns the refreshed tensors from the inputs and the sum of all
// parties' shares. It takes the first polynomials of the inputs only: c0 at the
// root is all that the other parties' shares do not hold.
func (r *Refresh) Finish(c0, a []rns.Poly, sum mhe.Share) ([]mhe.Tensor, error) {
	if err := r.checkInputs(c0, a); err != nil {
		return nil, err
	}
	if len(sum) != 2*r.cfg.Count {
		return nil, fmt.Errorf("%w: finishing a refresh with %d polynomials, want %d", mhe.ErrShape, len(sum), 2*r.cfg.Count)
	}
	out := make([]mhe.Tensor, r.cfg.Count)
	for i := range out {
		m := r.masked(c0[i], sum[2*i])
		if len(r.steps) > 0 {
			m = r.apply(m)
		}
		if r.div != nil {
			r.div.Round(m, nil, nil, r.cfg.Workers)
			m = m[:len(r.out)]
		}
		r.add(m, sum[2*i+1])
		out[i] = mhe.NewEncrypted(m, a[i], r.cfg.ScaleOut)
	}
	return out, nil
}

// lazy reports whether masked may leave residues below twice their primes: where
// no map is applied, the sum that follows reduces them.
func (r *Refresh) lazy() bool { return len(r.steps) == 0 }

// masked returns c0 + h, lifted from Q_ℓ to all primes of work, in NTT form. The
// low limbs are in NTT form already and need no transform back.
func (r *Refresh) masked(c0, h rns.Poly) rns.Poly {
	m, low := r.work.New(), r.low.Borrow()
	defer rns.Return(low)
	k := len(r.in)
	rns.Each(r.cfg.Workers, k, func(j int) {
		r.in[j].Add(c0[j], h[j], m[j])
		if j < len(low) {
			r.in[j].INTTLazy(m[j], low[j]) // the lift takes any residues
		}
	})
	r.lift.Do(low, m[k:], r.cfg.Workers)
	rns.Each(r.cfg.Workers, len(m)-k, func(j int) {
		if s := r.work[k+j]; r.lazy() {
			s.NTTLazy(m[k+j], m[k+j])
		} else {
			s.NTT(m[k+j], m[k+j])
		}
	})
	return m
}

// add adds the re-encryption share to the result.
func (r *Refresh) add(m, share rns.Poly) {
	rns.Each(r.cfg.Workers, len(m), func(j int) {
		if r.lazy() {
			rns.AddLazy(r.out[j], m[j], share[j])
		} else {
			r.out[j].Add(m[j], share[j], m[j])
		}
	})
}

// InputShape is the shape of the polynomials of the inputs that a round carries.
func (r *Refresh) InputShape() mhe.Shape {
	var sh mhe.Shape
	for range r.cfg.Count {
		sh = append(sh, r.in)
	}
	return sh
}
