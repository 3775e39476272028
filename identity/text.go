package identity

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// A Key is an Ed25519 public key.
type Key [ed25519.PublicKeySize]byte

// String returns the key in hexadecimal.
func (k Key) String() string { return hex.EncodeToString(k[:]) }

// MarshalText implements [encoding.TextMarshaler].
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (k *Key) UnmarshalText(b []byte) error { return parseHex(k[:], b) }

// Fingerprint returns the SHA-256 of the key.
func (k Key) Fingerprint() Digest { return sha256.Sum256(k[:]) }

// Verify reports whether s is the signature of digest in context by the holder of
// the key.
func (k Key) Verify(context string, digest [32]byte, s Signature) bool {
	return ed25519.VerifyWithOptions(k[:], digest[:], s[:], &ed25519.Options{Context: context}) == nil
}

// A Signature is an Ed25519ctx signature.
type Signature [ed25519.SignatureSize]byte

// MarshalText implements [encoding.TextMarshaler].
func (s Signature) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, s[:]), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (s *Signature) UnmarshalText(b []byte) error { return parseHex(s[:], b) }

func parseHex(to, text []byte) error {
	if len(text) != hex.EncodedLen(len(to)) {
		return fmt.Errorf("%d characters, want %d in hexadecimal", len(text), hex.EncodedLen(len(to)))
	}
	_, err := hex.Decode(to, text)
	return err
}

// A Digest is a hash that people compare: the fingerprint of a key, the hash of a
// study or of a lock.
type Digest [32]byte

// String returns the digest as 16 groups of 4 hexadecimal digits with hyphens
// between them, to be read out over the phone.
func (d Digest) String() string {
	groups := make([]string, 0, 16)
	for i := 0; i < len(d); i += 2 {
		groups = append(groups, hex.EncodeToString(d[i:i+2]))
	}
	return strings.Join(groups, "-")
}

// ParseDigest reads what String returns, and what people make of it: in capitals,
// with spaces or without anything between groups. All digits must be there.
func ParseDigest(s string) (d Digest, err error) {
	digits := strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == '-' || r == ':' || r == ' ' }), "")
	if err := parseHex(d[:], []byte(digits)); err != nil {
		return Digest{}, &Error{Invalid, fmt.Sprintf("%.100q is no fingerprint: %v", s, err), "give all 16 groups of 4 digits"}
	}
	return d, nil
}

// MarshalText implements [encoding.TextMarshaler].
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (d *Digest) UnmarshalText(b []byte) (err error) {
	*d, err = ParseDigest(string(b))
	return err
}
