package protocols

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// A FindingKind says what is wrong in journals.
type FindingKind string

// Kinds of findings, the worst first.
const (
	// TwoShares: a party made two shares for one point. Its secret is in danger.
	TwoShares FindingKind = "two shares"
	// SameShare: two parties made the same share. They have one secret.
	SameShare FindingKind = "same share"
	// OtherInput: two parties bound a point to different inputs. One of them took
	// part in a round in which the others did not.
	OtherInput FindingKind = "other input"
	// Damaged: an entry or a share does not match its checksum, or is missing.
	Damaged FindingKind = "damaged"
)

// A Finding is one thing that is wrong in journals.
type Finding struct {
	Kind     FindingKind
	Journals []string // files: one, or the two that contradict each other
	Label    string   // as in logs; empty if it concerns a whole file
	Err      error    // of a damaged journal
}

func (f Finding) String() string {
	s := fmt.Sprintf("%s: %q", f.Kind, f.Journals)
	if f.Label != "" {
		s += ": " + f.Label
	}
	if f.Err != nil {
		s += ": " + f.Err.Error()
	}
	return s
}

// An Audit is what journals say about the shares that parties made. It has no
// findings if no label has two shares and no point two inputs, in any of them.
type Audit struct {
	Journals                   int
	Points                     int // in all journals
	Bound, Recorded, Forgotten int // of them; of some recorded shares there is the checksum only
	Findings                   []Finding
}

// VerifyJournals reads journals of [FileJournal], without changing them, and holds
// them against each other. Each argument is the files of one party: its journal,
// and copies of it from other times if there are any, which must agree about
// every share. Between parties the inputs of common points must agree, and no
// share may be the same.
//
// That one file holds at most one share for a point follows from its form; every
// entry and every share in it is checked against its checksum.
//
// It returns an error if a file cannot be read, or if a process has it open.
func VerifyJournals(parties ...[]string) (Audit, error) {
	a := auditor{first: map[[32]byte][]seenEntry{}}
	for party, files := range parties {
		for _, file := range files {
			if err := a.read(party, file); err != nil {
				return Audit{}, fmt.Errorf("protocols: auditing journal %s: %w", file, err)
			}
		}
	}
	return a.Audit, nil
}

type auditor struct {
	Audit
	first map[[32]byte][]seenEntry // by point, one of each party and content
}

type seenEntry struct {
	entry
	party int
	file  string
}

func (a *auditor) read(party int, file string) error {
	if _, err := os.Stat(file); err != nil { // bbolt would wait for its lock first
		return err
	}
	db, err := openFile(file, 0o400, bolt.Options{Timeout: lockTimeout, ReadOnly: true})
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return errors.New("a process has it open: stop the node, or audit a copy")
	case errors.As(err, new(*fs.PathError)):
		return err
	}
	a.Journals++
	if err == nil {
		j := &FileJournal{db: db}
		err = j.view(func(tx *bolt.Tx) error { return a.entries(tx, party, file) })
		err = errors.Join(err, db.Close())
	}
	if err != nil {
		a.find(Damaged, "", err, file)
	}
	return nil
}

func (a *auditor) entries(tx *bolt.Tx, party int, file string) error {
	meta, points := tx.Bucket(bucketMeta), tx.Bucket(bucketPoints)
	if meta == nil || points == nil || tx.Bucket(bucketPieces) == nil || !bytes.Equal(meta.Get(keyVersion), []byte{journalVersion}) {
		return fmt.Errorf("it is no journal of version %d", journalVersion)
	}
	var n uint64
	err := points.ForEach(func(key, b []byte) error {
		n++
		if len(key) != 32 {
			return fmt.Errorf("point %x: key has the wrong size", key)
		}
		point := [32]byte(key)
		e, err := decodeEntry(point, b)
		if err == nil {
			err = checkShare(tx, point, e)
		}
		if err != nil {
			a.find(Damaged, e.name, err, file)
			return nil
		}
		a.take(point, seenEntry{e, party, file})
		return nil
	})
	if want := getCount(tx); err == nil && n != want {
		err = fmt.Errorf("%d entries, want %d", n, want)
	}
	return err
}

// checkShare looks for the pieces of a recorded share. Its checksum covers the
// label, of which the journal has the hash of the point and the digest.
func checkShare(tx *bolt.Tx, point [32]byte, e entry) error {
	if e.state != stateRecorded {
		return nil
	}
	var share []byte
	for i := 0; uint64(len(share)) < e.size; i++ {
		piece := getPiece(tx, point, i)
		if len(piece) == 0 {
			return fmt.Errorf("piece %d of the share is missing", i)
		}
		share = append(share, piece...)
	}
	if shareSum(labelHash(point, e.digest), NewPayload(share)) != e.sum {
		return errors.New("checksum of the share does not match")
	}
	return nil
}

// take counts an entry and compares it with those of the same point.
func (a *auditor) take(point [32]byte, e seenEntry) {
	a.Points++
	switch e.state {
	case stateBound:
		a.Bound++
	case stateRecorded, stateDerived:
		a.Recorded++
	default:
		a.Forgotten++
	}
	for _, o := range a.first[point] {
		both := o.made() && e.made()
		switch {
		case o.party == e.party && (o.digest != e.digest || both && (o.sum != e.sum || o.size != e.size)):
			a.find(TwoShares, e.name, nil, o.file, e.file)
		case o.party != e.party && o.digest != e.digest:
			a.find(OtherInput, e.name, nil, o.file, e.file)
		case o.party != e.party && both && e.size >= telling && o.sum == e.sum:
			a.find(SameShare, e.name, nil, o.file, e.file)
		}
	}
	a.first[point] = append(a.first[point], e)
}

// telling is the least number of bytes of a share that can only be the same at two
// parties if their secrets are: some rounds pass on an input, and their shares are
// empty but for an encoding.
const telling = 64

// made reports whether the entry knows the share's checksum.
func (e entry) made() bool { return e.sum != [32]byte{} }

func (a *auditor) find(kind FindingKind, label string, err error, files ...string) {
	a.Findings = append(a.Findings, Finding{Kind: kind, Journals: files, Label: label, Err: err})
}
