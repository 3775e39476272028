package roster

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nereid-mhe/nereid/identity"
	"github.com/nereid-mhe/nereid/protocols"
)

// Sign returns the lock with the signature of a party. Signing twice changes
// nothing. The error is an *[Error] of reason Stranger for an identity that is no
// party of the lock.
func (l Lock) Sign(id *identity.Identity) (Lock, error) {
	p, ok := l.Party(id.Key())
	if !ok {
		return Lock{}, &Error{Stranger, fmt.Sprintf("%v is no party of the lock %.9s", id, l.body.ID), "sign with the identity that joined the study; queriers do not sign"}
	}
	return l.with(signature{l.body.Parties[p].Name, id.Sign(lockContext, l.body.ID)}), nil
}

// Merge returns the lock with the signatures of both. The order of merges makes no
// difference. The error is an *[Error] of reason Foreign if other is another lock.
func (l Lock) Merge(other Lock) (Lock, error) {
	if l.body.ID != other.body.ID {
		return Lock{}, &Error{Foreign, fmt.Sprintf("it is the lock %.9s, not %.9s", other.body.ID, l.body.ID), "merge copies of one lock only"}
	}
	return l.with(other.body.Signatures...), nil
}

// with adds signatures of parties to those there are.
func (l Lock) with(more ...signature) Lock {
	have := map[string]signature{}
	for _, s := range slices.Concat(more, l.body.Signatures) {
		have[s.Party] = s
	}
	l.body.Signatures = nil
	for _, p := range l.body.Parties {
		if s, ok := have[p.Name]; ok {
			l.body.Signatures = append(l.body.Signatures, s)
		}
	}
	return l
}

// checkSignatures verifies the signatures that are there.
func (b lockBody) checkSignatures() error {
	rest := b.Parties
	for _, s := range b.Signatures {
		i := slices.IndexFunc(rest, func(p identity.Request) bool { return p.Name == s.Party })
		if i < 0 {
			return &Error{Foreign, fmt.Sprintf("a signature of %.100q, who is no party or signed out of turn", s.Party), "get a copy of the lock from each party, and merge them"}
		}
		if !rest[i].Key.Verify(lockContext, b.ID, s.Signature) {
			return &Error{Forged, fmt.Sprintf("the signature of %s is not by its key, or is of another lock", s.Party), fmt.Sprintf("have %s sign this lock, and merge its copy", s.Party)}
		}
		rest = rest[i+1:]
	}
	return nil
}

// Missing returns the names of the parties that have not signed.
func (l Lock) Missing() []string {
	var missing []string
	for i, p := range l.body.Parties {
		if !l.signed(protocols.PartyID(i)) {
			missing = append(missing, p.Name)
		}
	}
	return missing
}

func (l Lock) signed(p protocols.PartyID) bool {
	return slices.ContainsFunc(l.body.Signatures, func(s signature) bool { return s.Party == l.body.Parties[p].Name })
}

// Verify returns nil if every party has signed, and an *[Error] of reason Unsigned
// that names the others if not.
func (l Lock) Verify() error {
	if missing := l.Missing(); len(missing) > 0 {
		return &Error{Unsigned, fmt.Sprintf("the lock %.9s is not signed by %s", l.body.ID, strings.Join(missing, ", ")), `have each of them run "nereid study sign" on its copy, and merge the copies`}
	}
	return nil
}

// Party returns the number of the party with a key.
func (l Lock) Party(k identity.Key) (protocols.PartyID, bool) {
	i := indexOf(l.body.Parties, k)
	return protocols.PartyID(max(i, 0)), i >= 0
}

// Querier returns the place of the querier with a key in [Lock.Queriers].
func (l Lock) Querier(k identity.Key) (int, bool) {
	i := indexOf(l.body.Queriers, k)
	return max(i, 0), i >= 0
}

func indexOf(list []identity.Request, k identity.Key) int {
	return slices.IndexFunc(list, func(r identity.Request) bool { return r.Key == k })
}

// Admit is what a node asks before it works under a lock: the identity is a party
// or a querier of it, a party has signed it, and so has every other party. The
// error is an *[Error] of reason Stranger or Unsigned.
func (l Lock) Admit(id *identity.Identity) error {
	p, party := l.Party(id.Key())
	_, querier := l.Querier(id.Key())
	switch {
	case !party && !querier:
		return &Error{Stranger, fmt.Sprintf("%v is not in the lock %.9s", id, l.body.ID), "use the identity that joined the study, or the lock of that study"}
	case party && !l.signed(p):
		return &Error{Unsigned, fmt.Sprintf("%v has not signed the lock %.9s", id, l.body.ID), `look at it, and sign it with "nereid study sign"`}
	}
	return l.Verify()
}
