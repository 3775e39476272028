package main

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"github.com/nereid-mhe/nereid/study"
)

// text writes where the figures are from.
func (h header) text(w *bytes.Buffer) {
	p := h.Params
	m := h.Machine
	fmt.Fprintf(w, "%s on %s, %d cores, load %.1f, %s, %s\n", h.Benchmark, m.CPU, m.Cores, m.Load, m.Go, h.Date)
	fmt.Fprintf(w, "N = 2^%d real slots, log Q = %v, log P = %v, scale 2^%d, masks of %d bits, %d parties\n", p.LogN, p.LogQ, p.LogP, p.LogScale, p.MaskBits, p.Parties)
	if p.SecurityBits == 0 {
		fmt.Fprintln(w, "TOY RING: NO SECURITY, AND TIMES THAT MEAN NOTHING")
	}
}

// text implements [report].
func (r refreshReport) text(w *bytes.Buffer) {
	r.header.text(w)
	fmt.Fprintf(w, "refresh from level %d to %d; medians of %d rounds in ms\n\n", r.Params.InputLevel, r.Params.OutputLevel, r.Repeats)
	one, all := r.refreshTimes, r.AllCores
	fmt.Fprintf(w, "%-36s%11s%9d cores   target\n", "", "one thread", all.Workers)
	row := func(name string, a, b float64, target string) {
		fmt.Fprintf(w, "%-36s%11.3f%15.3f   %s\n", name, a, b, target)
	}
	below := func(name string) string { return fmt.Sprintf("≤ %g", r.Targets[name]) }
	row("share", one.ShareMS, all.ShareMS, "")
	row("share, Lattigo", one.LattigoShareMS, all.LattigoShareMS, "")
	row("ratio", one.ShareVsLattigo, all.ShareVsLattigo, below("share_vs_lattigo"))
	row("finalise", one.FinalizeMS, all.FinalizeMS, "")
	row("finalise, Lattigo", one.LattigoFinalizeMS, all.LattigoFinalizeMS, "")
	row("ratio", one.FinalizeVsLattigo, all.FinalizeVsLattigo, below("finalize_vs_lattigo"))
	row(fmt.Sprintf("share with a block sum of %d", blockSamples), one.MapShareMS, all.MapShareMS, "")
	row(fmt.Sprintf("finalise with a block sum of %d", blockSamples), one.MapFinalizeMS, all.MapFinalizeMS, "")
	row("one fused rotation", one.FusedRotationMS, all.FusedRotationMS, "")
	row("one key-switched rotation, Lattigo", one.KeyswitchMS, all.KeyswitchMS, "")
	row("one key-switched rotation, ours", one.OwnKeyswitchMS, all.OwnKeyswitchMS, "")
	row("fused over Lattigo's", one.FusedRotationVsKeyswitch, all.FusedRotationVsKeyswitch, below("fused_rotation_vs_keyswitch"))
	fmt.Fprintf(w, "\nprecision of a refresh of %d parties: %.1f bits in the worst slot (target ≥ %g), %.1f RMS, %.1f with the block sum\nOpenFHE, published: share %.1f ms, finalise %.1f ms\n",
		r.Params.Parties, r.Bits, r.Targets["precision_bits"], r.RMSBits, r.MapBits, r.OpenFHEShareMS, r.OpenFHEFinalizeMS)
}

// text implements [report].
func (r logregReport) text(w *bytes.Buffer) {
	r.header.text(w)
	fmt.Fprintf(w, "one training step of a party, %d features × %d samples; medians of %d rounds on one thread\n\n", r.Features, r.Samples, r.Repeats)
	row := func(name string, value float64, unit string) { fmt.Fprintf(w, "%-36s%9.2f %s\n", name, value, unit) }
	row("gradient (MAP)", r.PhasesMS.Map, "ms")
	row("rerandomise", r.PhasesMS.Rerandomise, "ms")
	row("refresh share", r.PhasesMS.Share, "ms")
	row("iteration", r.IterationMS, "ms")
	row("rotation, Lattigo", r.RotationMS, "ms")
	row("rotation, ours", r.OwnRotationMS, "ms")
	row("iteration in Lattigo's rotations", r.IterationInRotations, fmt.Sprintf("(target ≤ %g)", r.Targets["iteration_in_rotations"]))
	row("iteration in our rotations", r.IterationInOwnRotations, "")
	row("besides: common randomness", r.RestMS.Common, "ms")
	row("besides: codecs", r.RestMS.Codec, "ms")
	row("besides: update", r.RestMS.Update, "ms")
	row("besides, at the root: finish", r.RestMS.Finish, "ms")
	fmt.Fprintf(w, "\n%g refreshes in a step, %d Galois keys of %d in the plan, %.2f MB sent and %.2f MB received by a leaf\nthe plan counts %+v\nweights within %.1e of the clear twin\n",
		r.Refreshes, r.GaloisKeys, r.GaloisKeysPlan, float64(r.Bytes.Sent)/1e6, float64(r.Bytes.Received)/1e6, r.Counts, r.MaxWeightDiff)
	studiesText(w, r.Studies)
}

// studiesText writes the main figures of every study.
func studiesText(w *bytes.Buffer, reports map[string]study.Report) {
	for _, name := range slices.Sorted(maps.Keys(reports)) {
		r := reports[name]
		fmt.Fprintf(w, `
%s: %d rows, %d features, %d parties, %d iterations
  accuracy    encrypted %.3f, clear twin %.3f, exact and pooled %.3f, local only %.3f
  weights     within %.1e of the clear twin
  seconds     setup %.1f, iteration of a party %.3f, iteration modelled %.3f, all %.1f in this process
  bytes       %.1f MB setup, %.2f MB an iteration, of the party that sends most
`, name, r.Samples, r.Features, r.Parties, r.Iterations,
			r.Accuracy.Encrypted, r.Accuracy.ClearTwin, r.Accuracy.Exact, r.Accuracy.LocalOnly,
			r.MaxWeightDiff,
			r.Seconds.Setup, r.Seconds.IterationPartyP50, r.Seconds.IterationWallModel, r.Seconds.Total,
			float64(r.Bytes.SetupParty)/1e6, float64(r.Bytes.IterationParty)/1e6)
	}
}
