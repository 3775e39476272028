package packing

import "fmt"

// Strips divide the blocks of a grid into strips of Width positions, each a place
// for weights: strip i of a tensor is at every block of ciphertext i/(Block/Width),
// Width positions further on for each strip before it there. A batch that leaves
// room in a block leaves it in that of every layer, and so the weights of several
// layers, or of several parts of one, fit into a ciphertext, with one share of the
// aggregated refresh for all of them.
//
// Nothing is masked for it. The products of a layer take weights rotated to the
// first strip, and what follows there from the other strips is multiplied by data
// or activations that are zero beyond the first. Gradients, which are therefore zero
// there too, are rotated to their strips as they are added up, and have every strip
// for themselves.
type Strips struct {
	Grid
	Width int // positions of a strip, a power of two; Block for one in a ciphertext
}

// NewStrips divides the blocks of g into count strips, a power of two. It returns an
// error wrapping [ErrShape] if they do not hold a window.
func NewStrips(g Grid, count, window int) (Strips, error) {
	if !powerOfTwo(count) || count > g.Block || g.Block/count < window {
		return Strips{}, fmt.Errorf("%w: %d strips of a block of %d positions, want a power of two that leaves a window of %d", ErrShape, count, g.Block, window)
	}
	return Strips{g, g.Block / count}, nil
}

// Each returns the number of strips of a ciphertext.
func (s Strips) Each() int { return s.Block / s.Width }

// Ciphertexts returns how many ciphertexts hold n strips.
func (s Strips) Ciphertexts(n int) int { return (n + s.Each() - 1) / s.Each() }

// Place returns the ciphertext of strip i and its first position in a block.
func (s Strips) Place(i int) (ciphertext, position int) {
	return i / s.Each(), i % s.Each() * s.Width
}

// Batch returns the number of samples that fit a strip beside the windows.
func (s Strips) Batch(windows ...int) int { return Grid{s.Units, s.Width}.Batch(windows...) }

// Read returns p for x that are the strips from first on.
func (s Strips) Read(p Product, first int) Product {
	return p.copied(func(_ int, g *Group) {
		for i := range g.Terms {
			t := &g.Terms[i]
			x, at := s.Place(first + t.X)
			t.X, t.RX = x, t.RX+at
		}
	})
}

// Write returns p with its outputs in the strips from first on. Its outputs are the
// ciphertexts of those strips, zero beyond them.
func (s Strips) Write(p Product, first int) Product {
	lo, _ := s.Place(first)
	hi, _ := s.Place(first + len(p) - 1)
	moved := p.copied(func(i int, g *Group) {
		_, at := s.Place(first + i)
		g.By -= at
	})
	out := make(Product, hi-lo+1)
	for i, groups := range moved {
		ct, _ := s.Place(first + i)
		out[ct-lo] = append(out[ct-lo], groups...)
	}
	return out
}

// Pack returns the slots of the ciphertexts that hold strips, given as slots of
// which the first positions of every block count.
func (s Strips) Pack(strips [][]float64) [][]float64 {
	out := make([][]float64, s.Ciphertexts(len(strips)))
	for i, v := range strips {
		ct, at := s.Place(i)
		if out[ct] == nil {
			out[ct] = make([]float64, s.Slots())
		}
		for k := 0; k < s.Slots(); k += s.Block {
			copy(out[ct][k+at:k+at+s.Width], v[k:])
		}
	}
	return out
}

// Strip returns strip i of packed slots at the first positions of every block. What
// is at the others is of no meaning.
func (s Strips) Strip(slots [][]float64, i int) []float64 {
	ct, at := s.Place(i)
	return rotated(slots[ct], at)
}

// Update returns the update of a layer, for Width positions, with its strips from
// first on in so many ciphertexts: zero beyond them, so that the updates of all layers
// may be added.
func (s Strips) Update(u Update, first, ciphertexts int) Linear {
	out := Linear{Before: u.Before, Mix: make(Mix, ciphertexts), After: u.After}
	for i, pieces := range u.Mix {
		ct, at := s.Place(first + i)
		for _, p := range pieces {
			in, from := s.Place(first + p.In)
			mask := make([]float64, s.Block)
			copy(mask[at:at+s.Width], p.Mask)
			out.Mix[ct] = append(out.Mix[ct], Piece{In: in, By: p.By + from - at, Mask: mask})
		}
	}
	return out
}

// copied returns a copy of p that edit has changed group by group.
func (p Product) copied(edit func(output int, g *Group)) Product {
	out := make(Product, len(p))
	for i, groups := range p {
		out[i] = make([]Group, len(groups))
		for k, g := range groups {
			out[i][k] = Group{g.By, append([]Term(nil), g.Terms...)}
			edit(i, &out[i][k])
		}
	}
	return out
}
