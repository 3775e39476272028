package study

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/nereid-mhe/nereid/internal/files"
	"github.com/nereid-mhe/nereid/params"
)

// A CheckpointError reports that a simulation cannot go on from its checkpoint, or
// cannot write it. The file is as it was.
type CheckpointError struct {
	File    string
	Problem string
	Remedy  string
	Err     error // of the operating system; may be nil
}

func (e *CheckpointError) Error() string {
	msg := fmt.Sprintf("study: checkpoint %s: %s", e.File, e.Problem)
	if e.Err != nil {
		msg += ": " + e.Err.Error()
	}
	return msg
}

func (e *CheckpointError) Unwrap() error { return e.Err }

// openCheckpoint reads the file of a checkpoint and returns it with the beacon of
// its study. If there is none it returns nil and a new beacon, and an error if none
// could be written. It removes what a run left that was killed while it wrote.
func openCheckpoint(path string) (*checkpoint, digest, error) {
	var fresh digest
	_, _ = rand.Read(fresh[:]) // does not fail
	if path == "" {
		return nil, fresh, nil
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := removeLeftovers(path); err != nil {
			return nil, fresh, err
		}
		return nil, fresh, checkWritable(path)
	}
	if err != nil {
		return nil, fresh, &CheckpointError{path, "cannot be read", "name a file that can be read and written, in a directory that exists", err}
	}
	c, err := decodeCheckpoint(b)
	if err != nil {
		return nil, fresh, &CheckpointError{path, "cannot be used: " + err.Error(), otherFile, nil}
	}
	return c, c.Beacon, removeLeftovers(path)
}

const otherFile = "name another file to start anew, or remove this one"

// write replaces the file of a checkpoint by another, all of it or nothing. Only
// its owner may read it.
func (c *checkpoint) write(path string, set params.Set) error {
	path = behindLinks(path)
	f, err := files.Temp(path, 0o600)
	if err != nil {
		return &CheckpointError{path, "cannot be written", "name a file in a directory that exists and is writable", err}
	}
	err = c.encode(f, set)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		err = errors.Join(err, os.Remove(f.Name()))
		return &CheckpointError{path, "cannot be written", "make room on the disk, and run the study again to go on", err}
	}
	if err := files.SyncDir(filepath.Dir(path)); err != nil {
		return &CheckpointError{path, "may not survive a crash", "keep it on a local disk", err}
	}
	return nil
}

// behindLinks returns the file that a path leads to: a link stays, its target is
// replaced.
func behindLinks(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	return path
}

// tempLetters is how many random letters end the name of a file of [files.Temp].
const tempLetters = 8

// removeLeftovers removes the temporary files of runs that were killed while they
// wrote the checkpoint: they hold the same secrets. Only files that a write began
// are removed. A run that is writing this very moment, which nobody should start a
// second time, reports that it could not.
func removeLeftovers(path string) error {
	dir, base := filepath.Split(behindLinks(path))
	entries, err := os.ReadDir(cmp.Or(dir, "."))
	if err != nil {
		return nil // what can neither be listed nor written is found by checkWritable
	}
	for _, e := range entries {
		letters, ok := strings.CutPrefix(e.Name(), "."+base+".")
		if !ok || len(letters) != tempLetters || strings.Trim(letters, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") != "" || !e.Type().IsRegular() {
			continue
		}
		file := filepath.Join(dir, e.Name())
		if !beginsAsCheckpoint(file) {
			continue
		}
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return &CheckpointError{path, "has a copy that a run left which was killed, with the same secrets, and it cannot be removed", "remove " + file, err}
		}
	}
	return nil
}

// beginsAsCheckpoint reports whether a file is a checkpoint as far as it goes.
func beginsAsCheckpoint(file string) bool {
	f, err := os.Open(file)
	if err != nil {
		return false
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, int64(len(checkpointHeader))))
	return err == nil && strings.HasPrefix(checkpointHeader, string(b))
}

// checkWritable reports whether a checkpoint can be written later. It leaves no
// trace.
func checkWritable(path string) error {
	f, err := files.Temp(path, 0o600)
	if err == nil {
		err = errors.Join(f.Close(), os.Remove(f.Name()))
	}
	if err != nil {
		return &CheckpointError{path, "cannot be written", "name a file in a directory that exists and is writable", err}
	}
	return nil
}
