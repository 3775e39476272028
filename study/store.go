package study

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nereid-mhe/nereid/internal/files"
)

// A Store keeps what a [Node] must not forget, by name. Nothing in it is secret:
// ciphertexts, sums that all parties know, and digests. It is safe for concurrent
// use with different names.
type Store interface {
	// Put replaces a value, which may come in parts, all of it or nothing; when it
	// returns the value is durable.
	Put(name string, value ...[]byte) error
	// Get returns the value last put, or an error wrapping [fs.ErrNotExist].
	Get(name string) ([]byte, error)
	// Delete removes a value; one that is not there is no error.
	Delete(name string) error
}

// ErrDamaged is wrapped by errors about stored values that do not match their
// checksum or do not decode.
var ErrDamaged = errors.New("damaged")

// A FileStore is a [Store] in a directory of its own, a file for each value.
type FileStore struct{ dir string }

var _ Store = &FileStore{}

// tempPrefix starts the names of files that are being written.
const tempPrefix = ".writing-"

// OpenStore opens the store in dir, and creates it with mode 0700 if there is none.
// One process at a time has a store open: that of the node's journal, which locks
// its file. Files that a killed process was writing are removed.
func OpenStore(dir string) (*FileStore, error) {
	fail := func(err error) (*FileStore, error) {
		return nil, fmt.Errorf("study: opening store %s: %w", dir, err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fail(err)
	}
	left, err := filepath.Glob(filepath.Join(dir, tempPrefix+"*"))
	if err != nil {
		return fail(err)
	}
	for _, f := range left {
		if err := os.Remove(f); err != nil {
			return fail(err)
		}
	}
	return &FileStore{dir}, nil
}

// path returns the file of a value. Names are small letters, digits and hyphens.
func (s *FileStore) path(name string) (string, error) {
	if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return "", fmt.Errorf("study: store: a value called %q", name)
	}
	return filepath.Join(s.dir, name), nil
}

// Put implements [Store].
func (s *FileStore) Put(name string, value ...[]byte) error {
	path, err := s.path(name)
	if err != nil {
		return err
	}
	if err := s.put(path, append(slices.Clip(value), storeSum(name, value...))); err != nil {
		return fmt.Errorf("study: writing %s: %w", path, err)
	}
	return nil
}

func (s *FileStore) put(path string, parts [][]byte) error {
	f, err := os.CreateTemp(s.dir, tempPrefix+"*") // mode 0600
	if err != nil {
		return err
	}
	for _, p := range parts {
		if _, err = f.Write(p); err != nil {
			break
		}
	}
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return files.SyncDir(s.dir)
}

// Get implements [Store]. The error wraps [ErrDamaged] if the file does not match
// its checksum.
func (s *FileStore) Get(name string) ([]byte, error) {
	path, err := s.path(name)
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("study: %w", err)
	}
	n := len(b) - crc32.Size
	if n < 0 {
		return nil, fmt.Errorf("study: %s: %w: it is cut short", path, ErrDamaged)
	}
	if !bytes.Equal(storeSum(name, b[:n]), b[n:]) {
		return nil, fmt.Errorf("study: %s: %w: it does not match its checksum", path, ErrDamaged)
	}
	return b[:n:n], nil
}

// Delete implements [Store].
func (s *FileStore) Delete(name string) error {
	path, err := s.path(name)
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("study: %w", err)
	}
	return nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// storeSum is the checksum of a value, which finds faults of disks; it covers the name,
// so that files are not taken for each other.
func storeSum(name string, value ...[]byte) []byte {
	sum := crc32.Checksum([]byte(name), castagnoli)
	for _, part := range value {
		sum = crc32.Update(sum, castagnoli, part)
	}
	return binary.BigEndian.AppendUint32(nil, sum)
}
