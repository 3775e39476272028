package nn

import (
	"gonum.org/v1/gonum/mat"
)

// TrainExact trains the network in the clear by matrix products, on the batches
// that the parties would use, with the exact functions or with the polynomials in
// their place: what a study would reach if its rows could be pooled, or, given one
// party's rows, what that party reaches alone. With polynomials its result is that
// of [NetworkTwin] but for rounding.
func TrainExact(n Network, exact bool, data ...NetworkData) []Affine {
	w := n.InitialWeights()
	t := exactTrainer{n: n, exact: exact}
	for _, a := range w {
		t.w = append(t.w, toMatrix(a))
		r, c := t.w[len(t.w)-1].Dims()
		t.v = append(t.v, mat.NewDense(r, c, nil))
	}
	for k := range n.Steps {
		var x, y [][]float64
		for _, d := range data {
			bx, by := d.Batch(k)
			x, y = append(x, bx...), append(y, by...)
		}
		t.step(k, x, y)
	}
	for l := range w {
		w[l] = fromMatrix(t.w[l])
	}
	return w
}

// toMatrix returns weights with the biases as the last column.
func toMatrix(a Affine) *mat.Dense {
	m := mat.NewDense(len(a.W), len(a.W[0])+1, nil)
	for k, row := range a.W {
		m.SetRow(k, append(append([]float64{}, row...), a.B[k]))
	}
	return m
}

func fromMatrix(m *mat.Dense) Affine {
	rows, cols := m.Dims()
	a := Affine{W: make([][]float64, rows), B: make([]float64, rows)}
	for k := range rows {
		row := mat.Row(nil, k, m)
		a.W[k], a.B[k] = row[:cols-1], row[cols-1]
	}
	return a
}

// An exactTrainer holds weights and momentum by layer, biases as last columns.
type exactTrainer struct {
	n     Network
	exact bool
	w, v  []*mat.Dense
}

// withOnes returns rows with a last column of ones.
func withOnes(m *mat.Dense) *mat.Dense {
	r, c := m.Dims()
	out := mat.NewDense(r, c+1, nil)
	out.Slice(0, r, 0, c).(*mat.Dense).Copy(m)
	for i := range r {
		out.Set(i, c, 1)
	}
	return out
}

func (t exactTrainer) step(k int, rows, targets [][]float64) {
	n, o := t.n, t.n.Optimiser
	x := mat.NewDense(len(rows), n.Features, nil)
	for i, r := range rows {
		x.SetRow(i, r)
	}
	inputs, slopes := []*mat.Dense{withOnes(x)}, []*mat.Dense{nil}
	var z *mat.Dense
	for l := range n.layers() {
		z = mat.NewDense(len(rows), n.units(l), nil)
		z.Mul(inputs[l], t.w[l].T())
		if l == len(n.Hidden) {
			break
		}
		act, slope := n.Hidden[l].Activation.Apply, n.Hidden[l].Activation.Slope
		if t.exact {
			act, slope = n.Hidden[l].Activation.Exact, n.Hidden[l].Activation.ExactSlope
		}
		var a, d mat.Dense
		a.Apply(func(_, _ int, v float64) float64 { return act(v) }, z)
		d.Apply(func(_, _ int, v float64) float64 { return slope(v) }, z)
		inputs, slopes = append(inputs, withOnes(&a)), append(slopes, &d)
	}
	var e mat.Dense
	e.Apply(func(i, j int, v float64) float64 { return t.link(v) - targets[i][j] }, z)
	for l := n.layers() - 1; l >= 0; l-- {
		var g mat.Dense
		g.Mul(e.T(), inputs[l])
		if l > 0 {
			var below mat.Dense
			below.Mul(&e, t.w[l].Slice(0, n.units(l), 0, n.inputs(l)))
			below.MulElem(&below, slopes[l])
			e.Reset()
			e.CloneFrom(&below)
		}
		t.update(l, &g, o.rate(l, k, n.Steps), float64(len(rows)))
	}
}

func (t exactTrainer) link(z float64) float64 {
	if t.exact {
		return t.n.Loss.link(z)
	}
	y := 0.0
	for k := len(t.n.Loss.coeffs) - 1; k >= 0; k-- {
		y = y*z + t.n.Loss.coeffs[k]
	}
	return y
}

// update applies the summed gradient g of layer l over the given rows.
func (t exactTrainer) update(l int, g *mat.Dense, rate, rows float64) {
	o := t.n.Optimiser
	bias := t.n.inputs(l) // column of the biases
	t.v[l].Apply(func(i, j int, v float64) float64 {
		before := v
		grad := g.At(i, j) / rows
		if j != bias || l == 0 { // the first layer's bias is a weight like any other
			grad += o.L2 * t.w[l].At(i, j)
		}
		v = o.Momentum*v + rate*grad
		step := v
		if o.Nesterov {
			step += o.Momentum * (v - before)
		}
		t.w[l].Set(i, j, t.w[l].At(i, j)-step)
		return v
	}, t.v[l])
}
