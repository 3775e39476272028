// Package files writes files whole or not at all.
package files

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// Temp creates a file of a random name beside path, which a rename turns into it.
// The mode is perm without the bits of the umask.
func Temp(path string, perm fs.FileMode) (*os.File, error) {
	dir, base := filepath.Split(path)
	name := filepath.Join(dir, "."+base+"."+rand.Text()[:8])
	return os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, perm)
}

// Replace writes b to the file at path, or to the target of a link there. After a
// crash the file is the old one or the new one.
func Replace(path string, b []byte, perm fs.FileMode) error {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	return write(path, b, perm, os.Rename)
}

// Create is Replace for a file that does not exist yet: an error wrapping
// [fs.ErrExist] leaves one that does as it is.
func Create(path string, b []byte, perm fs.FileMode) error {
	return write(path, b, perm, func(temp, path string) error {
		err := os.Link(temp, path) // fails if path exists, unlike Rename
		if err == nil {
			return os.Remove(temp)
		}
		if _, missing := os.Lstat(path); !errors.Is(missing, fs.ErrNotExist) {
			return fmt.Errorf("%s: %w", path, fs.ErrExist)
		}
		return os.Rename(temp, path) // a file system without links
	})
}

// write fills a temporary file, makes it durable and calls place to give it its
// name.
func write(path string, b []byte, perm fs.FileMode, place func(temp, path string) error) error {
	f, err := Temp(path, perm)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = place(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return SyncDir(filepath.Dir(path))
}

// SyncDir makes new names in a directory durable, where the system can do that.
func SyncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, fs.ErrInvalid) { // some network file systems
		err = nil
	}
	return errors.Join(err, d.Close())
}
