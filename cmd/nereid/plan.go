package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/nn"
	"github.com/nereid-mhe/nereid/study"
	"github.com/nereid-mhe/nereid/studyfile"
)

const planLong = `Finds the parameters and the layout with which a network trains fastest on encrypted
weights: ring, primes, windows of the layers, and the points at which every party's own
tensors are refreshed by all. Nothing is run and no data is read.

Seconds are those of a machine's record of costs and of a model of the network; bytes,
keys and precision follow from the plan itself. --calibrate measures this machine.

The report lists the chosen plan and the best of the others, each with what it loses by,
and says for which numbers of parties and links another choice wins. It forecasts how long
nodes will take for the study with the chosen plan, on hosts of their own, with all
predictions that queriers may ask for. A study file of logistic or linear regression has
one plan, of which it says the same.

Without flags: the network of the papers for MNIST, 784-64-64-10, among 10 parties.`

const planExample = `  nereid plan --parties 50 --mbit 100 --latency 50
  nereid plan --study study.yaml
  nereid plan --features 23 --hidden 64 --outputs 1 --batch 225 --format json
  nereid plan --calibrate`

func newPlan() *cobra.Command {
	o := defaultPlanning()
	groups := o.groups()
	c := &cobra.Command{
		Use:     "plan",
		Short:   "Find the fastest way to train a network, and what it will cost",
		Long:    planLong,
		Example: planExample,
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

func (o *planning) run(c *cobra.Command) error {
	if o.file.Model.Kind != studyfile.Network { // of a file: flags describe networks
		return o.regression(c)
	}
	r, err := o.request()
	if err != nil {
		return err
	}
	var from string
	if r.Costs, from, err = o.record(c); err != nil {
		return err
	}
	s, err := nn.PlanNetwork(c.Context(), r)
	if err != nil {
		return o.inFile(err)
	}
	forecast, err := o.file.Forecast(s.Best().Plan, study.Typical(r.Costs, study.Link{Mbit: r.Link.Mbit, Latency: r.Link.Latency}))
	if err != nil {
		return o.inFile(err)
	}
	var ws []nn.Winner
	if o.crossover {
		if ws, err = nn.Crossover(c.Context(), s, nn.CrossoverParties, nn.CrossoverLinks); err != nil {
			return err
		}
	}
	var b bytes.Buffer
	if o.format == "json" {
		if err := json.NewEncoder(&b).Encode(planReport(s, from, forecast, ws, o.top)); err != nil {
			return fmt.Errorf("report: %w", err)
		}
	} else {
		writePlanText(&b, s, from, forecast, ws, o.top)
	}
	return output{"", c.OutOrStdout()}.write(b.Bytes())
}

// record returns the costs to plan with, and where they are from.
func (o *planning) record(c *cobra.Command) (costs mhe.Costs, from string, err error) {
	file := o.costs
	if file == "" {
		if dir, err := os.UserCacheDir(); err == nil {
			file = filepath.Join(dir, "nereid", "costs.json")
		}
	}
	if o.calibrate {
		return o.measure(c, file)
	}
	if file != "" {
		b, err := os.ReadFile(file)
		if err == nil {
			costs, err = mhe.ParseCosts(b)
		}
		switch missing := errors.Is(err, fs.ErrNotExist); {
		case err == nil:
			return costs, file, nil
		case o.costs != "" || !missing:
			return costs, "", &failure{exitUsage, fmt.Errorf("--costs %s: %w", file, err), "measure again with --calibrate"}
		}
	}
	return nn.DefaultCosts(), "built in", nil
}

// measure calibrates and keeps the record.
func (o *planning) measure(c *cobra.Command, file string) (mhe.Costs, string, error) {
	if file == "" {
		return mhe.Costs{}, "", usageError("name a file with --costs", "no cache directory for the record of costs")
	}
	m := mhe.Machine{CPU: cpuName(), OS: runtime.GOOS, Arch: runtime.GOARCH, Go: runtime.Version(), When: time.Now().UTC().Format(time.DateOnly)}
	costs, err := nn.CalibrateCosts(c.Context(), m)
	if err != nil {
		return costs, "", err
	}
	b, err := json.MarshalIndent(costs, "", " ")
	if err == nil {
		err = os.MkdirAll(filepath.Dir(file), 0o777)
	}
	if err == nil {
		err = output{path: file}.write(append(b, '\n'))
	}
	if err != nil {
		return costs, "", &failure{exitUsage, fmt.Errorf("the record of costs: %w", err), "name a file with --costs"}
	}
	return costs, file, nil
}

// cpuName returns the model of the processor, or "unknown".
func cpuName() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err == nil {
		for line := range strings.Lines(string(b)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				return strings.TrimSpace(value)
			}
		}
	}
	return "unknown"
}

// A planJSON is the JSON form of the report: a contract.
type planJSON struct {
	Layers     []int           `json:"layers"`
	Parties    int             `json:"parties"`
	Fanout     int             `json:"fanout"`
	Steps      int             `json:"steps"`
	Link       nn.Link         `json:"link"`
	Costs      costsJSON       `json:"costs"`
	Chosen     candidateJSON   `json:"chosen"`
	Others     []candidateJSON `json:"others"`
	Tried      int             `json:"tried"`
	Crossover  []nn.Winner     `json:"crossover"`
	Constraint constraintJSON  `json:"constraints"`
	Forecast   study.Forecast  `json:"forecast"` // of nodes with the chosen plan
	Total      float64         `json:"total"`    // seconds
}

type costsJSON struct {
	From    string      `json:"from"`
	Machine mhe.Machine `json:"machine"`
}

type constraintJSON struct {
	MaxMemory    int64   `json:"max_memory"` // 0 for none
	MaxWeightErr float64 `json:"max_weight_error"`
	Quantum      bool    `json:"quantum"`

	PredictRows    int     `json:"predict_rows"`     // opened to all queriers
	MaxOutputNoise float64 `json:"max_output_noise"` // of them
}

type candidateJSON struct {
	Hash        string        `json:"hash"`
	LogN        int           `json:"log_n"`
	LogQ        []int         `json:"log_q"`
	LogP        []int         `json:"log_p"`
	LogScale    int           `json:"log_scale"`
	InputWindow int           `json:"input_window"`
	InputBaby   int           `json:"input_baby"`
	InnerWindow int           `json:"inner_window"`
	Strips      int           `json:"strips"`  // of a block, for weights of several layers in a ciphertext; 1 for none
	Skipped     []string      `json:"skipped"` // points without refresh
	Batch       int           `json:"batch_party"`
	Passes      int           `json:"passes"`
	Galois      int           `json:"galois_keys"`
	Products    int           `json:"product_keys"`
	KeyBytes    int           `json:"key_bytes"`
	WeightErr   float64       `json:"weight_error"`
	Openings    int           `json:"openings"`     // of answers to queriers, all together
	Noise       *float64      `json:"output_noise"` // of an opened output, 0 without predictions; null for more than can be sampled
	Price       nn.Price      `json:"price"`
	Rejected    nn.Constraint `json:"rejected,omitempty"`
	Reason      string        `json:"reason,omitempty"`
}

func planReport(s *nn.PlanSearch, from string, f study.Forecast, ws []nn.Winner, top int) planJSON {
	r := s.Request
	best := s.Best()
	out := planJSON{
		Layers: layersOf(r.Net), Parties: r.Net.Parties, Fanout: r.Fanout, Steps: r.Net.Steps, Link: r.Link,
		Costs: costsJSON{from, r.Costs.Machine}, Chosen: candidateOf(best, r), Others: []candidateJSON{},
		Tried: len(s.Candidates) + len(s.Rejected), Crossover: ws,
		Constraint: constraintJSON{r.MaxMemory, r.MaxWeightErr, r.Quantum, r.Predict.Rows(), r.Predict.MaxNoise},
		Forecast:   f, Total: f.Seconds(),
	}
	list := s.Distinct()
	for _, c := range list[1:min(top, len(list))] {
		out.Others = append(out.Others, candidateOf(c, r))
	}
	return out
}

func candidateOf(c nn.Candidate, r nn.PlanRequest) candidateJSON {
	cfg, hash := c.Plan.Set.Config(), c.Plan.Hash()
	noise := &c.Noise
	if math.IsInf(c.Noise, 1) { // which JSON cannot say
		noise = nil
	}
	return candidateJSON{
		Hash: fmt.Sprintf("%x", hash), LogN: cfg.LogN, LogQ: cfg.LogQ, LogP: cfg.LogP, LogScale: cfg.LogScale,
		InputWindow: c.Layout.InputWindow, InputBaby: c.Layout.InputBaby, InnerWindow: c.Layout.InnerWindow, Strips: c.Layout.Strips,
		Skipped: append([]string{}, c.Skipped(r.Net)...), Batch: c.Batch, Passes: c.Plan.Passes,
		Galois: len(c.Plan.Keys.Rotations), Products: len(c.Plan.Keys.Products), KeyBytes: c.Plan.Keys.Bytes(c.Plan.Set),
		WeightErr: c.Plan.WeightErr, Openings: c.Openings, Noise: noise, Price: c.Price, Rejected: c.Rejected, Reason: c.Reason,
	}
}

func layersOf(n nn.Network) []int {
	out := []int{n.Features}
	for _, h := range n.Hidden {
		out = append(out, h.Units)
	}
	return append(out, n.Outputs)
}
