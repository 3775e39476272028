package protocols

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
)

// A Journal remembers every share a party ever made: one share per label, ever.
// A party has one journal for all its studies.
//
// Implementations are safe for concurrent use. Calls for one point wait for each
// other; calls for different points may run gen at the same time.
type Journal interface {
	// Share returns the share recorded under l. If none is recorded it calls gen once,
	// binds l.Point to l.Digest for ever, records the bytes, both durably and in one
	// step, and only then returns them. What a crash finds unbound is a share that
	// nobody has seen, so that no crash leads to shares for two digests.
	//
	// If gen fails, Share returns its error, and the journal is as it was. gen does not
	// use the journal, and lets nothing of the share out. The caller does not change
	// the bytes.
	//
	// Share returns a *[BoundError] if the point is bound to another digest and a
	// *[ForgottenError] if the share was dropped; gen is not called. It returns a
	// *[CorruptError] if the entry is damaged.
	Share(l Label, gen func() ([]byte, error)) ([]byte, error)

	// Derive is Share for a gen that gives the same bytes whenever it is called: those
	// follow from l, the party's seed, and rows that do not change during a study.
	// In place of the bytes, which may be a hundred megabytes, the journal may record
	// their checksum, durably before they are returned. Then gen is called whenever the
	// share is asked for, and its bytes are returned if they are those recorded, else a
	// *[CorruptError]: still no label ever gets a second share, whatever has changed.
	Derive(l Label, gen func() (Payload, error)) (Payload, error)

	// Check returns the error with which Share and Derive refuse l, nil if they do not.
	// It changes nothing.
	Check(l Label) error
}

// ErrBound is wrapped by every [BoundError].
var ErrBound = errors.New("point is bound to another input")

// A BoundError reports that a share was refused because its point is bound to
// the digest of another input. Somebody tried to get two shares out of one
// secret, or the round's input is not what it was before a restart. It is a
// security event. The remedy is a new attempt for a refresh, and a new study seed
// or a refreshed ciphertext for everything else.
type BoundError struct {
	Point          Point
	Bound, Refused [32]byte // digests
}

func (e *BoundError) Error() string {
	return fmt.Sprintf("journal: %v: %v: bound to %x, refused %x", e.Point, ErrBound, e.Bound[:4], e.Refused[:4])
}

func (e *BoundError) Unwrap() error { return ErrBound }

// ErrForgotten is wrapped by every [ForgottenError].
var ErrForgotten = errors.New("share was dropped after its round was closed")

// A ForgottenError reports that a share was asked for after Forget.
type ForgottenError struct{ Label Label }

func (e *ForgottenError) Error() string { return fmt.Sprintf("journal: %v: %v", e.Label, ErrForgotten) }

func (e *ForgottenError) Unwrap() error { return ErrForgotten }

// A CorruptError reports a damaged journal entry. No share is made for it again;
// the party leaves the study or the study gets a new seed.
type CorruptError struct {
	Label string // as far as it is known
	Err   error
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("journal: damaged entry of %s: %v", e.Label, e.Err)
}

func (e *CorruptError) Unwrap() error { return e.Err }

// A state is how far a point has come in a journal. It never goes back. The numbers are
// those of the file.
type state uint8

const (
	stateBound     state = 1 + iota // to a digest, no share recorded; older programs leave it
	stateRecorded                   // share recorded
	stateForgotten                  // share dropped, only the binding is left
	stateDerived                    // checksum of the share recorded; comes before stateForgotten
)

// permit returns the error that refuses l at a point with the given digest and
// state, nil if there is none.
func permit(l Label, bound [32]byte, s state) error {
	switch {
	case bound != l.Digest:
		return &BoundError{Point: l.Point, Bound: bound, Refused: l.Digest}
	case s == stateForgotten:
		return &ForgottenError{Label: l}
	}
	return nil
}

// A MemoryJournal is a [Journal] for simulations and tests. Nothing survives the
// process, so a node that restarts with it could make a second share: nodes use
// [OpenJournal].
type MemoryJournal struct {
	points keyedLock
	mu     sync.Mutex // guards entries
	// entries by the hash of the point.
	entries map[[32]byte]memoryEntry
}

type memoryEntry struct {
	digest [32]byte
	state  state
	share  []byte
}

var _ Journal = &MemoryJournal{}

// NewMemoryJournal returns an empty journal.
func NewMemoryJournal() *MemoryJournal {
	return &MemoryJournal{entries: map[[32]byte]memoryEntry{}}
}

// Share implements [Journal].
func (j *MemoryJournal) Share(l Label, gen func() ([]byte, error)) ([]byte, error) {
	point := l.Point.Hash()
	defer j.points.lock(point)()
	if e, ok := j.get(point); ok {
		if err := permit(l, e.digest, e.state); err != nil {
			return nil, err
		}
		return bytes.Clone(e.share), nil
	}
	share, err := gen()
	if err != nil {
		return nil, err
	}
	j.put(point, memoryEntry{l.Digest, stateRecorded, bytes.Clone(share)})
	return share, nil
}

// Derive implements [Journal]. It keeps the bytes.
func (j *MemoryJournal) Derive(l Label, gen func() (Payload, error)) (made Payload, err error) {
	share, err := j.Share(l, func() (b []byte, err error) {
		made, err = gen()
		return made.body, err
	})
	switch {
	case err != nil:
		return Payload{}, err
	case made.body == nil: // it was there
		made = NewPayload(share)
	}
	return made, nil
}

// Check implements [Journal].
func (j *MemoryJournal) Check(l Label) error {
	if e, ok := j.get(l.Point.Hash()); ok {
		return permit(l, e.digest, e.state)
	}
	return nil
}

// Forget drops the shares of labels for ever and keeps the bindings; see
// [FileJournal.Forget]. It stops at the first error.
func (j *MemoryJournal) Forget(labels ...Label) error {
	for _, l := range labels {
		if err := j.forget(l); err != nil {
			return err
		}
	}
	return nil
}

// Len returns the number of points that are bound, those of forgotten shares too.
func (j *MemoryJournal) Len() (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.entries), nil
}

func (j *MemoryJournal) forget(l Label) error {
	point := l.Point.Hash()
	defer j.points.lock(point)()
	if e, ok := j.get(point); ok && e.digest != l.Digest {
		return permit(l, e.digest, e.state)
	}
	j.put(point, memoryEntry{digest: l.Digest, state: stateForgotten})
	return nil
}

func (j *MemoryJournal) get(point [32]byte) (memoryEntry, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	e, ok := j.entries[point]
	return e, ok
}

func (j *MemoryJournal) put(point [32]byte, e memoryEntry) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries[point] = e
}

// A keyedLock makes work on equal keys wait and lets other work go on. The zero
// keyedLock is ready for use, and safe for concurrent use.
type keyedLock struct {
	mu   sync.Mutex
	held map[[32]byte]*heldLock
}

type heldLock struct {
	mu    sync.Mutex
	users int // holder and waiters, guarded by keyedLock.mu
}

// lock waits for key and returns the function that gives it back.
func (k *keyedLock) lock(key [32]byte) (unlock func()) {
	k.mu.Lock()
	h := k.held[key]
	if h == nil {
		if k.held == nil {
			k.held = map[[32]byte]*heldLock{}
		}
		h = &heldLock{}
		k.held[key] = h
	}
	h.users++
	k.mu.Unlock()
	h.mu.Lock()
	return func() {
		h.mu.Unlock()
		k.mu.Lock()
		defer k.mu.Unlock()
		if h.users--; h.users == 0 {
			delete(k.held, key)
		}
	}
}
