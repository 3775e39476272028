package packing

import "fmt"

// An Input is a dense layer on data in the clear: z[k,s] = Σ_j w[k][j]·x[s][j].
// Weights are encrypted, w[k][t·R + p mod R] at unit k, position p of ciphertext
// t, with R the Window. Data is encoded as diagonals that do not depend on the
// unit, one for each t and offset o < R:
//
//	D[t,o][p] = x[p-o][t·R + p mod R]      z = Σ_o Rotate(Σ_t w[t] ⊙ D[t,o], o)
//
// and the gradient is the transpose with the same diagonals. Offsets are split
// into Baby steps, which rotate weights before the product, and the rest, which
// rotates sums after it. z is not skewed.
type Input struct {
	Grid
	In, Out      int // features, a bias counted as one; units
	Size         int // the power of two with which units repeat
	Window, Baby int

	// Forward takes x = weights, y = diagonals; Backward takes x = the one
	// gradient with respect to z, y = diagonals, and gives one ciphertext for
	// each of the weights.
	Forward, Backward Product
}

// NewInput lays out a layer of out units on in features. window is a power of two
// up to the block, baby a power of two up to window. Errors wrap [ErrShape].
func NewInput(g Grid, in, out, window, baby int) (Input, error) {
	l := Input{Grid: g, In: in, Out: out, Size: ceilPower(max(1, out)), Window: window, Baby: baby}
	switch {
	case in < 1 || out < 1:
		return Input{}, fmt.Errorf("%w: a layer of %d units on %d features", ErrShape, out, in)
	case l.Size > g.Units:
		return Input{}, fmt.Errorf("%w: a layer of %d units in a grid of %d", ErrShape, out, g.Units)
	case !powerOfTwo(window) || window > g.Block:
		return Input{}, fmt.Errorf("%w: a window of %d positions, want a power of two up to %d", ErrShape, window, g.Block)
	case !powerOfTwo(baby) || baby > window:
		return Input{}, fmt.Errorf("%w: %d baby steps of %d offsets, want a power of two", ErrShape, baby, window)
	}
	var forward []Group
	backward := make(Product, l.Ciphertexts())
	for lo := 0; lo < window; lo += baby {
		g := Group{By: lo}
		for w := range baby {
			for t := range l.Ciphertexts() {
				g.Terms = append(g.Terms, Term{X: t, RX: w, Y: t*window + lo + w})
			}
		}
		forward = append(forward, g)
	}
	for t := range backward {
		for w := range baby {
			g := Group{By: -w}
			for lo := 0; lo < window; lo += baby {
				g.Terms = append(g.Terms, Term{RX: -lo, Y: t*window + lo + w})
			}
			backward[t] = append(backward[t], g)
		}
	}
	l.Forward, l.Backward = Product{forward}, backward
	return l, nil
}

// Ciphertexts returns the number of ciphertexts of the weights.
func (l Input) Ciphertexts() int { return (l.In + l.Window - 1) / l.Window }

// Face returns the layout of z.
func (l Input) Face() Face { return Face{l.Grid, l.Out, l.Size, false} }

// Diagonals returns one period, of Block values, of every diagonal of the rows,
// at index t·Window + offset.
func (l Input) Diagonals(rows [][]float64) [][]float64 {
	out := make([][]float64, l.Ciphertexts()*l.Window)
	for i := range out {
		t, o := i/l.Window, i%l.Window
		d := make([]float64, l.Block)
		for s, x := range rows {
			p := s + o
			if j := t*l.Window + p%l.Window; j < l.In {
				d[p] = x[j]
			}
		}
		out[i] = rotated(d, o%l.Baby)
	}
	return out
}

// Weights returns the slots of every ciphertext of w, by unit and feature.
func (l Input) Weights(w [][]float64) [][]float64 {
	out := make([][]float64, l.Ciphertexts())
	for t := range out {
		v := make([]float64, l.Slots())
		for k := range l.Units {
			unit := k & (l.Size - 1)
			if unit >= l.Out {
				continue
			}
			for p := range l.Block {
				if j := t*l.Window + p%l.Window; j < l.In {
					v[k*l.Block+p] = w[unit][j]
				}
			}
		}
		out[t] = v
	}
	return out
}

// Read is the inverse of Weights.
func (l Input) Read(slots [][]float64) [][]float64 {
	w := make([][]float64, l.Out)
	for k := range w {
		w[k] = make([]float64, l.In)
		for j := range w[k] {
			w[k][j] = slots[j/l.Window][k*l.Block+j%l.Window]
		}
	}
	return w
}

// Update returns the map from summed gradients to updates, each ciphertext by
// itself: factor times the sum over the samples, replicated as weights are over the
// first width positions of every block, which hold all samples and windows.
func (l Input) Update(width int, factor float64) Update {
	mask := make([]float64, max(minPeriod, l.Block))
	for p := range l.Window {
		mask[p] = factor
	}
	u := Update{Linear{Before: doublings(l.Window, width, 1), After: doublings(l.Window, width, -1)}, float64(width / l.Window)}
	for t := range l.Ciphertexts() {
		u.Mix = append(u.Mix, []Piece{{In: t, Mask: mask}})
	}
	return u
}
