package node_test

import (
	"context"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/internal/wan"
)

// slowLink is a link of 4 Mbit/s and 100 ms in either direction.
var slowLink = wan.Link{Mbit: 4, Latency: 100 * time.Millisecond}

// With default settings a study ends over slow links that break at random.
func TestSlowLinks(t *testing.T) {
	if testing.Short() {
		t.Skip("runs for up to a minute")
	}
	t.Parallel()
	w := newWorld(t, logistic, 5)
	links := map[string]string{}
	ctx, stop := context.WithCancel(context.Background())
	var cutting sync.WaitGroup
	outside := wan.NewEnd(wan.Link{Mbit: 1e5, Latency: slowLink.Latency}) // all who dial
	for _, p := range w.Lock.Parties() {
		link, err := wan.Connect(outside, wan.NewEnd(slowLink), p.Address)
		require.NoError(t, err)
		t.Cleanup(func() { _ = link.Close() })
		links[p.Address] = link.Address()
		cutting.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case <-time.After(2*time.Second + rand.N(6*time.Second)):
				}
				link.Cut()
			}
		})
	}
	w.dial = func(ctx context.Context, address string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", links[address])
	}
	start := time.Now()
	w.runAll()
	w.check()
	stop()
	cutting.Wait()
	connects, refused := 0, 0
	for _, n := range w.nodes {
		for _, p := range n.Status().Peers {
			connects += p.Connects
			refused += p.Refused
		}
	}
	t.Logf("%v, %d connections", time.Since(start), connects)
	require.Greater(t, connects, 2*(len(w.nodes)-1), "the links were cut")
	require.Zero(t, refused)
}
