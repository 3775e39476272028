package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nereid-mhe/nereid/identity"
	"github.com/nereid-mhe/nereid/roster"
	"github.com/nereid-mhe/nereid/studyfile"
)

func newInvite() *cobra.Command {
	var who signer
	var file, dir string
	return studyCommand(&cobra.Command{
		Use: "invite", Short: "Found a study: write its roster and the invitation for others",
		Long: `Founds a study. It writes FILE.roster, which stays with the founder, and
FILE.invitation, which goes to all others: the study, signed by the founder. Another
content of the study needs another invitation, and all must join again.

The study is compiled, to see that it can be locked. A file that serves a simulation
may have to say more: the number of features, and rows or a batch and steps.`,
		Example: `  nereid study invite --study heart.yaml --identity north.identity`,
		Args:    noArgs,
	}, "Study", func(f *pflag.FlagSet) {
		f.StringVar(&file, "study", "", "study `FILE`; required")
		who.bind(f)
		f.StringVar(&dir, "dir", ".", "`DIRECTORY` for the two files")
	}, func(c *cobra.Command, _ []string) (agreement, error) {
		if file == "" {
			return agreement{}, usageError("name the file that describes the study", "--study is missing")
		}
		f, err := readStudy(file)
		if err != nil {
			return agreement{}, err
		}
		id, err := who.open(c)
		if err != nil {
			return agreement{}, err
		}
		compiling(c, f)
		i, err := studyfile.Invite(c.Context(), studyfile.Secure, f, id)
		if err != nil {
			err = mismatch(file, err, "invite with the identity of a party that the file names, or change the file")
			return agreement{}, &fromFile{file, err}
		}
		return found(i, filepath.Join(dir, stem(file)))
	})
}

// found writes roster and invitation; a roster of the same invitation stays as it
// is, whoever was approved since.
func found(i roster.Invitation, path string) (agreement, error) {
	r, first := roster.New(i), savedFile{path + ".roster", "unchanged"}
	if _, err := os.Stat(first.File); errors.Is(err, fs.ErrNotExist) {
		b, err := r.Encode()
		if err != nil {
			return agreement{}, err
		}
		if first, err = create(first.File, b); err != nil {
			return agreement{}, err
		}
	} else {
		old, _, err := load(first.File, roster.Parse)
		if err != nil {
			return agreement{}, err
		}
		if old.Invitation().Digest() != i.Digest() {
			return agreement{}, usageError("move it away to start anew, or choose another --dir", "%s exists, and is of another study or founder", first.File)
		}
		r = old
	}
	b, err := i.Encode()
	if err != nil {
		return agreement{}, err
	}
	second, err := create(path+".invitation", b)
	if err != nil {
		return agreement{}, err
	}
	return ofRoster(r).wrote("send "+second.File+" to all others, and read your fingerprint out to them", first, second), nil
}

func newJoin() *cobra.Command {
	var who signer
	var fingerprint, address, file string
	return studyCommand(&cobra.Command{
		Use: "join INVITATION", Short: "Answer an invitation: write a request for the founder",
		Long: `Answers the invitation to a study, after you compared the founder's fingerprint. Read the
study first, with "nereid study show". It writes FILE-NAME.request, which goes to the
founder: by it you agree to this study as it is, and to no other. The request of a
querier holds the hash of the key that predictions are opened to.`,
		Example: `  nereid study join heart.invitation --identity south.identity`,
		Args:    wantArgs(1, 1, "the file of an INVITATION"),
	}, "Study", func(f *pflag.FlagSet) {
		who.bind(f)
		bindFingerprint(f, &fingerprint, "the founder")
		f.StringVar(&address, "address", "", "`HOST:PORT` where others dial you in this study (default: that of the identity)")
		f.StringVar(&file, "output", "", "`FILE` for the request (default FILE-NAME.request)")
	}, func(c *cobra.Command, args []string) (agreement, error) {
		i, _, err := load(args[0], roster.ParseInvitation)
		if err != nil {
			return agreement{}, err
		}
		id, err := who.open(c)
		if err != nil {
			return agreement{}, err
		}
		if address != "" {
			if id, err = id.At(address); err != nil {
				return agreement{}, err
			}
		}
		founder := i.Founder()
		if err := confirm(c, "the founder "+founder.Name, founder.Key.Fingerprint(), fingerprint, "Did "+founder.Name+" read out the same?"); err != nil {
			return agreement{}, err
		}
		if err := compilingOf(c, i); err != nil {
			return agreement{}, err
		}
		request, err := studyfile.Join(c.Context(), studyfile.Secure, i, id)
		if err != nil {
			return agreement{}, mismatch(args[0], err, "join with the identity that the study names")
		}
		b, err := request.Encode()
		if err != nil {
			return agreement{}, err
		}
		if file == "" {
			file = stem(args[0]) + "-" + request.Name + ".request"
		}
		saved, err := create(file, b)
		if err != nil {
			return agreement{}, err
		}
		a := ofInvitation(i)
		a.Members = append(a.Members, ofMember(request))
		return a.wrote("send "+file+" to the founder, and read your fingerprint out", saved), nil
	})
}

func newApprove() *cobra.Command {
	var fingerprint string
	var instead bool
	return studyCommand(&cobra.Command{
		Use: "approve ROSTER REQUEST", Short: "Add a party or a querier to the roster",
		Long: `Adds a request to the roster, after you compared its fingerprint with the one that its
owner reads out. Call them: whoever can exchange the request can exchange a message too.`,
		Example: `  nereid study approve heart.roster heart-south.request`,
		Args:    wantArgs(2, 2, "the files of a ROSTER and of a REQUEST"),
	}, "Approval", func(f *pflag.FlagSet) {
		bindFingerprint(f, &fingerprint, "the key in the request")
		f.BoolVar(&instead, "replace", false, "put the request in the place of the member with the same name")
	}, func(c *cobra.Command, args []string) (agreement, error) {
		request, _, err := load(args[1], identity.ParseRequest)
		if err != nil {
			return agreement{}, err
		}
		return rewrite(args[0], func(r roster.Roster) (roster.Roster, error) {
			add := r.Approve
			if instead {
				add = r.Replace
			}
			next, err := add(request)
			if err != nil {
				return r, err
			}
			return next, confirm(c, request.Name, request.Key.Fingerprint(), fingerprint, "Did "+request.Name+" read out the same?")
		})
	})
}

func newRemove() *cobra.Command {
	return studyCommand(&cobra.Command{
		Use: "remove ROSTER NAME", Short: "Take a party or a querier out of the roster",
		Example: `  nereid study remove heart.roster south`,
		Args:    wantArgs(2, 2, "the file of a ROSTER, and a NAME"),
	}, "", nil, func(_ *cobra.Command, args []string) (agreement, error) {
		return rewrite(args[0], func(r roster.Roster) (roster.Roster, error) { return r.Remove(args[1]) })
	})
}

// rewrite writes the next version of a roster.
func rewrite(path string, step func(roster.Roster) (roster.Roster, error)) (agreement, error) {
	r, old, err := load(path, roster.Parse)
	if err != nil {
		return agreement{}, err
	}
	if r, err = step(r); err != nil {
		return agreement{}, err
	}
	b, err := r.Encode()
	if err != nil {
		return agreement{}, err
	}
	saved, err := replace(path, old, b)
	if err != nil {
		return agreement{}, err
	}
	return ofRoster(r).wrote(fmt.Sprintf(`when everybody is in, lock it: "nereid study lock %s"`, path), saved), nil
}
