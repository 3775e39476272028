// Command mlp trains a network of 23-64-1, the shape of the papers' credit data,
// among three banks. Rows stay with their owners; weights, activations and gradients
// stay encrypted, and the parties refresh each other's tensors in every step.
//
//	go run ./examples/mlp            a toy ring without security, a few seconds
//	go run ./examples/mlp -secure    128-bit parameters, about a minute
//
// The table is made up: 23 columns in different units and the labels 0 and 1. All
// parties run in this process, each with its own secrets.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"

	"github.com/nereid-mhe/nereid/dataset"
	"github.com/nereid-mhe/nereid/nn"
	"github.com/nereid-mhe/nereid/study"
)

func main() {
	log.SetFlags(0)
	secure := flag.Bool("secure", false, "128-bit parameters instead of a toy ring")
	flag.Parse()
	if err := run(context.Background(), *secure, flag.Args()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, secure bool, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("want no arguments but -secure, got %q", args)
	}
	table, err := dataset.Synthetic(dataset.SyntheticConfig{Rows: 800, Features: 23, Seed: 5})
	if err != nil {
		return err
	}

	// A polynomial stands in for tanh. It resembles it on [-3, 3] only: the clear twin
	// of the study checks that arguments stay there, before any key is made.
	tanh, err := nn.NewActivation("tanh", 3, 3, nn.LeastSquares)
	if err != nil {
		return err
	}
	config := study.NetworkConfig{
		Common:    study.Default().Common,
		Hidden:    []nn.Hidden{{Units: 64, Activation: tanh, Gain: tanh.Gain()}},
		Outputs:   1,
		Loss:      nn.SquaredLoss(2),
		Optimiser: nn.Optimiser{Rate: 0.3, Momentum: 0.5},
		Steps:     8,
		Gain:      0.25,
	}
	config.Parties, config.Fanout, config.Clip = 3, 2, 4
	config.Insecure = !secure

	report, err := study.RunNetwork(ctx, config, table, dataset.Table{}, nil, progress)
	if err != nil {
		return err
	}
	if report.Crypto.Insecure {
		fmt.Println("TOY RING: nothing in this run was protected; see -secure")
	}
	fmt.Printf("layers %v, %d parties, %d steps of %d rows each\n", report.Layers, report.Parties, report.Iterations, report.Batch)
	fmt.Printf("accuracy: %.3f encrypted, %.3f with the same steps in the clear, %.3f alone\n",
		report.Accuracy.Encrypted, report.Accuracy.ClearTwin, report.Accuracy.LocalOnly)
	fmt.Printf("a step: %.2f s of compute and %.1f MB per party, %d refreshes of its own tensors\n",
		report.Seconds.IterationParty, float64(report.Bytes.IterationParty)/1e6, report.Refreshes)
	for _, o := range report.Openings {
		fmt.Printf("opened to %s: %d values, %s\n", o.To, o.Values, o.What)
	}

	// This process holds all secrets, so that it can open the weights and score
	// them. Parties on separate hosts cannot do that.
	fmt.Printf("weights within %.0e of those trained in the clear\n", report.MaxWeightDiff)
	return nil
}

func progress(p study.Progress) {
	fmt.Fprintf(os.Stderr, "%-10s %d of %d\n", p.Phase, p.Step, p.Steps)
}
