package packing_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/packing"
)

// randomMatrix returns random numbers.
func randomMatrix(rng *rand.Rand, rows, cols int) [][]float64 {
	m := make([][]float64, rows)
	for i := range m {
		m[i] = make([]float64, cols)
		for j := range m[i] {
			m[i][j] = rng.NormFloat64()
		}
	}
	return m
}

// matmul returns w·x.
func matmul(w, x [][]float64) [][]float64 {
	out := make([][]float64, len(w))
	for a := range w {
		out[a] = make([]float64, len(x[0]))
		for c := range x {
			for s := range x[c] {
				out[a][s] += w[a][c] * x[c][s]
			}
		}
	}
	return out
}

func transpose(m [][]float64) [][]float64 {
	out := make([][]float64, len(m[0]))
	for j := range out {
		out[j] = make([]float64, len(m))
		for i := range m {
			out[j][i] = m[i][j]
		}
	}
	return out
}

// requireFace holds slots against want, by unit and sample.
func requireFace(t *testing.T, f packing.Face, want [][]float64, slots []float64) {
	t.Helper()
	batch := len(want[0])
	require.InDeltaSlice(t, f.Pack(batch, func(j, s int) float64 { return want[j][s] }), slots, 1e-9)
	for s := range batch {
		got := f.Read(slots, s)
		for j := range want {
			require.InDelta(t, want[j][s], got[j], 1e-9)
		}
	}
}

func requireMatrix(t *testing.T, want, got [][]float64, factor float64) {
	t.Helper()
	require.Len(t, got, len(want))
	for i := range want {
		for j := range want[i] {
			require.InDelta(t, factor*want[i][j], got[i][j], 1e-9, "%d, %d", i, j)
		}
	}
}

// requireWeights holds an update against the gradient, in every slot.
func requireWeights(t *testing.T, want, got [][]float64) {
	t.Helper()
	require.Len(t, got, len(want))
	for i := range want {
		require.InDeltaSlice(t, want[i], got[i], 1e-9)
	}
}

func TestInput(t *testing.T) {
	for _, c := range []struct{ units, slots, in, out, window, baby int }{
		{4, 64, 5, 3, 4, 1},
		{4, 64, 5, 3, 4, 2},
		{4, 64, 5, 3, 4, 4},
		{8, 128, 3, 5, 8, 4},
		{8, 256, 20, 8, 8, 2},
		{8, 256, 20, 2, 4, 2},
		{1, 64, 6, 1, 8, 2},
	} {
		t.Run(fmt.Sprintf("%+v", c), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, 2))
			g, err := packing.NewGrid(c.units, c.slots)
			require.NoError(t, err)
			l, err := packing.NewInput(g, c.in, c.out, c.window, c.baby)
			require.NoError(t, err)
			batch := g.Batch(l.Window)
			require.Positive(t, batch)
			w, x := randomMatrix(rng, c.out, c.in), randomMatrix(rng, batch, c.in)
			slots := l.Weights(w)
			require.Equal(t, w, l.Read(slots))

			diagonals := periods(l.Diagonals(x), c.slots)
			require.NoError(t, l.Forward.Check(len(slots), len(diagonals)))
			z := l.Forward.Apply(slots, diagonals)
			requireFace(t, l.Face(), matmul(w, transpose(x)), z[0])

			e := randomMatrix(rng, c.out, batch)
			grad := matmul(e, x)
			es := l.Face().Pack(batch, func(j, s int) float64 { return e[j][s] })
			d := l.Backward.Apply([][]float64{es}, diagonals)
			u := l.Update(g.Block, 0.25)
			requireMatrix(t, grad, l.Read(u.Apply(d)), 0.25)
			for i := range grad {
				for j := range grad[i] {
					grad[i][j] *= 0.25
				}
			}
			requireWeights(t, l.Weights(grad), u.Apply(d))
			// weights themselves come out Copies times as large
			requireMatrix(t, w, l.Read(u.Apply(slots)), 0.25*u.Copies)
		})
	}
}

// periods repeats vectors to the number of slots.
func periods(v [][]float64, slots int) [][]float64 {
	out := make([][]float64, len(v))
	for i := range v {
		for len(out[i]) < slots {
			out[i] = append(out[i], v[i]...)
		}
	}
	return out
}

func TestInner(t *testing.T) {
	for _, c := range []struct{ units, slots, in, out, window int }{
		{4, 64, 4, 4, 2},
		{4, 64, 4, 4, 4},
		{4, 64, 3, 4, 1},
		{8, 128, 8, 3, 2}, // narrow output
		{8, 128, 8, 1, 8},
		{8, 128, 2, 7, 2}, // wide output
		{8, 128, 1, 5, 2},
		{8, 256, 3, 2, 2}, // both narrower than the grid
		{8, 256, 2, 3, 1},
		{16, 128, 16, 16, 4}, // blocks shorter than the layer is wide
		{16, 128, 16, 16, 2},
		{16, 256, 13, 16, 8},
		{16, 256, 16, 10, 8},
		{32, 256, 32, 32, 4},
		{32, 256, 32, 16, 4},
		{32, 256, 16, 32, 4},
		{32, 256, 8, 32, 2},
	} {
		for _, skew := range []bool{false, true} {
			t.Run(fmt.Sprintf("%+v skew=%v", c, skew), func(t *testing.T) {
				rng := rand.New(rand.NewPCG(3, 4))
				g, err := packing.NewGrid(c.units, c.slots)
				require.NoError(t, err)
				l, err := packing.NewInner(g, c.in, c.out, c.window, skew)
				require.NoError(t, err)
				batch := g.Batch(l.Window)
				require.Positive(t, batch)
				w, x, e := randomMatrix(rng, c.out, c.in), randomMatrix(rng, c.in, batch), randomMatrix(rng, c.out, batch)
				slots := l.Weights(w)
				require.Equal(t, w, l.Read(slots))
				xs := l.Input().Pack(batch, func(j, s int) float64 { return x[j][s] })
				es := l.Output().Pack(batch, func(j, s int) float64 { return e[j][s] })

				require.NoError(t, l.Forward.Check(len(slots), 1))
				z := l.Forward.Apply(slots, [][]float64{xs})
				requireFace(t, l.Output(), matmul(w, x), l.Sum.Apply(z[0]))

				dx := l.Backward.Apply(slots, [][]float64{es})
				requireFace(t, l.Input(), matmul(transpose(w), e), l.BackSum.Apply(dx[0]))

				grad := matmul(e, transpose(x))
				d := l.Gradient.Apply([][]float64{es}, [][]float64{xs})
				u := l.Update(g.Block, 0.5)
				for i := range grad {
					for j := range grad[i] {
						grad[i][j] *= 0.5
					}
				}
				requireWeights(t, l.Weights(grad), u.Apply(d))
				require.NoError(t, u.Mix.Check(len(d), c.slots))
				requireMatrix(t, w, l.Read(u.Apply(slots)), 0.5*u.Copies)
			})
		}
	}
}

func TestFaceBias(t *testing.T) {
	for _, skew := range []bool{false, true} {
		for _, size := range []int{1, 4, 8} {
			rng := rand.New(rand.NewPCG(5, 6))
			f := packing.Face{Grid: packing.Grid{Units: 8, Block: 16}, Len: max(1, size-1), Size: size, Skew: skew}
			const batch = 11
			e := randomMatrix(rng, f.Len, batch)
			slots := f.Pack(batch, func(j, s int) float64 { return e[j][s] })
			want := f.Pack(batch, func(j, _ int) float64 {
				sum := 0.0
				for _, v := range e[j] {
					sum += v / 8
				}
				return sum
			})
			require.InDeltaSlice(t, want, f.Bias(batch, 0.125).Apply(slots), 1e-9, "skew %v size %d", skew, size)
		}
	}
}

// A query gives what the layer gives for rows in the clear.
func TestQuery(t *testing.T) {
	for _, c := range []struct{ units, slots, in, out, window int }{
		{8, 256, 20, 8, 8},
		{8, 256, 20, 3, 4},
		{8, 256, 5, 8, 4},
		{16, 512, 33, 13, 16},
		{4, 128, 9, 1, 8},
	} {
		t.Run(fmt.Sprintf("%+v", c), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(7, 8))
			g, err := packing.NewGrid(c.units, c.slots)
			require.NoError(t, err)
			l, err := packing.NewInput(g, c.in, c.out, c.window, 1)
			require.NoError(t, err)
			q, err := packing.NewQuery(l, packing.Strips{Grid: g, Width: g.Block}, 0, c.window/2)
			require.NoError(t, err)
			relayout := append(q.Relayout(0, 1), q.Relayout(1, q.Weights)...)
			require.NoError(t, relayout.Check(l.Ciphertexts(), c.slots))
			require.Len(t, relayout, q.Weights)
			batch := g.Batch(l.Window, q.Window())
			w, x := randomMatrix(rng, c.out, c.in), randomMatrix(rng, batch, c.in)
			weights := relayout.Apply(l.Weights(w))
			require.NoError(t, q.Forward.Check(len(weights), q.Blocks))
			z := q.Forward.Apply(weights, q.Rows(x))
			requireFace(t, l.Face(), matmul(w, transpose(x)), q.Sum.Apply(z[0]))
		})
	}
}
