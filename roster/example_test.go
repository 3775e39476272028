package roster_test

import (
	"crypto/rand"
	"fmt"

	"github.com/nereid-mhe/nereid/identity"
	"github.com/nereid-mhe/nereid/roster"
)

// Two parties agree on a study. Each of them has its own identity; documents
// travel between them.
func Example() {
	if err := agree(); err != nil {
		fmt.Println(err)
	}
	// Output:
	// missing: [south]
	// complete: <nil>
}

func agree() error {
	north, err := identity.New(identity.Card{Name: "north", Role: identity.Party, Address: "north.example.org:7000"})
	if err != nil {
		return err
	}
	south, err := identity.New(identity.Card{Name: "south", Role: identity.Party})
	if err != nil {
		return err
	}
	study, err := roster.NewStudy("heart", []byte("the canonical form of the study"))
	if err != nil {
		return err
	}
	invitation, err := roster.Invite(study, north)
	if err != nil {
		return err
	}
	// South compares the founder's fingerprint and answers; north compares
	// south's and approves.
	members, err := roster.New(invitation).Approve(invitation.Join(south, identity.Digest{}))
	if err != nil {
		return err
	}
	terms := roster.Terms{Fanout: 1, Plan: []byte("the crypto plan")}
	if _, err := rand.Read(terms.Beacon[:]); err != nil {
		return err
	}
	lock, err := members.Lock(terms)
	if err != nil {
		return err
	}
	if lock, err = lock.Sign(north); err != nil {
		return err
	}
	fmt.Println("missing:", lock.Missing())
	if lock, err = lock.Sign(south); err != nil {
		return err
	}
	fmt.Println("complete:", lock.Admit(south))
	return nil
}
