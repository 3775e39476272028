package protocols

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha3"
	"fmt"
	"io"
	"log/slog"
)

// A Stream is an [io.Reader] of unlimited pseudorandom bytes that never returns
// an error or a short read. It comes from [Point.Common], [Label.Private] or
// [Stream.Sub].
//
// SHAKE256 over the length-prefixed fields gives the key and the first counter
// block of AES-256 in counter mode. A share needs megabytes, for which SHAKE
// alone is more than ten times slower; FrodoKEM expands its public matrix by
// AES for the same reason. The counter has 128 bits, so blocks do not repeat in
// any length that can be read.
//
// A Stream is used by one goroutine at a time. It prints as "[stream]".
type Stream struct{ state *streamState }

var _ io.Reader = &Stream{}

// streamState is behind a pointer so that fmt cannot reach it from an
// enclosing struct.
type streamState struct {
	material [keySize + aes.BlockSize]byte
	ctr      cipher.Stream
}

const keySize = 32

// newStream returns the stream of domain and fields.
func newStream(domain string, fields ...[]byte) *Stream {
	h := sha3.NewSHAKE256()
	writeFields(h, domain, fields...)
	s := &streamState{}
	_, _ = h.Read(s.material[:]) // a SHAKE never fails to read
	block, err := aes.NewCipher(s.material[:keySize])
	if err != nil {
		panic(err) // the key has the right size
	}
	s.ctr = cipher.NewCTR(block, s.material[keySize:])
	return &Stream{s}
}

// Read fills p. It implements [io.Reader]; the error is always nil.
func (s *Stream) Read(p []byte) (int, error) {
	clear(p)
	s.state.ctr.XORKeyStream(p, p)
	return len(p), nil
}

// Sub returns the independent stream called name. It depends on what s was made
// from and on the name, not on how much was read from s, so that one label can
// feed several polynomials in parallel, in any order. Sub may be called by
// several goroutines at once, as long as each reads only from its own result.
func (s *Stream) Sub(name string) *Stream {
	return newStream("nereid/sub/v1", s.state.material[:], []byte(name))
}

// Open is Sub for callers that take independent streams by name and know readers
// only: its method value is a func(name string) io.Reader.
func (s *Stream) Open(name string) io.Reader { return s.Sub(name) }

const streamText = "[stream]"

// Format implements [fmt.Formatter], so that no verb prints the key.
func (*Stream) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, streamText) }

// LogValue implements [slog.LogValuer].
func (*Stream) LogValue() slog.Value { return slog.StringValue(streamText) }
