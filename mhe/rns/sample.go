package rns

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/bits"

	"github.com/tuneinsight/lattigo/v5/ring"

	"github.com/nereid-mhe/nereid/internal/portable"
)

// read fills a buffer of n bytes from src, which the caller gives back.
func read(src io.Reader, n int) ([]byte, error) {
	b := freeBytes.borrow(n)
	if _, err := io.ReadFull(src, b); err != nil {
		freeBytes.giveBack(b)
		return nil, fmt.Errorf("rns: randomness: %w", err)
	}
	return b, nil
}

// A Gaussian is the discrete Gaussian distribution on the integers, cut off at
// a tail. The zero value is not usable; see [NewGaussian].
type Gaussian struct {
	// tail[k] is P(|x| > k)·2^63: |x| is the number of entries above a uniform
	// 63-bit number.
	tail []uint64
}

// NewGaussian returns the distribution with standard deviation sigma on
// -tail..tail. The tail should be at least 6·sigma.
func NewGaussian(sigma float64, tail int) Gaussian {
	w := make([]float64, tail+1)
	var total float64
	for k := tail; k >= 0; k-- { // from the small end, for accuracy
		w[k] = portable.Exp(-float64(k*k) / (2 * sigma * sigma))
		if k > 0 {
			w[k] *= 2
		}
		total += w[k]
	}
	g := Gaussian{make([]uint64, tail)}
	var above float64
	for k := tail; k > 0; k-- {
		above += w[k]
		g.tail[k-1] = uint64(math.Round(above / total * (1 << 63)))
	}
	return g
}

// Sample returns n independent integers. It takes the same time for every
// value: the table is scanned without branches. It reads 8n bytes.
func (g Gaussian) Sample(src io.Reader, n int) ([]int64, error) {
	v := make([]int64, n)
	if err := g.Fill(src, v); err != nil {
		return nil, err
	}
	return v, nil
}

// Fill is [Gaussian.Sample] into v.
func (g Gaussian) Fill(src io.Reader, v []int64) error {
	b, err := read(src, 8*len(v))
	if err != nil {
		return err
	}
	defer freeBytes.giveBack(b)
	word := func(i int) uint64 { return binary.LittleEndian.Uint64(b[8*i:]) }
	i := 0
	for ; i+4 <= len(v); i += 4 { // the table is loaded once for four
		w := [4]uint64{word(i), word(i + 1), word(i + 2), word(i + 3)}
		r0, r1, r2, r3 := w[0]>>1, w[1]>>1, w[2]>>1, w[3]>>1
		var a0, a1, a2, a3 uint64
		for _, t := range g.tail { // both below 2^63: the top bit tells which is smaller
			a0 += (r0 - t) >> 63
			a1 += (r1 - t) >> 63
			a2 += (r2 - t) >> 63
			a3 += (r3 - t) >> 63
		}
		out := v[i : i+4 : i+4]
		out[0], out[1], out[2], out[3] = signed(a0, w[0]), signed(a1, w[1]), signed(a2, w[2]), signed(a3, w[3])
	}
	for ; i < len(v); i++ {
		w := word(i)
		var a uint64
		for _, t := range g.tail {
			a += (w>>1 - t) >> 63
		}
		v[i] = signed(a, w)
	}
	return nil
}

// signed returns abs with the sign that the lowest bit of word stands for.
func signed(abs, word uint64) int64 {
	sign := -(word & 1) // all ones for a negative sample
	return int64((abs ^ sign) - sign)
}

// Ternary returns n integers uniform on {-1, 0, 1}. It reads n/4 bytes at a
// time and rejects a quarter of the pairs of bits.
func Ternary(src io.Reader, n int) ([]int64, error) {
	v := make([]int64, 0, n)
	for len(v) < n {
		b, err := read(src, (n+3)/4)
		if err != nil {
			return nil, err
		}
		for _, x := range b {
			for range 4 {
				if t := int64(x & 3); t < 3 && len(v) < n {
					v = append(v, t-1)
				}
				x >>= 2
			}
		}
		freeBytes.giveBack(b)
	}
	return v, nil
}

// MaxFlood is the largest standard deviation that [Flood] takes.
const MaxFlood = 1 << 50

// Flood returns n rounded normal numbers of standard deviation sigma, at most
// 2^50: beyond, float64 has no room for the fraction that rounding needs. Box and Muller's method on 53-bit uniforms cuts the tails at 8.5·sigma;
// the distance from the normal distribution is far below what a flooding of 30
// to 64 bits can see. Equal streams give equal numbers on every processor: a share that
// is computed again must be the same bytes.
func Flood(src io.Reader, n int, sigma float64) ([]int64, error) {
	if !(sigma >= 0 && sigma <= MaxFlood) {
		return nil, fmt.Errorf("rns: flooding with standard deviation %g, want 0 to 2^50", sigma)
	}
	b, err := read(src, 16*((n+1)/2))
	if err != nil {
		return nil, err
	}
	defer freeBytes.giveBack(b)
	uniform := func(i int) float64 { // in (0, 1]
		return float64(binary.LittleEndian.Uint64(b[8*i:])>>11+1) / (1 << 53)
	}
	v := make([]int64, n)
	for i := 0; i < n; i += 2 {
		r := sigma * math.Sqrt(-2*portable.Log(uniform(i)))
		sin, cos := portable.Circle(uniform(i + 1))
		v[i] = int64(math.Round(r * cos))
		if i+1 < n {
			v[i+1] = int64(math.Round(r * sin))
		}
	}
	return v, nil
}

// Uniform fills p with uniform residues. Equal streams give equal polynomials.
func (b Basis) Uniform(src io.Reader, p Poly) error {
	for i, s := range b {
		if err := uniform(s, src, p[i]); err != nil {
			return err
		}
	}
	return nil
}

// uniform rejects 64-bit words above the largest multiple of the prime.
func uniform(s *ring.SubRing, src io.Reader, dst []uint64) error {
	q, brc := s.Modulus, s.BRedConstant
	limit := math.MaxUint64 - math.MaxUint64%q
	var buf [8192]byte // stays in the cache
	for k := 0; k < len(dst); {
		b := buf[:min(len(buf), 8*(len(dst)-k))]
		if _, err := io.ReadFull(src, b); err != nil {
			return fmt.Errorf("rns: randomness: %w", err)
		}
		for ; len(b) > 0; b = b[8:] {
			if x := binary.LittleEndian.Uint64(b); x < limit {
				dst[k] = ring.BRedAdd(x, q, brc)
				k++
			}
		}
	}
	return nil
}

// A Mask is a polynomial with uniform integer coefficients, kept as 64-bit
// words until its residues are wanted.
type Mask struct {
	words []byte // 24 bytes for each coefficient
	bits  int
}

// NewMask draws n coefficients uniform in [-2^(bits-1), 2^(bits-1)), with 1 to
// 192 bits. It reads 24n bytes.
func NewMask(src io.Reader, n, bits int) (Mask, error) {
	if bits < 1 || bits > 192 {
		return Mask{}, fmt.Errorf("rns: masks of %d bits, want 1 to 192", bits)
	}
	b, err := read(src, 24*n)
	return Mask{b, bits}, err
}

// Release gives the memory of the mask back. It must not be used any more.
func (m Mask) Release() {
	if m.words != nil {
		freeBytes.giveBack(m.words)
	}
}

// Limb writes the coefficients modulo the prime of s to dst, in coefficient
// form. Cost: five multiplications for each.
func (m Mask) Limb(s *ring.SubRing, dst []uint64) {
	m.reduction(s).residues(dst, m.words)
}

// Split writes M + p and v - M modulo the prime of s, in coefficient form, to the
// limbs plus and minus, in one pass. p and v are polynomials with coefficients
// smaller than the prime, errors for example. p nil stands for 0, minus nil for no
// interest in it.
func (m Mask) Split(s *ring.SubRing, plus, minus []uint64, p, v []int64) {
	r, q := m.reduction(s), s.Modulus
	for lo := 0; lo < len(plus); lo += block { // while it is in the first cache
		hi := min(len(plus), lo+block)
		r.residues(plus[lo:hi], m.words[24*lo:])
		if minus != nil {
			subSmall(q, minus[lo:hi], v[lo:hi], plus[lo:hi])
		}
		if p != nil {
			addSmall(q, plus[lo:hi], p[lo:hi])
		}
	}
}

// addSmall adds integers smaller than q to residues.
func addSmall(q uint64, dst []uint64, v []int64) {
	v = v[:len(dst)]
	for i, r := range dst {
		r += uint64(v[i]) + q&uint64(v[i]>>63) // in 0..2q-1
		if r >= q {
			r -= q
		}
		dst[i] = r
	}
}

// subSmall sets dst to v - x for integers smaller than q and residues.
func subSmall(q uint64, dst []uint64, v []int64, x []uint64) {
	v, x = v[:len(dst)], x[:len(dst)]
	for i := range dst {
		r := q - x[i] + uint64(v[i]) + q&uint64(v[i]>>63) // in 1..2q
		if r >= q {
			r -= q
		}
		if r >= q {
			r -= q
		}
		dst[i] = r
	}
}

// A reduction holds the constants of a mask modulo a prime.
type reduction struct {
	q, mrc     uint64
	r0, r1, r2 uint64 // 2^64, 2^128 and 2^192
	half       uint64 // -2^(bits-1)
	k0, k1, k2 uint64 // which bits of the words to keep
}

func (m Mask) reduction(s *ring.SubRing) *reduction {
	keep := func(i int) uint64 { return 1<<max(0, min(64, m.bits-64*i)) - 1 }
	r := &reduction{q: s.Modulus, mrc: s.MRedConstant, half: s.Modulus - PowMod(s, m.bits-1), k0: keep(0), k1: keep(1), k2: keep(2)}
	r.r0 = mont(s, 1)
	r.r1 = mont(s, r.r0)
	r.r2 = mont(s, r.r1)
	return r
}

// residues writes the first coefficients of a mask, given by its words, to dst.
func (r *reduction) residues(dst []uint64, words []byte) {
	q, mrc, half := r.q, r.mrc, r.half
	for i := range dst {
		b := words[24*i : 24*i+24 : 24*i+24]
		h0, l0 := bits.Mul64(binary.LittleEndian.Uint64(b)&r.k0, r.r0)
		h1, l1 := bits.Mul64(binary.LittleEndian.Uint64(b[8:])&r.k1, r.r1)
		h2, l2 := bits.Mul64(binary.LittleEndian.Uint64(b[16:])&r.k2, r.r2)
		lo, c := bits.Add64(l0, l1, 0)
		hi, _ := bits.Add64(h0, h1, c)
		lo, c = bits.Add64(lo, l2, 0)
		hi, _ = bits.Add64(hi, h2, c)
		h, _ := bits.Mul64(lo*mrc, q)
		x := hi - h + q + half // each of three high words is below q: x is in 1..5q
		if x >= 2*q {
			x -= 2 * q
		}
		if x >= 2*q {
			x -= 2 * q
		}
		if x >= q {
			x -= q
		}
		dst[i] = x
	}
}
