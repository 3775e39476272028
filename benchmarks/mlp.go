package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nereid-mhe/nereid/dataset"
	"github.com/nereid-mhe/nereid/nn"
	"github.com/nereid-mhe/nereid/study"
)

// A netTask is a public data set, a network for it, and settings chosen on a
// validation split of its training rows.
type netTask struct {
	name     string
	poseidon float64 // seconds of training that POSEIDON reports
	target   float64 // seconds that we want at most
	accuracy float64 // that we want at least
	load     func(dir string) (train, test dataset.Table, err error)
	config   func() (study.NetworkConfig, error)
}

// netCommon is what all tasks share: 10 parties on a network of 1 Gbit/s and 20 ms,
// each the root of a star of all others.
func netCommon(name string) study.Common {
	return study.Common{
		Name: name, Parties: 10, Fanout: 9, TestFraction: 0.2, Seed: 1, Clip: 4,
		Link: study.Link{Mbit: 1000, Latency: 20}, Cores: 2,
	}
}

// cubic is the activation of all tasks: z - z³/(3·bound²).
func cubic(bound float64) (nn.Activation, error) {
	return nn.NewActivation("cubic", 0, bound, nn.LeastSquares)
}

var netTasks = append(trained, // the same where the planner puts them for predictions with little noise
	precise(trained[0], func(*study.NetworkConfig) {}),
	precise(trained[1], func(*study.NetworkConfig) {}),
	precise(trained[2], func(c *study.NetworkConfig) {
		c.Batch, c.Predict, c.Steps, c.Optimiser.Schedule.Warmup = 449, 4490, 32, 5 // twice the rows: fewer steps do
	}),
)

// precise returns the task with predictions at a noise of 0.02 or less, and its settings
// changed.
func precise(t netTask, change func(*study.NetworkConfig)) netTask {
	config := t.config
	t.name += "-predict"
	t.config = func() (study.NetworkConfig, error) {
		c, err := config()
		c.Name, c.MaxOutputNoise = t.name, 0.02
		change(&c)
		return c, err
	}
	return t
}

// trained are the tasks on the smallest ring, where openings are coarse.
var trained = []netTask{
	{
		name: "bcw", poseidon: 91, target: 9, accuracy: 0.96,
		load: func(dir string) (train, test dataset.Table, err error) {
			train, _, err = dataset.ReadFile(filepath.Join(dir, "bcw/breast-cancer-wisconsin.data"), dataset.Schema{
				Label: "10", Drop: []string{"0"}, Classes: []string{"2", "4"}, Missing: dataset.MissingDrop,
			})
			return train, test, err
		},
		config: func() (study.NetworkConfig, error) {
			a, err := cubic(1.5)
			c := study.NetworkConfig{
				Common: netCommon("bcw"), Hidden: []nn.Hidden{{Units: 64, Activation: a, Gain: 0.0025}}, Outputs: 1, Loss: nn.SquaredLoss(2), Gain: 0.3,
				Optimiser: nn.Optimiser{Rate: 1, Layers: []float64{1.28, 0.588}, Momentum: 0.427, Schedule: nn.Schedule{Power: 0.29}},
				Steps:     6, Batch: 54, Predict: 137, MaxOutputNoise: 0.15,
			}
			c.Clip = 0.59
			return c, err
		},
	},
	{
		name: "credit", poseidon: 516, target: 30, accuracy: 0.798,
		load: func(dir string) (train, test dataset.Table, err error) {
			train, _, err = dataset.ReadFile(filepath.Join(dir, "credit/default_of_credit_card_clients.csv"), dataset.Schema{
				Label: "-1", Drop: []string{"ID"},
			})
			return train, test, err
		},
		config: func() (study.NetworkConfig, error) {
			a, err := cubic(1.5)
			c := study.NetworkConfig{
				Common: netCommon("credit"), Hidden: []nn.Hidden{{Units: 64, Activation: a, Gain: 0.01061}}, Outputs: 1, Loss: nn.SquaredLoss(2), Gain: 0.5643,
				Optimiser: nn.Optimiser{Rate: 1, Layers: []float64{0.2831, 0.1985}, Momentum: 0.883, Schedule: nn.Schedule{Power: 0.803, Warmup: 3}},
				Steps:     20, Predict: 225, MaxOutputNoise: 0.15,
			}
			c.Clip = 3.067
			return c, err
		},
	},
	{
		name: "mnist", poseidon: 5283, target: 180, accuracy: 0.92, load: loadMNIST,
		config: mnist,
	},
}

func mnist() (study.NetworkConfig, error) {
	first, err := cubic(1.05994)
	second, err2 := cubic(2.11798)
	c := study.NetworkConfig{
		Common: netCommon("mnist"), Hidden: []nn.Hidden{{Units: 64, Activation: first, Gain: 0.156608}, {Units: 64, Activation: second, Gain: 9.996103}},
		Outputs: 10, Loss: nn.SquaredLoss(2), Gain: 0.0554056,
		Optimiser: nn.Optimiser{
			Rate: 1, Layers: []float64{0.427004, 2.033360, 0.149673}, Momentum: 0.82011, L2: 0.00053757,
			Schedule: nn.Schedule{Power: 0.351215, Warmup: 8},
		},
		Steps: 36, Floor: 0.053442,
	}
	c.Clip = 1.23049
	return c, errors.Join(err, err2)
}

func loadMNIST(dir string) (train, test dataset.Table, err error) {
	if train, err = readMNIST(dir, "train"); err != nil {
		return train, test, err
	}
	test, err = readMNIST(dir, "t10k")
	return train, test, err
}

// readMNIST reads a pair of idx files.
func readMNIST(dir, kind string) (dataset.Table, error) {
	file := func(what string) string { return filepath.Join(dir, "mnist", kind+"-"+what+"-ubyte.gz") }
	x, labels, err := dataset.ReadIDX(file("images-idx3"), file("labels-idx1"))
	t := dataset.Table{X: x}
	for _, l := range labels {
		t.Y = append(t.Y, float64(l))
	}
	return t, err
}

// An mlpReport is the result of one task.
type mlpReport struct {
	Task string `json:"task"`
	study.NetworkReport
	ClearTwin  *seeds             `json:"clear_twin_seeds,omitempty"`
	VsPoseidon float64            `json:"vs_poseidon"` // their training time over ours
	Targets    map[string]float64 `json:"targets"`
	Machine    machine            `json:"machine"`
	Date       string             `json:"date"`
}

// seeds are accuracies of the network in the clear, with its polynomials, for
// several seeds of split, initial weights and order of rows.
type seeds struct {
	Seeds    []uint64  `json:"seeds"`
	Accuracy []float64 `json:"accuracy"` // 0 where training left the intervals
	Mean     float64   `json:"mean"`
}

type mlpOptions struct {
	tasks string
	data  string
	steps int
	seeds int
	query int
	dir   string // of checkpoints
}

func mlpCommand(o *options) *cobra.Command {
	var m mlpOptions
	cmd := &cobra.Command{
		Use:   "mlp",
		Short: "Train networks on BCW, CREDIT and MNIST among 10 parties, whole studies",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for name := range strings.SplitSeq(m.tasks, ",") {
				i := slices.IndexFunc(netTasks, func(t netTask) bool { return t.name == name })
				if i < 0 {
					return fmt.Errorf("--tasks: unknown task %q, want bcw, credit, mnist or mnist-predict", name)
				}
				r, err := netTasks[i].run(cmd.Context(), m, o.toy, func(p study.Progress) {
					fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s %d of %d after %.1f s\n", name, p.Phase, p.Step, p.Steps, p.Elapsed.Seconds())
				})
				if err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
				if err := o.print(cmd.OutOrStdout(), r); err != nil {
					return err
				}
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&m.tasks, "tasks", "bcw,credit,mnist,mnist-predict", "tasks, separated by commas")
	f.StringVar(&m.data, "data", "../shared/data", "folder of the data sets")
	f.IntVar(&m.steps, "steps", 0, "train so many steps only; 0 for all")
	f.IntVar(&m.seeds, "seeds", 0, "also train in the clear with so many seeds")
	f.IntVar(&m.query, "predict", -1, "predict so many test rows under encryption; -1 for what the task says")
	f.StringVar(&m.dir, "checkpoints", "", "folder of checkpoints, from which a run that was stopped goes on")
	return cmd
}

func (t netTask) run(ctx context.Context, m mlpOptions, toy bool, progress func(study.Progress)) (mlpReport, error) {
	train, test, err := t.load(m.data)
	if errors.Is(err, fs.ErrNotExist) {
		return mlpReport{}, fmt.Errorf("the data sets are not in %s: give their folder by --data: %w", m.data, err)
	}
	if err != nil {
		return mlpReport{}, err
	}
	c, err := t.config()
	if err != nil {
		return mlpReport{}, err
	}
	c.Insecure = toy
	if m.steps > 0 {
		c.Steps = m.steps
	}
	if m.query >= 0 {
		c.Predict = m.query
	}
	if m.dir != "" {
		c.Checkpoint = filepath.Join(m.dir, t.name+".checkpoint")
	}
	r := mlpReport{
		Task: t.name, Machine: thisMachine(), Date: today(),
		Targets: map[string]float64{"accuracy": t.accuracy, "training_wall_model": t.target},
	}
	if r.NetworkReport, err = study.RunNetwork(ctx, c, train, test, nil, progress); err != nil {
		return r, err
	}
	r.VsPoseidon = t.poseidon / r.Seconds.TrainingWallModel
	if m.seeds > 0 {
		r.ClearTwin = &seeds{}
		for s := range m.seeds {
			c.Seed = uint64(s + 1)
			a, err := study.ClearAccuracy(c, train, test)
			if err != nil {
				return r, err
			}
			r.ClearTwin.Seeds, r.ClearTwin.Accuracy = append(r.ClearTwin.Seeds, c.Seed), append(r.ClearTwin.Accuracy, a)
			r.ClearTwin.Mean += a / float64(m.seeds)
		}
	}
	return r, nil
}

// text implements [report].
func (r mlpReport) text(w *bytes.Buffer) {
	fmt.Fprintf(w, "%s: %v, %d parties × %d rows, %d steps; %s, %d cores, %s\n", r.Task, r.Layers, r.Parties, r.Batch, r.Iterations, r.Machine.CPU, r.Machine.Cores, r.Date)
	if a := r.Accuracy; a != nil {
		fmt.Fprintf(w, "accuracy: encrypted %.4f, clear twin %.4f, exact %.4f, local only %.4f (target %.3f)\n", a.Encrypted, a.ClearTwin, a.Exact, a.LocalOnly, r.Targets["accuracy"])
	}
	if s := r.ClearTwin; s != nil {
		fmt.Fprintf(w, "in the clear, %d seeds: %.4f (mean %.4f)\n", len(s.Seeds), s.Accuracy, s.Mean)
	}
	s := r.Seconds
	fmt.Fprintf(w, "a step: party %.3f s, network %.3f s, wall %.3f s; training %.1f s (target %.0f s, POSEIDON over ours %.1f)\n",
		s.IterationParty, s.IterationNetwork, s.IterationWallModel, s.TrainingWallModel, r.Targets["training_wall_model"], r.VsPoseidon)
	fmt.Fprintf(w, "largest difference of a weight from the clear twin %.2g; %.1f MB sent by the busiest party in a step\n", r.MaxWeightDiff, float64(r.Bytes.IterationParty)/1e6)
	if p := r.Prediction; p != nil {
		fmt.Fprintf(w, "%d rows predicted under encryption: right %.4f, noise %.3g; a batch of %d rows takes a party %.2f s, %.2f s with the network\n", p.Rows, p.Right, p.Noise, p.BatchRows, p.BatchParty, p.BatchWall)
	}
}
