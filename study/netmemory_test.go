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

// A scale weighs the shares that were sent and have not been taken.
type scale struct {
	mu           sync.Mutex
	bytes, most  int64
	share, total int64 // the largest, and all
}

func (s *scale) add(bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes += bytes
	s.most, s.share, s.total = max(s.most, s.bytes), max(s.share, bytes), s.total+max(bytes, 0)
}

// weighed is a transport on a scale.
type weighed struct {
	Transport
	on *scale
}

func (w weighed) Line(p protocols.Point) Line {
	l := w.Transport.Line(p)
	if p.Protocol != "refresh" { // of which there is one for every party
		return l
	}
	return weighedLine{l, w.on}
}

type weighedLine struct {
	Line
	on *scale
}

func (l weighedLine) Send(ctx context.Context, m protocols.Message) error {
	if m.Leg == protocols.LegShare {
		l.on.add(int64(len(m.Body)))
	}
	return l.Line.Send(ctx, m)
}

func (l weighedLine) Receive(ctx context.Context) (protocols.Message, error) {
	m, err := l.Line.Receive(ctx)
	if err == nil && m.Leg == protocols.LegShare {
		l.on.add(-int64(len(m.Body)))
	}
	return m, err
}

// What a simulation has in memory grows with the parties, though every party makes a
// share for every party: few owners' tensors are refreshed at the same time, and shares
// are forgotten when they are added up.
func TestSimulationForgets(t *testing.T) {
	const parties = 12
	c, _ := toyNetwork(t, parties)
	c.Steps, c.Batch, c.LogN = 1, 8, 9
	table, err := dataset.Synthetic(dataset.SyntheticConfig{Rows: 20 * parties, Features: 6, Seed: 3})
	require.NoError(t, err)
	s, err := PrepareNetwork(t.Context(), c, table, dataset.Table{})
	require.NoError(t, err)
	require.NoError(t, s.runTwin(t.Context()))
	require.NoError(t, s.makeParties(slog.New(slog.DiscardHandler)))
	require.NoError(t, s.setUp(t.Context()))

	tools, on := s.parties[0].tools, &scale{}
	journals := make([]*noted, parties)
	for i, p := range s.parties {
		journals[i] = &noted{Journal: p.journal, used: map[[32]byte]protocols.Label{}}
		p.transport, p.journal = weighed{p.transport, on}, journals[i]
	}
	require.NoError(t, s.train(t.Context()))

	require.LessOrEqual(t, on.most, on.share*int64(tools.pace.owners)*parties)
	require.Greater(t, on.total, on.share*parties*(parties-1), "every party has made shares for every other")
	require.Zero(t, on.bytes)
	for _, b := range s.parties[0].transport.(weighed).Transport.(seat).hub.boxes {
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
