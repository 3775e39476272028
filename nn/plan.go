package nn

import (
	"crypto/sha3"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/big"

	"github.com/nereid-mhe/nereid/bootstrap"
	"github.com/nereid-mhe/nereid/internal/portable"
	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/packing"
	"github.com/nereid-mhe/nereid/params"
)

// A Model is a generalised linear model and how to train it. All parties use the
// same value; it is public.
type Model struct {
	Features int // columns, the bias included as the last
	Loss     Loss
	SGD      SGD
	Steps    int   // training steps
	Batch    []int // rows that each party uses in a step

	// MaxFeature and MaxTarget bound the data: |x| ≤ MaxFeature, |y| ≤ MaxTarget.
	// They enter the size of the masks.
	MaxFeature, MaxTarget float64
}

// rows returns the rows of all parties in a step.
func (m Model) rows() int {
	n := 0
	for _, b := range m.Batch {
		n += b
	}
	return n
}

func (m Model) check() error {
	errs := []error{m.SGD.check()}
	must := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("%w: "+format, append([]any{ErrModel}, args...)...))
		}
	}
	must(m.Features >= 1, "%d features", m.Features)
	must(m.Loss != nil, "no loss")
	must(m.Steps >= 1, "%d training steps, want at least 1", m.Steps)
	must(len(m.Batch) >= 2, "%d parties, want at least 2", len(m.Batch))
	for i, b := range m.Batch {
		must(b >= 1, "party %d has a batch of %d rows", i, b)
	}
	must(m.MaxFeature > 0 && !math.IsInf(m.MaxFeature, 0), "features bounded by %g", m.MaxFeature)
	must(m.MaxTarget >= 0 && !math.IsInf(m.MaxTarget, 0), "targets bounded by %g", m.MaxTarget)
	if m.Loss != nil {
		bound, _ := m.Loss.Range(m.MaxTarget)
		must(bound > 0 && !math.IsInf(bound, 0), "a loss on the interval [-%g, %g]", bound, bound)
	}
	return errors.Join(errs...)
}

// A Plan is everything known before keys exist. It follows from set and model
// alone and is the same at every party. See [Compile].
type Plan struct {
	Set   params.Set
	Model Model
	Dense Dense
	Keys  mhe.KeyPlan

	// The one refresh of a step takes the gradient at GradLevel and scale
	// 2^Dense.LogScale and returns the update at the level and scale of the
	// weights, through Update.
	GradLevel int
	Update    packing.Map

	// PredictLevel is the level of an opened prediction: the lowest, where
	// shares are smallest.
	PredictLevel int

	// Expected errors, as standard deviations: of a weight after all steps, and
	// of a model output before flooding. OpenedErr is the root mean square over
	// all slots of a full query's answer, which is what flooding must hide.
	WeightErr, OutputErr, OpenedErr float64
	OutputScale                     *big.Float

	Count mhe.Counts // operations of one party in one step
}

// outputSlack is how far beyond their interval outputs may go, as a factor: the
// masks are made for it, and the clear twin stops there.
const outputSlack = 2

// gradientBound bounds a slot of the summed gradient: every party's row at its
// worst, and the weight decay of weights up to largeWeight.
func (m Model) gradientBound(block int) float64 {
	_, grad := m.Loss.Range(m.MaxTarget)
	return float64(float64(len(m.Batch))*grad*m.MaxFeature) + float64(m.SGD.L2*float64(m.rows())/float64(block)*largeWeight)
}

// Weights are taken to be about typicalWeight in estimates of errors, and at
// most largeWeight in bounds: features are standardised.
const typicalWeight, largeWeight = 0.5, 8

// Compile plans m on set by running one step and one prediction on a
// [mhe.Trace]. Errors wrap [ErrModel], [packing.ErrShape] or [mhe.ErrLevel].
func Compile(set params.Set, m Model) (Plan, error) {
	if err := m.check(); err != nil {
		return Plan{}, err
	}
	if set.Parties() != len(m.Batch) {
		return Plan{}, fmt.Errorf("%w: %d batches for parameters of %d parties", ErrModel, len(m.Batch), set.Parties())
	}
	largest := 0
	for _, b := range m.Batch {
		largest = max(largest, b)
	}
	dot, err := packing.NewDot(m.Features, largest, set.N())
	if err != nil {
		return Plan{}, fmt.Errorf("%w: %w", ErrModel, err)
	}
	p := Plan{Set: set, Model: m, Update: dot.Update(m.SGD.Rate / float64(m.rows()))}
	bound := m.gradientBound(dot.Layout.Axes[1].Size)
	p.Dense = Dense{
		Dot:      dot,
		LogScale: min(set.LogMessage()-int(math.Ceil(portable.Log2(bound))), set.LogScale()),
		OutScale: m.Loss.OutScale(set.LogScale()),
	}
	err = p.trace()
	return p, err
}

// trace fills in what a run on estimates shows.
func (p *Plan) trace() error {
	w := mhe.Range{Max: largeWeight, RMS: typicalWeight, Err: mhe.NewNoise(p.Set).Rescale(mhe.Power(p.Set.LogScale()))}
	for range 2 { // once for the error of a step, once more with that error in the weights
		tr, ev := mhe.NewTrace(p.Set)
		g, err := p.traceStep(traced{ev, p.Model}, w)
		if err != nil {
			return err
		}
		p.GradLevel, p.Count = g.Level(), tr.Count
		step, err := p.RefreshConfig().Range(p.Set, g.Range())
		if err != nil {
			return err
		}
		p.WeightErr = step.Err * math.Sqrt(p.Model.SGD.accumulated(p.Model.Steps))
		w.Err = p.WeightErr
		if err := p.tracePredict(traced{ev, p.Model}, w); err != nil {
			return err
		}
		p.Keys, p.PredictLevel = tr.Keys(), 0
	}
	return nil
}

func (p *Plan) traceStep(ev mhe.Evaluator, w mhe.Range) (mhe.Tensor, error) {
	x := mhe.Unknown(p.dataRange())
	y := mhe.Unknown(mhe.Range{Max: max(p.Model.MaxTarget, 0.5), RMS: 0.5})
	weights := mhe.TracedTensor(w, p.Set.MaxLevel(), mhe.Power(p.Set.LogScale()))
	g, err := p.gradient(ev, weights, Batch{x, y, 1})
	if err != nil {
		return mhe.Tensor{}, err
	}
	// every party's gradient is rerandomised, and all are added
	n := float64(p.Set.Parties())
	r := g.Range()
	r.Err = math.Sqrt(n) * portable.Hypot(r.Err, mhe.NewNoise(p.Set).Encrypt(g.Scale()))
	r.Max, r.RMS = r.Max*n, r.RMS*math.Sqrt(n)
	return p.regularise(ev, mhe.TracedTensor(r, g.Level(), g.Scale()), weights, 0)
}

func (p *Plan) tracePredict(ev mhe.Evaluator, w mhe.Range) error {
	top, scale := p.Set.MaxLevel(), mhe.Power(p.Set.LogScale())
	x := p.dataRange()
	x.Err = mhe.NewNoise(p.Set).Encrypt(scale)
	weights, query := mhe.TracedTensor(w, top, scale), mhe.TracedTensor(x, top, scale)
	z, err := p.outputs(ev, weights, query)
	if err != nil {
		return err
	}
	out, err := p.predict(ev, weights, query, p.Queries())
	if err != nil {
		return err
	}
	p.OutputErr, p.OpenedErr, p.OutputScale = z.Range().Err, out.Range().Err, out.Scale()
	return nil
}

// QueryWork returns what the model's outputs for a query cost a party.
func (p *Plan) QueryWork() mhe.Work {
	tr, ev := mhe.NewTrace(p.Set)
	trial := *p                                                                                  // whose errors are set again
	_ = trial.tracePredict(traced{ev, p.Model}, mhe.Range{Max: largeWeight, RMS: typicalWeight}) // cannot fail: the plan was compiled with it
	return tr.Count.Work
}

// dataRange is the range of standardised data in its padded layout.
func (p *Plan) dataRange() mhe.Range {
	a := p.Dense.Dot.Layout.Axes[0]
	return mhe.Range{Max: p.Model.MaxFeature, RMS: math.Sqrt(float64(a.Len) / float64(a.Size))}
}

// traced clamps the range of outputs to the interval that the loss expects: what
// the clear twin guards and no bound on weights could tell.
type traced struct {
	mhe.Evaluator
	m Model
}

func (t traced) Dot(d packing.Dot, w, x mhe.Tensor, logScale int) (mhe.Tensor, error) {
	z, err := t.Evaluator.Dot(d, w, x, logScale)
	if err != nil {
		return z, err
	}
	bound, _ := t.m.Loss.Range(t.m.MaxTarget)
	r := z.Range()
	r.Max, r.RMS = bound, min(r.RMS, bound/2)
	return mhe.TracedTensor(r, z.Level(), z.Scale()), nil
}

// Refresh returns the refresh of a step's gradient.
func (p *Plan) Refresh(enc *mhe.Encoder) (*bootstrap.Refresh, error) {
	return bootstrap.New(p.Set, enc, p.RefreshConfig())
}

// RefreshConfig returns the refresh of a step's gradient, to be prepared.
func (p *Plan) RefreshConfig() bootstrap.Config {
	return bootstrap.Config{
		In: p.GradLevel, Out: p.Set.MaxLevel(), Count: 1, Map: p.Update,
		ScaleIn: mhe.Power(p.Dense.LogScale), ScaleOut: mhe.Power(p.Set.LogScale()),
	}
}

// Fit returns the plan of m on the smallest secure set that holds it: the levels
// of one step are counted on a trace, and [params.Fit] chooses the primes.
func Fit(m Model, quantum bool) (Plan, error) {
	levels, err := m.levels()
	if err != nil {
		return Plan{}, err
	}
	set, err := params.Fit(len(m.Batch), levels, quantum)
	if err != nil {
		return Plan{}, err
	}
	return Compile(set, m)
}

// FitInsecure is [Fit] on a toy ring WITHOUT ANY SECURITY, for tests and for
// demonstrations that say so.
func FitInsecure(m Model) (Plan, error) {
	levels, err := m.levels()
	if err != nil {
		return Plan{}, err
	}
	set, err := params.InsecureToy(len(m.Batch), levels)
	if err != nil {
		return Plan{}, err
	}
	return Compile(set, m)
}

// levels counts the levels of a step on a chain that is long enough for any.
func (m Model) levels() (int, error) {
	if err := m.check(); err != nil {
		return 0, err
	}
	const plenty = 12
	set, err := params.InsecureToy(len(m.Batch), plenty)
	if err != nil {
		return 0, err
	}
	small := m // the trial ring is small: rows and columns do not change the depth
	small.Features = min(m.Features, set.N())
	small.Batch = make([]int, len(m.Batch))
	for i := range small.Batch {
		small.Batch[i] = 1
	}
	p, err := Compile(set, small)
	if err != nil {
		return 0, err
	}
	return set.MaxLevel() - p.GradLevel, nil
}

// Hash identifies the plan: parties that computed equal hashes run the same
// study.
func (p *Plan) Hash() [32]byte {
	m := p.Model
	h, u := p.Set.Hash(), p.Update.Hash()
	b := fmt.Appendf(nil, "nereid/plan/v3 %d %q %x %x %x %d %x %x %v %v %v", m.Features, m.Loss.hash(),
		m.SGD.Rate, m.SGD.Decay, m.SGD.L2, m.Steps, m.MaxFeature, m.MaxTarget, m.Batch, p.Keys.Rotations, p.Keys.Products)
	for _, v := range []int{p.GradLevel, p.PredictLevel, p.Dense.LogScale, p.Dense.OutScale} {
		b = binary.BigEndian.AppendUint64(b, uint64(v))
	}
	return sha3.Sum256(append(append(b, h[:]...), u[:]...))
}
