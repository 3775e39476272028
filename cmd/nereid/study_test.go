package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/identity"
	"github.com/nereid-mhe/nereid/protocols"
	"github.com/nereid-mhe/nereid/roster"
)

// scriptGet is the command
//
//	get VAR FILE KEY
//
// which sets a variable to a string in the JSON of a file.
func scriptGet(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: get var file key")
	}
	var report any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[1])), &report))
	v, _ := lookup(report, strings.Split(args[2], "."))
	s, ok := v.(string)
	if !ok {
		ts.Fatalf("%s is no string: %v", args[2], v)
	}
	ts.Setenv(args[0], s)
}

// scriptFlip is the command
//
//	flip FILE TEXT OUTPUT
//
// which copies a file with one bit changed in the last byte of the first TEXT.
func scriptFlip(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: flip file text output")
	}
	b := []byte(ts.ReadFile(args[0]))
	i := strings.Index(string(b), args[1])
	if i < 0 {
		ts.Fatalf("no %q in %s", args[1], args[0])
	}
	b[i+len(args[1])-1] ^= 1
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), b, 0o600))
}

// scriptRelock is the command
//
//	relock ROSTER LOCK OLD NEW OUTPUT
//
// which locks a roster as LOCK does but for a text in the crypto plan: what the
// command never does and a founder can.
func scriptRelock(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 5 {
		ts.Fatalf("usage: relock roster lock old new output")
	}
	r, err := roster.Parse([]byte(ts.ReadFile(args[0])))
	ts.Check(err)
	l, err := roster.ParseLock([]byte(ts.ReadFile(args[1])))
	ts.Check(err)
	plan := strings.Replace(string(l.Plan()), args[2], args[3], 1)
	if plan == string(l.Plan()) {
		ts.Fatalf("no %q in the plan of %s", args[2], args[1])
	}
	l, err = r.Lock(roster.Terms{Fanout: l.Fanout(), Plan: []byte(plan), Beacon: l.Beacon()})
	ts.Check(err)
	b, err := l.Encode()
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[4]), b, 0o600))
}

// scriptKeyless is the command
//
//	keyless INVITATION IDENTITY KEY OUTPUT
//
// which joins a study without looking at it: as whom it does not name, or as a
// querier without a key for predictions.
func scriptKeyless(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 {
		ts.Fatalf("usage: keyless invitation identity key output")
	}
	i, err := roster.ParseInvitation([]byte(ts.ReadFile(args[0])))
	ts.Check(err)
	keys, err := age.ParseIdentities(strings.NewReader(ts.ReadFile(args[2])))
	ts.Check(err)
	id, err := identity.Open([]byte(ts.ReadFile(args[1])), keys...)
	ts.Check(err)
	b, err := i.Join(id, identity.Digest{}).Encode()
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[3]), b, 0o600))
}

// scriptShares is the command
//
//	shares DIR INPUT...
//
// which makes the journal of a party in a directory, with a share at one point for
// each input. A share depends on the directory's name and the input.
func scriptShares(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: shares dir input...")
	}
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o700))
	j, err := protocols.OpenJournal(filepath.Join(dir, "journal"))
	ts.Check(err)
	for step, input := range args[1:] {
		l := protocols.Label{Point: protocols.Point{Protocol: "test", Step: uint64(step)}, Digest: sha256.Sum256([]byte(input))}
		_, err := j.Share(l, func() ([]byte, error) { return []byte(strings.Repeat(args[0]+input, 100)), nil })
		ts.Check(err)
	}
	ts.Check(j.Close())
}

// scriptAgeKey is the command
//
//	agekey FILE
//
// which writes a new key file, as age-keygen does.
func scriptAgeKey(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: agekey file")
	}
	k, err := age.GenerateX25519Identity()
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), fmt.Appendf(nil, "# public key: %s\n%s\n", k.Recipient(), k), 0o600))
}

// shippedWork is what scryptWork is before TestMain lowers it.
var shippedWork = scryptWork

// The passphrases of users are worth age's full work.
func TestWorkOfPassphrases(t *testing.T) {
	require.Equal(t, 18, shippedWork)
	require.Less(t, scryptWork, shippedWork)
}

// What someone else wrote does not act on a terminal.
func TestShowStudy(t *testing.T) {
	require.Equal(t, "a:\n\tb \uFFFD[2J é\uFFFD", showStudy([]byte("a:\n\tb \x1b[2J é\xff\n")))
}

func TestFindingsHaveExitCodes(t *testing.T) {
	for reason, want := range map[identity.Reason]int{identity.Invalid: exitUsage, identity.Locked: exitUntrusted, identity.Forged: exitUntrusted} {
		f := explain(fmt.Errorf("x: %w", &identity.Error{Reason: reason, Problem: "p", Remedy: "r"}))
		require.Equal(t, want, f.code)
		require.Equal(t, "r", f.remedy)
	}
}
