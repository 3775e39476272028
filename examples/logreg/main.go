// Command logreg trains a logistic regression among four parties. Their rows stay
// with them and the weights stay encrypted, from the first step to the last, at
// 128 bits of security. A querier asks for predictions of rows of its own.
//
//	go run ./examples/logreg                      made-up data
//	go run ./examples/logreg table.csv outcome    your own: a file and its label column
//
// The label is 0 or 1. All parties run in this process, each with its own secrets.
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/nereid-mhe/nereid/dataset"
	"github.com/nereid-mhe/nereid/study"
)

func main() {
	log.SetFlags(0)
	if err := run(context.Background(), os.Args[1:]); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, args []string) error {
	table, err := load(args)
	if err != nil {
		return err
	}

	// Run divides the rows among the parties, and keeps some for the querier.
	config := study.Default()
	config.Parties, config.Fanout = 4, 3
	config.Epochs = 6
	report, err := study.Run(ctx, config, table, nil, progress)
	if err != nil {
		return err
	}

	fmt.Printf("%d rows at %d parties, %d test rows, %d features, %d steps\n",
		report.Train, report.Parties, report.Test, report.Features, report.Iterations)
	fmt.Printf("accuracy: %.3f encrypted, %.3f with the same steps in the clear\n",
		report.Accuracy.Encrypted, report.Accuracy.ClearTwin)
	fmt.Printf("          %.3f with exact steps on pooled rows, %.3f alone\n",
		report.Accuracy.Exact, report.Accuracy.LocalOnly)

	// Nothing else left encryption. Every opening drowns the noise of its
	// ciphertext, which would tell about the secrets.
	for _, o := range report.Openings {
		fmt.Printf("opened to %s: %d values, %s\n", o.To, o.Values, o.What)
	}

	// In one process all shares are at hand, and the weights can be checked.
	// Parties on separate hosts cannot do that.
	fmt.Printf("weights within %.0e of those trained in the clear\n", report.MaxWeightDiff)
	return nil
}

// load reads the table that the arguments name, or makes one up.
func load(args []string) (dataset.Table, error) {
	switch len(args) {
	case 0:
		return dataset.Synthetic(dataset.SyntheticConfig{Rows: 600, Features: 8, Seed: 1})
	case 2:
		table, _, err := dataset.ReadFile(args[0], dataset.Schema{Label: args[1]})
		return table, err
	}
	return dataset.Table{}, fmt.Errorf("want no arguments, or a CSV file and its label column")
}

func progress(p study.Progress) {
	fmt.Fprintf(os.Stderr, "%-7s %d of %d\n", p.Phase, p.Step, p.Steps)
}
