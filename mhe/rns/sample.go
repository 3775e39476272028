package rns

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/bits"

	"github.com/tuneinsight/lattigo/v5/ring"
)

// read fills a new buffer of n bytes from src.
func read(src io.Reader, n int) ([]byte, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(src, b); err != nil {
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
		w[k] = math.Exp(-float64(k*k) / (2 * sigma * sigma))
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
	b, err := read(src, 8*n)
	if err != nil {
		return nil, err
	}
	v := make([]int64, n)
	for i := range v {
		r := binary.LittleEndian.Uint64(b[8*i:])
		sign := -(r & 1) // all ones for a negative sample
		r >>= 1
		var abs uint64
		for _, t := range g.tail {
			_, below := bits.Sub64(r, t, 0)
			abs += below
		}
		v[i] = int64((abs ^ sign) - sign)
	}
	return v, nil
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
	}
	return v, nil
}

// MaxFlood is the largest standard deviation that [Flood] takes.
const MaxFlood = 1 << 50

// Flood returns n rounded normal numbers of standard deviation sigma, at most
// 2^50: beyond, float64 has no room for the fraction that rounding needs. Box and Muller's method on 53-bit uniforms cuts the tails at 8.5·sigma;
// the distance from the normal distribution is far below what a flooding of 30
// to 64 bits can see.
func Flood(src io.Reader, n int, sigma float64) ([]int64, error) {
	if !(sigma >= 0 && sigma <= MaxFlood) {
		return nil, fmt.Errorf("rns: flooding with standard deviation %g, want 0 to 2^50", sigma)
	}
	b, err := read(src, 16*((n+1)/2))
	if err != nil {
		return nil, err
	}
	uniform := func(i int) float64 { // in (0, 1]
		return float64(binary.LittleEndian.Uint64(b[8*i:])>>11+1) / (1 << 53)
	}
	v := make([]int64, n)
	for i := 0; i < n; i += 2 {
		r := sigma * math.Sqrt(-2*math.Log(uniform(i)))
		sin, cos := math.Sincos(2 * math.Pi * uniform(i+1))
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
	q := s.Modulus
	limit := math.MaxUint64 - math.MaxUint64%q
	for k := 0; k < len(dst); {
		b, err := read(src, 8*(len(dst)-k))
		if err != nil {
			return err
		}
		for ; len(b) > 0; b = b[8:] {
			if x := binary.LittleEndian.Uint64(b); x < limit {
				dst[k] = ring.BRedAdd(x, q, s.BRedConstant)
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

// Limb writes the coefficients modulo the prime of s to dst, in coefficient
// form. Cost: four multiplications and two reductions for each.
func (m Mask) Limb(s *ring.SubRing, dst []uint64) {
	q, mrc, brc := s.Modulus, s.MRedConstant, s.BRedConstant
	r0 := mont(s, 1)                // 2^64 mod q
	r1 := mont(s, r0)               // 2^128 mod q
	r2 := mont(s, r1)               // 2^192 mod q
	half := q - PowMod(s, m.bits-1) // -2^(bits-1) mod q
	var keep [3]uint64
	for i := range keep {
		keep[i] = 1<<max(0, min(64, m.bits-64*i)) - 1
	}
	for i := range dst {
		b := m.words[24*i : 24*i+24 : 24*i+24]
		h0, l0 := bits.Mul64(binary.LittleEndian.Uint64(b)&keep[0], r0)
		h1, l1 := bits.Mul64(binary.LittleEndian.Uint64(b[8:])&keep[1], r1)
		h2, l2 := bits.Mul64(binary.LittleEndian.Uint64(b[16:])&keep[2], r2)
		lo, c := bits.Add64(l0, l1, 0)
		hi, _ := bits.Add64(h0, h1, c)
		lo, c = bits.Add64(lo, l2, 0)
		hi, _ = bits.Add64(hi, h2, c)
		x := reduce128(hi, lo, q, mrc, brc) + half
		if x >= q {
			x -= q
		}
		dst[i] = x
	}
}
