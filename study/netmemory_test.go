package study

import (
	"context"
	"log/slog"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/dataset"
	"github.com/nereid-mhe/nereid/protocols"
)

// A gauge counts rounds of refreshes of the parties' own tensors: shares that were
// sent and have not been taken, and rounds that a party has begun and not given its
// share to.
type gauge struct {
	mu                 sync.Mutex
	afloat, most, sent int
	begun              map[protocols.PartyID]int
	mostBegun          int
}

func (g *gauge) send(of protocols.PartyID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sent++
	g.afloat++
	g.begun[of]--
	g.most = max(g.most, g.afloat)
}

func (g *gauge) take() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.afloat--
}

func (g *gauge) begin(of protocols.PartyID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.begun[of]++
	g.mostBegun = max(g.mostBegun, g.begun[of])
}

// gauged is a party's transport on a gauge.
type gauged struct {
	seat
	on *gauge
}

func (t gauged) Line(p protocols.Point) Line {
	l := t.seat.Line(p)
	if p.Protocol != "refresh" { // of which there is one for every party
		return l
	}
	t.on.begin(t.self)
	return gaugedLine{l, t}
}

type gaugedLine struct {
	Line
	gauged
}

func (l gaugedLine) Send(ctx context.Context, m protocols.Message) error {
	if m.Leg == protocols.LegShare {
		l.on.send(l.self)
	}
	return l.Line.Send(ctx, m)
}

func (l gaugedLine) Receive(ctx context.Context) (protocols.Message, error) {
	m, err := l.Line.Receive(ctx)
	if err == nil && m.Leg == protocols.LegShare {
		l.on.take()
	}
	return m, err
}

// What a simulation has in memory grows with the parties, though every party makes a
// share for every party: few owners' tensors are refreshed at the same time, and shares
// are forgotten when they are added up.
func TestSimulationForgets(t *testing.T) {
	const parties = 12
	c, _ := toyNetwork(t, parties)
	c.Steps, c.Batch, c.LogN, c.Cores = 1, 8, 9, 1
	table, err := dataset.Synthetic(dataset.SyntheticConfig{Rows: 20 * parties, Features: 6, Seed: 3})
	require.NoError(t, err)
	s, err := PrepareNetwork(t.Context(), c, table, dataset.Table{})
	require.NoError(t, err)
	require.NoError(t, s.runTwin(t.Context()))
	require.NoError(t, s.makeParties(slog.New(slog.DiscardHandler)))
	require.NoError(t, s.setUp(t.Context()))

	on := &gauge{begun: map[protocols.PartyID]int{}}
	journals := make([]*noted, parties)
	for i, p := range s.parties {
		journals[i] = &noted{Journal: p.journal, used: map[[32]byte]protocols.Label{}}
		p.transport, p.journal = gauged{p.transport.(seat), on}, journals[i]
	}
	require.NoError(t, s.train(t.Context()))

	points := 0
	for _, p := range s.net.Points {
		if !p.Skipped {
			points++
		}
	}
	require.Equal(t, points*parties*(parties-1), on.sent, "every party makes a share for every other")
	owners := s.parties[0].pace.owners
	require.Less(t, owners, parties/2)
	require.LessOrEqual(t, on.mostBegun, owners+points, "and has begun its own rounds, which have no share to send")
	require.LessOrEqual(t, on.most, owners*parties)
	require.Zero(t, on.afloat)
	for _, b := range s.parties[0].transport.(gauged).hub.boxes {
		require.Empty(t, b.rounds)
	}
	for i, j := range journals {
		labels := j.labels()
		require.Greater(t, len(labels), parties)
		for _, l := range labels {
			_, err := j.Share(l, func() ([]byte, error) { t.Errorf("party %d makes a second share", i); return nil, nil })
			require.ErrorIs(t, err, protocols.ErrForgotten)
		}
	}
}
