package mhe

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"

	"github.com/nereid-mhe/nereid/packing"
	"github.com/nereid-mhe/nereid/params"
)

// ErrLevel is wrapped by every [LevelError].
var ErrLevel = errors.New("mhe: not enough levels")

// A LevelError reports an operation on a tensor with too few levels left. The
// remedy is a refresh before Op, or parameters with a longer modulus chain.
type LevelError struct {
	Op         string // operation that was refused
	Have, Need int    // levels
}

func (e *LevelError) Error() string {
	return fmt.Sprintf("mhe: %s needs level %d, the tensor is at level %d", e.Op, e.Need, e.Have)
}

// Unwrap returns [ErrLevel].
func (e *LevelError) Unwrap() error { return ErrLevel }

// An Evaluator computes on tensors. Its operations are coarse, so that a backend
// may share decompositions and merge divisions inside one. Implementations are
// safe for concurrent use. Errors wrap [ErrLevel] or [ErrShape].
type Evaluator interface {
	// Dot returns z[s] = Σ_j w[j]·x[j,s], replicated along the features, for x
	// in the clear or encrypted. It costs a level. For x in the clear the scale
	// of z is 2^logScale, or that of w if logScale is 0; for x encrypted it is
	// what the product's is, and logScale must be 0.
	Dot(d packing.Dot, w, x Tensor, logScale int) (Tensor, error)

	// Outer returns e[s]·x[j,s], the gradient of Dot with respect to w before
	// the sum over samples, at scale 2^logScale, for x in the clear. It costs a
	// level.
	Outer(d packing.Dot, e, x Tensor, logScale int) (Tensor, error)

	// Product returns p of encrypted x and y, of which all x have one scale and
	// all y have one. It costs a level; the scale is what the product's is.
	Product(p packing.Product, x, y []*Operand) ([]Tensor, error)

	// ProductData returns p of encrypted x, all of one scale, and data in the
	// clear. It costs a level; the scale is what the product's is.
	ProductData(p packing.Product, x []*Operand, y *Data) ([]Tensor, error)

	// Mul returns x·y slot by slot for encrypted x and y, at one level less than
	// the lower of them has.
	Mul(x, y Tensor) (Tensor, error)

	// Polynomials returns Σ_k coeffs[k]·x^k in every slot for each of the
	// polynomials; they share the powers of x. A polynomial costs [Depth] levels of
	// its degree.
	Polynomials(x Tensor, coeffs ...[]float64) ([]Tensor, error)

	// Add returns x + y, as Sub returns x - y.
	Add(x, y Tensor) (Tensor, error)

	// Sub returns x - y. If y is encrypted, the scales must be equal; the result
	// is at the lower level. Data in the clear is encoded at the scale of x.
	Sub(x, y Tensor) (Tensor, error)

	// AddScaled returns x + c·y for encrypted x and y with y at a higher level
	// than x, and c in the clear. The product is made to land on the scale of x.
	AddScaled(x, c, y Tensor) (Tensor, error)

	// Map applies a slot map. Every rotation needs its Galois key, every mask
	// costs a level; the scale stays.
	Map(m packing.Map, x Tensor) (Tensor, error)
}

// A backend does the arithmetic of one kind of tensor. It sees operands that the
// engine has checked and returns data only: levels and scales are the engine's.
type backend interface {
	valid(t Tensor) error                                   // t is of this backend
	mul(x, y Tensor, level int) (Tensor, error)             // encrypted × encrypted, relinearised and rescaled
	mulPlain(x, p Tensor, scale *big.Float) (Tensor, error) // p encoded at scale, rescaled
	rotateSum(x Tensor, rotations []int) (Tensor, error)
	add(x, y Tensor, negative bool) (Tensor, error) // y encrypted, same scale
	addPlain(x, p Tensor, negative bool) (Tensor, error)
	product(p packing.Product, x, y []*Operand, level int) ([]Tensor, error) // rescaled
	productData(p packing.Product, x []*Operand, y *Data, level int) ([]Tensor, error)
	negate(x Tensor) Tensor
	reinterpret(x Tensor, factor float64) Tensor // the scale changed so that values are factor times larger
}

// engine implements [Evaluator] once for every backend, so that levels and
// scales cannot differ between a ciphertext and its twin.
type engine struct {
	set params.Set
	be  backend
}

var _ Evaluator = engine{}

// encrypted checks that t is an encrypted tensor of this backend at level or
// above.
func (e engine) encrypted(op string, level int, t Tensor) error {
	if t.plain || t.scale == nil {
		return fmt.Errorf("%w: %s wants an encrypted tensor", ErrShape, op)
	}
	if t.level < level {
		return &LevelError{op, t.level, level}
	}
	if t.level > e.set.MaxLevel() {
		return fmt.Errorf("%w: %s of a tensor at level %d, want at most %d", ErrShape, op, t.level, e.set.MaxLevel())
	}
	if err := e.be.valid(t); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	return nil
}

// Dot implements [Evaluator]. The sum comes after the rescale, at one level less:
// key switching adds some noise to outputs, all of which the loss flattens.
func (e engine) Dot(d packing.Dot, w, x Tensor, logScale int) (Tensor, error) {
	if err := e.encrypted("Dot", 1, w); err != nil {
		return Tensor{}, err
	}
	if !x.plain {
		if logScale != 0 {
			return Tensor{}, fmt.Errorf("%w: Dot of two encrypted tensors cannot choose its scale", ErrShape)
		}
		return e.dotEncrypted(d, w, x)
	}
	want := w.scale
	if logScale != 0 {
		want = Power(logScale)
	}
	y, err := e.landing("Dot", w, x, want)
	if err != nil {
		return Tensor{}, err
	}
	return e.sums(d.Sum, y)
}

// landing returns x·p, rescaled, with p encoded at the scale that brings the
// product to scale want exactly.
func (e engine) landing(op string, x, p Tensor, want *big.Float) (Tensor, error) {
	if !p.plain {
		return Tensor{}, fmt.Errorf("%w: %s wants data in the clear", ErrShape, op)
	}
	s := scaleQuo(scaleMul(want, primeScale(e.set, x.level)), x.scale)
	if log2(s) < minPlainScale {
		return Tensor{}, fmt.Errorf("%w: %s: data at scale 2^%.1f is too coarse to bring scale 2^%.1f to 2^%.1f", ErrShape, op, log2(s), x.LogScale(), log2(want))
	}
	y, err := e.mulPlain(x, p, s)
	y.scale = want
	return y, err
}

// minPlainScale is the least log2 of a scale at which data in the clear keeps
// any precision worth computing with.
const minPlainScale = 10

func (e engine) dotEncrypted(d packing.Dot, w, x Tensor) (Tensor, error) {
	if err := e.encrypted("Dot", 1, x); err != nil {
		return Tensor{}, err
	}
	y, err := e.mul("Dot", w, x)
	if err != nil {
		return Tensor{}, err
	}
	return e.sums(d.Sum, y)
}

// sums applies a map without masks.
func (e engine) sums(m packing.Map, x Tensor) (Tensor, error) {
	if m.Depth() != 0 {
		return Tensor{}, fmt.Errorf("%w: a sum with a mask", ErrShape)
	}
	return e.Map(m, x)
}

// Outer implements [Evaluator].
func (e engine) Outer(d packing.Dot, z, x Tensor, logScale int) (Tensor, error) {
	if err := e.encrypted("Outer", 1, z); err != nil {
		return Tensor{}, err
	}
	return e.landing("Outer", z, x, Power(logScale))
}

// Mul implements [Evaluator].
func (e engine) Mul(x, y Tensor) (Tensor, error) {
	for _, t := range []Tensor{x, y} {
		if err := e.encrypted("Mul", 1, t); err != nil {
			return Tensor{}, err
		}
	}
	return e.mul("Mul", x, y)
}

// Sub implements [Evaluator].
func (e engine) Sub(x, y Tensor) (Tensor, error) { return e.combine(x, y, true) }

// Add implements [Evaluator].
func (e engine) Add(x, y Tensor) (Tensor, error) { return e.combine(x, y, false) }

func (e engine) combine(x, y Tensor, negative bool) (Tensor, error) {
	if err := e.encrypted("Add", 0, x); err != nil {
		return Tensor{}, err
	}
	if y.plain {
		if err := e.data(y); err != nil {
			return Tensor{}, err
		}
		z, err := e.be.addPlain(x, y, negative)
		return e.like(z, x, x.level, x.scale), err
	}
	return e.add(x, y, negative)
}

func (e engine) add(x, y Tensor, negative bool) (Tensor, error) {
	if err := e.encrypted("Add", 0, y); err != nil {
		return Tensor{}, err
	}
	if x.scale.Cmp(y.scale) != 0 {
		return Tensor{}, fmt.Errorf("%w: adding tensors of scales 2^%.9f and 2^%.9f", ErrShape, x.LogScale(), y.LogScale())
	}
	z, err := e.be.add(x, y, negative)
	return e.like(z, x, min(x.level, y.level), x.scale), err
}

// AddScaled implements [Evaluator].
func (e engine) AddScaled(x, c, y Tensor) (Tensor, error) {
	if err := e.encrypted("AddScaled", 0, x); err != nil {
		return Tensor{}, err
	}
	if err := e.encrypted("AddScaled", x.level+1, y); err != nil {
		return Tensor{}, err
	}
	y = e.atLevel(y, x.level+1)
	z, err := e.landing("AddScaled", y, c, x.scale)
	if err != nil {
		return Tensor{}, err
	}
	return e.add(x, z, false)
}

// Map implements [Evaluator].
func (e engine) Map(m packing.Map, x Tensor) (Tensor, error) {
	if err := e.encrypted("Map", m.Depth(), x); err != nil {
		return Tensor{}, err
	}
	if err := m.Check(e.set.N()); err != nil {
		return Tensor{}, fmt.Errorf("%w: Map: %w", ErrShape, err)
	}
	scale := x.scale
	for _, s := range m.Steps {
		var err error
		if len(s.Rotations) > 0 {
			if x, err = e.rotateSum(x, s.Rotations); err != nil {
				return Tensor{}, err
			}
		}
		if s.Mask != nil {
			mask := s.Mask
			for len(mask) < 8 {
				mask = slices.Concat(mask, mask)
			}
			if x, err = e.mulPlain(x, Plain(mask), primeScale(e.set, x.level)); err != nil {
				return Tensor{}, err
			}
			x.scale = scale
		}
	}
	return x, nil
}

// data checks data in the clear as the encoder does, so that every backend
// refuses what a ciphertext cannot take.
func (e engine) data(p Tensor) error {
	if p.values == nil { // only its range is known
		return nil
	}
	if err := e.period(len(p.values)); err != nil {
		return err
	}
	for i, v := range p.values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("%w: slot %d is %v", ErrShape, i, v)
		}
	}
	return nil
}

// period checks the length of data in the clear.
func (e engine) period(n int) error {
	if n < minPeriod || n > e.set.N() || n&(n-1) != 0 {
		return fmt.Errorf("%w: data of %d values, want a power of two from %d to %d", ErrShape, n, minPeriod, e.set.N())
	}
	return nil
}

// The following wrap a backend's operation and set level and scale.

func (e engine) like(z, x Tensor, level int, scale *big.Float) Tensor {
	z.level, z.scale, z.plain = level, scale, false
	return z
}

func (e engine) mul(op string, x, y Tensor) (Tensor, error) {
	level := min(x.level, y.level)
	if level < 1 {
		return Tensor{}, &LevelError{op, level, 1}
	}
	z, err := e.be.mul(e.atLevel(x, level), e.atLevel(y, level), level)
	return e.like(z, x, level-1, scaleQuo(scaleMul(x.scale, y.scale), primeScale(e.set, level))), err
}

func (e engine) mulPlain(x, p Tensor, scale *big.Float) (Tensor, error) {
	if err := e.data(p); err != nil {
		return Tensor{}, err
	}
	z, err := e.be.mulPlain(x, p, scale)
	return e.like(z, x, x.level-1, scaleQuo(scaleMul(x.scale, scale), primeScale(e.set, x.level))), err
}

func (e engine) rotateSum(x Tensor, rotations []int) (Tensor, error) {
	z, err := e.be.rotateSum(x, rotations)
	return e.like(z, x, x.level, x.scale), err
}

// atLevel returns x with limbs dropped: free, and exact.
func (e engine) atLevel(x Tensor, level int) Tensor {
	if x.ct != nil && x.level != level {
		x.ct = drop(x.ct, level)
	}
	x.level = level
	return x
}

// Drop returns t at a lower level: limbs are left out, which is free and exact.
func Drop(t Tensor, level int) (Tensor, error) {
	if t.plain || level < 0 || level > t.level {
		return Tensor{}, fmt.Errorf("%w: dropping a tensor at level %d to level %d", ErrShape, t.Level(), level)
	}
	return engine{}.atLevel(t, level), nil
}
