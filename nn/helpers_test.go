package nn_test

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/internal/testkit"
	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/nn"
)

// logistic returns the fitted loss.
func logistic(t testing.TB, degree int, bound float64) nn.Logistic {
	t.Helper()
	l, err := nn.NewLogistic(degree, bound)
	require.NoError(t, err)
	return l
}

// small is a model of three parties with batches of different sizes, 5 features
// with the bias, and data within 1.
func small(t testing.TB) nn.Model {
	t.Helper()
	return nn.Model{
		Features: 5, Loss: logistic(t, 3, 6), SGD: nn.SGD{Rate: 0.8, Decay: 0.1, L2: 0.05},
		Steps: 8, Batch: []int{6, 8, 3}, MaxFeature: 1, MaxTarget: 1,
	}
}

func toy(t testing.TB, m nn.Model) *nn.Plan {
	t.Helper()
	p, err := nn.FitInsecure(m)
	require.NoError(t, err)
	return &p
}

// parties draws data for every party of a model: 20 rows each, a bias of ones,
// and targets of a logistic model with the weights 2, -1, 0.5, … and some noise.
func parties(t testing.TB, m nn.Model, seed uint64) []nn.Data {
	t.Helper()
	const rows = 20
	r := rand.New(rand.NewPCG(seed, 1))
	data := make([]nn.Data, len(m.Batch))
	for i, batch := range m.Batch {
		s, err := nn.NewSampler(rows, batch, seed, i)
		require.NoError(t, err)
		d := nn.Data{Sampler: s}
		for k := range rows {
			x := testkit.Random(m.Features, seed+uint64(100*i+k))
			x[len(x)-1] = 1
			z, w := 0.0, 2.0
			for _, v := range x {
				z, w = z+w*v, -w/2
			}
			y := 0.0
			if nn.Sigmoid(3*z) > r.Float64() {
				y = 1
			}
			d.X, d.Y = append(d.X, x), append(d.Y, y)
		}
		data[i] = d
	}
	return data
}

// others adds the gradients of the other parties to that of the first, in the
// clear.
type others struct {
	tr   nn.Trainer
	w    mhe.Tensor
	data []nn.Data
}

func (o others) Sum(_ context.Context, step int, g mhe.Tensor) (mhe.Tensor, error) {
	sum := slices.Clone(g.Values())
	for _, d := range o.data {
		b, err := d.Batch(o.tr.Plan, step)
		if err != nil {
			return mhe.Tensor{}, err
		}
		h, err := o.tr.Gradient(o.w, b)
		if err != nil {
			return mhe.Tensor{}, err
		}
		for s, v := range h.Values() {
			sum[s] += v
		}
	}
	return mhe.ClearTensor(sum, g.Level(), g.Scale()), nil
}

// mapper applies the plan's map, in the clear.
type mapper struct{ p *nn.Plan }

func (m mapper) Refresh(_ context.Context, _ int, g mhe.Tensor) (mhe.Tensor, error) {
	return mhe.ClearTensor(m.p.Update.Apply(g.Values()), m.p.Set.MaxLevel(), mhe.Power(m.p.Set.LogScale())), nil
}

// update returns by how much a step in the clear lowers the weights w: the
// learning rate times the gradient.
func update(t testing.TB, p *nn.Plan, data []nn.Data, step int, w []float64) []float64 {
	t.Helper()
	x := mhe.ClearTensor(p.Dense.Dot.Weights(w), p.Set.MaxLevel(), mhe.Power(p.Set.LogScale()))
	tr := nn.Trainer{Plan: p, Eval: mhe.NewClear(p.Set), Refresh: mapper{p}}
	tr.Sum = others{tr, x, data[1:]}
	b, err := data[0].Batch(p, step)
	require.NoError(t, err)
	g, err := tr.Gradient(x, b)
	require.NoError(t, err)
	require.Equal(t, p.GradLevel, g.Level())
	require.Zero(t, g.Scale().Cmp(mhe.Power(p.Dense.LogScale)))
	next, err := tr.Step(context.Background(), step, x, b)
	require.NoError(t, err)
	out := p.Dense.Dot.Read(next.Values())
	for j := range out {
		out[j] = w[j] - out[j]
	}
	return out
}

// maxDiff returns the largest difference of two vectors.
func maxDiff(a, b []float64) float64 {
	d := 0.0
	for i := range a {
		d = math.Max(d, math.Abs(a[i]-b[i]))
	}
	return d
}

// rms returns the root mean square of a - b.
func rms(a, b []float64) float64 {
	sum := 0.0
	for i := range a {
		sum += (a[i] - b[i]) * (a[i] - b[i])
	}
	return math.Sqrt(sum / float64(len(a)))
}
