package main

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/nereid-mhe/nereid/dataset"
	"github.com/nereid-mhe/nereid/study"
)

// A task is a public data set and how to read it.
type task struct {
	name, file string
	schema     dataset.Schema
}

var tasks = []task{
	{"pima", "pima/pima-indians-diabetes.data.csv", dataset.Schema{Label: "8"}},
	{"bcw", "bcw/breast-cancer-wisconsin.data", dataset.Schema{
		Label: "10", Drop: []string{"0"}, Classes: []string{"2", "4"}, Missing: dataset.MissingDrop,
	}},
}

// runStudies trains on every data set with the settings of the demo.
func runStudies(ctx context.Context, dir string, toy bool) (map[string]study.Report, error) {
	reports := map[string]study.Report{}
	for _, t := range tasks {
		table, _, err := dataset.ReadFile(filepath.Join(dir, t.file), t.schema)
		if err != nil {
			return nil, err
		}
		cfg := study.Default()
		cfg.Insecure = toy
		if reports[t.name], err = study.Run(ctx, cfg, table, nil, nil); err != nil {
			return nil, fmt.Errorf("%s: %w", t.name, err)
		}
	}
	return reports, nil
}
