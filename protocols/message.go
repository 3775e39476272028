package protocols

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
)

// A Leg is the part of a round to which a message belongs.
type Leg uint8

// The legs of a round, in order. Input and result are optional.
const (
	LegInput  Leg = 1 + iota // the public input, from the root to the leaves
	LegShare                 // the summed shares, from the leaves to the root
	LegResult                // the result, from the root to the leaves
)

// String returns "input", "share" or "result".
func (l Leg) String() string {
	switch l {
	case LegInput:
		return "input"
	case LegShare:
		return "share"
	case LegResult:
		return "result"
	}
	return fmt.Sprintf("leg %d", uint8(l))
}

// ErrMalformed is wrapped by errors about a message that is damaged, too big or
// does not decode.
var ErrMalformed = errors.New("malformed")

// A Message is what one party sends another along an edge of the tree. It is not
// changed after it was sent or received; receiver and sender may keep the body.
//
// A message from a party to itself asks the driver to pass it to Step after the
// other messages are on their way: a [Round] does this to forward an input
// before it spends time on its own share.
type Message struct {
	From, To PartyID
	Point    Point
	Leg      Leg
	Digest   [32]byte // of the round's public input, as in [Label]
	Body     []byte
	Sum      [32]byte // the value of Checksum: finds faults of disks and proxies, not forgery

	hashed hashed
}

// A hashed is the SHA-256 of a body, and which body that is: bodies have up to
// hundreds of megabytes, and every party hashes each once.
type hashed struct {
	first *byte // nil if there is none
	size  int
	hash  [32]byte
}

// Checksum returns the SHA-256 of all fields but Sum. The body enters by its own
// SHA-256, so that a broadcast hashes it once.
func (m Message) Checksum() [32]byte { return m.checksum(m.bodyHash()) }

// Hashed returns m with the SHA-256 of its body, as long as it has this body: what needs
// the hash again, such as [Message.Checksum] and the machine that gets the message, does
// not compute it again.
func (m Message) Hashed() Message {
	if len(m.Body) > 0 {
		m.hashed = hashed{&m.Body[0], len(m.Body), m.bodyHash()}
	}
	return m
}

// bodyHash returns the SHA-256 of the body.
func (m Message) bodyHash() [32]byte {
	if h := m.hashed; h.size > 0 && h.size == len(m.Body) && h.first == &m.Body[0] {
		return h.hash
	}
	return sha256.Sum256(m.Body)
}

func (m Message) checksum(body [32]byte) (sum [32]byte) {
	h := sha256.New()
	writeFields(h, "nereid/message/v1", m.appendHeader(nil), body[:])
	h.Sum(sum[:0])
	return sum
}

// Layout of an encoded message, integers in big-endian order:
//
//	version 1 | leg 1 | from 2 | to 2 | study 32 | step 8 | attempt 4 |
//	digest 32 | len 1, protocol | len 1, place | count 2, active 2 each |
//	sum 32 | len 8, body
//
// Every message has one encoding.
const (
	messageVersion = 1
	fixedSize      = 1 + 1 + 2 + 2 + 32 + 8 + 4 + 32
	minMessageSize = fixedSize + 1 + 1 + 2 + 32 + 8
)

// Size returns the number of bytes that AppendBinary appends.
func (m Message) Size() int {
	return minMessageSize + len(m.Point.Protocol) + len(m.Point.Place) + 2*len(m.Point.Active) + len(m.Body)
}

// AppendBinary appends the encoding of m to b. It returns an error if the point
// has no encoding: names over 255 bytes, no protocol, parties out of order.
func (m Message) AppendBinary(b []byte) ([]byte, error) {
	if err := m.Point.check(); err != nil {
		return b, fmt.Errorf("protocols: encoding a message: %w", err)
	}
	b = slices.Grow(b, m.Size())
	b = m.appendHeader(b)
	b = append(b, m.Sum[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(len(m.Body)))
	return append(b, m.Body...), nil
}

// appendHeader appends all fields before sum. Of a point without an encoding it
// appends too little, which AppendBinary and NewRound exclude.
func (m Message) appendHeader(b []byte) []byte {
	b = append(b, messageVersion, byte(m.Leg))
	b = binary.BigEndian.AppendUint16(b, uint16(m.From))
	b = binary.BigEndian.AppendUint16(b, uint16(m.To))
	b = append(b, m.Point.Study[:]...)
	b = binary.BigEndian.AppendUint64(b, m.Point.Step)
	b = binary.BigEndian.AppendUint32(b, m.Point.Attempt)
	b = append(b, m.Digest[:]...)
	b = append(append(b, byte(len(m.Point.Protocol))), m.Point.Protocol...)
	b = append(append(b, byte(len(m.Point.Place))), m.Point.Place...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(m.Point.Active)))
	for _, p := range m.Point.Active {
		b = binary.BigEndian.AppendUint16(b, uint16(p))
	}
	return b
}

// DecodeMessage returns the message whose encoding is b, all of it. Sizes are
// checked before anything is allocated; the body, of at most maxBody bytes, is
// a part of b and not copied. Encoding the message again gives b. The checksum
// is left to the machine.
//
// The error wraps [ErrMalformed]. A network that receives such bytes returns it
// in a [MessageError] with the peer they came from.
func DecodeMessage(b []byte, maxBody int) (Message, error) {
	bad := func(format string, args ...any) (Message, error) {
		return Message{}, fmt.Errorf("protocols: decoding a message: %w: %s", ErrMalformed, fmt.Sprintf(format, args...))
	}
	if len(b) < minMessageSize {
		return bad("%d bytes, want at least %d", len(b), minMessageSize)
	}
	r := reader{b: b}
	if v := r.next(1)[0]; v != messageVersion {
		return bad("version %d, want %d", v, messageVersion)
	}
	var m Message
	m.Leg = Leg(r.next(1)[0])
	m.From = PartyID(binary.BigEndian.Uint16(r.next(2)))
	m.To = PartyID(binary.BigEndian.Uint16(r.next(2)))
	copy(m.Point.Study[:], r.next(32))
	m.Point.Step = binary.BigEndian.Uint64(r.next(8))
	m.Point.Attempt = binary.BigEndian.Uint32(r.next(4))
	copy(m.Digest[:], r.next(32))
	m.Point.Protocol = string(r.next(int(r.next(1)[0])))
	m.Point.Place = string(r.next(int(r.next(1)[0])))
	active := r.next(2 * int(binary.BigEndian.Uint16(r.next(2))))
	copy(m.Sum[:], r.next(32))
	size := binary.BigEndian.Uint64(r.next(8))
	switch {
	case m.Leg < LegInput || m.Leg > LegResult:
		return bad("%v", m.Leg)
	case r.short:
		return bad("it ends in the header")
	case size > uint64(max(maxBody, 0)):
		return bad("body of %d bytes, want at most %d", size, maxBody)
	case size != uint64(len(r.b)):
		return bad("body of %d bytes, found %d", size, len(r.b))
	}
	for ; len(active) > 0; active = active[2:] {
		m.Point.Active = append(m.Point.Active, PartyID(binary.BigEndian.Uint16(active)))
	}
	if err := m.Point.check(); err != nil {
		return bad("%v", err)
	}
	if size > 0 {
		m.Body = r.b
	}
	return m, nil
}

// A reader takes fields off the front of b. After the end it returns zeros and
// remembers that it did.
type reader struct {
	b     []byte
	short bool
}

func (r *reader) next(n int) []byte {
	if n > len(r.b) {
		r.short, r.b = true, nil
		return zeros[:min(n, len(zeros))]
	}
	f := r.b[:n:n]
	r.b = r.b[n:]
	return f
}

// zeros serves any field of a message that ended too early; it is not written to.
var zeros [2 * math.MaxUint16]byte
