package main

import (
	"strings"
	"unicode"

	"github.com/nereid-mhe/nereid/roster"
)

// What the commands of a study know of its content is in this file.

// readStudy reads a study file. Its canonical form is the bytes of the file, and
// its name that of the file.
func readStudy(path string) (roster.Study, error) {
	b, err := readDocument(path)
	if err != nil {
		return roster.Study{}, err
	}
	s, err := roster.NewStudy(stem(path), b)
	return s, inFile(path, err)
}

// showStudy returns the canonical form of a study for people, without what a
// terminal would act on: it was written by someone else.
func showStudy(content []byte) string {
	return strings.TrimRight(strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, string(content)), "\n")
}
