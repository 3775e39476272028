package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nereid-mhe/nereid/dataset"
	"github.com/nereid-mhe/nereid/nn"
	"github.com/nereid-mhe/nereid/node"
	"github.com/nereid-mhe/nereid/study"
)

const preflightLong = `Checks all that "nereid node" with the same flags will need, and changes nothing: lock and
signatures, the crypto plan, the rows, the modes of secret files, directory and journal,
disk, memory, the port, the peers that this party dials, the clock.

A peer that does not answer is a warning: it may be started later. The exit code is 0 if
nothing but warnings was found, and 4 otherwise.`

// A preflightReport is what nereid preflight prints: a contract.
type preflightReport struct {
	Party    string         `json:"party"`
	OK       bool           `json:"ok"`
	Findings []node.Finding `json:"findings"`
}

type preflight struct {
	participant
	data, dir, listen, format string
	wait                      time.Duration
}

func newPreflight() *cobra.Command {
	o := preflight{wait: 5 * time.Second}
	c := &cobra.Command{
		Use: "preflight", Short: "Check all that a node needs before it is started", Long: preflightLong,
		Example: "  nereid preflight --lock plan.lock --identity north.identity --data north.csv --dir /var/lib/nereid", Args: noArgs,
	}
	groups := []group{
		{"Study", flagSet(o.participant.bind)},
		{"Party", flagSet(func(f *pflag.FlagSet) {
			f.StringVar(&o.data, "data", "", "`FILE` with this party's rows; required")
			f.StringVar(&o.dir, "dir", "", "`DIRECTORY` for journal and state; required")
			f.StringVar(&o.listen, "listen", "", "`HOST:PORT` that the node will open (default: as of nereid node)")
		})},
		{"Output", flagSet(func(f *pflag.FlagSet) {
			bindFormat(f, &o.format)
			f.DurationVar(&o.wait, "wait", o.wait, "`TIME` to wait for a peer")
		})},
	}
	c.RunE = func(c *cobra.Command, _ []string) error {
		switch {
		case o.data == "":
			return usageError("name the file with this party's rows", "--data is missing")
		case o.dir == "":
			return usageError("name a directory that outlives the process", "--dir is missing")
		}
		r, err := o.run(c)
		if err != nil {
			return err
		}
		if err := printReport(c, o.format, r, r.write); err != nil {
			return err
		}
		if !r.OK {
			return &failure{exitRefused, errors.New("a node would not run here"), "see the column HOW TO FIX"}
		}
		return nil
	}
	addFlags(c, groups)
	return c
}

// run makes all checks whose ground others have not taken away. The error is of the
// command line: a file that is missing, a wrong passphrase.
func (o *preflight) run(c *cobra.Command) (r preflightReport, err error) {
	l, err := o.read(c)
	if l.id == nil {
		return r, err
	}
	r.Party = l.id.Card().Name
	r.Findings = o.modes()
	if r.add("lock", "signed by all parties", err) {
		if r.add("plan", "the study compiles to that of the lock", mismatch(o.lock, o.compile(c.Context(), &l), "do not use this lock: ask the founder; a toy lock needs --insecure")) {
			note, err := o.rows(l)
			r.add("data", note, err)
			r.Findings = append(r.Findings, duration(l))
			cfg := node.Config{Identity: l.id, Lock: l.lock, Terms: l.terms, Dir: o.dir, Listen: o.listen}
			r.Findings = append(r.Findings, node.Preflight(c.Context(), cfg, o.wait)...)
		}
	}
	r.OK = true
	for _, f := range r.Findings {
		r.OK = r.OK && (f.Problem == "" || f.Warning)
	}
	return r, c.Context().Err()
}

// add adds the finding of a check that ended with an error or nil, and reports
// whether it is nil.
func (r *preflightReport) add(check, note string, err error) bool {
	f := node.Finding{Check: check, Note: note}
	if err != nil {
		e := explain(err)
		f = node.Finding{Check: check, Problem: withoutPackage(e.Error()), Remedy: e.remedy}
	}
	r.Findings = append(r.Findings, f)
	return err == nil
}

// modes looks at the files with secrets.
func (o *preflight) modes() (out []node.Finding) {
	for _, s := range []struct{ check, path string }{{"identity", o.file}, {"passphrase", o.passphraseFile}, {"key file", o.keyFile}} {
		if s.path == "" {
			continue
		}
		f := node.Finding{Check: s.check, Note: "for its owner only"}
		if info, err := os.Stat(s.path); err == nil && node.Exposed(info.Mode()) { // it was read
			f = node.Finding{
				Check: s.check, Problem: fmt.Sprintf("others may read %s: its mode is %04o", s.path, info.Mode().Perm()),
				Remedy: fmt.Sprintf("chmod 600 %s", s.path),
			}
		}
		out = append(out, f)
	}
	return out
}

// duration says what the study is expected to take on hosts as the study file has
// them.
func duration(l lockedStudy) node.Finding {
	link := study.Link{Mbit: l.file.Hosts.Mbit, Latency: l.file.Hosts.Latency}
	f := l.terms.Forecast(study.Typical(nn.DefaultCosts(), link))
	note := fmt.Sprintf("setup %s, training %s, predictions %s, at %g Mbit/s and %g ms", seconds(f.Setup.Seconds), seconds(f.Training.Seconds), seconds(f.Predict.Seconds), link.Mbit, link.Latency)
	return node.Finding{Check: "duration", Note: note}
}

// rows reads the rows as a node does.
func (o *preflight) rows(l lockedStudy) (note string, err error) {
	columns := l.file.Columns()
	columns.Partial = true // of the classes
	table, _, err := dataset.ReadFile(o.data, columns)
	if err != nil {
		return "", unreadable(err, "--data")
	}
	self, ok := l.lock.Party(l.id.Key())
	if !ok {
		return "", nil // a querier: node.Preflight says so
	}
	if err := l.terms.Check(table, self); errors.Is(err, study.ErrConfig) {
		return "", &failure{exitData, err, "give --data the rows that the study says, or lock it again with fewer"}
	} else if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s, %s", count(table.Rows(), "row"), count(table.Dim(), "feature")), nil
}

func (r preflightReport) write(t *page) {
	t.fact("CHECK", "PROBLEM | HOW TO FIX")
	for _, f := range r.Findings {
		text := "ok: " + f.Note
		if f.Problem != "" {
			state := "FAILED"
			if f.Warning {
				state = "warning"
			}
			text = fmt.Sprintf("%s: %s | %s", state, f.Problem, f.Remedy)
		}
		t.fact(f.Check, text)
	}
}
