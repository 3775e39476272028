package study

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/protocols"
)

// Whatever older copy of its directory a party is restored from, it either stops, since
// others are ahead of it by more than they can be, or lacks nothing, and then the study
// ends with the same model, the same answers and one share for every label.
func TestOlderCopies(t *testing.T) {
	type loss struct {
		victim protocols.PartyID
		ago    int // stages
		at     int // tenths of its operations, most of which are in setup
	}
	for _, tt := range []struct {
		name   string
		c      *cluster
		losses []loss
	}{
		{"regression", regressionCluster(t), []loss{{0, 0, 6}, {0, 2, 8}, {4, 1, 9}, {4, 3, 7}}},
		{"network", networkCluster(t), []loss{{1, 0, 8}, {1, 1, 7}, {1, 3, 9}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := tt.c
			want := c.run(t, t.TempDir(), make([][]*fuse, len(c.tables)))
			refused, ended := 0, 0
			for _, l := range tt.losses {
				got, err := c.rollBack(t, l.victim, want.used[l.victim]*l.at/10, l.ago)
				if err != nil {
					require.ErrorIs(t, err, ErrRolledBack)
					require.Positive(t, l.ago, "nothing but shares was lost")
					refused++
					continue
				}
				require.Equal(t, want.models, got.models)
				require.Equal(t, want.answers, got.answers)
				ended++
			}
			t.Logf("%d refused, %d ended", refused, ended)
			require.Positive(t, refused)
			require.Positive(t, ended)
		})
	}
}

// rollBack kills a party at an operation and restores the copy of its directory that was
// made as the last stage ended, or so many stages before. The error is that of the party,
// which ends the study.
func (c *cluster) rollBack(t *testing.T, victim protocols.PartyID, at, ago int) (r result, refused error) {
	copies, stages := t.TempDir(), 0
	c.stored = func(id protocols.PartyID) {
		if id == victim {
			require.NoError(t, os.CopyFS(filepath.Join(copies, fmt.Sprint(stages)), os.DirFS(c.path(id, ""))))
			stages++
		}
	}
	c.dead = func(id protocols.PartyID) {
		c.stored = nil
		require.NoError(t, os.RemoveAll(c.path(id, "")))
		require.NoError(t, os.CopyFS(c.path(id, ""), os.DirFS(filepath.Join(copies, fmt.Sprint(max(0, stages-1-ago))))))
	}
	fuses := make([][]*fuse, len(c.tables))
	fuses[victim] = []*fuse{{left: at}}
	c.refused = func(err error) bool {
		if errors.Is(err, ErrRolledBack) {
			refused = err
			return true
		}
		return false
	}
	defer func() { c.stored, c.dead, c.refused = nil, nil, nil }()
	r = c.run(t, t.TempDir(), fuses)
	return r, refused
}

// A journal that is older than the store is missed at the start.
func TestOlderJournal(t *testing.T) {
	c := regressionCluster(t)
	dir := t.TempDir()
	var early string
	c.stored = func(id protocols.PartyID) {
		if id == 1 && early == "" {
			early = filepath.Join(t.TempDir(), "journal")
			b, err := os.ReadFile(c.path(id, "journal"))
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(early, b, 0o600))
		}
	}
	c.run(t, dir, make([][]*fuse, len(c.tables)))
	require.NoError(t, os.Rename(early, c.path(1, "journal")))
	err := c.live(context.Background(), 1, &fuse{})
	require.ErrorIs(t, err, ErrRolledBack)
	require.ErrorContains(t, err, "the journal has 1 points")
}

// What a peer says is taken for what it can be.
func TestReached(t *testing.T) {
	c := regressionCluster(t)
	node := func() *Node {
		c.dir, c.wire = t.TempDir(), newWire(len(c.tables))
		store, err := OpenStore(c.path(1, "store"))
		require.NoError(t, err)
		journal, err := protocols.OpenJournal(c.path(1, "journal"))
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, journal.Close()) })
		n, err := NewNode(NodeConfig{Terms: c.terms, Self: 1, Seed: c.seeds[1], Table: c.tables[1], Journal: journal, Store: store, Transport: c.wire.join(1, &fuse{})})
		require.NoError(t, err)
		return n
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	n := node()
	n.Reached(0, 1)     // it can be one ahead
	n.Reached(0, 1<<63) // it cannot have done more than there is
	require.NoError(t, n.Run(ended))

	n = node()
	n.Reached(0, 2)
	n.Reached(2, 3)
	err := n.Run(t.Context())
	require.ErrorIs(t, err, ErrRolledBack)
	require.ErrorContains(t, err, "0 stages are done here and 2 elsewhere, says party 0")
}
