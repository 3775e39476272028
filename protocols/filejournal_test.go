package protocols_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	bolt "go.etcd.io/bbolt"

	"github.com/nereid-mhe/nereid/protocols"
)

// large is longer than what one transaction holds, and not a whole number of
// pieces.
const large = 17<<20 + 123

// The share of a label, as a party makes it.
func shareOf(l protocols.Label, size int) []byte {
	return read(l.Private(protocols.NewSeed([32]byte{1})), size)
}

func TestFileJournalSurvivesRestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	sizes := []int{0, 1, 1 << 20, 16 << 20, large}
	if testing.Short() {
		sizes = []int{0, 1, 1 << 20}
	}
	j := must(protocols.OpenJournal(path))
	for i, size := range sizes {
		l := testLabel(uint64(i), 1)
		_, err := j.Share(l, func() ([]byte, error) { return shareOf(l, size), nil })
		require.NoError(t, err)
	}
	require.NoError(t, j.Forget(testLabel(0, 1)))
	require.NoError(t, j.Close())

	if runtime.GOOS != "windows" {
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	}

	k := openJournal(t, path)
	for i, size := range sizes[1:] {
		l := testLabel(uint64(i+1), 1)
		got, err := k.Share(l, never(t))
		require.NoError(t, err)
		require.True(t, bytes.Equal(shareOf(l, size), got), "share of %d bytes", size)
		_, err = k.Share(testLabel(uint64(i+1), 2), never(t))
		require.ErrorIs(t, err, protocols.ErrBound)
	}
	_, err := k.Share(testLabel(0, 1), never(t))
	require.ErrorIs(t, err, protocols.ErrForgotten)
}

// derive returns j.Derive in the form of j.Share.
func derive(j protocols.Journal) func(protocols.Label, func() ([]byte, error)) ([]byte, error) {
	return func(l protocols.Label, gen func() ([]byte, error)) ([]byte, error) {
		p, err := j.Derive(l, func() (protocols.Payload, error) {
			b, err := gen()
			return protocols.NewPayload(b), err
		})
		return p.Body(), err
	}
}

// Of a derived share the file has the checksum. It is made again whenever it is asked
// for, and comes back only if it is the same.
func TestFileJournalDerives(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j := must(protocols.OpenJournal(path))
	const size = 1<<20 + 10
	l := testLabel(1, 1)
	first, err := derive(j)(l, func() ([]byte, error) { return shareOf(l, size), nil })
	require.NoError(t, err)
	require.Equal(t, shareOf(l, size), first)
	_, err = derive(j)(testLabel(1, 2), never(t))
	requireBound(t, err)
	require.NoError(t, j.Close())
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	require.False(t, bytes.Contains(b, first[:64]), "the bytes are not in the file")

	j = openJournal(t, path)
	for _, ask := range []func(protocols.Label, func() ([]byte, error)) ([]byte, error){derive(j), j.Share} {
		again, err := ask(l, func() ([]byte, error) { return shareOf(l, size), nil })
		require.NoError(t, err)
		require.Equal(t, first, again)
		_, err = ask(l, func() ([]byte, error) { return nil, os.ErrInvalid })
		require.ErrorIs(t, err, os.ErrInvalid)
		for _, other := range [][]byte{flip(first, 7), first[:size-1], {}} {
			got, err := ask(l, func() ([]byte, error) { return other, nil })
			require.ErrorAs(t, err, new(*protocols.CorruptError))
			require.ErrorContains(t, err, "is not the one that was recorded")
			require.Empty(t, got)
		}
	}
	kept, err := j.Share(testLabel(2, 1), give("bytes"))
	require.NoError(t, err)
	again, err := derive(j)(testLabel(2, 1), never(t))
	require.NoError(t, err)
	require.Equal(t, kept, again, "bytes that are there are given")

	require.NoError(t, j.Forget(l))
	_, err = derive(j)(l, never(t))
	require.ErrorIs(t, err, protocols.ErrForgotten)
}

// The disk as it is while a share is made, when nobody has it, and when it is returned:
// then the copy knows it, and makes no other.
func TestFileJournalCrashes(t *testing.T) {
	for _, kind := range []func(protocols.Journal) func(protocols.Label, func() ([]byte, error)) ([]byte, error){
		func(j protocols.Journal) func(protocols.Label, func() ([]byte, error)) ([]byte, error) {
			return j.Share
		},
		derive,
	} {
		dir := t.TempDir()
		path, during, after := filepath.Join(dir, "journal"), filepath.Join(dir, "during"), filepath.Join(dir, "after")
		snapshot := func(to string) error {
			b, err := os.ReadFile(path)
			return errors.Join(err, os.WriteFile(to, b, 0o600))
		}
		l := testLabel(1, 1)
		first, err := kind(openJournal(t, path))(l, func() ([]byte, error) { return shareOf(l, 100), snapshot(during) })
		require.NoError(t, err)
		require.NoError(t, snapshot(after))

		k := openJournal(t, after)
		_, err = kind(k)(testLabel(1, 2), never(t))
		requireBound(t, err)
		again, err := kind(k)(l, func() ([]byte, error) { return shareOf(l, 100), nil })
		require.NoError(t, err)
		require.Equal(t, first, again)

		k = openJournal(t, during)
		require.Zero(t, must(k.Len()))
		again, err = kind(k)(l, func() ([]byte, error) { return shareOf(l, 100), nil })
		require.NoError(t, err)
		require.Equal(t, first, again)
		_, err = kind(k)(testLabel(1, 2), never(t))
		requireBound(t, err)
	}
}

// A journal whose last transaction may be missing, because either meta page is damaged
// or far older than the other, is refused: bbolt would go on with what was before.
func TestFileJournalMetaPages(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "journal")
	j := openJournal(t, path)
	_, err := j.Share(testLabel(1, 1), give("share"))
	require.NoError(t, err)
	before := must(os.ReadFile(path))
	for step := range uint64(4) {
		_, err = j.Share(testLabel(2+step, 1), give("share"))
		require.NoError(t, err)
	}
	require.NoError(t, j.Close())
	whole := must(os.ReadFile(path))
	size := os.Getpagesize()
	for i := range 2 {
		flipped := filepath.Join(dir, fmt.Sprint("flipped", i))
		require.NoError(t, os.WriteFile(flipped, flip(whole, 8*(i*size+16+48)), 0o600)) // the transaction
		_, err := protocols.OpenJournal(flipped)
		require.ErrorAs(t, err, new(*protocols.CorruptError))
		audit, err := protocols.VerifyJournals([]string{flipped})
		require.NoError(t, err)
		require.Equal(t, []protocols.FindingKind{protocols.Damaged}, kinds(audit))

		older := filepath.Join(dir, fmt.Sprint("older", i))
		require.NoError(t, os.WriteFile(older, slices.Concat(whole[:i*size], before[i*size:(i+1)*size], whole[(i+1)*size:]), 0o600))
		_, err = protocols.OpenJournal(older)
		require.ErrorAs(t, err, new(*protocols.CorruptError))
	}
}

// A process that is killed while it records shares, at any moment, leaves a
// journal that gives the same shares and refuses other digests. The test runs
// itself as that process.
func TestFileJournalSurvivesKill(t *testing.T) {
	if path := os.Getenv("NEREID_TEST_JOURNAL"); path != "" {
		recordForEver(path)
	}
	if testing.Short() {
		t.Skip("starts processes")
	}
	path := filepath.Join(t.TempDir(), "journal")
	for round := range 4 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestFileJournalSurvivesKill$")
		cmd.Env = append(os.Environ(), "NEREID_TEST_JOURNAL="+path)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		_, err = io.ReadFull(out, make([]byte, 1+round)) // open, and some shares recorded
		require.NoError(t, err)
		time.Sleep(time.Duration(10+20*round) * time.Millisecond)
		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait()

		j, err := protocols.OpenJournal(path)
		require.NoError(t, err)
		recorded := 0
		for step := range uint64(6) {
			l := testLabel(step, 1)
			made := false
			got, err := j.Share(l, func() ([]byte, error) { made = true; return nil, os.ErrInvalid })
			if made {
				require.ErrorIs(t, err, os.ErrInvalid)
				require.NoError(t, j.Check(testLabel(step, 2)))
				continue
			}
			recorded++
			require.NoError(t, err)
			require.True(t, bytes.Equal(shareOf(l, large), got))
			_, err = j.Share(testLabel(step, 2), never(t))
			require.ErrorIs(t, err, protocols.ErrBound)
		}
		require.GreaterOrEqual(t, recorded, round)
		require.NoError(t, j.Close())
	}
}

func recordForEver(path string) {
	j, err := protocols.OpenJournal(path)
	if err != nil {
		os.Exit(3)
	}
	_, _ = os.Stdout.WriteString(".")
	for step := uint64(0); ; step = (step + 1) % 6 {
		l := testLabel(step, 1)
		if _, err := j.Share(l, func() ([]byte, error) { return shareOf(l, large), nil }); err != nil {
			os.Exit(4)
		}
		_, _ = os.Stdout.WriteString(".")
	}
}

func TestOpenJournalRefuses(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "journal")
	openJournal(t, path)
	start := time.Now()
	_, err := protocols.OpenJournal(path)
	require.ErrorIs(t, err, protocols.ErrInUse)
	require.ErrorContains(t, err, path)
	require.Less(t, time.Since(start), 5*time.Second)

	_, err = protocols.OpenJournal(filepath.Join(dir, "missing", "journal"))
	require.ErrorIs(t, err, os.ErrNotExist)

	text := filepath.Join(dir, "text")
	require.NoError(t, os.WriteFile(text, bytes.Repeat([]byte("not a journal\n"), 5000), 0o600))
	_, err = protocols.OpenJournal(text)
	require.ErrorContains(t, err, "opening journal")

	newer := filepath.Join(dir, "newer")
	require.NoError(t, must(protocols.OpenJournal(newer)).Close())
	change(t, newer, func(tx *bolt.Tx) error { return tx.Bucket([]byte("meta")).Put([]byte("version"), []byte{9}) })
	_, err = protocols.OpenJournal(newer)
	require.ErrorContains(t, err, "version [9], want 3")
}

// Every flipped bit of a binding is found when the journal is opened, in key or
// value, and every one of a share when it is asked for.
func TestFileJournalFindsDamage(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "journal")
	j := must(protocols.OpenJournal(path))
	l, other := testLabel(1, 1), testLabel(2, 1)
	for _, l := range []protocols.Label{l, other} {
		_, err := j.Share(l, func() ([]byte, error) { return shareOf(l, 1<<20+10), nil })
		require.NoError(t, err)
	}
	require.NoError(t, j.Close())
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	point, otherPoint, points, pieces := l.Point.Hash(), other.Point.Hash(), []byte("points"), []byte("pieces")
	piece := func(i byte) []byte { return []byte{0, 0, 0, i} }
	of := func(tx *bolt.Tx, point [32]byte) *bolt.Bucket { return tx.Bucket(pieces).Bucket(point[:]) }
	for _, tt := range []struct {
		name   string
		damage func(tx *bolt.Tx) error
		atOpen bool
	}{
		{"state", put(points, point[:], 0), true},
		{"digest", put(points, point[:], 8*5), true},
		{"size", put(points, point[:], 8*40), true},
		{"name", put(points, point[:], 8*80), true},
		{"key", func(tx *bolt.Tx) error {
			b := tx.Bucket(points)
			v := bytes.Clone(b.Get(point[:]))
			return errors.Join(b.Delete(point[:]), b.Put(flip(point[:], 100), v))
		}, true},
		{"lost entry", func(tx *bolt.Tx) error { return tx.Bucket(points).Delete(point[:]) }, true},
		{"lost bucket", func(tx *bolt.Tx) error { return tx.DeleteBucket(points) }, true},
		{"lost everything", func(tx *bolt.Tx) error {
			return errors.Join(tx.DeleteBucket(points), tx.DeleteBucket(pieces), tx.DeleteBucket([]byte("meta")))
		}, true},
		{"short key", func(tx *bolt.Tx) error { return tx.Bucket(points).Put([]byte("x"), []byte("y")) }, true},
		{"short entry", func(tx *bolt.Tx) error { return tx.Bucket(points).Put(point[:], []byte("y")) }, true},
		{"first piece", func(tx *bolt.Tx) error { return flipIn(of(tx, point), piece(0), 8*777) }, false},
		{"last piece", func(tx *bolt.Tx) error { return flipIn(of(tx, point), piece(1), 3) }, false},
		{"missing piece", func(tx *bolt.Tx) error { return of(tx, point).Delete(piece(1)) }, false},
		{"missing pieces", func(tx *bolt.Tx) error { return tx.Bucket(pieces).DeleteBucket(point[:]) }, false},
		{"shortened piece", func(tx *bolt.Tx) error { return of(tx, point).Put(piece(1), []byte("x")) }, false},
		{"longer piece", func(tx *bolt.Tx) error { return of(tx, point).Put(piece(1), make([]byte, 500)) }, false},
		{"swapped shares", func(tx *bolt.Tx) error {
			return of(tx, point).Put(piece(0), bytes.Clone(of(tx, otherPoint).Get(piece(0))))
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			damaged := filepath.Join(t.TempDir(), "journal")
			require.NoError(t, os.WriteFile(damaged, whole, 0o600))
			change(t, damaged, tt.damage)
			j, err := protocols.OpenJournal(damaged)
			if !tt.atOpen {
				require.NoError(t, err)
				t.Cleanup(func() { require.NoError(t, j.Close()) })
				_, err = j.Share(l, never(t))
				require.ErrorContains(t, err, l.String())
			}
			require.ErrorAs(t, err, new(*protocols.CorruptError))
		})
	}
}

// put returns the damage of one bit in a value.
func put(bucket, key []byte, bit int) func(*bolt.Tx) error {
	return func(tx *bolt.Tx) error { return flipIn(tx.Bucket(bucket), key, bit) }
}

func flipIn(b *bolt.Bucket, key []byte, bit int) error { return b.Put(key, flip(b.Get(key), bit)) }

// Damage under bbolt's feet, anywhere in the file, is an error or the right
// share, never a crash, a wrong share or a forgotten binding.
func TestFileJournalDamagedPages(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "journal")
	j := must(protocols.OpenJournal(path))
	l := testLabel(1, 1)
	_, err := j.Share(l, func() ([]byte, error) { return shareOf(l, 5000), nil })
	require.NoError(t, err)
	require.NoError(t, j.Close())
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	found := 0
	rng := rand.New(rand.NewPCG(1, 0))
	for i := range 100 {
		// Most of what matters is in the first 64 bytes of a page.
		at := rng.IntN(len(whole)/4096)*4096 + rng.IntN([]int{64, 4096 - 16}[i%2])
		b := bytes.Clone(whole)
		if at%4096/4 == 3 {
			continue // a page's length: bbolt believes it, and may take for ever
		}
		if rng.IntN(4) == 0 {
			for k := range 16 {
				b[at+k] ^= 0xff
			}
		} else {
			b[at] ^= 1 << rng.IntN(8)
		}
		damaged := filepath.Join(dir, fmt.Sprint(i)) // bbolt keeps a file locked after a panic
		require.NoError(t, os.WriteFile(damaged, b, 0o600))
		j, err := protocols.OpenJournal(damaged)
		if err != nil {
			found++
			continue
		}
		_, err = j.Share(testLabel(1, 2), give("another"))
		require.Error(t, err, "damage %d at byte %d", i, at)
		if got, err := j.Share(l, func() ([]byte, error) { return shareOf(l, 5000), nil }); err != nil {
			found++
		} else {
			require.Equal(t, shareOf(l, 5000), got)
		}
		_ = j.Close()
	}
	require.Positive(t, found)
}

func BenchmarkFileJournal(b *testing.B) {
	for _, tt := range []struct {
		name string
		size int
	}{{"1MB", 1 << 20}, {"100MB", 100 << 20}} {
		b.Run(tt.name, func(b *testing.B) {
			j := openJournal(b, filepath.Join(b.TempDir(), "journal"))
			share := make([]byte, tt.size)
			b.SetBytes(int64(tt.size))
			for step := uint64(0); b.Loop(); step++ {
				l := testLabel(step, 1)
				if _, err := j.Share(l, func() ([]byte, error) { return share, nil }); err != nil {
					b.Fatal(err)
				}
				if err := j.Forget(l); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
