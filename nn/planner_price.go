package nn

import (
	"slices"
	"time"

	"github.com/nereid-mhe/nereid/bootstrap"
	"github.com/nereid-mhe/nereid/internal/portable"
	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/packing"
	"github.com/nereid-mhe/nereid/params"
	"github.com/nereid-mhe/nereid/protocols"
)

// A Link is what every party is connected with.
type Link struct {
	Mbit    float64 `json:"mbit"`    // bandwidth in Mbit/s
	Latency float64 `json:"latency"` // one way, in ms
}

// A Price is what a plan costs, as the model has it: seconds on one core of the
// busiest party, bytes that it sends. A step waits for the phases one after the
// other.
type Price struct {
	Map       float64 `json:"map"`     // local gradients, with the encoding of the batch
	Refresh   float64 `json:"refresh"` // shares of every party's own tensors, and the end of one's own
	Update    float64 `json:"update"`  // rerandomised gradients, aggregated shares, the busiest owner's parts
	Network   float64 `json:"network"`
	Iteration float64 `json:"iteration"` // the sum
	Training  float64 `json:"training"`  // all steps
	Row       float64 `json:"row"`       // Iteration over rows of a party

	Setup          float64 `json:"setup"` // key generation, network included
	SetupBytes     int64   `json:"setup_bytes"`
	IterationBytes int64   `json:"iteration_bytes"`
	Keys           int     `json:"keys"`
	Memory         Memory  `json:"memory"`
	Bits           float64 `json:"bits"` // precision of weights after training
}

// Memory is what one party holds at once, in bytes.
type Memory struct {
	Keys      int64 `json:"keys"`      // public, with the tables of rotations
	Model     int64 `json:"model"`     // weights and momentum, before and after an update
	Operands  int64 `json:"operands"`  // rotated operands, sums of products, activations
	Data      int64 `json:"data"`      // encoded diagonals, and their values
	Shares    int64 `json:"shares"`    // of rounds under way, and those that the journal keeps
	Collector int64 `json:"collector"` // garbage: Go's heap grows to twice what is alive
	Queries   int64 `json:"queries"`   // the first layer's weights for encrypted rows, when training is over
	Total     int64 `json:"total"`     // the larger need of training and of predictions
}

// Price prices the plan on machines with the given costs and links, in trees of a
// fan-out: 0 for one level.
func (p *NetworkPlan) Price(c mhe.Costs, link Link, fanout int) Price {
	seconds := func(w mhe.Work) float64 { return c.Seconds(p.Set.LogN(), p.Set.Special(), w) }
	out := Price{
		Map: seconds(p.mapWork()), Refresh: seconds(p.refreshWork()), Network: p.Network(link, fanout).Seconds(),
		IterationBytes: p.iterationBytes(), Keys: len(p.Keys.Rotations) + len(p.Keys.Products), Bits: -portable.Log2(p.WeightErr),
	}
	common, owners := p.updateWork()
	for _, w := range owners {
		out.Update = max(out.Update, seconds(w))
	}
	out.Update += seconds(common)
	out.Iteration = out.Map + out.Refresh + out.Update + out.Network
	out.Training = out.Iteration * float64(p.Net.Steps)
	out.Row = out.Iteration / float64(p.Net.Batch)
	p.priceSetup(&out, c, link, fanout)
	out.Memory = p.memory(out.IterationBytes)
	return out
}

// Network returns the modelled time that a step spends in the network: per leg of
// a round one latency for each level of the owners' trees, and the bytes that the
// busiest party sends or receives. Rounds of all owners run at once, so that every
// party is root of one tree and inner party or leaf of the others. fanout is the
// most children of a party in a tree, 0 for all.
func (p *NetworkPlan) Network(link Link, fanout int) time.Duration {
	others, depth := p.Net.Parties-1, treeDepth(p.Net.Parties, fanout)
	leg := func(bytes int) float64 {
		return float64(depth*link.Latency)/1e3 + float64(8*float64(others*bytes))/(link.Mbit*1e6)
	}
	var seconds float64
	for _, r := range p.Points {
		if !r.Skipped {
			in, out := p.size(r.In), p.size(r.Out)
			seconds += float64(float64(p.Passes) * (leg(in) + leg(in+out)))
		}
	}
	// an aggregated refresh: the busiest owner's part on every leg
	owned := make([]int, p.Net.Parties) // bytes in, and of the results, by owner
	results := make([]int, p.Net.Parties)
	for _, part := range p.Parts {
		owned[part.Owner] += (part.Hi - part.Lo) * p.size(p.Set.MaskLevel())
		results[part.Owner] += (part.Hi - part.Lo) * p.size(p.Parameters[part.Parameter].Level)
	}
	in, out := slices.Max(owned), slices.Max(results)
	seconds += leg(in) + leg(in) + leg(in+out) + leg(out)
	return time.Duration(seconds * float64(time.Second))
}

func treeDepth(parties, fanout int) float64 {
	if fanout < 1 {
		fanout = parties - 1
	}
	t, err := protocols.NewTree(parties, fanout)
	if err != nil {
		return 1 // the parameters have refused so many parties
	}
	return float64(t.Depth())
}

// size returns the bytes of an encoded polynomial at level.
func (p *NetworkPlan) size(level int) int { return mhe.EncodedSize(p.Set, level) }

// iterationBytes returns what the busiest party sends in a step. In the rounds of
// all owners together it sends as many messages down as up.
func (p *NetworkPlan) iterationBytes() int64 {
	others := p.Net.Parties - 1
	bytes := 0
	for _, r := range p.Points {
		if !r.Skipped {
			bytes += p.Passes * others * (2*p.size(r.In) + p.size(r.Out))
		}
	}
	owned := make([]int, p.Net.Parties) // beyond what all send
	for _, part := range p.Parts {
		n, in, out := part.Hi-part.Lo, p.size(p.Set.MaskLevel()), p.size(p.Parameters[part.Parameter].Level)
		bytes += n * (2*in + out)
		owned[part.Owner] += n * (others*(in+out) - (2*in + out))
	}
	return int64(bytes + slices.Max(owned))
}

// mapTerms returns the rotated polynomials that the map of a refresh adds up.
func mapTerms(c bootstrap.Config) (terms int) {
	steps := func(m packing.Map, times int) {
		for _, s := range m.Steps {
			terms += times * len(s.Rotations)
		}
	}
	for _, l := range c.Linears() {
		steps(l.Before, c.Count)
		outputs := 0 // that the map adds to
		for _, pieces := range l.Mix {
			terms += len(pieces)
			outputs += min(1, len(pieces))
		}
		if l.Mix == nil {
			outputs = c.Count
		}
		steps(l.After, outputs)
	}
	return terms
}

// RefreshWork returns what one share of a refresh costs, and what its end does at the
// root, without codec and common randomness.
func RefreshWork(c bootstrap.Config) (share, finish mhe.Work) {
	shareOp, finishOp := mhe.OpShare, mhe.OpFinish
	if c.Masked() {
		shareOp, finishOp = mhe.OpShareMap, mhe.OpFinishMap
	}
	n := float64(max(c.Count, len(c.Mix)))
	terms := float64(mapTerms(c))
	return mhe.Work{{Op: shareOp, Level: c.Out, Amount: n}, {Op: mhe.OpMapTerm, Level: c.Out, Amount: terms}},
		mhe.Work{{Op: finishOp, Level: c.Out, Amount: n}, {Op: mhe.OpMapTerm, Level: c.Out, Amount: terms}}
}

// PrepareWork returns what it costs every party to encode the masks of a refresh, before
// its first share.
func (p *NetworkPlan) PrepareWork(c bootstrap.Config) (w mhe.Work) {
	n := float64(p.Set.N())
	mask := func(values []float64) {
		if len(values) == 0 {
			return
		}
		w = w.Add(mhe.OpMask, c.Out, float64(max(8, len(values)))/n)
	}
	for _, l := range c.Linears() {
		for _, s := range slices.Concat(l.Before.Steps, l.After.Steps) {
			mask(s.Mask)
		}
		for _, pieces := range l.Mix {
			for _, piece := range pieces {
				mask(piece.Mask)
			}
		}
	}
	return w
}

// mapWork is what a party's passes cost, with the sum of their gradients.
func (p *NetworkPlan) mapWork() (w mhe.Work) {
	w = w.Then(p.Count.Work, float64(p.Passes))
	for _, q := range p.Parameters {
		if p.Passes > 1 {
			w = w.Add(mhe.OpAdd, q.GradLevel, float64(q.Count*(p.Passes-1)))
		}
	}
	return w
}

// refreshWork is what the refreshes of all parties' own tensors cost a party.
func (p *NetworkPlan) refreshWork() (w mhe.Work) {
	n := float64(p.Net.Parties)
	for i, r := range p.Points {
		if r.Skipped {
			continue
		}
		share, finish := RefreshWork(p.PointConfig(i))
		w = w.Add(mhe.OpRerandomise, r.In, 1).Add(mhe.OpPack, r.In, 2) // and its hash
		w = w.Then(share, n).Then(finish, 1)
		w = w.Add(mhe.OpUniform, r.Out, n).Add(mhe.OpUnpack, r.In, n) // for every owner
		w = w.Add(mhe.OpPack, r.In, n).Add(mhe.OpPack, r.Out, n-1)
		w = w.Add(mhe.OpUnpack, r.In, n-1).Add(mhe.OpUnpack, r.Out, n-1) // shares of the others
	}
	return mhe.Work{}.Then(w, float64(p.Passes))
}

// updateWork is what an update costs every party, and each owner beyond.
func (p *NetworkPlan) updateWork() (common mhe.Work, owners []mhe.Work) {
	owners = make([]mhe.Work, p.Net.Parties)
	others := float64(p.Net.Parties - 1)
	in := p.Set.MaskLevel()
	combine, apply := p.optimiserWork()
	for _, part := range p.Parts {
		c := p.UpdateConfig(part, 0)
		n := float64(c.Count)
		share, finish := RefreshWork(c)
		common = common.Then(share, 1).Add(mhe.OpRerandomise, in, n)
		common = common.Add(mhe.OpPack, in, 4*n).Add(mhe.OpPack, c.Out, n) // gradients for their hash and to the owner, shares
		common = common.Add(mhe.OpUnpack, in, n).Add(mhe.OpUniform, c.Out, n).Add(mhe.OpUnpack, c.Out, n)
		common = common.Then(apply[part.Parameter], n)
		w := owners[part.Owner]
		w = w.Then(finish, 1).Then(combine[part.Parameter], n).Add(mhe.OpPack, in, n).Add(mhe.OpPack, c.Out, n)
		owners[part.Owner] = w.Add(mhe.OpUnpack, in, 2*others*n).Add(mhe.OpUnpack, c.Out, others*n)
	}
	return common, owners
}

// optimiserWork is what momentum and decay, and the update of the weights, cost for
// each ciphertext, by parameter: from a run of their code on a trace.
func (p *NetworkPlan) optimiserWork() (combine, apply []mhe.Work) {
	combine, apply = make([]mhe.Work, len(p.Parameters)), make([]mhe.Work, len(p.Parameters))
	for i, q := range p.Parameters {
		st := State{W: make([][]mhe.Tensor, len(p.Parameters)), V: make([][]mhe.Tensor, len(p.Parameters))}
		u := make([][]mhe.Tensor, len(p.Parameters))
		r := mhe.Range{Max: 1, RMS: 0.01}
		st.W[i] = []mhe.Tensor{mhe.TracedTensor(r, p.weightLevel(q), q.Scale)}
		st.V[i] = []mhe.Tensor{mhe.TracedTensor(r, q.Level, q.Scale)}
		u[i] = st.V[i]
		// both cannot fail: the plan was compiled with them
		tr, ev := mhe.NewTrace(p.Set)
		_, _ = p.combine(ev, st, 0, Part{Parameter: i, Hi: 1}, []mhe.Tensor{mhe.TracedTensor(r, q.GradLevel, q.GradScale)})
		combine[i] = tr.Count.Work
		tr, ev = mhe.NewTrace(p.Set)
		_, _ = p.apply(ev, st, u)
		apply[i] = tr.Count.Work
	}
	return combine, apply
}

// maxKeyPart is what a party sends at once in key generation, in bytes.
const maxKeyPart = 64 << 20

// priceSetup prices key generation: shares of all parts, their sums up and down the
// tree, keys from them.
func (p *NetworkPlan) priceSetup(out *Price, c mhe.Costs, link Link, fanout int) {
	parties := p.Net.Parties
	if fanout < 1 {
		fanout = parties
	}
	children := float64(min(fanout, parties-1))
	depth := treeDepth(parties, fanout)
	var w mhe.Work
	bytes := 0
	var network float64
	for _, part := range p.Keys.Parts(p.Set, maxKeyPart) {
		w = w.Then(part.Work(), 1)
		for _, level := range part.Levels() {
			limbs := level + p.Set.Special()
			w = w.Add(mhe.OpUniform, limbs, 1).Add(mhe.OpPack, limbs, 1).Add(mhe.OpUnpack, limbs, 1+children)
		}
		bytes += part.Size()
		network += float64(2 * depth * (link.Latency/1e3 + float64(8*children*float64(part.Size()))/(link.Mbit*1e6)))
	}
	out.Setup = c.Seconds(p.Set.LogN(), p.Set.Special(), w) + network
	out.SetupBytes = int64(children) * int64(bytes) // the root, to its children
	if depth > 1 {
		out.SetupBytes += int64(bytes) // a party between, to the root
	}
}

// memory estimates what a party holds at once.
func (p *NetworkPlan) memory(sent int64) Memory {
	n := p.Set.N()
	pair := func(level int) int { return ciphertextBytes(p.Set, level) }
	const entry = 4 // of the table of a rotation
	m := Memory{
		Keys:     int64(p.Keys.Bytes(p.Set) + pair(p.Set.MaxLevel()+p.Set.Special()) + (len(p.Keys.Rotations)+len(p.Keys.Products))*n*entry),
		Operands: int64(p.Count.Operands),
		Data:     int64(p.Passes * (p.Count.Data + p.Count.Data/(p.layers[0].forward+1))),
		Shares:   2 * sent,
	}
	groups := 0
	for l, y := range p.layers {
		products := []packing.Product{y.inner.Forward, y.inner.Backward, y.inner.Gradient}
		if l == 0 {
			products = []packing.Product{y.input.Forward, y.input.Backward}
		}
		for _, q := range products {
			sum := 0
			for _, g := range q {
				sum += len(g)
			}
			if l == 0 { // sums of all groups are made at once
				groups = max(groups, sum)
			}
		}
		m.Operands += int64(4 * pair(y.activate))
	}
	m.Operands += int64(groups * pair(working(p.Set)))
	rounds := 0
	for _, q := range p.Parameters {
		m.Model += int64(2 * q.Count * pair(p.weightLevel(q)))
		if p.Net.Optimiser.Momentum > 0 {
			m.Model += int64(2 * q.Count * pair(q.Level))
		}
		rounds += q.Count * (pair(q.GradLevel) + pair(q.Level))
	}
	for _, r := range p.Points {
		if !r.Skipped {
			rounds = max(rounds, p.Net.Parties*(pair(r.In)+pair(r.Out)))
		}
	}
	m.Shares += int64(rounds)
	m.Collector = m.Keys + m.Model + m.Operands + m.Data + m.Shares
	m.Total = 2 * m.Collector
	if q := p.Query; q != nil { // little garbage: a query makes few ciphertexts beside those that are kept
		m.Queries = int64(q.Memory)
		m.Total = max(m.Total, (m.Keys+m.Model/2+m.Queries)*4/3)
	}
	return m
}

// ciphertextBytes returns the memory of a ciphertext of two polynomials.
func ciphertextBytes(set params.Set, level int) int {
	const word = 8
	return 2 * (level + 1) * set.N() * word
}
