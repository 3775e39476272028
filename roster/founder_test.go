package roster

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/identity"
)

// A founder can write any lock with a right hash. What parties would not expect is
// refused all the same.
func TestLocksOfAnOddFounder(t *testing.T) {
	member := func(name string, role identity.Role, address string) *identity.Identity {
		id, err := identity.New(identity.Card{Name: name, Role: role, Address: address})
		require.NoError(t, err)
		return id
	}
	invite := func(content string, founder *identity.Identity) Invitation {
		s, err := NewStudy("heart", []byte(content))
		require.NoError(t, err)
		i, err := Invite(s, founder)
		require.NoError(t, err)
		return i
	}
	north, south := member("north", identity.Party, "a:1"), member("south", identity.Party, "b:1")
	lab := member("lab", identity.Querier, "")
	i := invite("x", north)
	r := New(i)
	for _, id := range []*identity.Identity{south, lab} {
		var err error
		r, err = r.Approve(i.Join(id, identity.Digest{}))
		require.NoError(t, err)
	}
	good, err := r.Lock(Terms{Fanout: 1, Plan: []byte("p"), Beacon: [32]byte{1}})
	require.NoError(t, err)
	for name, tt := range map[string]struct {
		change func(*lockBody)
		want   Reason
	}{
		"nothing":        {func(*lockBody) {}, ""},
		"other queriers": {func(b *lockBody) { b.Queriers = nil }, ""},
		"party as querier": {func(b *lockBody) {
			b.Queriers = append(b.Queriers, i.Join(member("west", identity.Party, ""), identity.Digest{}))
		}, Damaged},
		"querier as party": {func(b *lockBody) {
			b.Parties = append(b.Parties, i.Join(member("west", identity.Querier, ""), identity.Digest{}))
		}, Damaged},
		"founder left":       {func(b *lockBody) { b.Parties[0] = i.Join(member("west", identity.Party, "c:1"), identity.Digest{}) }, Damaged},
		"twice":              {func(b *lockBody) { b.Parties = append(b.Parties, b.Parties[1]) }, Duplicate},
		"querier of a party": {func(b *lockBody) { b.Queriers[0] = i.Join(member("South", identity.Querier, ""), identity.Digest{}) }, Duplicate},
		"other study": {func(b *lockBody) {
			b.Invitation = invite("y", north).body
			b.Parties[0] = b.Invitation.Founder
		}, Foreign},
		"other invitation of a request": {func(b *lockBody) { b.Parties[1] = invite("y", north).Join(south, identity.Digest{}) }, Foreign},
		"root without address": {func(b *lockBody) {
			b.Parties[1] = i.Join(member("south", identity.Party, ""), identity.Digest{})
			slices.Reverse(b.Parties)
		}, Invalid},
		"fan-out":   {func(b *lockBody) { b.Fanout = -1 }, Invalid},
		"no plan":   {func(b *lockBody) { b.Plan, b.PlanDigest = nil, planDigest(nil) }, Invalid},
		"no beacon": {func(b *lockBody) { b.Beacon = identity.Digest{} }, Invalid},
	} {
		t.Run(name, func(t *testing.T) {
			b := good.body
			b.Parties, b.Queriers = slices.Clone(b.Parties), slices.Clone(b.Queriers)
			tt.change(&b)
			b.ID = b.id()
			require.Equal(t, name == "nothing", b.ID == good.body.ID)
			odd := Lock{body: b}
			encoded, err := odd.Encode()
			require.NoError(t, err)
			_, err = ParseLock(encoded)
			if tt.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, tt.want)
		})
	}
}
