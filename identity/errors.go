package identity

import (
	"errors"

	"github.com/nereid-mhe/nereid/internal/canon"
)

// A Reason is why something was refused. It is an error, so that [errors.Is]
// finds it in an [*Error].
type Reason string

// The reasons.
const (
	Invalid     Reason = "invalid"     // a name, role or address that cannot be
	Damaged     Reason = "damaged"     // a document that is not as it was written
	Unsupported Reason = "unsupported" // a document of another version
	Locked      Reason = "locked"      // the wrong passphrase or key file
	Forged      Reason = "forged"      // a signature that is not by the key it names
)

func (r Reason) Error() string { return "identity: " + string(r) }

// An Error says what is wrong and what to do about it.
type Error struct {
	Reason  Reason
	Problem string
	Remedy  string
}

func (e *Error) Error() string { return "identity: " + e.Problem + "; " + e.Remedy }

// Unwrap returns the reason.
func (e *Error) Unwrap() error { return e.Reason }

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
