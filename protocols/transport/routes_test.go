package transport

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/nereid-mhe/nereid/protocols"
)

func testRoster(parties int, reachable func(int) bool) []Peer {
	var roster []Peer
	for i := range parties {
		p := Peer{ID: protocols.PartyID(i), Name: fmt.Sprint("site-", i), Key: publicKey(testKey(fmt.Sprint(i)))}
		if reachable(i) {
			p.Address = fmt.Sprintf("site-%d:7000", i)
		}
		roster = append(roster, p)
	}
	return roster
}

// Every message arrives: over connections only, through no party twice, and along
// the tree where there is no direct one. Each connection is made once, by a party
// that knows an address.
func TestRoutes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 30).Draw(t, "parties")
		tree, err := protocols.NewTree(n, rapid.IntRange(1, n).Draw(t, "fanout"))
		require.NoError(t, err)
		ports := rapid.SliceOfN(rapid.Bool(), n, n).Draw(t, "ports")
		r, err := NewRoutes(tree, testRoster(n, func(i int) bool {
			return ports[i] || len(tree.Children(protocols.PartyID(i))) > 0
		}))
		require.NoError(t, err)
		made := map[[2]protocols.PartyID]bool{}
		for _, c := range r.Connections() {
			require.NotEmpty(t, c.Address)
			require.False(t, made[[2]protocols.PartyID{c.Listener, c.Dialer}], "made twice")
			made[[2]protocols.PartyID{c.Dialer, c.Listener}] = true
			if parent, ok := tree.Parent(c.Listener); ok && parent == c.Dialer {
				t.Fatalf("party %d connects to its child %d", c.Dialer, c.Listener)
			}
		}
		for _, from := range tree.Members() {
			for _, to := range tree.Members() {
				path := r.Path(from, to)
				require.LessOrEqual(t, len(path), 2*tree.Depth()+1)
				require.Equal(t, []protocols.PartyID{from, to}, []protocols.PartyID{path[0], path[len(path)-1]})
				unique := slices.Clone(path)
				slices.Sort(unique)
				require.Len(t, slices.Compact(unique), len(path))
				for i := range path[1:] {
					a, b := path[i], path[i+1]
					require.True(t, made[[2]protocols.PartyID{a, b}] || made[[2]protocols.PartyID{b, a}], "%d and %d are connected", a, b)
					require.True(t, r.passes(from, to, a, b))
					require.False(t, r.passes(from, to, b, a))
				}
			}
		}
	})
}

func TestRosterErrors(t *testing.T) {
	tree, err := protocols.NewTree(3, 1)
	require.NoError(t, err)
	good := func() []Peer { return testRoster(3, func(i int) bool { return i < 2 }) }
	for name, c := range map[string]struct {
		change func([]Peer) []Peer
		want   string
	}{
		"missing":    {func(r []Peer) []Peer { return r[:2] }, "party 2 is not in the roster"},
		"twice":      {func(r []Peer) []Peer { return append(r, r[0]) }, "party 0 is in the roster twice"},
		"beyond":     {func(r []Peer) []Peer { r[2].ID = 7; return r }, "party 7 (site-2) is not in the tree"},
		"no name":    {func(r []Peer) []Peer { r[1].Name = ""; return r }, `party 1 has the name ""`},
		"same name":  {func(r []Peer) []Peer { r[1].Name = r[0].Name; return r }, "want one of its own (party 0)"},
		"same key":   {func(r []Peer) []Peer { r[1].Key = r[0].Key; return r }, "parties 0 and 1 have the same key"},
		"short key":  {func(r []Peer) []Peer { r[1].Key = r[1].Key[:5]; return r }, "key of 5 bytes"},
		"no address": {func(r []Peer) []Peer { r[1].Address = ""; return r }, "give the parent one"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := NewRoutes(tree, c.change(good()))
			require.ErrorContains(t, err, c.want)
		})
	}
	_, err = NewRoutes(tree, good())
	require.NoError(t, err)
}

func TestConfigErrors(t *testing.T) {
	w := newWorld(t, 2, 1, 0)
	for name, c := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"self":        {func(c *Config) { c.Self = 9 }, "Self is party 9 of a tree of 2"},
		"certificate": {func(c *Config) { c.Certificate = nil }, "no Certificate"},
		"body":        {func(c *Config) { c.MaxBody = 0 }, "MaxBody is 0 bytes"},
		"two ports":   {func(c *Config) { c.Listen = ":0" }, "both Listen and Listener"},
		"other key":   {func(c *Config) { c.Certificate = certificate(t, w.keys[1], "site-0") }, "not the key of the roster"},
		"reader":      {func(c *Config) { c.Readers = append(c.Readers, nil) }, "reader 0 has a key of 0 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := w.config(0)
			c.change(&cfg)
			_, err := Open(cfg)
			require.ErrorContains(t, err, c.want)
		})
	}
}
