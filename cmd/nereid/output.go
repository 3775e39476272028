package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/nereid-mhe/nereid/internal/files"
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
	f, err := files.Temp(o.path, 0o666)
	if err == nil {
		err = errors.Join(f.Close(), os.Remove(f.Name()))
	}
	if err != nil {
		return usageError(remedy, "cannot write --output: %w", err)
	}
	return nil
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
	return files.Replace(o.path, b, 0o666)
}
