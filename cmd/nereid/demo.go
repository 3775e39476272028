package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/nereid-mhe/nereid/dataset"
	"github.com/nereid-mhe/nereid/study"
)

const demoLong = `Runs a whole study in this process: every party with its own rows and secrets, on a
modelled network. The parties make keys together, standardise their columns, train a
model on encrypted weights, and open predictions on the test rows to a querier.

The report compares accuracy with training in the clear, and says what the study
cost, how it was protected and what was opened to whom. Because one process holds all
secrets, it also opens the weights and checks them. No real study can do that.

Without flags: synthetic data, 10 parties, 128-bit security, about a minute.`

const demoExample = `  nereid demo
  nereid demo --data ../shared/data/pima/pima-indians-diabetes.data.csv \
      --label 8 --parties 10 --format json
  nereid demo --data ../shared/data/bcw/breast-cancer-wisconsin.data \
      --label 10 --drop 0 --classes 2,4 --missing drop`

func newDemo() *cobra.Command {
	o := defaults()
	groups := o.groups()
	c := &cobra.Command{
		Use:     "demo",
		Short:   "Run a whole study with all its parties in one process",
		Long:    demoLong,
		Example: demoExample,
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.check(c.Flags()); err != nil {
				return err
			}
			return o.run(c)
		},
	}
	addFlags(c, groups)
	return c
}

// addFlags gives a command its flags, and a help that shows them in groups.
func addFlags(c *cobra.Command, groups []group) {
	for _, g := range groups {
		c.Flags().AddFlagSet(g.flags)
	}
	c.SetUsageFunc(usage(groups))
}

// run reads the data, runs the study and writes the report.
func (o *options) run(c *cobra.Command) error {
	out := output{o.output, c.OutOrStdout()}
	if err := out.check(); err != nil {
		return err
	}
	table, source, err := o.read(o.cfg.Seed)
	if err != nil {
		return err
	}
	report, err := o.study(c, table)
	if err != nil {
		return err
	}
	b, err := o.render(report, func(b *bytes.Buffer) { writeText(b, o, source, report) })
	if err != nil {
		return err
	}
	return out.write(b)
}

// A source is where the rows come from.
type source struct {
	name string // of the file; empty for synthetic data
	dataset.Report
}

// read returns the rows of the study.
func (o *input) read(seed uint64) (dataset.Table, source, error) {
	if o.data == "" {
		t, err := dataset.Synthetic(dataset.SyntheticConfig{Rows: o.rows, Features: o.features, Seed: seed})
		return t, source{}, err
	}
	t, report, err := dataset.ReadFile(o.data, o.schema)
	return t, source{o.data, report}, unreadable(err, "--data")
}

// unreadable gives an error of the operating system about a file the remedy.
func unreadable(err error, flags string) error {
	if bad := new(dataset.Error); err != nil && !errors.As(err, &bad) {
		return &failure{exitData, err, "name a file that exists and can be read with " + flags}
	}
	return err
}

// study runs the study and shows its progress.
func (o *options) study(c *cobra.Command, t dataset.Table) (r study.Report, err error) {
	err = o.show(c, func(log *slog.Logger, progress func(study.Progress)) error {
		log.Info("data read", "rows", t.Rows(), "features", t.Dim())
		r, err = study.Run(c.Context(), o.cfg, t, log, progress)
		return err
	})
	return r, err
}

// show calls run with a log and a progress that are shown on stderr.
func (o *printing) show(c *cobra.Command, run func(log *slog.Logger, progress func(study.Progress)) error) error {
	stderr := c.ErrOrStderr()
	d := newDisplay(stderr, o.quiet)
	defer d.stop()
	err := run(newLog(d, stderr, o.level), d.update)
	return errors.Join(err, c.Context().Err())
}

// render returns a report in the wanted form: as JSON, or as what text writes.
func (o *printing) render(report any, text func(*bytes.Buffer)) ([]byte, error) {
	var b bytes.Buffer
	if o.format != "json" {
		text(&b)
		return b.Bytes(), nil
	}
	err := json.NewEncoder(&b).Encode(report)
	if err != nil {
		err = fmt.Errorf("report: %w", err)
	}
	return b.Bytes(), err
}
