package protocols

import (
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
)

// A Seed is a party's secret 32 bytes, from which all masks and noise of its
// shares come. Whoever has it can open every share the party ever sent.
//
// It never prints. The bytes are behind two pointers, because fmt ignores String
// on unexported fields of other structs and stops at pointers, but follows one
// when it complains about a verb: %s of a struct with a *[32]byte prints the
// bytes. Copies share them. The zero Seed is no seed; see [Label.Private].
type Seed struct{ secret **[32]byte }

// NewSeed returns the seed with the given bytes, which must be uniformly random.
func NewSeed(b [32]byte) Seed {
	secret := &b
	return Seed{&secret}
}

// GenerateSeed returns a seed from the system's random generator, which does not
// fail ([rand.Read] ends the program instead).
func GenerateSeed() Seed {
	var b [32]byte
	_, _ = rand.Read(b[:])
	return NewSeed(b)
}

// Reveal returns the bytes, for the one place that stores them in a key file.
func (s Seed) Reveal() [32]byte { return **s.secret }

const seedText = "[secret]"

// String implements [fmt.Stringer].
func (Seed) String() string { return seedText }

// GoString implements [fmt.GoStringer].
func (Seed) GoString() string { return "protocols.Seed{}" }

// Format implements [fmt.Formatter], so that %x and %d print nothing either.
func (Seed) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, seedText) }

// LogValue implements [slog.LogValuer].
func (Seed) LogValue() slog.Value { return slog.StringValue(seedText) }

// MarshalText implements [encoding.TextMarshaler] for encoders such as
// encoding/json. There is no way back: store a seed with [Seed.Reveal].
func (Seed) MarshalText() ([]byte, error) { return []byte(seedText), nil }
