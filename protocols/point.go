package protocols

import (
	"crypto/sha3"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"slices"
)

// A PartyID is a party's number in the study's roster, from 0. Party 0 is the
// root of the tree.
type PartyID uint16

// A StudyID is the hash of a study's canonical form.
type StudyID [32]byte

// String returns the identity in hexadecimal.
func (s StudyID) String() string { return hex.EncodeToString(s[:]) }

// A Point names one place in the plan where every party makes one share. It is
// known before the round starts, unlike the input: common randomness comes from
// the point alone, and a [Journal] binds a point to one input for ever.
type Point struct {
	Study    StudyID
	Protocol string    // what is done, such as "refresh"; 1 to 255 bytes
	Step     uint64    // training step, 0 for rounds before training
	Place    string    // where in the step, such as "layer1/forward"; up to 255 bytes
	Active   []PartyID // parties taking part, in increasing order
	Attempt  uint32    // above 0 only where [Rules] allow it: see Rules.Retry
}

// maxName bounds Protocol and Place, so that their length fits one byte.
const maxName = math.MaxUint8

// check reports what keeps p from having an encoding.
func (p Point) check() error {
	switch {
	case p.Protocol == "":
		return fmt.Errorf("point without a protocol")
	case len(p.Protocol) > maxName:
		return fmt.Errorf("protocol name of %d bytes, want at most %d", len(p.Protocol), maxName)
	case len(p.Place) > maxName:
		return fmt.Errorf("place name of %d bytes, want at most %d", len(p.Place), maxName)
	case len(p.Active) > math.MaxUint16:
		return fmt.Errorf("%d active parties, want at most %d", len(p.Active), math.MaxUint16)
	}
	for i := 1; i < len(p.Active); i++ {
		if p.Active[i-1] >= p.Active[i] {
			return fmt.Errorf("active parties not in increasing order at position %d", i)
		}
	}
	return nil
}

// differs returns the name of the first field in which p and q differ, and ""
// if they are equal.
func (p Point) differs(q Point) string {
	switch {
	case p.Study != q.Study:
		return "study"
	case p.Protocol != q.Protocol:
		return "protocol"
	case p.Step != q.Step:
		return "step"
	case p.Place != q.Place:
		return "place"
	case !slices.Equal(p.Active, q.Active):
		return "active"
	case p.Attempt != q.Attempt:
		return "attempt"
	}
	return ""
}

// Hash returns the SHA3-256 of all fields. Different points have different
// hashes.
func (p Point) Hash() [32]byte {
	active := make([]byte, 0, 2*len(p.Active))
	for _, id := range p.Active {
		active = binary.BigEndian.AppendUint16(active, uint16(id))
	}
	return hashFields("nereid/point/v1",
		p.Study[:],
		[]byte(p.Protocol),
		binary.BigEndian.AppendUint64(nil, p.Step),
		[]byte(p.Place),
		active,
		binary.BigEndian.AppendUint32(nil, p.Attempt),
	)
}

// Common returns the common randomness of p: the same at every party that knows
// the study's seed, which is public. Common random polynomials are read from it.
func (p Point) Common(seed [32]byte) *Stream {
	h := p.Hash()
	return newStream("nereid/common/v1", seed[:], h[:])
}

// String returns a short form for logs: names, step and attempt, the number of
// parties and the first bytes of the study.
func (p Point) String() string {
	return fmt.Sprintf("%s@%d/%s#%d study %x n=%d", p.Protocol, p.Step, p.Place, p.Attempt, p.Study[:4], len(p.Active))
}

// A Label is a point with the digest of the round's public input. Everything a
// share depends on besides the party's secret is in its label: equal labels give
// equal shares, and different labels never share a mask or noise.
type Label struct {
	Point  Point
	Digest [32]byte // SHA3-256 of the public input
}

// Hash returns the SHA3-256 of the point's hash and the digest.
func (l Label) Hash() [32]byte {
	return labelHash(l.Point.Hash(), l.Digest)
}

func labelHash(point, digest [32]byte) [32]byte {
	return hashFields("nereid/label/v1", point[:], digest[:])
}

// Private returns the secret randomness of one party for l: masks and noise of
// its share are read from it and from nothing else, so that a lost share is
// computed again bit for bit. There is no way to a secret stream but this one.
//
// Private panics for the zero [Seed]: without a seed the masks would be known.
func (l Label) Private(seed Seed) *Stream {
	h := l.Hash()
	return newStream("nereid/private/v1", (*seed.secret)[:], h[:])
}

// String returns a short form for logs: the point and the digest's first bytes.
func (l Label) String() string { return fmt.Sprintf("%v input %x", l.Point, l.Digest[:4]) }

// hashFields returns the SHA3-256 of domain and fields.
func hashFields(domain string, fields ...[]byte) (sum [32]byte) {
	h := sha3.New256()
	writeFields(h, domain, fields...)
	h.Sum(sum[:0])
	return sum
}

// writeFields writes domain and every field to h, each with its length in front,
// so that no two lists of fields collide. A hash never fails to write.
func writeFields(h io.Writer, domain string, fields ...[]byte) {
	var n [8]byte
	write := func(f []byte) {
		binary.BigEndian.PutUint64(n[:], uint64(len(f)))
		_, _ = h.Write(n[:])
		_, _ = h.Write(f)
	}
	write([]byte(domain))
	for _, f := range fields {
		write(f)
	}
}
