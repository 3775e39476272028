package main

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/nereid-mhe/nereid/roster"
	"github.com/nereid-mhe/nereid/study"
	"github.com/nereid-mhe/nereid/studyfile"
)

// What the commands of a study know of its content is in this file. They compile it
// on secure rings only.

// compiling says that a study is compiled, if that takes seconds.
func compiling(c *cobra.Command, f studyfile.File) {
	if f.Model.Kind == studyfile.Network {
		fmt.Fprintf(c.ErrOrStderr(), "compiling the study %s: the search for a plan may take a minute\n", f.Name)
	}
}

// compilingOf is compiling for the study of an invitation.
func compilingOf(c *cobra.Command, i roster.Invitation) error {
	f, err := studyfile.Of(i)
	if err == nil {
		compiling(c, f)
	}
	return err
}

// locked computes the terms of a lock again, and refuses one with others.
func locked(c *cobra.Command, path string, l roster.Lock) (study.Terms, error) {
	if err := compilingOf(c, l.Invitation()); err != nil {
		return study.Terms{}, err
	}
	_, terms, err := studyfile.Locked(c.Context(), studyfile.Secure, l)
	return terms, mismatch(path, err, "do not use this lock: ask the founder, and have the same version of the program at all parties")
}

// mismatch gives an error about a file that is not as its study says the remedy.
func mismatch(path string, err error, remedy string) error {
	if !errors.Is(err, studyfile.ErrMismatch) {
		return err
	}
	return &failure{exitUntrusted, fmt.Errorf("%s: %w", path, err), remedy}
}

// showStudy returns the study file of canonical content for people. Content that is
// no study is shown as it is.
func showStudy(content []byte) string {
	if f, err := studyfile.Parse("study", content); err == nil {
		if b, err := f.Marshal(); err == nil {
			content = b
		}
	}
	return harmless(content)
}

// harmless returns a text without what a terminal would act on: it was written by
// someone else.
func harmless(text []byte) string {
	return strings.TrimRight(strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, string(text)), "\n")
}
