// Command mnist trains a network of two hidden layers on images of digits among three
// parties, whose weights stay encrypted.
//
//	go run ./examples/mnist               made-up digits of 12×12 pixels
//	go run ./examples/mnist FOLDER        the four files of MNIST in idx format, plain or .gz
//	go run ./examples/mnist -secure …     128-bit parameters instead of a toy ring
//	go run ./examples/mnist -steps N …    more steps than a few
//
// It shows classes by several outputs, layers of their own activation and initial
// weights, momentum, and images in place of tables: their columns are of one kind, so
// that they are centred and divided by one number. All parties run in this process,
// each with its own secrets.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log"
	"os"
	"path/filepath"

	"github.com/nereid-mhe/nereid/dataset"
	"github.com/nereid-mhe/nereid/nn"
	"github.com/nereid-mhe/nereid/study"
)

func main() {
	log.SetFlags(0)
	secure := flag.Bool("secure", false, "128-bit parameters instead of a toy ring")
	steps := flag.Int("steps", 8, "training steps")
	flag.Parse()
	if err := run(context.Background(), *secure, *steps, flag.Args()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, secure bool, steps int, args []string) error {
	train, test, units, err := load(args)
	if err != nil {
		return err
	}
	cubic, err := nn.NewActivation("cubic", 0, 1.2, nn.LeastSquares)
	if err != nil {
		return err
	}
	config := study.NetworkConfig{
		Common:    study.Default().Common,
		Hidden:    []nn.Hidden{{Units: units, Activation: cubic, Gain: 0.3}, {Units: units, Activation: cubic, Gain: 0.5}},
		Outputs:   10,
		Loss:      nn.SquaredLoss(2),
		Optimiser: nn.Optimiser{Rate: 0.7, Momentum: 0.8},
		Steps:     steps,
		Gain:      0.5,
		Unit:      2 * greyDeviation,
	}
	config.Parties, config.Fanout = 3, 2
	config.Insecure = !secure
	if len(args) == 0 {
		config.LogN = 11 // a smaller toy ring than MNIST's 784 pixels need
	}

	report, err := study.RunNetwork(ctx, config, train, test, nil, progress)
	if err != nil {
		return err
	}
	if report.Crypto.Insecure {
		fmt.Println("TOY RING: nothing in this run was protected; see -secure")
	}
	fmt.Printf("%d images at %d parties, layers %v, %d steps of %d images each\n",
		report.Train, report.Parties, report.Layers, report.Iterations, report.Batch)
	fmt.Printf("accuracy on %d test images: %.3f encrypted, %.3f with the same steps in the clear\n",
		report.Test, report.Accuracy.Encrypted, report.Accuracy.ClearTwin)
	fmt.Printf("a step: %.2f s of compute and %.1f MB per party\n", report.Seconds.IterationParty, float64(report.Bytes.IterationParty)/1e6)
	fmt.Printf("weights within %.0e of those trained in the clear\n", report.MaxWeightDiff)
	return nil
}

// greyDeviation is the standard deviation of MNIST's grey levels, from 0 to 1.
const greyDeviation = 0.3081

// load returns the images to train and to test on, and the units of hidden layers
// that suit them. Made-up images are all to train on: the study keeps some back.
func load(args []string) (train, test dataset.Table, units int, err error) {
	switch len(args) {
	case 0:
		return digits(600, 7), test, 16, nil
	case 1:
		if train, err = images(args[0], "train"); err == nil {
			test, err = images(args[0], "t10k")
		}
		return train, test, 64, err
	}
	return train, test, 0, errors.New("want no arguments, or the folder with the files of MNIST")
}

// images reads the files of one part of MNIST.
func images(folder, part string) (t dataset.Table, err error) {
	x, y, err := dataset.ReadIDX(file(folder, part+"-images-idx3-ubyte"), file(folder, part+"-labels-idx1-ubyte"))
	t.X = x
	for _, label := range y {
		t.Y = append(t.Y, float64(label))
	}
	return t, err
}

// file returns the path of a file, which may be compressed.
func file(folder, name string) string {
	path := filepath.Join(folder, name)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return path + ".gz"
	}
	return path
}

func progress(p study.Progress) {
	fmt.Fprintf(os.Stderr, "%-10s %d of %d\n", p.Phase, p.Step, p.Steps)
}
