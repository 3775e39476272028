package packing_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/nereid-mhe/nereid/packing"
)

// A stack is a network's layers with their weights in strips.
type stack struct {
	s     packing.Strips
	batch int
	input packing.Input
	inner []packing.Inner
	first []int       // strip of each layer
	w     [][]float64 // packed
	clear [][][]float64
}

// drawStack draws layers whose windows fit a strip, and random weights. What lies
// between a batch and the strips' ends is for the layouts to keep out of results.
func drawStack(t *rapid.T) stack {
	units := 1 << rapid.IntRange(0, 4).Draw(t, "log units")
	block := 1 << rapid.IntRange(5, 7).Draw(t, "log block")
	each := 1 << rapid.IntRange(0, 3).Draw(t, "log strips")
	width := block / each
	window := 1 << rapid.IntRange(0, log2(width)-1).Draw(t, "log window")
	g := packing.Grid{Units: units, Block: block}
	s, err := packing.NewStrips(g, each, window)
	require.NoError(t, err)
	rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))

	sizes := rapid.SliceOfN(rapid.IntRange(1, units), 1, 4).Draw(t, "units of layers")
	features := rapid.IntRange(1, 2*window).Draw(t, "features")
	baby := 1 << rapid.IntRange(0, log2(window)).Draw(t, "log baby")
	k := stack{s: s, batch: s.Batch(window), first: []int{0}}
	k.input, err = packing.NewInput(g, features, sizes[0], window, baby)
	require.NoError(t, err)
	k.clear = [][][]float64{randomMatrix(rng, sizes[0], features)}
	strips := k.input.Weights(k.clear[0])
	for i, out := range sizes[1:] {
		l, err := packing.NewInner(g, sizes[i], out, window, i%2 == 1)
		require.NoError(t, err)
		w := randomMatrix(rng, out, sizes[i])
		k.first = append(k.first, len(strips))
		k.inner, k.clear, strips = append(k.inner, l), append(k.clear, w), append(strips, l.Weights(w)...)
	}
	k.w = s.Pack(strips)
	require.Len(t, k.w, s.Ciphertexts(len(strips)))
	return k
}

// updates returns the layers' updates by a factor each.
func (k stack) updates() []packing.Update {
	us := []packing.Update{k.input.Update(k.s.Width, 0.5)}
	for i, l := range k.inner {
		us = append(us, l.Update(k.s.Width, 1/float64(i+3)))
	}
	return us
}

// update returns the sum of the layers' updates of packed slots.
func (k stack) update(us []packing.Update, slots [][]float64) [][]float64 {
	sum := make([][]float64, len(slots))
	for l, u := range us {
		for i, v := range k.s.Update(u, k.first[l], len(k.w)).Apply(slots) {
			if sum[i] == nil {
				sum[i] = make([]float64, len(v))
			}
			for p, x := range v {
				sum[i][p] += x
			}
		}
	}
	return sum
}

// layer returns the strips of layer l at the first positions.
func (k stack) layer(l int, slots [][]float64) (out [][]float64) {
	n := k.input.Ciphertexts()
	if l > 0 {
		n = k.inner[l-1].Ciphertexts()
	}
	for i := range n {
		out = append(out, k.s.Strip(slots, k.first[l]+i))
	}
	return out
}

func (k stack) read(l int, slots [][]float64) [][]float64 {
	if l == 0 {
		return k.input.Read(k.layer(0, slots))
	}
	return k.inner[l-1].Read(k.layer(l, slots))
}

// Products of packed weights are those of the weights, and gradients of all layers,
// added up in their strips, give the updates of all, in every slot that is used.
func TestStrips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := drawStack(t)
		rng := rand.New(rand.NewPCG(5, 6))
		slots := k.s.Slots()
		sums := make([][]float64, len(k.w))
		for i := range sums {
			sums[i] = make([]float64, slots)
		}
		add := func(first int, outs [][]float64) {
			at, _ := k.s.Place(first)
			for i, v := range outs {
				for p, x := range v {
					sums[at+i][p] += x
				}
			}
		}
		face := func(f packing.Face, v [][]float64) []float64 {
			return f.Pack(k.batch, func(j, s int) float64 { return v[j][s] })
		}

		var grads [][][]float64
		x, e := randomMatrix(rng, k.batch, k.input.In), randomMatrix(rng, k.input.Out, k.batch)
		diagonals := periods(k.input.Diagonals(x), slots)
		z := k.s.Read(k.input.Forward, 0).Apply(k.w, diagonals)
		near(t, face(k.input.Face(), matmul(k.clear[0], transpose(x))), z[0])
		add(0, k.s.Write(k.input.Backward, 0).Apply([][]float64{face(k.input.Face(), e)}, diagonals))
		grads = append(grads, matmul(e, x))
		for i, l := range k.inner {
			a, e := randomMatrix(rng, l.In, k.batch), randomMatrix(rng, l.Out, k.batch)
			as, es := [][]float64{face(l.Input(), a)}, [][]float64{face(l.Output(), e)}
			first := k.first[i+1]
			z := k.s.Read(l.Forward, first).Apply(k.w, as)
			near(t, face(l.Output(), matmul(k.clear[i+1], a)), l.Sum.Apply(z[0]))
			below := k.s.Read(l.Backward, first).Apply(k.w, es)
			near(t, face(l.Input(), matmul(transpose(k.clear[i+1]), e)), l.BackSum.Apply(below[0]))
			add(first, k.s.Write(l.Gradient, first).Apply(es, as))
			grads = append(grads, matmul(e, transpose(a)))
		}

		got := k.update(k.updates(), sums)
		var want [][]float64
		for l, g := range grads {
			factor := 0.5
			if l > 0 {
				factor = 1 / float64(l+2)
			}
			for _, row := range g {
				for j := range row {
					row[j] *= factor
				}
			}
			if l == 0 {
				want = append(want, k.input.Weights(g)...)
			} else {
				want = append(want, k.inner[l-1].Weights(g)...)
			}
			nearMatrix(t, g, k.read(l, got))
		}
		for i, v := range k.s.Pack(want) {
			near(t, v, got[i])
		}
	})
}

// Values that are replicated as weights come out of an update multiplied by the
// layer's factor and copies.
func TestStripsCopies(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := drawStack(t)
		us := k.updates()
		got := k.update(us, k.w)
		for l, w := range k.clear {
			factor := 0.5
			if l > 0 {
				factor = 1 / float64(l+2)
			}
			for _, row := range w {
				for j := range row {
					row[j] *= factor * us[l].Copies
				}
			}
			nearMatrix(t, w, k.read(l, got))
		}
	})
}

func nearMatrix(t *rapid.T, want, got [][]float64) {
	require.Len(t, got, len(want))
	for i := range want {
		near(t, want[i], got[i])
	}
}

// A query takes the first layer's weights from their strips.
func TestQueryOfStrips(t *testing.T) {
	g, err := packing.NewGrid(8, 512)
	require.NoError(t, err)
	s, err := packing.NewStrips(g, 4, 4)
	require.NoError(t, err)
	l, err := packing.NewInput(g, 9, 7, 4, 2)
	require.NoError(t, err)
	q, err := packing.NewQuery(l, s, 2, 4)
	require.NoError(t, err)
	rng := rand.New(rand.NewPCG(7, 8))
	batch := s.Batch(l.Window, q.Window())
	w, x := randomMatrix(rng, 7, 9), randomMatrix(rng, batch, 9)
	noise := func() []float64 { return randomMatrix(rng, 1, 512)[0] }
	packed := s.Pack(append([][]float64{noise(), noise()}, append(l.Weights(w), noise())...))
	relayout := q.Relayout(0, q.Weights)
	require.NoError(t, relayout.Check(len(packed), 512))
	z := q.Forward.Apply(relayout.Apply(packed), q.Rows(x))
	requireFace(t, l.Face(), matmul(w, transpose(x)), q.Sum.Apply(z[0]))
}

func TestNewStripsRefuses(t *testing.T) {
	g := packing.Grid{Units: 4, Block: 32}
	for _, c := range []struct{ count, window int }{{0, 1}, {3, 1}, {64, 1}, {8, 8}, {-1, 1}} {
		_, err := packing.NewStrips(g, c.count, c.window)
		require.ErrorIs(t, err, packing.ErrShape, "%+v", c)
	}
}
