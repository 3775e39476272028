package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nereid-mhe/nereid/internal/canon"
	"github.com/nereid-mhe/nereid/roster"
	"github.com/nereid-mhe/nereid/studyfile"
)

func newLock() *cobra.Command {
	var file string
	return studyCommand(&cobra.Command{
		Use: "lock ROSTER", Short: "Fix study, roster, tree and crypto plan for all to sign",
		Long: `Fixes a study: its content, the roster in order, the tree, the crypto plan and a fresh
random number, under one hash. The crypto plan is compiled from the study. All whom the
study names must be in the roster, and nobody else.

The first party is the root of the tree. Parties are in the order of the study's roster;
if it has none, of approval, those with an address first. A party with others below it
must have an address, for they dial it.`,
		Example: `  nereid study lock heart.roster`,
		Args:    wantArgs(1, 1, "the file of a ROSTER"),
	}, "Lock", func(f *pflag.FlagSet) {
		f.StringVar(&file, "output", "plan.lock", "`FILE` for the lock")
	}, func(c *cobra.Command, args []string) (agreement, error) {
		r, _, err := load(args[0], roster.Parse)
		if err != nil {
			return agreement{}, err
		}
		if err := compilingOf(c, r.Invitation()); err != nil {
			return agreement{}, err
		}
		a, err := lock(c.Context(), r, file)
		return a, mismatch(args[0], err, "approve, replace or remove members until all are in whom the study names")
	})
}

// lock writes a lock. One that is there already stays if it says the same, but for
// its random number and the signatures.
func lock(ctx context.Context, r roster.Roster, path string) (agreement, error) {
	_, err := os.Lstat(path)
	exists := !errors.Is(err, fs.ErrNotExist)
	var old roster.Lock
	var beacon [32]byte
	if exists {
		if old, _, err = load(path, roster.ParseLock); err != nil {
			return agreement{}, err
		}
		beacon = old.Beacon()
	} else {
		_, _ = rand.Read(beacon[:]) // ends the program rather than fail
	}
	l, err := studyfile.Lock(ctx, studyfile.Secure, r, beacon)
	if err != nil {
		return agreement{}, err
	}
	next := fmt.Sprintf(`send %s to all; every party signs its copy: "nereid study sign %s"`, path, path)
	if exists {
		if l.ID() != old.ID() {
			return agreement{}, usageError("move it away, or choose another --output: parties may have signed it", "%s exists, and locks something else", path)
		}
		return ofLock(old).wrote(next, savedFile{path, "unchanged"}), nil
	}
	b, err := l.Encode()
	if err != nil {
		return agreement{}, err
	}
	saved, err := create(path, b)
	if err != nil {
		return agreement{}, err
	}
	return ofLock(l).wrote(next, saved), nil
}

func newSign() *cobra.Command {
	var who signer
	var fingerprint string
	return studyCommand(&cobra.Command{
		Use: "sign LOCK", Short: "Sign a lock, as one of its parties",
		Long: `Adds your signature to your copy of the lock, after you compared the lock's fingerprint
with the founder's. Look at it first, with "nereid study show": who is in, and with
which fingerprints. What follows from the study is computed here again: a lock that says
anything else is not signed.`,
		Example: `  nereid study sign plan.lock --identity south.identity`,
		Args:    wantArgs(1, 1, "the file of a LOCK"),
	}, "Signature", func(f *pflag.FlagSet) {
		who.bind(f)
		bindFingerprint(f, &fingerprint, "the lock")
	}, func(c *cobra.Command, args []string) (agreement, error) {
		l, old, err := load(args[0], roster.ParseLock)
		if err != nil {
			return agreement{}, err
		}
		id, err := who.open(c)
		if err != nil {
			return agreement{}, err
		}
		signed, err := l.Sign(id)
		if err != nil {
			return agreement{}, inFile(args[0], err)
		}
		if _, err := locked(c, args[0], l); err != nil {
			return agreement{}, err
		}
		if err := confirm(c, "the lock", l.Fingerprint(), fingerprint, "Do all parties have the same, and do you want this study?"); err != nil {
			return agreement{}, err
		}
		return keep(args[0], old, signed)
	})
}

func newMerge() *cobra.Command {
	return studyCommand(&cobra.Command{
		Use: "merge LOCK COPY...", Short: "Join the signatures of copies of a lock",
		Long: `Adds the signatures in copies of a lock to LOCK. Signatures are checked; the order of
copies makes no difference.`,
		Example: `  nereid study merge plan.lock from-south/plan.lock from-west/plan.lock`,
		Args:    wantArgs(2, 1<<16, "the file of a LOCK and copies of it"),
	}, "", nil, func(_ *cobra.Command, args []string) (agreement, error) {
		l, old, err := load(args[0], roster.ParseLock)
		if err != nil {
			return agreement{}, err
		}
		for _, path := range args[1:] {
			other, _, err := load(path, roster.ParseLock)
			if err != nil {
				return agreement{}, err
			}
			if l, err = l.Merge(other); err != nil {
				return agreement{}, inFile(path, err)
			}
		}
		return keep(args[0], old, l)
	})
}

// keep writes a lock with more signatures.
func keep(path string, old []byte, l roster.Lock) (agreement, error) {
	b, err := l.Encode()
	if err != nil {
		return agreement{}, err
	}
	saved, err := replace(path, old, b)
	if err != nil {
		return agreement{}, err
	}
	next := "all have signed: send " + path + " to all"
	if missing := l.Missing(); len(missing) > 0 {
		next = fmt.Sprintf(`%s must sign too; merge the copies with "nereid study merge"`, strings.Join(missing, ", "))
	}
	return ofLock(l).wrote(next, saved), nil
}

func newVerify() *cobra.Command {
	var who signer
	return studyCommand(&cobra.Command{
		Use: "verify LOCK", Short: "Check that a lock is whole and signed by all",
		Long: `Checks a lock: its hash, the roster, the tree, and the signature of every party. The
crypto plan and all that follows from the study is computed again and compared. With
--identity it checks what a node checks, that you are in it and have signed it too. A
lock that does not hold is exit code 5.`,
		Example: `  nereid study verify plan.lock
  nereid study verify plan.lock --identity south.identity`,
		Args: wantArgs(1, 1, "the file of a LOCK"),
	}, "Identity", func(f *pflag.FlagSet) { who.bind(f) }, func(c *cobra.Command, args []string) (agreement, error) {
		l, _, err := load(args[0], roster.ParseLock)
		if err != nil {
			return agreement{}, err
		}
		check := l.Verify
		if who.file != "" {
			id, err := who.open(c)
			if err != nil {
				return agreement{}, err
			}
			check = func() error { return l.Admit(id) }
		}
		if err := check(); err != nil {
			return agreement{}, inFile(args[0], err)
		}
		terms, err := locked(c, args[0], l)
		if err != nil {
			return agreement{}, err
		}
		a := ofLock(l)
		a.Terms = harmless(terms.Canonical())
		return a, nil
	})
}

func newShow() *cobra.Command {
	return studyCommand(&cobra.Command{
		Use: "show FILE", Short: "Print an invitation, a roster or a lock, with the study in it",
		Example: `  nereid study show heart.invitation`,
		Args:    wantArgs(1, 1, "the FILE of an invitation, a roster or a lock"),
	}, "", nil, func(_ *cobra.Command, args []string) (a agreement, err error) {
		b, err := readDocument(args[0])
		if err != nil {
			return a, err
		}
		var i roster.Invitation
		switch canon.KindOf(b) {
		case roster.KindLock:
			var l roster.Lock
			l, err = roster.ParseLock(b)
			a, i = ofLock(l), l.Invitation()
			a.Terms = harmless(l.Plan())
		case roster.KindRoster:
			var r roster.Roster
			r, err = roster.Parse(b)
			a, i = ofRoster(r), r.Invitation()
		default:
			i, err = roster.ParseInvitation(b)
			a = ofInvitation(i)
		}
		if err != nil {
			return a, inFile(args[0], err)
		}
		a.Content = showStudy(i.Study().Content)
		return a, nil
	})
}
