package transport

import (
	"crypto/ed25519"
	"encoding/binary"
	"fmt"

	"github.com/nereid-mhe/nereid/protocols"
	"github.com/nereid-mhe/nereid/protocols/transport/internal/wire"
)

const (
	idSize   = 32 // of the checksum of a message
	bootSize = 16
)

// An offer is a message without its body, and what its sender says of the body.
type offer struct {
	msg       protocols.Message
	size      int // of the body in bytes
	signature []byte
}

// signed returns the bytes that the sender of a message signs: everything about
// it, the body by the checksum in the header.
func signed(header []byte, size int) []byte {
	b := append([]byte(nil), "nereid/transport/message/v1"...)
	b = binary.BigEndian.AppendUint64(b, uint64(size))
	return append(b, header...)
}

// header returns the encoding of m without its body.
func header(m protocols.Message) ([]byte, error) {
	m.Body = nil
	return m.AppendBinary(nil)
}

// decodeOffer returns what an offer says. Whether it may say so is checked by
// [Endpoint.admit].
func decodeOffer(o *wire.Offer, maxBody int) (offer, error) {
	switch {
	case len(o.Header) > maxHeader:
		return offer{}, fmt.Errorf("%w: header of %d bytes, want at most %d", ErrMalformed, len(o.Header), maxHeader)
	case len(o.Signature) != ed25519.SignatureSize:
		return offer{}, fmt.Errorf("%w: signature of %d bytes", ErrMalformed, len(o.Signature))
	case o.Size > uint64(maxBody):
		return offer{}, fmt.Errorf("%w: it announces a body of %d bytes, at most %d are possible", ErrTooBig, o.Size, maxBody)
	}
	m, err := protocols.DecodeMessage(o.Header, 0)
	if err != nil {
		return offer{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return offer{m, int(o.Size), o.Signature}, nil
}

// checkFrame reports what makes a frame unfit to be looked at: fields that are
// missing, too long or out of range. It allocates nothing that grows with the
// values in it.
func checkFrame(f *wire.Frame, maxBody int) error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: "+format, append([]any{ErrMalformed}, args...)...)
	}
	var id []byte
	var offset uint64
	switch k := f.GetKind().(type) {
	case *wire.Frame_Hello:
		if len(k.Hello.GetStudy()) != len(protocols.StudyID{}) || len(k.Hello.GetBoot()) != bootSize {
			return bad("hello with a study of %d and a boot of %d bytes", len(k.Hello.GetStudy()), len(k.Hello.GetBoot()))
		}
		return nil
	case *wire.Frame_Credit, *wire.Frame_Reached:
		return nil
	case *wire.Frame_Offer:
		if k.Offer == nil {
			return bad("empty offer")
		}
		return nil // see decodeOffer
	case *wire.Frame_Want:
		id, offset = k.Want.GetId(), k.Want.GetOffset()
	case *wire.Frame_Have:
		id = k.Have.GetId()
	case *wire.Frame_Chunk:
		id, offset = k.Chunk.GetId(), k.Chunk.GetOffset() // see handle for its data
	default:
		return bad("frame of no known kind")
	}
	if len(id) != idSize {
		return bad("message named by %d bytes, want %d", len(id), idSize)
	}
	if offset > uint64(maxBody) {
		return fmt.Errorf("%w: offset %d in a body of at most %d bytes", ErrTooBig, offset, maxBody)
	}
	return nil
}
