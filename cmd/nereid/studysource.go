package main

import (
	"strings"
	"unicode"

	"github.com/nereid-mhe/nereid/roster"
	"github.com/nereid-mhe/nereid/studyfile"
)

// What the commands of a study know of its content is in this file.

// studyOf returns the study of a study file, as rosters and locks hold it.
func studyOf(path string) (roster.Study, error) {
	f, err := readStudy(path)
	if err != nil {
		return roster.Study{}, err
	}
	s, err := roster.NewStudy(f.Name, f.Canonical())
	return s, inFile(path, err)
}

// showStudy returns the study file of canonical content for people, without what a
// terminal would act on: it was written by someone else. Content that is no study
// is shown as it is.
func showStudy(content []byte) string {
	if f, err := studyfile.Parse("study", content); err == nil {
		if b, err := f.Marshal(); err == nil {
			content = b
		}
	}
	return strings.TrimRight(strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, string(content)), "\n")
}
