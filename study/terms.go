package study

import (
	"context"
	"crypto/sha3"
	"errors"
	"fmt"
	"slices"

	"github.com/nereid-mhe/nereid/dataset"
	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/nn"
	"github.com/nereid-mhe/nereid/params"
	"github.com/nereid-mhe/nereid/protocols"
)

// Terms are what all parties of a study have agreed on before keys are made: what a
// lock file holds. They are public, follow from their arguments alone and are the
// same at every party, on every processor: nothing in them is measured or drawn.
type Terms struct{ *terms }

// Declared is what the terms need to know of the parties' tables, which nobody but
// their owners sees. It is public.
type Declared struct {
	Features int   // columns without the label, the same at every party
	Rows     []int // rows that each party brings at least, by party
}

func (d Declared) check(c Common, v *violations) {
	v.must(d.Features >= 1, "%d features: want at least 1", d.Features)
	v.must(len(d.Rows) == c.Parties, "declared rows of %d parties: want those of %d", len(d.Rows), c.Parties)
	for i, n := range d.Rows {
		v.must(n >= 1, "party %d declares %d rows: want at least 1", i, n)
	}
}

// least returns the party that declares the fewest rows.
func (d Declared) least() int { return slices.Index(d.Rows, slices.Min(d.Rows)) }

// declare describes tables that are in one place.
func declare(tables []dataset.Table) Declared {
	d := Declared{Features: tables[0].Dim()}
	for _, t := range tables {
		d.Rows = append(d.Rows, t.Rows())
	}
	return d
}

// preprocessing is how the moments of all rows become a scaler; see [NetworkConfig].
type preprocessing struct{ clip, unit, floor float64 }

func (p preprocessing) scaler(m dataset.Moments) (dataset.Scaler, error) {
	switch {
	case p.unit > 0:
		return m.Centre(p.unit, p.clip)
	case p.floor > 0:
		return m.Softened(p.floor, p.clip)
	}
	return m.Scaler(p.clip)
}

type terms struct {
	cfg        Common
	declared   Declared
	tree       protocols.Tree
	plan       *nn.Plan        // of a regression, else nil
	net        *nn.NetworkPlan // of a network, else nil
	planHash   [32]byte
	set        params.Set
	keyPlan    mhe.KeyPlan
	prep       preprocessing
	regression bool // targets are numbers, not classes
	policy     Policy
	beacon     [32]byte

	study     protocols.StudyID
	canonical []byte
	context   []byte   // of every round: the plan's hash
	seed      [32]byte // of common randomness
}

// Terms returns the terms of a study of logistic or linear regression. beacon makes
// it unlike any other, so that no common randomness is ever used twice: it must be
// fresh for every attempt at a study, and is public. A regression declares its
// MaxTarget. Errors wrap [ErrConfig] or [nn.ErrModel].
func (c Config) Terms(d Declared, p Policy, beacon [32]byte) (Terms, error) {
	c.Common = c.withDefaults()
	var v violations
	c.check(&v)
	d.check(c.Common, &v)
	p.check(&v)
	v.must(!c.Regression || c.MaxTarget > 0, "no bound of the targets: declare one")
	if err := errors.Join(v...); err != nil {
		return Terms{}, err
	}
	plan, err := makePlan(c, d)
	if err != nil {
		return Terms{}, err
	}
	if p, err = p.fill(plan.Queries()); err != nil {
		return Terms{}, err
	}
	t := &terms{
		cfg: c.Common, declared: d, plan: plan, planHash: plan.Hash(), set: plan.Set, keyPlan: plan.Keys,
		prep: preprocessing{clip: c.Clip}, regression: c.Regression, policy: p, beacon: beacon,
	}
	if err := t.seal(); err != nil {
		return Terms{}, err
	}
	return Terms{t}, t.checkPrecision(c.MaxOutputNoise)
}

// Terms returns the terms of a study that trains a network. What it needs of tables
// is declared; Predict and Checkpoint are of simulations and have no meaning here.
// ctx ends the search for a plan. See [Config.Terms].
func (c NetworkConfig) Terms(ctx context.Context, d Declared, p Policy, beacon [32]byte) (Terms, error) {
	c.Predict = p.totalRows()
	c = c.withDefaults()
	var v violations
	c.check(&v)
	d.check(c.Common, &v)
	p.check(&v)
	if err := errors.Join(v...); err != nil {
		return Terms{}, err
	}
	n, err := c.network(d)
	if err != nil {
		return Terms{}, err
	}
	plan, err := c.plan(ctx, n, p)
	if err != nil {
		return Terms{}, err
	}
	t, err := c.terms(plan, d, p, beacon)
	if err != nil {
		return Terms{}, err
	}
	return Terms{t}, t.checkNetPrecision(c.MaxOutputNoise)
}

// terms fixes the terms of a plan.
func (c NetworkConfig) terms(plan *nn.NetworkPlan, d Declared, p Policy, beacon [32]byte) (_ *terms, err error) {
	if len(p) > 0 {
		if p, err = p.fill(plan.Query.Rows); err != nil {
			return nil, err
		}
	}
	t := &terms{
		cfg: c.Common, declared: d, net: plan, planHash: plan.Hash(), set: plan.Set, keyPlan: plan.Keys,
		prep: preprocessing{c.Clip, c.Unit, c.Floor}, regression: c.Regression, policy: p, beacon: beacon,
	}
	return t, t.seal()
}

// seal fixes the identity of the study, which must be the last change of its terms.
func (t *terms) seal() error {
	var err error
	if t.tree, err = protocols.NewTree(t.cfg.Parties, t.cfg.Fanout); err != nil {
		return err
	}
	t.context = t.planHash[:]
	parameters := t.set.Hash()
	b := fmt.Appendf(nil, "nereid study terms v1\nname %q\nparties %d\nfan-out %d\ninsecure %t\nplan %x\nparameters %x\n", t.cfg.Name, t.cfg.Parties, t.cfg.Fanout, !t.set.Secure(), t.planHash, parameters)
	b = fmt.Appendf(b, "features %d\nrows %d\norder %d\nclip %x\nunit %x\nfloor %x\nnumbers %t\n", t.declared.Features, t.declared.Rows, t.cfg.Seed, t.prep.clip, t.prep.unit, t.prep.floor, t.regression)
	b = fmt.Appendf(b, "flooding %d\nqueriers %d\n", t.cfg.Flooding, len(t.policy))
	for _, a := range t.policy {
		b = fmt.Appendf(b, "querier %q\nrows opened %d\nrequests %d\nkey %x\n", a.Querier, a.Rows, a.Requests, a.Key)
	}
	t.canonical = fmt.Appendf(b, "beacon %x\n", t.beacon)
	t.study = StudyID(t.canonical)
	t.seed = sha3.Sum256(append([]byte("nereid/common-seed/v1"), t.study[:]...))
	return nil
}

// StudyID returns the identity of the study whose [Terms.Canonical] form is given,
// without its terms.
func StudyID(canonical []byte) protocols.StudyID { return sha3.Sum256(canonical) }

// ID identifies the study: the SHA3-256 of its canonical form.
func (t Terms) ID() protocols.StudyID { return t.study }

// Canonical returns the text that [Terms.ID] is the hash of, one field a line. Two
// parties whose studies differ find the reason in it.
func (t Terms) Canonical() []byte { return slices.Clone(t.canonical) }

// PlanHash identifies model, training and parameters.
func (t Terms) PlanHash() [32]byte { return t.planHash }

// Beacon returns what makes the study unlike any other.
func (t Terms) Beacon() [32]byte { return t.beacon }

// Tree returns the tree in which the parties are connected. Rounds of a party's own
// have it at their root: then other parties are neighbours.
func (t Terms) Tree() protocols.Tree { return t.tree }

// Neighbours returns the parties with which self exchanges messages, in increasing
// order.
func (t Terms) Neighbours(self protocols.PartyID) []protocols.PartyID {
	roots := []protocols.PartyID{t.tree.Root()}
	if t.net != nil {
		roots = t.tree.Members()
	}
	seen := map[protocols.PartyID]bool{}
	for _, r := range roots {
		tree, err := t.tree.RootedAt(r)
		if err != nil { // r is a member
			continue
		}
		for _, c := range tree.Children(self) {
			seen[c] = true
		}
		if p, ok := tree.Parent(self); ok {
			seen[p] = true
		}
	}
	var out []protocols.PartyID
	for _, p := range t.tree.Members() {
		if seen[p] {
			out = append(out, p)
		}
	}
	return out
}

// Policy returns what may be opened, and for whom, with the requests of every querier.
func (t Terms) Policy() Policy { return slices.Clone(t.policy) }

// Declared returns what the parties declared about their tables.
func (t Terms) Declared() Declared {
	return Declared{t.declared.Features, slices.Clone(t.declared.Rows)}
}

// Steps returns the number of training steps.
func (t Terms) Steps() int { return t.steps() }

func (t *terms) steps() int {
	if t.net != nil {
		return t.net.Net.Steps
	}
	return t.plan.Model.Steps
}

// Class returns the class that a model's outputs for a row stand for. Of a regression
// it has no meaning.
func (t Terms) Class(outputs []float64) int {
	if t.net != nil {
		return t.net.Net.Class(outputs)
	}
	if outputs[0] > 0 {
		return 1
	}
	return 0
}

// Parameters returns the parameters of the cryptosystem.
func (t Terms) Parameters() params.Set { return t.set }

// KeyBytes returns the memory that the public keys take, and about the bytes that
// their making sends along every edge of the tree.
func (t Terms) KeyBytes() int { return t.keyPlan.Bytes(t.set) }

// MaxMessage bounds the body of a message, in bytes.
func (t Terms) MaxMessage() int { return t.maxMessage() }

// point names a round of the study.
func (t *terms) point(protocol string, step int, place string) protocols.Point {
	return protocols.Point{Study: t.study, Protocol: protocol, Step: uint64(step), Place: place, Active: t.tree.Members()}
}

// table refuses a party's table that is not what it declared.
func (t *terms) table(d dataset.Table, party protocols.PartyID) error {
	if d.Rows() < t.declared.Rows[party] {
		return fmt.Errorf("%w: party %d declared at least %d rows and has %d", ErrConfig, party, t.declared.Rows[party], d.Rows())
	}
	for i, row := range d.X {
		if len(row) != t.declared.Features {
			return fmt.Errorf("%w: party %d, row %d has %d features, the study has %d", ErrConfig, party, i, len(row), t.declared.Features)
		}
	}
	if len(d.Y) != d.Rows() {
		return fmt.Errorf("%w: party %d has %d rows and %d labels", ErrConfig, party, d.Rows(), len(d.Y))
	}
	return nil
}

// regressionData makes a party's training data of its table.
func (t *terms) regressionData(scaler dataset.Scaler, d dataset.Table, party int) (nn.Data, error) {
	if err := scaler.Check(d); err != nil {
		return nn.Data{}, err
	}
	d = scaler.Apply(d)
	sampler, err := nn.NewSampler(d.Rows(), t.plan.Model.Batch[party], t.cfg.Seed, party)
	return nn.Data{X: withBias(d.X), Y: d.Y, Sampler: sampler}, err
}

// networkData makes a party's training data of its table.
func (t *terms) networkData(scaler dataset.Scaler, d dataset.Table, party int) (nn.NetworkData, error) {
	if err := scaler.Check(d); err != nil {
		return nn.NetworkData{}, err
	}
	y, err := targets(t.net.Net, t.regression, d)
	if err != nil {
		return nn.NetworkData{}, fmt.Errorf("party %d: %w", party, err)
	}
	sampler, err := nn.NewSampler(d.Rows(), t.net.Net.Batch, t.cfg.Seed, party)
	return nn.NetworkData{X: scaler.Apply(d).X, Y: y, Sampler: sampler}, err
}
