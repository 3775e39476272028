package bootstrap

import (
	"fmt"
	"math"
	"math/big"
	"math/bits"
	"slices"

	"github.com/tuneinsight/lattigo/v5/ring"

	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/mhe/rns"
	"github.com/nereid-mhe/nereid/packing"
	"github.com/nereid-mhe/nereid/params"
)

// A step is a packing.Step with its tables.
type step struct {
	keep      bool               // the sum includes rotation 0
	rotations []rns.Automorphism // of the others
	mask      rns.Poly           // NTT and Montgomery form; nil for none
	maskScale *big.Float
}

// prepare makes the tables of the map. The product of the masks' scales is
// P·ScaleOut/ScaleIn; all but the last have a power of two.
func (r *Refresh) prepare(enc *mhe.Encoder) error {
	left := new(big.Float).SetPrec(128).Quo(r.cfg.ScaleOut, r.cfg.ScaleIn)
	for _, p := range r.set.CKKS().P() {
		left.Mul(left, new(big.Float).SetUint64(p))
	}
	masks := r.cfg.Map.Depth()
	for _, s := range r.cfg.Map.Steps {
		var st step
		for _, k := range s.Rotations {
			if k = packing.Mod(k, r.set.N()); k == 0 {
				st.keep = true
				continue
			}
			c := r.set.CKKS()
			a, err := rns.NewAutomorphism(c.N(), c.RingQ().NthRoot(), c.GaloisElement(k))
			if err != nil {
				return err
			}
			st.rotations = append(st.rotations, a)
		}
		if len(s.Rotations) == 0 {
			st.keep = true
		}
		if s.Mask != nil {
			scale := left
			if masks > 1 {
				scale = mhe.Power(left.MantExp(nil) / masks)
				left = new(big.Float).SetPrec(128).Quo(left, scale)
			}
			masks--
			st.maskScale = scale
			var err error
			if st.mask, err = r.mask(enc, s.Mask, scale); err != nil {
				return err
			}
		}
		r.steps = append(r.steps, st)
	}
	return nil
}

// minMaskScale keeps the rounding of a mask's coefficients below what any use of
// the result could notice.
const minMaskScale = 20

func (r *Refresh) mask(enc *mhe.Encoder, values []float64, scale *big.Float) (rns.Poly, error) {
	if scale.MantExp(nil) < minMaskScale {
		return nil, fmt.Errorf("%w: a mask at scale 2^%d is too coarse: lower the input's scale or use fewer masks", mhe.ErrShape, scale.MantExp(nil))
	}
	v := make([]float64, max(8, len(values)))
	for i := range v {
		v[i] = values[i%len(values)]
	}
	p, err := enc.Encode(v, scale, r.work)
	if err != nil {
		return nil, err
	}
	for i, s := range r.work {
		s.MForm(p[i], p[i])
	}
	return p, nil
}

// apply returns the map of x, in NTT form over work, and destroys x.
func (r *Refresh) apply(x rns.Poly) rns.Poly {
	rns.Each(r.cfg.Workers, len(x), func(j int) {
		spare := rns.BorrowLimb(r.set.N())
		for _, st := range r.steps {
			x[j], spare = st.limb(r.work[j], x[j], spare, j)
		}
		rns.ReturnLimb(spare)
	})
	return x
}

// limb applies a step to limb j and returns the result and a free limb.
func (st *step) limb(s *ring.SubRing, x, spare []uint64, j int) (out, free []uint64) {
	if len(st.rotations) > 0 {
		if rest := st.rotations; st.keep {
			copy(spare, x)
			for _, a := range rest {
				a.Add(spare, x, s.Modulus)
			}
		} else {
			rest[0].Apply(spare, x)
			for _, a := range rest[1:] {
				a.Add(spare, x, s.Modulus)
			}
		}
		x, spare = spare, x
	}
	if st.mask != nil {
		s.MulCoeffsMontgomery(x, st.mask[j], x)
	}
	return x, spare
}

// Range returns the range of the output for an input of range in: the map's
// effect on values and errors, the parties' noise, and the rounding of masks and
// divisions.
func (r *Refresh) Range(in mhe.Range) mhe.Range {
	noise := mhe.NewNoise(r.set)
	parties := float64(r.set.Parties())
	e := math.Hypot(in.Err, noise.Slots(params.Sigma*math.Sqrt(parties), r.cfg.ScaleIn))
	n := r.period()
	bound, size, err := slices.Repeat([]float64{in.Max}, n), slices.Repeat([]float64{in.RMS * in.RMS}, n), slices.Repeat([]float64{e * e}, n)
	for i, s := range r.cfg.Map.Steps {
		sum, mask := packing.Map{Steps: []packing.Step{{Rotations: s.Rotations}}}, packing.Map{Steps: []packing.Step{{Mask: s.Mask}}}
		bound = mask.ApplyBound(sum.ApplyBound(bound))
		size, err = sum.ApplyVariance(size), mask.ApplyVariance(sum.ApplyVariance(err))
		if s.Mask != nil {
			rounding := noise.Encode(len(s.Mask), r.steps[i].maskScale)
			for k := range err {
				err[k] += rounding * rounding * size[k]
			}
		}
		size = mask.ApplyVariance(size)
	}
	fresh := params.Sigma * params.Sigma * parties
	if r.div != nil {
		fresh += (parties + 1) / 12
	}
	return mhe.Range{
		Max: slices.Max(bound),
		RMS: math.Sqrt(slices.Max(size)),
		Err: math.Hypot(math.Sqrt(slices.Max(err)), noise.Slots(math.Sqrt(fresh), r.cfg.ScaleOut)),
	}
}

// period returns a number of slots after which the map's effect repeats.
func (r *Refresh) period() int {
	n := 8
	for _, s := range r.cfg.Map.Steps {
		n = max(n, len(s.Mask))
		for _, k := range s.Rotations {
			if k = min(packing.Mod(k, r.set.N()), packing.Mod(-k, r.set.N())); k > 0 {
				n = max(n, 2<<bits.Len(uint(k)))
			}
		}
	}
	return min(n, r.set.N())
}
