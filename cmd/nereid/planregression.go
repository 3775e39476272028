package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/study"
	"github.com/nereid-mhe/nereid/studyfile"
)

// A regressionPlan is the report on a study of regression, which has one plan: a
// contract.
type regressionPlan struct {
	Kind       studyfile.Kind `json:"kind"`
	Parties    int            `json:"parties"`
	Depth      int            `json:"tree_depth"`
	Steps      int            `json:"steps"`
	Link       study.Link     `json:"link"`
	Costs      costsJSON      `json:"costs"`
	Hash       string         `json:"hash"`
	LogN       int            `json:"log_n"`
	LogQ       []int          `json:"log_q"`
	LogP       []int          `json:"log_p"`
	LogScale   int            `json:"log_scale"`
	KeyBytes   int            `json:"key_bytes"`
	StepBytes  int64          `json:"step_bytes_party"`
	SetupBytes int64          `json:"setup_bytes_link"`
	Noise      float64        `json:"output_noise"`
	Forecast   study.Forecast `json:"forecast"`
	Total      float64        `json:"total"` // seconds
}

// regression reports on the plan of a regression and on how long it takes nodes.
func (o *planning) regression(c *cobra.Command) error {
	costs, from, err := o.record(c)
	if err != nil {
		return err
	}
	f := o.file
	f.Simulate = nil // of its own ring: the plan is that of nodes
	terms, err := f.Terms(c.Context(), studyfile.Secure, nil, [32]byte{})
	if err != nil {
		return o.inFile(err)
	}
	r := newRegressionPlan(f, terms, costs, from)
	if r.Noise, err = terms.OutputNoise(); err != nil {
		return err
	}
	return printReport(c, o.format, r, r.write)
}

func newRegressionPlan(f studyfile.File, terms study.Terms, costs mhe.Costs, from string) regressionPlan {
	set, needs, hash := terms.Parameters().Config(), terms.Needs(), terms.PlanHash()
	link := study.Link{Mbit: f.Hosts.Mbit, Latency: f.Hosts.Latency}
	forecast := terms.Forecast(study.Typical(costs, link))
	return regressionPlan{
		Kind: f.Model.Kind, Parties: terms.Tree().Parties(), Depth: terms.Tree().Depth(), Steps: terms.Steps(), Link: link,
		Costs: costsJSON{from, costs.Machine}, Hash: fmt.Sprintf("%x", hash),
		LogN: set.LogN, LogQ: set.LogQ, LogP: set.LogP, LogScale: set.LogScale,
		KeyBytes: terms.KeyBytes(), StepBytes: needs.Step, SetupBytes: needs.Setup, Forecast: forecast, Total: forecast.Seconds(),
	}
}

func (r regressionPlan) write(t *page) {
	t.heading(fmt.Sprintf("Nereid plan: a %s regression of %d parties on encrypted weights", r.Kind, r.Parties))
	t.fact("network", fmt.Sprintf("%g Mbit/s and %g ms one way, a tree of depth %d", r.Link.Mbit, r.Link.Latency, r.Depth))
	t.fact("costs", fmt.Sprintf("%s: %s, %s/%s, %s, measured %s", r.Costs.From, r.Costs.Machine.CPU, r.Costs.Machine.OS, r.Costs.Machine.Arch, r.Costs.Machine.Go, r.Costs.Machine.When))
	t.fact("parameters", fmt.Sprintf("N = 2^%d, ciphertext primes of %v bits, special primes of %v, scale 2^%d", r.LogN, r.LogQ, r.LogP, r.LogScale))
	t.forecast(r.Forecast)
	t.fact("keys", size(int64(r.KeyBytes)))
	t.fact("precision", fmt.Sprintf("outputs are opened with a noise of %.2g", r.Noise))
	t.fact("plan", r.Hash)
}

// forecast writes what nodes are expected to take.
func (t *page) forecast(f study.Forecast) {
	span := func(name string, s study.Span) {
		t.fact(name, fmt.Sprintf("%s: compute %s, network %s, disk %s; %s sent by the busiest", seconds(s.Seconds), seconds(s.Compute), seconds(s.Network), seconds(s.Disk), size(s.BytesParty)))
	}
	span("setup", f.Setup)
	span("step", f.Step)
	span("training", f.Training)
	if f.Predict.Seconds > 0 {
		span("predictions", f.Predict)
	}
	t.fact("together", seconds(f.Seconds()))
}
