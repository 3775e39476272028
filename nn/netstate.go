package nn

import (
	"math/big"

	"github.com/nereid-mhe/nereid/mhe"
)

// A State is the model while it is trained: weights and momentum by parameter and
// ciphertext.
type State struct{ W, V [][]mhe.Tensor }

// slots returns the slots of every ciphertext of every parameter of a model.
func (p *NetworkPlan) slots(w []Affine) [][][]float64 {
	out := make([][][]float64, len(p.Parameters))
	for l, y := range p.layers {
		if l == 0 {
			rows := make([][]float64, len(w[0].W))
			for k := range rows {
				rows[k] = append(append([]float64{}, w[0].W[k]...), w[0].B[k])
			}
			out[y.weights] = y.input.Weights(rows)
			continue
		}
		strips := y.inner.Weights(times(w[l].W, p.unit(l)))
		out[y.weights] = append(out[y.weights], strips...)
		out[y.bias] = [][]float64{y.face.Pack(p.Rows, func(j, _ int) float64 { return w[l].B[j] / y.parts })}
	}
	for i, q := range p.Parameters {
		if !q.Bias {
			out[i] = p.strips.Pack(out[i])
		}
	}
	return out
}

// unit returns what ciphertexts hold of a weight of layer l, as a part of it: layers
// that share ciphertexts want weights at scales of their own.
func (p *NetworkPlan) unit(l int) float64 {
	y := p.layers[l]
	return ratio(y.scale, p.Parameters[y.weights].Scale)
}

// times returns c·w.
func times(w [][]float64, c float64) [][]float64 {
	out := make([][]float64, len(w))
	for k, row := range w {
		out[k] = make([]float64, len(row))
		for j, x := range row {
			out[k][j] = c * x
		}
	}
	return out
}

// Read returns the model from the slots of every ciphertext of every parameter.
func (p *NetworkPlan) Read(slots [][][]float64) []Affine {
	out := make([]Affine, len(p.layers))
	for l, y := range p.layers {
		strips := make([][]float64, y.strips)
		for i := range strips {
			strips[i] = p.strips.Strip(slots[y.weights], y.first+i)
		}
		if l == 0 {
			for _, row := range y.input.Read(strips) {
				out[0].W = append(out[0].W, row[:len(row)-1])
				out[0].B = append(out[0].B, row[len(row)-1])
			}
			continue
		}
		out[l].W = times(y.inner.Read(strips), 1/p.unit(l))
		for _, b := range y.face.Read(slots[y.bias][0], 0) {
			out[l].B = append(out[l].B, b*y.parts)
		}
	}
	return out
}

// initial makes the state before the first step, each tensor by encode from slots,
// level and scale.
func (p *NetworkPlan) initial(encode func(v []float64, level int, scale *big.Float) (mhe.Tensor, error)) (State, error) {
	st := State{W: make([][]mhe.Tensor, len(p.Parameters)), V: make([][]mhe.Tensor, len(p.Parameters))}
	for i, cts := range p.slots(p.Net.InitialWeights()) {
		q := p.Parameters[i]
		for _, v := range cts {
			t, err := encode(v, p.weightLevel(q), q.Scale)
			if err != nil {
				return st, err
			}
			st.W[i] = append(st.W[i], t)
		}
	}
	return st, nil
}

// weightLevel returns the level of a parameter's weights: with Nesterov's method
// updates come a level higher.
func (p *NetworkPlan) weightLevel(q Parameter) int {
	if p.Net.Optimiser.Nesterov {
		return q.Level - 1
	}
	return q.Level
}

// Initial returns the public state before the first step, as ciphertexts without
// noise.
func (p *NetworkPlan) Initial(enc *mhe.Encoder) (State, error) {
	return p.initial(func(v []float64, level int, scale *big.Float) (mhe.Tensor, error) {
		b := mhe.Basis(p.Set, level)
		c0, err := enc.Encode(v, scale, b)
		if err != nil {
			return mhe.Tensor{}, err
		}
		return mhe.NewEncrypted(c0, b.New(), scale), nil
	})
}
