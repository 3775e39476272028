package rns

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"

	"github.com/tuneinsight/lattigo/v5/ring"
)

// ErrEncoding is wrapped by every error of [Basis.Decode].
var ErrEncoding = errors.New("rns: malformed polynomial")

// width returns the bits that a residue modulo the prime of s needs.
func width(s *ring.SubRing) int { return bits.Len64(s.Modulus - 1) }

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
// be below its prime; the error wraps [ErrEncoding] and names limb and index.
func (b Basis) Decode(in []byte) (Poly, error) {
	if want := b.EncodedSize(); len(in) != want {
		return nil, fmt.Errorf("%w: %d bytes, want %d", ErrEncoding, len(in), want)
	}
	p := b.New()
	for i, s := range b {
		w := width(s)
		unpack(p[i], in[:w*s.N/8], w)
		in = in[w*s.N/8:]
		for k, x := range p[i] {
			if x >= s.Modulus {
				return nil, fmt.Errorf("%w: residue %d of limb %d is not below its prime", ErrEncoding, k, i)
			}
		}
	}
	return p, nil
}

// pack appends the low w ≤ 63 bits of every value, least significant first. The
// number of values is a multiple of 8.
func pack(out []byte, v []uint64, w int) []byte {
	var acc uint64
	n := 0
	for _, x := range v {
		acc |= x << n
		if n += w; n >= 64 {
			out = binary.LittleEndian.AppendUint64(out, acc)
			n -= 64
			acc = x >> (w - n)
		}
	}
	for ; n > 0; n -= 8 {
		out = append(out, byte(acc))
		acc >>= 8
	}
	return out
}

// unpack is the inverse of pack.
func unpack(v []uint64, in []byte, w int) {
	mask := uint64(1)<<w - 1
	var acc uint64
	n := 0 // bits in acc
	for i := range v {
		x := acc
		if n < w {
			var next uint64
			got := 64
			if len(in) >= 8 {
				next = binary.LittleEndian.Uint64(in)
				in = in[8:]
			} else {
				got = 8 * len(in)
				for k, c := range in {
					next |= uint64(c) << (8 * k)
				}
				in = nil
			}
			x |= next << n
			acc = next >> (w - n)
			n += got - w
		} else {
			acc >>= w
			n -= w
		}
		v[i] = x & mask
	}
}
