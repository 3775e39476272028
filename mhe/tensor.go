package mhe

import (
	"fmt"
	"math"
	"math/big"

	"github.com/nereid-mhe/nereid/internal/portable"
	"github.com/nereid-mhe/nereid/mhe/rns"
	"github.com/nereid-mhe/nereid/params"
)

// A Tensor is a value that an [Evaluator] computes with: data in the clear, a
// ciphertext, floats that stand for a ciphertext, or a bound and error estimate
// that do. Only tensors of one backend mix. Tensors are immutable.
type Tensor struct {
	level int
	scale *big.Float // of encrypted tensors; exact to 128 bits
	plain bool       // data in the clear: values or rng, no level

	ct     *ciphertext // CKKS
	values []float64   // plain data and Clear: one period of slots
	rng    Range       // Trace
}

// A Range says what is known of slot values before there are any.
type Range struct {
	Max float64 // bound of the absolute value of every slot
	RMS float64 // typical size
	Err float64 // standard deviation of the error, same unit
}

// Plain returns data in the clear: one period of slot values, a power of two of
// them, at least 8. Every backend takes it and encodes it when it is used.
func Plain(values []float64) Tensor {
	r := Range{}
	for _, v := range values {
		r.Max = max(r.Max, math.Abs(v))
		r.RMS += float64(v * v)
	}
	r.RMS = math.Sqrt(r.RMS / float64(max(1, len(values))))
	return Tensor{plain: true, values: values, rng: r}
}

// Unknown returns data in the clear of which only the range is known, for
// tracing.
func Unknown(r Range) Tensor { return Tensor{plain: true, rng: r} }

// Level returns the level of an encrypted tensor and -1 for data in the clear.
func (t Tensor) Level() int {
	if t.plain {
		return -1
	}
	return t.level
}

// Encrypted reports whether t is an encrypted tensor or stands for one.
func (t Tensor) Encrypted() bool { return !t.plain }

// LogScale returns log2 of the scale of an encrypted tensor.
func (t Tensor) LogScale() float64 { return log2(t.scale) }

// Scale returns the exact scale of an encrypted tensor.
func (t Tensor) Scale() *big.Float { return t.scale }

// Range returns what a traced tensor's values are known to be.
func (t Tensor) Range() Range { return t.rng }

// Values returns one period of slots of data in the clear or of a tensor of the
// Clear backend, nil otherwise.
func (t Tensor) Values() []float64 { return t.values }

// Polys returns the two polynomials of a ciphertext in NTT form, or nil. They
// must not be modified.
func (t Tensor) Polys() []rns.Poly {
	if t.ct == nil {
		return nil
	}
	return t.ct.c[:]
}

// NewEncrypted returns the tensor of a ciphertext made outside an evaluator, such
// as by a refresh: c0 and c1 in NTT form over the primes of one level.
func NewEncrypted(c0, c1 rns.Poly, scale *big.Float) Tensor {
	return Tensor{level: len(c0) - 1, scale: scale, ct: &ciphertext{[2]rns.Poly{c0, c1}}}
}

// At returns t at a scale that differs from its own by rounding only, below 2^-64
// of it: what reaches the same scale along two ways can be added.
func At(t Tensor, scale *big.Float) (Tensor, error) {
	if t.plain || t.scale == nil {
		return Tensor{}, fmt.Errorf("%w: a tensor without a scale", ErrShape)
	}
	d := scaleQuo(t.scale, scale)
	if d.Sub(d, new(big.Float).SetInt64(1)); d.Sign() != 0 && d.MantExp(nil) > -64 {
		return Tensor{}, fmt.Errorf("%w: a tensor at scale 2^%.9f taken for one at 2^%.9f", ErrShape, t.LogScale(), log2(scale))
	}
	t.scale = scale
	return t, nil
}

// Reinterpret returns t taken to be at another scale: the ciphertext stays what it
// is, and every value is multiplied by the old scale over the new one.
func Reinterpret(t Tensor, scale *big.Float) (Tensor, error) {
	if t.plain || t.scale == nil || scale.Sign() <= 0 {
		return Tensor{}, fmt.Errorf("%w: a tensor without a scale", ErrShape)
	}
	factor, _ := scaleQuo(t.scale, scale).Float64()
	t.scale = scale
	if t.values != nil {
		t.values = clearBackend{}.reinterpret(t, factor).values
	}
	t.rng = Range{t.rng.Max * factor, t.rng.RMS * factor, t.rng.Err * factor}
	return t, nil
}

// ClearTensor returns the tensor that stands for an encryption of values in the
// Clear backend.
func ClearTensor(values []float64, level int, scale *big.Float) Tensor {
	return Tensor{level: level, scale: scale, values: values}
}

// TracedTensor returns the tensor that stands for an encryption in the Trace
// backend.
func TracedTensor(r Range, level int, scale *big.Float) Tensor {
	return Tensor{level: level, scale: scale, rng: r}
}

// Power returns the exact scale 2^log.
func Power(log int) *big.Float {
	return new(big.Float).SetMantExp(new(big.Float).SetPrec(scalePrec).SetInt64(1), log) // with the precision of its mantissa
}

// scalePrec is the precision of scales in bits: hundreds of products of 60-bit
// primes stay exact to far below the noise.
const scalePrec = 128

func scaleMul(a, b *big.Float) *big.Float { return new(big.Float).SetPrec(scalePrec).Mul(a, b) }
func scaleQuo(a, b *big.Float) *big.Float { return new(big.Float).SetPrec(scalePrec).Quo(a, b) }

func primeScale(set params.Set, level int) *big.Float {
	return new(big.Float).SetPrec(scalePrec).SetUint64(set.Prime(level))
}

func log2(x *big.Float) float64 {
	var m big.Float
	exp := x.MantExp(&m)
	f, _ := m.Float64()
	return portable.Log2(f) + float64(exp)
}

// CipherShape is the shape of the two polynomials of a ciphertext at level, by
// which ciphertexts are added, encoded and decoded as shares are.
func CipherShape(set params.Set, level int) Shape {
	b := Basis(set, level)
	return Shape{b, b}
}

// Share returns the ciphertext of t as a share of a sum, sharing its memory.
func (t Tensor) Share() (Share, error) {
	if t.ct == nil {
		return nil, fmt.Errorf("%w: the tensor is not a ciphertext", ErrShape)
	}
	return Share{t.ct.c[0], t.ct.c[1]}, nil
}
