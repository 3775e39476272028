package protocols_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/nereid-mhe/nereid/protocols"
)

func TestNewTreeRefuses(t *testing.T) {
	for _, tt := range []struct {
		name            string
		parties, fanout int
		want            string
	}{
		{"nobody", 0, 2, "at least 2 parties"},
		{"one party", 1, 2, "a study needs at least 2 parties, not 1"},
		{"negative parties", -3, 2, "at least 2 parties"},
		{"too many", 65536, 2, "at most 65535"},
		{"fan-out 0", 2, 0, "fan-out 0"},
		{"negative fan-out", 5, -1, "fan-out -1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tree, err := protocols.NewTree(tt.parties, tt.fanout)
			require.ErrorContains(t, err, tt.want)
			require.Zero(t, tree)
		})
	}
}

func TestTreeShapes(t *testing.T) {
	const maxInt = int(^uint(0) >> 1)
	for _, tt := range []struct {
		name            string
		parties, fanout int
		depth           int
		children        []protocols.PartyID // of the root
	}{
		{"pair", 2, 1, 1, []protocols.PartyID{1}},
		{"chain", 4, 1, 3, []protocols.PartyID{1}},
		{"binary", 7, 2, 2, []protocols.PartyID{1, 2}},
		{"binary and one", 8, 2, 3, []protocols.PartyID{1, 2}},
		{"star", 4, 3, 1, []protocols.PartyID{1, 2, 3}},
		{"huge fan-out", 4, maxInt, 1, []protocols.PartyID{1, 2, 3}},
		{"largest", 65535, 2, 15, []protocols.PartyID{1, 2}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tree, err := protocols.NewTree(tt.parties, tt.fanout)
			require.NoError(t, err)
			require.Equal(t, tt.depth, tree.Depth())
			require.Equal(t, tt.children, tree.Children(tree.Root()))
			require.Equal(t, tt.parties, tree.Parties())
			require.Len(t, tree.Members(), tt.parties)
		})
	}
}

// Children and Parent are inverse, every party but the root has one parent, with a
// smaller number if party 0 is the root, and the longest way up is Depth, whoever
// is the root.
func TestTreeIsATree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tree, err := protocols.NewTree(rapid.IntRange(2, 300).Draw(t, "parties"), rapid.IntRange(1, 400).Draw(t, "fanout"))
		require.NoError(t, err)
		require.Zero(t, tree.Root())
		depth := tree.Depth()
		root := protocols.PartyID(rapid.IntRange(0, tree.Parties()-1).Draw(t, "root"))
		tree, err = tree.RootedAt(root)
		require.NoError(t, err)
		require.Equal(t, root, tree.Root())
		require.Equal(t, depth, tree.Depth())
		seen := map[protocols.PartyID]bool{tree.Root(): true}
		deepest := 0
		for _, p := range tree.Members() {
			require.IsIncreasing(t, append([]int{-1}, ints(tree.Children(p))...))
			for _, c := range tree.Children(p) {
				require.False(t, seen[c])
				seen[c] = true
				up, ok := tree.Parent(c)
				require.True(t, ok)
				require.Equal(t, p, up)
				if root == 0 {
					require.Less(t, up, c)
				}
			}
			d := 0
			for q, ok := tree.Parent(p); ok; q, ok = tree.Parent(q) {
				d++
			}
			deepest = max(deepest, d)
		}
		require.Len(t, seen, tree.Parties())
		require.Equal(t, deepest, tree.Depth())
		_, ok := tree.Parent(tree.Root())
		require.False(t, ok)
	})
}

func ints(ps []protocols.PartyID) (all []int) {
	for _, p := range ps {
		all = append(all, int(p))
	}
	return all
}

// The tree around another root has the same shape, and one for every party gives
// all of them the same number of children in all.
func TestTreeRootedAt(t *testing.T) {
	tree := must(protocols.NewTree(7, 2))
	at3 := must(tree.RootedAt(3))
	require.Equal(t, []protocols.PartyID{4, 5}, at3.Children(3))
	require.Equal(t, []protocols.PartyID{0, 6}, at3.Children(4))
	require.Equal(t, []protocols.PartyID{1, 2}, at3.Children(5))
	require.Empty(t, at3.Children(0))
	require.Zero(t, tree.Root(), "the tree itself is immutable")
	require.Equal(t, tree, must(at3.RootedAt(0)), "not relative to the root before")
	require.Equal(t, tree.Members(), at3.Members())

	children := make([]int, 7)
	for _, root := range tree.Members() {
		for _, p := range tree.Members() {
			children[p] += len(must(tree.RootedAt(root)).Children(p))
		}
	}
	require.Equal(t, []int{6, 6, 6, 6, 6, 6, 6}, children)

	for _, p := range []protocols.PartyID{7, 65535} {
		other, err := tree.RootedAt(p)
		require.ErrorContains(t, err, fmt.Sprintf("protocols: party %d at the root of a tree of 7", p))
		require.Zero(t, other)
	}
	_, err := protocols.Tree{}.RootedAt(0)
	require.ErrorContains(t, err, "party 0 at the root of a tree of 0")
}

func TestTreeOutside(t *testing.T) {
	for _, tree := range []protocols.Tree{{}, must(protocols.NewTree(3, 2))} {
		p := protocols.PartyID(tree.Parties())
		require.False(t, tree.Contains(p))
		require.Empty(t, tree.Children(p))
		_, ok := tree.Parent(p)
		require.False(t, ok)
	}
	require.Zero(t, protocols.Tree{}.Depth())
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
