package roster

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nereid-mhe/nereid/identity"
	"github.com/nereid-mhe/nereid/internal/canon"
)

// A Roster is an invitation with the requests that were approved, that of the
// founder first. It is immutable: methods return another. The zero Roster is of no
// study.
type Roster struct{ body rosterBody }

type rosterBody struct {
	Invitation invitationBody     `json:"invitation"`
	Members    []identity.Request `json:"members"`
}

var rosterHeader = canon.Header{Kind: KindRoster, Version: 1}

type rosterFile struct {
	canon.Header
	rosterBody
}

// New returns the roster that has the founder alone.
func New(i Invitation) Roster {
	return Roster{rosterBody{i.body, []identity.Request{i.body.Founder}}}
}

// Invitation returns the invitation that members answered.
func (r Roster) Invitation() Invitation { return Invitation{r.body.Invitation} }

// Members returns the approved requests in order of approval.
func (r Roster) Members() []identity.Request { return slices.Clone(r.body.Members) }

// Approve adds a request, once its fingerprint was compared with the one that its
// owner reads out. A request that is in the roster already changes nothing. The
// error is an *[Error]; of reason Foreign if the request is not bound to this
// study, and Duplicate if someone else has the name, the key or the address.
func (r Roster) Approve(q identity.Request) (Roster, error) {
	if slices.Contains(r.body.Members, q) {
		return r, nil
	}
	return r.with(append(r.Members(), q))
}

// Replace puts a request in the place of the member with its name, who may have
// another key, role or address since.
func (r Roster) Replace(q identity.Request) (Roster, error) {
	members := r.Members()
	i, err := r.find(q.Name)
	if err != nil {
		return Roster{}, err
	}
	members[i] = q
	return r.with(members)
}

// Remove takes a member out.
func (r Roster) Remove(name string) (Roster, error) {
	i, err := r.find(name)
	if err != nil {
		return Roster{}, err
	}
	return r.with(slices.Delete(r.Members(), i, i+1))
}

// find returns the place of a member who is not the founder.
func (r Roster) find(name string) (int, error) {
	if name == r.body.Invitation.Founder.Name {
		return 0, &Error{Invalid, fmt.Sprintf("%s founded the study", name), "start with another invitation to have another founder"}
	}
	i := slices.IndexFunc(r.body.Members, func(m identity.Request) bool { return m.Name == name })
	if i < 0 {
		return 0, &Error{Stranger, fmt.Sprintf("%.100q is not in the roster", name), "name a member: " + names(r.body.Members)}
	}
	return i, nil
}

func (r Roster) with(members []identity.Request) (Roster, error) {
	b := rosterBody{r.body.Invitation, members}
	return Roster{b}, b.check()
}

func (b rosterBody) check() error {
	if len(b.Members) == 0 || b.Members[0] != b.Invitation.Founder {
		return &Error{Damaged, "a roster that does not start with the founder", "restore the file from a copy"}
	}
	return checkMembers(b.Invitation, b.Members)
}

// checkMembers verifies requests, and that they can be in one study.
func checkMembers(i invitationBody, members []identity.Request) error {
	type claim struct{ what, value string }
	taken := map[claim]string{}
	for _, m := range members {
		if err := verify(m); err != nil {
			return err
		}
		if m.Study != i.digest() {
			return &Error{Foreign, fmt.Sprintf("the request of %s answers no invitation of %s to %s", m.Name, i.Founder.Name, i.Study.Name), `have it made with "nereid study join" from the invitation`}
		}
		// Names that differ in case only would be taken for each other.
		for _, c := range []claim{{"name", strings.ToLower(m.Name)}, {"key", m.Key.Fingerprint().String()}, {"address", m.Address}} {
			other, dup := taken[c]
			if dup && c.value != "" {
				return &Error{Duplicate, fmt.Sprintf("%s has the %s %s, which %s has already", m.Name, c.what, c.value, other), "remove or replace one of the two"}
			}
			taken[c] = m.Name
		}
	}
	return nil
}

// Encode returns the form that [Parse] reads.
func (r Roster) Encode() ([]byte, error) { return canon.Encode(rosterFile{rosterHeader, r.body}) }

// Parse reads a roster and checks it. The error is an *[Error].
func Parse(b []byte) (Roster, error) {
	var f rosterFile
	if err := decode(b, rosterHeader, &f); err != nil {
		return Roster{}, err
	}
	if err := f.Invitation.check(); err != nil {
		return Roster{}, err
	}
	if err := f.rosterBody.check(); err != nil {
		return Roster{}, err
	}
	return Roster{f.rosterBody}, nil
}

// names lists the names of members.
func names(members []identity.Request) string {
	list := make([]string, len(members))
	for i, m := range members {
		list[i] = m.Name
	}
	return strings.Join(list, ", ")
}
