package protocols

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
)

// A Machine is one party's side of one protocol execution. Its methods are
// called from one goroutine at a time.
//
// An error that is a [*MessageError] concerns one received message, which was
// ignored: the machine waits on. After any other error the machine is of no use;
// the party builds it again from its [Journal].
type Machine interface {
	// Start returns the messages to send before any is received. Called again,
	// it returns every message sent so far with the same bytes, for peers that
	// lost them.
	Start() ([]Message, error)
	// Step takes one received message and returns the messages it causes.
	Step(Message) ([]Message, error)
	// Done reports whether the party has nothing more to do. A machine that is
	// done still answers peers that lost its messages.
	Done() bool
}

var (
	// ErrUnexpected is wrapped by errors about a message that does not belong
	// here: another round, another input, a peer or leg that has nothing to say.
	ErrUnexpected = errors.New("unexpected")

	// ErrEarly is wrapped, with ErrUnexpected, by errors about a share or result
	// that came before the round's input.
	ErrEarly = fmt.Errorf("%w: before the input", ErrUnexpected)

	// ErrConflict is wrapped by errors about a second message or opening that
	// contradicts the first of its kind.
	ErrConflict = errors.New("conflicts with an earlier one")
)

// A MessageError reports a received message that was refused. The machine is as
// it was before, and the right message is still welcome. Err wraps
// [ErrMalformed], [ErrUnexpected] or [ErrConflict].
type MessageError struct {
	Peer  PartyID // who sent it
	Point Point   // the round that refused it
	Field string  // what is wrong in it: "sum", "study", "from", "body", …
	Err   error
}

func (e *MessageError) Error() string {
	return fmt.Sprintf("protocols: message of party %d refused in %v: %s: %v", e.Peer, e.Point, e.Field, e.Err)
}

func (e *MessageError) Unwrap() error { return e.Err }

// Rules are the local functions that make a [Round] a particular protocol: key
// generation, gradient sum, refresh, key switching and decryption differ in
// nothing else. They are called from the goroutine that calls the machine and
// may panic, which counts as an error. An S is used by one round only. Bytes that
// the functions get may be kept and must not be changed.
type Rules[S any] struct {
	// Open checks the round's public input and takes it, before any share
	// exists. It keeps nothing of an input that it refuses. Nil takes every
	// input; without an input leg it is not called.
	Open func(input []byte) error

	// Gen makes this party's share. All its randomness comes from l. It is not
	// called when the journal has the share's bytes.
	Gen func(l Label) (S, error)

	// Derived says that Gen gives the same bytes whenever it is called: see
	// [Journal.Derive].
	Derived bool

	// Add returns acc + s. It is exact, commutative and associative, so that the
	// order of messages does not matter. It may reuse the memory of acc, and that
	// of s too once it has succeeded; when it fails it leaves s as it is.
	Add func(acc, s S) (S, error)

	// Encode returns the bytes of a share or sum. Equal sums have equal bytes.
	Encode func(S) ([]byte, error)

	// Decode checks bytes from a peer completely: sizes, ring, level, range. The
	// share has no memory in common with b, because Add may write to it.
	Decode func(b []byte) (S, error)

	// Finish turns the sum into the result that goes down, at the root only. It
	// uses no randomness, so that a restart gives the same bytes. In a round
	// without a result leg it returns nil.
	Finish func(sum S) ([]byte, error)

	// Accept checks the result and takes it, at parties other than the root. It
	// keeps nothing of a result that it refuses.
	Accept func(result []byte) error

	// MaxBody bounds the size of any body, in bytes.
	MaxBody int

	// Retry allows points with an attempt above 0. It is for refreshes only,
	// whose mask drowns everything: other shares carry small noise, and two of
	// them for one public polynomial reveal the secret.
	Retry bool
}

func (r Rules[S]) check(cfg Config) error {
	root := cfg.Self == cfg.Tree.Root()
	var errs []error
	for _, f := range []struct {
		name    string
		missing bool
	}{
		{"Gen", r.Gen == nil},
		{"Add", r.Add == nil},
		{"Encode", r.Encode == nil},
		{"Decode", r.Decode == nil},
		{"Finish", r.Finish == nil && root},
		{"Accept", r.Accept == nil && cfg.Result && !root},
	} {
		if f.missing {
			errs = append(errs, fmt.Errorf("rules without %s", f.name))
		}
	}
	if r.MaxBody <= 0 {
		errs = append(errs, fmt.Errorf("MaxBody is %d, want more than 0", r.MaxBody))
	}
	if root && len(cfg.Input) > r.MaxBody {
		errs = append(errs, fmt.Errorf("input of %d bytes, want at most %d", len(cfg.Input), r.MaxBody))
	}
	if cfg.Point.Attempt > 0 && !r.Retry {
		errs = append(errs, fmt.Errorf("attempt %d of a protocol that is never retried", cfg.Point.Attempt))
	}
	return errors.Join(errs...)
}

// guard calls f and turns a panic into an error that says where it happened:
// Lattigo panics on operands it did not expect.
func guard[T any](f func() (T, error)) (v T, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &panicError{fmt.Sprintf("panic: %v%s", r, panicSite())}
		}
	}()
	return f()
}

// A panicError is what guard makes of a panic.
type panicError struct{ text string }

func (e *panicError) Error() string { return e.text }

// panicSite returns " at file:line" of the innermost frame outside the runtime.
// It is called by the deferred function that recovers.
func panicSite() string {
	pc := make([]uintptr, 16)
	frames := runtime.CallersFrames(pc[:runtime.Callers(3, pc)])
	for {
		f, more := frames.Next()
		if f.File != "" && !strings.HasPrefix(f.Function, "runtime.") {
			return fmt.Sprintf(" at %s:%d", f.File, f.Line)
		}
		if !more {
			return ""
		}
	}
}
