package node

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/csv"
	"errors"
	"fmt"
	"io/fs"
	mrand "math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"filippo.io/age"

	"github.com/nereid-mhe/nereid/dataset"
	"github.com/nereid-mhe/nereid/identity"
	"github.com/nereid-mhe/nereid/internal/files"
	"github.com/nereid-mhe/nereid/roster"
	"github.com/nereid-mhe/nereid/studyfile"
)

// A Trial is a study whose parties are all on this machine, as processes of their
// own with everything that they have on hosts of their own: identities, a lock that
// they have signed, mutual TLS. It lives in a directory:
//
//	trial.key            age key of all identities: whoever has it has all secrets
//	plan.lock            signed by all parties
//	NAME/NAME.identity   of a party or a querier
//	NAME/rows.csv        its rows
//	NAME/state           its journal and store, once it ran
type Trial struct {
	Dir  string
	Lock roster.Lock

	File studyfile.File
	key  *age.X25519Identity
}

// Files of a trial.
const (
	trialKey  = "trial.key"
	trialLock = "plan.lock"
	trialRows = "rows.csv"
)

// TrialData are the rows of a trial: of each party in the order of the study's
// roster, and of the querier.
type TrialData struct {
	Parties []dataset.Table
	Querier dataset.Table
}

// NewTrial makes the trial of a study in dir, which must not hold another one. A
// study without a roster gets parties named "party-0", "party-1" and so on; every
// party listens on a free port of this machine. ctx ends the search for a plan.
func NewTrial(ctx context.Context, dir string, ring studyfile.Ring, f studyfile.File, data TrialData) (*Trial, error) {
	if _, err := os.Stat(filepath.Join(dir, trialLock)); err == nil {
		return nil, fmt.Errorf("node: %s holds a trial already: %w", dir, fs.ErrExist)
	}
	if len(f.Opening.Queriers) == 0 {
		return nil, errors.New("node: a trial of a study without a querier, want one to have predictions: name it under opening")
	}
	if len(f.Parties.Roster) == 0 {
		for i := range f.Parties.Count {
			f.Parties.Roster = append(f.Parties.Roster, studyfile.Member{Name: fmt.Sprintf("party-%d", i)})
		}
	}
	for i, t := range data.Parties { // one process has made the rows: their numbers are known to it
		f.Parties.Roster[i].Rows = t.Rows()
	}
	data.name(&f.Data)
	f = f.WithDefaults()
	t := &Trial{Dir: dir, File: f}
	if err := t.makeKey(); err != nil {
		return nil, err
	}
	return t, t.agree(ctx, ring, data)
}

// name gives columns that are known by their index names, for the files that a trial
// writes.
func (d TrialData) name(in *studyfile.Data) {
	named := func(column string) string {
		if _, err := strconv.Atoi(column); err == nil {
			return "column-" + column
		}
		return column
	}
	var features []string
	for _, c := range d.Querier.Features {
		features = append(features, named(c))
	}
	in.Label, in.Features, in.FeatureCount, in.Drop, in.Comma = named(in.Label), features, 0, nil, ""
}

// makeKey makes the key of all identities.
func (t *Trial) makeKey() (err error) {
	if err := os.MkdirAll(t.Dir, 0o700); err != nil {
		return err
	}
	if t.key, err = age.GenerateX25519Identity(); err != nil {
		return err
	}
	text := "# Encrypts ALL identities of a trial on one machine. Real parties keep their own keys.\n" + t.key.String() + "\n"
	return files.Replace(filepath.Join(t.Dir, trialKey), []byte(text), 0o600)
}

// agree goes through what parties do by mail: identities, invitation, requests,
// roster, lock, signatures.
func (t *Trial) agree(ctx context.Context, ring studyfile.Ring, data TrialData) error {
	addresses, err := freeAddresses(len(t.File.Parties.Roster))
	if err != nil {
		return err
	}
	var ids []*identity.Identity
	for i, m := range t.File.Parties.Roster {
		id, err := t.member(identity.Card{Name: m.Name, Role: identity.Party, Address: addresses[i]}, data.Parties[i])
		if err != nil {
			return err
		}
		ids = append(ids, id)
	}
	members := slices.Clone(ids)
	for _, q := range t.File.Opening.Queriers {
		id, err := t.member(identity.Card{Name: q.Name, Role: identity.Querier}, data.Querier)
		if err != nil {
			return err
		}
		members = append(members, id)
	}
	invitation, err := studyfile.Invite(ctx, ring, t.File, ids[0])
	if err != nil {
		return err
	}
	r := roster.New(invitation)
	for _, id := range members[1:] {
		request, err := studyfile.Join(ctx, ring, invitation, id)
		if err != nil {
			return err
		}
		if r, err = r.Approve(request); err != nil {
			return err
		}
	}
	var beacon [32]byte
	_, _ = rand.Read(beacon[:]) // ends the program rather than fail
	lock, err := studyfile.Lock(ctx, ring, r, beacon)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if lock, err = lock.Sign(id); err != nil {
			return err
		}
	}
	t.Lock = lock
	b, err := lock.Encode()
	if err != nil {
		return err
	}
	return files.Replace(filepath.Join(t.Dir, trialLock), b, 0o644)
}

// member makes the directory of a party or the querier: its identity and its rows.
func (t *Trial) member(card identity.Card, rows dataset.Table) (*identity.Identity, error) {
	id, err := identity.New(card)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(t.Dir, card.Name), 0o700); err != nil {
		return nil, err
	}
	sealed, err := id.Seal(t.key.Recipient())
	if err != nil {
		return nil, err
	}
	if err := files.Replace(t.IdentityFile(card.Name), sealed, 0o600); err != nil {
		return nil, err
	}
	return id, writeRows(t.RowsFile(card.Name), t.File.Columns(), rows)
}

// OpenTrial opens the trial in dir. Errors wrap [fs.ErrNotExist] if there is none.
func OpenTrial(dir string) (*Trial, error) {
	t := &Trial{Dir: dir}
	b, err := os.ReadFile(filepath.Join(dir, trialLock))
	if err != nil {
		return nil, err
	}
	if t.Lock, err = roster.ParseLock(b); err != nil {
		return nil, err
	}
	if t.File, err = studyfile.Of(t.Lock.Invitation()); err != nil {
		return nil, err
	}
	if len(t.File.Opening.Queriers) == 0 {
		return nil, fmt.Errorf("node: %s is of a study without a querier, a trial has one: name the directory of a trial", t.LockFile())
	}
	text, err := os.ReadFile(t.KeyFile())
	if err != nil {
		return nil, err
	}
	keys, err := age.ParseIdentities(strings.NewReader(string(text)))
	if err != nil {
		return nil, fmt.Errorf("node: %s is no age key file", t.KeyFile()) // age's error may quote it
	}
	key, ok := keys[0].(*age.X25519Identity)
	if !ok {
		return nil, fmt.Errorf("node: %s holds a key of another kind", t.KeyFile())
	}
	t.key = key
	return t, nil
}

// KeyFile returns the file of the age key.
func (t *Trial) KeyFile() string { return filepath.Join(t.Dir, trialKey) }

// LockFile returns the file of the lock.
func (t *Trial) LockFile() string { return filepath.Join(t.Dir, trialLock) }

// IdentityFile returns the file of an identity.
func (t *Trial) IdentityFile(name string) string {
	return filepath.Join(t.Dir, name, name+".identity")
}

// RowsFile returns the file of the rows of a party or the querier.
func (t *Trial) RowsFile(name string) string { return filepath.Join(t.Dir, name, trialRows) }

// StateDir returns the directory of a party's journal and store.
func (t *Trial) StateDir(name string) string { return filepath.Join(t.Dir, name, "state") }

// Identity opens the identity of a party or the querier.
func (t *Trial) Identity(name string) (*identity.Identity, error) {
	b, err := os.ReadFile(t.IdentityFile(name))
	if err != nil {
		return nil, err
	}
	return identity.Open(b, t.key)
}

// Querier opens the identity of the querier.
func (t *Trial) Querier() (*identity.Identity, error) { return t.Identity(t.querierName()) }

// Rows reads the rows of a party.
func (t *Trial) Rows(name string) (dataset.Table, error) { return readRows(t.RowsFile(name), t.File) }

// querierName returns the querier that the trial plays: the one that may have most.
// The others have identities and the same rows, for whoever plays them.
func (t *Trial) querierName() string {
	return slices.MaxFunc(t.File.Opening.Queriers, func(a, b studyfile.Querier) int { return cmp.Compare(a.Rows, b.Rows) }).Name
}

// QuerierRows reads the rows of the querier.
func (t *Trial) QuerierRows() (dataset.Table, error) {
	return readRows(t.RowsFile(t.querierName()), t.File)
}

func readRows(path string, f studyfile.File) (dataset.Table, error) {
	columns := f.Columns()
	columns.Partial = true // of the classes
	table, _, err := dataset.ReadFile(path, columns)
	return table, err
}

// freeAddresses returns addresses of this machine with ports that are free now. They
// are below those that systems give to outgoing connections, which could take the port
// of a party while that is started again.
func freeAddresses(n int) (all []string, _ error) {
	const lowest, highest, tries = 10_000, 32_000, 1000
	for failures := 0; len(all) < n; {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", lowest+mrand.IntN(highest-lowest)))
		if err != nil {
			if failures++; failures == tries {
				return nil, fmt.Errorf("node: no free port for each of %d parties: %w", n, err)
			}
			continue
		}
		defer l.Close() // at the end: all are different
		all = append(all, l.Addr().String())
	}
	return all, nil
}

// writeRows writes a table as the study's schema reads it, with every digit.
func writeRows(path string, s dataset.Schema, t dataset.Table) error {
	f, err := files.Temp(path, 0o600)
	if err != nil {
		return err
	}
	w := csv.NewWriter(f)
	_ = w.Write(append(slices.Clone(s.Features), s.Label)) // errors come with Flush
	for i, row := range t.X {
		cells := make([]string, 0, len(row)+1)
		for _, x := range row {
			cells = append(cells, strconv.FormatFloat(x, 'g', -1, 64))
		}
		class := strconv.FormatFloat(t.Y[i], 'g', -1, 64)
		if k := int(t.Y[i]); len(s.Classes) > k {
			class = s.Classes[k]
		}
		_ = w.Write(append(cells, class))
	}
	w.Flush()
	if err := errors.Join(w.Error(), f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return os.Rename(f.Name(), path)
}
