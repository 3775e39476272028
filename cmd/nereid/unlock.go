package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"unicode/utf8"

	"filippo.io/age"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nereid-mhe/nereid/identity"
)

// scryptWork is the logarithm of the work to try one passphrase: age's own
// default, about a second. Only tests change it.
var scryptWork = 18

// minPassphrase is the number of characters of a passphrase for a new identity.
const minPassphrase = 12

// unlocking are the flags that say what an identity is encrypted with. Without
// either the passphrase is asked for on the terminal.
type unlocking struct{ passphraseFile, keyFile string }

func (u *unlocking) bind(f *pflag.FlagSet) {
	f.StringVar(&u.passphraseFile, "passphrase-file", "", "`FILE` with the passphrase of the identity, on one line; without it you are asked on the terminal")
	f.StringVar(&u.keyFile, "key-file", "", "age key `FILE` in place of a passphrase, such as age-keygen writes")
}

func (u *unlocking) check(f *pflag.FlagSet) error {
	if f.Changed("passphrase-file") && f.Changed("key-file") {
		return usageError("drop one of the two", "--passphrase-file and --key-file are both given")
	}
	return nil
}

// recipients returns what to encrypt a new identity to. A passphrase that is typed
// is asked for twice.
func (u *unlocking) recipients(c *cobra.Command, name string) ([]age.Recipient, error) {
	if u.keyFile != "" {
		return u.keyRecipients()
	}
	p, err := u.passphrase(c, fmt.Sprintf("New passphrase for %s: ", name))
	if err != nil {
		return nil, err
	}
	if n := utf8.RuneCountInString(p); n < minPassphrase {
		return nil, usageError(`take several words; the identity is as safe as they are`, "a passphrase of %d characters, want at least %d", n, minPassphrase)
	}
	if u.passphraseFile == "" {
		again, err := u.passphrase(c, "The same again: ")
		if err != nil {
			return nil, err
		}
		if again != p {
			return nil, usageError("start again", "the two passphrases differ")
		}
	}
	r, err := age.NewScryptRecipient(p)
	if err != nil {
		return nil, err
	}
	r.SetWorkFactor(scryptWork)
	return []age.Recipient{r}, nil
}

func (u *unlocking) keyRecipients() (to []age.Recipient, err error) {
	keys, err := u.keys()
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		switch k := k.(type) {
		case *age.X25519Identity:
			to = append(to, k.Recipient())
		case *age.HybridIdentity:
			to = append(to, k.Recipient())
		default:
			return nil, usageError("use one that age-keygen made", "--key-file %s holds a key of an unknown kind", u.keyFile)
		}
	}
	return to, nil
}

func (u *unlocking) keys() ([]age.Identity, error) {
	b, err := readDocument(u.keyFile)
	if err != nil {
		return nil, err
	}
	defer clear(b)
	keys, err := age.ParseIdentities(bytes.NewReader(b))
	if err != nil {
		return nil, usageError(`make one with "age-keygen -o FILE", or drop the flag for a passphrase`, "--key-file %s is no age key file", u.keyFile) // age's error may quote the file
	}
	return keys, nil
}

// open reads a sealed identity.
func (u *unlocking) open(c *cobra.Command, path string) (*identity.Identity, error) {
	sealed, err := readDocument(path)
	if err != nil {
		return nil, err
	}
	if !identity.IsSealed(sealed) {
		_, err := identity.Open(sealed) // says what is wrong, without a question for the passphrase
		return nil, inFile(path, err)
	}
	var keys []age.Identity
	if u.keyFile != "" {
		keys, err = u.keys()
	} else {
		keys, err = u.scrypt(c, path)
	}
	if err != nil {
		return nil, err
	}
	id, err := identity.Open(sealed, keys...)
	return id, inFile(path, err)
}

func (u *unlocking) scrypt(c *cobra.Command, path string) ([]age.Identity, error) {
	p, err := u.passphrase(c, fmt.Sprintf("Passphrase of %s: ", path))
	if err != nil {
		return nil, err
	}
	k, err := age.NewScryptIdentity(p)
	if err != nil {
		return nil, usageError("type the passphrase, or give --passphrase-file or --key-file", "an empty passphrase")
	}
	return []age.Identity{k}, nil
}

// passphrase reads the passphrase from its file, or asks for it.
func (u *unlocking) passphrase(c *cobra.Command, prompt string) (string, error) {
	if u.passphraseFile == "" {
		return ask(c, prompt, true, "give --passphrase-file or --key-file")
	}
	b, err := readDocument(u.passphraseFile)
	if err != nil {
		return "", err
	}
	defer clear(b)
	p := strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
	if p == "" || strings.ContainsAny(p, "\r\n") {
		return "", usageError("put the passphrase on the first line, and nothing else into the file", "--passphrase-file %s: want one line", u.passphraseFile)
	}
	return p, nil
}

// confirm makes sure that someone compared a digest: given is what a flag says; if
// it is empty, the question is asked on the terminal.
func confirm(c *cobra.Command, whose string, d identity.Digest, given, question string) error {
	if given != "" {
		want, err := identity.ParseDigest(given)
		if err != nil {
			return fmt.Errorf("--fingerprint: %w", err)
		}
		if want != d {
			return &failure{exitUntrusted, fmt.Errorf("the fingerprint of %s is %v, not %v", whose, d, want), "do not go on: the file is not the one that its owner sent, or the fingerprint is of another"}
		}
		return nil
	}
	fmt.Fprintf(c.ErrOrStderr(), "The fingerprint of %s is\n\n  %v\n\n", whose, d)
	answer, err := ask(c, question+" Type yes or no: ", false, "compare the fingerprint, and give it with --fingerprint")
	if err != nil {
		return err
	}
	if strings.TrimSpace(answer) != "yes" {
		return &failure{exitUntrusted, fmt.Errorf("the fingerprint of %s was not confirmed", whose), "nothing was done; compare it and start again"}
	}
	return nil
}

// readDocument reads a small file that a flag or an argument names.
func readDocument(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, &failure{exitUsage, err, "name a file that exists and can be read"}
	}
	return b, nil
}
