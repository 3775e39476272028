package roster_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/identity"
	"github.com/nereid-mhe/nereid/roster"
)

// newIdentity returns an identity with an address if it is a party.
func newIdentity(t testing.TB, name string, role identity.Role) *identity.Identity {
	t.Helper()
	c := identity.Card{Name: name, Role: role}
	if role == identity.Party {
		c.Address = name + ".example.org:7000"
	}
	id, err := identity.New(c)
	require.NoError(t, err)
	return id
}

// A cast is a study with its people: three parties, the founder first, and a
// querier.
type cast struct {
	people []*identity.Identity
	roster roster.Roster
}

func newCast(t testing.TB) cast {
	t.Helper()
	var c cast
	for _, name := range []string{"north", "south", "west"} {
		c.people = append(c.people, newIdentity(t, name, identity.Party))
	}
	c.people = append(c.people, newIdentity(t, "lab", identity.Querier))
	c.roster = roster.New(invite(t, c.people[0], "Heart & lung <1>", "rows and rates"))
	for _, id := range c.people[1:] {
		c.roster = approve(t, c.roster, id)
	}
	return c
}

func invite(t testing.TB, founder *identity.Identity, name, content string) roster.Invitation {
	t.Helper()
	s, err := roster.NewStudy(name, []byte(content))
	require.NoError(t, err)
	i, err := roster.Invite(s, founder)
	require.NoError(t, err)
	return i
}

func approve(t testing.TB, r roster.Roster, id *identity.Identity) roster.Roster {
	t.Helper()
	r, err := r.Approve(r.Invitation().Join(id, identity.Digest{}))
	require.NoError(t, err)
	return r
}

func terms() roster.Terms {
	return roster.Terms{Fanout: 2, Plan: []byte("ring and primes"), Beacon: [32]byte{1}}
}

func (c cast) lock(t testing.TB) roster.Lock {
	t.Helper()
	l, err := c.roster.Lock(terms())
	require.NoError(t, err)
	return l
}

// signed returns the lock with the signatures of the given parties.
func (c cast) signed(t testing.TB, l roster.Lock, parties ...int) roster.Lock {
	t.Helper()
	for _, p := range parties {
		var err error
		l, err = l.Sign(c.people[p])
		require.NoError(t, err)
	}
	return l
}

// encode returns the form of a document.
func encode(t testing.TB, d interface{ Encode() ([]byte, error) }) []byte {
	t.Helper()
	b, err := d.Encode()
	require.NoError(t, err)
	return b
}

// documents returns one of each, the lock with all signatures.
func (c cast) documents(t testing.TB) map[string][]byte {
	t.Helper()
	return map[string][]byte{
		"invitation": encode(t, c.roster.Invitation()),
		"roster":     encode(t, c.roster),
		"lock":       encode(t, c.signed(t, c.lock(t), 0, 1, 2)),
	}
}

// reencode parses a document of a kind and encodes it again.
func reencode(kind string, b []byte) ([]byte, error) {
	switch kind {
	case "invitation":
		i, err := roster.ParseInvitation(b)
		if err != nil {
			return nil, err
		}
		return i.Encode()
	case "roster":
		r, err := roster.Parse(b)
		if err != nil {
			return nil, err
		}
		return r.Encode()
	case "lock":
		l, err := roster.ParseLock(b)
		if err != nil {
			return nil, err
		}
		return l.Encode()
	}
	return nil, fmt.Errorf("no kind %s", kind)
}
