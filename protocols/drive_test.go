package protocols_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/protocols"
)

// A lossy is one party's end of a network of channels that loses and damages
// messages. It keeps order and says that it is idle soon.
type lossy struct {
	boxes []chan []byte
	self  protocols.PartyID
	rng   *rand.Rand
	loss  float64
}

func (n *lossy) Send(ctx context.Context, m protocols.Message) error {
	b, err := m.AppendBinary(nil)
	if err != nil || n.rng.Float64() < n.loss {
		return err
	}
	if n.rng.Float64() < n.loss {
		b[n.rng.IntN(len(b))] ^= 1
	}
	select {
	case n.boxes[m.To] <- b:
	default: // full: lost
	}
	return nil
}

func (n *lossy) Receive(ctx context.Context) (protocols.Message, error) {
	select {
	case b := <-n.boxes[n.self]:
		m, err := protocols.DecodeMessage(b, 1<<20)
		if err != nil {
			return m, &protocols.MessageError{Field: "encoding", Err: err}
		}
		return m, nil
	case <-ctx.Done():
		return protocols.Message{}, ctx.Err()
	case <-time.After(2 * time.Millisecond):
		return protocols.Message{}, fmt.Errorf("box %d: %w", n.self, protocols.ErrIdle)
	}
}

// Drive runs a round over a network that loses and damages one message in five.
// Every party goes on serving after it is done, as a node does.
func TestDriveOverLossyNetwork(t *testing.T) {
	const parties = 7
	s := newStudy(t, parties, 2)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	boxes := make([]chan []byte, parties)
	for i := range boxes {
		boxes[i] = make(chan []byte, 100)
	}
	var done, gone sync.WaitGroup
	done.Add(parties)
	serving, stop := context.WithCancel(ctx)
	defer stop()
	for _, p := range s.tree.Members() {
		m, net := s.machine(p), &lossy{boxes, p, rand.New(rand.NewPCG(1, uint64(p))), 0.2}
		gone.Go(func() {
			if err := protocols.Drive(ctx, nil, m, net); err != nil {
				t.Errorf("party %d: %v", p, err)
			}
			done.Done()
			_ = protocols.Attend(serving, nil, m, net) // until all are done
		})
	}
	done.Wait()
	stop()
	gone.Wait()
	s.check(t)
}

// A script is a network that receives what it is told to.
type script struct {
	receive []any // Message or error
	sent    []protocols.Message
	sendErr error
}

func (n *script) Send(_ context.Context, m protocols.Message) error {
	n.sent = append(n.sent, m)
	return n.sendErr
}

func (n *script) Receive(context.Context) (protocols.Message, error) {
	next := n.receive[0]
	n.receive = n.receive[1:]
	if err, ok := next.(error); ok {
		return protocols.Message{}, err
	}
	return next.(protocols.Message), nil
}

func TestDriveLogsAndGoesOn(t *testing.T) {
	s := newStudy(t, 7, 2)
	honest := s.honest()
	mine := to(1, honest)
	bad := mine[1]
	bad.Body = flip(bad.Body, 3)
	var log bytes.Buffer
	net := &script{receive: []any{
		mine[0],
		bad,
		&protocols.MessageError{Peer: 4, Field: "encoding", Err: protocols.ErrMalformed},
		protocols.ErrIdle,
		mine[1], mine[2], mine[3],
	}}
	require.NoError(t, protocols.Drive(t.Context(), slog.New(slog.NewTextHandler(&log, nil)), s.machine(1), net))
	require.Equal(t, append(from(1, honest)[:2:2], from(1, honest)...), net.sent, "the forwarded input once more when idle, no reminder")
	require.Contains(t, log.String(), "level=WARN msg=\"message refused\" peer=4")
	require.Contains(t, log.String(), "field=sum")
	require.Contains(t, log.String(), "field=encoding")
	require.Contains(t, log.String(), "refresh@3/layer1/forward#0")
	require.Contains(t, log.String(), "nothing arrived, sending again")
}

// After a restart everything may come at once, the input last. Nothing is lost,
// and a party that knows the result early still sums for its parent.
func TestDriveKeepsEarlyMessages(t *testing.T) {
	s := newStudy(t, 7, 2)
	honest := s.honest()
	mine := to(1, honest) // input, two shares, result
	boom := errors.New("the end")
	net := &script{receive: []any{mine[1], mine[1], mine[3], mine[0], mine[2], boom}}
	m := s.machine(1)
	require.NoError(t, protocols.Drive(t.Context(), nil, m, net))
	require.True(t, m.Done())
	require.Equal(t, []any{mine[2], boom}, net.receive, "done with the result")
	require.ErrorIs(t, protocols.Attend(t.Context(), nil, m, net), boom)
	require.Subset(t, net.sent, from(1, honest), "and the result again for those whose share came after it")
}

func TestDriveStops(t *testing.T) {
	boom := errors.New("boom")
	s := newStudy(t, 7, 2)
	honest := s.honest()
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tt := range []struct {
		name  string
		ctx   context.Context
		party protocols.PartyID
		net   *script
		is    error
		want  string
	}{
		{"send fails", t.Context(), 0, &script{sendErr: boom}, boom, "protocols: sending to party 1: boom"},
		{"receive fails", t.Context(), 1, &script{receive: []any{boom}}, boom, "protocols: receiving: boom"},
		{"cancelled", cancelled, 1, &script{receive: []any{protocols.ErrIdle}}, context.Canceled, "protocols: context canceled"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := protocols.Drive(tt.ctx, nil, s.machine(tt.party), tt.net)
			require.ErrorIs(t, err, tt.is)
			require.EqualError(t, err, tt.want)
		})
	}
	t.Run("second input", func(t *testing.T) {
		var log bytes.Buffer
		s.input = []byte("c1 of other ciphertexts")
		net := &script{receive: []any{s.inputFor(1, 0)}}
		err := protocols.Drive(t.Context(), slog.New(slog.NewTextHandler(&log, nil)), s.machine(1), net)
		require.ErrorIs(t, err, protocols.ErrBound)
		require.Empty(t, net.sent)
		require.Contains(t, log.String(), "level=ERROR msg=\"security event")
	})
	require.NotEmpty(t, honest)
}
