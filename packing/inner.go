package packing

import "fmt"

// An Inner is a dense layer on encrypted activations: z[a,s] = Σ_c w[a][c]·x[c,s].
// It takes a skewed face and leaves one that is not, or the other way round.
// Weights are encrypted and compact, in Ciphertexts ciphertexts with R the Window:
//
//	w[(k+p) mod O][(k-R·i) mod I]      at unit k, position p of ciphertext i, x plain
//	w[k mod O][(k+p+R·i) mod I]        x skewed
//
// for O and I the numbers of units rounded up to powers of two. A product over
// min(O, I) diagonals covers the wider side in parts: Sum after Forward, and
// BackSum after Backward, add them up; both are rotations over the units without
// masks and belong into the refresh that follows.
//
// With E the gradient with respect to z, the gradient with respect to w comes
// from Gradient in the layout of the weights, each position with a Window of the
// samples; Update adds up the rest.
type Inner struct {
	Grid
	In, Out         int // units
	InSize, OutSize int // rounded up to powers of two: I and O
	Skew            bool
	Window          int

	Forward  Product // x = weights, y = the one activation
	Backward Product // x = weights, y = the one E; the gradient with respect to the input
	Gradient Product // x = E, y = the activation; one output for each ciphertext of the weights
	Sum      Map     // completes Forward
	BackSum  Map     // completes Backward
}

// NewInner lays out a layer of out units on in units, skewed or not. window is a
// power of two and cut to the number of diagonals. Errors wrap [ErrShape].
func NewInner(g Grid, in, out, window int, skew bool) (Inner, error) {
	if in < 1 || out < 1 || max(in, out) > g.Units {
		return Inner{}, fmt.Errorf("%w: a layer from %d to %d units in a grid of %d", ErrShape, in, out, g.Units)
	}
	if !powerOfTwo(window) || window > g.Block {
		return Inner{}, fmt.Errorf("%w: a window of %d positions, want a power of two up to %d", ErrShape, window, g.Block)
	}
	l := Inner{Grid: g, In: in, Out: out, InSize: ceilPower(in), OutSize: ceilPower(out), Skew: skew}
	l.Window = min(window, l.diagonals())
	l.Sum = doublings(g.Block*l.OutSize, g.Block*l.InSize, 1)
	l.BackSum = doublings(g.Block*l.InSize, g.Block*l.OutSize, 1)
	l.forward()
	l.gradient()
	return l, nil
}

// diagonals returns the number of diagonals of a product.
func (l Inner) diagonals() int { return min(l.InSize, l.OutSize) }

// Ciphertexts returns the number of ciphertexts of the weights.
func (l Inner) Ciphertexts() int { return l.diagonals() / l.Window }

// Input and Output return the layouts of x and z.
func (l Inner) Input() Face  { return Face{l.Grid, l.In, l.InSize, l.Skew} }
func (l Inner) Output() Face { return Face{l.Grid, l.Out, l.OutSize, !l.Skew} }

// root returns the power of two next to the square root of n, above if between.
func root(n int) int {
	r := 1
	for r*r < n {
		r *= 2
	}
	return r
}

// forward makes Forward and Backward: diagonal u = R·i + r of the weights is a
// rotation of ciphertext i, and the same rotation serves both.
func (l *Inner) forward() {
	n, b := l.diagonals(), l.Block
	baby := root(n)
	sign := 1 // of the rotation of z over the units
	if l.Skew {
		sign = -1
	}
	term := func(u int) Term {
		r := u % l.Window
		t := Term{X: u / l.Window, RX: -(b-1)*r + b*(u%baby)}
		if l.Skew {
			t.RX = r - b*(u%baby)
		}
		return t
	}
	var fwd, bwd []Group
	for w := range baby {
		g := Group{By: -sign * b * w}
		for v := 0; v < n; v += baby {
			t := term(v + w)
			t.RY = -sign * b * v
			g.Terms = append(g.Terms, t)
		}
		fwd = append(fwd, g)
	}
	for v := 0; v < n; v += baby {
		g := Group{By: sign * b * v}
		for w := range baby {
			t := term(v + w)
			t.RY = sign * b * w
			g.Terms = append(g.Terms, t)
		}
		bwd = append(bwd, g)
	}
	l.Forward, l.Backward = Product{fwd}, Product{bwd}
}

// gradient makes Gradient: position p of ciphertext i gets Σ_r e[·,p-r]·x[·,p-r].
func (l *Inner) gradient() {
	b, giants := l.Block, min(l.Window, max(1, root(l.Window)/2))
	for i := range l.Ciphertexts() {
		var groups []Group
		for w := range giants {
			g := Group{By: -w}
			for v := 0; v < l.Window; v += giants {
				near, far := -v, (b-1)*(v+w)+w
				t := Term{RX: far, RY: near - b*l.Window*i}
				if l.Skew {
					t = Term{RX: near, RY: far + b*l.Window*i}
				}
				g.Terms = append(g.Terms, t)
			}
			groups = append(groups, g)
		}
		l.Gradient = append(l.Gradient, groups)
	}
}

// index returns the weight at block k, position p of ciphertext i.
func (l Inner) index(i, k, p int) (a, c int) {
	if l.Skew {
		return k & (l.OutSize - 1), (k + p + l.Window*i) & (l.InSize - 1)
	}
	return (k + p) & (l.OutSize - 1), Mod(k-l.Window*i, l.InSize)
}

// Weights returns the slots of every ciphertext of w, by output and input unit.
func (l Inner) Weights(w [][]float64) [][]float64 {
	out := make([][]float64, l.Ciphertexts())
	for i := range out {
		v := make([]float64, l.Slots())
		for k := range l.Units {
			for p := range l.Block {
				if a, c := l.index(i, k, p); a < l.Out && c < l.In {
					v[k*l.Block+p] = w[a][c]
				}
			}
		}
		out[i] = v
	}
	return out
}

// Read is the inverse of Weights.
func (l Inner) Read(slots [][]float64) [][]float64 {
	w := make([][]float64, l.Out)
	for a := range w {
		w[a] = make([]float64, l.In)
	}
	for i, v := range slots {
		for k := range l.Units {
			for p := range l.Window { // where every weight is once
				if a, c := l.index(i, k, p); a < l.Out && c < l.In {
					w[a][c] = v[k*l.Block+p]
				}
			}
		}
	}
	return w
}

// Update returns the map from summed gradients to updates. The same weight sits
// at several positions, units and ciphertexts, each with the samples of its own
// windows: sums over positions with the period of the layout, and over the others
// by rotations that are cyclic within that period, in two masked parts. It is for
// the first width positions of every block, which hold all samples and windows.
func (l Inner) Update(width int, factor float64) Update {
	period, other := l.OutSize, l.InSize // of positions; of the units of the other side
	if l.Skew {
		period, other = other, period
	}
	full := min(period, width) // positions that hold all
	window := func(lo, hi int) []float64 {
		mask := make([]float64, l.Block)
		for p := lo; p < hi; p++ {
			mask[p] = factor
		}
		return mask
	}
	u := Update{Linear{Before: doublings(period, width, 1), After: doublings(period, width, -1)}, float64(width) / float64(l.Window)}
	for i := range l.Ciphertexts() {
		var pieces []Piece
		for j := range l.Ciphertexts() {
			for m := 0; m < max(1, period/other); m++ {
				move := l.Window*(i-j) - other*m
				units := -move // so that both indices stay
				if l.Skew {
					units = other * m
				}
				shift := Mod(move, period)
				if shift < full {
					pieces = append(pieces, Piece{j, l.Block*units + shift, window(0, full-shift)})
				}
				if lo := period - shift; shift > 0 && lo < full {
					pieces = append(pieces, Piece{j, l.Block*units + shift - period, window(lo, full)})
				}
			}
		}
		u.Mix = append(u.Mix, pieces)
	}
	return u
}
