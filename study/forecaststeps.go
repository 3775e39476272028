package study

import (
	"math"
	"slices"

	"github.com/nereid-mhe/nereid/bootstrap"
	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/nn"
)

// bytesOf returns the size of one encoded polynomial.
func (t *terms) bytesOf(level int) int { return mhe.Shape{mhe.Basis(t.set, level)}.Size() }

// step adds a step of training.
func (w *walk) step() {
	if w.net != nil {
		w.networkStep()
		return
	}
	w.regressionStep()
}

// regressionStep adds gradients, their sum, and the refresh of the sum, as [party.Sum]
// and [party.Refresh] go through them.
func (w *walk) regressionStep() {
	in, top := w.plan.GradLevel, w.set.MaxLevel()
	var packs, unpacks mhe.Work // of a ciphertext
	packs, unpacks = packs.Add(mhe.OpPack, in, 2), unpacks.Add(mhe.OpUnpack, in, 2)
	w.everyone(w.plan.Count.Work)
	w.round(act{
		share: mhe.CipherShape(w.set, in).Size(), result: noResult,
		derived: true, gen: cipher(in).Then(packs, 2), add: unpacks, // packed for its hash too
	})
	share, finish := nn.RefreshWork(w.plan.RefreshConfig())
	result := w.bytesOf(top)
	w.round(act{
		input: w.bytesOf(in), share: mhe.Shape{mhe.Basis(w.set, in), mhe.Basis(w.set, top)}.Size(), result: result, derived: true,
		start:  mhe.Work{}.Add(mhe.OpPack, in, 1),
		open:   mhe.Work{}.Add(mhe.OpUnpack, in, 1).Add(mhe.OpUniform, top, 1),
		gen:    share.Add(mhe.OpPack, in, 1).Add(mhe.OpPack, top, 1),
		add:    mhe.Work{}.Add(mhe.OpUnpack, in, 1).Add(mhe.OpUnpack, top, 1),
		finish: finish.Add(mhe.OpPack, top, 1), accept: mhe.Work{}.Add(mhe.OpUnpack, top, 1),
	})
	w.everyone(mhe.Work{}.Add(mhe.OpAdd, top, 1).Add(mhe.OpPack, top, 2).Add(mhe.OpUnpack, top, 2)) // and the output, there and back
	w.finished(2 * result)
}

// networkStep adds a step of a network, in whose rounds every party is a root. What
// all compute and the legs of the rounds are priced by the plan. Rounds of all owners
// run at once: they share transactions of the journal.
func (w *walk) networkStep() {
	n := w.cfg.Parties
	price := w.net.Price(w.host.Costs, nn.Link{Mbit: w.host.Link.Mbit, Latency: w.host.Link.Latency}, w.cfg.Fanout)
	w.debt = max(0, w.debt-w.slower(n)*price.Map)
	w.settle()
	rounds := 0 // one after another
	for _, p := range w.net.Points {
		if !p.Skipped {
			rounds += w.net.Passes
		}
	}
	rounds += 2          // of the update: the gradient's sum and its refresh
	model, polys := 0, 2 // of the weights
	var output mhe.Work  // there and back
	if w.net.Net.Optimiser.Momentum > 0 {
		polys *= 2
	}
	for _, part := range w.net.Parts {
		c := w.net.UpdateConfig(part, 0)
		kept := polys * c.Count
		model += kept * w.bytesOf(c.Out)
		output = output.Add(mhe.OpPack, c.Out, float64(kept)).Add(mhe.OpUnpack, c.Out, float64(kept))
		w.everyone(w.net.PrepareWork(c)) // with the step's learning rate
	}
	w.everyone(output)
	w.now.Compute += w.slower(n) * (price.Map + price.Refresh + price.Update + w.host.Wire*float64(price.IterationBytes))
	w.now.Network += price.Network
	w.record(0, rounds)
	for i := range w.sent {
		w.sent[i] += price.IterationBytes
	}
	w.finished(model)
}

// predictions adds queries for all rows that the policy allows.
func (w *walk) predictions() {
	const asking = 3 // round trips of a question: TCP and TLS, then its stream
	trip := asking * 2 * w.host.Link.Latency / 1e3
	w.now.Network += trip // for the collective key
	query := w.regressionQuery
	if w.net != nil {
		c, _ := w.net.RelayoutConfig(0, 1) // as all others, whose masks take much memory
		for range w.net.Query.Weights {
			w.publicRefresh(c)
		}
		w.finished(w.net.Query.Weights * mhe.CipherShape(w.set, w.set.MaxLevel()).Size())
		query = w.networkQuery
	}
	w.settle()
	before, sent := w.now, slices.Clone(w.sent)
	w.now, w.sent = Span{}, make([]int64, len(sent))
	w.now.Network += trip
	query()
	w.settle()
	w.repeat(w.policy.openings()) // windows are open by then
	w.now = before.plus(w.now)
	for i := range sent {
		w.sent[i] += sent[i]
	}
}

// asked adds what the root does with a request before and after the round, and the
// ledgers of all parties.
func (w *walk) asked(request int) {
	w.settle()
	var fresh window
	w.now.Network += 8*float64(request)/(w.host.Link.Mbit*1e6) + fresh.open(request, w.host)
	w.keep(request, 1)
	w.keep(0, 2)
	w.keep(0, 1)
}

// querySize returns the bytes of a query of one batch.
func (w *walk) querySize() int {
	return w.queryForm().size(1) - math.MaxUint8 + len(w.policy[0].Querier)
}

// regressionQuery adds a query, as [party.predict] answers it.
func (w *walk) regressionQuery() {
	top, low := w.set.MaxLevel(), w.plan.PredictLevel
	o := mhe.Opening{Set: w.set, Level: low, Count: 1}
	size := w.querySize()
	outputs := w.plan.QueryWork()
	decode := mhe.Work{}.Add(mhe.OpUnpack, top, 4) // with the querier's key
	w.asked(size)
	w.compute(1, cipher(top).Add(mhe.OpEncode, top, 1).Then(decode, 1)) // by the querier, and by the root as it comes
	w.round(act{
		input: size + o.DecryptShape().Size(), share: o.SwitchShape().Size(), start: outputs.Add(mhe.OpPack, top, 2), open: outputs.Then(decode, 1),
		gen: cipher(low), add: mhe.Work{}.Add(mhe.OpUnpack, low, 2), finish: mhe.Work{}.Add(mhe.OpPack, low, 2),
	})
	w.finished(0)
}

// networkQuery adds a query, as [netParty.answer] answers it.
func (w *walk) networkQuery() {
	q := w.net.Query
	size := w.querySize()
	decode := mhe.Work{}.Add(mhe.OpUnpack, q.Level, float64(2*q.Blocks+2))
	w.asked(size)
	w.compute(1, cipher(q.Level).Then(mhe.Work{}.Add(mhe.OpEncode, q.Level, 1), 1).Then(decode, 1))
	w.round(act{input: size, share: 1, result: noResult, open: decode})
	w.everyone(q.Work)
	for _, c := range w.net.QueryConfigs() {
		w.publicRefresh(c)
	}
	o := mhe.Opening{Set: w.set, Level: q.OutputLevel, Count: 1}
	w.round(act{
		share: o.SwitchShape().Size(), gen: cipher(q.OutputLevel), add: mhe.Work{}.Add(mhe.OpUnpack, q.OutputLevel, 2),
	})
	w.finished(0)
}

// publicRefresh adds a refresh of tensors that all parties hold, as
// [netParty.RefreshPublic] goes through it.
func (w *walk) publicRefresh(c bootstrap.Config) {
	w.everyone(w.net.PrepareWork(c))
	share, finish := nn.RefreshWork(c)
	in, out := c.Count, max(c.Count, len(c.Mix))
	pack := mhe.Work{}.Add(mhe.OpPack, c.In, float64(in)).Add(mhe.OpPack, c.Out, float64(out))
	unpack := mhe.Work{}.Add(mhe.OpUnpack, c.In, float64(in)).Add(mhe.OpUnpack, c.Out, float64(out))
	w.round(act{
		share: in*w.bytesOf(c.In) + out*w.bytesOf(c.Out), result: out * w.bytesOf(c.Out), derived: true,
		gen: share.Then(pack, 1).Add(mhe.OpPack, c.In, float64(2*in)).Add(mhe.OpUniform, c.Out, float64(out)), // packed for their digest
		add: unpack, finish: finish.Add(mhe.OpPack, c.Out, float64(out)), accept: mhe.Work{}.Add(mhe.OpUnpack, c.Out, float64(out)),
	})
}
