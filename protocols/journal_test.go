package protocols_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	bolt "go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"github.com/nereid-mhe/nereid/protocols"
)

// forgetful is what both journals can do.
type forgetful interface {
	protocols.Journal
	Forget(...protocols.Label) error
}

func openJournal(t testing.TB, path string) *protocols.FileJournal {
	t.Helper()
	j, err := protocols.OpenJournal(path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, j.Close()) })
	return j
}

// journals runs f on a journal of each kind.
func journals(t *testing.T, f func(t *testing.T, j forgetful)) {
	t.Run("memory", func(t *testing.T) { f(t, protocols.NewMemoryJournal()) })
	t.Run("file", func(t *testing.T) { f(t, openJournal(t, filepath.Join(t.TempDir(), "journal"))) })
}

func testLabel(step uint64, digest byte) protocols.Label {
	p := testPoint([]protocols.PartyID{0, 1})
	p.Step = step
	return protocols.Label{Point: p, Digest: [32]byte{digest}}
}

func give(b string) func() ([]byte, error) {
	return func() ([]byte, error) { return []byte(b), nil }
}

func never(t require.TestingT) func() ([]byte, error) {
	return func() ([]byte, error) {
		require.FailNow(t, "gen was called")
		return nil, nil
	}
}

func TestJournalSharesOnce(t *testing.T) {
	journals(t, func(t *testing.T, j forgetful) {
		l := testLabel(1, 1)
		got, err := j.Share(l, give("first"))
		require.NoError(t, err)
		require.Equal(t, "first", string(got))
		for range 3 {
			got, err = j.Share(l, never(t))
			require.NoError(t, err)
			require.Equal(t, "first", string(got))
			got[0] = 'X' // a caller that misbehaves does not change the journal
		}
		got, err = j.Share(testLabel(2, 1), give("")) // another point
		require.NoError(t, err)
		require.Empty(t, got)
		got, err = j.Share(testLabel(2, 1), never(t))
		require.NoError(t, err)
		require.Empty(t, got)
	})
}

func TestJournalRefusesAnotherDigest(t *testing.T) {
	journals(t, func(t *testing.T, j forgetful) {
		_, err := j.Share(testLabel(1, 1), give("first"))
		require.NoError(t, err)
		_, err = j.Share(testLabel(1, 2), never(t))
		requireBound(t, err)
		requireBound(t, j.Forget(testLabel(1, 2)))
		got, err := j.Share(testLabel(1, 1), never(t))
		require.NoError(t, err)
		require.Equal(t, "first", string(got))
	})
}

func requireBound(t *testing.T, err error) {
	t.Helper()
	require.ErrorIs(t, err, protocols.ErrBound)
	var bound *protocols.BoundError
	require.ErrorAs(t, err, &bound)
	require.Equal(t, testLabel(1, 0).Point, bound.Point)
	require.Equal(t, [32]byte{1}, bound.Bound)
	require.Equal(t, [32]byte{2}, bound.Refused)
	require.ErrorContains(t, err, "journal: refresh@1/layer1/forward#0 study abcdef00 n=2: point is bound to another input")
}

// A gen that fails or panics leaves the journal as it was: nobody has a share.
func TestJournalGenFails(t *testing.T) {
	journals(t, func(t *testing.T, j forgetful) {
		boom := errors.New("boom")
		for _, ask := range []func(protocols.Label, func() ([]byte, error)) ([]byte, error){j.Share, derive(j)} {
			_, err := ask(testLabel(1, 2), func() ([]byte, error) { return nil, boom })
			require.ErrorIs(t, err, boom)
			require.Panics(t, func() { _, _ = ask(testLabel(1, 2), func() ([]byte, error) { panic("ring degrees differ") }) })
			require.NoError(t, j.Check(testLabel(1, 2)))
			require.NoError(t, j.Check(testLabel(1, 1)))
		}
		got, err := j.Share(testLabel(1, 1), give("at last"))
		require.NoError(t, err)
		require.Equal(t, "at last", string(got))
		_, err = j.Share(testLabel(1, 2), never(t))
		requireBound(t, err)
	})
}

// Check says what Share would, and changes nothing.
func TestJournalChecks(t *testing.T) {
	journals(t, func(t *testing.T, j forgetful) {
		require.NoError(t, j.Check(testLabel(1, 1)))
		require.NoError(t, j.Check(testLabel(1, 2)))
		_, err := j.Share(testLabel(1, 1), give("share"))
		require.NoError(t, err)
		require.NoError(t, j.Check(testLabel(1, 1)))
		requireBound(t, j.Check(testLabel(1, 2)))
		require.NoError(t, j.Forget(testLabel(1, 1)))
		require.ErrorIs(t, j.Check(testLabel(1, 1)), protocols.ErrForgotten)
		requireBound(t, j.Check(testLabel(1, 2)))
	})
}

func TestJournalForgets(t *testing.T) {
	journals(t, func(t *testing.T, j forgetful) {
		_, err := j.Share(testLabel(1, 1), give("first"))
		require.NoError(t, err)
		require.NoError(t, j.Forget(testLabel(1, 1)))
		require.NoError(t, j.Forget())
		require.NoError(t, j.Forget(testLabel(1, 1), testLabel(2, 1), testLabel(1, 1)), "twice, and never shared")
		for step := range uint64(2) {
			l := testLabel(step+1, 1)
			_, err = j.Share(l, never(t))
			require.ErrorIs(t, err, protocols.ErrForgotten)
			var forgotten *protocols.ForgottenError
			require.ErrorAs(t, err, &forgotten)
			require.Equal(t, l, forgotten.Label)
		}
		_, err = j.Share(testLabel(1, 2), never(t))
		requireBound(t, err)
	})
}

// Both journals do what a map from points to digest and bytes does, also when
// the file is closed and opened between any two operations.
func TestJournalsMatchModel(t *testing.T) {
	dir := t.TempDir()
	run := 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		path := filepath.Join(dir, fmt.Sprint(run))
		file, memory := must(protocols.OpenJournal(path)), protocols.NewMemoryJournal()
		defer func() { _ = file.Close() }()
		model := map[uint64]*modelEntry{}
		for i := range rapid.IntRange(1, 8).Draw(t, "operations") {
			l := testLabel(rapid.Uint64Range(0, 2).Draw(t, "step"), rapid.ByteRange(0, 1).Draw(t, "digest"))
			op := rapid.SampledFrom([]string{"share", "share", "share", "fail", "forget", "reopen"}).Draw(t, "op")
			if op == "reopen" {
				require.NoError(t, file.Close())
				file = must(protocols.OpenJournal(path))
				continue
			}
			e := model[l.Point.Step]
			if e == nil {
				e = &modelEntry{digest: l.Digest}
				if op != "fail" {
					model[l.Point.Step] = e
				}
			}
			fresh := fmt.Appendf(nil, "share %d", i)
			wantShare, wantCalls, wantErr := e.apply(l, op, fresh)
			for _, j := range []forgetful{file, memory} {
				var share []byte
				var err error
				calls := 0
				if op == "forget" {
					err = j.Forget(l)
				} else {
					share, err = j.Share(l, func() ([]byte, error) {
						calls++
						if op == "fail" {
							return nil, os.ErrInvalid
						}
						return fresh, nil
					})
				}
				require.ErrorIs(t, err, wantErr)
				require.Equal(t, wantShare, share)
				require.Equal(t, wantCalls, calls)
			}
		}
	})
}

// A modelEntry is what a journal should know of a point.
type modelEntry struct {
	digest    [32]byte
	share     []byte
	forgotten bool
}

// apply does op and returns the share, number of calls of gen and error to expect.
func (e *modelEntry) apply(l protocols.Label, op string, fresh []byte) (share []byte, calls int, err error) {
	switch {
	case e.digest != l.Digest:
		return nil, 0, protocols.ErrBound
	case op == "forget":
		e.forgotten = true
		return nil, 0, nil
	case e.forgotten:
		return nil, 0, protocols.ErrForgotten
	case e.share != nil:
		return e.share, 0, nil
	case op == "fail":
		return nil, 1, os.ErrInvalid
	}
	e.share = fresh
	return fresh, 1, nil
}

// gen is called once per label, however many goroutines ask, and different
// points do not wait for each other. Run with -race.
func TestJournalConcurrently(t *testing.T) {
	journals(t, func(t *testing.T, j forgetful) {
		const points, callers = 4, 8
		var calls [points]atomic.Int32
		var running sync.WaitGroup // all points are in gen at the same time
		running.Add(points)
		var wg sync.WaitGroup
		for i := range points * callers {
			wg.Go(func() {
				p := i % points
				got, err := j.Share(testLabel(uint64(p), 1), func() ([]byte, error) {
					calls[p].Add(1)
					running.Done()
					running.Wait()
					return bytes.Repeat([]byte{byte(p)}, 100), nil
				})
				if err != nil || !bytes.Equal(got, bytes.Repeat([]byte{byte(p)}, 100)) {
					t.Errorf("point %d: %x, %v", p, got, err)
				}
				if _, err := j.Share(testLabel(uint64(p), 2), give("")); !errors.Is(err, protocols.ErrBound) {
					t.Errorf("point %d: %v, want ErrBound", p, err)
				}
			})
		}
		wg.Wait()
		for p := range calls {
			require.EqualValues(t, 1, calls[p].Load(), "calls for point %d", p)
		}
	})
}

// change edits the file of a closed journal.
func change(t *testing.T, path string, f func(tx *bolt.Tx) error) {
	t.Helper()
	db, err := bolt.Open(path, 0o600, nil)
	require.NoError(t, err)
	require.NoError(t, db.Update(f))
	require.NoError(t, db.Close())
}

// flip returns a copy of b with one bit changed.
func flip(b []byte, bit int) []byte {
	b = bytes.Clone(b)
	b[bit/8%len(b)] ^= 1 << (bit % 8)
	return b
}
