package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/nereid-mhe/nereid/dataset"
	"github.com/nereid-mhe/nereid/internal/wan"
	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/nn"
	"github.com/nereid-mhe/nereid/node"
	"github.com/nereid-mhe/nereid/study"
	"github.com/nereid-mhe/nereid/studyfile"
)

// A networkReport is a study of nodes over emulated links: what was expected, and what
// it took. Its JSON form is described in the README.
type networkReport struct {
	Benchmark string  `json:"benchmark"`
	Study     string  `json:"study"`
	Parties   int     `json:"parties"`
	Depth     int     `json:"tree_depth"`
	Steps     int     `json:"steps"`
	Mbit      float64 `json:"mbit"`
	Latency   float64 `json:"latency_ms"`

	Predicted float64   `json:"predicted_s"`
	Measured  float64   `json:"measured_s"` // median of the runs
	Ratio     float64   `json:"ratio"`      // measured over predicted
	Runs      []float64 `json:"runs_s"`

	Phases map[string]networkPhase `json:"phases"` // setup, training, predict
	Bytes  expected[int64]         `json:"bytes_party"`
	Wire   int64                   `json:"bytes_wire_party"` // in and out, with framing and TLS, of the busiest party

	Host hostFigures `json:"host"`

	Accuracy  float64 `json:"accuracy"`          // of the opened predictions
	TwinDiff  float64 `json:"max_output_diff"`   // of an opened output from the clear twin
	NoisePlan float64 `json:"output_noise_plan"` // standard deviation
	TwinRight float64 `json:"accuracy_clear_twin"`

	Overhead *overheadReport `json:"overhead,omitempty"`

	Machine machine `json:"machine"`
	Date    string  `json:"date"`
}

type expected[T any] struct {
	Predicted T `json:"predicted"`
	Measured  T `json:"measured"`
}

// A networkPhase is a part of a study. Seconds of the runs are medians.
type networkPhase struct {
	Predicted float64         `json:"predicted_s"`
	Measured  float64         `json:"measured_s"`
	Ratio     float64         `json:"ratio"`
	Compute   float64         `json:"compute_predicted_s"`
	Network   float64         `json:"network_predicted_s"`
	Disk      float64         `json:"disk_predicted_s"`
	CPU       float64         `json:"cpu_s"` // of all parties, the querier and the emulated links
	Bytes     expected[int64] `json:"bytes_party"`
}

// hostFigures are what was measured before the run, and went into the prediction.
type hostFigures struct {
	PerCore float64 `json:"parties_per_core"`
	Commit  float64 `json:"commit_ms"`
	Put     float64 `json:"put_ms"`
	Byte    float64 `json:"disk_ns_byte"`
	Wire    float64 `json:"wire_ns_byte"`
}

type networkOptions struct {
	data, costs, dir string
	studies, parties string
	runs, pairs      int
	mbit, latency    float64
}

func networkCommand(o *options) *cobra.Command {
	var n networkOptions
	cmd := &cobra.Command{
		Use:   "network",
		Short: "Run studies of nodes over emulated links and compare them with their forecasts",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return n.run(cmd, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&n.data, "data", "../shared/data", "folder of the data sets; synthetic rows without it")
	f.StringVar(&n.costs, "costs", "", "file with a record of costs of this machine; measured, and written, if there is none")
	f.StringVar(&n.dir, "dir", "", "folder for journals, on the disk that is to be measured; a temporary one by default")
	f.StringVar(&n.studies, "studies", "logistic,network", "studies, separated by commas")
	f.StringVar(&n.parties, "parties", "3,5", "numbers of parties, separated by commas")
	f.IntVar(&n.runs, "runs", 3, "runs of every study, for their median")
	f.IntVar(&n.pairs, "pairs", 9, "pairs of runs for the overhead, of the largest number of parties; 0 for none")
	f.Float64Var(&n.mbit, "mbit", 1000, "bandwidth of a party's link in Mbit/s")
	f.Float64Var(&n.latency, "latency", 20, "latency of a link, one way, in milliseconds")
	cmd.AddCommand(runCommand(o))
	return cmd
}

func (n networkOptions) run(cmd *cobra.Command, o *options) (err error) {
	var parties []int
	for s := range strings.SplitSeq(n.parties, ",") {
		p, err := strconv.Atoi(s)
		if err != nil || p < 2 {
			return fmt.Errorf("--parties: %q, want numbers of 2 or more", s)
		}
		parties = append(parties, p)
	}
	if n.runs < 1 || n.pairs < 0 || !(n.mbit > 0) || !(n.latency >= 0) {
		return fmt.Errorf("--runs %d, --pairs %d, --mbit %g, --latency %g: want 1, 0, a positive number and 0 or more", n.runs, n.pairs, n.mbit, n.latency)
	}
	dir, err := os.MkdirTemp(n.dir, "nereid-network-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	costs, err := n.measured(cmd.Context(), o.toy)
	if err != nil {
		return err
	}
	for name := range strings.SplitSeq(n.studies, ",") {
		for _, p := range parties {
			b := networkBenchmark{n, dir, name, p, costs, o.toy, func(format string, args ...any) {
				fmt.Fprintf(cmd.ErrOrStderr(), "%s, %d parties: "+format+"\n", append([]any{name, p}, args...)...)
			}}
			r, err := b.run(cmd.Context(), p == slices.Max(parties))
			if err != nil {
				return fmt.Errorf("%s, %d parties: %w", name, p, err)
			}
			if err := o.print(cmd.OutOrStdout(), r); err != nil {
				return err
			}
		}
	}
	return nil
}

// measured returns the costs of this machine. A toy ring is not worth the time.
func (n networkOptions) measured(ctx context.Context, toy bool) (mhe.Costs, error) {
	if n.costs == "" && toy {
		return nn.DefaultCosts(), nil
	}
	if n.costs != "" {
		b, err := os.ReadFile(n.costs)
		if !errors.Is(err, fs.ErrNotExist) {
			c, parse := mhe.ParseCosts(b)
			return c, errors.Join(err, parse)
		}
	}
	c, err := loadedCosts(ctx)
	if err != nil || n.costs == "" {
		return c, err
	}
	b, err := json.Marshal(c)
	if err != nil {
		return c, err
	}
	return c, os.WriteFile(n.costs, b, 0o666)
}

// A networkBenchmark is a study of a number of parties.
type networkBenchmark struct {
	networkOptions
	dir     string
	name    string
	parties int
	costs   mhe.Costs
	toy     bool
	log     func(format string, args ...any)
}

// threads is as many as processes of the parties would have: then the system shares the
// cores, and lets who has waited for a message go first. Go's scheduler would not.
func (b networkBenchmark) threads() int { return b.parties * runtime.NumCPU() }

func (b networkBenchmark) run(ctx context.Context, overhead bool) (r networkReport, err error) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(b.threads()))
	place := filepath.Join(b.dir, fmt.Sprintf("%s-%d", b.name, b.parties))
	f, data, err := b.study()
	if err != nil {
		return r, err
	}
	trial, err := node.NewTrial(ctx, place, studyfile.Ring(b.toy), f, data)
	if err != nil {
		return r, err
	}
	c, err := openContest(ctx, studyfile.Ring(b.toy), trial)
	if err != nil {
		return r, err
	}
	link := wan.Link{Mbit: b.mbit, Latency: time.Duration(b.latency * float64(time.Millisecond))}
	r = networkReport{
		Benchmark: "network", Study: b.name, Parties: b.parties, Depth: c.terms.Tree().Depth(), Steps: c.terms.Steps(),
		Mbit: b.mbit, Latency: b.latency, Machine: thisMachine(), Date: today(),
	}
	host, err := measureHost(ctx, filepath.Join(place, "disk"), b.costs, b.parties, link)
	if err != nil {
		return r, err
	}
	r.Host = hostFigures{
		PerCore: round(float64(host.Sharing) / float64(host.Cores)),
		Commit:  round(1e3 * host.Commit), Put: round(1e3 * host.Put), Byte: round(1e9 * host.Byte), Wire: round(1e9 * host.Wire),
	}
	forecast := c.terms.Forecast(host)
	b.log("forecast: setup %.2f s, training %.2f s, predictions %.2f s", forecast.Setup.Seconds, forecast.Training.Seconds, forecast.Predict.Seconds)
	var runs []measuredRun
	for i := range b.runs {
		settle()
		m, err := c.nodes(ctx, func(party string) string { return filepath.Join(place, party, fmt.Sprintf("run-%d", i)) }, &link)
		if err != nil {
			return r, err
		}
		b.log("run %d: setup %.2f s, training %.2f s, predictions %.2f s; of processors %.2f, %.2f and %.2f s", i+1,
			m.setup.Seconds(), m.training.Seconds(), m.predict.Seconds(), m.cpu["setup"].Seconds(), m.cpu["training"].Seconds(), m.cpu["predict"].Seconds())
		runs = append(runs, m)
	}
	r.compare(forecast, runs)
	if err := r.check(ctx, c, data, runs[0].outputs); err != nil {
		return r, err
	}
	if overhead && b.pairs > 0 {
		r.Overhead, err = b.overhead(ctx, place)
	}
	return r, err
}

// compare fills in what was expected and measured.
func (r *networkReport) compare(f study.Forecast, runs []measuredRun) {
	r.Phases = map[string]networkPhase{}
	phase := func(name string, s study.Span, of func(measuredRun) time.Duration) {
		p := networkPhase{
			Predicted: round(s.Seconds), Measured: medianSeconds(runs, of),
			Compute: round(s.Compute), Network: round(s.Network), Disk: round(s.Disk),
			CPU:   medianSeconds(runs, func(m measuredRun) time.Duration { return m.cpu[name] }),
			Bytes: expected[int64]{s.BytesParty, runs[0].sent[name]},
		}
		if s.Seconds > 0 {
			p.Ratio = round(p.Measured / s.Seconds)
		}
		r.Phases[name] = p
		r.Bytes.Predicted += p.Bytes.Predicted
		r.Bytes.Measured += p.Bytes.Measured
	}
	phase("setup", f.Setup, func(m measuredRun) time.Duration { return m.setup })
	phase("training", f.Training, func(m measuredRun) time.Duration { return m.training })
	phase("predict", f.Predict, func(m measuredRun) time.Duration { return m.predict })
	r.Predicted, r.Measured = round(f.Seconds()), medianSeconds(runs, measuredRun.total)
	r.Ratio = round(r.Measured / f.Seconds())
	for _, m := range runs {
		r.Runs = append(r.Runs, round(m.total().Seconds()))
	}
	r.Wire = runs[0].wire
}

func medianSeconds(runs []measuredRun, of func(measuredRun) time.Duration) float64 {
	var v []float64
	for _, m := range runs {
		v = append(v, of(m).Seconds())
	}
	return round(quantile(v, 0.5))
}

// check compares the predictions with those of the clear twin.
func (r *networkReport) check(ctx context.Context, c contest, data node.TrialData, z [][]float64) error {
	twin, err := c.terms.Twin(ctx, data.Parties, c.rows.X)
	if err != nil {
		return err
	}
	if r.NoisePlan, err = c.terms.OutputNoise(); err != nil {
		return err
	}
	for i := range z {
		for j := range z[i] {
			r.TwinDiff = max(r.TwinDiff, math.Abs(z[i][j]-twin[i][j]))
		}
		if c.terms.Class(z[i]) == int(c.rows.Y[i]) {
			r.Accuracy += 1 / float64(len(z))
		}
		if c.terms.Class(twin[i]) == int(c.rows.Y[i]) {
			r.TwinRight += 1 / float64(len(z))
		}
	}
	r.Accuracy, r.TwinRight = round(r.Accuracy), round(r.TwinRight)
	return nil
}

// settle ends what the run before has left: garbage, and files on their way to the disk.
func settle() {
	debug.FreeOSMemory()
	syncDisks()
}

// study returns a short study and its rows, those of a public data set if it is there.
func (b networkBenchmark) study() (f studyfile.File, data node.TrialData, err error) {
	var set string
	switch b.name {
	case "logistic":
		set = "pima"
		f = studyfile.New(studyfile.Logistic)
		f.Training.Epochs, f.Training.Steps = 0, 30
	case "network":
		set = "bcw"
		f = studyfile.New(studyfile.Network)
		layer := studyfile.NewLayer(64)
		layer.Bound, layer.Gain = 1.5, 0.0025
		f.Model.Hidden, f.Model.OutputGain, f.Model.Loss.Bound = []studyfile.Layer{layer}, 0.3, 2
		f.Preprocessing.Clip = 0.59
		t := &f.Training
		t.Rate, t.LayerRates, t.Momentum, t.Schedule.Power, t.Steps, t.Batch, t.Seed = 1, []float64{1.28, 0.588}, 0.427, 0.29, 6, 54, 1
	default:
		return f, data, fmt.Errorf("--studies: unknown study %q, want logistic or network", b.name)
	}
	f.Name, f.Parties.Count, f.Hosts.Mbit, f.Hosts.Latency = b.name, b.parties, b.mbit, b.latency
	table, schema, err := b.table(set)
	if err != nil {
		return f, data, err
	}
	f.Data.Label, f.Data.Features, f.Data.Classes = schema.Label, table.Features, schema.Classes
	train, test, err := dataset.Split(table, 0.2, 1)
	if err != nil {
		return f, data, err
	}
	data.Querier = test
	f.Opening.Queriers = []studyfile.Querier{{Name: "querier", Rows: test.Rows()}}
	data.Parties, err = dataset.Divide(train, b.parties, dataset.Partition("even"), 1)
	return f, data, err
}

// table reads a data set, or makes rows of its shape.
func (b networkBenchmark) table(name string) (dataset.Table, dataset.Schema, error) {
	i := slices.IndexFunc(tasks, func(t task) bool { return t.name == name })
	t := tasks[i]
	table, _, err := dataset.ReadFile(filepath.Join(b.data, t.file), t.schema)
	if !errors.Is(err, fs.ErrNotExist) {
		return table, t.schema, err
	}
	b.log("%s is not in %s: the rows are synthetic", name, b.data)
	made, err := dataset.Synthetic(dataset.SyntheticConfig{Rows: 700, Features: 9, Seed: 1, Noise: 0.05})
	return made, dataset.Schema{Label: "y"}, err
}

// text implements [report].
func (r networkReport) text(w *bytes.Buffer) {
	fmt.Fprintf(w, "%s: %d parties, %d steps, %g Mbit/s, %g ms: predicted %.2f s, measured %.2f s, ratio %.2f\n", r.Study, r.Parties, r.Steps, r.Mbit, r.Latency, r.Predicted, r.Measured, r.Ratio)
	for _, name := range []string{"setup", "training", "predict"} {
		p := r.Phases[name]
		fmt.Fprintf(w, "  %-9s predicted %.2f s (compute %.2f, network %.2f, disk %.2f), measured %.2f s, ratio %.2f; busiest party sent %.2f MB, predicted %.2f MB\n",
			name, p.Predicted, p.Compute, p.Network, p.Disk, p.Measured, p.Ratio, float64(p.Bytes.Measured)/1e6, float64(p.Bytes.Predicted)/1e6)
	}
	fmt.Fprintf(w, "  accuracy %.4f, clear twin %.4f; outputs within %.2g of the twin's, noise planned %.2g\n", r.Accuracy, r.TwinRight, r.TwinDiff, r.NoisePlan)
	if o := r.Overhead; o != nil {
		fmt.Fprintf(w, "  journal and TLS: nodes %.2f s, in memory %.2f s, overhead %.1f %% (target %.0f %%)\n", o.Nodes, o.InMemory, 100*o.Overhead, 100*o.Target)
	}
}
