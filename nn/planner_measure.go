package nn

import (
	"context"
	"fmt"
	"slices"

	"github.com/nereid-mhe/nereid/bootstrap"
	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/mhe/rns"
	"github.com/nereid-mhe/nereid/packing"
	"github.com/nereid-mhe/nereid/params"
	"github.com/nereid-mhe/nereid/protocols"
)

// A costRing is a ring that costs are measured on.
type costRing struct {
	logN, special int
	levels        []int
	all           bool // and not only what depends on the special primes
}

// costRings are where costs are measured: what plans use most closely, larger
// rings at two levels for the effect of caches.
var costRings = []costRing{
	{14, 1, []int{3, 5, 8}, false},
	{14, 2, []int{2, 3, 5, 8}, true},
	{14, 3, []int{3, 5, 8}, false},
	{15, 2, []int{3, 8}, true},
}

// CalibrateCosts measures this machine on one core, which takes some seconds:
// operations of an evaluator and refreshes at a few levels.
// The machine should be idle. It returns the context's error when that ends.
func CalibrateCosts(ctx context.Context, machine mhe.Machine) (mhe.Costs, error) {
	return calibrate(ctx, machine, costRings, mhe.Stopwatch{Rounds: 7})
}

func calibrate(ctx context.Context, machine mhe.Machine, rings []costRing, watch mhe.Stopwatch) (mhe.Costs, error) {
	c := mhe.Costs{Version: 1, Machine: machine}
	var seed [32]byte // material only: nothing is secret
	for _, r := range rings {
		q := []int{60, 60, 60}
		for range slices.Max(r.levels) - 2 {
			q = append(q, 40)
		}
		set, err := params.New(params.Config{
			LogN: r.logN, LogQ: q, LogP: slices.Repeat([]int{60}, r.special), LogScale: 40, Parties: 2, Insecure: true,
		})
		if err != nil {
			return c, fmt.Errorf("nn: calibration: %w", err)
		}
		stream := protocols.Point{Protocol: "calibration"}.Common(seed)
		ops, err := mhe.MeasureOps(set, r.levels, r.all, watch, stream.Open)
		if err != nil {
			return c, fmt.Errorf("nn: calibration: %w", err)
		}
		c.Samples = append(c.Samples, ops...)
		for _, level := range r.levels {
			if level <= set.MaskLevel() {
				continue
			}
			if err := ctx.Err(); err != nil {
				return c, err
			}
			s, err := measureRefresh(set, level, watch, stream.Open)
			if err != nil {
				return c, fmt.Errorf("nn: calibration: %w", err)
			}
			c.Samples = append(c.Samples, s...)
		}
	}
	return c, nil
}

// measureRefresh times refreshes to a level: as it is, with a mask, and with a mask
// and rotations.
func measureRefresh(set params.Set, out int, watch mhe.Stopwatch, src mhe.Source) (samples []mhe.Sample, err error) {
	const rotations = 16
	values := make([]float64, 64)
	for i := range values {
		values[i] = float64(i%2) / 3
	}
	masked := packing.Map{Steps: []packing.Step{{Mask: values}}}
	turned := packing.Map{Steps: []packing.Step{{Rotations: []int{}}, {Mask: values}}}
	for k := range rotations {
		turned.Steps[0].Rotations = append(turned.Steps[0].Rotations, 1+37*k)
	}
	enc := mhe.NewEncoder(set)
	sk, err := mhe.NewSecretKey(set, src("secret"))
	if err != nil {
		return nil, err
	}
	note := func(op mhe.Op, seconds float64) {
		samples = append(samples, mhe.Sample{Op: op, LogN: set.LogN(), Special: set.Special(), Level: out, Seconds: max(0, seconds)})
	}
	var share, finish [3]float64
	for i, m := range []packing.Map{{}, masked, turned} {
		if share[i], finish[i], err = timeRefresh(set, enc, sk, out, m, watch, src); err != nil {
			return nil, err
		}
	}
	note(mhe.OpShare, share[0])
	note(mhe.OpShareMap, share[1])
	note(mhe.OpFinish, finish[0])
	note(mhe.OpFinishMap, finish[1])
	note(mhe.OpMapTerm, (share[2]-share[1])/rotations)
	mask, err := timeMasks(set, enc, out, watch)
	note(mhe.OpMask, mask)
	return samples, err
}

// timeMasks times the encoding of a mask with as many values as there are slots.
func timeMasks(set params.Set, enc *mhe.Encoder, out int, watch mhe.Stopwatch) (seconds float64, err error) {
	const masks, share = 8, 16 // each with a value for one slot in share
	prepare := func(n int) (float64, error) {
		pieces := make([]packing.Piece, n)
		for i := range pieces {
			pieces[i].Mask = make([]float64, set.N()/share)
			for k := range pieces[i].Mask {
				pieces[i].Mask[k] = float64(k%(i+2)) / 3
			}
		}
		c := bootstrap.Config{In: set.MaskLevel(), Out: out, Count: 1, Mix: packing.Mix{pieces}, ScaleIn: mhe.Power(30), ScaleOut: mhe.Power(30)}
		return watch.Time(func() error { _, err := bootstrap.New(set, enc, c); return err })
	}
	one, err := prepare(1)
	if err != nil {
		return 0, err
	}
	all, err := prepare(1 + masks)
	return (all - one) / masks * share, err
}

func timeRefresh(set params.Set, enc *mhe.Encoder, sk mhe.SecretKey, out int, m packing.Map, watch mhe.Stopwatch, src mhe.Source) (share, finish float64, err error) {
	scale := mhe.Power(30)
	r, err := bootstrap.New(set, enc, bootstrap.Config{In: set.MaskLevel(), Out: out, Count: 1, Map: m, ScaleIn: scale, ScaleOut: scale})
	if err != nil {
		return 0, 0, err
	}
	basis := mhe.Basis(set, set.MaskLevel())
	c1 := basis.New()
	if err := basis.Uniform(src("c1"), c1); err != nil {
		return 0, 0, err
	}
	c0 := basis.New() // so that the ciphertext is one of nothing
	sk.MulSub(set.MaskLevel(), c0, c1)
	a, err := r.Common(src)
	if err != nil {
		return 0, 0, err
	}
	var s mhe.Share
	if share, err = watch.Time(func() (err error) { s, err = r.Share(sk, []rns.Poly{c1}, a, src); return err }); err != nil {
		return 0, 0, err
	}
	finish, err = watch.Time(func() error { _, err := r.Finish([]rns.Poly{c0}, a, s); return err })
	return share, finish, err
}
