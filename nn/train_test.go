package nn_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/bootstrap"
	"github.com/nereid-mhe/nereid/internal/approx"
	"github.com/nereid-mhe/nereid/internal/testkit"
	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/mhe/rns"
	"github.com/nereid-mhe/nereid/nn"
)

// plain trains as a textbook would: no slots, no maps, no levels.
func plain(m nn.Model, slope func(z float64) float64, data []nn.Data) []float64 {
	w := make([]float64, m.Features)
	for k := range m.Steps {
		g, rows := make([]float64, m.Features), 0.0
		for _, d := range data {
			for _, i := range d.Sampler.Rows(k) {
				rows++
				for j, x := range d.X[i] {
					g[j] += (slope(nn.Output(w, d.X[i])) - d.Y[i]) * x
				}
			}
		}
		rate := m.SGD.Rate / (1 + m.SGD.Decay*float64(k))
		for j := range w {
			decay := m.SGD.L2 * w[j]
			if j == len(w)-1 {
				decay = 0
			}
			w[j] -= rate * (g[j]/rows + decay)
		}
	}
	return w
}

// The clear twin is textbook training with the polynomial in place of the
// sigmoid, to the rounding of floats, for any degree and any batches.
func TestTwinIsPlainTraining(t *testing.T) {
	for _, degree := range []int{1, 3, 5, 7} {
		for _, batch := range [][]int{{6, 8, 3}, {1, 1}, {20, 20}, {2, 17, 5, 9, 1}} {
			m := small(t)
			m.Loss, m.Batch, m.Steps = logistic(t, degree, 6), batch, 20
			c, err := approx.Odd(nn.Sigmoid, degree, 6)
			require.NoError(t, err)
			data := parties(t, m, uint64(degree))
			res, err := nn.Twin(toy(t, m), data)
			require.NoError(t, err)
			want := plain(m, func(z float64) float64 { return approx.Eval(c, z) }, data)
			require.Less(t, maxDiff(want, res.Weights), 1e-12, "degree %d, batches %v", degree, batch)
			require.Greater(t, res.MaxOutput, 0.0)
			require.GreaterOrEqual(t, res.MaxWeight, slices.Max(res.Weights))
		}
	}
}

// With a squared loss there is no polynomial: twin, exact and textbook training
// are one.
func TestTwinIsExactForSquaredLoss(t *testing.T) {
	m := small(t)
	m.Loss, m.SGD.Rate, m.Steps = nn.Squared{Bound: 4}, 0.3, 30
	data := parties(t, m, 1)
	res, err := nn.Twin(toy(t, m), data)
	require.NoError(t, err)
	require.Less(t, maxDiff(res.Weights, nn.Exact(m, data...)), 1e-12)
	require.Less(t, maxDiff(res.Weights, plain(m, func(z float64) float64 { return z }, data)), 1e-12)
}

// Exact training uses the true sigmoid, on the rows of all parties or of one.
func TestExactUsesTheTrueSigmoid(t *testing.T) {
	m := small(t)
	data := parties(t, m, 1)
	require.Less(t, maxDiff(plain(m, nn.Sigmoid, data), nn.Exact(m, data...)), 1e-12)
	require.Less(t, maxDiff(plain(m, nn.Sigmoid, data[1:2]), nn.Exact(m, data[1])), 1e-12)
}

// Training learns: the weights that made the targets, in sign and order, and more
// than chance.
func TestTrainingLearns(t *testing.T) {
	m := small(t)
	m.Steps, m.SGD = 60, nn.SGD{Rate: 1}
	data := parties(t, m, 3)
	res, err := nn.Twin(toy(t, m), data)
	require.NoError(t, err)
	require.Greater(t, res.Weights[0], 0.5)
	require.Less(t, res.Weights[1], 0.0)
	var outputs, targets []float64
	for _, d := range data {
		for i, x := range d.X {
			outputs, targets = append(outputs, nn.Output(res.Weights, x)), append(targets, d.Y[i])
		}
	}
	require.Greater(t, nn.Accuracy(outputs, targets), 0.75)
	require.InDelta(t, 0.75, nn.Accuracy([]float64{1, -1, 0, 3}, []float64{1, 0, 1, 1}), 0, "zero is not above zero")
	require.Zero(t, nn.Accuracy(nil, nil))
}

// A twin that leaves the polynomial's interval says so, and what to do.
func TestTwinDivergence(t *testing.T) {
	m := small(t)
	m.SGD, m.Steps = nn.SGD{Rate: 50}, 50
	_, err := nn.Twin(toy(t, m), parties(t, m, 1))
	require.ErrorIs(t, err, nn.ErrModel)
	for _, want := range []string{"beyond twice the interval [-6, 6]", "lower the learning rate (50)", "widen the interval", "clip the features"} {
		require.ErrorContains(t, err, want)
	}
}

func TestTwinRefuses(t *testing.T) {
	m := small(t)
	p, data := toy(t, m), parties(t, m, 1)
	_, err := nn.Twin(p, data[:2])
	require.ErrorIs(t, err, nn.ErrModel)
	require.ErrorContains(t, err, "data of 2 parties for a plan of 3")
	data[1].X[data[1].Sampler.Rows(0)[0]][2] = math.NaN()
	_, err = nn.Twin(p, data)
	require.ErrorIs(t, err, nn.ErrModel)
	require.ErrorContains(t, err, "party 1: ")
}

// An office is where the parties of a test meet: it adds up what they bring and
// refreshes it with the shares of all of them. Each party is on a goroutine of its
// own, as in a study.
type office struct {
	t       testing.TB
	w       testkit.World
	plan    *nn.Plan
	refresh *bootstrap.Refresh

	mu      sync.Mutex
	waiting map[string]*meeting
}

type meeting struct {
	in   []mhe.Tensor
	out  mhe.Tensor
	done chan struct{}
}

// meet waits for all parties and hands the last one's result to all.
func (o *office) meet(name string, x mhe.Tensor, f func(all []mhe.Tensor) mhe.Tensor) mhe.Tensor {
	o.mu.Lock()
	m := o.waiting[name]
	if m == nil {
		m = &meeting{done: make(chan struct{})}
		o.waiting[name] = m
	}
	m.in = append(m.in, x)
	if len(m.in) == len(o.w.Secrets) {
		m.out = f(m.in)
		close(m.done)
	}
	o.mu.Unlock()
	<-m.done
	return m.out
}

// desk is one party's side of the office.
type desk struct {
	*office
	party int
}

// Sum implements [nn.Summer]: every gradient is rerandomised before it leaves.
func (d desk) Sum(_ context.Context, step int, g mhe.Tensor) (mhe.Tensor, error) {
	r, err := d.w.Keys.Encryption().Rerandomise(g, testkit.Source(fmt.Sprint("rerandomise", step, d.party)))
	if err != nil {
		return mhe.Tensor{}, err
	}
	sum := d.meet(fmt.Sprint("sum", step), r, func(all []mhe.Tensor) mhe.Tensor {
		shape := mhe.CipherShape(d.w.Set, g.Level())
		sum := shape.New()
		for _, x := range all {
			s, err := x.Share()
			require.NoError(d.t, err)
			sum = testkit.Add(d.t, shape, sum, s)
		}
		return mhe.NewEncrypted(sum[0], sum[1], g.Scale())
	})
	if d.party != 0 { // only the root has the sum
		return mhe.Tensor{}, nil
	}
	return sum, nil
}

// Refresh implements [nn.Refresher].
func (d desk) Refresh(_ context.Context, step int, g mhe.Tensor) (mhe.Tensor, error) {
	return d.meet(fmt.Sprint("refresh", step), g, func(all []mhe.Tensor) mhe.Tensor {
		g := all[slices.IndexFunc(all, func(x mhe.Tensor) bool { return x.Polys() != nil })] // the root's
		a, err := d.refresh.Common(testkit.Source(fmt.Sprint("common", step)))
		require.NoError(d.t, err)
		var sum mhe.Share
		for i, sk := range d.w.Secrets {
			s, err := d.refresh.Share(sk, []rns.Poly{g.Polys()[1]}, a, testkit.Source(fmt.Sprint("refresh", step, i)))
			require.NoError(d.t, err)
			sum = testkit.Add(d.t, d.refresh.Shape(), sum, s)
		}
		out, err := d.refresh.Finish([]rns.Poly{g.Polys()[0]}, a, sum)
		require.NoError(d.t, err)
		return out[0]
	}), nil
}

// train runs all parties and returns the weights of every step, which must be the
// same ciphertext at every party.
func train(t testing.TB, p *nn.Plan, data []nn.Data) (testkit.World, []mhe.Tensor) {
	t.Helper()
	w := testkit.NewWorld(t, p.Set, p.Keys)
	r, err := p.Refresh(w.Encoder)
	require.NoError(t, err)
	o := &office{t: t, w: w, plan: p, refresh: r, waiting: map[string]*meeting{}}
	weights := make([][]mhe.Tensor, len(data))
	var wg sync.WaitGroup
	for i, d := range data {
		wg.Go(func() {
			tr := nn.Trainer{Plan: p, Eval: mhe.NewCKKS(w.Keys, 1), Sum: desk{o, i}, Refresh: desk{o, i}}
			batch := func(step int) (nn.Batch, error) { return d.Batch(p, step) }
			for s, err := range tr.Steps(context.Background(), p.Initial(), batch) {
				if err != nil {
					t.Errorf("party %d: %v", i, err)
					return
				}
				weights[i] = append(weights[i], s.Weights)
				if s.Number != len(weights[i]) {
					t.Errorf("step %d is called %d", len(weights[i]), s.Number)
				}
			}
		})
	}
	wg.Wait()
	for i := range weights {
		require.Len(t, weights[i], p.Model.Steps)
		require.Equal(t, weights[0][p.Model.Steps-1].Polys(), weights[i][p.Model.Steps-1].Polys(), "party %d", i)
	}
	return w, weights[0]
}

// Three parties train on ciphertexts what the twin trains in the clear: every
// weight after every step within six of the plan's deviations, at the level and
// the exact scale of the first. Then a querier asks, and gets the model's outputs
// as exactly as the flooding allows.
func TestEncryptedTrainingMatchesTheTwin(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*nn.Model)
	}{
		{"degree 3", func(*nn.Model) {}},
		{"degree 1 without decay", func(m *nn.Model) { m.Loss, m.SGD = logistic(t, 1, 6), nn.SGD{Rate: 0.5} }},
		{"degree 7", func(m *nn.Model) { m.Loss = logistic(t, 7, 8) }},
		{"squared", func(m *nn.Model) { m.Loss, m.SGD.Rate = nn.Squared{Bound: 4}, 0.3 }},
		{"two parties, one feature", func(m *nn.Model) { m.Features, m.Batch, m.SGD.L2 = 1, []int{1, 2}, 0.1 }},
		{"a full ciphertext", func(m *nn.Model) { m.Features, m.Batch, m.Steps = 60, []int{16, 16, 16}, 4; m.SGD.Rate = 0.2 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := small(t)
			tt.change(&m)
			if testing.Short() {
				m.Steps = min(m.Steps, 3)
			}
			p, data := toy(t, m), parties(t, m, 1)
			w, steps := train(t, p, data)
			for k, x := range steps {
				twin := *p
				twin.Model.Steps = k + 1
				want, err := nn.Twin(&twin, data)
				require.NoError(t, err)
				require.Equal(t, p.Set.MaxLevel(), x.Level())
				require.Zero(t, x.Scale().Cmp(mhe.Power(p.Set.LogScale())), "the scale lands exactly")
				slots := w.Open(t, x, len(m.Batch))
				require.Less(t, maxDiff(want.Weights, p.Dense.Dot.Read(slots)), 6*p.WeightErr, "after step %d", k+1)
				if k < len(steps)-1 {
					continue
				}
				diff := rms(want.Weights, p.Dense.Dot.Read(slots))
				t.Logf("error of weights 2^%.1f, plan 2^%.1f", math.Log2(diff), math.Log2(p.WeightErr))
				if m.Features > 1 { // one weight may be right by chance
					require.InDelta(t, math.Log2(p.WeightErr), math.Log2(diff), 2, "the plan's estimate")
				}
				predict(t, p, w, x, want.Weights)
			}
		})
	}
}

// predict asks for the outputs of rows under encrypted weights and compares them
// with those of the clear ones.
func predict(t *testing.T, p *nn.Plan, w testkit.World, weights mhe.Tensor, clear []float64) {
	t.Helper()
	secret, key, err := mhe.NewQuerierKey(p.Set, testkit.Source("querier"))
	require.NoError(t, err)
	n := p.Queries()
	var rows [][]float64
	for i := range n {
		rows = append(rows, testkit.Random(p.Model.Features, uint64(500+i)))
	}
	v, err := p.Query(rows)
	require.NoError(t, err)
	q, err := w.Keys.Encryption().Encrypt(w.Encoder, v, p.Set.MaxLevel(), mhe.Power(p.Set.LogScale()), testkit.Source("query"))
	require.NoError(t, err)
	z, err := p.Predict(mhe.NewCKKS(w.Keys, 2), weights, q, n)
	require.NoError(t, err)
	require.Equal(t, p.PredictLevel, z.Level())
	require.Zero(t, z.Scale().Cmp(p.OutputScale), "the plan knows the scale")

	noise := mhe.NewNoise(p.Set)
	sigma, err := noise.Flooding(p.OpenedErr, p.OutputScale, 1, mhe.MinFlooding)
	require.NoError(t, err)
	o := mhe.Opening{Set: p.Set, Level: z.Level(), Count: 1, Sigma: sigma}
	var sum mhe.Share
	for i, sk := range w.Secrets {
		s, err := o.SwitchShare(sk, []rns.Poly{z.Polys()[1]}, key, testkit.Source(fmt.Sprint("switch", i)))
		require.NoError(t, err)
		sum = testkit.Add(t, o.SwitchShape(), sum, s)
	}
	out, err := o.Switch([]mhe.Tensor{z}, sum)
	require.NoError(t, err)
	slots, err := secret.Decrypt(w.Encoder, out[0])
	require.NoError(t, err)
	opened := noise.Opened(p.OutputErr, sigma, p.OutputScale)
	t.Logf("an output is opened with an error of 2^%.1f", math.Log2(opened))
	for i, y := range p.Outputs(slots, n) {
		require.InDelta(t, nn.Output(clear, rows[i]), y, 6*opened+6*p.WeightErr*math.Sqrt(float64(p.Model.Features)), "row %d", i)
	}
	for s, y := range slots {
		if s >= n {
			require.Less(t, math.Abs(y), 6*opened, "slot %d holds something", s)
		}
	}
}

// The weights that training starts from are zeros that everybody can read.
func TestInitialWeights(t *testing.T) {
	p := toy(t, small(t))
	w := p.Initial()
	require.Equal(t, p.Set.MaxLevel(), w.Level())
	require.InDelta(t, p.Set.LogScale(), w.LogScale(), 0)
	zero := mhe.Basis(p.Set, p.Set.MaxLevel()).New()
	require.Equal(t, []rns.Poly{zero, zero}, w.Polys())
}

// A failing is a network that fails at a step.
type failing struct {
	at  int
	err error
}

func (f failing) Sum(_ context.Context, step int, g mhe.Tensor) (mhe.Tensor, error) {
	if step == f.at {
		return mhe.Tensor{}, f.err
	}
	return g, nil
}

// lender returns an update of zeros at the level of the weights.
type lender struct {
	failing
	p *nn.Plan
}

func (l lender) Refresh(_ context.Context, step int, _ mhe.Tensor) (mhe.Tensor, error) {
	if step == l.at {
		return mhe.Tensor{}, l.err
	}
	return mhe.ClearTensor(make([]float64, 64), l.p.Set.MaxLevel(), mhe.Power(l.p.Set.LogScale())), nil
}

// Training ends with the first error, which it passes on with the step's number;
// with the context; or with the caller.
func TestStepsEnd(t *testing.T) {
	m := small(t)
	p, data := toy(t, m), parties(t, m, 1)
	broken := errors.New("broken")
	start := mhe.ClearTensor(make([]float64, 64), p.Set.MaxLevel(), mhe.Power(p.Set.LogScale()))
	never := failing{at: -1}
	good := func(step int) (nn.Batch, error) { return data[0].Batch(p, step) }
	run := func(ctx context.Context, sum nn.Summer, refresh nn.Refresher, w mhe.Tensor, batch func(int) (nn.Batch, error), most int) (done int, err error) {
		tr := nn.Trainer{Plan: p, Eval: mhe.NewClear(p.Set), Sum: sum, Refresh: refresh}
		for s, e := range tr.Steps(ctx, w, batch) {
			if e != nil {
				require.Zero(t, s.Number)
				err = e
				continue
			}
			require.NoError(t, err, "nothing comes after an error")
			done++
			if done == most {
				break
			}
		}
		return done, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	bg := context.Background()

	done, err := run(bg, never, lender{never, p}, start, good, 0)
	require.NoError(t, err)
	require.Equal(t, m.Steps, done)

	done, err = run(bg, never, lender{never, p}, start, good, 2)
	require.NoError(t, err)
	require.Equal(t, 2, done, "the caller had enough")

	done, err = run(bg, failing{3, broken}, lender{never, p}, start, good, 0)
	require.ErrorIs(t, err, broken)
	require.ErrorContains(t, err, "nn: step 4: broken")
	require.Equal(t, 3, done)

	done, err = run(bg, never, lender{failing{1, broken}, p}, start, good, 0)
	require.ErrorIs(t, err, broken)
	require.Equal(t, 1, done)

	done, err = run(bg, never, lender{never, p}, start, func(step int) (nn.Batch, error) {
		if step == 2 {
			return nn.Batch{}, broken
		}
		return good(step)
	}, 0)
	require.ErrorIs(t, err, broken)
	require.Equal(t, 2, done)

	done, err = run(ctx, never, lender{never, p}, start, func(step int) (nn.Batch, error) {
		if step == 5 {
			cancel()
		}
		return good(step)
	}, 0)
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, 5, done)

	low := mhe.ClearTensor(make([]float64, 64), 2, mhe.Power(p.Set.LogScale()))
	done, err = run(bg, never, lender{never, p}, low, good, 0)
	require.ErrorIs(t, err, mhe.ErrLevel)
	require.ErrorContains(t, err, "nn: step 1: nn: loss: mhe: Polynomials needs level")
	require.Zero(t, done)

	// every phase of a gradient names itself
	tr := nn.Trainer{Plan: p, Eval: mhe.NewClear(p.Set)}
	b, err := good(0)
	require.NoError(t, err)
	for level, want := range map[int]string{0: "nn: forward: ", 2: "nn: loss: ", 3: "nn: backward: "} {
		_, err := tr.Gradient(mhe.ClearTensor(make([]float64, 64), level, mhe.Power(45)), b)
		require.ErrorIs(t, err, mhe.ErrLevel)
		require.ErrorContains(t, err, want)
	}
}
