// Package canon gives the documents that parties exchange one form each, so that
// what is signed, hashed and compared is never open to reading: a document is
// JSON, indented, and is refused unless encoding it again gives the same bytes.
// White space, unknown or repeated keys, other spellings of a number or of a key
// are thereby errors, without a rule for each.
package canon

import (
	"bytes"
	"crypto/sha3"
	"encoding/binary"
	"encoding/json"
	"fmt"
)

// MaxSize is the number of bytes of the largest document that is read: 64 MiB.
const MaxSize = 64 << 20

// A Header is the start of every document. Embed it as the first field.
type Header struct {
	Kind    string `json:"kind"`
	Version int    `json:"version"`
}

// An Error says why a document was refused.
type Error struct {
	Unsupported bool // it is of another version; false for one that is damaged
	Problem     string
	Remedy      string
}

func (e *Error) Error() string { return "canon: " + e.Problem + "; " + e.Remedy }

const copyAgain = "copy the file again, as it is: not as text of a message, and not through an editor"

// Encode returns the form of v: equal values have equal bytes. It fails for what
// JSON cannot hold, such as a year above 9999.
func Encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("canon: %w", err)
	}
	return b.Bytes(), nil
}

// Decode reads a document with the header h into v, a pointer. It returns an
// *[Error] for anything that is not what [Encode] writes.
func Decode(b []byte, h Header, v any) error {
	if len(b) > MaxSize {
		return &Error{Problem: fmt.Sprintf("%d bytes, want at most %d", len(b), MaxSize), Remedy: "name another file"}
	}
	var got Header
	if err := json.Unmarshal(b, &got); err != nil || got.Kind == "" {
		return &Error{Problem: "it is no " + h.Kind, Remedy: "name another file, or " + copyAgain}
	}
	if got.Kind != h.Kind {
		return &Error{Problem: fmt.Sprintf("it is a %.40q, not a %s", got.Kind, h.Kind), Remedy: "name another file"}
	}
	if got.Version != h.Version {
		return &Error{
			Unsupported: true,
			Problem:     fmt.Sprintf("it is a %s of version %d, this program knows version %d", h.Kind, got.Version, h.Version),
			Remedy:      "use the same version of the program at all parties",
		}
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return &Error{Problem: fmt.Sprintf("a damaged %s: %v", h.Kind, err), Remedy: copyAgain}
	}
	again, err := Encode(v)
	if err != nil {
		return &Error{Problem: fmt.Sprintf("a damaged %s: %v", h.Kind, err), Remedy: copyAgain}
	}
	if !bytes.Equal(again, b) {
		return &Error{Problem: fmt.Sprintf("a damaged %s: byte %d is not as it was written", h.Kind, firstDifference(again, b)), Remedy: copyAgain}
	}
	return nil
}

// KindOf returns the kind of a document, and "" if b is none.
func KindOf(b []byte) string {
	var h Header
	if len(b) > MaxSize || json.Unmarshal(b, &h) != nil {
		return ""
	}
	return h.Kind
}

func firstDifference(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// Hash returns the SHA3-256 of domain and fields, each with its length in front,
// so that no two lists of fields collide. With a secret as a field it is a
// pseudorandom function of the others: SHA3 needs no HMAC.
func Hash(domain string, fields ...[]byte) (sum [32]byte) {
	h := sha3.New256()
	var n [8]byte
	write := func(f []byte) {
		binary.BigEndian.PutUint64(n[:], uint64(len(f)))
		_, _ = h.Write(n[:]) // a hash never fails to write
		_, _ = h.Write(f)
	}
	write([]byte(domain))
	for _, f := range fields {
		write(f)
	}
	h.Sum(sum[:0])
	return sum
}
