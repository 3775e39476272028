package main

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/nereid-mhe/nereid/study"
)

// A netText is the report of a simulation.
type netText struct {
	page
	toy string // what asks for the toy ring
	cfg study.NetworkConfig
	d   simData
	r   study.NetworkReport
}

// writeNetText prints the report of a simulation for people.
func writeNetText(b *bytes.Buffer, toy string, cfg study.NetworkConfig, d simData, r study.NetworkReport) {
	t := &netText{toy: toy, cfg: cfg, d: d, r: r}
	t.head()
	exact := "pooled rows, exact functions"
	t.models(r.Accuracy, r.RMSE, r.Test, r.Parties, "weights opened by the simulation", exact)
	t.predictions()
	t.cost()
	t.heading("CRYPTOGRAPHY")
	t.protection(r.Crypto.Crypto, r.Parties, cfg.Quantum, t.toy)
	t.fact("keys", fmt.Sprintf("collective public key, %s, %s: %s", count(r.Crypto.ProductKeys, "product key"), count(r.Crypto.GaloisKeys, "rotation key"), size(r.Crypto.KeyBytes)))
	t.opened(r.Openings)
	t.verification()
	t.insecure(r.Crypto.Insecure, t.toy)
	t.WriteTo(b) // both in memory
}

func (t *netText) head() {
	t.line("Nereid simulation: a network %s of %d parties on encrypted weights", shape(t.r.Layers), t.r.Parties)
	t.line("All parties are in this process, which holds all secrets; the network between them is modelled.")
	t.insecure(t.r.Crypto.Insecure, t.toy)
	t.line("")
	rows := fmt.Sprintf("%s, %s", count(t.r.Train+t.r.Test, "row"), count(t.r.Layers[0], "feature"))
	if t.d.classes > 0 {
		rows += fmt.Sprintf(", %d classes", t.d.classes)
	}
	t.fact("Data", t.d.source.describe(t.cfg.Seed, rows), fmt.Sprintf("%s to train on, dealt to %d parties %s; %s",
		count(t.r.Train, "row"), t.r.Parties, dealt(t.cfg.Partition), count(t.r.Test, "test row")))
	t.fact("Parties", fmt.Sprintf("%d, each the root of a tree of fan-out %d", t.r.Parties, t.r.Fanout))
	t.fact("Model", t.activations(), t.loss())
	t.fact("Training", fmt.Sprintf("%s of %s per party, each with %s of tensors of every party, and an update in %s",
		count(t.r.Iterations, "step"), count(t.r.Batch, "row"), count(t.r.Refreshes, "refresh"), count(t.r.Parts, "part")), t.descent())
	if t.cfg.Checkpoint != "" {
		t.fact("Checkpoint", t.cfg.Checkpoint+" holds the secrets of all simulated parties: remove it when it is of no more use")
	}
}

// shape writes layers as 23-64-1.
func shape(layers []int) string {
	return strings.ReplaceAll(strings.Trim(fmt.Sprint(layers), "[]"), " ", "-")
}

func (t *netText) activations() string {
	if len(t.cfg.Hidden) == 0 {
		return "no hidden layer"
	}
	var bounds []string
	for _, h := range t.cfg.Hidden {
		bounds = append(bounds, fmt.Sprintf("[-%g, %g]", h.Activation.Bound(), h.Activation.Bound()))
	}
	a := t.cfg.Hidden[0].Activation
	return fmt.Sprintf("%s as a polynomial of degree %d on %s", a.Name(), a.Degree(), strings.Join(bounds, ", "))
}

func (t *netText) loss() string {
	s := t.cfg.Loss.Name() + " loss"
	if t.cfg.Loss.Name() == "logistic" {
		s += fmt.Sprintf(", sigmoid as a polynomial of degree %d", t.cfg.Loss.Degree())
	}
	return s + fmt.Sprintf("; outputs expected in [-%g, %g]", t.cfg.Loss.Bound(), t.cfg.Loss.Bound())
}

func (t *netText) descent() string {
	o := t.cfg.Optimiser
	s := fmt.Sprintf("learning rate %g", o.Rate)
	if len(o.Layers) > 0 {
		s += fmt.Sprintf(" times %g by layer", o.Layers)
	}
	for _, p := range []struct {
		name  string
		value float64
	}{
		{"momentum", o.Momentum},
		{"L2", o.L2},
		{"warm-up of steps:", float64(o.Schedule.Warmup)},
		{"power", o.Schedule.Power},
		{"decay", o.Schedule.Decay},
	} {
		if p.value > 0 {
			s += fmt.Sprintf(", %s %g", p.name, p.value)
		}
	}
	if o.Nesterov {
		s += ", Nesterov's method"
	}
	scaled := "standard deviations"
	if t.cfg.Floor > 0 {
		scaled += fmt.Sprintf(" plus %g", t.cfg.Floor)
	}
	if t.cfg.Unit > 0 {
		scaled = fmt.Sprintf("times %g", t.cfg.Unit)
	}
	return s + fmt.Sprintf("; features cut at %g %s", t.cfg.Clip, scaled)
}

// predictions says how rows that were predicted under encryption came out.
func (t *netText) predictions() {
	p := t.r.Prediction
	if p == nil {
		return
	}
	t.heading(fmt.Sprintf("PREDICTED UNDER ENCRYPTION, OPENED TO THE QUERIER: %s", strings.ToUpper(count(p.Rows, "test row"))))
	if t.d.classes > 0 {
		t.line("  %-55s %8s", "right classes", percent(p.Right))
		t.line("  %-55s %8s", "classes that the clear twin gives too", percent(p.SameAsTwin))
	}
	t.line("  %-55s %8s   planned %s", "noise of an opened output, with flooding", tiny(p.Noise), tiny(p.NoisePlan))
	t.line("  a query of up to %s takes %s of compute per party, %s modelled with the network", count(p.BatchRows, "row"), seconds(p.BatchParty), seconds(p.BatchWall))
}

// netPhases are the phases of a step in order, as in package study.
var netPhases = []struct{ name, what string }{
	{"map", "forward and backward on own rows"},
	{"refresh", "shares for everybody's tensors"},
	{"combine", "gradients added up"},
	{"reduce", "refresh and update of the weights"},
}

// cost are bytes and seconds.
func (t *netText) cost() {
	r := t.r
	t.heading("COST OF ONE STEP, PER PARTY")
	t.line("  %-46s %14s %18s", "", "bytes sent,", "compute,")
	t.line("  %-46s %14s %18s", "", "busiest party", "median, one core")
	for _, p := range netPhases {
		t.line("  %-10s %-35s %14s %18s", p.name, p.what, size(r.Bytes.PartyPhase[p.name]/int64(r.Iterations)), seconds(r.Seconds.IterationPhase[p.name]))
	}
	t.line("  %-10s %-35s %14s %18s", "one step", "processor time, all included", size(r.Bytes.IterationParty), seconds(r.Seconds.IterationParty))
	t.line("  %-10s %-35s %14s", "setup", "whole study: keys, standardisation", size(r.Bytes.SetupParty))
	t.heading("TIME")
	t.line("  in this process, %s, no network", coresOf(t.cfg.Common))
	t.line("    setup %s, whole study %s", seconds(r.Seconds.Setup), seconds(r.Seconds.Total))
	t.line("  modelled with parties on separate hosts, %g Mbit/s and %g ms one way", t.cfg.Link.Mbit, t.cfg.Link.Latency)
	t.line("    a step %s, of which network %s; all %s %s", seconds(r.Seconds.IterationWallModel), seconds(r.Seconds.IterationNetwork), count(r.Iterations, "step"), seconds(r.Seconds.TrainingWallModel))
}

func (t *netText) verification() {
	v := t.r.Verification
	t.heading("VERIFICATION THAT NO REAL STUDY CAN DO")
	t.line("  This process held the secrets of all parties, so it opened the weights, compared them with the")
	t.line("  clear twin and scored them. Separate parties cannot; it is not among the openings above.")
	t.line("")
	t.line("  %-42s %10s   largest weight met %s", "largest difference of a weight", tiny(t.r.MaxWeightDiff), rounded(v.MaxWeight))
	t.line("  %-42s %10s   planned %s", "error of weights, root mean square", tiny(v.WeightErr), tiny(v.WeightErrPlan))
}
