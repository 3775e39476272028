package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nereid-mhe/nereid/studyfile"
)

const initLong = `Writes an example of a study file, with comments, to start from: to FILE, which must not
exist, or to stdout. docs/study.md describes all fields.`

func newInit() *cobra.Command {
	kind := studyfile.Logistic
	c := &cobra.Command{
		Use:     "init [FILE]",
		Short:   "Write an example of a study file",
		Long:    initLong,
		Example: "  nereid init study.yaml\n  nereid init --kind network study.yaml",
		Args:    atMostOne,
		RunE: func(c *cobra.Command, args []string) error {
			out := output{stdout: c.OutOrStdout()}
			if len(args) == 1 {
				out.path = args[0]
				if _, err := os.Lstat(out.path); !errors.Is(err, fs.ErrNotExist) {
					return usageError("name another file, or remove it", "%s exists already", out.path)
				}
			}
			if err := out.check(); err != nil {
				return err
			}
			return out.write(studyfile.Example(kind))
		},
	}
	addFlags(c, []group{{"Study", flagSet(func(f *pflag.FlagSet) {
		f.Var(choice(&kind, studyfile.Logistic, studyfile.Network), "kind", "`KIND` of model: logistic or network")
	})}})
	return c
}

const checkLong = `Checks a study file: prints all that is wrong with it, with lines and what would fit, or
what the study is and its hash. Files that say the same have the same hash, however they
are written.`

func newCheck() *cobra.Command {
	format := "text"
	c := &cobra.Command{
		Use:     "check FILE",
		Short:   "Check a study file and print the study's hash",
		Long:    checkLong,
		Example: "  nereid check study.yaml\n  nereid check study.yaml --format json",
		Args:    atMostOne,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError(fmt.Sprintf("see %q", c.CommandPath()+" --help"), "no study file is named")
			}
			s, err := readStudy(args[0])
			if err != nil {
				return err
			}
			b, err := checked(s, format)
			if err != nil {
				return err
			}
			return output{"", c.OutOrStdout()}.write(b)
		},
	}
	addFlags(c, []group{{"Output", flagSet(func(f *pflag.FlagSet) {
		f.Var(choice(&format, "text", "json"), "format", "`FORM` of the result, text or json; json is one line, with the study in its canonical form")
	})}})
	return c
}

// checked says what a study is.
func checked(s studyfile.File, format string) ([]byte, error) {
	hash := fmt.Sprintf("%x", s.Hash())
	if format == "json" {
		b, err := json.Marshal(struct {
			Hash  string          `json:"hash"`
			Study json.RawMessage `json:"study"`
		}{hash, s.Canonical()})
		return append(b, '\n'), err
	}
	model := string(s.Model.Kind) + " regression"
	if s.Model.Kind == studyfile.Network {
		layers := []string{"…"}
		if s.Data.FeatureCount > 0 {
			layers[0] = fmt.Sprint(s.Data.FeatureCount)
		}
		for _, h := range s.Model.Hidden {
			layers = append(layers, fmt.Sprint(h.Units))
		}
		model = "a network " + strings.Join(append(layers, fmt.Sprint(s.Model.Outputs)), "-")
	}
	queriers := "no querier"
	if n := len(s.Opening.Queriers); n > 0 {
		queriers = count(n, "querier")
	}
	t := new(page)
	t.line("%s: %s, %d parties, %s", s.Name, model, s.Parties.Count, queriers)
	t.line("hash %s", hash)
	return t.Bytes(), nil
}

// atMostOne refuses arguments beyond the name of a file.
func atMostOne(c *cobra.Command, args []string) error {
	return noArgs(c, args[min(1, len(args)):])
}
