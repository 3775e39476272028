package nn

import (
	"fmt"
	"math/big"
	"slices"

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
		sum := p.update(q, 0)
		for lo, hi := 0, 0; lo < q.Count; lo = hi {
			hi = min(q.Count, lo+share)
			for hi < q.Count && mixes(sum, hi) {
				hi++
			}
			p.Parts = append(p.Parts, Part{i, lo, hi, len(p.Parts) % p.Net.Parties})
		}
	}
}

// mixes reports whether an output below at takes from an input that is not, or the
// other way round.
func mixes(sum []packing.Linear, at int) bool {
	for _, l := range sum {
		for i, pieces := range l.Mix {
			for _, piece := range pieces {
				if (i < at) != (piece.In < at) {
					return true
				}
			}
		}
	}
	return false
}

// update returns the update of a parameter in a step, as a sum of maps, with the
// learning rates in them.
func (p *NetworkPlan) update(q Parameter, step int) (sum []packing.Linear) {
	for _, l := range q.Layers {
		y, f := p.layers[l], p.factor(q, l, step)
		if q.Bias {
			sum = append(sum, packing.Linear{Before: y.face.Bias(p.Rows, f)})
			continue
		}
		sum = append(sum, p.strips.Update(y.update(p.strips.Width, f), y.first, q.Count))
	}
	return sum
}

// shared reports whether the parameter is in strips.
func (p *NetworkPlan) shared(q Parameter) bool { return p.Layout.Strips > 1 && !q.Bias }

// update returns the update of the layer's weights in so many positions.
func (y layerPlan) update(width int, factor float64) packing.Update {
	if y.bias < 0 {
		return y.input.Update(width, factor)
	}
	return y.inner.Update(width, factor)
}

// UpdateConfig returns the refresh of a part in a step, with the learning rate in
// its map.
func (p *NetworkPlan) UpdateConfig(part Part, step int) bootstrap.Config {
	q := p.Parameters[part.Parameter]
	c := bootstrap.Config{In: p.Set.MaskLevel(), Out: q.Level, Count: part.Hi - part.Lo, ScaleIn: q.GradScale, ScaleOut: q.Scale}
	sum := p.update(q, step)
	if !p.shared(q) && !q.Bias && q.Layers[0] == 0 { // every ciphertext by itself
		c.Map = sum[0].Before.Then(packing.Map{Steps: []packing.Step{{Mask: sum[0].Mix[0][0].Mask}}}).Then(sum[0].After)
		return c
	}
	var parts []packing.Linear
	for _, l := range sum {
		pieces := 0
		if l.Mix != nil {
			l.Mix = l.Mix[part.Lo:part.Hi]
		}
		for _, m := range l.Mix {
			pieces += len(m)
			for k := range m {
				m[k].In -= part.Lo
			}
		}
		if pieces > 0 || l.Mix == nil { // otherwise the layer is elsewhere
			parts = append(parts, l)
		}
	}
	c.Map, c.Mix, c.After, c.Plus = parts[0].Before, parts[0].Mix, parts[0].After, parts[1:]
	return c
}

// factor returns what the update of a layer's parameter multiplies gradients by:
// η_k/rows, in the units in which the parameter and its gradient are held.
func (p *NetworkPlan) factor(q Parameter, l, step int) float64 {
	y, f := p.layers[l], p.Net.Optimiser.rate(l, step, p.Net.Steps)/float64(p.Net.rows())
	switch {
	case q.Bias:
		f /= y.parts
	case p.shared(q):
		f *= ratio(y.scale, q.Scale) * ratio(q.GradScale, y.grad)
	}
	return f
}

// ratio returns a/b of two scales.
func ratio(a, b *big.Float) float64 {
	f, _ := new(big.Float).Quo(a, b).Float64()
	return f
}

// combine adds momentum and weight decay to the summed gradient of some
// ciphertexts of a parameter, from lo on. The update map multiplies what is
// replicated already by the layer's copies.
func (p *NetworkPlan) combine(ev mhe.Evaluator, st State, step int, part Part, sum []mhe.Tensor) ([]mhe.Tensor, error) {
	q, o := p.Parameters[part.Parameter], p.Net.Optimiser
	out := make([]mhe.Tensor, len(sum))
	for i, g := range sum {
		var err error
		ct := part.Lo + i
		if o.Momentum > 0 && st.V[part.Parameter] != nil {
			c := p.constants(q, ct, step, func(int) float64 { return o.Momentum })
			g, err = ev.AddScaled(g, c, st.V[part.Parameter][ct])
		}
		if err == nil && o.L2 > 0 && !q.Bias {
			c := p.constants(q, ct, step, func(l int) float64 { return o.L2 * o.rate(l, step, p.Net.Steps) })
			g, err = ev.AddScaled(g, c, st.W[part.Parameter][ct])
		}
		if err != nil {
			return nil, fmt.Errorf("nn: momentum and decay of %s: %w", q.Name, err)
		}
		out[i] = g
	}
	return out, nil
}

// constants returns what ciphertext ct of a parameter is multiplied by so that the
// update makes c of its layer of every value.
func (p *NetworkPlan) constants(q Parameter, ct, step int, c func(layer int) float64) mhe.Tensor {
	if len(q.Layers) == 1 {
		l := q.Layers[0]
		copies := p.layers[l].copies
		if q.Bias {
			copies = float64(p.Rows)
		}
		return constant(c(l) / (p.factor(q, l, step) * copies))
	}
	v := make([]float64, p.Grid.Block)
	for _, l := range q.Layers {
		y := p.layers[l]
		for i := range y.strips {
			if in, at := p.strips.Place(y.first + i); in == ct {
				for k := range p.strips.Width {
					v[at+k] = c(l) / (p.factor(q, l, step) * y.copies)
				}
			}
		}
	}
	return mhe.Plain(v)
}

// constant returns c in all slots.
func constant(c float64) mhe.Tensor { return mhe.Plain(slices.Repeat([]float64{c}, 8)) }

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
	return ev.AddScaled(low, constant(p.Net.Optimiser.Momentum), d)
}
