package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

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
	for _, g := range groups {
		c.Flags().AddFlagSet(g.flags)
	}
	c.SetUsageFunc(usage(groups))
	return c
}

// run reads the data, runs the study and writes the report.
func (o *options) run(c *cobra.Command) error {
	out := output{o.output, c.OutOrStdout()}
	if err := out.check(); err != nil {
		return err
	}
	table, source, err := o.read()
	if err != nil {
		return err
	}
	report, err := o.study(c, table)
	if err != nil {
		return err
	}
	b, err := o.render(source, report)
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
func (o *options) read() (dataset.Table, source, error) {
	if o.data == "" {
		t, err := dataset.Synthetic(dataset.SyntheticConfig{Rows: o.rows, Features: o.features, Seed: o.cfg.Seed})
		return t, source{}, err
	}
	t, report, err := dataset.ReadFile(o.data, o.schema)
	if bad := new(dataset.Error); err != nil && !errors.As(err, &bad) {
		err = &failure{exitData, err, "name a file that exists and can be read with --data"}
	}
	return t, source{o.data, report}, err
}

// study runs the study and shows its progress.
func (o *options) study(c *cobra.Command, t dataset.Table) (study.Report, error) {
	stderr := c.ErrOrStderr()
	d := newDisplay(stderr, o.quiet)
	defer d.stop()
	log := newLog(d, stderr, o.level)
	log.Info("data read", "rows", t.Rows(), "features", t.Dim())
	r, err := study.Run(c.Context(), o.cfg, t, log, d.update)
	return r, errors.Join(err, c.Context().Err())
}

// render returns the report in the wanted form.
func (o *options) render(s source, r study.Report) ([]byte, error) {
	var b bytes.Buffer
	if o.format == "json" {
		err := json.NewEncoder(&b).Encode(r)
		if err != nil {
			err = fmt.Errorf("report: %w", err)
		}
		return b.Bytes(), err
	}
	writeText(&b, o, s, r)
	return b.Bytes(), nil
}
