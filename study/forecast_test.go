package study

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/dataset"
	"github.com/nereid-mhe/nereid/nn"
	"github.com/nereid-mhe/nereid/protocols"
)

func logisticTerms(t *testing.T, parties, fanout, steps int) Terms {
	c := Default()
	c.Common = Common{Name: "toy", Parties: parties, Fanout: fanout, Clip: 4, Insecure: true, Link: Link{Mbit: 1000, Latency: 20}}
	c.Epochs, c.Steps, c.Batch = 0, steps, 10
	d := Declared{Features: 3}
	for range parties {
		d.Rows = append(d.Rows, 10)
	}
	terms, err := c.Terms(d, Policy{{Querier: "lab", Rows: 10}}, [32]byte{1})
	require.NoError(t, err)
	return terms
}

func ownHost() Host { return Typical(nn.DefaultCosts(), Link{Mbit: 1000, Latency: 20}) }

// Spans add up, every step costs the same, and slower hosts take longer where they are
// slower.
func TestForecast(t *testing.T) {
	t.Parallel()
	c, _ := toyNetwork(t, 3)
	c.Hidden, c.Steps = c.Hidden[:1], 4
	network, err := c.Terms(t.Context(), Declared{Features: 6, Rows: []int{40, 40, 40}}, Policy{{Querier: "lab", Rows: 10}}, [32]byte{1})
	require.NoError(t, err)
	for name, terms := range map[string]Terms{"regression": logisticTerms(t, 3, 2, 4), "network": network} {
		t.Run(name, func(t *testing.T) {
			host := ownHost()
			f := terms.Forecast(host)
			for _, s := range []Span{f.Setup, f.Training, f.Step, f.Predict} {
				require.InDelta(t, s.Seconds, s.Compute+s.Network+s.Disk, 1e-9)
				require.Positive(t, s.Compute)
				require.Positive(t, s.Network)
				require.Positive(t, s.Disk)
				require.Positive(t, s.BytesParty)
			}
			require.InDelta(t, 4*f.Step.Seconds, f.Training.Seconds, 1e-9)
			require.Equal(t, 4*f.Step.BytesParty, f.Training.BytesParty)

			far := host
			far.Link.Latency *= 2
			g := terms.Forecast(far)
			require.Greater(t, g.Step.Network, f.Step.Network)
			require.Equal(t, f.Step.Compute, g.Step.Compute)

			shared := host
			shared.Sharing, shared.Cores = 3, 1
			g = terms.Forecast(shared)
			require.InEpsilon(t, 3*f.Step.Compute, g.Step.Compute, 0.5)
			require.Greater(t, g.Step.Compute, 1.5*f.Step.Compute)

			slow := host
			slow.Commit *= 10
			g = terms.Forecast(slow)
			require.Greater(t, g.Step.Disk, 2*f.Step.Disk)
			require.Equal(t, f.Step.Network, g.Step.Network)
		})
	}
}

// A deeper tree takes more trips, a wider one more of a parent's link.
func TestForecastOfTrees(t *testing.T) {
	chain, star := logisticTerms(t, 7, 1, 1).Forecast(ownHost()), logisticTerms(t, 7, 6, 1).Forecast(ownHost())
	require.InEpsilon(t, 6*4*0.02, chain.Step.Network, 0.2, "four legs")
	require.InEpsilon(t, 4*0.02, star.Step.Network, 0.2)
	require.Greater(t, star.Step.BytesParty, 2*chain.Step.BytesParty)
}

func TestLevels(t *testing.T) {
	tree, err := protocols.NewTree(6, 3)
	require.NoError(t, err)
	levels := levelsOf(tree)
	require.Len(t, levels, tree.Depth())
	require.Equal(t, &level{parents: []protocols.PartyID{0}, below: []protocols.PartyID{1, 2, 3}, most: 3}, levels[0])
	require.Equal(t, &level{parents: []protocols.PartyID{1}, below: []protocols.PartyID{4, 5}, most: 2}, levels[1])
}

// A connection of 1 Gbit/s and 20 ms holds 5 MB, which it reaches from 64 KiB in seven
// trips.
func TestWindows(t *testing.T) {
	h := Host{Link: Link{Mbit: 1000, Latency: 20}, Window: 64 << 10}
	var w window
	require.Zero(t, w.open(60<<10, h))
	require.InDelta(t, 0.04, w.open(65<<10, h), 1e-9)
	require.Zero(t, w.open(65<<10, h))
	require.InDelta(t, 6*0.04, w.open(100<<20, h), 1e-9)
	require.Zero(t, w.open(100<<20, h))
	h.Window, w = 0, 0
	require.Zero(t, w.open(100<<20, h), "without a slow start")
}

// The bytes of nodes in one process are those of the forecast but for headers, and
// they train what the clear twin says.
func TestForecastOfNodes(t *testing.T) {
	const parties = 4
	table, err := dataset.Synthetic(dataset.SyntheticConfig{Rows: 10 * (parties + 1), Features: 3, Seed: 3})
	require.NoError(t, err)
	part := func(i int) dataset.Table {
		return dataset.Table{Features: table.Features, X: table.X[10*i : 10*i+10], Y: table.Y[10*i : 10*i+10]}
	}
	q, err := NewQuerier(logisticTerms(t, parties, 2, 2), "lab", protocols.NewSeed([32]byte{9}))
	require.NoError(t, err)
	terms := logisticTerms(t, parties, 2, 2)
	terms.policy[0].Key = q.Pin()
	require.NoError(t, terms.seal())
	q, err = NewQuerier(terms, "lab", protocols.NewSeed([32]byte{9}))
	require.NoError(t, err)
	wires := NewMemoryNetwork(terms)
	var nodes []*Node
	var tables []dataset.Table
	for i := range parties {
		tables = append(tables, part(i))
		n, err := NewNode(NodeConfig{
			Terms: terms, Self: protocols.PartyID(i), Seed: protocols.NewSeed([32]byte{byte(i + 1)}), Table: tables[i],
			Journal: protocols.NewMemoryJournal(), Store: &MemoryStore{}, Transport: wires.Transport(protocols.PartyID(i)),
		})
		require.NoError(t, err)
		nodes = append(nodes, n)
	}
	z := runNodes(t, nodes, q, part(parties).X)
	twin, err := terms.Twin(t.Context(), tables, part(parties).X)
	require.NoError(t, err)
	noise, err := terms.OutputNoise()
	require.NoError(t, err)
	require.Positive(t, noise)
	for i := range z {
		require.InDelta(t, twin[i][0], z[i][0], 8*noise)
	}
	_, err = terms.Twin(t.Context(), tables[1:], nil)
	require.ErrorIs(t, err, ErrConfig)

	f, sent := terms.Forecast(ownHost()), map[string]int64{}
	for _, n := range nodes {
		s := n.Status().Sent
		sent["setup"] = max(sent["setup"], s[phaseSetup])
		sent["training"] = max(sent["training"], s[phaseMap]+s[phaseCombine]+s[phaseReduce])
		sent["predict"] = max(sent["predict"], s[phasePredict])
	}
	require.InEpsilon(t, sent["setup"], f.Setup.BytesParty, 0.02)
	require.InEpsilon(t, sent["training"], f.Training.BytesParty, 0.02)
	require.InEpsilon(t, sent["predict"], f.Predict.BytesParty, 0.02)
}

// runNodes runs nodes until the querier has its answers.
func runNodes(t *testing.T, nodes []*Node, q *Querier, rows [][]float64) (out [][]float64) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, len(nodes))
	for _, n := range nodes {
		go func() { ended <- n.Run(ctx) }()
	}
	var public Publication
	require.Eventually(t, func() (ok bool) {
		p, err := nodes[0].Publication()
		public = p
		return err == nil
	}, 20*time.Second, time.Millisecond)
	require.NoError(t, q.Learn(public))
	requests, err := q.Requests(rows)
	require.NoError(t, err)
	for _, r := range requests {
		answer, err := nodes[0].Ask(ctx, "lab", r.Bytes)
		require.NoError(t, err)
		z, err := q.Outputs(r, answer)
		require.NoError(t, err)
		out = append(out, z...)
	}
	cancel()
	for range nodes {
		require.NoError(t, <-ended)
	}
	return out
}
