package nn

import (
	"fmt"

	"github.com/nereid-mhe/nereid/bootstrap"
	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/packing"
)

// divide shares the aggregated refresh out among the parties: each adds up and
// finishes about as many ciphertexts. Ciphertexts that a map mixes stay together.
func (p *NetworkPlan) divide() {
	total := 0
	for _, q := range p.Parameters {
		total += q.Count
	}
	share := max(1, (total+p.Net.Parties-1)/p.Net.Parties)
	p.Parts = nil
	for i, q := range p.Parameters {
		step := q.Count
		if q.Layer == 0 {
			step = share
		}
		for lo := 0; lo < q.Count; lo += step {
			p.Parts = append(p.Parts, Part{i, lo, min(q.Count, lo+step), len(p.Parts) % p.Net.Parties})
		}
	}
}

// UpdateConfig returns the refresh of a part in a step, with the learning rate in
// its map.
func (p *NetworkPlan) UpdateConfig(part Part, step int) bootstrap.Config {
	q := p.Parameters[part.Parameter]
	c := bootstrap.Config{In: p.Set.MaskLevel(), Out: q.Level, Count: part.Hi - part.Lo, ScaleIn: q.GradScale, ScaleOut: q.Scale}
	factor, y := p.updateFactor(part.Parameter, step), p.layers[q.Layer]
	switch {
	case q.Bias:
		c.Map = y.face.Bias(p.Rows, factor)
	case q.Layer == 0:
		u := y.input.Update(factor)
		c.Map = u.Before.Then(packing.Map{Steps: []packing.Step{{Mask: u.Mix[0][0].Mask}}}).Then(u.After)
	default:
		u := y.inner.Update(factor)
		c.Map, c.Mix, c.After = u.Before, u.Mix, u.After
	}
	return c
}

// updateFactor returns η_k/rows of a parameter, in its units.
func (p *NetworkPlan) updateFactor(param, step int) float64 {
	q := p.Parameters[param]
	f := p.Net.Optimiser.rate(q.Layer, step, p.Net.Steps) / float64(p.Net.rows())
	if q.Bias {
		f /= q.Parts
	}
	return f
}

// combine adds momentum and weight decay to the summed gradient of some
// ciphertexts of a parameter, from lo on. The update map multiplies what is
// replicated already by Copies.
func (p *NetworkPlan) combine(ev mhe.Evaluator, st State, step int, part Part, sum []mhe.Tensor) ([]mhe.Tensor, error) {
	q, o := p.Parameters[part.Parameter], p.Net.Optimiser
	f := p.updateFactor(part.Parameter, step)
	out := make([]mhe.Tensor, len(sum))
	for i, g := range sum {
		var err error
		if o.Momentum > 0 && st.V[part.Parameter] != nil {
			g, err = p.addScaled(ev, g, o.Momentum/(f*q.Copies), st.V[part.Parameter][part.Lo+i])
		}
		if err == nil && o.L2 > 0 && !q.Bias {
			c := o.L2 * o.rate(q.Layer, step, p.Net.Steps) / (f * q.Copies)
			g, err = p.addScaled(ev, g, c, st.W[part.Parameter][part.Lo+i])
		}
		if err != nil {
			return nil, fmt.Errorf("nn: momentum and decay of %s: %w", q.Name, err)
		}
		out[i] = g
	}
	return out, nil
}

// addScaled returns g + c·v.
func (p *NetworkPlan) addScaled(ev mhe.Evaluator, g mhe.Tensor, c float64, v mhe.Tensor) (mhe.Tensor, error) {
	constant := make([]float64, 8)
	for i := range constant {
		constant[i] = c
	}
	return ev.AddScaled(g, mhe.Plain(constant), v)
}

// apply returns the state after updates u.
func (p *NetworkPlan) apply(ev mhe.Evaluator, st State, u [][]mhe.Tensor) (State, error) {
	o := p.Net.Optimiser
	next := State{make([][]mhe.Tensor, len(u)), nil}
	if o.Momentum > 0 {
		next.V = u
	} else {
		next.V = make([][]mhe.Tensor, len(u))
	}
	for i := range u {
		next.W[i] = make([]mhe.Tensor, len(u[i]))
		for c, v := range u[i] {
			step := v
			var err error
			if o.Nesterov {
				before := mhe.Tensor{}
				if st.V[i] != nil {
					before = st.V[i][c]
				}
				if step, err = p.lookAhead(ev, v, before); err != nil {
					return next, err
				}
			}
			if next.W[i][c], err = ev.Sub(st.W[i][c], step); err != nil {
				return next, fmt.Errorf("nn: update of %s: %w", p.Parameters[i].Name, err)
			}
		}
	}
	return next, nil
}

// lookAhead returns V + μ·(V - before), at one level less.
func (p *NetworkPlan) lookAhead(ev mhe.Evaluator, v, before mhe.Tensor) (mhe.Tensor, error) {
	d := v
	if before.Scale() != nil {
		var err error
		if d, err = ev.Sub(v, before); err != nil {
			return d, err
		}
	}
	low, err := mhe.Drop(v, v.Level()-1)
	if err != nil {
		return d, err
	}
	return p.addScaled(ev, low, p.Net.Optimiser.Momentum, d)
}
