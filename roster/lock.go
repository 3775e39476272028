package roster

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/nereid-mhe/nereid/identity"
	"github.com/nereid-mhe/nereid/internal/canon"
	"github.com/nereid-mhe/nereid/protocols"
)

// Terms are what a lock adds to a roster.
type Terms struct {
	Fanout int      // children of an inner node of the tree, 1 or more
	Order  []string // names of all parties, the root first; nil for the order of approval, those who can be dialled first
	Plan   []byte   // the crypto plan, 1 byte or more; opaque here
	Beacon [32]byte // fresh from crypto/rand, so that no two locks have the same identifier; not zero
}

// A Lock is a study that cannot change any more. It is immutable: methods return
// another, and every Lock was checked but for the signatures that are missing.
type Lock struct {
	body lockBody
	tree protocols.Tree
}

// lockBody holds what is hashed, its hash, and the signatures over that.
type lockBody struct {
	ID         identity.Digest    `json:"id"`
	Invitation invitationBody     `json:"invitation"`
	Parties    []identity.Request `json:"parties"`            // in the order of their numbers, the root first
	Queriers   []identity.Request `json:"queriers,omitempty"` // in order of approval
	Fanout     int                `json:"fanout"`
	PlanDigest identity.Digest    `json:"plan_digest"`
	Plan       []byte             `json:"plan"`
	Beacon     identity.Digest    `json:"beacon"`
	Signatures []signature        `json:"signatures,omitempty"` // in the order of parties
}

type signature struct {
	Party     string             `json:"party"`
	Signature identity.Signature `json:"signature"`
}

const lockContext = "nereid/lock/v1"

var lockHeader = canon.Header{Kind: KindLock, Version: 1}

type lockFile struct {
	canon.Header
	lockBody
}

// Lock fixes the roster. Every party that has children in the tree must have an
// address. The error is an *[Error].
func (r Roster) Lock(t Terms) (Lock, error) {
	if len(r.body.Members) == 0 {
		return Lock{}, &Error{Invalid, "an empty roster", "start with an invitation"}
	}
	b := lockBody{
		Invitation: r.body.Invitation, Fanout: t.Fanout,
		Plan: slices.Clone(t.Plan), PlanDigest: planDigest(t.Plan), Beacon: t.Beacon,
	}
	for _, m := range r.body.Members {
		if m.Role == identity.Party {
			b.Parties = append(b.Parties, m)
		} else {
			b.Queriers = append(b.Queriers, m)
		}
	}
	if err := arrange(b.Parties, t.Order); err != nil {
		return Lock{}, err
	}
	b.ID = b.id()
	return newLock(b)
}

// arrange puts parties in the wanted order.
func arrange(parties []identity.Request, order []string) error {
	if order == nil {
		slices.SortStableFunc(parties, func(a, b identity.Request) int { return dialled(b) - dialled(a) })
		return nil
	}
	sorted := func(list []string) []string { return slices.Sorted(slices.Values(list)) }
	have := strings.Split(names(parties), ", ")
	if !slices.Equal(sorted(have), sorted(order)) {
		return &Error{Invalid, fmt.Sprintf("an order of %.200q", order), "name every party once: " + names(parties)}
	}
	slices.SortFunc(parties, func(a, b identity.Request) int { return slices.Index(order, a.Name) - slices.Index(order, b.Name) })
	return nil
}

func dialled(r identity.Request) int { return min(1, len(r.Address)) }

func planDigest(plan []byte) identity.Digest { return canon.Hash("nereid/plan/v1", plan) }

// id returns the hash of all but the signatures.
func (b lockBody) id() identity.Digest {
	invitation := b.Invitation.digest()
	return canon.Hash("nereid/lock/v1", invitation[:], listDigest(b.Parties), listDigest(b.Queriers),
		binary.BigEndian.AppendUint64(nil, uint64(b.Fanout)), b.PlanDigest[:], b.Beacon[:])
}

// listDigest hashes requests, each by what it signs.
func listDigest(list []identity.Request) []byte {
	var fields [][]byte
	for _, r := range list {
		d := r.Digest()
		fields = append(fields, d[:])
	}
	sum := canon.Hash("nereid/requests/v1", fields...)
	return sum[:]
}

// newLock checks all of a lock but that signatures are missing.
func newLock(b lockBody) (Lock, error) {
	if err := b.Invitation.check(); err != nil {
		return Lock{}, err
	}
	if err := b.checkRoles(); err != nil {
		return Lock{}, err
	}
	tree, err := b.tree()
	if err != nil {
		return Lock{}, err
	}
	switch again := "get the lock again from the founder: it was changed"; {
	case len(b.Plan) == 0:
		return Lock{}, &Error{Invalid, "a lock without a crypto plan", "make the plan first"}
	case b.Beacon == identity.Digest{}:
		return Lock{}, &Error{Invalid, "a lock without a beacon", "lock the roster again"}
	case b.PlanDigest != planDigest(b.Plan):
		return Lock{}, &Error{Damaged, "the crypto plan is not the one of its digest", again}
	case b.ID != b.id():
		return Lock{}, &Error{Damaged, "the content is not that of the lock's hash", again}
	}
	return Lock{b, tree}, b.checkSignatures()
}

func (b lockBody) checkRoles() error {
	for _, list := range []struct {
		members []identity.Request
		role    identity.Role
	}{{b.Parties, identity.Party}, {b.Queriers, identity.Querier}} {
		for _, m := range list.members {
			if m.Role != list.role {
				return &Error{Damaged, fmt.Sprintf("%s is listed as a %s and is a %s", m.Name, list.role, m.Role), "get the lock again from the founder"}
			}
		}
	}
	all := slices.Concat(b.Parties, b.Queriers)
	if !slices.Contains(all, b.Invitation.Founder) {
		return &Error{Damaged, "the founder is not in the roster", "get the lock again from the founder"}
	}
	return checkMembers(b.Invitation, all)
}

// tree returns the tree of the parties, after checking that inner nodes can be
// dialled: children dial their parent.
func (b lockBody) tree() (protocols.Tree, error) {
	tree, err := protocols.NewTree(len(b.Parties), b.Fanout)
	if err != nil {
		return tree, &Error{Invalid, strings.TrimPrefix(err.Error(), "protocols: "), "approve more parties, or choose another fan-out"}
	}
	for i, p := range b.Parties {
		if children := tree.Children(protocols.PartyID(i)); p.Address == "" && len(children) > 0 {
			return tree, &Error{
				Invalid, fmt.Sprintf("%s has no address, and %s must dial it", p.Name, b.Parties[children[0]].Name),
				"give it an address, another place in the order, or choose a larger fan-out",
			}
		}
	}
	return tree, nil
}

// Encode returns the form that [ParseLock] reads. The same lock with the same
// signatures has the same bytes, in whatever order they came together.
func (l Lock) Encode() ([]byte, error) { return canon.Encode(lockFile{lockHeader, l.body}) }

// ParseLock reads a lock and checks all that is in it, the signatures too. Use
// [Lock.Admit] before anything is done with it: a signature may be missing. The
// error is an *[Error].
func ParseLock(b []byte) (Lock, error) {
	var f lockFile
	if err := decode(b, lockHeader, &f); err != nil {
		return Lock{}, err
	}
	return newLock(f.lockBody)
}

// ID returns the identifier of the study: a hash of the study, the roster in order,
// the fan-out, the crypto plan and the beacon.
func (l Lock) ID() protocols.StudyID { return protocols.StudyID(l.body.ID) }

// Fingerprint returns the same hash in the form that people compare.
func (l Lock) Fingerprint() identity.Digest { return l.body.ID }

// Invitation returns the invitation, and so the study.
func (l Lock) Invitation() Invitation { return Invitation{l.body.Invitation} }

// Parties returns the parties; their places are their numbers.
func (l Lock) Parties() []identity.Request { return slices.Clone(l.body.Parties) }

// Queriers returns who may ask for predictions, as far as the study's policy lets
// them.
func (l Lock) Queriers() []identity.Request { return slices.Clone(l.body.Queriers) }

// Tree returns the tree of the parties.
func (l Lock) Tree() protocols.Tree { return l.tree }

// Fanout returns the number of children of an inner node.
func (l Lock) Fanout() int { return l.body.Fanout }

// Plan returns the crypto plan.
func (l Lock) Plan() []byte { return slices.Clone(l.body.Plan) }

// Beacon returns the public random bytes of the lock.
func (l Lock) Beacon() [32]byte { return l.body.Beacon }
