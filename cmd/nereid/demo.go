package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nereid-mhe/nereid/dataset"
	"github.com/nereid-mhe/nereid/study"
	"github.com/nereid-mhe/nereid/studyfile"
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
	s := o.file.WithDefaults()
	table, source, err := o.read(s)
	if err != nil {
		return err
	}
	s.Opening.Queriers = []studyfile.Querier{{Name: "querier", Rows: table.Rows()}} // all of the test
	r := regression{s, table, source, "demo", toyFlag}
	b, err := r.run(c, &o.printing)
	if err != nil {
		return err
	}
	return out.write(b)
}

// A regression is a study of logistic or linear regression that is run here.
type regression struct {
	file   studyfile.File
	table  dataset.Table
	source source
	title  string // of the report
	toy    string // what asks for the toy ring
}

// run runs the study, shows its progress and returns the report.
func (r regression) run(c *cobra.Command, p *printing) ([]byte, error) {
	cfg, err := r.file.Regression()
	if err != nil {
		return nil, err
	}
	var report study.Report
	err = p.show(c, func(log *slog.Logger, progress func(study.Progress)) (err error) {
		log.Info("data read", "rows", r.table.Rows(), "features", r.table.Dim())
		report, err = study.Run(c.Context(), cfg, r.table, log, progress)
		return err
	})
	if err != nil {
		return nil, err
	}
	return p.render(report, func(b *bytes.Buffer) { writeText(b, r, cfg, report) })
}

// A source is where the rows come from.
type source struct {
	name string // of the file; empty for synthetic data
	dataset.Report
}

// read returns the rows of a study: of its files, or synthetic ones.
func (o *input) read(s studyfile.File) (dataset.Table, source, error) {
	if len(o.data) == 0 {
		t, err := dataset.Synthetic(dataset.SyntheticConfig{Rows: o.rows, Features: o.features, Seed: s.Training.Seed})
		return t, source{}, err
	}
	columns := s.Columns()
	columns.Partial = len(o.data) > 1
	var all dataset.Table
	from := source{name: strings.Join(o.data, ", ")}
	for i, path := range o.data {
		t, r, err := dataset.ReadFile(path, columns)
		switch {
		case err != nil:
			return all, from, unreadable(err, "--data")
		case i == 0:
			all.Features = t.Features
		case !slices.Equal(t.Features, all.Features):
			return all, from, &dataset.Error{
				File: path, Problem: fmt.Sprintf("the columns %q are not those of %s, %q", t.Features, o.data[0], all.Features),
				Remedy: "use files of the same columns, or list them under data.features in a study file",
			}
		}
		all.X, all.Y = append(all.X, t.X...), append(all.Y, t.Y...)
		from.Dropped, from.Imputed = from.Dropped+r.Dropped, from.Imputed+r.Imputed
	}
	return all, from, nil
}

// unreadable gives an error of the operating system about a file the remedy.
func unreadable(err error, flags string) error {
	if bad := new(dataset.Error); err != nil && !errors.As(err, &bad) {
		return &failure{exitData, err, "name a file that exists and can be read with " + flags}
	}
	return err
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
