package main

import (
	"fmt"
	"strings"

	"github.com/nereid-mhe/nereid/identity"
	"github.com/nereid-mhe/nereid/roster"
)

// An agreement is the report of the commands of a study. Its JSON form is a
// contract.
type agreement struct {
	Study   string          `json:"study"`
	Digest  identity.Digest `json:"digest"` // of the study
	Founder memberJSON      `json:"founder"`
	Members []memberJSON    `json:"members,omitempty"`
	Lock    *lockJSON       `json:"lock,omitempty"`
	Content string          `json:"content,omitempty"` // of the study, as showStudy has it
	Terms   string          `json:"terms,omitempty"`   // crypto plan of a lock, one field a line
	Files   []savedFile     `json:"files,omitempty"`

	next string // what to do next, for people
}

type memberJSON struct {
	identity.Card
	Fingerprint identity.Digest `json:"fingerprint"`
	Key         identity.Key    `json:"key"`
}

type lockJSON struct {
	Fingerprint identity.Digest `json:"fingerprint"`
	Fanout      int             `json:"fanout"`
	Depth       int             `json:"depth"`   // of the tree
	Missing     []string        `json:"missing"` // parties that have not signed
}

func ofMember(r identity.Request) memberJSON {
	return memberJSON{r.Card, r.Key.Fingerprint(), r.Key}
}

func ofMembers(list []identity.Request) (out []memberJSON) {
	for _, r := range list {
		out = append(out, ofMember(r))
	}
	return out
}

func ofInvitation(i roster.Invitation) agreement {
	return agreement{Study: i.Study().Name, Digest: i.Study().Digest, Founder: ofMember(i.Founder())}
}

func ofRoster(r roster.Roster) agreement {
	a := ofInvitation(r.Invitation())
	a.Members = ofMembers(r.Members())
	return a
}

// ofLock lists parties in the order of their numbers, then queriers.
func ofLock(l roster.Lock) agreement {
	a := ofInvitation(l.Invitation())
	a.Members = ofMembers(append(l.Parties(), l.Queriers()...))
	a.Lock = &lockJSON{l.Fingerprint(), l.Fanout(), l.Tree().Depth(), append([]string{}, l.Missing()...)}
	return a
}

// wrote adds files and what to do next.
func (a agreement) wrote(next string, list ...savedFile) agreement {
	a.Files, a.next = append(a.Files, list...), next
	return a
}

// text prints an agreement for people.
func (a agreement) text(t *page) {
	t.fact("study", a.Study)
	t.fact("digest", a.Digest.String())
	t.fact("founder", a.Founder.Name)
	t.fact("", a.Founder.Fingerprint.String())
	if a.Lock != nil {
		t.fact("lock", a.Lock.Fingerprint.String())
		t.fact("tree", fmt.Sprintf("fan-out %d, depth %d, the root is %s", a.Lock.Fanout, a.Lock.Depth, a.Members[0].Name))
		signed := "by all parties"
		if len(a.Lock.Missing) > 0 {
			signed = "not yet by " + strings.Join(a.Lock.Missing, ", ")
		}
		t.fact("signed", signed)
	}
	for _, m := range a.Members {
		t.fact(string(m.Role), m.Name+", address "+orNone(m.Address))
		t.fact("", m.Fingerprint.String())
	}
	t.saved(a.Files)
	if a.next != "" {
		t.fact("next", a.next)
	}
	for _, s := range []string{a.Content, a.Terms} {
		if s != "" {
			t.line("\n%s", s)
		}
	}
}
