package main

import (
	"math"
	"math/rand/v2"
	"runtime"

	"github.com/nereid-mhe/nereid/bootstrap"
	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/mhe/rns"
	"github.com/nereid-mhe/nereid/packing"
	"github.com/nereid-mhe/nereid/params"
)

// OpenFHE's interactive bootstrap at 8 towers, without a map, on a machine of
// the kind the results were recorded on: the mark of the project's design notes.
const (
	openFHEShareMS    = 11.3
	openFHEFinalizeMS = 2.1
)

// refreshTargets are what the ratios, and bits, should reach.
var refreshTargets = map[string]float64{
	"share_vs_lattigo": 0.22, "finalize_vs_lattigo": 0.12,
	"fused_rotation_vs_keyswitch": 0.02, "precision_bits": 22,
}

// A refreshReport is the result of benchmark refresh. The embedded times are of
// one thread.
type refreshReport struct {
	header
	refreshTimes
	AllCores refreshTimes `json:"all_cores"`
	precision
	OpenFHEShareMS    float64            `json:"openfhe_share_ms_published"`
	OpenFHEFinalizeMS float64            `json:"openfhe_finalize_ms_published"`
	Targets           map[string]float64 `json:"targets"`
	Notes             []string           `json:"notes"`
}

// refreshTimes are medians in milliseconds, and medians of each round's ratios.
type refreshTimes struct {
	Workers           int     `json:"workers"` // goroutines in one call of ours; Lattigo's always use one
	ShareMS           float64 `json:"share_ms"`
	FinalizeMS        float64 `json:"finalize_ms"`
	LattigoShareMS    float64 `json:"lattigo_share_ms"`
	LattigoFinalizeMS float64 `json:"lattigo_finalize_ms"`
	ShareVsLattigo    float64 `json:"share_vs_lattigo"`
	FinalizeVsLattigo float64 `json:"finalize_vs_lattigo"`

	MapShareMS    float64 `json:"map_share_ms"` // with the block sum
	MapFinalizeMS float64 `json:"map_finalize_ms"`
	MapRotations  int     `json:"map_rotations"`

	FusedRotationMS             float64 `json:"fused_rotation_ms"`
	KeyswitchMS                 float64 `json:"keyswitch_ms"` // by Lattigo
	OwnKeyswitchMS              float64 `json:"own_keyswitch_ms"`
	FusedRotationVsKeyswitch    float64 `json:"fused_rotation_vs_keyswitch"`
	FusedRotationVsOwnKeyswitch float64 `json:"fused_rotation_vs_own_keyswitch"`

	Quartiles map[string][2]float64 `json:"quartiles_ms"`
}

// precision is what a refresh of values uniform in [-1, 1) by all parties adds to
// their error, in bits: -log2 of the error. It is measured against the decrypted
// input, so that the input's own noise is not in it.
type precision struct {
	Bits           float64 `json:"precision_bits"`             // of the largest error of any slot
	RMSBits        float64 `json:"precision_bits_rms"`         // of the root mean square
	MapBits        float64 `json:"map_precision_bits"`         // largest error, with the block sum
	WithInputBits  float64 `json:"precision_bits_with_input"`  // largest error against what was encrypted
	FreshInputBits float64 `json:"precision_bits_input_alone"` // of the input before the refresh
}

// refreshParams are the parameters of the comparison: about eight primes, no
// local refresh.
func refreshParams(toy bool) (params.Set, error) {
	if toy {
		return params.InsecureToy(3, 4)
	}
	return params.New(params.Config{
		LogN: 14, LogQ: []int{60, 60, 60, 36, 36, 36, 36, 36}, LogP: []int{60},
		LogScale: 36, LogMessage: 41, Parties: 10,
	})
}

// blockSamples is the block that the slot map adds up.
const blockSamples = 256

// slotMaps returns the block sum, the same map with its rotations left out, and how
// many those are.
func slotMaps(slots int) (full, bare packing.Map, rotations int, err error) {
	l, err := packing.NewLayout(slots, packing.Axis{Name: "unit", Len: slots / blockSamples}, packing.Axis{Name: "sample", Len: blockSamples})
	if err != nil {
		return full, bare, 0, err
	}
	full = l.BlockSum(1.0 / blockSamples)
	for _, s := range full.Steps {
		if s.Mask != nil {
			bare.Steps = append(bare.Steps, packing.Step{Mask: s.Mask})
		}
		for _, k := range s.Rotations {
			if k != 0 {
				rotations++
			}
		}
	}
	return full, bare, rotations, nil
}

// benchmarkRefresh measures on one thread, garbage collector included, and then
// with all cores.
func benchmarkRefresh(set params.Set, l limit) (refreshReport, error) {
	b, err := newRefreshBench(set)
	if err != nil {
		return refreshReport{}, err
	}
	r := refreshReport{
		header:         newHeader("refresh", set, set.MaskLevel(), set.MaxLevel(), l),
		OpenFHEShareMS: openFHEShareMS, OpenFHEFinalizeMS: openFHEFinalizeMS, Targets: refreshTargets,
		Notes: []string{
			"common random polynomials are expanded before the timed part, ours and Lattigo's",
			"Lattigo writes to shares and ciphertexts allocated beforehand, ours allocates its results",
			"Lattigo's protocol and evaluator use one thread; all_cores compares ours on all cores with that",
		},
	}
	if r.precision, err = b.precision(); err != nil {
		return r, err
	}
	cores := runtime.GOMAXPROCS(1)
	r.refreshTimes, r.Repeats, err = b.measure(l, 1)
	runtime.GOMAXPROCS(cores)
	if err != nil {
		return r, err
	}
	l.clock = wallClock
	r.AllCores, _, err = b.measure(l, cores)
	return r, err
}

// A refreshBench holds the inputs of all measurements: one ciphertext, refreshed
// from the lowest level that carries masks to the highest.
type refreshBench struct {
	*world
	values        []float64
	in, top       mhe.Tensor
	full, bare    packing.Map
	rotations     int
	lattigo       *lattigoRefresh
	lattigoRotate *lattigoRotation
}

func newRefreshBench(set params.Set) (*refreshBench, error) {
	w, err := newWorld(set, oneRotation(set.MaxLevel()), set.Parties())
	if err != nil {
		return nil, err
	}
	b := &refreshBench{world: w, values: make([]float64, set.N())}
	for i := range b.values {
		b.values[i] = 2*rand.Float64() - 1
	}
	if b.full, b.bare, b.rotations, err = slotMaps(set.N()); err != nil {
		return nil, err
	}
	if b.in, err = w.encrypt(b.values, set.MaskLevel()); err != nil {
		return nil, err
	}
	if b.top, err = w.encrypt(b.values, set.MaxLevel()); err != nil {
		return nil, err
	}
	if b.lattigo, err = newLattigoRefresh(set, set.MaskLevel(), set.MaxLevel(), b.values); err != nil {
		return nil, err
	}
	if err := b.lattigo.check(); err != nil {
		return nil, err
	}
	b.lattigoRotate, err = newLattigoRotation(set)
	return b, err
}

// A refresh is one way to refresh the input, with what its steps need.
type refresh struct {
	b   *refreshBench
	r   *bootstrap.Refresh
	a   []rns.Poly // common randomness
	sum mhe.Share  // of all parties
}

// prepare makes a refresh and every party's share of it.
func (b *refreshBench) prepare(m packing.Map, workers int) (*refresh, error) {
	scale := mhe.Power(b.set.LogScale())
	r, err := bootstrap.New(b.set, b.enc, bootstrap.Config{
		In: b.in.Level(), Out: b.set.MaxLevel(), Count: 1, Map: m,
		ScaleIn: scale, ScaleOut: scale, Workers: workers,
	})
	if err != nil {
		return nil, err
	}
	f := &refresh{b: b, r: r, sum: r.Shape().New()}
	if f.a, err = r.Common(b.randomness("refresh common")); err != nil {
		return nil, err
	}
	for _, sk := range b.secrets {
		s, err := f.share(sk)
		if err != nil {
			return nil, err
		}
		if f.sum, err = r.Shape().Add(f.sum, s); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// share is what a party computes.
func (f *refresh) share(sk mhe.SecretKey) (mhe.Share, error) {
	return f.r.Share(sk, f.b.in.Polys()[1:], f.a, f.b.randomness("refresh"))
}

// finish is what the root computes.
func (f *refresh) finish() (mhe.Tensor, error) {
	out, err := f.r.Finish(f.b.in.Polys()[:1], f.a, f.sum)
	if err != nil {
		return mhe.Tensor{}, err
	}
	return out[0], nil
}

// operations are the two steps under names.
func (f *refresh) operations(share, finish string) []operation {
	return []operation{
		{share, func() error { _, err := f.share(f.b.secrets[0]); return err }},
		{finish, func() error { _, err := f.finish(); return err }},
	}
}

// measure times everything turn by turn, Lattigo's steps next to ours.
func (b *refreshBench) measure(l limit, workers int) (refreshTimes, int, error) {
	var all [3][]operation
	for i, m := range []packing.Map{{}, b.full, b.bare} {
		f, err := b.prepare(m, workers)
		if err != nil {
			return refreshTimes{}, 0, err
		}
		names := [][2]string{{"share", "finalize"}, {"map_share", "map_finalize"}, {"bare_share", "bare_finalize"}}[i]
		all[i] = f.operations(names[0], names[1])
	}
	ev := mhe.NewCKKS(b.keys, workers)
	one := packing.Map{Steps: []packing.Step{{Rotations: []int{1}}}}
	rec, err := l.interleave(
		all[0][0], operation{"lattigo_share", b.lattigo.genShare},
		all[0][1], operation{"lattigo_finalize", b.lattigo.finalize},
		all[1][0], all[2][0], all[1][1], all[2][1],
		operation{"keyswitch", b.lattigoRotate.rotate},
		operation{"own_keyswitch", func() error { _, err := ev.Map(one, b.top); return err }},
	)
	if err != nil {
		return refreshTimes{}, 0, err
	}
	return b.times(rec, workers), len(rec.laps["share"]), nil
}

func (b *refreshBench) times(rec *recorder, workers int) refreshTimes {
	rec.laps["fused_rotation"] = fusedRotation(rec, b.rotations)
	return refreshTimes{
		Workers: workers,
		ShareMS: rec.median("share"), FinalizeMS: rec.median("finalize"),
		LattigoShareMS: rec.median("lattigo_share"), LattigoFinalizeMS: rec.median("lattigo_finalize"),
		ShareVsLattigo:    rec.ratio("share", "lattigo_share"),
		FinalizeVsLattigo: rec.ratio("finalize", "lattigo_finalize"),

		MapShareMS: rec.median("map_share"), MapFinalizeMS: rec.median("map_finalize"), MapRotations: b.rotations,

		FusedRotationMS: rec.median("fused_rotation"),
		KeyswitchMS:     rec.median("keyswitch"), OwnKeyswitchMS: rec.median("own_keyswitch"),
		FusedRotationVsKeyswitch:    rec.ratio("fused_rotation", "keyswitch"),
		FusedRotationVsOwnKeyswitch: rec.ratio("fused_rotation", "own_keyswitch"),
		Quartiles:                   rec.quartiles(),
	}
}

// fusedRotation returns, for every round, what the block sum costs more than its
// mask alone, for each of its rotations; the mean of both steps.
func fusedRotation(rec *recorder, rotations int) []float64 {
	each := make([]float64, len(rec.laps["share"]))
	for i := range each {
		for _, step := range []string{"share", "finalize"} {
			each[i] += (rec.laps["map_"+step][i] - rec.laps["bare_"+step][i]) / float64(2*rotations)
		}
	}
	return each
}

// precision refreshes the input with and without the block sum.
func (b *refreshBench) precision() (precision, error) {
	in, err := b.open(b.in)
	if err != nil {
		return precision{}, err
	}
	var out [2][]float64
	for i, m := range []packing.Map{{}, b.full} {
		f, err := b.prepare(m, 1)
		if err != nil {
			return precision{}, err
		}
		x, err := f.finish()
		if err != nil {
			return precision{}, err
		}
		if out[i], err = b.open(x); err != nil {
			return precision{}, err
		}
	}
	var p precision
	p.Bits, p.RMSBits = bits(out[0], in)
	p.MapBits, _ = bits(out[1], b.full.Apply(in))
	p.WithInputBits, _ = bits(out[0], b.values)
	p.FreshInputBits, _ = bits(in, b.values)
	return p, nil
}

// bits returns -log2 of the largest and of the root mean square difference.
func bits(got, want []float64) (largest, rms float64) {
	for i := range got {
		d := math.Abs(got[i] - want[i])
		largest, rms = max(largest, d), rms+d*d
	}
	return round(-math.Log2(largest)), round(-math.Log2(math.Sqrt(rms / float64(len(got)))))
}
