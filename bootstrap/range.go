package bootstrap

import (
	"math"
	"slices"

	"github.com/nereid-mhe/nereid/internal/portable"
	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/packing"
	"github.com/nereid-mhe/nereid/params"
)

// Range returns the range of the outputs for inputs of range in: the map's effect
// on values and errors, the parties' noise, and the rounding of masks and
// divisions. With a mix it is that of the worst slot of all outputs.
//
// It takes far less than [New], for it encodes no masks. Errors wrap
// [mhe.ErrShape].
func (c Config) Range(set params.Set, in mhe.Range) (mhe.Range, error) {
	if err := check(set, &c); err != nil {
		return mhe.Range{}, err
	}
	r := &Refresh{set: set, cfg: c}
	if err := r.prepare(nil); err != nil {
		return mhe.Range{}, err
	}
	return r.Range(in), nil
}

// Range is [Config.Range] of the refresh.
func (r *Refresh) Range(in mhe.Range) mhe.Range {
	noise := mhe.NewNoise(r.set)
	parties := float64(r.set.Parties())
	e := portable.Hypot(in.Err, noise.Slots(params.Sigma*math.Sqrt(parties), r.cfg.ScaleIn))
	n := r.period()
	x := spread{slices.Repeat([]float64{in.Max}, n), slices.Repeat([]float64{in.RMS * in.RMS}, n), slices.Repeat([]float64{e * e}, n)}
	var sums []spread // by output
	for i, l := range r.cfg.Linears() {
		before := r.spread(x, l.Before, r.sum[i].before)
		out := []spread{before}
		if l.Mix != nil {
			out = r.spreadMix(before, l.Mix, r.sum[i].mix)
		}
		for k := range out {
			if out[k] = r.spread(out[k], l.After, r.sum[i].after); i > 0 {
				out[k].add(sums[k])
			}
		}
		sums = out
	}
	var worst mhe.Range
	for _, x := range sums {
		worst.Max = max(worst.Max, slices.Max(x.bound))
		worst.RMS = max(worst.RMS, math.Sqrt(slices.Max(x.size)))
		worst.Err = max(worst.Err, math.Sqrt(slices.Max(x.err)))
	}
	fresh := float64(params.Sigma * params.Sigma * parties)
	if r.cfg.Masked() {
		fresh += (parties + 1) / 12
	}
	worst.Err = portable.Hypot(worst.Err, noise.Slots(math.Sqrt(fresh), r.cfg.ScaleOut))
	return worst
}

// A spread is what is known of one period of slots: bounds, mean squares, and the
// variances of their errors.
type spread struct{ bound, size, err []float64 }

// add adds y to x, which owns its memory.
func (x spread) add(y spread) {
	for k := range x.bound {
		x.bound[k] += y.bound[k]
		x.size[k] += y.size[k]
		x.err[k] += y.err[k]
	}
}

// spread returns what a map makes of x.
func (r *Refresh) spread(x spread, m packing.Map, steps []step) spread {
	noise := mhe.NewNoise(r.set)
	for i, s := range m.Steps {
		sum, mask := packing.Map{Steps: []packing.Step{{Rotations: s.Rotations}}}, packing.Map{Steps: []packing.Step{{Mask: s.Mask}}}
		x.bound = mask.ApplyBound(sum.ApplyBound(x.bound))
		x.size, x.err = sum.ApplyVariance(x.size), mask.ApplyVariance(sum.ApplyVariance(x.err))
		if st := steps[i]; st.mask != nil {
			rounding := noise.Encode(st.mask.period, st.mask.scale)
			for k := range x.err {
				x.err[k] += float64(rounding * rounding * x.size[k])
			}
		}
		x.size = mask.ApplyVariance(x.size)
	}
	return x
}

// spreadMix returns what a mix makes of inputs like x.
func (r *Refresh) spreadMix(x spread, m packing.Mix, mix [][]piece) []spread {
	noise := mhe.NewNoise(r.set)
	all := func(v []float64) [][]float64 { return slices.Repeat([][]float64{v}, r.cfg.Count) }
	bound, size, err := m.ApplyBound(all(x.bound)), m.ApplyVariance(all(x.size)), m.ApplyVariance(all(x.err))
	out := make([]spread, len(mix))
	for i, pieces := range mix {
		for k, p := range pieces {
			if p.mask == nil {
				continue
			}
			rounding := noise.Encode(p.mask.period, p.mask.scale)
			by := packing.Mod(m[i][k].By, len(x.size))
			for t := range err[i] {
				err[i][t] += float64(rounding * rounding * x.size[(t+by)%len(x.size)])
			}
		}
		out[i] = spread{bound[i], size[i], err[i]}
	}
	return out
}

// period returns a number of slots after which the map's effect repeats: that of
// its longest mask.
func (r *Refresh) period() int {
	n := 8
	for _, l := range r.cfg.Linears() {
		for _, m := range []packing.Map{l.Before, l.After} {
			for _, s := range m.Steps {
				n = max(n, len(s.Mask))
			}
		}
		for _, pieces := range l.Mix {
			for _, p := range pieces {
				n = max(n, len(p.Mask))
			}
		}
	}
	return n
}
