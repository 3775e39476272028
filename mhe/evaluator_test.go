package mhe_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/nereid-mhe/nereid/internal/testkit"
	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/mhe/rns"
	"github.com/nereid-mhe/nereid/packing"
	"github.com/nereid-mhe/nereid/params"
)

// Models of the property test run on a chain of six levels above the masks, with
// keys for every rotation that a cyclic sum of radix 4 may need.
const modelLevels = 6

func modelWorld(t testing.TB) testkit.World {
	t.Helper()
	set, err := params.InsecureToy(3, modelLevels)
	require.NoError(t, err)
	var ks []int
	for k := 1; k < set.N(); k *= 2 {
		ks = append(ks, k)
		if 3*k < set.N() {
			ks = append(ks, 3*k)
		}
	}
	slices.Sort(ks)
	return world(t, set, ks...)
}

// A model is one random computation: everything that an evaluator does to data.
type model struct {
	dot        packing.Dot
	rows       [][]float64
	weights    []float64 // one period
	x, y       mhe.Tensor
	coeffs     []float64
	logZ, logG int // scales of the outputs and of the gradient; 0 keeps that of the weights
	decay      mhe.Tensor
	m          packing.Map
}

// The weights of a model have the error of their encryption.
func (m model) traced(set params.Set, v []float64) mhe.Tensor {
	r := mhe.Plain(v).Range()
	r.Err = mhe.NewNoise(set).Encrypt(mhe.Power(set.LogScale()))
	return mhe.TracedTensor(r, set.MaxLevel(), mhe.Power(set.LogScale()))
}

func drawModel(t *rapid.T, set params.Set) model {
	features := rapid.IntRange(1, 20).Draw(t, "features")
	batch := rapid.IntRange(1, packing.MaxBatch(features, set.N())).Draw(t, "batch")
	if features == 1 {
		batch = max(batch, 5) // a period of at least 8
	} else if features <= 4 {
		batch = max(batch, 3)
	}
	seed := rapid.Uint64().Draw(t, "seed")
	d, err := packing.NewDot(features, batch, set.N())
	require.NoError(t, err)
	m := model{dot: d, weights: d.Weights(testkit.Random(features, seed))}
	for s := range batch {
		m.rows = append(m.rows, testkit.Random(features, seed+uint64(s)+1))
	}
	m.x, m.y = mhe.Plain(d.Data(m.rows)), mhe.Plain(d.Targets(testkit.Random(batch, seed+1000)))

	degree := 1 + 2*rapid.IntRange(0, 3).Draw(t, "degree")
	m.coeffs = make([]float64, degree+1)
	m.coeffs[0] = rapid.Float64Range(-1, 1).Draw(t, "constant")
	reach := 1.0 // powers weigh alike at the end of the outputs' interval, as in a fit
	for _, z := range d.Sum.Apply(times(m.weights, m.x.Values())) {
		reach = max(reach, math.Abs(z))
	}
	for k := 1; k <= degree; k += 2 {
		c := rapid.Float64Range(0.1, 1).Draw(t, "coefficient") * math.Pow(reach, -float64(k-1))
		m.coeffs[k] = c * rapid.SampledFrom([]float64{1, -1}).Draw(t, "sign")
	}
	m.logZ = rapid.SampledFrom([]int{0, 42, 45}).Draw(t, "logZ")
	m.logG = rapid.IntRange(35, 45).Draw(t, "logG")
	m.decay = mhe.Plain(d.Weights(testkit.Random(features, seed+2000)))
	for range rapid.IntRange(0, 2).Draw(t, "map steps") {
		var s packing.Step
		s.Rotations = rapid.SliceOfNDistinct(rapid.SampledFrom([]int{0, 1, 2, 3, 8, 96, 256, 768}), 0, 3, rapid.ID[int]).Draw(t, "rotations")
		if rapid.Bool().Draw(t, "masked") {
			s.Mask = testkit.Random(1<<rapid.IntRange(0, 10).Draw(t, "period"), seed+3000)
		}
		m.m.Steps = append(m.m.Steps, s)
	}
	return m
}

// names of what run returns.
var names = []string{"z", "polynomial", "error", "gradient", "decayed", "mapped", "prediction", "update"}

// run computes the model on weights w and the encrypted query q.
func (m model) run(ev mhe.Evaluator, w, q mhe.Tensor) ([]mhe.Tensor, error) {
	var out []mhe.Tensor
	var failed error
	note := func(x mhe.Tensor, err error) mhe.Tensor {
		failed = errors.Join(failed, err)
		out = append(out, x)
		return x
	}
	steps := []func(){
		func() { note(ev.Dot(m.dot, w, m.x, m.logZ)) },
		func() { note(mhe.Polynomial(ev, m.coeffs, out[0])) },
		func() { note(ev.Sub(out[1], m.y)) },
		func() { note(ev.Outer(m.dot, out[2], m.x, m.logG)) },
		func() { note(ev.AddScaled(out[3], m.decay, w)) },
		func() { note(ev.Map(m.m, out[4])) },
		func() { note(ev.Dot(m.dot, w, q, 0)) },
		func() { note(ev.Sub(w, q)) },
	}
	for _, step := range steps {
		if step(); failed != nil {
			return out, failed
		}
	}
	return out, nil
}

// The three backends agree for any model: levels and scales exactly, values
// within the error that the trace foresees. The bounds of the trace are bounds.
func TestBackendsAgree(t *testing.T) {
	w := modelWorld(t)
	set, top, scale := w.Set, w.Set.MaxLevel(), mhe.Power(w.Set.LogScale())
	clear, ckks := mhe.NewClear(set), mhe.NewCKKS(w.Keys, 2)
	ratios := map[string][]float64{}
	rapid.Check(t, func(rt *rapid.T) {
		m := drawModel(rt, set)
		query := m.dot.Data(m.rows)
		want, err := m.run(clear, mhe.ClearTensor(m.weights, top, scale), mhe.ClearTensor(query, top, scale))
		require.NoError(rt, err)
		trace, ev := mhe.NewTrace(set)
		traced, err := m.run(ev, m.traced(set, m.weights), m.traced(set, query))
		require.NoError(rt, err)
		for _, k := range trace.Keys().Rotations {
			require.Contains(rt, m.rotations(set), k.By)
		}
		wct, err := w.Keys.Encryption().Encrypt(w.Encoder, m.weights, top, scale, testkit.Source("w"))
		require.NoError(rt, err)
		qct, err := w.Keys.Encryption().Encrypt(w.Encoder, query, top, scale, testkit.Source("q"))
		require.NoError(rt, err)
		got, err := m.run(ckks, wct, qct)
		require.NoError(rt, err)
		for i, name := range names {
			require.Equal(rt, want[i].Level(), got[i].Level(), name)
			require.Equal(rt, want[i].Level(), traced[i].Level(), name)
			require.Zero(rt, want[i].Scale().Cmp(got[i].Scale()), name)
			require.Zero(rt, want[i].Scale().Cmp(traced[i].Scale()), name)
			r := traced[i].Range()
			diff := rms(w.Open(t, got[i], set.Parties()), want[i].Values())
			// A random polynomial multiplies errors by its slope, up to Σ k·|c_k| = 16 where
			// the estimate may have 0.1, and one row has no typical size.
			require.Less(rt, diff, 256*r.Err, "%s: error 2^%.1f, estimate 2^%.1f", name, math.Log2(diff), math.Log2(r.Err))
			ratios[name] = append(ratios[name], math.Log2(diff/r.Err))
			for _, v := range want[i].Values() {
				require.LessOrEqual(rt, math.Abs(v), r.Max*(1+1e-12), name)
			}
		}
	})
	for name, r := range ratios { // estimates are typically right, on both sides
		slices.Sort(r)
		t.Logf("%s: log2 of error over estimate: median %.2f, from %.2f to %.2f", name, r[len(r)/2], r[0], r[len(r)-1])
		require.InDelta(t, 0, r[len(r)/2], 1, name)
	}
}

// rotations are those of the model's products and map.
func (m model) rotations(set params.Set) []int {
	return append(m.dot.Sum.Rotations(set.N()), m.m.Rotations(set.N())...)
}

// A training step of logistic regression: every tensor's error is as the trace
// says, within two bits either way.
func TestTraceEstimatesEveryTensorOfAStep(t *testing.T) {
	set := testkit.Toy(t, 3)
	for _, tt := range []struct {
		features, batch, degree int
		logP                    int
	}{{9, 64, 3, 60}, {16, 32, 1, 60}, {31, 32, 5, 60}, {5, 128, 7, 60}, {9, 64, 3, 40}} {
		t.Run(fmt.Sprintf("features=%d degree=%d special=%d", tt.features, tt.degree, tt.logP), func(t *testing.T) {
			if testing.Short() && (tt.degree != 3 || tt.logP < 60) {
				t.Skip("more of the same")
			}
			c := set.Config()
			c.LogP = []int{tt.logP}
			c.LogQ = append(c.LogQ, 45, 45)
			set, err := params.New(c)
			require.NoError(t, err)
			d, err := packing.NewDot(tt.features, tt.batch, set.N())
			require.NoError(t, err)
			m := model{dot: d, weights: d.Weights(testkit.Random(tt.features, 1)), coeffs: []float64{0.5, 0.2, 0, -0.004, 0, 4e-5, 0, -1e-7}[:tt.degree+1]}
			for s := range tt.batch {
				m.rows = append(m.rows, testkit.Random(tt.features, uint64(s+2)))
			}
			m.x, m.y = mhe.Plain(d.Data(m.rows)), mhe.Plain(d.Targets(testkit.Random(tt.batch, 1000)))
			m.decay, m.logG = mhe.Plain(d.Weights(slices.Repeat([]float64{0.01}, tt.features))), 40
			m.m = packing.Map{Steps: []packing.Step{{Rotations: []int{0, 1}}, {Mask: testkit.Random(16, 3)}}}

			query := d.Data(m.rows)
			trace, ev := mhe.NewTrace(set)
			traced, err := m.run(ev, m.traced(set, m.weights), m.traced(set, query))
			require.NoError(t, err)
			w := testkit.NewWorld(t, set, trace.Keys())
			top, scale := set.MaxLevel(), mhe.Power(set.LogScale())
			want, err := m.run(mhe.NewClear(set), mhe.ClearTensor(m.weights, top, scale), mhe.ClearTensor(query, top, scale))
			require.NoError(t, err)
			wct, err := w.Keys.Encryption().Encrypt(w.Encoder, m.weights, top, scale, testkit.Source("w"))
			require.NoError(t, err)
			qct, err := w.Keys.Encryption().Encrypt(w.Encoder, query, top, scale, testkit.Source("q"))
			require.NoError(t, err)
			got, err := m.run(mhe.NewCKKS(w.Keys, 1), wct, qct)
			require.NoError(t, err, "the traced keys are all that is needed")
			for i, name := range names {
				withinBits(t, traced[i].Range().Err, rms(w.Open(t, got[i], 3), want[i].Values()), 2, "%s", name)
			}
		})
	}
}

// The number of goroutines inside an operation, and operations at the same time,
// change no bit. With -race this finds shared scratch space.
func TestCKKSIsDeterministicAndConcurrent(t *testing.T) {
	w := modelWorld(t)
	set := w.Set
	d, err := packing.NewDot(5, 100, set.N())
	require.NoError(t, err)
	m := model{dot: d, weights: d.Weights(testkit.Random(5, 1)), coeffs: []float64{0.5, 0.2, 0, -0.004}, logG: 40, decay: mhe.Plain(d.Weights(testkit.Random(5, 2)))}
	for s := range 100 {
		m.rows = append(m.rows, testkit.Random(5, uint64(s+3)))
	}
	m.x, m.y = mhe.Plain(d.Data(m.rows)), mhe.Plain(d.Targets(testkit.Random(100, 1000)))
	wct := w.Encrypt(t, m.weights, set.MaxLevel())
	qct := w.Encrypt(t, d.Data(m.rows), set.MaxLevel())
	before := [2][][]uint64{clone(wct.Polys()[0]), clone(wct.Polys()[1])}
	want, err := m.run(mhe.NewCKKS(w.Keys, 1), wct, qct)
	require.NoError(t, err)
	shared := mhe.NewCKKS(w.Keys, 3)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			got, err := m.run(shared, wct, qct)
			if err != nil {
				t.Error(err)
				return
			}
			for i := range got {
				for j, p := range got[i].Polys() {
					if !slices.EqualFunc(p, want[i].Polys()[j], slices.Equal) {
						t.Errorf("%s: polynomial %d differs", names[i], j)
					}
				}
			}
		})
	}
	wg.Wait()
	for i := range before {
		require.Equal(t, before[i], [][]uint64(wct.Polys()[i]), "operations leave their arguments alone")
	}
}

// What scratch space held before is in no result, and no result lies in scratch
// space: garbage there, before or after an operation, changes nothing.
func TestResultsDoNotDependOnScratchSpace(t *testing.T) {
	w := modelWorld(t)
	set := w.Set
	d, err := packing.NewDot(9, 64, set.N())
	require.NoError(t, err)
	m := model{
		dot: d, weights: d.Weights(testkit.Random(9, 1)), x: mhe.Plain(testkit.Random(1024, 2)), y: mhe.Plain(testkit.Random(64, 3)),
		coeffs: []float64{0.5, 0.2, 0, -0.004}, logG: 40, decay: mhe.Plain(d.Weights(testkit.Random(9, 4))),
		m: packing.Map{Steps: []packing.Step{{Rotations: []int{0, 1, 3}, Mask: testkit.Random(16, 5)}}},
	}
	run := func() []mhe.Tensor {
		pollute(set.N())
		out, err := m.run(mhe.NewCKKS(w.Keys, 1), w.Encrypt(t, m.weights, set.MaxLevel()), w.Encrypt(t, testkit.Random(1024, 6), set.MaxLevel()))
		require.NoError(t, err)
		return out
	}
	want := run()
	var kept [][]rns.Poly
	for _, x := range want {
		kept = append(kept, []rns.Poly{clone(x.Polys()[0]), clone(x.Polys()[1])})
	}
	for range 3 {
		got := run()
		pollute(set.N())
		for i := range got {
			require.Equal(t, kept[i], want[i].Polys(), "%s, kept", names[i])
			require.Equal(t, kept[i], got[i].Polys(), "%s, made again", names[i])
			for _, p := range got[i].Polys() { // residues are below their primes, as encoding needs
				for j, s := range mhe.Basis(set, got[i].Level()) {
					require.Less(t, slices.Max(p[j]), s.Modulus, "%s, limb %d", names[i], j)
				}
			}
		}
	}
}
