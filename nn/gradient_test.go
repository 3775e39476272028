package nn_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/internal/approx"
	"github.com/nereid-mhe/nereid/internal/testkit"
	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/nn"
)

// antiderivative returns the coefficients of ∫c, zero at zero.
func antiderivative(c []float64) []float64 {
	out := make([]float64, len(c)+1)
	for k, x := range c {
		out[k+1] = x / float64(k+1)
	}
	return out
}

// losses are per-row losses in the plainest form, and the loss of the package
// whose gradient is theirs.
type loss struct {
	name string
	nn   nn.Loss
	f    func(z, y float64) float64
}

func losses(t testing.TB) []loss {
	t.Helper()
	all := []loss{{"squared", nn.Squared{Bound: 6}, func(z, y float64) float64 { return (z - y) * (z - y) / 2 }}}
	for _, degree := range []int{1, 3, 5, 7} {
		c, err := approx.Odd(nn.Sigmoid, degree, 6)
		require.NoError(t, err)
		p := antiderivative(c)
		all = append(all, loss{fmt.Sprintf("logistic of degree %d", degree), logistic(t, degree, 6), func(z, y float64) float64 {
			return approx.Eval(p, z) - y*z
		}})
	}
	return all
}

// objective is what training descends: the mean loss of the parties' batches of
// a step, and the decay of all weights but the bias.
func (l loss) objective(m nn.Model, data []nn.Data, step int, w []float64) float64 {
	sum, rows := 0.0, 0.0
	for _, d := range data {
		for _, i := range d.Sampler.Rows(step) {
			sum, rows = sum+l.f(nn.Output(w, d.X[i]), d.Y[i]), rows+1
		}
	}
	j := sum / rows
	for _, x := range w[:len(w)-1] {
		j += m.SGD.L2 / 2 * x * x
	}
	return j
}

// The update of a step is the learning rate of that step times the gradient of
// the objective, by central differences: their error is h²/6 of a third
// derivative below 1, and rounding 10^-16/h.
func TestGradientMatchesFiniteDifferences(t *testing.T) {
	const h = 1e-4
	for _, l := range losses(t) {
		t.Run(l.name, func(t *testing.T) {
			m := small(t)
			m.Loss = l.nn
			p := toy(t, m)
			data := parties(t, m, 1)
			for step := range 3 {
				w := testkit.Random(m.Features, uint64(step+5))
				got := update(t, p, data, step, w)
				rate := m.SGD.Rate / (1 + m.SGD.Decay*float64(step))
				for j := range w {
					at := func(x float64) float64 {
						v := append([]float64(nil), w...)
						v[j] += x
						return l.objective(m, data, step, v)
					}
					want := rate * (at(h) - at(-h)) / (2 * h)
					require.InDelta(t, want, got[j], 1e-7, "step %d, weight %d", step, j)
				}
			}
		})
	}
}

// The decay pulls every weight but the bias, by L2 times it: the difference of
// two gradients that differ in nothing else.
func TestDecayExcludesTheBias(t *testing.T) {
	for _, features := range []int{1, 2, 5, 9} {
		for _, batch := range [][]int{{1, 1}, {6, 8, 3}, {20, 1, 20, 7}} {
			m := small(t)
			m.Features, m.Batch, m.SGD = features, batch, nn.SGD{Rate: 0.7, L2: 0.3}
			without := m
			without.SGD.L2 = 0
			data := parties(t, m, uint64(features))
			w := testkit.Random(features, 1)
			a, b := update(t, toy(t, m), data, 0, w), update(t, toy(t, without), data, 0, w)
			for j := range w {
				want := 0.7 * 0.3 * w[j]
				if j == len(w)-1 {
					want = 0
				}
				require.InDelta(t, want, a[j]-b[j], 1e-12, "weight %d of %d, batches %v", j, features, batch)
			}
		}
	}
}

// The learning rate of step k is Rate/(1 + Decay·k), for the gradient and for the
// decay of weights alike.
func TestLearningRateDecays(t *testing.T) {
	m := small(t)
	m.SGD.Decay = 0.5
	for i := range m.Batch { // every step sees every row: only the rate differs
		m.Batch[i] = 20
	}
	p, data := toy(t, m), parties(t, m, 1)
	w := testkit.Random(m.Features, 1)
	first := update(t, p, data, 0, w)
	for step := range 5 {
		got := update(t, p, data, step, w)
		for j := range w {
			require.InDelta(t, first[j]/(1+0.5*float64(step)), got[j], 1e-12)
		}
	}
}

// The loss ends near the default scale for any degree and interval, because the
// leading coefficient, which goes into the scale, was taken account of: within
// half a bit of the outputs' scale for each power.
func TestOutScaleBringsGradientsNearTheDefault(t *testing.T) {
	for _, l := range []nn.Loss{nn.Squared{Bound: 3}, logistic(t, 1, 6), logistic(t, 3, 2), logistic(t, 3, 12), logistic(t, 5, 25), logistic(t, 7, 4), logistic(t, 7, 12)} {
		m := small(t)
		m.Loss = l
		p := toy(t, m)
		require.Equal(t, l.OutScale(p.Set.LogScale()), p.Dense.OutScale)
		ev, data := mhe.NewClear(p.Set), mhe.Plain(testkit.Random(8, 1))
		w := mhe.ClearTensor(testkit.Random(8, 2), p.Set.MaxLevel(), mhe.Power(p.Set.LogScale()))
		z, err := p.Dense.Forward(ev, w, data)
		require.NoError(t, err)
		require.InDelta(t, p.Dense.OutScale, z.LogScale(), 0, "exactly")
		dz, err := l.Gradient(ev, z, data)
		require.NoError(t, err)
		require.InDelta(t, p.Set.LogScale(), dz.LogScale(), 7.0/2+0.01)
		g, err := p.Dense.Backward(ev, data, dz)
		require.NoError(t, err)
		require.InDelta(t, p.Dense.LogScale, g.LogScale(), 0, "exactly")
	}
}

func TestLosses(t *testing.T) {
	l := logistic(t, 3, 6)
	require.Equal(t, 0.5, l.Link(0))
	require.InDelta(t, 0.75, l.Link(math.Log(3)), 1e-15)
	require.Equal(t, 2.5, nn.Squared{}.Link(2.5))
	require.InDelta(t, 1, nn.Sigmoid(40), 1e-15)
	require.InDelta(t, 0, nn.Sigmoid(-40), 1e-15)

	// The declared bound of the gradient holds up to twice the interval, and is met.
	for _, l := range []nn.Loss{l, logistic(t, 1, 2), logistic(t, 7, 12), nn.Squared{Bound: 6}} {
		for _, target := range []float64{1, 3} {
			bound, limit := l.Range(target)
			worst := 0.0
			m := small(t)
			m.Loss, m.MaxTarget, m.SGD.L2, m.Features = l, target, 0, 1
			m.Batch, m.MaxFeature = []int{1, 1}, 1
			p := toy(t, m)
			for _, y := range []float64{0, target} {
				for _, z := range []float64{-2 * bound, -bound, 0, bound, 2 * bound} {
					s, err := nn.NewSampler(1, 1, 0, 0)
					require.NoError(t, err)
					d := nn.Data{X: [][]float64{{1}}, Y: []float64{y}, Sampler: s}
					u := update(t, p, []nn.Data{d, d}, 0, []float64{z})
					worst = math.Max(worst, math.Abs(u[0]/m.SGD.Rate))
				}
			}
			require.LessOrEqual(t, worst, limit*(1+1e-9))
			require.GreaterOrEqual(t, worst, limit*0.9, "the bound is not wasteful")
		}
	}
}

func TestNewLogisticRefuses(t *testing.T) {
	for _, tt := range []struct {
		degree int
		bound  float64
	}{{0, 6}, {2, 6}, {-1, 6}, {3, 0}, {3, -1}, {3, math.NaN()}, {3, math.Inf(1)}, {3, 1e-200}, {3, 1e200}} {
		_, err := nn.NewLogistic(tt.degree, tt.bound)
		require.ErrorIs(t, err, nn.ErrModel, "%+v", tt)
	}
}
