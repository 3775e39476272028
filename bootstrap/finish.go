package bootstrap

import (
	"errors"
	"fmt"

	"github.com/nereid-mhe/nereid/internal/portable"
	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/mhe/rns"
)

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
	masks := float64(float64(r.set.Parties()) * portable.Exp2(float64(r.set.MaskBits()-1)-r.set.LogModulus(r.set.MaskLevel())))
	message := portable.Exp2(float64(r.set.LogMessage()) - r.set.LogModulus(r.set.MaskLevel()))
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
