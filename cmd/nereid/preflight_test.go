package main

import (
	"context"
	"encoding/json"
	"net"
	"path/filepath"
	"strconv"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/nereid-mhe/nereid/dataset"
	"github.com/nereid-mhe/nereid/identity"
	"github.com/nereid-mhe/nereid/node"
	"github.com/nereid-mhe/nereid/protocols"
	"github.com/nereid-mhe/nereid/roster"
	"github.com/nereid-mhe/nereid/studyfile"
)

// scriptTrial is the command
//
//	trial STUDY DIR
//
// which makes a trial on the toy ring, with 30 made-up rows for every party and the
// querier.
func scriptTrial(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: trial study dir")
	}
	f, err := studyfile.Parse(args[0], []byte(ts.ReadFile(args[0])))
	ts.Check(err)
	var data node.TrialData
	for i := range f.Parties.Count + 1 {
		t, err := dataset.Synthetic(dataset.SyntheticConfig{Rows: 30, Features: len(f.Data.Features), Seed: uint64(i)})
		ts.Check(err)
		t.Features = f.Data.Features
		if i == f.Parties.Count {
			data.Querier = t
		} else {
			data.Parties = append(data.Parties, t)
		}
	}
	_, err = node.NewTrial(context.Background(), ts.MkAbs(args[1]), studyfile.Toy, f, data)
	ts.Check(err)
}

// scriptAddress is the command
//
//	address VAR LOCK PARTY
//
// which sets a variable to the address that a lock has for a party.
func scriptAddress(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: address var lock party")
	}
	ts.Setenv(args[0], partyOf(ts, args[1], args[2]).Address)
}

func partyOf(ts *testscript.TestScript, file, name string) identity.Request {
	l, err := roster.ParseLock([]byte(ts.ReadFile(file)))
	ts.Check(err)
	i, err := lockedStudy{lock: l}.party(name)
	ts.Check(err)
	return l.Parties()[i]
}

// scriptOccupy is the command
//
//	occupy ADDRESS
//
// which has something that is no node listen at an address until the script ends: it
// ends every connection.
func scriptOccupy(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: occupy address")
	}
	l, err := net.Listen("tcp", args[0])
	ts.Check(err)
	ts.Defer(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
		}
	}()
}

// scriptListening is the command
//
//	listening ADDRESS
//
// which waits until something listens at an address.
func scriptListening(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: listening address")
	}
	for range 500 {
		if c, err := net.Dial("tcp", args[0]); err == nil {
			_ = c.Close()
			return
		}
		time.Sleep(20 * time.Millisecond) // another process comes up
	}
	ts.Fatalf("nothing listens at %s", args[0])
}

// scriptHoldJournal is the command
//
//	holdjournal DIR
//
// which keeps the journal in a directory open until the script ends.
func scriptHoldJournal(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: holdjournal dir")
	}
	j, err := protocols.OpenJournal(filepath.Join(ts.MkAbs(args[0]), "journal"))
	ts.Check(err)
	ts.Defer(func() { _ = j.Close() })
}

// scriptFindings is the command
//
//	findings FILE CHECK=STATE...
//
// which wants every other finding in a report of preflight to be ok, and these to be
// warning or failed.
func scriptFindings(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: findings file check=state...")
	}
	var r preflightReport
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &r))
	want := map[string]bool{}
	for _, a := range args[1:] {
		want[a] = true
	}
	if len(r.Findings) == 0 {
		ts.Fatalf("no findings")
	}
	for _, f := range r.Findings {
		state := "failed"
		switch {
		case f.Problem == "":
			continue
		case f.Remedy == "":
			ts.Fatalf("%s: no remedy for %s", f.Check, f.Problem)
		case f.Warning:
			state = "warning"
		}
		if key := f.Check + "=" + state; !want[key] {
			ts.Fatalf("%s: %s", strconv.Quote(key), f.Problem)
		} else {
			delete(want, key)
		}
	}
	for key := range want {
		ts.Fatalf("%s was not found", key)
	}
}
