package studyfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nereid-mhe/nereid/identity"
	"github.com/nereid-mhe/nereid/protocols"
	"github.com/nereid-mhe/nereid/roster"
	"github.com/nereid-mhe/nereid/study"
)

// ErrMismatch is wrapped by every [Mismatch].
var ErrMismatch = errors.New("study file: not what the study says")

// A Mismatch is something in a roster or a lock that is not as the study in it says.
type Mismatch struct {
	What  string // such as "parties", "fan-out" or "crypto plan, line 5"
	Found string // in the roster or the lock
	Want  string // by the study
}

func (m *Mismatch) Error() string {
	return fmt.Sprintf("study file: %s: found %s; the study says %s", m.What, m.Found, m.Want)
}

// Unwrap returns [ErrMismatch].
func (m *Mismatch) Unwrap() error { return ErrMismatch }

// Invite returns the invitation of a founder, a party that the file names if it has a
// roster, to a study. It compiles the study, so that nobody joins one that cannot be
// locked. Errors are those of [Lock].
func Invite(ctx context.Context, ring Ring, f File, founder *identity.Identity) (roster.Invitation, error) {
	if _, err := f.Terms(ctx, ring, nil, [32]byte{}); err != nil {
		return roster.Invitation{}, err
	}
	if founder.Card().Role != identity.Party {
		return roster.Invitation{}, &Mismatch{"founder", describe(founder), "a party invites"}
	}
	if err := f.names(founder); err != nil {
		return roster.Invitation{}, err
	}
	s, err := roster.NewStudy(f.Name, f.Canonical())
	if err != nil {
		return roster.Invitation{}, err
	}
	return roster.Invite(s, founder)
}

// Join returns the request of an identity that the study names in its role, or of any
// party if the file has no roster. That of a querier has its key; see [QueryKey].
func Join(ctx context.Context, ring Ring, i roster.Invitation, id *identity.Identity) (identity.Request, error) {
	var key identity.Digest
	f, err := Of(i)
	if err == nil {
		err = f.names(id)
	}
	if err == nil && id.Card().Role == identity.Querier {
		key, err = QueryKey(ctx, ring, id, i)
	}
	if err != nil {
		return identity.Request{}, err
	}
	return i.Join(id, key), nil
}

// names refuses an identity that the study does not name.
func (f File) names(id *identity.Identity) error {
	c := id.Card()
	what, names := "queriers", f.querierNames()
	if c.Role == identity.Party {
		what, names = "parties", f.partyNames()
	}
	if len(names) == 0 && c.Role == identity.Party || slices.Contains(names, c.Name) {
		return nil
	}
	return &Mismatch{what, describe(id), list(names)}
}

func describe(id *identity.Identity) string {
	return fmt.Sprintf("the %s %s", id.Card().Role, id.Card().Name)
}

// Lock fixes a roster: it compiles the study of the invitation for the roster's
// queriers and puts [study.Terms.Canonical] in the lock as the crypto plan. Parties
// are in the order of the file's roster, or of approval if the file has none.
// Everybody whom the file names must be in, in the right role, and nobody else.
// beacon must be fresh from crypto/rand.
//
// Errors are those of [File.Terms] and [roster.Roster.Lock], a [Mismatch], or wrap
// [ErrFile] if the invitation is to no study file.
func Lock(ctx context.Context, ring Ring, r roster.Roster, beacon [32]byte) (roster.Lock, error) {
	f, err := Of(r.Invitation())
	if err != nil {
		return roster.Lock{}, err
	}
	var parties, queriers []identity.Request
	for _, m := range r.Members() {
		if m.Role == identity.Party {
			parties = append(parties, m)
		} else {
			queriers = append(queriers, m)
		}
	}
	t := roster.Terms{Fanout: f.Parties.Fanout, Beacon: beacon}
	if order := f.partyNames(); len(order) > 0 {
		slices.SortStableFunc(parties, func(a, b identity.Request) int {
			return slices.Index(order, a.Name) - slices.Index(order, b.Name)
		})
		t.Order = order
	}
	keys, err := f.members(parties, queriers)
	if err != nil {
		return roster.Lock{}, err
	}
	terms, err := f.Terms(ctx, ring, keys, beacon)
	if err != nil {
		return roster.Lock{}, err
	}
	t.Plan = terms.Canonical()
	return r.Lock(t)
}

// Locked returns study and terms of a lock, after computing all that follows from
// the study again: names, order and number of the parties, the queriers and their keys,
// the fan-out, and the terms, line by line. It does not look at signatures: see
// [roster.Lock.Admit]. Whatever the founder changed is a [Mismatch]; other errors
// are those of [Lock]. It takes the time of [File.Terms].
func Locked(ctx context.Context, ring Ring, l roster.Lock) (File, study.Terms, error) {
	f, err := Of(l.Invitation())
	if err != nil {
		return File{}, study.Terms{}, err
	}
	keys, err := f.members(l.Parties(), l.Queriers())
	if err != nil {
		return File{}, study.Terms{}, err
	}
	if l.Fanout() != f.Parties.Fanout {
		return File{}, study.Terms{}, &Mismatch{"fan-out", fmt.Sprint(l.Fanout()), fmt.Sprint(f.Parties.Fanout)}
	}
	terms, err := f.Terms(ctx, ring, keys, l.Beacon())
	if err != nil {
		return File{}, study.Terms{}, err
	}
	if err := samePlan(l.Plan(), terms.Canonical()); err != nil {
		return File{}, study.Terms{}, err
	}
	return f, terms, nil
}

// Of returns the study that an invitation is to. Content that is no study file, or
// not in its canonical form, wraps [ErrFile].
func Of(i roster.Invitation) (File, error) {
	s := i.Study()
	f, err := Parse("study "+s.Name, s.Content)
	if err != nil {
		return File{}, err
	}
	if f.Name != s.Name || !bytes.Equal(f.Canonical(), s.Content) {
		return File{}, fmt.Errorf("%w: the invitation to %q holds another form of the study than the canonical one: have it made by the same version of the program", ErrFile, printable(s.Name))
	}
	return f, nil
}

// QuerierSeed returns the secret seed of a querier in the studies that are locked
// from an invitation.
func QuerierSeed(id *identity.Identity, i roster.Invitation) protocols.Seed {
	return id.Seed(protocols.StudyID(i.Digest()))
}

// QueryKey returns the hash of the key that predictions are opened to, for the
// request of a querier. It follows from the identity, the invitation and the ring. It
// compiles the study, for the time of [File.Terms]. An identity that is no querier of
// the opening policy is a [Mismatch].
func QueryKey(ctx context.Context, ring Ring, id *identity.Identity, i roster.Invitation) ([32]byte, error) {
	f, err := Of(i)
	if err != nil {
		return [32]byte{}, err
	}
	if c := id.Card(); c.Role != identity.Querier || !slices.Contains(f.querierNames(), c.Name) {
		return [32]byte{}, &Mismatch{"queriers", describe(id), list(f.querierNames())}
	}
	terms, err := f.Terms(ctx, ring, nil, [32]byte{})
	if err != nil {
		return [32]byte{}, err
	}
	q, err := study.NewQuerier(terms, id.Card().Name, QuerierSeed(id, i))
	if err != nil {
		return [32]byte{}, err
	}
	return q.Pin(), nil
}

// members checks who is in a study, and returns the keys of the queriers.
func (f File) members(parties, queriers []identity.Request) (QueryKeys, error) {
	names := func(members []identity.Request) (out []string) {
		for _, m := range members {
			out = append(out, m.Name)
		}
		return out
	}
	if want := f.partyNames(); len(want) > 0 && !slices.Equal(names(parties), want) {
		return nil, &Mismatch{"parties", list(names(parties)), list(want)}
	}
	if len(parties) != f.Parties.Count {
		return nil, &Mismatch{"number of parties", fmt.Sprint(len(parties)), fmt.Sprint(f.Parties.Count)}
	}
	if have, want := names(queriers), f.querierNames(); !slices.Equal(slices.Sorted(slices.Values(have)), slices.Sorted(slices.Values(want))) {
		return nil, &Mismatch{"queriers", list(have), list(want)}
	}
	keys := QueryKeys{}
	for _, q := range queriers {
		if keys[q.Name] = q.QueryKey; q.QueryKey == (identity.Digest{}) {
			return nil, &Mismatch{"request of the querier " + q.Name, "no key for predictions", `one, as "nereid study join" makes it`}
		}
	}
	return keys, nil
}

func (f File) partyNames() (names []string) {
	for _, m := range f.Parties.Roster {
		names = append(names, m.Name)
	}
	return names
}

func (f File) querierNames() (names []string) {
	for _, q := range f.Opening.Queriers {
		names = append(names, q.Name)
	}
	return names
}

// list joins names.
func list(names []string) string {
	if len(names) == 0 {
		return "nobody"
	}
	return strings.Join(names, ", ")
}

// samePlan compares the crypto plan of a lock with what was computed here.
func samePlan(plan, own []byte) error {
	if bytes.Equal(plan, own) {
		return nil
	}
	found, want := strings.Split(string(plan), "\n"), strings.Split(string(own), "\n")
	i := 0
	for i < len(found) && i < len(want) && found[i] == want[i] {
		i++
	}
	line := func(lines []string) string {
		if i < len(lines) {
			return quote(lines[i])
		}
		return "no such line"
	}
	return &Mismatch{fmt.Sprintf("crypto plan, line %d", i+1), line(found), line(want)}
}
