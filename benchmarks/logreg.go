package main

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"time"

	"github.com/nereid-mhe/nereid/bootstrap"
	"github.com/nereid-mhe/nereid/dataset"
	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/mhe/rns"
	"github.com/nereid-mhe/nereid/nn"
	"github.com/nereid-mhe/nereid/packing"
	"github.com/nereid-mhe/nereid/study"
)

// The step that is measured: 8 features and the bias, 64 rows at each of 10
// parties, as on the Pima data.
const (
	logregFeatures = 9
	logregSamples  = 64
	logregParties  = 10
)

var logregTargets = map[string]float64{"iteration_in_rotations": 5, "refreshes_iteration": 1}

// A logregReport is the result of benchmark logreg. Times are medians in
// milliseconds on one thread.
type logregReport struct {
	header
	Features int `json:"features"` // with the bias
	Samples  int `json:"samples"`  // of a party in a step

	// IterationMS is a party's compute in a step: the phases of PhasesMS.
	IterationMS             float64 `json:"iteration_ms"`
	RotationMS              float64 `json:"rotation_ms"` // by Lattigo
	OwnRotationMS           float64 `json:"own_rotation_ms"`
	IterationInRotations    float64 `json:"iteration_in_rotations"`
	IterationInOwnRotations float64 `json:"iteration_in_own_rotations"`
	PhasesMS                struct {
		Map         float64 `json:"map"`
		Rerandomise float64 `json:"rerandomise"`
		Share       float64 `json:"share"`
	} `json:"phases_ms"`
	// RestMS is what a leaf of the tree does besides; Finish is the root's.
	RestMS struct {
		Common float64 `json:"common_randomness"`
		Codec  float64 `json:"codec"`
		Update float64 `json:"update"`
		Finish float64 `json:"finish_at_root"`
	} `json:"rest_ms"`
	Quartiles map[string][2]float64 `json:"quartiles_ms"`

	Refreshes      float64 `json:"refreshes_iteration"`
	GaloisKeys     int     `json:"galois_keys"`      // made
	GaloisKeysPlan int     `json:"galois_keys_plan"` // named by the plan
	Bytes          traffic `json:"bytes_party_iteration"`
	Counts         counts  `json:"plan_counts"`

	MaxWeightDiff float64                 `json:"max_weight_diff"` // from the clear twin, after all rounds
	Targets       map[string]float64      `json:"targets"`
	Notes         []string                `json:"notes"`
	Studies       map[string]study.Report `json:"studies,omitempty"`
}

// traffic is what a party without children sends and receives in a step.
type traffic struct {
	Gradient     int `json:"gradient_up"`
	Share        int `json:"refresh_share_up"`
	Sent         int `json:"sent"`
	RefreshInput int `json:"refresh_input_down"`
	Refreshed    int `json:"refreshed_down"`
	Received     int `json:"received"`
}

func countsOf(c mhe.Counts) counts {
	return counts{
		Rotations: c.Rotations, Decomposed: c.Decomposed, Relinearised: c.Relinearised,
		Tensors: c.Tensors, PlainMul: c.PlainMul, Divisions: c.Divisions,
	}
}

// counts are the plan's operations of one party in one step.
type counts struct {
	Rotations    int `json:"rotations"`
	Decomposed   int `json:"decomposed"`
	Relinearised int `json:"relinearised"`
	Tensors      int `json:"tensors"`
	PlainMul     int `json:"plain_mul"`
	Divisions    int `json:"divisions"`
}

// logregPlan compiles the model on the parameters that nn.Fit chooses for it.
func logregPlan(toy bool) (nn.Plan, error) {
	d := study.Default()
	loss, err := nn.NewLogistic(d.Degree, d.Interval)
	if err != nil {
		return nn.Plan{}, err
	}
	m := nn.Model{
		Features: logregFeatures, Loss: loss, SGD: d.SGD, Steps: 30,
		MaxFeature: d.Clip, MaxTarget: 1, Batch: make([]int, logregParties),
	}
	for i := range m.Batch {
		m.Batch[i] = logregSamples
	}
	if toy {
		return nn.FitInsecure(m)
	}
	return nn.Fit(m, false)
}

// A leaf is the party that is measured, with the network left out: its own
// gradient is the sum, and its own share refreshes it. It implements nn.Summer
// and nn.Refresher, so that the trainer runs as in a study.
type leaf struct {
	*world
	plan      *nn.Plan
	refresh   *bootstrap.Refresh
	rec       *recorder
	mark      time.Duration // when the trainer went on
	refreshes int
}

var (
	_ nn.Summer    = &leaf{}
	_ nn.Refresher = &leaf{}
)

// Sum ends phase MAP and makes the gradient fit to leave the party.
func (p *leaf) Sum(_ context.Context, _ int, g mhe.Tensor) (mhe.Tensor, error) {
	p.rec.stop("map", p.mark)
	err := p.rec.time("rerandomise", func() (err error) {
		g, err = p.keys.Encryption().Rerandomise(g, p.randomness("gradient"))
		return err
	})
	if err != nil {
		return g, err
	}
	share, err := g.Share()
	if err != nil {
		return g, err
	}
	return g, p.timeEncode("encode gradient", mhe.CipherShape(p.set, g.Level()), share)
}

// Refresh makes the party's share and, because it is the only one, finishes.
func (p *leaf) Refresh(_ context.Context, _ int, g mhe.Tensor) (mhe.Tensor, error) {
	p.refreshes++
	c0, c1 := g.Polys()[:1], g.Polys()[1:]
	if err := p.timeDecode("decode input", p.refresh.InputShape(), c1); err != nil {
		return g, err
	}
	var a []rns.Poly
	err := p.rec.time("common", func() (err error) {
		a, err = p.refresh.Common(p.randomness("refresh common"))
		return err
	})
	if err != nil {
		return g, err
	}
	var share mhe.Share
	err = p.rec.time("share", func() (err error) {
		share, err = p.refresh.Share(p.secrets[0], c1, a, p.randomness("refresh"))
		return err
	})
	if err != nil {
		return g, err
	}
	if err := p.timeEncode("encode share", p.refresh.Shape(), share); err != nil {
		return g, err
	}
	var out []mhe.Tensor
	err = p.rec.time("finish", func() (err error) {
		out, err = p.refresh.Finish(c0, a, share)
		return err
	})
	if err != nil {
		return g, err
	}
	result := mhe.Shape{mhe.Basis(p.set, p.set.MaxLevel())}
	if err := p.timeDecode("decode result", result, out[0].Polys()[:1]); err != nil {
		return g, err
	}
	p.mark = p.rec.start()
	return out[0], nil
}

// timeEncode times the encoding of what goes up the tree.
func (p *leaf) timeEncode(name string, shape mhe.Shape, s mhe.Share) error {
	return p.rec.time(name, func() error { _, err := shape.Encode(s); return err })
}

// timeDecode times the decoding of what comes down the tree.
func (p *leaf) timeDecode(name string, shape mhe.Shape, s mhe.Share) error {
	b, err := shape.Encode(s)
	if err != nil {
		return err
	}
	return p.rec.time(name, func() error { _, err := shape.Decode(b); return err })
}

// A clearLeaf is the leaf's twin on floats.
type clearLeaf struct{ plan *nn.Plan }

// Sum implements nn.Summer.
func (clearLeaf) Sum(_ context.Context, _ int, g mhe.Tensor) (mhe.Tensor, error) { return g, nil }

// Refresh implements nn.Refresher.
func (c clearLeaf) Refresh(_ context.Context, _ int, g mhe.Tensor) (mhe.Tensor, error) {
	set := c.plan.Set
	return mhe.ClearTensor(c.plan.Update.Apply(g.Values()), set.MaxLevel(), mhe.Power(set.LogScale())), nil
}

// rows returns standardised rows with a bias, and their targets.
func rows(clip float64) (x [][]float64, y []float64, err error) {
	t, err := dataset.Synthetic(dataset.SyntheticConfig{Rows: logregSamples, Features: logregFeatures - 1, Seed: 1})
	if err != nil {
		return nil, nil, err
	}
	s, err := t.Moments().Scaler(clip)
	if err != nil {
		return nil, nil, err
	}
	for _, row := range s.Apply(t).X {
		x = append(x, append(row, 1))
	}
	return x, t.Y, nil
}

// A logregBench trains on one party's rows, encrypted and in the clear.
type logregBench struct {
	*leaf
	x            [][]float64
	y            []float64
	trainer      nn.Trainer
	w            mhe.Tensor
	clearTrainer nn.Trainer
	clearW       mhe.Tensor

	lattigo *lattigoRotation
	spare   *world // whose keys rotate at the highest level
	top     mhe.Tensor
}

// newLogregBench makes the keys of one party. Times do not depend on how many
// parties made the keys, only the parameters do.
func newLogregBench(plan *nn.Plan) (*logregBench, error) {
	w, err := newWorld(plan.Set, plan.Keys, 1)
	if err != nil {
		return nil, err
	}
	p := &leaf{world: w, plan: plan}
	if p.refresh, err = plan.Refresh(w.enc); err != nil {
		return nil, err
	}
	clear := clearLeaf{plan}
	top, scale := plan.Set.MaxLevel(), mhe.Power(plan.Set.LogScale())
	b := &logregBench{
		leaf:         p,
		trainer:      nn.Trainer{Plan: plan, Eval: mhe.NewCKKS(w.keys, 1), Sum: p, Refresh: p},
		w:            plan.Initial(),
		clearTrainer: nn.Trainer{Plan: plan, Eval: mhe.NewClear(plan.Set), Sum: clear, Refresh: clear},
		clearW:       mhe.ClearTensor(plan.Dense.Dot.Weights(make([]float64, logregFeatures)), top, scale),
	}
	if b.x, b.y, err = rows(plan.Model.MaxFeature); err != nil {
		return nil, err
	}
	if b.lattigo, err = newLattigoRotation(plan.Set); err != nil {
		return nil, err
	}
	if b.spare, err = newWorld(plan.Set, oneRotation(top), 1); err != nil {
		return nil, err
	}
	b.top, err = b.spare.encrypt(plan.Dense.Dot.Data(b.x), top)
	return b, err
}

// step trains one step and records its phases.
func (b *logregBench) step(ctx context.Context, rec *recorder) error {
	b.rec, b.mark = rec, rec.start()
	batch, err := b.plan.Batch(0, b.x, b.y)
	if err != nil {
		return err
	}
	if b.w, err = b.trainer.Step(ctx, 0, b.w, batch); err != nil {
		return err
	}
	rec.stop("update", b.mark)
	b.clearW, err = b.clearTrainer.Step(ctx, 0, b.clearW, batch)
	return err
}

// benchmarkLogreg measures on one thread: in a study every party has a core.
func benchmarkLogreg(ctx context.Context, plan nn.Plan, l limit) (logregReport, error) {
	r := logregReport{
		header:   newHeader("logreg", plan.Set, plan.GradLevel, plan.Set.MaxLevel(), l),
		Features: logregFeatures, Samples: logregSamples, Targets: logregTargets,
		GaloisKeysPlan: len(plan.Keys.Rotations), Counts: countsOf(plan.Count),
		Notes: []string{
			"one thread; batch layout and encoding are part of map",
			"iteration_ms is map, rerandomise and share; rest_ms is what a leaf does besides",
			"rotations are key-switched, of a ciphertext at the highest level",
		},
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	b, err := newLogregBench(&plan)
	if err != nil {
		return r, err
	}
	ev := mhe.NewCKKS(b.spare.keys, 1)
	one := packing.Map{Steps: []packing.Step{{Rotations: []int{1}}}}
	steps := 0
	rec, err := l.repeat(func(rec *recorder) error {
		steps++
		if err := b.step(ctx, rec); err != nil {
			return err
		}
		if err := rec.time("rotation", b.lattigo.rotate); err != nil {
			return err
		}
		return rec.time("own_rotation", func() error { _, err := ev.Map(one, b.top); return err })
	})
	if err != nil {
		return r, err
	}
	r.times(rec)
	r.Refreshes = float64(b.refreshes) / float64(steps)
	r.GaloisKeys = b.keys.GaloisKeys()
	r.Bytes = b.traffic()
	return r, b.verify(&r)
}

// times fills in medians and ratios.
func (r *logregReport) times(rec *recorder) {
	for i, t := range rec.laps["map"] {
		rec.laps["iteration"] = append(rec.laps["iteration"], t+rec.laps["rerandomise"][i]+rec.laps["share"][i])
	}
	r.Repeats = len(rec.laps["iteration"])
	r.IterationMS = rec.median("iteration")
	r.PhasesMS.Map, r.PhasesMS.Rerandomise, r.PhasesMS.Share = rec.median("map"), rec.median("rerandomise"), rec.median("share")
	r.RestMS.Common, r.RestMS.Update, r.RestMS.Finish = rec.median("common"), rec.median("update"), rec.median("finish")
	for _, name := range []string{"encode gradient", "decode input", "encode share", "decode result"} {
		r.RestMS.Codec = round(r.RestMS.Codec + rec.median(name))
	}
	r.RotationMS, r.OwnRotationMS = rec.median("rotation"), rec.median("own_rotation")
	r.IterationInRotations = rec.ratio("iteration", "rotation")
	r.IterationInOwnRotations = rec.ratio("iteration", "own_rotation")
	r.Quartiles = rec.quartiles()
}

// traffic returns the sizes of a step's messages without their envelopes.
func (b *logregBench) traffic() traffic {
	t := traffic{
		Gradient:     mhe.CipherShape(b.set, b.plan.GradLevel).Size(),
		Share:        b.refresh.Shape().Size(),
		RefreshInput: b.refresh.InputShape().Size(),
		Refreshed:    mhe.Shape{mhe.Basis(b.set, b.set.MaxLevel())}.Size(),
	}
	t.Sent, t.Received = t.Gradient+t.Share, t.RefreshInput+t.Refreshed
	return t
}

// verify opens the weights and refuses figures of a computation that is wrong.
func (b *logregBench) verify(r *logregReport) error {
	slots, err := b.open(b.w)
	if err != nil {
		return err
	}
	want := b.plan.Dense.Dot.Read(b.clearW.Values())
	for j, w := range b.plan.Dense.Dot.Read(slots) {
		r.MaxWeightDiff = max(r.MaxWeightDiff, math.Abs(w-want[j]))
	}
	if !(r.MaxWeightDiff < 1e-3) {
		return fmt.Errorf("logreg: weights differ from the clear twin's by %g", r.MaxWeightDiff)
	}
	return nil
}
