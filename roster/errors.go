package roster

import (
	"errors"

	"github.com/nereid-mhe/nereid/identity"
	"github.com/nereid-mhe/nereid/internal/canon"
)

// A Reason is why something was refused. It is an error, so that [errors.Is]
// finds it in an [*Error].
type Reason string

// The reasons.
const (
	Invalid     Reason = "invalid"     // what cannot be, such as a tree without an address at an inner node
	Duplicate   Reason = "duplicate"   // a name, a key or an address that someone else has
	Damaged     Reason = "damaged"     // a document that is not as it was written
	Unsupported Reason = "unsupported" // a document of another version
	Forged      Reason = "forged"      // a signature that is not by the key it names
	Foreign     Reason = "foreign"     // a request, signature or lock of another study or of nobody in the roster
	Stranger    Reason = "stranger"    // an identity that is not in the roster
	Unsigned    Reason = "unsigned"    // a lock without all signatures
)

func (r Reason) Error() string { return "roster: " + string(r) }

// An Error says what is wrong and what to do about it.
type Error struct {
	Reason  Reason
	Problem string
	Remedy  string
}

func (e *Error) Error() string { return "roster: " + e.Problem + "; " + e.Remedy }

// Unwrap returns the reason.
func (e *Error) Unwrap() error { return e.Reason }

// Kinds of documents, as the field "kind" of their files says.
const (
	KindInvitation = "nereid invitation"
	KindRoster     = "nereid roster"
	KindLock       = "nereid lock"
)

// decode reads a document.
func decode(b []byte, h canon.Header, v any) error {
	err := canon.Decode(b, h, v)
	var bad *canon.Error
	if errors.As(err, &bad) {
		reason := Damaged
		if bad.Unsupported {
			reason = Unsupported
		}
		return &Error{reason, bad.Problem, bad.Remedy}
	}
	return err
}

// verify checks a request that came in a document.
func verify(r identity.Request) error {
	err := r.Verify()
	var bad *identity.Error
	if errors.As(err, &bad) {
		reason := Damaged
		if bad.Reason == identity.Forged {
			reason = Forged
		}
		return &Error{reason, bad.Problem, bad.Remedy}
	}
	return err
}
