package main

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"runtime"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/nereid-mhe/nereid/dataset"
	"github.com/nereid-mhe/nereid/study"
)

// A page is a report as it is printed: sections of aligned lines, none over
// helpWidth columns unless a file name is.
type page struct{ bytes.Buffer }

func (t *page) line(format string, args ...any) {
	fmt.Fprintf(t, format, args...)
	t.WriteByte('\n')
}

// heading starts a section.
func (t *page) heading(title string) { t.line("\n%s", title) }

// fact prints an entry with its name in the left column and paragraphs beside it.
func (t *page) fact(name string, paragraphs ...string) {
	const left = 15
	for _, p := range paragraphs {
		for _, l := range wrap(p, helpWidth-left) {
			t.line("  %-*s%s", left-2, name, l)
			name = ""
		}
	}
}

// A text is the report of a regression.
type text struct {
	page
	regression
	cfg study.Config
	r   study.Report
}

// writeText prints a report for people.
func writeText(b *bytes.Buffer, g regression, cfg study.Config, r study.Report) {
	t := &text{regression: g, cfg: cfg, r: r}
	t.head()
	t.result()
	t.cost()
	t.heading("CRYPTOGRAPHY")
	t.protection(r.Crypto, r.Parties, cfg.Quantum, g.toy)
	t.fact("keys", fmt.Sprintf("collective public key, relinearisation key and %s", count(r.Crypto.GaloisKeys, "rotation key")))
	t.opened(r.Openings)
	t.verification()
	t.insecure(r.Crypto.Insecure, g.toy)
	t.WriteTo(b) // both in memory
}

const toyFlag = "--insecure-toy"

// wrap breaks a paragraph into lines of at most width characters; longer words
// are left whole.
func wrap(p string, width int) []string {
	var lines []string
	for _, w := range strings.Fields(p) {
		last := len(lines) - 1
		if last >= 0 && utf8.RuneCountInString(lines[last])+1+utf8.RuneCountInString(w) <= width {
			lines[last] += " " + w
		} else {
			lines = append(lines, w)
		}
	}
	return lines
}

// insecure warns of a toy ring, which flag asked for.
func (t *page) insecure(toy bool, flag string) {
	if toy {
		t.line("\n*** INSECURE: toy parameters (%s). NOTHING IN THIS RUN WAS PROTECTED. ***", flag)
	}
}

func (t *text) head() {
	model := "logistic regression"
	if t.cfg.Regression {
		model = "linear regression"
	}
	t.line("Nereid %s: %s of %d parties on encrypted weights", t.title, model, t.r.Parties)
	t.insecure(t.r.Crypto.Insecure, t.toy)
	t.line("")
	t.fact("Data", t.data(), fmt.Sprintf("%s to train on, dealt to %d parties %s; %s for the querier",
		count(t.r.Train, "row"), t.r.Parties, t.partition(), count(t.r.Test, "test row")))
	t.fact("Parties", fmt.Sprintf("%d in a tree of fan-out %d and depth %d", t.r.Parties, t.r.Fanout, t.r.Depth))
	steps := count(t.r.Iterations, "step")
	if t.cfg.Epochs > 0 {
		steps += fmt.Sprintf(" (%s)", count(t.cfg.Epochs, "epoch"))
	}
	t.fact("Training", fmt.Sprintf("%s, each with %s", steps, count(t.r.Refreshes, "collective refresh")),
		t.loss(), t.descent())
}

func (t *text) data() string {
	return t.source.describe(t.cfg.Seed, fmt.Sprintf("%s, %s", count(t.r.Samples, "row"), count(t.r.Features, "feature")))
}

// describe says where rows of a shape come from and what the loader did.
func (s source) describe(seed uint64, shape string) string {
	if s.name == "" {
		return fmt.Sprintf("synthetic, seed %d: %s, labels drawn from a logistic model", seed, shape)
	}
	if s.Dropped > 0 {
		shape += fmt.Sprintf("; %s with missing values left out", count(s.Dropped, "row"))
	}
	if s.Imputed > 0 {
		shape += fmt.Sprintf("; %s filled with the column's mean", count(s.Imputed, "missing value"))
	}
	return s.name + ": " + shape
}

func (t *text) partition() string { return dealt(t.cfg.Partition) }

// dealt says how rows are dealt to parties.
func dealt(p dataset.Partition) string {
	switch p {
	case "", dataset.PartitionEven:
		return "evenly"
	case dataset.PartitionSkewed:
		return "unevenly (skewed)"
	case dataset.PartitionLabel:
		return "sorted by label"
	default:
		return fmt.Sprintf("sorted by %q", strings.TrimPrefix(string(p), "column:"))
	}
}

func (t *text) descent() string {
	c := t.cfg
	s := fmt.Sprintf("learning rate %g", c.SGD.Rate)
	if c.SGD.Decay > 0 {
		s += fmt.Sprintf(", decay %g", c.SGD.Decay)
	}
	return s + fmt.Sprintf(", L2 %g; features cut at %g standard deviations", c.SGD.L2, c.Clip)
}

func (t *text) loss() string {
	c := t.cfg
	if c.Regression {
		return fmt.Sprintf("squared error, outputs expected in [-%g, %g]", c.Interval, c.Interval)
	}
	return fmt.Sprintf("sigmoid as a polynomial of degree %d on [-%g, %g]", c.Degree, c.Interval, c.Interval)
}

// result is the table of models side by side.
func (t *text) result() {
	exact := "pooled rows in the clear, exact sigmoid"
	if t.r.RMSE != nil {
		exact = "pooled rows in the clear"
	}
	t.models(t.r.Accuracy, t.r.RMSE, t.r.Test, t.r.Parties, "predictions opened to the querier", exact)
}

// models prints what models reach on the test rows, accuracies or errors: how
// says how those of the encrypted one became known.
func (t *page) models(accuracy, rmse *study.Accuracy, test, parties int, how, exact string) {
	a, show, differ, title := accuracy, percent, points, "ACCURACY"
	if rmse != nil {
		a, show, differ, title = rmse, rounded, relative, "ROOT MEAN SQUARED ERROR"
	}
	t.heading(fmt.Sprintf("%s ON THE %s", title, strings.ToUpper(count(test, "test row"))))
	t.line("  %-55s %8s", "encrypted training, "+how, show(a.Encrypted))
	for _, m := range []struct {
		what  string
		value float64
	}{
		{"clear twin: the same steps and polynomials in the clear", a.ClearTwin},
		{"exact: " + exact, a.Exact},
		{fmt.Sprintf("local only: a party on its own rows, mean of %d", parties), a.LocalOnly},
	} {
		t.line("  %-55s %8s   %s", m.what, show(m.value), differ(a.Encrypted, m.value))
	}
}

// phaseNames are the phases of a study in order, as in package study.
var phaseNames = []struct{ name, what string }{
	{"setup", "collective keys, standardisation"},
	{"map", "gradient on own rows"},
	{"combine", "gradients added up the tree"},
	{"reduce", "refresh and update of the weights"},
	{"predict", "predictions for the querier"},
}

// cost are bytes and seconds.
func (t *text) cost() {
	r := t.r
	t.heading("COST BY PHASE, WHOLE STUDY")
	t.line("  %-46s %14s %18s", "", "bytes sent,", "compute,")
	t.line("  %-46s %14s %18s", "", "busiest party", "mean of parties")
	known := map[string]bool{}
	row := func(name, what string) {
		known[name] = true
		t.line("  %-10s %-35s %14s %18s", name, what, size(r.Bytes.PartyPhase[name]), seconds(r.Seconds.PartyPhase[name]))
	}
	for _, p := range phaseNames {
		row(p.name, p.what)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Seconds.PartyPhase)) {
		if !known[name] {
			row(name, "")
		}
	}
	t.line("  %-10s %-35s %14s %18s", "one step", "(median of compute)", size(r.Bytes.IterationParty), seconds(r.Seconds.IterationPartyP50))

	t.heading("TIME")
	t.line("  in this process, %s, no network", coresOf(t.cfg.Common))
	t.line("    setup %s, predictions %s, whole study %s", seconds(r.Seconds.Setup), seconds(r.Seconds.Prediction), seconds(r.Seconds.Total))
	t.line("  modelled with parties on separate hosts, %g Mbit/s and %g ms one way", t.cfg.Link.Mbit, t.cfg.Link.Latency)
	t.line("    a step %s, all %s %s", seconds(r.Seconds.IterationWallModel), count(r.Iterations, "step"), seconds(r.Seconds.TrainingWallModel))
}

// coresOf says how many cores a study uses.
func coresOf(c study.Common) string {
	if c.Cores == 0 {
		return count(runtime.GOMAXPROCS(0), "core")
	}
	return count(c.Cores, "core")
}

// protection prints the parameters that matter for security; toy is the flag that
// turns it off.
func (t *page) protection(c study.Crypto, parties int, quantum bool, toy string) {
	attacker := "classical"
	if quantum {
		attacker = "quantum"
	}
	security := fmt.Sprintf("%d bits or more against %s attackers (ePrint 2024/463)", c.SecurityBits, attacker)
	if c.Insecure {
		security = fmt.Sprintf("NONE: toy ring (%s)", toy)
	}
	t.fact("security", security)
	t.fact("scheme", fmt.Sprintf("multiparty CKKS; it takes all %d parties to open anything", parties))
	t.fact("ring", fmt.Sprintf("degree 2^%d, modulus of %.0f bits with special primes, scale of %d bits", c.LogN, c.LogQP, c.LogScale))
	t.fact("masks", fmt.Sprintf("%d bits in a refresh: %d more than what they hide", c.MaskBits, c.Lambda))
	t.fact("flooding", fmt.Sprintf("%d bits of statistical security for every opened value", c.Flooding))
}

// opened prints what left encryption.
func (t *page) opened(openings []study.Opened) {
	t.heading("OPENED, AND TO WHOM")
	for _, o := range openings {
		how := "public, not encrypted"
		if o.Flooding > 0 {
			how = fmt.Sprintf("flooded at %d bits", o.Flooding)
		}
		t.fact(o.To, fmt.Sprintf("%s: %s; %s", count(o.Values, "value"), o.What, how))
	}
	t.fact("nobody", "anything else: weights and gradients stayed encrypted, rows stayed with their owners")
}

func (t *text) verification() {
	v := t.r.Verification
	t.heading("VERIFICATION THAT NO REAL STUDY CAN DO")
	t.line("  This process held the secrets of all parties, so it opened the weights and compared them with")
	t.line("  the clear twin. Separate parties cannot; it is not among the openings above.")
	t.line("")
	t.line("  %-42s %10s   largest weight met %s", "largest difference of a weight", tiny(t.r.MaxWeightDiff), rounded(v.MaxWeight))
	t.line("  %-42s %10s   planned %s", "error of weights, root mean square", tiny(v.WeightErr), tiny(v.WeightErrPlan))
	t.line("  %-42s %10s   planned %s", "noise of opened outputs, with flooding", tiny(v.OutputNoise), tiny(v.OutputNoisePlan))
	t.line("  %-42s %10s   largest output met %s, planned for %g", "largest difference of an output", tiny(v.MaxOutputDiff), rounded(v.MaxOutput), t.cfg.Interval)
}

// count returns a number with its noun.
func count(n int, noun string) string {
	switch {
	case n == 1:
		return "1 " + noun
	case strings.HasSuffix(noun, "sh"):
		return fmt.Sprintf("%d %ses", n, noun)
	}
	if stem, ok := strings.CutSuffix(noun, "ty"); ok {
		return fmt.Sprintf("%d %sties", n, stem)
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func percent(x float64) string { return fmt.Sprintf("%.1f %%", 100*x) }

// points says how far accuracy x is above y.
func points(x, y float64) string {
	switch d := math.Round(1000*(x-y)) / 10; {
	case d > 0:
		return fmt.Sprintf("encrypted is %.1f points higher", d)
	case d < 0:
		return fmt.Sprintf("encrypted is %.1f points lower", -d)
	}
	return "equal"
}

// relative says how far error x is above y.
func relative(x, y float64) string {
	switch d := math.Round(1000*(x-y)/y) / 10; {
	case d > 0:
		return fmt.Sprintf("encrypted is %.1f %% higher", d)
	case d < 0:
		return fmt.Sprintf("encrypted is %.1f %% lower", -d)
	}
	return "equal"
}

// rounded returns x with three significant digits.
func rounded(x float64) string { return fmt.Sprintf("%.3g", x) }

// tiny returns x as a power of ten with two digits.
func tiny(x float64) string { return fmt.Sprintf("%.1e", x) }

// size returns bytes with a decimal unit, as networks count.
func size(n int64) string {
	x, unit := float64(n), "B"
	for _, u := range []string{"kB", "MB", "GB", "TB"} {
		if x < 999.5 {
			break
		}
		x, unit = x/1000, u
	}
	if n == 0 {
		return "-"
	}
	return significant(x) + " " + unit
}

// seconds returns a duration in the unit that suits it.
func seconds(s float64) string {
	switch {
	case s < 0.0005:
		return "< 1 ms"
	case s < 0.9995:
		return significant(1000*s) + " ms"
	case s < 99.95:
		return significant(s) + " s"
	case s < 2*3600:
		return fmt.Sprintf("%d min %02d s", int(s+0.5)/60, int(s+0.5)%60)
	}
	return fmt.Sprintf("%d h %02d min", int(s/60+0.5)/60, int(s/60+0.5)%60)
}

// significant returns x, which is below 1000, with three digits, and with fewer
// if it is an integer of less.
func significant(x float64) string {
	switch {
	case x < 9.995:
		return fmt.Sprintf("%.2f", x)
	case x < 99.95:
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.0f", x)
}
