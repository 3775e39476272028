package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nereid-mhe/nereid/identity"
	"github.com/nereid-mhe/nereid/internal/files"
	"github.com/nereid-mhe/nereid/roster"
)

// Modes of files.
const (
	secretMode fs.FileMode = 0o600
	publicMode fs.FileMode = 0o644
)

// A savedFile is a file that a command wrote, or found as it would have written it.
type savedFile struct {
	File  string `json:"file"`
	State string `json:"state"` // "new", "changed" or "unchanged"
}

// create writes a new public file. One with the same content is left as it is, and
// one with another is refused.
func create(path string, b []byte) (savedFile, error) {
	err := files.Create(path, b, publicMode)
	if !errors.Is(err, fs.ErrExist) {
		return savedFile{path, "new"}, unwritable(err)
	}
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, b) {
		return savedFile{path, "unchanged"}, nil
	}
	return savedFile{}, usageError("move it away, or choose another place for the new one", "%s exists with other content", path)
}

// replace writes the next version of a public file; old is the last.
func replace(path string, old, b []byte) (savedFile, error) {
	if bytes.Equal(old, b) {
		return savedFile{path, "unchanged"}, nil
	}
	return savedFile{path, "changed"}, unwritable(files.Replace(path, b, publicMode))
}

// unwritable gives an error of the operating system the remedy.
func unwritable(err error) error {
	if err == nil {
		return nil
	}
	return &failure{exitUsage, err, "name a place that exists and can be written to"}
}

// inFile puts the name of a file before what is wrong with its content.
func inFile(path string, err error) error {
	var who *identity.Error
	var agreed *roster.Error
	switch {
	case errors.As(err, &who):
		return &identity.Error{Reason: who.Reason, Problem: path + ": " + who.Problem, Remedy: who.Remedy}
	case errors.As(err, &agreed):
		return &roster.Error{Reason: agreed.Reason, Problem: path + ": " + agreed.Problem, Remedy: agreed.Remedy}
	}
	return err
}

// load reads a document with its parser. It returns the bytes too.
func load[T any](path string, parse func([]byte) (T, error)) (doc T, b []byte, err error) {
	if b, err = readDocument(path); err != nil {
		return doc, nil, err
	}
	doc, err = parse(b)
	return doc, b, inFile(path, err)
}

// stem returns the name of a file without directory and extension.
func stem(path string) string {
	return strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
}

// bindFormat binds the flag of commands that print no more than a few facts.
func bindFormat(f *pflag.FlagSet, to *string) {
	*to = "text"
	f.Var(choice(to, "text", "json"), "format", "`FORM` of the report, text or json; json is one line")
}

// printReport prints a report in the wanted form: as JSON, or as what text writes.
func printReport(c *cobra.Command, format string, report any, text func(*page)) error {
	var p page
	if format != "json" {
		text(&p)
	} else if err := json.NewEncoder(&p).Encode(report); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return output{"", c.OutOrStdout()}.write(p.Bytes())
}

// saved prints the files of a command.
func (t *page) saved(list []savedFile) {
	for _, f := range list {
		t.fact(f.State, f.File)
	}
}
