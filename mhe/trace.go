package mhe

import (
	"fmt"
	"maps"
	"math"
	"math/big"
	"slices"

	"github.com/nereid-mhe/nereid/packing"
	"github.com/nereid-mhe/nereid/params"
)

// A Trace records what a computation needs while it runs on estimates: the
// Galois keys, the levels they are used at, the operations. What it saw is the
// plan; there is no formula for it elsewhere. It is for one goroutine at a time.
type Trace struct {
	set   params.Set
	noise Noise

	rotations map[int]bool
	level     int // highest level of a key switch
	Count     Counts
}

// Counts are the operations that a trace saw.
type Counts struct {
	Rotations    int // key-switched automorphisms
	Decomposed   int // decompositions, which hoisted rotations share
	Relinearised int // products of two ciphertexts
	PlainMul     int // products with data in the clear
	Divisions    int // divisions of a ciphertext by primes
}

// NewTrace returns an empty trace and the evaluator that fills it.
func NewTrace(set params.Set) (*Trace, Evaluator) {
	t := &Trace{set: set, noise: NewNoise(set), rotations: map[int]bool{}}
	return t, engine{set, t}
}

// Keys returns the keys that the traced computation uses.
func (t *Trace) Keys() KeyPlan {
	return KeyPlan{slices.Sorted(maps.Keys(t.rotations)), t.level}
}

func (t *Trace) valid(x Tensor) error {
	if x.ct != nil || x.values != nil || x.rng.Max < 0 {
		return fmt.Errorf("%w: a tensor that is not traced", ErrShape)
	}
	return nil
}

func (t *Trace) mul(x, y Tensor, level int) (Tensor, error) {
	t.Count.Relinearised++
	t.Count.Decomposed++
	t.Count.Divisions++
	t.level = max(t.level, level)
	raw := scaleMul(x.scale, y.scale)
	return Tensor{rng: Range{
		Max: x.rng.Max * y.rng.Max,
		RMS: x.rng.RMS * y.rng.RMS,
		Err: hypot(
			x.rng.Err*y.rng.RMS, y.rng.Err*x.rng.RMS,
			t.noise.KeySwitch(level, true, raw),
			t.noise.Rescale(scaleQuo(raw, primeScale(t.set, level)))),
	}}, nil
}

func (t *Trace) mulPlain(x, p Tensor, scale *big.Float) (Tensor, error) {
	t.Count.PlainMul++
	r := Range{
		Max: x.rng.Max * p.rng.Max,
		RMS: x.rng.RMS * p.rng.RMS,
		Err: hypot(x.rng.Err*p.rng.RMS, x.rng.RMS*t.noise.Encode(t.period(p), scale)),
	}
	t.Count.Divisions++
	r.Err = math.Hypot(r.Err, t.noise.Rescale(scaleQuo(scaleMul(x.scale, scale), primeScale(t.set, x.level))))
	return Tensor{rng: r}, nil
}

// period of unknown data is taken to be all slots.
func (t *Trace) period(p Tensor) int {
	if p.values == nil {
		return t.set.N()
	}
	return len(p.values)
}

func (t *Trace) rotateSum(x Tensor, rotations []int) (Tensor, error) {
	t.Count.Decomposed++
	t.Count.Divisions++
	t.level = max(t.level, x.level)
	r := Range{Max: x.rng.Max * float64(len(rotations)), RMS: x.rng.RMS * math.Sqrt(float64(len(rotations)))}
	errs := []float64{x.rng.Err * math.Sqrt(float64(len(rotations)))}
	for _, k := range rotations {
		if k = packing.Mod(k, t.set.N()); k != 0 {
			t.rotations[k] = true
			t.Count.Rotations++
			errs = append(errs, t.noise.KeySwitch(x.level, false, x.scale))
		}
	}
	r.Err = hypot(append(errs, t.noise.Rescale(x.scale))...)
	return Tensor{rng: r}, nil
}

func (t *Trace) add(x, y Tensor, _ bool) (Tensor, error) {
	return Tensor{rng: Range{
		Max: x.rng.Max + y.rng.Max,
		RMS: math.Hypot(x.rng.RMS, y.rng.RMS),
		Err: math.Hypot(x.rng.Err, y.rng.Err),
	}}, nil
}

func (t *Trace) addPlain(x, p Tensor, negative bool) (Tensor, error) {
	p.rng.Err = t.noise.Encode(t.period(p), x.scale)
	return t.add(x, p, negative)
}

func (t *Trace) negate(x Tensor) Tensor { return Tensor{rng: x.rng} }

func (t *Trace) reinterpret(x Tensor, factor float64) Tensor {
	return Tensor{rng: Range{Max: x.rng.Max * factor, RMS: x.rng.RMS * factor, Err: x.rng.Err * factor}}
}

func hypot(xs ...float64) float64 {
	var sum float64
	for _, x := range xs {
		sum += x * x
	}
	return math.Sqrt(sum)
}
