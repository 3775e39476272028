package protocols

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"time"

	"github.com/nereid-mhe/nereid/internal/files"
	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// A FileJournal is the [Journal] of a node, in one bbolt file. Every step is on
// disk (fsync) before Share goes on; rounds that wait for the disk at the same time
// share a transaction. It is safe for concurrent use; one process at a time has the
// file open.
//
// The file keeps one small entry per point for ever, and the shares until they
// are forgotten; the room of forgotten shares is used again. A share is stored in
// pieces of 1 MiB and written in transactions of at most 16 MiB, so that one of
// 100 MB needs no more memory than itself. Of a derived share there is the entry only.
//
// The file must never be replaced by an older copy of itself: the party would
// have forgotten to which inputs it is bound. After the loss of a journal the
// study needs a new seed.
type FileJournal struct {
	db     *bolt.DB
	disk   committer
	points keyedLock
}

var _ Journal = &FileJournal{}

// ErrInUse is wrapped by the error about a journal that another process has open.
var ErrInUse = errors.New("another process has it open")

const (
	journalVersion = 3
	lockTimeout    = time.Second
	pieceSize      = 1 << 20
	piecesPerTx    = 16
)

// Buckets of the file. Keys of points are their hashes. Of each share there is a bucket
// of pieces, whose keys are their numbers in 4 bytes: pieces of several shares side by
// side would be written again with each other.
var (
	bucketMeta   = []byte("meta")
	bucketPoints = []byte("points")
	bucketPieces = []byte("pieces")
	keyVersion   = []byte("version")
	keyCount     = []byte("count") // of points, 8 bytes
)

// OpenJournal opens the journal at path, or creates it with mode 0600. It reads
// all bindings, a few hundred bytes per point, and returns a *[CorruptError] if
// one is damaged: a party that may have forgotten a binding must not go on. It
// returns an error that wraps [ErrInUse] if another process has the file open, and
// one if it is not a journal.
func OpenJournal(path string) (*FileJournal, error) {
	fail := func(err error) (*FileJournal, error) {
		return nil, fmt.Errorf("protocols: opening journal %s: %w", path, err)
	}
	// The list of free pages is kept in the file, though it is written with every
	// entry: to find them again bbolt starts goroutines that panic on damage.
	db, err := openFile(path, 0o600, bolt.Options{Timeout: lockTimeout})
	if errors.Is(err, berrors.ErrTimeout) {
		return fail(ErrInUse)
	}
	if err != nil {
		return fail(err)
	}
	j := &FileJournal{db: db, disk: committer{db: db}}
	err = j.disk.update(0, initialise)
	if err == nil {
		err = files.SyncDir(filepath.Dir(path))
	}
	if err == nil {
		err = j.view(checkBindings)
	}
	if err != nil {
		return fail(errors.Join(err, db.Close()))
	}
	return j, nil
}

// initialise fills a new file and checks the version of an old one. An old file
// that looks empty has lost its entries: only the first transaction may fill it.
func initialise(tx *bolt.Tx) error {
	const first = 2 // bbolt writes 0 and 1 when it creates the file
	if meta := tx.Bucket(bucketMeta); meta != nil {
		if v := meta.Get(keyVersion); len(v) != 1 || v[0] != journalVersion {
			return fmt.Errorf("version %v, want %d: go on with the program with which the study began", v, journalVersion)
		}
		return nil
	}
	if tx.ID() != first {
		return &CorruptError{"the whole journal", errors.New("entries are missing")}
	}
	for _, name := range [][]byte{bucketMeta, bucketPoints, bucketPieces} {
		if _, err := tx.CreateBucket(name); err != nil {
			return err
		}
	}
	return errors.Join(putCount(tx, 0), tx.Bucket(bucketMeta).Put(keyVersion, []byte{journalVersion}))
}

// checkBindings decodes every entry and counts them.
func checkBindings(tx *bolt.Tx) error {
	var n uint64
	err := tx.Bucket(bucketPoints).ForEach(func(point, b []byte) error {
		n++
		if len(point) != 32 {
			return &CorruptError{fmt.Sprintf("point %x", point), errors.New("key has the wrong size")}
		}
		_, err := decodeEntry([32]byte(point), b)
		return err
	})
	if want := getCount(tx); err == nil && n != want {
		err = &CorruptError{"the whole journal", fmt.Errorf("%d entries, want %d", n, want)}
	}
	return err
}

// Close closes the file after transactions under way have ended.
func (j *FileJournal) Close() error {
	if err := j.db.Close(); err != nil {
		return fmt.Errorf("protocols: closing the journal: %w", err)
	}
	return nil
}

// Share implements [Journal].
func (j *FileJournal) Share(l Label, gen func() ([]byte, error)) ([]byte, error) {
	p, err := j.share(l, payloads(gen), stateRecorded)
	return p.body, err
}

// Derive implements [Journal]. It records the checksum only.
func (j *FileJournal) Derive(l Label, gen func() (Payload, error)) (Payload, error) {
	return j.share(l, gen, stateDerived)
}

// Check implements [Journal].
func (j *FileJournal) Check(l Label) error {
	e, bound, err := j.entry(l.Point.Hash())
	if err == nil && bound {
		return permit(l, e.digest, e.state)
	}
	return wrapJournal(l, err)
}

// errOther is wrapped by the error about a derived share that was made again.
var errOther = errors.New("the share made again is not the one that was recorded: a seed, rows, a program or a processor is another than it was; go on with those")

// share returns the share of l, whatever is recorded of it. A new one is recorded in
// full or by its checksum, as state says.
func (j *FileJournal) share(l Label, gen func() (Payload, error), state state) (Payload, error) {
	point := l.Point.Hash()
	defer j.points.lock(point)()
	e, bound, err := j.entry(point)
	if err != nil {
		return Payload{}, wrapJournal(l, err)
	}
	if bound {
		if err := permit(l, e.digest, e.state); err != nil {
			return Payload{}, err
		}
	}
	if e.state == stateRecorded {
		share, err := j.load(l, point, e)
		return share, wrapJournal(l, err)
	}
	share, err := gen()
	if err != nil {
		return Payload{}, err
	}
	made := entry{name: l.String(), digest: l.Digest, state: state, size: uint64(len(share.body)), sum: shareSum(l.Hash(), share)}
	switch {
	case e.state != stateDerived:
		err = j.record(point, made, share.body)
	case made.size != e.size || made.sum != e.sum:
		err = &CorruptError{l.String(), errOther}
	}
	if err != nil {
		return Payload{}, wrapJournal(l, err)
	}
	return share, nil
}

// Len returns the number of points that are durably bound, those of forgotten shares
// too. It writes: what a transaction only reads may be lost with the power.
func (j *FileJournal) Len() (n int, err error) {
	err = j.disk.update(0, func(tx *bolt.Tx) error {
		n = int(getCount(tx))
		return nil
	})
	return n, err
}

// Forget drops the shares of labels and leaves tombstones: the points stay bound, and
// Share refuses the labels with a *[ForgottenError] for ever. It may only be called
// when the rounds are closed and the step is checkpointed past them, for no peer can
// get the shares again. All are forgotten with one fsync, or none. Forgetting a share
// twice, or one never made, is no error; forgetting it under another digest is a
// *[BoundError].
func (j *FileJournal) Forget(labels ...Label) error {
	points := map[[32]byte]Label{}
	for _, l := range labels {
		points[l.Point.Hash()] = l
	}
	sorted := slices.SortedFunc(maps.Keys(points), func(a, b [32]byte) int { return bytes.Compare(a[:], b[:]) })
	for _, point := range sorted { // in one order everywhere
		defer j.points.lock(point)()
	}
	err := j.disk.update(0, func(tx *bolt.Tx) error {
		for _, point := range sorted {
			if err := forget(tx, point, points[point]); err != nil {
				return err
			}
		}
		return nil
	})
	switch {
	case err == nil, errors.As(err, new(*BoundError)), errors.As(err, new(*CorruptError)):
		return err
	}
	return fmt.Errorf("journal: forgetting %d shares: %w", len(labels), err)
}

func forget(tx *bolt.Tx, point [32]byte, l Label) error {
	e := entry{name: l.String(), digest: l.Digest}
	if b := tx.Bucket(bucketPoints).Get(point[:]); b != nil {
		var err error
		if e, err = decodeEntry(point, b); err != nil {
			return err
		}
	}
	if e.digest != l.Digest {
		return permit(l, e.digest, e.state)
	}
	e.state = stateForgotten // size and checksum stay, for audits
	return errors.Join(dropPieces(tx, point), putEntry(tx, point, e))
}

// entry returns the entry of point, if it has one.
func (j *FileJournal) entry(point [32]byte) (e entry, found bool, err error) {
	err = j.view(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketPoints).Get(point[:])
		if b == nil {
			return nil
		}
		found = true
		e, err = decodeEntry(point, b)
		return err
	})
	return e, found, err
}

// record writes the pieces of share, if they are to be kept, and with the last ones the
// entry, which binds the point and makes them count. Pieces of a write that a crash cut
// short are dropped first.
func (j *FileJournal) record(point [32]byte, e entry, share []byte) error {
	var pieces [][]byte
	if e.state == stateRecorded {
		pieces = slices.Collect(slices.Chunk(share, pieceSize))
	}
	for first := 0; ; first += piecesPerTx {
		end := min(first+piecesPerTx, len(pieces))
		err := j.disk.update((end-first)*pieceSize, func(tx *bolt.Tx) error {
			if first == 0 {
				if err := dropPieces(tx, point); err != nil {
					return err
				}
			}
			if err := putPieces(tx, point, first, pieces[first:end]); err != nil || end < len(pieces) {
				return err
			}
			return putEntry(tx, point, e)
		})
		if err != nil || end == len(pieces) {
			return err
		}
	}
}

// load reads the pieces of a recorded share and compares the checksum.
func (j *FileJournal) load(l Label, point [32]byte, e entry) (Payload, error) {
	var share []byte
	err := j.view(func(tx *bolt.Tx) error {
		share = make([]byte, 0, e.size)
		for i := 0; uint64(len(share)) < e.size; i++ {
			piece := getPiece(tx, point, i)
			if len(piece) == 0 || uint64(len(share)+len(piece)) > e.size {
				return &CorruptError{l.String(), fmt.Errorf("piece %d of the share is missing or has the wrong size", i)}
			}
			share = append(share, piece...)
		}
		return nil
	})
	if err != nil {
		return Payload{}, err
	}
	p := NewPayload(share)
	if shareSum(l.Hash(), p) != e.sum {
		return Payload{}, &CorruptError{l.String(), errors.New("checksum of the share does not match")}
	}
	return p, nil
}

func (j *FileJournal) view(f func(*bolt.Tx) error) error { return access(j.db.View, f) }

// openFile opens a database whose last transaction is there. On a damaged file bbolt
// panics, or touches memory beyond its end.
func openFile(path string, mode fs.FileMode, o bolt.Options) (*bolt.DB, error) {
	db, err := guard(func() (*bolt.DB, error) {
		defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
		return bolt.Open(path, mode, &o)
	})
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err == nil {
		err = errors.Join(checkMetas(f, db.Info().PageSize), f.Close())
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// access runs a transaction; see openFile about damage.
func access(run func(func(*bolt.Tx) error) error, f func(*bolt.Tx) error) error {
	err := guardErr(func() error {
		defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
		return run(f)
	})
	if errors.As(err, new(*panicError)) {
		return &CorruptError{"the whole journal", err}
	}
	return err
}

// wrapJournal names the label in errors of the file.
func wrapJournal(l Label, err error) error {
	if err == nil || errors.As(err, new(*CorruptError)) {
		return err
	}
	return fmt.Errorf("journal: %v: %w", l, err)
}

// putEntry writes the entry of a point and counts new ones, so that one that got
// lost is missed.
func putEntry(tx *bolt.Tx, point [32]byte, e entry) error {
	points := tx.Bucket(bucketPoints)
	if points.Get(point[:]) == nil {
		if err := putCount(tx, getCount(tx)+1); err != nil {
			return err
		}
	}
	return points.Put(point[:], e.append(point))
}

func putCount(tx *bolt.Tx, n uint64) error {
	return tx.Bucket(bucketMeta).Put(keyCount, binary.BigEndian.AppendUint64(nil, n))
}

func getCount(tx *bolt.Tx) uint64 {
	return binary.BigEndian.Uint64(tx.Bucket(bucketMeta).Get(keyCount))
}

// shareSum is the checksum of a share; it depends on the label, so that shares
// cannot be swapped.
func shareSum(label [32]byte, share Payload) [32]byte {
	return hashFields("nereid/journal/share/v2", label[:], share.hash[:])
}
