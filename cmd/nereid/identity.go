package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nereid-mhe/nereid/identity"
	"github.com/nereid-mhe/nereid/internal/files"
)

const identityLong = `The identity of a party or a querier is a key pair and a secret, made on the host where
they stay, in a file encrypted with a passphrase or an age key. Nothing is issued by
anybody: people compare fingerprints, and certificates for TLS are made from the key
while a node runs.

Keep a copy of the file and its passphrase where the host's backups are: whoever loses
them leaves the study.`

func newIdentity() *cobra.Command {
	c := &cobra.Command{
		Use: "identity", Short: "Make the keys of a party or a querier, and show them", Long: identityLong,
		SuggestionsMinimumDistance: 2, Args: cobra.ArbitraryArgs, RunE: chooseCommand,
	}
	c.AddCommand(newIdentityNew(), newIdentityShow())
	return c
}

const identityNewLong = `Makes an identity. It writes NAME.identity, which is secret and encrypted, and
NAME.request, which is public: name, role, address and key, signed by that key. Neither
may exist. Read the fingerprint out to the other parties; they compare it with what
they were sent.`

const identityNewExample = `  nereid identity new north --address nereid.north.example.org:7000
  nereid identity new leaf --passphrase-file /run/secrets/passphrase
  nereid identity new lab --role querier --key-file lab.key`

func newIdentityNew() *cobra.Command {
	card := identity.Card{Role: identity.Party}
	var dir, format string
	var unlock unlocking
	groups := []group{
		{"Identity", flagSet(func(f *pflag.FlagSet) {
			f.Var(choice(&card.Role, identity.Party, identity.Querier), "role", "`ROLE`: party for an owner of data, querier for one who asks for predictions")
			f.StringVar(&card.Address, "address", "", "`HOST:PORT` where other parties dial this one; without it the party can only be a leaf of the tree, which needs no open port")
		})},
		{"Secrets", flagSet(unlock.bind)},
		{"Output", flagSet(func(f *pflag.FlagSet) {
			f.StringVar(&dir, "dir", ".", "`DIRECTORY` for the two files")
			bindFormat(f, &format)
		})},
	}
	c := &cobra.Command{
		Use: "new NAME", Short: "Make an identity and its signing request", Long: identityNewLong, Example: identityNewExample,
		Args: wantArgs(1, 1, "NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := unlock.check(c.Flags()); err != nil {
				return err
			}
			card.Name = args[0]
			id, err := identity.New(card)
			if err != nil {
				return err
			}
			saved, err := saveIdentity(c, id, dir, &unlock)
			if err != nil {
				return err
			}
			return printIdentity(c, format, id.Request(identity.Digest{}, identity.Digest{}), saved)
		},
	}
	addFlags(c, groups)
	return c
}

// saveIdentity writes the two files of a new identity, both or none.
func saveIdentity(c *cobra.Command, id *identity.Identity, dir string, unlock *unlocking) ([]savedFile, error) {
	secret, public := filepath.Join(dir, id.Card().Name+".identity"), filepath.Join(dir, id.Card().Name+".request")
	for _, path := range []string{secret, public} {
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			return nil, usageError("it may be the only copy of a key: choose another name or --dir, or move it away", "%s exists", path)
		}
	}
	to, err := unlock.recipients(c, id.Card().Name)
	if err != nil {
		return nil, err
	}
	sealed, err := id.Seal(to...)
	if err != nil {
		return nil, err
	}
	request, err := id.Request(identity.Digest{}, identity.Digest{}).Encode()
	if err != nil {
		return nil, err
	}
	if err := files.Create(public, request, publicMode); err != nil {
		return nil, unwritable(err)
	}
	if err := files.Create(secret, sealed, secretMode); err != nil {
		return nil, unwritable(errors.Join(err, os.Remove(public)))
	}
	return []savedFile{{secret, "new"}, {public, "new"}}, nil
}

const identityShowLong = `Prints name, role, address and fingerprint of an identity, for which it takes the
passphrase or key file, or of a request, after checking its signature.`

const identityShowExample = `  nereid identity show north.request
  nereid identity show north.identity`

func newIdentityShow() *cobra.Command {
	var format string
	var unlock unlocking
	groups := []group{
		{"Secrets", flagSet(unlock.bind)},
		{"Output", flagSet(func(f *pflag.FlagSet) { bindFormat(f, &format) })},
	}
	c := &cobra.Command{
		Use: "show FILE", Short: "Print the fingerprint of an identity or a request", Long: identityShowLong, Example: identityShowExample,
		Args: wantArgs(1, 1, "the FILE of an identity or a request"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := unlock.check(c.Flags()); err != nil {
				return err
			}
			b, err := readDocument(args[0])
			if err != nil {
				return err
			}
			var r identity.Request
			if identity.IsSealed(b) {
				id, err := unlock.open(c, args[0])
				if err != nil {
					return err
				}
				r = id.Request(identity.Digest{}, identity.Digest{})
			} else if r, err = identity.ParseRequest(b); err != nil {
				return inFile(args[0], err)
			}
			return printIdentity(c, format, r, nil)
		},
	}
	addFlags(c, groups)
	return c
}

// An identityJSON is the JSON form of a report on an identity: a contract.
type identityJSON struct {
	identity.Card
	Created     time.Time       `json:"created"`
	Fingerprint identity.Digest `json:"fingerprint"`
	Key         identity.Key    `json:"key"`
	Study       identity.Digest `json:"study,omitzero"`     // the invitation that a request answers
	QueryKey    identity.Digest `json:"query_key,omitzero"` // of a querier in that study
	Files       []savedFile     `json:"files,omitempty"`
}

func printIdentity(c *cobra.Command, format string, r identity.Request, saved []savedFile) error {
	report := identityJSON{r.Card, r.Created, r.Key.Fingerprint(), r.Key, r.Study, r.QueryKey, saved}
	return printReport(c, format, report, func(t *page) {
		t.fact("name", r.Name)
		t.fact("role", string(r.Role))
		t.fact("address", orNone(r.Address))
		t.fact("created", r.Created.Format(time.RFC3339))
		t.fact("fingerprint", r.Key.Fingerprint().String())
		if r.Study != (identity.Digest{}) {
			t.fact("answers", fmt.Sprintf("the invitation %v", r.Study))
		}
		if r.QueryKey != (identity.Digest{}) {
			t.fact("query key", r.QueryKey.String())
		}
		t.saved(saved)
	})
}

// orNone returns an address, or that there is none.
func orNone(address string) string {
	if address == "" {
		return "none: it dials, and is not dialled"
	}
	return address
}
