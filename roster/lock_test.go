package roster_test

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/nereid-mhe/nereid/identity"
	"github.com/nereid-mhe/nereid/protocols"
	"github.com/nereid-mhe/nereid/roster"
)

func TestLock(t *testing.T) {
	c := newCast(t)
	l := c.lock(t)
	require.Equal(t, "Heart & lung <1>", l.Invitation().Study().Name)
	require.Equal(t, []string{"north", "south", "west"}, []string{l.Parties()[0].Name, l.Parties()[1].Name, l.Parties()[2].Name})
	require.Equal(t, "lab", l.Queriers()[0].Name)
	require.Equal(t, 3, l.Tree().Parties())
	require.Equal(t, 2, l.Fanout())
	require.Equal(t, terms().Plan, l.Plan())
	require.Equal(t, terms().Beacon, l.Beacon())
	require.Equal(t, l.ID(), protocols.StudyID(l.Fingerprint()))
	require.Equal(t, encode(t, l), encode(t, c.lock(t)), "the same terms make the same lock")

	for i, id := range c.people[:3] {
		p, ok := l.Party(id.Key())
		require.True(t, ok)
		require.Equal(t, protocols.PartyID(i), p)
	}
	_, ok := l.Party(c.people[3].Key())
	require.False(t, ok)
	q, ok := l.Querier(c.people[3].Key())
	require.True(t, ok)
	require.Zero(t, q)
}

func TestLockRefuses(t *testing.T) {
	c := newCast(t)
	alone := roster.New(c.roster.Invitation())
	leaf := func(name string) *identity.Identity {
		id, err := identity.New(identity.Card{Name: name, Role: identity.Party})
		require.NoError(t, err)
		return id
	}
	root := roster.New(invite(t, leaf("a"), "heart", "x"))
	root = approve(t, root, leaf("b"))
	for name, tt := range map[string]struct {
		roster roster.Roster
		change func(*roster.Terms)
		want   string
	}{
		"no roster":    {roster.Roster{}, func(*roster.Terms) {}, "an empty roster"},
		"one party":    {alone, func(*roster.Terms) {}, "needs at least 2 parties"},
		"fan-out":      {c.roster, func(t *roster.Terms) { t.Fanout = 0 }, "fan-out 0"},
		"no plan":      {c.roster, func(t *roster.Terms) { t.Plan = nil }, "without a crypto plan"},
		"no beacon":    {c.roster, func(t *roster.Terms) { t.Beacon = [32]byte{} }, "without a beacon"},
		"short order":  {c.roster, func(t *roster.Terms) { t.Order = []string{"north", "south"} }, "name every party once: north, south, west"},
		"double order": {c.roster, func(t *roster.Terms) { t.Order = []string{"north", "south", "south"} }, "name every party once"},
		"querier":      {c.roster, func(t *roster.Terms) { t.Order = []string{"north", "south", "lab"} }, "name every party once"},
		"no address":   {root, func(*roster.Terms) {}, "a has no address, and b must dial it"},
	} {
		t.Run(name, func(t *testing.T) {
			terms := terms()
			tt.change(&terms)
			_, err := tt.roster.Lock(terms)
			require.ErrorIs(t, err, roster.Invalid)
			require.ErrorContains(t, err, tt.want)
		})
	}
}

// Who can be dialled comes first, unless there is an order.
func TestLockOrder(t *testing.T) {
	r := roster.New(invite(t, newIdentity(t, "lab", identity.Querier), "heart", "x"))
	leaf, err := identity.New(identity.Card{Name: "leaf", Role: identity.Party})
	require.NoError(t, err)
	r = approve(t, approve(t, approve(t, r, leaf), newIdentity(t, "south", identity.Party)), newIdentity(t, "west", identity.Party))
	order := func(want ...string) []string {
		terms := terms()
		terms.Order = want
		l, err := r.Lock(terms)
		require.NoError(t, err)
		var got []string
		for _, p := range l.Parties() {
			got = append(got, p.Name)
		}
		return got
	}
	require.Equal(t, []string{"south", "west", "leaf"}, order())
	require.Equal(t, []string{"west", "leaf", "south"}, order("west", "leaf", "south"))
}

// Every part of a lock is in its identifier: different terms, rosters or studies
// never share one.
func TestIdentifierIsInjective(t *testing.T) {
	people := newCast(t).people
	type choice struct {
		content, plan string
		founder       int
		rest          []int
		fanout        int
		beacon        byte
	}
	gen := rapid.Custom(func(t *rapid.T) choice {
		word := rapid.StringOfN(rapid.RuneFrom([]rune("ab")), 1, 3, -1)
		c := choice{content: word.Draw(t, "content"), plan: word.Draw(t, "plan")}
		all := rapid.Permutation([]int{0, 1, 2, 3}).Draw(t, "order")
		c.founder, c.rest = all[0], all[1:rapid.IntRange(3, 4).Draw(t, "members")]
		c.fanout = rapid.IntRange(1, 3).Draw(t, "fanout")
		c.beacon = rapid.ByteRange(1, 2).Draw(t, "beacon")
		return c
	})
	lock := func(t *rapid.T, c choice) (roster.Lock, []byte) {
		s, err := roster.NewStudy("heart", []byte(c.content))
		require.NoError(t, err)
		i, err := roster.Invite(s, people[c.founder])
		require.NoError(t, err)
		r := roster.New(i)
		for _, p := range c.rest {
			r, err = r.Approve(i.Join(people[p], identity.Digest{}))
			require.NoError(t, err)
		}
		l, err := r.Lock(roster.Terms{Fanout: c.fanout, Plan: []byte(c.plan), Beacon: [32]byte{c.beacon}})
		require.NoError(t, err)
		b, err := l.Encode()
		require.NoError(t, err)
		return l, b
	}
	rapid.Check(t, func(t *rapid.T) {
		a, abytes := lock(t, gen.Draw(t, "a"))
		b, bbytes := lock(t, gen.Draw(t, "b"))
		require.Equal(t, bytes.Equal(abytes, bbytes), a.ID() == b.ID())
	})
}

// Parties sign in any order, twice or not, on copies that are merged in any order:
// the lock is the same.
func TestSignaturesComeInAnyOrder(t *testing.T) {
	c := newCast(t)
	l := c.lock(t)
	want := encode(t, c.signed(t, l, 0, 1, 2))
	rapid.Check(t, func(rt *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0))
		copies := make([]roster.Lock, 3)
		for i := range copies {
			copies[i] = c.signed(t, l, i, r.IntN(3), i)
		}
		r.Shuffle(3, func(i, j int) { copies[i], copies[j] = copies[j], copies[i] })
		all := l
		for _, other := range copies {
			var err error
			all, err = all.Merge(other)
			require.NoError(rt, err)
		}
		require.Equal(rt, want, encode(t, all))
		require.Equal(rt, encode(t, l), encode(t, c.lock(t)), "signing leaves the lock as it was")
	})
}

func TestAdmit(t *testing.T) {
	c := newCast(t)
	l := c.lock(t)
	stranger := newIdentity(t, "south", identity.Party)
	for name, tt := range map[string]struct {
		signed []int
		id     *identity.Identity
		want   error
		text   string
	}{
		"complete":       {[]int{0, 1, 2}, c.people[1], nil, ""},
		"querier":        {[]int{0, 1, 2}, c.people[3], nil, ""},
		"own missing":    {[]int{0, 2}, c.people[1], roster.Unsigned, `south \(party, .*\) has not signed .*sign it with "nereid study sign"`},
		"others missing": {[]int{1}, c.people[1], roster.Unsigned, `not signed by north, west; have each`},
		"none":           {nil, c.people[3], roster.Unsigned, `not signed by north, south, west`},
		"stranger":       {[]int{0, 1, 2}, stranger, roster.Stranger, `is not in the lock`},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.signed(t, l, tt.signed...).Admit(tt.id)
			require.ErrorIs(t, err, tt.want)
			if tt.want != nil {
				require.Regexp(t, tt.text, err.Error())
			}
		})
	}
	for _, id := range []*identity.Identity{stranger, c.people[3]} {
		_, err := l.Sign(id)
		require.ErrorIs(t, err, roster.Stranger)
	}
	terms := terms()
	terms.Beacon[0]++
	other, err := c.roster.Lock(terms)
	require.NoError(t, err)
	_, err = l.Merge(other)
	require.ErrorIs(t, err, roster.Foreign)
}

// A lock that someone put together by hand: what it says is checked, also when the
// JSON is in order.
func TestParseLockRefuses(t *testing.T) {
	c := newCast(t)
	good := string(encode(t, c.signed(t, c.lock(t), 0, 1, 2)))
	terms := terms()
	terms.Beacon[0]++
	other, err := c.roster.Lock(terms)
	require.NoError(t, err)
	foreign := signatures(t, encode(t, c.signed(t, other, 0, 1, 2)))
	own := signatures(t, []byte(good))
	for name, tt := range map[string]struct {
		old, new string
		want     roster.Reason
	}{
		"plan":              {`"plan": "cmluZ`, `"plan": "cmluY`, roster.Damaged},
		"fan-out":           {`"fanout": 2`, `"fanout": 1`, roster.Damaged},
		"beacon":            {`"beacon": "0100`, `"beacon": "0101`, roster.Damaged},
		"identifier":        {c.lock(t).Fingerprint().String(), other.Fingerprint().String(), roster.Damaged},
		"study":             {c.roster.Invitation().Study().Digest.String(), identity.Digest{}.String(), roster.Damaged},
		"foreign signature": {own[1], foreign[1], roster.Forged},
		"another's":         {own[1], own[2], roster.Forged},
		"signer":            {`"party": "south"`, `"party": "lab"`, roster.Foreign},
		"twice":             {`"party": "south"`, `"party": "north"`, roster.Foreign},
		"empty list":        {`"signatures": [`, `"signatures": [], "signatures": [`, roster.Damaged},
		"address":           {"west.example.org", "evil.example.org", roster.Forged},
		"version":           {`"version": 1`, `"version": 0`, roster.Unsupported},
	} {
		t.Run(name, func(t *testing.T) {
			bad := strings.Replace(good, tt.old, tt.new, 1)
			require.NotEqual(t, good, bad)
			_, err := roster.ParseLock([]byte(bad))
			require.ErrorIs(t, err, tt.want)
		})
	}
}

// Lists that are empty are absent: there is one form for nobody.
func TestParseLockWithoutLists(t *testing.T) {
	c := newCast(t)
	r, err := c.roster.Remove("lab")
	require.NoError(t, err)
	l, err := r.Lock(terms())
	require.NoError(t, err)
	good := encode(t, l)
	_, err = roster.ParseLock(good)
	require.NoError(t, err)
	for _, list := range []string{`"queriers": [],`, `"queriers": null,`} {
		bad := bytes.Replace(good, []byte("  \"fanout\""), []byte("  "+list+"\n  \"fanout\""), 1)
		require.True(t, json.Valid(bad))
		_, err = roster.ParseLock(bad)
		require.ErrorIs(t, err, roster.Damaged)
	}
}

// signatures returns the signatures of a lock.
func signatures(t *testing.T, b []byte) (list []string) {
	t.Helper()
	var l struct{ Signatures []struct{ Signature string } }
	require.NoError(t, json.Unmarshal(b, &l))
	for _, s := range l.Signatures {
		list = append(list, s.Signature)
	}
	return list
}
