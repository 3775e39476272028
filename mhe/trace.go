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

// A Trace records what a computation needs while it runs on estimates: the keys,
// the levels they are used at, the operations. What it saw is the plan; there is
// no formula for it elsewhere. It is for one goroutine at a time.
type Trace struct {
	set   params.Set
	noise Noise

	rotations, products map[int]int // highest level of use, by rotation

	Count Counts
}

// Counts are the operations that a trace saw.
type Counts struct {
	Rotations    int // key-switched automorphisms
	Decomposed   int // decompositions, which hoisted rotations share
	Relinearised int // products of two ciphertexts
	Tensors      int // products of two ciphertexts before they are relinearised
	PlainMul     int // products with data in the clear
	Divisions    int // divisions of a ciphertext by primes
}

// NewTrace returns an empty trace and the evaluator that fills it.
func NewTrace(set params.Set) (*Trace, Evaluator) {
	t := &Trace{set: set, noise: NewNoise(set), rotations: map[int]int{}, products: map[int]int{}}
	return t, engine{set, t}
}

// Keys returns the keys that the traced computation uses, each at the highest
// level at which it does.
func (t *Trace) Keys() KeyPlan {
	return KeyPlan{Rotations: keysOf(t.rotations), Products: keysOf(t.products)}
}

func keysOf(levels map[int]int) (keys []Key) {
	for _, by := range slices.Sorted(maps.Keys(levels)) {
		keys = append(keys, Key{by, levels[by]})
	}
	return keys
}

// needRotation notes the use of a Galois key: by is 1 to N-1.
func (t *Trace) needRotation(by, level int) { t.rotations[by] = max(t.rotations[by], level) }

// needProduct notes the use of a key that relinearises and rotates by 0 to N-1.
func (t *Trace) needProduct(by, level int) { t.products[by] = max(t.products[by], level) }

func (t *Trace) valid(x Tensor) error {
	if x.ct != nil || x.values != nil || x.rng.Max < 0 {
		return fmt.Errorf("%w: a tensor that is not traced", ErrShape)
	}
	return nil
}

func (t *Trace) mul(x, y Tensor, level int) (Tensor, error) {
	t.Count.Tensors++
	t.Count.Relinearised++
	t.Count.Decomposed++
	t.Count.Divisions++
	t.needProduct(0, level)
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
	r := Range{Max: x.rng.Max * float64(len(rotations)), RMS: x.rng.RMS * math.Sqrt(float64(len(rotations)))}
	errs := []float64{x.rng.Err * math.Sqrt(float64(len(rotations)))}
	for _, k := range rotations {
		if k = packing.Mod(k, t.set.N()); k != 0 {
			t.needRotation(k, x.level)
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

// product estimates errors of independent terms. Rotations of operands count once,
// as they are made once, unless a product at a higher level asks for them later.
func (t *Trace) product(p packing.Product, x, y []*Operand, level int) ([]Tensor, error) {
	out := make([]Tensor, len(p))
	for i, groups := range p {
		var errs []float64
		r := Range{}
		for _, g := range groups {
			for _, term := range g.Terms {
				a, b := t.rotateOperand(x[term.X], term.RX, level), t.rotateOperand(y[term.Y], term.RY, level)
				r.Max += a.Max * b.Max
				r.RMS = math.Hypot(r.RMS, a.RMS*b.RMS)
				errs = append(errs, a.Err*b.RMS, b.Err*a.RMS)
			}
			scale := scaleMul(x[0].t.scale, y[0].t.scale)
			t.Count.Tensors += len(g.Terms)
			errs = append(errs, t.giant(g.By, level, scale, true)...)
		}
		t.Count.Divisions++
		errs = append(errs, t.noise.Rescale(scaleQuo(scaleMul(x[0].t.scale, y[0].t.scale), primeScale(t.set, level))))
		r.Err = hypot(errs...)
		out[i] = Tensor{rng: r}
	}
	return out, nil
}

func (t *Trace) productData(p packing.Product, x []*Operand, y *Data, level int) ([]Tensor, error) {
	out := make([]Tensor, len(p))
	scale := scaleMul(x[0].t.scale, y.scale)
	for i, groups := range p {
		var errs []float64
		r := Range{}
		for _, g := range groups {
			for _, term := range g.Terms {
				a := t.rotateOperand(x[term.X], term.RX, level)
				r.Max += a.Max * y.rng.Max
				r.RMS = math.Hypot(r.RMS, a.RMS*y.rng.RMS)
				errs = append(errs, a.Err*y.rng.RMS, a.RMS*t.noise.Encode(y.period, y.scale))
			}
			t.Count.PlainMul += len(g.Terms)
			errs = append(errs, t.giant(g.By, level, scale, false)...)
		}
		t.Count.Divisions++
		errs = append(errs, t.noise.Rescale(scaleQuo(scale, primeScale(t.set, level))))
		r.Err = hypot(errs...)
		out[i] = Tensor{rng: r}
	}
	return out, nil
}

// rotateOperand counts a hoisted rotation and returns its range.
func (t *Trace) rotateOperand(o *Operand, by, level int) Range {
	by = packing.Mod(by, t.set.N())
	if by == 0 {
		return o.t.rng
	}
	if r, ok := o.rotated[by]; ok && r.level >= level {
		return r.rng
	}
	decomposed := false // at this level
	for _, r := range o.rotated {
		decomposed = decomposed || r.level == level
	}
	if !decomposed {
		t.Count.Decomposed++
	}
	t.needRotation(by, level)
	t.Count.Rotations++
	t.Count.Divisions++
	r := o.t.rng
	r.Err = hypot(r.Err, t.noise.KeySwitch(level, false, o.t.scale), t.noise.Rescale(o.t.scale))
	o.rotated[by] = Tensor{level: level, rng: r}
	return r
}

// giant counts the rotation of a group's sum and returns the errors it adds.
func (t *Trace) giant(by, level int, scale *big.Float, product bool) (errs []float64) {
	by = packing.Mod(by, t.set.N())
	if by != 0 {
		t.needRotation(by, level)
		t.Count.Rotations++
		t.Count.Decomposed++
		errs = append(errs, t.noise.KeySwitch(level, false, scale))
	}
	if product {
		t.needProduct(by, level)
		t.Count.Relinearised++
		t.Count.Decomposed++
		errs = append(errs, t.noise.KeySwitch(level, true, scale))
	}
	return errs
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
