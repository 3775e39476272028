package protocols

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

// An entry is what a [FileJournal] knows of a point.
type entry struct {
	state  state
	digest [32]byte // to which the point is bound
	size   uint64   // of the share in bytes, if recorded
	sum    [32]byte // of the share, if recorded
	name   string   // of the label, for people
}

// An encoded entry is: state 1 | digest 32 | size 8 | sum 32 | name | check 32.
const (
	entryFixed = 1 + 32 + 8 + 32
	entryMin   = entryFixed + sha256.Size
)

// append returns the encoding of e under the key point. The check covers the
// key too, so that a flipped bit cannot move a binding to another point.
func (e entry) append(point [32]byte) []byte {
	b := append(make([]byte, 0, entryMin+len(e.name)), byte(e.state))
	b = append(b, e.digest[:]...)
	b = binary.BigEndian.AppendUint64(b, e.size)
	b = append(b, e.sum[:]...)
	b = append(b, e.name...)
	check := entryCheck(point, b)
	return append(b, check[:]...)
}

// decodeEntry returns the entry under the key point. It returns a *[CorruptError]
// if the check does not match.
func decodeEntry(point [32]byte, b []byte) (entry, error) {
	if len(b) < entryMin {
		return entry{}, &CorruptError{fmt.Sprintf("point %x", point), fmt.Errorf("entry of %d bytes, want at least %d", len(b), entryMin)}
	}
	body, check := b[:len(b)-sha256.Size], [32]byte(b[len(b)-sha256.Size:])
	e := entry{
		state:  state(body[0]),
		digest: [32]byte(body[1:]),
		size:   binary.BigEndian.Uint64(body[33:]),
		sum:    [32]byte(body[41:]),
		name:   string(body[entryFixed:]),
	}
	if check != entryCheck(point, body) {
		return entry{}, &CorruptError{fmt.Sprintf("%q", e.name), errors.New("checksum of the binding does not match")}
	}
	return e, nil
}

func entryCheck(point [32]byte, body []byte) (sum [32]byte) {
	h := sha256.New()
	writeFields(h, "nereid/journal/entry/v1", point[:], body)
	h.Sum(sum[:0])
	return sum
}
