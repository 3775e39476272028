package mhe

import (
	"fmt"
	"maps"
	"math"
	"math/big"
	"slices"

	"github.com/nereid-mhe/nereid/internal/portable"
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

	operands []*Operand    // seen in products: what they hold, until they are released
	encoded  map[*Data]int // levels that data was encoded at

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

	Work     Work // what all of it costs, see [Costs.Seconds]
	Operands int  // most bytes of rotations and decompositions alive at once
	Data     int  // bytes of encoded data of products
}

// NewTrace returns an empty trace and the evaluator that fills it.
func NewTrace(set params.Set) (*Trace, Evaluator) {
	t := &Trace{set: set, noise: NewNoise(set), rotations: map[int]int{}, products: map[int]int{}, encoded: map[*Data]int{}}
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

// work counts an operation at a level.
func (t *Trace) work(op Op, level int, amount float64) {
	t.Count.Work = t.Count.Work.Add(op, level, amount)
}

// keySwitch counts the key switch of a fresh polynomial, with a permutation of the
// result if it rotates.
func (t *Trace) keySwitch(level int, rotates bool) {
	t.work(OpDecompose, level, 1)
	t.work(OpKeyProduct, level, 1)
	if rotates {
		t.work(OpPermute, level, 1)
	}
}

// encode counts the encoding of data in the clear over all slots.
func (t *Trace) encode(p Tensor, level int) {
	n := float64(t.period(p))
	t.work(OpEncode, level, n*portable.Log2(n)/(float64(t.set.N())*portable.Log2(float64(t.set.N()))))
	t.work(OpExpand, level, 1)
}

// watch notes the memory that operands of a product hold.
func (t *Trace) watch(lists ...[]*Operand) {
	for _, o := range slices.Concat(lists...) {
		if !slices.Contains(t.operands, o) {
			t.operands = append(t.operands, o)
		}
	}
	limbs := 0
	t.operands = slices.DeleteFunc(t.operands, func(o *Operand) bool { return len(o.rotated) == 0 })
	for _, o := range t.operands {
		level := 0
		for _, r := range o.rotated {
			limbs += 2 * (r.level + 1)
			level = max(level, r.level)
		}
		n, special := digits(t.set, level)
		limbs += n * (level + 1 + special)
	}
	t.Count.Operands = max(t.Count.Operands, limbs*t.set.N()*limbBytes)
}

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
	t.work(OpMultiply, level, 1)
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
	t.encode(p, x.level)
	t.work(OpMulPlain, x.level, 1)
	t.work(OpRescale, x.level, 1)
	r := Range{
		Max: x.rng.Max * p.rng.Max,
		RMS: x.rng.RMS * p.rng.RMS,
		Err: hypot(x.rng.Err*p.rng.RMS, x.rng.RMS*t.noise.Encode(t.period(p), scale)),
	}
	t.Count.Divisions++
	r.Err = portable.Hypot(r.Err, t.noise.Rescale(scaleQuo(scaleMul(x.scale, scale), primeScale(t.set, x.level))))
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
	t.work(OpDecompose, x.level, 1)
	t.work(OpScale, x.level, 1)
	t.work(OpDivide, x.level, 1)
	r := Range{Max: x.rng.Max * float64(len(rotations)), RMS: x.rng.RMS * math.Sqrt(float64(len(rotations)))}
	errs := []float64{x.rng.Err * math.Sqrt(float64(len(rotations)))}
	for _, k := range rotations {
		if k = packing.Mod(k, t.set.N()); k != 0 {
			t.needRotation(k, x.level)
			t.Count.Rotations++
			t.work(OpKeyProduct, x.level, 1)
			t.work(OpPermute, x.level, 1)
			errs = append(errs, t.noise.KeySwitch(x.level, false, x.scale))
		}
	}
	r.Err = hypot(append(errs, t.noise.Rescale(x.scale))...)
	return Tensor{rng: r}, nil
}

func (t *Trace) add(x, y Tensor, _ bool) (Tensor, error) {
	t.work(OpAdd, min(x.level, y.level), 1)
	return sum(x, y), nil
}

func sum(x, y Tensor) Tensor {
	return Tensor{rng: Range{
		Max: x.rng.Max + y.rng.Max,
		RMS: portable.Hypot(x.rng.RMS, y.rng.RMS),
		Err: portable.Hypot(x.rng.Err, y.rng.Err),
	}}
}

func (t *Trace) addPlain(x, p Tensor, _ bool) (Tensor, error) {
	t.encode(p, x.level)
	t.work(OpAdd, x.level, 0.5)
	p.rng.Err = t.noise.Encode(t.period(p), x.scale)
	return sum(x, p), nil
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
				r.Max += float64(a.Max * b.Max)
				r.RMS = portable.Hypot(r.RMS, a.RMS*b.RMS)
				errs = append(errs, a.Err*b.RMS, b.Err*a.RMS)
			}
			scale := scaleMul(x[0].t.scale, y[0].t.scale)
			t.Count.Tensors += len(g.Terms)
			t.work(OpTensor, level, float64(len(g.Terms)))
			t.work(OpTensorSum, level, 1)
			errs = append(errs, t.giant(g.By, level, scale, true)...)
		}
		t.Count.Divisions++
		t.rescaled(groups, level, true)
		errs = append(errs, t.noise.Rescale(scaleQuo(scaleMul(x[0].t.scale, y[0].t.scale), primeScale(t.set, level))))
		r.Err = hypot(errs...)
		out[i] = Tensor{rng: r}
	}
	t.watch(x, y)
	return out, nil
}

func (t *Trace) productData(p packing.Product, x []*Operand, y *Data, level int) ([]Tensor, error) {
	out := make([]Tensor, len(p))
	scale := scaleMul(x[0].t.scale, y.scale)
	if at, ok := t.encoded[y]; !ok || at != level {
		t.encoded[y] = level
		t.work(OpEncodeData, level, float64(y.count*y.period)*portable.Log2(float64(y.period))/encodedData)
		t.Count.Data = max(t.Count.Data, y.count*y.period*(level+1)*limbBytes)
	}
	run := float64(t.set.N()) / float64(y.period)
	for i, groups := range p {
		var errs []float64
		r := Range{}
		for _, g := range groups {
			for _, term := range g.Terms {
				a := t.rotateOperand(x[term.X], term.RX, level)
				r.Max += float64(a.Max * y.rng.Max)
				r.RMS = portable.Hypot(r.RMS, a.RMS*y.rng.RMS)
				errs = append(errs, a.Err*y.rng.RMS, a.RMS*t.noise.Encode(y.period, y.scale))
			}
			t.Count.PlainMul += len(g.Terms)
			t.work(OpDataTerm, level, float64(len(g.Terms)))
			t.work(OpDataRun, level, float64(len(g.Terms))/run)
			t.work(OpDataSum, level, 1)
			errs = append(errs, t.giant(g.By, level, scale, false)...)
		}
		t.Count.Divisions++
		t.rescaled(groups, level, false)
		errs = append(errs, t.noise.Rescale(scaleQuo(scale, primeScale(t.set, level))))
		r.Err = hypot(errs...)
		out[i] = Tensor{rng: r}
	}
	t.watch(x)
	return out, nil
}

// rescaled counts what ends an output: the division, of sums that were switched to
// the key by the special primes too.
func (t *Trace) rescaled(groups []packing.Group, level int, product bool) {
	switched, plain := product, false
	for _, g := range groups {
		if packing.Mod(g.By, t.set.N()) == 0 {
			plain = true
		} else {
			switched = true
		}
	}
	if !switched {
		t.work(OpRescale, level, 1)
		return
	}
	if plain {
		t.work(OpScale, level, 1)
	}
	t.work(OpDivideRescale, level, 1)
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
		t.work(OpDecompose, level, 1)
	}
	t.needRotation(by, level)
	t.Count.Rotations++
	t.Count.Divisions++
	t.work(OpKeyProduct, level, 1)
	t.work(OpDivide, level, 1)
	t.work(OpPermute, level, 1)
	r := o.t.rng
	r.Err = hypot(r.Err, t.noise.KeySwitch(level, false, o.t.scale), t.noise.Rescale(o.t.scale))
	o.rotated[by] = Tensor{level: level, rng: r}
	return r
}

// giant counts the rotation of a group's sum and returns the errors it adds.
func (t *Trace) giant(by, level int, scale *big.Float, product bool) (errs []float64) {
	by = packing.Mod(by, t.set.N())
	if by == 0 {
		t.work(OpAdd, level, 1)
	} else {
		t.needRotation(by, level)
		t.Count.Rotations++
		t.Count.Decomposed++
		t.keySwitch(level, true)
		t.work(OpScale, level, 0.5)
		errs = append(errs, t.noise.KeySwitch(level, false, scale))
	}
	if product {
		t.needProduct(by, level)
		t.Count.Relinearised++
		t.Count.Decomposed++
		t.keySwitch(level, false)
		t.work(OpAdd, level, 1)
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
		sum += float64(x * x)
	}
	return math.Sqrt(sum)
}
