package main

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nereid-mhe/nereid/dataset"
	"github.com/nereid-mhe/nereid/node"
	"github.com/nereid-mhe/nereid/study"
	"github.com/nereid-mhe/nereid/studyfile"
)

const predictLong = `Asks the parties of a study for predictions, as the querier of its lock. The rows are
encrypted here, every party helps to compute on them without seeing them, and the
outputs come back under the querier's own key, with noise that hides what they would
tell about the encryption. Every party counts the rows and refuses more than the study
allows; the same rows are counted once.

It waits until the model is trained. The report is a CSV with a line for each row:
class and outputs, or the value of a regression.`

func newPredict() *cobra.Command {
	var o participant
	var data string
	p := defaultPrinting()
	c := &cobra.Command{
		Use: "predict", Short: "Ask the parties for predictions, as the querier", Long: predictLong,
		Example: "  nereid predict --lock plan.lock --identity lab.identity --data patients.csv --output classes.csv",
		Args:    noArgs,
	}
	groups := []group{
		{"Study", flagSet(o.bind)},
		{"Rows", flagSet(func(f *pflag.FlagSet) {
			f.StringVar(&data, "data", "", "`FILE` with the rows, as the study describes them; a label column is not needed and not sent; required")
		})},
		{"Output", flagSet(func(f *pflag.FlagSet) {
			f.StringVar(&p.output, "output", "", "`FILE` for the predictions instead of stdout")
			p.bindLog(f)
		})},
	}
	c.RunE = func(c *cobra.Command, _ []string) error {
		if data == "" {
			return usageError("name the file with the rows", "--data is missing")
		}
		out := output{p.output, c.OutOrStdout()}
		if err := errors.Join(p.check(c.Flags()), out.check()); err != nil {
			return err
		}
		l, err := o.read(c)
		if err != nil {
			return err
		}
		if _, ok := l.lock.Querier(l.id.Key()); !ok {
			return usageError("ask with the identity of "+names(l.lock.Queriers()), "%v is no querier of the study", l.id)
		}
		if err := o.compile(c.Context(), &l); err != nil {
			return err
		}
		columns := l.file.Columns()
		columns.Partial, columns.Unlabelled = true, true
		table, _, err := dataset.ReadFile(data, columns)
		if err != nil {
			return unreadable(err, "--data")
		}
		d := newDisplay(c.ErrOrStderr(), p.quiet)
		defer d.stop()
		client := node.Client{Identity: l.id, Lock: l.lock}
		z, err := client.Predict(c.Context(), l.terms, studyfile.QuerierSeed(l.id, l.lock.Invitation()), table.X, func(rows int) {
			d.update(study.Progress{Phase: "predict", Step: rows, Steps: table.Rows()})
		})
		if err != nil {
			return err
		}
		return out.write(predictions(l, z))
	}
	addFlags(c, groups)
	return c
}

// predictions writes outputs as CSV.
func predictions(l lockedStudy, outputs [][]float64) []byte {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	number := l.file.Data.Target == "number"
	header := []string{"value"}
	if !number {
		header = []string{"class"}
		for j := range outputs[0] {
			header = append(header, fmt.Sprintf("output %d", j))
		}
	}
	_ = w.Write(header) // to memory
	for _, z := range outputs {
		var cells []string
		if !number {
			cells = append(cells, classOf(l, z))
		}
		for _, v := range z {
			cells = append(cells, strconv.FormatFloat(v, 'g', 6, 64))
		}
		_ = w.Write(cells)
	}
	w.Flush()
	return b.Bytes()
}

// classOf returns the class of a row as the study's files write it.
func classOf(l lockedStudy, outputs []float64) string {
	k := l.terms.Class(outputs)
	if names := l.file.Data.Classes; k < len(names) {
		return names[k]
	}
	return strconv.Itoa(k)
}
