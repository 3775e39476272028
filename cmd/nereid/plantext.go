package main

import (
	"bytes"
	"fmt"

	"github.com/nereid-mhe/nereid/nn"
	"github.com/nereid-mhe/nereid/study"
)

// A planText is the report of a search.
type planText struct {
	page
	s    *nn.PlanSearch
	from string
	f    study.Forecast
	ws   []nn.Winner
}

// writePlanText prints the outcome of a search for people.
func writePlanText(b *bytes.Buffer, s *nn.PlanSearch, from string, f study.Forecast, ws []nn.Winner, top int) {
	t := &planText{s: s, from: from, f: f, ws: ws}
	t.head()
	t.chosen()
	t.heading("FORECAST (nodes on hosts of their own)")
	t.forecast(t.f)
	t.table(top)
	t.refused()
	t.crossover()
	t.WriteTo(b) // both in memory
}

func (t *planText) head() {
	r := t.s.Request
	t.line("Nereid plan: a network %s of %d parties on encrypted weights", shape(layersOf(r.Net)), r.Net.Parties)
	t.line("")
	tree := "every party under every other's root"
	if r.Fanout > 0 && r.Fanout < r.Net.Parties-1 {
		tree = fmt.Sprintf("trees of fan-out %d", r.Fanout)
	}
	t.fact("Network", fmt.Sprintf("%g Mbit/s and %g ms one way, %s", r.Link.Mbit, r.Link.Latency, tree))
	m := r.Costs.Machine
	t.fact("Costs", fmt.Sprintf("%s: %s, %s/%s, %s, measured %s", t.from, m.CPU, m.OS, m.Arch, m.Go, m.When))
	limit := "no memory limit"
	if r.MaxMemory > 0 {
		limit = fmt.Sprintf("%.3g GiB of memory", gib(r.MaxMemory))
	}
	t.fact("Constraints", fmt.Sprintf("%s, weights within %g, 128-bit security", limit, r.MaxWeightErr))
}

func gib(bytes int64) float64 { return float64(bytes) / (1 << 30) }

func (t *planText) chosen() {
	c := t.s.Best()
	p, set := c.Price, c.Plan.Set.Config()
	t.heading("CHOSEN")
	t.fact("parameters", fmt.Sprintf("N = 2^%d, ciphertext primes of %v bits, special primes of %v, scale 2^%d", set.LogN, set.LogQ, set.LogP, set.LogScale))
	t.fact("layout", fmt.Sprintf("input window %d with %s, inner windows up to %d; %s", c.Layout.InputWindow, count(c.Layout.InputBaby, "baby step"), c.Layout.InnerWindow, c.Packing()))
	t.fact("refreshes", c.Placement(c.Plan.Net))
	t.fact("batch", fmt.Sprintf("%s per party and step in %s", count(c.Batch, "row"), count(c.Plan.Passes, "pass")))
	t.fact("step", fmt.Sprintf("%s: local compute %s, refreshes %s, update %s, network %s", seconds(p.Iteration), seconds(p.Map), seconds(p.Refresh), seconds(p.Update), seconds(p.Network)))
	t.fact("training", fmt.Sprintf("%s in %s, after a setup of %s", seconds(p.Training), count(t.s.Request.Net.Steps, "step"), seconds(p.Setup)))
	t.fact("sent", fmt.Sprintf("%s per party and step; %s in the setup by the busiest", size(p.IterationBytes), size(p.SetupBytes)))
	t.fact("keys", fmt.Sprintf("%s, %s: %s", count(len(c.Plan.Keys.Rotations), "rotation key"), count(len(c.Plan.Keys.Products), "product key"), size(int64(c.Plan.Keys.Bytes(c.Plan.Set)))))
	t.fact("memory", fmt.Sprintf("%.2f GiB per party: keys %.2f, model %.2f, operands %.2f, data %.2f, shares %.2f, collector %.2f; predictions %.2f", gib(p.Memory.Total),
		gib(p.Memory.Keys), gib(p.Memory.Model), gib(p.Memory.Operands), gib(p.Memory.Data), gib(p.Memory.Shares), gib(p.Memory.Collector), gib(p.Memory.Queries)))
	t.fact("precision", fmt.Sprintf("%.1f bits: weights within %s after training", p.Bits, tiny(c.Plan.WeightErr)))
	if r := t.s.Request.Predict; len(r.Queriers) > 0 {
		q := c.Plan.Query
		t.fact("predictions", fmt.Sprintf("%s in %s of up to %s; outputs are opened with a noise of %.2g at %d bits of flooding, at most %.2g wanted", count(r.Rows(), "row"), count(c.Openings, "opening"), count(q.Rows, "row"), c.Noise, r.Flooding, r.MaxNoise))
	}
	t.fact("plan", fmt.Sprintf("%x", c.Plan.Hash()))
}

// table lists the best candidates, each with the reason why it loses.
func (t *planText) table(top int) {
	list := t.s.Distinct()
	n := t.s.Request.Net
	t.heading(fmt.Sprintf("CANDIDATES (%d tried; seconds of a step)", len(t.s.Candidates)+len(t.s.Rejected)))
	t.line("  %-5s %2s %-2s %-13s %-*s %6s =%6s +%6s +%6s +%6s %7s %5s %5s %6s", "N", "M", "P", "windows", pointsWidth(n), "points", "step", "local", "refr.", "upd.", "net", "sent", "bits", "keys", "GiB")
	for _, c := range list[:min(top, len(list))] {
		p := c.Price
		t.line("  2^%-3d %2d %-2d %-13s %-*s %6.2f =%6.2f +%6.2f +%6.2f +%6.2f %7s %5.1f %5d %6.2f", c.LogN, c.Masks, c.Special,
			windows(c.Layout), pointsWidth(n), c.Points(),
			p.Iteration, p.Map, p.Refresh, p.Update, p.Network, size(p.IterationBytes), p.Bits, p.Keys, gib(p.Memory.Total))
		reason := "chosen"
		switch {
		case c.Rejected == nn.Slower:
			reason = c.Reason
		case c.Rejected != "":
			reason = fmt.Sprintf("%s: %s", c.Rejected, c.Reason)
		}
		for _, l := range wrap(reason, helpWidth-9) {
			t.line("         %s", l)
		}
	}
	t.line("")
	for _, l := range wrap("M, P: mask and special primes. Windows: input/baby steps/inner, and ×strips of a block where the weights of layers share ciphertexts. Points: + refreshed, - not, forward from the first layer to the last and backward from the last to the second.", helpWidth-2) {
		t.line("  %s", l)
	}
}

func windows(l nn.Layout) string {
	s := fmt.Sprintf("%d/%d/%d", l.InputWindow, l.InputBaby, l.InnerWindow)
	if l.Strips > 1 {
		s += fmt.Sprintf(" ×%d", l.Strips)
	}
	return s
}

func pointsWidth(n nn.Network) int { return max(6, 2*len(n.Hidden)+1) }

// refused counts what was not compiled.
func (t *planText) refused() {
	counts, example := map[nn.Constraint]int{}, map[nn.Constraint]string{}
	for _, c := range t.s.Rejected {
		if counts[c.Rejected]++; example[c.Rejected] == "" {
			example[c.Rejected] = c.Reason
		}
	}
	for _, k := range []nn.Constraint{nn.Security, nn.Shape, nn.Precision, nn.MemorySet} {
		if counts[k] > 0 {
			t.fact(string(k), fmt.Sprintf("%d refused, such as: %s", counts[k], example[k]))
		}
	}
}

// crossover says where the choice changes.
func (t *planText) crossover() {
	if len(t.ws) == 0 {
		return
	}
	t.heading("WHERE THE CHOICE CHANGES (the same batch; 2 to 128 parties)")
	for _, link := range nn.CrossoverLinks {
		t.fact(fmt.Sprintf("%g Mbit/s", link.Mbit), fmt.Sprintf("%g ms: %s", link.Latency, nn.CrossoverLine(t.ws, link)))
	}
}
