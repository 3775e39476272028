package identity_test

import (
	"testing"

	"filippo.io/age"
	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/identity"
)

var card = identity.Card{Name: "north", Role: identity.Party, Address: "north.example.org:7000"}

func newIdentity(t testing.TB, c identity.Card) *identity.Identity {
	t.Helper()
	id, err := identity.New(c)
	require.NoError(t, err)
	return id
}

// weak returns a passphrase recipient that is quick, and no good but for tests.
func weak(t testing.TB, passphrase string) *age.ScryptRecipient {
	t.Helper()
	r, err := age.NewScryptRecipient(passphrase)
	require.NoError(t, err)
	r.SetWorkFactor(5)
	return r
}

func passphrase(t testing.TB, s string) *age.ScryptIdentity {
	t.Helper()
	i, err := age.NewScryptIdentity(s)
	require.NoError(t, err)
	return i
}

func encode(t testing.TB, r identity.Request) []byte {
	t.Helper()
	b, err := r.Encode()
	require.NoError(t, err)
	return b
}
