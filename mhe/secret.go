package mhe

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/nereid-mhe/nereid/mhe/rns"
	"github.com/nereid-mhe/nereid/params"
)

// A SecretKey is one party's share of the collective key, or a querier's own
// key. It never leaves the process and prints as "[secret]". The share is behind
// two pointers because fmt ignores String on unexported fields of other structs:
// it stops at pointers, but follows one when it complains about a verb.
type SecretKey struct{ p **secret }

// open returns what the key holds.
func (k SecretKey) open() *secret { return *k.p }

type secret struct {
	set params.Set
	p   rns.Poly // ternary, over the full extended basis, NTT and Montgomery form
}

// NewSecretKey draws a uniform ternary key from src, which must be secret.
func NewSecretKey(set params.Set, src io.Reader) (SecretKey, error) {
	p, err := ternary(ExtendedBasis(set, set.MaxLevel()), src)
	if err != nil {
		return SecretKey{}, err
	}
	s := &secret{set, p}
	return SecretKey{&s}, nil
}

// at returns the key over the extended basis of level.
func (k SecretKey) at(level int) rns.Poly { return restrict(k.open().p, k.open().set, level) }

// MulAdd adds x·s to dst, both over the primes of Q_level.
func (k SecretKey) MulAdd(level int, dst, x rns.Poly) {
	Basis(k.open().set, level).MulAdd(dst, x, k.open().p[:level+1])
}

// MulSub subtracts x·s from dst, both over the primes of Q_level.
func (k SecretKey) MulSub(level int, dst, x rns.Poly) {
	Basis(k.open().set, level).MulSub(dst, x, k.open().p[:level+1])
}

// String implements [fmt.Stringer].
func (SecretKey) String() string { return "[secret]" }

// GoString implements [fmt.GoStringer].
func (SecretKey) GoString() string { return "mhe.SecretKey{}" }

// Format implements [fmt.Formatter], so that no verb prints the key.
func (SecretKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[secret]") }

// LogValue implements [slog.LogValuer].
func (SecretKey) LogValue() slog.Value { return slog.StringValue("[secret]") }

// MarshalJSON implements [json.Marshaler].
func (SecretKey) MarshalJSON() ([]byte, error) { return []byte(`"[secret]"`), nil }
