package studyfile

import (
	"context"
	"errors"
	"fmt"

	"github.com/nereid-mhe/nereid/study"
)

// A Ring is the kind of ring that a study is compiled on. It is no part of a study
// file but every party's own choice: a lock that was made on the other is refused.
type Ring bool

// The kinds of rings.
const (
	Secure Ring = false
	// Toy is a small ring WITHOUT ANY SECURITY, for tests and for trials in which
	// all parties are on one machine.
	Toy Ring = true
)

// QueryKeys are the hashes of the keys that predictions are opened to, by the name of
// the querier; see [QueryKey].
type QueryKeys map[string][32]byte

// Terms compiles the study for separate parties. Keys of queriers that are not known
// yet may be missing; beacon is public and fresh for every lock. What
// parties declare about their tables is what the file says: the number of features,
// and public rows, or as many as a batch has where they are secret. It takes
// milliseconds for a regression and seconds for a network, whose plan is searched
// for; ctx ends that.
//
// What the file leaves open for simulations and nodes must know is a [Violation], as
// is simulate.insecure with the ring [Secure]. Other errors wrap [study.ErrConfig] or
// [nn.ErrModel].
func (f File) Terms(ctx context.Context, ring Ring, keys QueryKeys, beacon [32]byte) (study.Terms, error) {
	f = f.WithDefaults()
	d, err := f.declared()
	p := f.policy(keys)
	var toy error
	if f.Simulate != nil && f.Simulate.Insecure && ring == Secure {
		toy = &Violation{Field: "simulate.insecure", Found: "true", Want: "false, or no such line: separate parties have real data, and a toy ring protects nothing"}
	}
	if err := errors.Join(toy, err); err != nil {
		return study.Terms{}, err
	}
	if f.Model.Kind == Network {
		c, err := f.Network()
		if err != nil {
			return study.Terms{}, err
		}
		c.Insecure = bool(ring)
		return c.Terms(ctx, d, p, beacon)
	}
	c, err := f.Regression()
	if err != nil {
		return study.Terms{}, err
	}
	c.Insecure = bool(ring)
	return c.Terms(d, p, beacon)
}

// declared returns what all parties know of each other's tables.
func (f File) declared() (study.Declared, error) {
	d, t := study.Declared{Features: f.Data.FeatureCount}, f.Training
	var errs []error
	must := func(ok bool, field, found, want string) {
		if !ok {
			errs = append(errs, &Violation{Field: field, Found: found, Want: want})
		}
	}
	must(d.Features > 0, "data.feature_count", "nothing", "the number of features, or a list of them under data.features")
	must(f.Data.Target != "number" || f.Data.TargetBound > 0, "data.target_bound", "nothing", "a public bound of the absolute value of the target: nobody sees all of them")
	secret := f.secretRows()
	must(secret == "" || t.Epochs == 0, "training.epochs", fmt.Sprint(t.Epochs), "training.steps, or public rows of all parties: "+secret)
	must(secret == "" || t.Batch > 0, "training.batch", "nothing", "the rows of every party in a step, or public rows of all parties: "+secret)
	for i := range f.Parties.Count {
		rows := t.Batch
		if i < len(f.Parties.Roster) && f.Parties.Roster[i].Rows > 0 {
			rows = f.Parties.Roster[i].Rows
		}
		d.Rows = append(d.Rows, rows)
	}
	return d, errors.Join(errs...)
}

// secretRows says whose number of rows is secret, or nothing if none is.
func (f File) secretRows() string {
	if len(f.Parties.Roster) == 0 {
		return "the file has no roster with the rows of parties"
	}
	for _, m := range f.Parties.Roster {
		if m.Rows == 0 {
			return "those of " + m.Name + " are secret"
		}
	}
	return ""
}

// policy returns the opening policy with the queriers' keys.
func (f File) policy(keys QueryKeys) (p study.Policy) {
	for _, q := range f.Opening.Queriers {
		p = append(p, study.Allowance{Querier: q.Name, Key: keys[q.Name], Rows: q.Rows, Requests: q.Requests})
	}
	return p
}
