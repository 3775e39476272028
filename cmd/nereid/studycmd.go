package main

import (
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nereid-mhe/nereid/identity"
)

const studyLong = `Parties agree on a study before any key for it is made. Files go between them by any
way, such as mail; what must not be forged is signed, and people compare fingerprints.

  1  every party and querier   nereid identity new NAME
  2  the founder               nereid study invite      writes FILE.invitation for all others
  3  all others                nereid study join        write FILE-NAME.request for the founder
  4  the founder               nereid study approve     each request, after a call
  5  the founder               nereid study lock        writes plan.lock for all others
  6  every party               nereid study sign        signs its copy, and sends it back
  7  the founder               nereid study merge       joins the signatures, for all others
  8  everybody                 nereid study verify

A node refuses a lock that it did not sign itself, or that another party did not sign.
Every step can be repeated and changes nothing then.`

func newStudy() *cobra.Command {
	c := &cobra.Command{
		Use: "study", Short: "Agree on a study: invite, join, approve, lock, sign", Long: studyLong,
		SuggestionsMinimumDistance: 2, Args: cobra.ArbitraryArgs, RunE: chooseCommand,
	}
	c.AddCommand(newInvite(), newJoin(), newApprove(), newRemove(), newLock(), newSign(), newMerge(), newVerify(), newShow())
	return c
}

// A signer is the identity that a command of a study acts with.
type signer struct {
	file string
	unlocking
}

func (s *signer) bind(f *pflag.FlagSet) {
	f.StringVar(&s.file, "identity", "", "`FILE` of your identity; required")
	s.unlocking.bind(f)
}

func (s *signer) open(c *cobra.Command) (*identity.Identity, error) {
	if s.file == "" {
		return nil, usageError(`name the file that "nereid identity new" wrote`, "--identity is missing")
	}
	if err := s.check(c.Flags()); err != nil {
		return nil, err
	}
	return s.unlocking.open(c, s.file)
}

// bindFingerprint binds the flag that takes the place of a question.
func bindFingerprint(f *pflag.FlagSet, to *string, whose string) {
	f.StringVar(to, "fingerprint", "", "`FINGERPRINT` of "+whose+" as you were told it, in place of the question on the terminal")
}

// studyCommand returns a command of a study with flags in two groups: its own, and
// those of the output.
func studyCommand(c *cobra.Command, title string, bind func(*pflag.FlagSet), run func(c *cobra.Command, args []string) (agreement, error)) *cobra.Command {
	var format string
	groups := []group{{"Output", flagSet(func(f *pflag.FlagSet) { bindFormat(f, &format) })}}
	if bind != nil {
		groups = append([]group{{title, flagSet(bind)}}, groups...)
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		a, err := run(c, args)
		if err != nil {
			return err
		}
		return printReport(c, format, a, a.text)
	}
	addFlags(c, groups)
	return c
}
