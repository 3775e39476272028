package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nereid-mhe/nereid/protocols"
)

func newJournal() *cobra.Command {
	c := &cobra.Command{
		Use: "journal", Short: "Audit the journals of shares", Long: "The journal of a party holds every share that it ever made, so that none is made twice.",
		SuggestionsMinimumDistance: 2, Args: cobra.ArbitraryArgs, RunE: chooseCommand,
	}
	c.AddCommand(newJournalVerify())
	return c
}

const journalVerifyLong = `Reads the journals of parties, without changing them, and holds them against each other:
no label may have two shares, no point of the study two inputs, and no two parties the
same share. Entries and shares are checked against their checksums.

An argument is the directory of one party, with its file "journal" and copies of it from
other times, if there are any, as "journal.OLD", or it is a journal itself. Nodes must be
stopped, or copies given. Findings are exit code 5.`

const journalVerifyExample = `  nereid journal verify north/state
  nereid journal verify collected/north collected/south collected/west --format json`

func newJournalVerify() *cobra.Command {
	var format string
	c := &cobra.Command{
		Use: "verify DIR...", Short: "Check that no label has two shares", Long: journalVerifyLong, Example: journalVerifyExample,
		Args: wantArgs(1, 1<<16, "the DIRECTORY of a party, or those of several"),
		RunE: func(c *cobra.Command, args []string) error {
			parties, err := journals(args)
			if err != nil {
				return err
			}
			a, err := protocols.VerifyJournals(parties...)
			if err != nil {
				return usageError("name journals that can be read, or copies of them", "%w", err)
			}
			if err := printReport(c, format, auditOf(a), func(t *page) { t.audit(a) }); err != nil {
				return err
			}
			if n := len(a.Findings); n > 0 {
				return &failure{exitUntrusted, fmt.Errorf("%s in %s", count(n, "finding"), count(a.Journals, "journal")), "stop all nodes and keep the journals: secrets may be in danger"}
			}
			return nil
		},
	}
	addFlags(c, []group{{"Output", flagSet(func(f *pflag.FlagSet) { bindFormat(f, &format) })}})
	return c
}

// journals returns the files of every party. A file that is named twice would be
// taken for two parties with one secret, and is refused.
func journals(args []string) (parties [][]string, err error) {
	const remedy = "name the directory of a node, or its journal"
	var all []os.FileInfo
	for _, arg := range args {
		files := []string{arg}
		info, err := os.Stat(arg)
		if err != nil {
			return nil, usageError(remedy, "%w", err)
		}
		if info.IsDir() {
			entries, err := os.ReadDir(arg)
			if err != nil {
				return nil, usageError(remedy, "%w", err)
			}
			files = []string{filepath.Join(arg, "journal")}
			for _, e := range entries {
				if strings.HasPrefix(e.Name(), "journal.") {
					files = append(files, filepath.Join(arg, e.Name()))
				}
			}
		}
		for _, file := range files {
			info, err := os.Stat(file)
			if err == nil && !info.Mode().IsRegular() {
				err = errors.New(file + " is no file")
			}
			if err != nil {
				return nil, usageError(remedy, "%w", err)
			}
			if slices.ContainsFunc(all, func(other os.FileInfo) bool { return os.SameFile(info, other) }) {
				return nil, usageError("name every journal once", "%s is named twice", file)
			}
			all = append(all, info)
		}
		parties = append(parties, files)
	}
	return parties, nil
}

// An auditJSON is the JSON form of an audit: a contract.
type auditJSON struct {
	Journals  int           `json:"journals"`
	Points    int           `json:"points"`    // in all journals
	Bound     int           `json:"bound"`     // of them, without a share
	Recorded  int           `json:"recorded"`  // with the share
	Forgotten int           `json:"forgotten"` // whose share was dropped after its step
	Findings  []findingJSON `json:"findings"`
}

type findingJSON struct {
	Kind     protocols.FindingKind `json:"kind"`
	Journals []string              `json:"journals"`
	Label    string                `json:"label,omitempty"`
	Problem  string                `json:"problem,omitempty"`
}

func auditOf(a protocols.Audit) auditJSON {
	out := auditJSON{a.Journals, a.Points, a.Bound, a.Recorded, a.Forgotten, []findingJSON{}}
	for _, f := range a.Findings {
		j := findingJSON{Kind: f.Kind, Journals: f.Journals, Label: f.Label}
		if f.Err != nil {
			j.Problem = f.Err.Error()
		}
		out.Findings = append(out.Findings, j)
	}
	return out
}

// audit prints an audit for people. Labels are from files that others wrote.
func (t *page) audit(a protocols.Audit) {
	t.fact("journals", fmt.Sprint(a.Journals))
	t.fact("points", fmt.Sprintf("%d: %s, %d dropped after their step, %d without a share", a.Points, count(a.Recorded, "share"), a.Forgotten, a.Bound))
	if len(a.Findings) == 0 {
		t.fact("findings", "none: no label has two shares")
	}
	for _, f := range a.Findings {
		t.fact("finding", harmless([]byte(f.String())))
	}
}
