package transport

import (
	"context"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/protocols"
)

// Neighbours hear how far the study is, those that connect later too, and never that it
// is less far than they heard.
func TestReach(t *testing.T) {
	w := newWorld(t, 2, 1, 0)
	var mu sync.Mutex
	heard := map[protocols.PartyID][]uint64{}
	w.change = func(c *Config) {
		self := c.Self
		c.Reached = func(_ protocols.PartyID, stages uint64) {
			mu.Lock()
			defer mu.Unlock()
			heard[self] = append(heard[self], stages)
		}
	}
	last := func(id protocols.PartyID) func() bool {
		return func() bool {
			mu.Lock()
			defer mu.Unlock()
			n := len(heard[id])
			return n > 0 && heard[id][n-1] == 7
		}
	}
	root := w.open(0)
	root.Reach(5)
	root.Reach(7)
	root.Reach(6)
	leaf := w.open(1)
	require.Eventually(t, last(1), 5*time.Second, time.Millisecond)
	require.EqualValues(t, 7, leaf.Stats().Peers[0].Reached)
	leaf.Reach(7)
	require.Eventually(t, last(0), 5*time.Second, time.Millisecond)
	require.NoError(t, leaf.Close())
	again := w.open(1)
	require.Eventually(t, func() bool { return again.Stats().Peers[0].Reached == 7 }, 5*time.Second, time.Millisecond)
	mu.Lock()
	defer mu.Unlock()
	for id, all := range heard {
		require.IsNonDecreasing(t, all, "party %d", id)
	}
}

// What keeps a party from an answer is one line that says who, where, what and what to do.
func TestUnreachable(t *testing.T) {
	w := newWorld(t, 2, 1, 0)
	require.NoError(t, w.listeners[0].Close()) // nothing listens there any more
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer silent.Close()
	closed := w.roster[0].Address
	for name, tt := range map[string]struct {
		address string
		dial    func(context.Context, string) (net.Conn, error)
		is      error
		want    string
	}{
		"closed port": {closed, nil, syscall.ECONNREFUSED, "connect: connection refused; see whether its node runs, at this address"},
		"no host": {"nowhere.invalid:1", func(context.Context, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "nowhere.invalid", IsNotFound: true}}
		}, nil, "lookup nowhere.invalid: no such host; compare the address in the lock"},
		"dropped": {"10.0.0.1:1", func(ctx context.Context, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}, nil, "no connection in time; see whether its host is up"},
		"mute": {silent.Addr().String(), nil, nil, "no connection in time; see whether its host is up"},
	} {
		t.Run(name, func(t *testing.T) {
			server := w.roster[0]
			server.Address = tt.address
			c, err := NewClient(ClientConfig{
				Server: server, Study: w.study, Key: publicKey(w.keys[1]), Certificate: certificate(t, w.keys[1], "site-1"), Dial: tt.dial, MaxBody: 1,
			})
			require.NoError(t, err)
			defer c.Close()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err = c.Status(ctx)
			var away *UnreachableError
			require.ErrorAs(t, err, &away)
			require.Equal(t, server.Address, away.Peer.Address)
			require.False(t, away.Met)
			if tt.is != nil {
				require.ErrorIs(t, err, tt.is)
			}
			require.Contains(t, err.Error(), "party 0 (site-0) at "+tt.address+": "+tt.want)
			require.NotContains(t, err.Error(), "rpc error")
			require.False(t, strings.Contains(err.Error(), "\n"))
		})
	}

	t.Run("slow answer", func(t *testing.T) {
		w := newWorld(t, 2, 1, 0)
		release := make(chan struct{})
		w.change = func(c *Config) { c.Status = func() []byte { <-release; return nil } }
		w.open(0)
		t.Cleanup(func() { close(release) })
		c, err := NewClient(ClientConfig{
			Server: w.roster[0], Study: w.study, Key: publicKey(w.keys[1]), Certificate: certificate(t, w.keys[1], "site-1"), MaxBody: 1,
		})
		require.NoError(t, err)
		defer c.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		_, err = c.Status(ctx)
		require.ErrorContains(t, err, "connected, but no answer in time; its host is busy or the link slow")
	})
}
