package study

import (
	"github.com/nereid-mhe/nereid/dataset"
	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/nn"
	"github.com/nereid-mhe/nereid/protocols"
)

// Needs are what a study is expected to take of its parties, in bytes. They follow
// from the terms; nothing is measured. Messages are counted without what the
// transport adds.
type Needs struct {
	Setup int64 // along every edge of the tree, in each direction, for all of key generation

	// StepUp and StepDown go along every edge of the tree in a step of a regression.
	// They are 0 for a network, whose rounds have every party at their root.
	StepUp, StepDown int64

	Step int64 // sent in a step by the party that sends most

	// Memory is what a party takes at once. That of a regression is the public keys'
	// alone, twice for the collector.
	Memory int64

	// Disk is what a party stores: the sums of key generation, and shares and messages
	// of two stages.
	Disk int64
}

// Needs returns what the study is expected to take.
func (t Terms) Needs() Needs {
	var n Needs
	group := 0
	for _, g := range newCourse(t.terms).keys {
		n.Setup += int64(g.size())
		group = max(group, g.size())
	}
	if t.net != nil { // its bytes and memory depend on no costs and no link
		price := t.net.Price(mhe.Costs{}, nn.Link{Mbit: 1}, t.cfg.Fanout)
		n.Step, n.Memory = price.IterationBytes, price.Memory.Total
	} else {
		t.needsOfRegression(&n)
	}
	const stages, copies = 2, 2 // a share of a step is in the journal, and all that is sent may be spilled
	n.Disk = n.Setup + stages*copies*max(int64(group), n.Step)
	return n
}

func (t Terms) needsOfRegression(n *Needs) {
	in := t.bytesOf(t.plan.GradLevel)
	out := t.bytesOf(t.set.MaxLevel())
	n.StepUp = int64(mhe.CipherShape(t.set, t.plan.GradLevel).Size() + in + out) // gradient, share
	n.StepDown = int64(in + out)                                                 // half of the summed gradient, of the weights
	for _, id := range t.tree.Members() {
		sent := int64(len(t.tree.Children(id))) * n.StepDown
		if id != t.tree.Root() {
			sent += n.StepUp
		}
		n.Step = max(n.Step, sent)
	}
	n.Memory = 2 * int64(t.KeyBytes())
}

// Check refuses a party's table that is not what the party declared: it has fewer
// rows, or another number of features. Errors wrap [ErrConfig].
func (t Terms) Check(d dataset.Table, party protocols.PartyID) error { return t.table(d, party) }
