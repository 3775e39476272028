package study

import (
	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/nn"
	"github.com/nereid-mhe/nereid/protocols"
)

// A Host is what the wall time of a study depends on besides its terms: the machines
// that the parties run on, all alike. Times are in seconds.
type Host struct {
	Costs mhe.Costs // of arithmetic, on one core while all cores compute
	Link  Link      // that each party has, with all its neighbours

	// Sharing is the number of parties that share a machine, with all its Cores and
	// its disk: 1 on hosts of their own. A party computes on one core at a time.
	Sharing, Cores int

	Commit float64 // until an entry of the journal is durable, while as many parties write as share the disk
	Put    float64 // until a value of the store is
	Byte   float64 // for each byte of either
	Wire   float64 // of a core for each byte of a message on an edge, of both ends: TLS, framing, checksums

	// Window is what a new connection lets through before it hears from the other end,
	// in bytes: TCP doubles it on every trip that has filled it, as long as the link is
	// not full. 0 is for links without a slow start.
	Window float64
}

// Typical returns a host of its own with a link, costs of arithmetic and otherwise
// figures as of a small virtual machine with a network disk.
func Typical(c mhe.Costs, l Link) Host {
	return Host{Costs: c, Link: l, Sharing: 1, Cores: 1, Commit: 5e-3, Put: 10e-3, Byte: 5e-9, Wire: 6e-9, Window: 10 * 1460} // RFC 6928
}

// A Span is the expected wall time of a part of a study, in seconds. What happens at
// once is counted once, where it takes longest.
type Span struct {
	Seconds float64 `json:"seconds"` // the sum of the following
	Compute float64 `json:"compute"`
	Network float64 `json:"network"`
	Disk    float64 `json:"disk"`

	BytesParty int64 `json:"bytes_party"` // sent by the party that sends most
}

// plus returns the times of both, one after the other.
func (s Span) plus(o Span) Span {
	return Span{Compute: s.Compute + o.Compute, Network: s.Network + o.Network, Disk: s.Disk + o.Disk}
}

// A Forecast is what a study of separate parties is expected to take, from the moment
// when all have started.
type Forecast struct {
	Setup    Span `json:"setup"`
	Training Span `json:"training"`
	Step     Span `json:"step"`    // of training
	Predict  Span `json:"predict"` // all rows that the policy allows, asked for in full queries
}

// Seconds returns the expected wall time of the whole study.
func (f Forecast) Seconds() float64 { return f.Setup.Seconds + f.Training.Seconds + f.Predict.Seconds }

// Forecast returns what the study is expected to take on hosts of a kind. Nothing is
// measured: it walks through the rounds of the study as the parties do, and adds up
// what each takes.
//
// Between rounds parties compute. A message costs the latency of its edge and, of the
// link of a parent, the bytes of all its children; a party forwards what it has whole.
// Every share, or its checksum, is in the journal before it leaves. The end of a stage
// becomes durable while parties compute for the next. Parties that share cores compute
// as many times slower as there are more of them than cores.
func (t Terms) Forecast(h Host) Forecast {
	var f Forecast
	w := newWalk(t.terms, h)
	w.setup()
	f.Setup = w.take()
	w.step() // the first, whose beginning is that of training
	w.take()
	w.step()
	f.Step = w.span()
	w.repeat(t.steps())
	f.Training = w.take()
	if t.policy.openings() > 0 {
		w.predictions()
		f.Predict = w.take()
	}
	return f
}

// Forecast returns what a study of c is expected to take that trains as the plan says
// and opens what p allows, before anything is known of the parties' tables.
func (c NetworkConfig) Forecast(plan *nn.NetworkPlan, p Policy, h Host) (Forecast, error) {
	t, err := c.withDefaults().terms(plan, Declared{}, p, [32]byte{})
	if err != nil {
		return Forecast{}, err
	}
	return Terms{t}.Forecast(h), nil
}

// A walk adds up the time and the bytes of what the parties do one after another.
type walk struct {
	*terms
	host   Host
	levels []*level

	now  Span
	sent []int64 // by party

	debt float64 // disk time of the last stage's end, while which parties compute for the next

	// Of the hops so far: what the busiest link, and what all cores, do for their bytes.
	link, carried float64
}

// A level is the edges between parties of two generations of the tree.
type level struct {
	parents []protocols.PartyID // with children
	below   []protocols.PartyID
	most    int // children of one of them

	up, down window
}

// A window is what a connection lets through before it hears from the other end, in
// bytes; 0 for a new connection. See [Host.Window].
type window float64

// open returns how long a message waits for a window that is not as large as what
// the link holds.
func (w *window) open(bytes int, h Host) (seconds float64) {
	trip := 2 * h.Link.Latency / 1e3
	full, left := h.Link.Mbit*1e6/8*trip, float64(bytes)
	if h.Window == 0 {
		return 0
	}
	*w = max(*w, window(h.Window))
	for ; left > float64(*w) && float64(*w) < full; *w *= 2 {
		left -= float64(*w)
		seconds += trip
	}
	return seconds
}

func newWalk(t *terms, h Host) *walk {
	return &walk{terms: t, host: h, levels: levelsOf(t.tree), sent: make([]int64, t.cfg.Parties)}
}

// levelsOf returns the levels of a tree from the root down.
func levelsOf(t protocols.Tree) (all []*level) {
	for at := []protocols.PartyID{t.Root()}; ; {
		l := &level{}
		for _, p := range at {
			children := t.Children(p)
			if len(children) == 0 {
				continue
			}
			l.parents, l.below = append(l.parents, p), append(l.below, children...)
			l.most = max(l.most, len(children))
		}
		if len(l.below) == 0 {
			return all
		}
		all, at = append(all, l), l.below
	}
}

// span returns the sum so far.
func (w *walk) span() Span {
	s := w.now
	s.Seconds = s.Compute + s.Network + s.Disk
	for _, b := range w.sent {
		s.BytesParty = max(s.BytesParty, b)
	}
	return s
}

// take returns the sum so far and begins a new one.
func (w *walk) take() Span {
	s := w.span()
	w.now = Span{}
	clear(w.sent)
	return s
}

// repeat multiplies the sum so far.
func (w *walk) repeat(times int) {
	n := float64(times)
	w.now.Compute, w.now.Network, w.now.Disk = n*w.now.Compute, n*w.now.Network, n*w.now.Disk
	for i := range w.sent {
		w.sent[i] *= int64(times)
	}
}

// seconds returns the time of a work on a core.
func (w *walk) seconds(work mhe.Work) float64 {
	return w.host.Costs.Seconds(w.set.LogN(), w.set.Special(), work)
}

// slower returns how many times longer than one does a number of parties take that
// compute at the same time.
func (w *walk) slower(parties int) float64 {
	return max(1, float64(min(parties, w.host.Sharing))/float64(w.host.Cores))
}

// compute adds work that a number of parties do at the same time.
func (w *walk) compute(parties int, work mhe.Work) {
	seconds := w.slower(parties) * w.seconds(work)
	w.now.Compute += seconds
	w.debt = max(0, w.debt-seconds)
}

// everyone adds work of all parties.
func (w *walk) everyone(work mhe.Work) { w.compute(w.cfg.Parties, work) }

// hop adds a message of so many bytes on all edges of a level: down the tree, if down,
// else up.
func (w *walk) hop(l *level, bytes int, down bool) {
	w.settle()
	from, window := l.below, &l.up
	if down {
		from, window = l.parents, &l.down
	}
	for _, p := range from {
		if down {
			w.sent[p] += int64(bytes * len(w.tree.Children(p)))
		} else {
			w.sent[p] += int64(bytes)
		}
	}
	link, carry := 8*float64(l.most*bytes)/(w.host.Link.Mbit*1e6), w.carry(l, bytes)
	w.link, w.carried = max(w.link, link), w.carried+carry
	w.now.Network += w.host.Link.Latency/1e3 + window.open(bytes, w.host) + max(link, carry)
}

// settle waits until all of the last stage is durable: nothing is sent before.
func (w *walk) settle() {
	w.now.Disk += w.debt
	w.debt = 0
}

// carry returns the compute of messages on all edges of a level: that of the busiest
// parent, or that of all on the cores that they share.
func (w *walk) carry(l *level, bytes int) float64 {
	edges := float64(min(len(l.below), w.host.Sharing)) / float64(w.host.Cores)
	return w.host.Wire * float64(bytes) * max(float64(l.most)/2, edges)
}

// record adds what a number of parties make durable at the same time, in the journal.
func (w *walk) record(bytes, commits int) {
	w.now.Disk += float64(commits)*w.host.Commit + float64(bytes*w.host.Sharing)*w.host.Byte
}

// keep adds what all parties put into their stores at the same time.
func (w *walk) keep(bytes, puts int) {
	w.now.Disk += float64(puts)*w.host.Put + float64(bytes*w.host.Sharing)*w.host.Byte
}

// An act is a round on the study's tree as it costs time: bytes of its legs, 0 for
// those that it does not have, and what parties compute.
type act struct {
	input, share, result int
	derived              bool // of the share there is a checksum in the journal, else all of it

	start  mhe.Work // at the root, before anything leaves
	open   mhe.Work // at every party that has the input
	gen    mhe.Work // the share, at every party
	add    mhe.Work // a share that is added: of each child, and at a parent its own
	finish mhe.Work // at the root
	accept mhe.Work // at every other party that has the result
}

// round adds a round.
func (w *walk) round(a act) {
	w.compute(1, a.start)
	if a.input > 0 {
		w.compute(1, a.open)
		for _, l := range w.levels {
			w.hop(l, a.input, true)
			w.compute(len(l.below), a.open)
		}
	}
	w.everyone(a.gen)
	kept := a.share
	if a.derived {
		kept = 0
	}
	w.record(kept, 1)
	for i := len(w.levels) - 1; i >= 0; i-- {
		l := w.levels[i]
		w.hop(l, a.share, false)
		w.compute(len(l.parents), mhe.Work{}.Then(a.add, float64(l.most+1)))
	}
	w.compute(1, a.finish)
	if a.result < 0 {
		return
	}
	for _, l := range w.levels {
		w.hop(l, a.result, true)
		w.compute(len(l.below), a.accept)
	}
}

// atOnce adds rounds that run at once. While a message of one travels, parties compute
// for others: one of them takes what it takes alone, and the others wait for the cores
// or the busiest link.
func (w *walk) atOnce(rounds []act) {
	before := w.now
	var longest Span
	var cores, links, ownCores, ownLinks float64
	for _, a := range rounds {
		w.now, w.link, w.carried = Span{}, 0, 0
		w.round(a)
		c := w.now.Compute + w.carried
		cores, links = cores+c, links+w.link
		if s := w.span(); s.Seconds > longest.Seconds {
			longest, ownCores, ownLinks = s, c, w.link
		}
	}
	w.now = before.plus(longest)
	if c, l := cores-ownCores, links-ownLinks; c > l {
		w.now.Compute += c
	} else {
		w.now.Network += l
	}
}

// noResult is the result of a round that has none. A result of 0 bytes is a message.
const noResult = -1

// finished adds the end of a stage: its output, how far the party is, and what may be
// forgotten of the stage before.
func (w *walk) finished(output int) {
	before := w.now.Disk
	w.keep(output, 2)
	w.record(0, 1) // how many points are bound
	w.debt, w.now.Disk = w.now.Disk-before, before
}

// setup adds key generation and the moments.
func (w *walk) setup() {
	const greeting = 6 // trips: TLS, the stream, the hello, after a first attempt that may be too early
	w.now.Network += greeting * w.host.Link.Latency / 1e3
	for _, group := range newCourse(w.terms).keys {
		var rounds []act
		var learn mhe.Work // keys from the sums
		for _, part := range group {
			var pack, unpack, hash, common mhe.Work // of a share, and of what makes keys of it
			for _, level := range part.Levels() {
				top := level + w.set.Special()
				pack, unpack = pack.Add(mhe.OpPack, top, 1), unpack.Add(mhe.OpUnpack, top, 1)
				hash, common = hash.Add(mhe.OpHash, top, 1), common.Add(mhe.OpUniform, top, 1)
			}
			rounds = append(rounds, act{
				share: part.Size(), result: part.Size(), derived: true,
				gen: part.Work().Then(pack, 1), add: unpack, finish: pack, accept: unpack,
			})
			learn = learn.Then(unpack, 1).Then(hash, 1).Then(common, 1)
		}
		w.atOnce(rounds)
		w.everyone(learn)
		w.finished(group.size())
	}
	level := w.set.MaskLevel()
	pair, one := cipher(level), mhe.Work{}.Add(mhe.OpUnpack, level, 1)
	packs, unpacks := mhe.Work{}.Add(mhe.OpPack, level, 2), mhe.Work{}.Add(mhe.OpUnpack, level, 2)
	w.round(act{
		share: mhe.CipherShape(w.set, level).Size(), result: mhe.CipherShape(w.set, level).Size(),
		gen: pair.Then(packs, 1), add: unpacks, finish: packs, accept: unpacks,
	})
	size := w.bytesOf(level)
	w.round(act{share: size, result: size, gen: pair, add: one, accept: one})
	w.finished(0)
}

// cipher is the work of an encryption, or of a flooded share, which is like one.
func cipher(level int) mhe.Work { return mhe.Work{}.Add(mhe.OpRerandomise, level, 1) }
