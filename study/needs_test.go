package study

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/dataset"
)

// What is expected of a study before it runs is what it takes, but for headers.
func TestNeedsAreMet(t *testing.T) {
	const parties = 3
	table, err := dataset.Synthetic(dataset.SyntheticConfig{Rows: 120, Features: 3, Seed: 3})
	require.NoError(t, err)
	common := Common{Name: "toy", Parties: parties, Fanout: 2, TestFraction: 0.2, Seed: 4, Clip: 4, Insecure: true, Link: Link{Mbit: 1000, Latency: 20}}
	t.Run("regression", func(t *testing.T) {
		c := Default()
		c.Common = common
		c.Epochs, c.Steps = 0, 3
		r, err := Run(t.Context(), c, table, nil, nil)
		require.NoError(t, err)
		terms, err := c.Terms(Declared{Features: 3, Rows: []int{32, 32, 32}}, Policy{}, [32]byte{1})
		require.NoError(t, err)
		n := terms.Needs()
		require.InEpsilon(t, r.Bytes.IterationParty, n.Step, 0.02)
		require.InEpsilon(t, r.Bytes.SetupParty, 2*n.Setup, 0.06, "from the root to both children")
		require.Positive(t, n.StepUp)
		require.GreaterOrEqual(t, n.Disk, n.Setup)
		require.GreaterOrEqual(t, n.Memory, int64(terms.KeyBytes()))
	})
	t.Run("network", func(t *testing.T) {
		c, table := toyNetwork(t, parties)
		c.Fanout, c.Hidden, c.Steps = 2, c.Hidden[:1], 1
		r, err := RunNetwork(t.Context(), c, table, dataset.Table{}, nil, nil)
		require.NoError(t, err)
		terms, err := c.Terms(t.Context(), Declared{Features: 6, Rows: []int{40, 40, 40}}, Policy{}, [32]byte{1})
		require.NoError(t, err)
		n := terms.Needs()
		require.InEpsilon(t, r.Bytes.IterationParty, n.Step, 0.02)
		require.InEpsilon(t, r.Bytes.SetupParty, 2*n.Setup, 0.06)
		require.Zero(t, n.StepUp)
		require.Greater(t, n.Memory, int64(terms.KeyBytes()))
	})
}

func TestTermsCheckTables(t *testing.T) {
	c, table := toyNetwork(t, 2)
	terms, err := c.Terms(t.Context(), Declared{Features: 6, Rows: []int{100, 101}}, Policy{}, [32]byte{1})
	require.NoError(t, err)
	require.NoError(t, terms.Check(table, 0))
	require.ErrorContains(t, terms.Check(table, 1), "party 1 declared at least 101 rows and has 100")
	require.ErrorIs(t, terms.Check(table, 1), ErrConfig)
}
