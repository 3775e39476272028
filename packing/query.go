package packing

import "fmt"

// A Query is the first layer for rows that are encrypted too. They come as skewed
// faces, a block of features each, and the layer is that of an [Inner] for every
// block, all added up: its weights need another layout than an [Input]'s, to which
// Relayout takes them once, when training is over.
type Query struct {
	Grid
	In, Out int
	Size    int // features of a block, a power of two
	Blocks  int
	Weights int // ciphertexts of the weights, all blocks together

	Forward Product // x = weights, y = the faces of the rows
	Sum     Map     // completes Forward

	block  Inner
	input  Input
	strips Strips // of the input's weights
	first  int
}

// maxGroup bounds the terms of a group: an evaluator adds that many in 128 bits.
const maxGroup = 64

// NewQuery lays out the layer of in for encrypted rows. The weights of in are in
// strips, from first on, and so many positions of a block the query can use. Errors
// wrap [ErrShape].
func NewQuery(in Input, strips Strips, first, window int) (Query, error) {
	size := min(in.Units, ceilPower(in.In))
	block, err := NewInner(in.Grid, size, in.Out, min(window, strips.Width), true)
	if err != nil {
		return Query{}, fmt.Errorf("layer for encrypted rows: %w", err)
	}
	q := Query{Grid: in.Grid, In: in.In, Out: in.Out, Size: size, Blocks: (in.In + size - 1) / size, Sum: block.Sum, block: block, input: in, strips: strips, first: first}
	q.Weights = q.Blocks * block.Ciphertexts()
	var groups []Group
	for _, g := range block.Forward[0] {
		all := Group{By: g.By}
		for f := range q.Blocks {
			for _, t := range g.Terms {
				t.X += f * block.Ciphertexts()
				t.Y = f
				if all.Terms = append(all.Terms, t); len(all.Terms) == maxGroup {
					groups = append(groups, all)
					all.Terms = nil
				}
			}
		}
		if len(all.Terms) > 0 {
			groups = append(groups, all)
		}
	}
	q.Forward = Product{groups}
	return q, nil
}

// Relayout returns the map from the weights of the Input, value by value, to
// ciphertexts lo to hi-1 of the weights of the query. Its masks have a number for
// every slot: for a large layer they are made a few ciphertexts at a time.
func (q Query) Relayout(lo, hi int) Mix {
	var m Mix
	for n := lo; n < hi; n++ {
		m = append(m, q.pieces(q.input, n/q.block.Ciphertexts(), n%q.block.Ciphertexts()))
	}
	return m
}

// pieces returns where the slots of ciphertext i of block f come from: weight
// (a, j) is in block a of ciphertext j/Window at every position that is j modulo
// Window of its strip. The nearest to the right is taken, or to the left where that
// would leave the strip; slots that move alike share a mask.
func (q Query) pieces(in Input, f, i int) []Piece {
	index := map[[2]int]int{} // of the piece, by ciphertext and rotation
	var out []Piece
	for k := range q.Units {
		for p := range q.strips.Width {
			a, c := q.block.index(i, k, p)
			j := f*q.Size + c
			if a >= q.Out || j >= q.In {
				continue
			}
			by := Mod(j-p, in.Window)
			if p+by >= q.strips.Width {
				by -= in.Window
			}
			strip, from := q.strips.Place(q.first + j/in.Window)
			at := [2]int{strip, by + from}
			n, ok := index[at]
			if !ok {
				n = len(out)
				index[at], out = n, append(out, Piece{In: at[0], By: at[1], Mask: make([]float64, q.Slots())})
			}
			out[n].Mask[k*q.Block+p] = 1
		}
	}
	if out == nil { // nothing but padding
		strip, _ := q.strips.Place(q.first)
		out = []Piece{{In: strip, Mask: make([]float64, minPeriod)}}
	}
	return out
}

// Window returns the positions that Forward reaches across.
func (q Query) Window() int { return q.block.Window }

// Face returns the layout of a block of rows.
func (q Query) Face() Face { return Face{q.Grid, q.Size, q.Size, true} }

// Rows returns the slots of every block of the rows, of which batch fit at most.
func (q Query) Rows(rows [][]float64) [][]float64 {
	out := make([][]float64, q.Blocks)
	for f := range out {
		out[f] = q.Face().Pack(len(rows), func(j, s int) float64 {
			if j += f * q.Size; j < q.In {
				return rows[s][j]
			}
			return 0
		})
	}
	return out
}
