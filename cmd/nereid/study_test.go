package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"filippo.io/age"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/identity"
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
	for reason, want := range map[identity.Reason]int{identity.Invalid: exitUsage, identity.Locked: exitUntrusted, identity.Expired: exitUntrusted} {
		f := explain(fmt.Errorf("x: %w", &identity.Error{Reason: reason, Problem: "p", Remedy: "r"}))
		require.Equal(t, want, f.code)
		require.Equal(t, "r", f.remedy)
	}
}
