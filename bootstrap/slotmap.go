package bootstrap

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"math/big"

	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/mhe/rns"
	"github.com/nereid-mhe/nereid/packing"
)

// A step is a packing.Step with its tables: a sum of rotations, nil for that by
// 0, and a mask, nil for none.
type step struct {
	sum  []rns.Automorphism
	mask *mask
}

// sums reports whether the step does more than multiply.
func (st step) sums() bool { return len(st.sum) > 1 || len(st.sum) == 1 && st.sum[0] != nil }

// A piece is a packing.Piece with its tables.
type piece struct {
	in   int
	by   rns.Automorphism // nil for the rotation by 0
	mask *mask
}

// A program is a packing.Linear with its tables.
type program struct {
	before, after []step
	mix           [][]piece // by output; nil for none
}

// A mask is one period of a plaintext of the map.
type mask struct {
	limbs  rns.Poly // over work, as in [rns.MulPeriod]
	period int      // of the values
	scale  *big.Float
	sum    [32]byte // of the limbs
}

// limb returns limb j, nil for no mask.
func (m *mask) limb(j int) []uint64 {
	if m == nil {
		return nil
	}
	return m.limbs[j]
}

// A builder makes the tables of a map. Equal rotations share one, and so do masks
// with equal values and scales.
type builder struct {
	r         *Refresh
	enc       *mhe.Encoder // nil for scales and periods only
	left      *big.Float   // what the scales of the masks to come multiply to
	depth     int          // of the masks to come
	rotations map[int]rns.Automorphism
	masks     map[[32]byte]*mask
}

// prepare makes the tables of the map. The product of the scales of the masks
// along a path is P·ScaleOut/ScaleIn; all but the last have a power of two.
func (r *Refresh) prepare(enc *mhe.Encoder) (err error) {
	b := builder{r: r, enc: enc, rotations: map[int]rns.Automorphism{}, masks: map[[32]byte]*mask{}}
	for _, l := range r.cfg.Linears() {
		b.left, b.depth = new(big.Float).SetPrec(128).Quo(r.cfg.ScaleOut, r.cfg.ScaleIn), l.Depth()
		for _, p := range r.set.SpecialPrimes() {
			b.left.Mul(b.left, new(big.Float).SetUint64(p))
		}
		var p program
		if p.before, err = b.steps(l.Before); err != nil {
			return err
		}
		if p.mix, err = b.mix(l.Mix); err != nil {
			return err
		}
		if p.after, err = b.steps(l.After); err != nil {
			return err
		}
		r.sum = append(r.sum, p)
	}
	return nil
}

// scale returns the scale of the next mask.
func (b *builder) scale() *big.Float {
	scale := b.left
	if b.depth > 1 {
		scale = mhe.Power(b.left.MantExp(nil) / b.depth)
		b.left = new(big.Float).SetPrec(128).Quo(b.left, scale)
	}
	b.depth--
	return scale
}

func (b *builder) steps(m packing.Map) ([]step, error) {
	var steps []step
	for _, s := range m.Steps {
		var st step
		for _, k := range s.Rotations {
			a, err := b.rotation(k)
			if err != nil {
				return nil, err
			}
			st.sum = append(st.sum, a)
		}
		if s.Mask != nil {
			var err error
			if st.mask, err = b.mask(s.Mask, b.scale()); err != nil {
				return nil, err
			}
		}
		steps = append(steps, st)
	}
	return steps, nil
}

func (b *builder) mix(m packing.Mix) ([][]piece, error) {
	if m == nil {
		return nil, nil
	}
	var scale *big.Float
	if m.Depth() > 0 {
		scale = b.scale()
	}
	out := make([][]piece, len(m))
	for i, pieces := range m {
		for _, p := range pieces {
			a, err := b.rotation(p.By)
			if err != nil {
				return nil, err
			}
			q := piece{in: p.In, by: a}
			if scale != nil {
				if q.mask, err = b.mask(p.Mask, scale); err != nil {
					return nil, err
				}
			}
			out[i] = append(out[i], q)
		}
	}
	return out, nil
}

// rotation returns the table of a rotation, nil for that by 0.
func (b *builder) rotation(k int) (rns.Automorphism, error) {
	if k = packing.Mod(k, b.r.set.N()); k == 0 || b.enc == nil {
		return nil, nil
	}
	if a, ok := b.rotations[k]; ok {
		return a, nil
	}
	c := b.r.set.CKKS()
	a, err := rns.NewAutomorphism(c.N(), c.RingQ().NthRoot(), c.GaloisElement(k))
	if err != nil {
		return nil, err
	}
	b.rotations[k] = a
	return a, nil
}

// minMaskScale keeps the rounding of a mask's coefficients below what any use of
// the result could notice.
const minMaskScale = 20

func (b *builder) mask(values []float64, scale *big.Float) (*mask, error) {
	if scale.MantExp(nil) < minMaskScale {
		return nil, fmt.Errorf("%w: a mask at scale 2^%d is too coarse: lower the input's scale or use fewer masks", mhe.ErrShape, scale.MantExp(nil))
	}
	if b.enc == nil { // for the range only
		return &mask{period: len(values), scale: scale}, nil
	}
	key := append(make([]byte, 0, 8*len(values)+64), scale.Text('p', 0)...)
	for _, v := range values {
		key = binary.BigEndian.AppendUint64(key, math.Float64bits(v))
	}
	id := sha256.Sum256(binary.BigEndian.AppendUint64(key, uint64(len(values))))
	if m, ok := b.masks[id]; ok {
		return m, nil
	}
	v := make([]float64, max(8, len(values)))
	for i := range v {
		v[i] = values[i%len(values)]
	}
	limbs, err := b.enc.EncodePeriod(v, scale, b.r.work)
	if err != nil {
		return nil, err
	}
	encoded := make([]byte, 0, b.r.work.EncodedSize()/b.r.set.N()*len(v))
	m := &mask{limbs: limbs, period: len(values), scale: scale, sum: sha256.Sum256(b.r.work.Append(encoded, limbs))}
	for i, s := range b.r.work {
		s.MForm(limbs[i], limbs[i])
	}
	b.masks[id] = m
	return m, nil
}

// apply writes the whole map of limb j of the inputs x to out. It overwrites x
// and may exchange its limbs; out overlaps none of them.
func (r *Refresh) apply(j int, x, out [][]uint64) {
	borrow := func(n int) [][]uint64 {
		p := make([][]uint64, n)
		for i := range p {
			p[i] = rns.BorrowLimb(r.set.N())
		}
		return p
	}
	for n, p := range r.sum {
		from, to := x, out
		if n < len(r.sum)-1 { // x is needed again
			from = borrow(len(x))
			for i := range x {
				copy(from[i], x[i])
			}
			defer func() { rns.Return(from) }()
		}
		if n > 0 {
			to = borrow(len(out))
			defer func() { rns.Return(to) }()
		}
		r.execute(p, j, from, to)
		if n > 0 {
			for i := range out {
				r.work[j].Add(out[i], to[i], out[i])
			}
		}
	}
}

// execute writes what p makes of limb j of the inputs x to out, as apply does with
// its arguments.
func (r *Refresh) execute(p program, j int, x, out [][]uint64) {
	if p.mix == nil {
		r.run(p.before, j, x[0], out[0])
		return
	}
	s, spare := r.work[j], rns.BorrowLimb(r.set.N())
	if len(p.before) > 0 {
		for i := range x {
			r.run(p.before, j, x[i], spare)
			x[i], spare = spare, x[i]
		}
	}
	var terms []rns.Term
	for i, pieces := range p.mix {
		if len(pieces) == 0 {
			clear(out[i])
			continue
		}
		terms = terms[:0]
		for _, q := range pieces {
			terms = append(terms, rns.Term{X: x[q.in], By: q.by, Mask: q.mask.limb(j)})
		}
		if len(p.after) == 0 {
			rns.Sum(s, out[i], terms)
			continue
		}
		rns.Sum(s, spare, terms)
		r.run(p.after, j, spare, out[i])
	}
	rns.ReturnLimb(spare)
}

// run writes the result of steps on limb j, x, to dst and overwrites x.
func (r *Refresh) run(steps []step, j int, x, dst []uint64) {
	s, spare := r.work[j], rns.BorrowLimb(r.set.N())
	defer rns.ReturnLimb(spare) // whatever role it plays by then: dst and x are others
	last := len(steps) - 1      // the sum that is made in dst
	for last >= 0 && !steps[last].sums() {
		last--
	}
	if last < 0 {
		copy(dst, x)
		x = dst
	}
	other := spare
	var terms []rns.Term
	for i, st := range steps {
		if st.sums() {
			terms = terms[:0]
			for _, a := range st.sum {
				terms = append(terms, rns.Term{X: x, By: a})
			}
			if i == last {
				other = dst
			}
			rns.Sum(s, other, terms)
			x, other = other, x
		}
		if st.mask != nil {
			rns.MulPeriod(s, x, x, st.mask.limbs[j])
		}
	}
}
