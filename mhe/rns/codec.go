package rns

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"slices"

	"github.com/tuneinsight/lattigo/v5/ring"
)

// ErrEncoding is wrapped by every error of [Basis.Decode].
var ErrEncoding = errors.New("rns: malformed polynomial")

// width returns the bits that a residue modulo the prime of s needs.
func width(s *ring.SubRing) int { return bits.Len64(s.Modulus - 1) }

// EncodedSize returns [Basis.EncodedSize] of the basis of N coefficients and the
// given primes, for plans: it needs no tables.
func EncodedSize(n int, primes []uint64) int {
	size := 0
	for _, q := range primes {
		size += bits.Len64(q-1) * n / 8
	}
	return size
}

// EncodedSize returns the bytes that [Basis.Append] adds for a polynomial:
// every residue takes as many bits as its prime, not a whole word.
func (b Basis) EncodedSize() int {
	size := 0
	for _, s := range b {
		size += width(s) * s.N / 8
	}
	return size
}

// Append appends the residues of p, limb after limb, to out.
func (b Basis) Append(out []byte, p Poly) []byte {
	for i, s := range b {
		out = pack(out, p[i], width(s))
	}
	return out
}

// Decode reads a polynomial from exactly EncodedSize bytes. Every residue must
// be below its prime; the error wraps [ErrEncoding] and names limb and index. The
// polynomial is borrowed: who is done with it may give it back.
func (b Basis) Decode(in []byte) (Poly, error) {
	if want := b.EncodedSize(); len(in) != want {
		return nil, fmt.Errorf("%w: %d bytes, want %d", ErrEncoding, len(in), want)
	}
	p := b.Borrow()
	for i, s := range b {
		w := width(s)
		unpack(p[i], in[:w*s.N/8], w)
		in = in[w*s.N/8:]
		var over uint64 // has its top bit set once a residue is not below the prime
		for _, x := range p[i] {
			over |= s.Modulus - 1 - x
		}
		if over>>63 != 0 {
			k := slices.IndexFunc(p[i], func(x uint64) bool { return x >= s.Modulus })
			Return(p)
			return nil, fmt.Errorf("%w: residue %d of limb %d is not below its prime", ErrEncoding, k, i)
		}
	}
	return p, nil
}

// pack appends the low w ≤ 63 bits of every value, least significant first. The
// number of values is a multiple of 8.
func pack(out []byte, v []uint64, w int) []byte {
	size := w * len(v) / 8
	at := len(out)
	out = slices.Grow(out, size)[:at+size]
	dst := out[at:]
	var acc uint64
	n := 0
	for _, x := range v {
		acc |= x << n
		if n += w; n >= 64 {
			binary.LittleEndian.PutUint64(dst, acc)
			dst = dst[8:]
			n -= 64
			acc = x >> (w - n)
		}
	}
	for i := range dst {
		dst[i] = byte(acc)
		acc >>= 8
	}
	return out
}

// unpack is the inverse of pack. A value is in the eight bytes that it begins in
// and, if it is wide, in the next: both are read while the input lasts.
func unpack(v []uint64, in []byte, w int) {
	mask := uint64(1)<<w - 1
	bit := 0
	i := 0
	for ; i < len(v) && bit>>3+9 <= len(in); i++ {
		at, shift := bit>>3, bit&7
		b := in[at : at+9 : at+9]
		v[i] = (binary.LittleEndian.Uint64(b)>>shift | uint64(b[8])<<(64-shift)) & mask
		bit += w
	}
	for ; i < len(v); i++ {
		var x uint64
		for k := 0; k < w; k++ {
			x |= uint64(in[bit>>3]>>(bit&7)&1) << k
			bit++
		}
		v[i] = x
	}
}
