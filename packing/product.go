package packing

import (
	"crypto/sha3"
	"encoding/binary"
	"fmt"
	"slices"
)

// A Product is a bilinear map from the vectors x and y to one vector for each of
// its entries: out = Σ over groups of Rotate(Σ over terms of Rotate(x[X], RX) ⊙
// Rotate(y[Y], RY), By). Every product of a dense layer, forward, backward or of
// the gradient, is one, whatever the layout: which rotations it needs, which of
// them are shared, and in what order they are added is all here.
//
// On ciphertexts the rotations RX and RY of one input share a decomposition, the
// terms of a group are added before they are relinearised, and a group costs one
// key switch that relinearises and rotates. It costs a level.
type Product [][]Group

// A Group is a sum of terms that are rotated together.
type Group struct {
	By    int
	Terms []Term
}

// A Term is Rotate(x[X], RX) ⊙ Rotate(y[Y], RY).
type Term struct{ X, RX, Y, RY int }

// Apply returns p of x and y. The vectors may be periods of different lengths,
// powers of two; the results have the longest.
func (p Product) Apply(x, y [][]float64) [][]float64 {
	n := 0
	for _, v := range slices.Concat(x, y) {
		n = max(n, len(v))
	}
	out, sum := make([][]float64, len(p)), make([]float64, n)
	for i, groups := range p {
		out[i] = make([]float64, n)
		for _, g := range groups {
			clear(sum)
			for _, t := range g.Terms {
				addProduct(sum, x[t.X], y[t.Y], t.RX, t.RY)
			}
			by := Mod(g.By, n)
			for s, v := range sum[by:] {
				out[i][s] += v
			}
			for s, v := range sum[:by] {
				out[i][n-by+s] += v
			}
		}
	}
	return out
}

// addProduct adds Rotate(x, rx) ⊙ Rotate(y, ry) to sum, in runs without a wrap.
func addProduct(sum, x, y []float64, rx, ry int) {
	i, j := Mod(rx, len(x)), Mod(ry, len(y))
	for len(sum) > 0 {
		n := min(len(sum), len(x)-i, len(y)-j)
		a, b, c := x[i:i+n], y[j:j+n], sum[:n]
		for s := range c {
			c[s] += float64(a[s] * b[s])
		}
		sum = sum[n:]
		i, j = (i+n)%len(x), (j+n)%len(y)
	}
}

// Check returns an error wrapping [ErrShape] unless p takes nx and ny vectors.
func (p Product) Check(nx, ny int) error {
	if len(p) == 0 {
		return fmt.Errorf("%w: a product without outputs", ErrShape)
	}
	for i, groups := range p {
		if len(groups) == 0 {
			return fmt.Errorf("%w: output %d of a product has no groups", ErrShape, i)
		}
		for _, g := range groups {
			if len(g.Terms) == 0 {
				return fmt.Errorf("%w: output %d of a product has a group without terms", ErrShape, i)
			}
			for _, t := range g.Terms {
				if t.X < 0 || t.X >= nx || t.Y < 0 || t.Y >= ny {
					return fmt.Errorf("%w: output %d of a product multiplies x[%d] and y[%d] of %d and %d vectors", ErrShape, i, t.X, t.Y, nx, ny)
				}
			}
		}
	}
	return nil
}

// Terms returns the largest number of terms that are added up in an output.
func (p Product) Terms() int {
	most := 0
	for _, groups := range p {
		n := 0
		for _, g := range groups {
			n += len(g.Terms)
		}
		most = max(most, n)
	}
	return most
}

// Hash identifies the program.
func (p Product) Hash() [32]byte {
	b := []byte("nereid/product/v1")
	word := func(v int) { b = binary.BigEndian.AppendUint64(b, uint64(v)) }
	for _, groups := range p {
		word(len(groups))
		for _, g := range groups {
			word(g.By)
			word(len(g.Terms))
			for _, t := range g.Terms {
				word(t.X)
				word(t.RX)
				word(t.Y)
				word(t.RY)
			}
		}
	}
	return sha3.Sum256(b)
}

// rotated returns v rotated by k to the left.
func rotated(v []float64, k int) []float64 {
	k = Mod(k, len(v))
	return slices.Concat(v[k:], v[:k])
}
