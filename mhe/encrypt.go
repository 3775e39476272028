package mhe

import (
	"crypto/sha3"
	"fmt"
	"io"
	"math"
	"math/big"

	"github.com/tuneinsight/lattigo/v5/ring"

	"github.com/nereid-mhe/nereid/internal/portable"
	"github.com/nereid-mhe/nereid/mhe/rns"
	"github.com/nereid-mhe/nereid/params"
)

// An EncryptionKey encrypts to the holders of a secret key: all parties together
// or one querier. It is read-only and safe for concurrent use.
type EncryptionKey struct {
	set  params.Set
	b, a rns.Poly // b = -a·s + e over the full extended basis, NTT form
}

// NewQuerierKey draws a key pair for a querier from src, which must be secret.
func NewQuerierKey(set params.Set, src Source) (SecretKey, *EncryptionKey, error) {
	sk, err := NewSecretKey(set, src("secret"))
	if err != nil {
		return SecretKey{}, nil, err
	}
	basis := ExtendedBasis(set, set.MaxLevel())
	a, err := uniform(basis, src("uniform"))
	if err != nil {
		return SecretKey{}, nil, err
	}
	b := basis.New()
	basis.MulSub(b, a, sk.open().p)
	if err := addNoise(basis, b, src("error")); err != nil {
		return SecretKey{}, nil, err
	}
	return sk, &EncryptionKey{set, b, a}, nil
}

// encryptionKeyShape is the shape of a key's two polynomials.
func encryptionKeyShape(set params.Set) Shape {
	b := ExtendedBasis(set, set.MaxLevel())
	return Shape{b, b}
}

// EncryptionKeySize returns the bytes of an encoded key.
func EncryptionKeySize(set params.Set) int { return encryptionKeyShape(set).Size() }

// Encode returns the bytes of the key.
func (k *EncryptionKey) Encode() ([]byte, error) {
	return encryptionKeyShape(k.set).Encode(Share{k.b, k.a})
}

// Hash returns the SHA3-256 of the encoded key, by which a policy names it.
func (k *EncryptionKey) Hash() ([32]byte, error) {
	b, err := k.Encode()
	return sha3.Sum256(b), err
}

// DecodeEncryptionKey reads a key. Errors wrap [ErrShape] or [rns.ErrEncoding].
func DecodeEncryptionKey(set params.Set, in []byte) (*EncryptionKey, error) {
	s, err := encryptionKeyShape(set).Decode(in)
	if err != nil {
		return nil, fmt.Errorf("encryption key: %w", err)
	}
	return &EncryptionKey{set, s[0], s[1]}, nil
}

// zero returns a fresh encryption of zero at level: (b·u + e0, a·u + e1) divided
// by the special primes, which leaves little but the rounding as noise.
func (k *EncryptionKey) zero(level int, src Source) (*ciphertext, error) {
	basis := ExtendedBasis(k.set, level)
	u, err := ternary(basis, src("u"))
	if err != nil {
		return nil, err
	}
	div := rns.NewDivider(basis[:level+1], basis[level+1:])
	ct := &ciphertext{}
	for i, p := range []rns.Poly{k.b, k.a} {
		x := basis.New()
		basis.MulAdd(x, restrict(p, k.set, level), u)
		e, err := gaussian.Sample(src(fmt.Sprintf("e%d", i)), basis.N())
		if err != nil {
			return nil, err
		}
		div.Round(x, e, nil, 1)
		ct.c[i] = x[:level+1]
	}
	return ct, nil
}

// Encrypt returns an encryption of one period of slot values at level and scale.
func (k *EncryptionKey) Encrypt(enc *Encoder, values []float64, level int, scale *big.Float, src Source) (Tensor, error) {
	if level < 0 || level > k.set.MaxLevel() {
		return Tensor{}, fmt.Errorf("%w: encrypting at level %d, want 0 to %d", ErrShape, level, k.set.MaxLevel())
	}
	basis := Basis(k.set, level)
	p, err := enc.Encode(values, scale, basis)
	if err != nil {
		return Tensor{}, err
	}
	ct, err := k.zero(level, src)
	if err != nil {
		return Tensor{}, err
	}
	basis.Add(ct.c[0], p)
	return Tensor{level: level, scale: scale, ct: ct}, nil
}

// EncryptIntegers returns an encryption at level of the integers v, each 2^shift
// times in a coefficient of its own: no slots, no floating point. Sums of such
// ciphertexts are exact as long as errors stay below 2^(shift-1), and what is left
// of an opening once the integers are taken away says nothing about them.
func (k *EncryptionKey) EncryptIntegers(v []int64, shift, level int, src Source) (Tensor, error) {
	if len(v) > k.set.N() || level < 0 || level > k.set.MaxLevel() || shift < 1 {
		return Tensor{}, fmt.Errorf("%w: encrypting %d integers at level %d, shifted by %d bits", ErrShape, len(v), level, shift)
	}
	largest := 1.0
	for _, x := range v {
		largest = max(largest, math.Abs(float64(x)))
	}
	if need := portable.Log2(largest) + float64(shift) + portable.Log2(float64(k.set.Parties())) + 2; need > k.set.LogModulus(level) {
		return Tensor{}, fmt.Errorf("%w: sums of integers up to %g, shifted by %d bits, need a modulus of %.0f bits, level %d has %.0f", ErrShape, largest, shift, need, level, k.set.LogModulus(level))
	}
	basis := Basis(k.set, level)
	p := basis.New()
	basis.AddInts(p, v)
	for i, s := range basis {
		s.MulScalarMontgomery(p[i], ring.MForm(rns.PowMod(s, shift), s.Modulus, s.BRedConstant), p[i])
	}
	basis.NTT(p)
	ct, err := k.zero(level, src)
	if err != nil {
		return Tensor{}, err
	}
	basis.Add(ct.c[0], p)
	return Tensor{level: level, scale: Power(shift), ct: ct}, nil
}

// Rerandomise returns t plus a fresh encryption of zero. A ciphertext that a
// party computed from its own data in the clear is a deterministic function of
// that data: whoever sees it can test guesses of the data, or solve for it. It
// must not leave the party before this.
func (k *EncryptionKey) Rerandomise(t Tensor, src Source) (Tensor, error) {
	if t.ct == nil {
		return Tensor{}, fmt.Errorf("%w: rerandomising a tensor that is not a ciphertext", ErrShape)
	}
	z, err := k.zero(t.level, src)
	if err != nil {
		return Tensor{}, err
	}
	basis := Basis(k.set, t.level)
	for i := range z.c {
		basis.Add(z.c[i], t.ct.c[i])
	}
	t.ct = z
	return t, nil
}

// Decrypt returns the slots of a ciphertext under sk alone: a querier's answer
// after a key switch. A party's share of the collective key decrypts nothing.
func (k SecretKey) Decrypt(enc *Encoder, t Tensor) ([]float64, error) { return Reveal(enc, t, k) }

// Reveal returns the slots of a ciphertext under the sum of keys, without any
// protocol or noise. Only a simulation, which holds the secrets of all parties,
// has a use for it: to check what parties of their own never could.
func Reveal(enc *Encoder, t Tensor, keys ...SecretKey) ([]float64, error) {
	if t.ct == nil {
		return nil, fmt.Errorf("%w: decrypting a tensor that is not a ciphertext", ErrShape)
	}
	p := Basis(enc.set, t.level).New()
	copyLimbs(p, t.ct.c[0])
	for _, k := range keys {
		k.MulAdd(t.level, p, t.ct.c[1])
	}
	return enc.Decode(p, t.scale)
}

// An Opening is the collective protocol by which values leave encryption: to a
// querier's key, or to everybody. Sigma is the flooding noise that every party
// adds, see [Noise.Flooding]. The protocols are CKS and PCKS of ePrint 2020/304,
// section IV.
type Opening struct {
	Set   params.Set
	Level int
	Count int     // ciphertexts opened in one round
	Sigma float64 // in coefficients
}

// check validates the second polynomials of the ciphertexts.
func (o Opening) check(c1 []rns.Poly) error {
	if len(c1) != o.Count {
		return fmt.Errorf("%w: opening %d ciphertexts, want %d", ErrShape, len(c1), o.Count)
	}
	for _, c := range c1 {
		if len(c) != o.Level+1 {
			return fmt.Errorf("%w: opening a ciphertext at level %d, want %d", ErrShape, len(c)-1, o.Level)
		}
	}
	if !(o.Sigma >= params.Sigma) {
		return fmt.Errorf("%w: opening with flooding noise of standard deviation %g, want at least %g", ErrShape, o.Sigma, params.Sigma)
	}
	return nil
}

// flooded returns c1·s_i + flood.
func (o Opening) flooded(sk SecretKey, c1 rns.Poly, src io.Reader) (rns.Poly, error) {
	basis := Basis(o.Set, o.Level)
	h := basis.New()
	e, err := rns.Flood(src, basis.N(), o.Sigma)
	if err != nil {
		return nil, err
	}
	basis.AddInts(h, e)
	basis.NTT(h)
	sk.MulAdd(o.Level, h, c1)
	return h, nil
}

// DecryptShape is the shape of shares of a collective decryption.
func (o Opening) DecryptShape() Shape {
	sh := make(Shape, o.Count)
	for i := range sh {
		sh[i] = Basis(o.Set, o.Level)
	}
	return sh
}

// DecryptShare returns c1·s_i + flood for every ciphertext, given its second
// polynomial.
func (o Opening) DecryptShare(sk SecretKey, c1 []rns.Poly, private Source) (Share, error) {
	if err := o.check(c1); err != nil {
		return nil, err
	}
	share := make(Share, o.Count)
	for i, c := range c1 {
		var err error
		if share[i], err = o.flooded(sk, c, private(fmt.Sprintf("flood %d", i))); err != nil {
			return nil, err
		}
	}
	return share, nil
}

// Decrypt returns the slots of in[i] from the sum of all parties' shares.
func (o Opening) Decrypt(enc *Encoder, in []Tensor, sum Share) ([][]float64, error) {
	out := make([][]float64, o.Count)
	polys, err := o.plaintexts(in, sum)
	for i, p := range polys {
		if out[i], err = enc.Decode(p, in[i].scale); err != nil {
			return nil, err
		}
	}
	return out, err
}

// DecryptIntegers returns the first n coefficients of in[i], rounded to multiples
// of its scale 2^shift, from the sum of all parties' shares. It is the inverse of
// [EncryptionKey.EncryptIntegers].
func (o Opening) DecryptIntegers(in []Tensor, sum Share, n int) ([][]*big.Int, error) {
	if n > o.Set.N() {
		return nil, fmt.Errorf("%w: %d integers of %d coefficients", ErrShape, n, o.Set.N())
	}
	polys, err := o.plaintexts(in, sum)
	if err != nil {
		return nil, err
	}
	out := make([][]*big.Int, o.Count)
	for i, p := range polys {
		basis := Basis(o.Set, o.Level)
		basis.INTT(p)
		shift := uint(in[i].scale.MantExp(nil) - 1)
		half := new(big.Int).Lsh(big.NewInt(1), shift-1)
		for c := range n {
			x := basis.Centred(p, c)
			out[i] = append(out[i], x.Add(x, half).Rsh(x, shift)) // floor(x/2^shift + 1/2)
		}
	}
	return out, nil
}

// plaintexts returns c0 + Σ shares for every ciphertext.
func (o Opening) plaintexts(in []Tensor, sum Share) ([]rns.Poly, error) {
	if len(in) != o.Count || len(sum) != o.Count {
		return nil, fmt.Errorf("%w: opening %d ciphertexts with %d shares, want %d", ErrShape, len(in), len(sum), o.Count)
	}
	basis := Basis(o.Set, o.Level)
	out := make([]rns.Poly, o.Count)
	for i, t := range in {
		if t.ct == nil || t.level != o.Level {
			return nil, fmt.Errorf("%w: tensor %d is not a ciphertext at level %d", ErrShape, i, o.Level)
		}
		out[i] = basis.New()
		copyLimbs(out[i], t.ct.c[0])
		basis.Add(out[i], sum[i])
	}
	return out, nil
}

// SwitchShape is the shape of shares of a key switch.
func (o Opening) SwitchShape() Shape {
	return append(o.DecryptShape(), o.DecryptShape()...)
}

// SwitchShare returns (c1·s_i + flood + z0, z1) for every ciphertext, with z a
// fresh encryption of zero to the querier.
func (o Opening) SwitchShare(sk SecretKey, c1 []rns.Poly, to *EncryptionKey, private Source) (Share, error) {
	share, err := o.DecryptShare(sk, c1, private)
	if err != nil {
		return nil, err
	}
	basis := Basis(o.Set, o.Level)
	for i := range c1 {
		z, err := to.zero(o.Level, func(name string) io.Reader { return private(fmt.Sprintf("zero %d %s", i, name)) })
		if err != nil {
			return nil, err
		}
		basis.Add(share[i], z.c[0])
		share = append(share, z.c[1])
	}
	return share, nil
}

// Switch returns the ciphertexts under the querier's key from the sum of all
// parties' shares.
func (o Opening) Switch(in []Tensor, sum Share) ([]Tensor, error) {
	if len(in) != o.Count || len(sum) != 2*o.Count {
		return nil, fmt.Errorf("%w: switching %d ciphertexts with %d polynomials, want %d and %d", ErrShape, len(in), len(sum), o.Count, 2*o.Count)
	}
	basis := Basis(o.Set, o.Level)
	out := make([]Tensor, o.Count)
	for i, t := range in {
		if t.ct == nil || t.level != o.Level {
			return nil, fmt.Errorf("%w: tensor %d is not a ciphertext at level %d", ErrShape, i, o.Level)
		}
		c0 := basis.New()
		copyLimbs(c0, t.ct.c[0])
		basis.Add(c0, sum[i])
		out[i] = NewEncrypted(c0, sum[o.Count+i], t.scale)
	}
	return out, nil
}
