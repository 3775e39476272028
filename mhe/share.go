package mhe

import (
	"encoding/binary"
	"fmt"

	"github.com/nereid-mhe/nereid/mhe/rns"
)

// A Share is a party's contribution to a protocol: polynomials that are added
// up over all parties, whatever the protocol.
type Share []rns.Poly

// A Shape says which polynomials a protocol's shares have. Adding, encoding and
// decoding need nothing else, so that one tree sum serves every protocol.
type Shape []rns.Basis

// shareVersion is the first byte of an encoded share.
const shareVersion = 1

const shareHeader = 1 + 4

// New returns the zero share.
func (sh Shape) New() Share {
	s := make(Share, len(sh))
	for i, b := range sh {
		s[i] = b.New()
	}
	return s
}

// Add adds s to acc in place and returns acc.
func (sh Shape) Add(acc, s Share) (Share, error) {
	if len(acc) != len(sh) || len(s) != len(sh) {
		return nil, fmt.Errorf("%w: adding shares of %d and %d polynomials, want %d", ErrShape, len(acc), len(s), len(sh))
	}
	for i, b := range sh {
		b.Add(acc[i], s[i])
	}
	return acc, nil
}

// Size returns the bytes of an encoded share.
func (sh Shape) Size() int {
	n := shareHeader
	for _, b := range sh {
		n += b.EncodedSize()
	}
	return n
}

// Encode returns the bytes of s: a version, the number of polynomials, and
// every residue in as many bits as its prime has.
func (sh Shape) Encode(s Share) ([]byte, error) {
	return sh.Append(make([]byte, 0, sh.Size()), s)
}

// Append appends the bytes of s, which are those of Encode, to out.
func (sh Shape) Append(out []byte, s Share) ([]byte, error) {
	if len(s) != len(sh) {
		return nil, fmt.Errorf("%w: encoding a share of %d polynomials, want %d", ErrShape, len(s), len(sh))
	}
	out = append(out, shareVersion)
	out = binary.BigEndian.AppendUint32(out, uint32(len(sh)))
	for i, b := range sh {
		out = b.Append(out, s[i])
	}
	return out, nil
}

// Decode reads a share. It accepts exactly the bytes that Encode writes: the
// length is checked before anything is allocated, and every residue against its
// prime. Errors wrap [ErrShape] or [rns.ErrEncoding].
func (sh Shape) Decode(in []byte) (Share, error) {
	if want := sh.Size(); len(in) != want {
		return nil, fmt.Errorf("%w: an encoded share of %d bytes, want %d", ErrShape, len(in), want)
	}
	if in[0] != shareVersion {
		return nil, fmt.Errorf("%w: share format version %d, want %d", ErrShape, in[0], shareVersion)
	}
	if n := binary.BigEndian.Uint32(in[1:]); int(n) != len(sh) {
		return nil, fmt.Errorf("%w: a share of %d polynomials, want %d", ErrShape, n, len(sh))
	}
	in = in[shareHeader:]
	s := make(Share, len(sh))
	for i, b := range sh {
		var err error
		if s[i], err = b.Decode(in[:b.EncodedSize()]); err != nil {
			return nil, fmt.Errorf("polynomial %d: %w", i, err)
		}
		in = in[b.EncodedSize():]
	}
	return s, nil
}
