package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// An output is where the report goes: a file, or stdout if path is empty.
type output struct {
	path   string
	stdout io.Writer
}

// check reports whether the report can be written later. It leaves no trace.
func (o output) check() error {
	if o.path == "" {
		return nil
	}
	remedy := "give --output a file in a directory that exists and is writable"
	if info, err := os.Stat(o.path); err == nil && !info.Mode().IsRegular() {
		return usageError(remedy, "cannot write --output %s: not a regular file", o.path)
	}
	f, err := o.temp()
	if err == nil {
		err = errors.Join(f.Close(), os.Remove(f.Name()))
	}
	if err != nil {
		return usageError(remedy, "cannot write --output: %w", err)
	}
	return nil
}

// temp creates a file in the directory of the output, which a rename turns into
// it.
func (o output) temp() (*os.File, error) {
	dir, base := filepath.Split(o.path)
	name := filepath.Join(dir, "."+base+"."+rand.Text()[:8])
	return os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
}

// write writes the report, to a file all of it or nothing.
func (o output) write(b []byte) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("cannot write the report: %w", err)
		}
	}()
	if o.path == "" {
		_, err = o.stdout.Write(b)
		return err
	}
	if real, err := filepath.EvalSymlinks(o.path); err == nil {
		o.path = real // a link stays, its target is replaced
	}
	f, err := o.temp()
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), o.path)
	}
	if err != nil {
		err = errors.Join(err, os.Remove(f.Name()))
	}
	return err
}
